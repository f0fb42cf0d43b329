/* poison.h - what memory holds before a kernel writes it, and what red zones hold: 0xff in every
 * byte is a NaN in all floating types and -1 in integers. */
#ifndef MILL_TESTS_EMULATOR_POISON_H
#define MILL_TESTS_EMULATOR_POISON_H

#include <stddef.h>
#include <string.h>

namespace emulator {

inline void poison(void *at, size_t bytes) {
    memset(at, 0xff, bytes);
}

inline bool is_poison(const unsigned char *at, size_t bytes) {
    return bytes == 0 || (*at == 0xff && memcmp(at, at + 1, bytes - 1) == 0);
}

} // namespace emulator

#endif
