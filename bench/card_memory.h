/* card_memory.h - what the benches of single kernels share: operands on the card, medians. */
#ifndef MILL_BENCH_CARD_MEMORY_H
#define MILL_BENCH_CARD_MEMORY_H

#include "kernels/cuda/cuda_backend.h"

#include <stdlib.h>

/* Random words with which bits kept and which set: f32 from 0.5 to 1 of both signs; bf16 pairs. */
enum : uint32_t {
    F32_KEEP = 0x807fffff,
    F32_SET = 0x3f000000,
    BF16_KEEP = 0x807f807f,
    BF16_SET = 0x3c003c00
};

/* Device memory of random words with these bits kept and these set: a card that multiplies zeros
 * takes less power than one at work, and is faster. */
static inline void *random_words(struct mill_backend *backend, size_t bytes, uint32_t keep,
                                 uint32_t set) {
    enum { CHUNK_WORDS = 1 << 20 };
    static uint32_t chunk[CHUNK_WORDS];
    uint32_t state = 1;
    for (uint32_t &word : chunk) {
        state = state * 1664525u + 1013904223u;
        word = ((state >> 16 | state << 16) & keep) | set;
    }
    char *device = static_cast<char *>(mill_cuda_alloc(backend, bytes));
    for (size_t at = 0; device && at < bytes; at += sizeof chunk) {
        size_t n = bytes - at < sizeof chunk ? bytes - at : sizeof chunk;
        if (mill_cuda_copy_in(backend, device + at, chunk, n) < 0)
            return NULL; /* closing the backend frees it */
    }
    return device;
}

/* Of n numbers, which are sorted. */
static inline double median(double *numbers, int n) {
    qsort(numbers, (size_t)n, sizeof *numbers, [](const void *a, const void *b) {
        double x = *static_cast<const double *>(a), y = *static_cast<const double *>(b);
        return (x > y) - (x < y);
    });
    return numbers[n / 2];
}

#endif
