/* interrupt.c - see interrupt.h. The flag is the one thing that outlives a function: a handler has
 * no other way to be heard. */
#include "tools/interrupt.h"

#include <signal.h>

static atomic_bool interrupted;

static void interrupt(int number) {
    (void)number;
    atomic_store(&interrupted, 1);
}

const atomic_bool *mill_interrupt_listen(void) {
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    return &interrupted;
}
