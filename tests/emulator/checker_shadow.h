/* checker_shadow.h - what is known of every byte of shared, device and pinned memory: who wrote it
 * last and who read it since. */
#ifndef MILL_TESTS_EMULATOR_CHECKER_SHADOW_H
#define MILL_TESTS_EMULATOR_CHECKER_SHADOW_H

#include "tests/emulator/memory.h"

#include <stddef.h>
#include <stdint.h>

namespace emulator {

/* Who did something when: block serial, thread, the thread's time, two flags; 0 is nobody. Serials
 * count all blocks of all launches; 0 is the host's. */
struct stamp {
    uint64_t bits;

    static constexpr uint64_t IN_FLIGHT = 1, ATOMIC = 2, FLAGS = 3;
    static stamp make(uint32_t serial, unsigned thread, uint32_t time, uint64_t flags) {
        return {(uint64_t)serial << 34 | (uint64_t)thread << 24 | (uint64_t)time << 2 | flags};
    }
    static stamp of_host() {
        return {1 << 2}; /* time 1 */
    }
    uint32_t serial() const {
        return (uint32_t)(bits >> 34);
    }
    unsigned thread() const {
        return bits >> 24 & 0x3ff;
    }
    uint32_t time() const {
        return bits >> 2 & 0x3fffff;
    }
    bool in_flight() const {
        return bits & IN_FLIGHT;
    }
    bool atomic() const {
        return bits & ATOMIC;
    }
    bool nobody() const {
        return bits == 0;
    }
};
const uint32_t most_time = 0x3fffff;

/* Who read a byte since it was written: a stamp, or a set of them (checker_readers.h). */
struct readers {
    uint64_t bits;
};

struct cell {
    stamp written;
    struct readers readers;
    uint32_t write_place, read_place; /* checker_places.h */
};

/* The cells of [at, at + bytes), which lies in one piece of memory; NULL where it does not. */
cell *shadow_find(const void *at, size_t bytes);
/* Of the arena of shared memory; all of them unwritten. */
void shadow_begin_shared(const void *at, size_t bytes);
void shadow_forget(const allocation &);

} // namespace emulator

#endif
