/* interrupt.c - see interrupt.h. What came is the one thing that outlives a function: a handler has
 * no other way to be heard. */
#include "tools/interrupt.h"

#include <signal.h>

static atomic_bool interrupted;
static atomic_int received;

static void interrupt(int number) {
    atomic_store(&received, number);
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

void mill_interrupt_pass_on(void) {
    int number = atomic_load(&received);
    if (number)
        raise(number); /* its handler was taken away when it came */
}
