/* memory.h - the devices' memory and pinned host memory: what is allocated, what was freed, and
 * what an address means. Under the lock of cudart.h. */
#ifndef MILL_TESTS_EMULATOR_MEMORY_H
#define MILL_TESTS_EMULATOR_MEMORY_H

#include <cuda_runtime_api.h>

#include <stdint.h>

namespace emulator {

enum class memory_kind { device, pinned };

struct allocation {
    char *map; /* with a guard page on either side */
    size_t map_bytes;
    char *data; /* 256-byte aligned, its end less than 256 bytes before the guard page */
    size_t bytes;
    memory_kind kind;
    int device;
    bool freed;   /* its addresses are not used again for a while */
    void *shadow; /* the checker's */
};

/* NULL where the device has no room. Poisoned. */
void *memory_allocate(size_t bytes, memory_kind, int device, size_t device_bytes);
/* False where nothing of this kind begins at `data`. */
bool memory_free(void *data, memory_kind);
/* The allocation whose pages hold the address, freed ones too; NULL: none. */
allocation *memory_find(const void *at);
/* True when [at, at + bytes) lies in one live allocation. */
bool memory_has(const void *at, size_t bytes);
/* "12 bytes past an allocation of 256", for reports. */
void memory_describe(const void *at, char *text, size_t capacity);
/* Reports every live allocation whose surroundings were written; true when there is none. */
bool memory_check_red_zones();

/* The first pages of device memory can be touched between these two only: a host that does so at
 * another time faults, as with a GPU. */
void memory_open();
void memory_close();

size_t memory_bytes_in_use(int device); /* -1: of all */

} // namespace emulator

#endif
