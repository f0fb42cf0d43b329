/* listener.h - the socket that clients connect to. */
#ifndef MILL_SERVER_LISTENER_H
#define MILL_SERVER_LISTENER_H

#include "runtime/base/status.h"

enum { MILL_ADDRESS_BYTES = 128 };

/* Listens on an address (names are resolved) and port, 0 = any free one, or on "unix:PATH", whose
 * old socket is replaced. *fd is the caller's to close. */
mill_status mill_listener_open(int *fd, const char *host, int port, struct mill_error *err);
/* A socket that listens already, handed down by a service manager: MILL_E_INPUT when it does not.
 */
mill_status mill_listener_take(int fd, struct mill_error *err);
/* "127.0.0.1:8000", for messages. */
void mill_listener_print(int fd, char text[MILL_ADDRESS_BYTES]);

#endif
