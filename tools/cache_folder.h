/* cache_folder.h - where the program keeps what it can make again: converted weights. */
#ifndef MILL_TOOLS_CACHE_FOLDER_H
#define MILL_TOOLS_CACHE_FOLDER_H

/* $XDG_CACHE_HOME/sparkmill, else $HOME/.cache/sparkmill, in new memory; it need not exist. NULL
 * when neither is set to an absolute path, or memory is short: then there is no cache. */
char *mill_cache_folder(void);

#endif
