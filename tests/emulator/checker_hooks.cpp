/* checker_hooks.cpp - the functions that code compiled with -fsanitize=thread calls. Nothing is
 * linked with that option: these take the place of ThreadSanitizer's. */
#include "tests/emulator/checker.h"

using emulator::checker_access;
using emulator::checker_range;

#define CALLER __builtin_return_address(0)

#define HOOKS(bytes)                                                                               \
    void __tsan_read##bytes(void *at) {                                                            \
        checker_access(at, bytes, false, CALLER);                                                  \
    }                                                                                              \
    void __tsan_write##bytes(void *at) {                                                           \
        checker_access(at, bytes, true, CALLER);                                                   \
    }                                                                                              \
    void __tsan_unaligned_read##bytes(void *at) {                                                  \
        checker_range(at, bytes, false, CALLER);                                                   \
    }                                                                                              \
    void __tsan_unaligned_write##bytes(void *at) {                                                 \
        checker_range(at, bytes, true, CALLER);                                                    \
    }

extern "C" {
#pragma GCC diagnostic ignored "-Wmissing-declarations"

HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)

void __tsan_read_range(void *at, unsigned long bytes) {
    checker_range(at, bytes, false, CALLER);
}
void __tsan_write_range(void *at, unsigned long bytes) {
    checker_range(at, bytes, true, CALLER);
}
void __tsan_vptr_update(void **, void *) {
}
void __tsan_vptr_read(void **) {
}
/* Before main, by every file that is compiled so. */
void __tsan_init() {
    emulator::checker_install();
}
void __tsan_func_entry(void *) {
}
void __tsan_func_exit() {
}
}
