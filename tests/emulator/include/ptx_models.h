/* ptx_models.h - what kernels/cuda/ptx.h has as inline PTX, for the emulator: the same functions,
 * with the place of the call. Layouts and rules are said there; the models are in
 * tests/emulator/models.cpp and copies.cpp. */
#ifndef MILL_TESTS_EMULATOR_PTX_MODELS_H
#define MILL_TESTS_EMULATOR_PTX_MODELS_H

#include <cuda_runtime.h>

namespace emulator {

enum class element { bf16, s8, u8 };
/* m16n8k16 (bf16) or m16n8k32 (8 bits); d is float or int32_t. */
void mma(void *d, const uint32_t a[4], const uint32_t b[2], element of_a, site);
void ldmatrix_x4(uint32_t r[4], const void *row, site);

void copy_issue(void *shared, const void *global, uint32_t bytes, bool valid, site);
void copy_commit();
void copy_wait(uint32_t n_newest);

} // namespace emulator

#define PTX_MODEL EMULATOR_UNCHECKED static inline
#define PTX_AT ::emulator::site at = ::emulator::site::here()

#if CU_ARCH >= 800
PTX_MODEL void mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2], PTX_AT) {
    ::emulator::mma(d, a, b, ::emulator::element::bf16, at);
}
#endif
PTX_MODEL void mma_s8(int32_t d[4], const uint32_t a[4], const uint32_t b[2], PTX_AT) {
    ::emulator::mma(d, a, b, ::emulator::element::s8, at);
}
PTX_MODEL void mma_u8_s8(int32_t d[4], const uint32_t a[4], const uint32_t b[2], PTX_AT) {
    ::emulator::mma(d, a, b, ::emulator::element::u8, at);
}

/* Launches follow one another; the checker knows which might not. */
PTX_MODEL void grid_wait() {
    ::emulator::launch_wait();
}
PTX_MODEL void grid_start_next() {
}

PTX_MODEL void ldmatrix_x4(uint32_t r[4], const void *shared_row, PTX_AT) {
    ::emulator::ldmatrix_x4(r, shared_row, at);
}

PTX_MODEL void cp_async_16(void *shared, const void *global, bool valid, PTX_AT) {
    ::emulator::copy_issue(shared, global, 16, valid, at);
}
PTX_MODEL void cp_async_4(void *shared, const void *global, bool valid, PTX_AT) {
    ::emulator::copy_issue(shared, global, 4, valid, at);
}
PTX_MODEL void cp_async_commit() {
    ::emulator::copy_commit();
}
template <int N> PTX_MODEL void cp_async_wait() {
    ::emulator::copy_wait(N);
}

PTX_MODEL void barrier_sync(int barrier, int n_threads, PTX_AT) {
    ::emulator::barrier_wait((unsigned)barrier, (unsigned)n_threads, "barrier_sync", at);
}

PTX_MODEL float fast_exp2(float x) {
    return exp2f(x);
}
PTX_MODEL float fast_sin(float x) {
    return sinf(x);
}

#undef PTX_MODEL
#undef PTX_AT

#endif
