/* lockdown.h - the server gives up what it never needs. */
#ifndef MILL_SERVER_LOCKDOWN_H
#define MILL_SERVER_LOCKDOWN_H

#include "runtime/base/status.h"

/* All threads of the process, and the programs it starts, can make no more sockets but local ones:
 * no connection leaves this machine. For ever. To be called when the listener and the devices are
 * open. MILL_E_UNSUPPORTED where the kernel cannot. */
mill_status mill_lockdown(struct mill_error *err);

#endif
