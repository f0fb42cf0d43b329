/* emulated.h - the switches of the emulator that the backend "emulator" runs on: see
 * tests/emulator/emulator.h. They are in its library, so they are found there. */
#ifndef MILL_TESTS_SUPPORT_EMULATED_H
#define MILL_TESTS_SUPPORT_EMULATED_H

#include "tests/emulator/emulator.h"

struct emulated {
    struct emulator_settings (*defaults)(void);
    void (*configure)(const struct emulator_settings *);
    void (*fault)(enum emulator_call, uint64_t n, int error, bool sticky);
    uint64_t (*n_calls)(enum emulator_call);
    int (*report)(char *text, size_t capacity);
    void (*reset)(void);
    size_t (*bytes_in_use)(void);
};

/* Never NULL: a test without the emulator's library ends here. */
const struct emulated *emulated(void);
/* Of the library of this backend: "emulator", "emulator-checked". */
const struct emulated *emulated_as(const char *backend);

#endif
