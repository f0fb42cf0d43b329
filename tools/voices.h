/* voices.h - the two sub-commands of `sparkmill voices` that need a model, each a file. */
#ifndef MILL_TOOLS_VOICES_H
#define MILL_TOOLS_VOICES_H

/* Like commands themselves: argv[0] is their name; the exit status. */
int mill_voices_create(int argc, char **argv);
int mill_voices_compare(int argc, char **argv);

#endif
