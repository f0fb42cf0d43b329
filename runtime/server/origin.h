/* origin.h - who a browser speaks for. Without keys the server trusts this machine's programs; a
 * page of a stranger in this machine's browser is none of them, though its requests come from here:
 * it says so by the header Origin, or, where the stranger's name was made to lead here, by Host. */
#ifndef MILL_SERVER_ORIGIN_H
#define MILL_SERVER_ORIGIN_H

#include <stdbool.h>

/* Whether both headers name this machine; NULL: it was not sent, as programs do. */
bool mill_origin_is_local(const char *host, const char *origin);

#endif
