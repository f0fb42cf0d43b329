/* interrupt.h - Ctrl-C and its like, for commands that must put things away before they end. */
#ifndef MILL_TOOLS_INTERRUPT_H
#define MILL_TOOLS_INTERRUPT_H

#include <stdatomic.h>

/* From here on SIGINT, SIGTERM and SIGHUP set what is returned, once; a second one kills. SIGPIPE
 * is ignored: a pipe whose reader has gone is seen where it is written. */
const atomic_bool *mill_interrupt_listen(void);

/* Where one came: end by it, as if it had never been caught, so that a shell's loop ends as well.
 */
void mill_interrupt_pass_on(void);

#endif
