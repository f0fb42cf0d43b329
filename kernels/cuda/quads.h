/* quads.h - rows of numbers, four neighbours at a time.
 *
 * A thread that goes over a row takes quads. WHOLE says that every quad of the matrix lies aligned
 * inside its row: it is then one access of 16 bytes (8 for bf16). Otherwise its elements are read
 * and written one by one, and those beyond the row not at all. Both ways a thread takes the same
 * elements, so no sum depends on how a matrix lies in memory. */
#ifndef MILL_KERNELS_CUDA_QUADS_H
#define MILL_KERNELS_CUDA_QUADS_H

#include "kernels/backend.h"
#include "kernels/cuda/ptx.h"

template <class T> struct __align__(4 * sizeof(T)) quad {
    T v[4];
};

/* Elements at .. at + 3 of a row of n; `beyond` stands for those beyond it. */
template <bool WHOLE, class T>
static __device__ __forceinline__ quad<T> load_quad(const T *row, int32_t at, int32_t n, T beyond) {
    if constexpr (WHOLE) {
        return *reinterpret_cast<const quad<T> *>(row + at);
    } else {
        quad<T> q;
        for (int32_t i = 0; i < 4; i++)
            q.v[i] = at + i < n ? row[at + i] : beyond;
        return q;
    }
}

template <bool WHOLE, class T>
static __device__ __forceinline__ void store_quad(T *row, int32_t at, int32_t n, quad<T> q) {
    if constexpr (WHOLE) {
        *reinterpret_cast<quad<T> *>(row + at) = q;
    } else {
        for (int32_t i = 0; i < 4; i++)
            if (at + i < n)
                row[at + i] = q.v[i];
    }
}

static __device__ __forceinline__ float *matrix_row(const struct mill_matrix &m, int64_t row) {
    return static_cast<float *>(m.data) + row * m.stride;
}

/* Whether `base`, `stride` elements from row to row of n of them, lies in whole quads. */
template <class T> bool quads_are_whole(const T *base, int64_t stride, int32_t n) {
    return reinterpret_cast<uintptr_t>(base) % sizeof(quad<T>) == 0 && stride % 4 == 0 &&
           n % 4 == 0;
}

static inline bool quads_are_whole(const struct mill_matrix *m) {
    return quads_are_whole(static_cast<const float *>(m->data), m->stride, m->columns);
}

enum { QUAD_THREADS = 128 };

/* Blocks of QUAD_THREADS over rows of n elements: x counts rows, y their runs of QUAD_THREADS
 * quads. */
static inline dim3 quad_grid(int32_t rows, int32_t n) {
    return dim3((uint32_t)rows, ((uint32_t)n + 4 * QUAD_THREADS - 1) / (4 * QUAD_THREADS));
}

/* The calling thread's element in a grid of quad_grid. */
static __device__ __forceinline__ int32_t quad_at() {
    return (int32_t)(4 * (blockIdx.y * QUAD_THREADS + threadIdx.x));
}

#endif
