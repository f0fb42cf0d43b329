/* fuzz.h - what the fuzz targets share: the entry point and checks of what a parser promises. A
 * broken promise ends the process, which is how libFuzzer learns of it. */
#ifndef MILL_TESTS_FUZZ_H
#define MILL_TESTS_FUZZ_H

#include "runtime/base/status.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void require(int condition) {
    if (!condition)
        __builtin_trap();
}

/* A failure has a message: one line that is not empty. */
static inline void require_message(mill_status status, const struct mill_error *err) {
    require(status <= 0);
    if (status < 0)
        require(err->text[0] != '\0' && strchr(err->text, '\n') == NULL);
}

#endif
