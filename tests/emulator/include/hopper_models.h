/* hopper_models.h - what kernels/cuda/hopper.h has as inline PTX, for the emulator. Rules are said
 * there; the models are in tests/emulator/mbarrier.cpp and wgmma.cpp. */
#ifndef MILL_TESTS_EMULATOR_HOPPER_MODELS_H
#define MILL_TESTS_EMULATOR_HOPPER_MODELS_H

#include <cuda_runtime.h>

namespace emulator {

void mbarrier_init(const uint64_t *barrier, int n_arrivals, site);
void mbarrier_arrive(const uint64_t *barrier, int expected_bytes, site);
void mbarrier_arrive_at(const uint64_t *barrier, int block, site);
void cluster_wait(site);
void mbarrier_wait(const uint64_t *barrier, int parity, site);
void fence_barrier_init();
/* To the blocks of the cluster whose bits are set. */
void bulk_copy(void *shared, const void *global, int bytes, const uint64_t *barrier,
               unsigned blocks, site);
unsigned block_of_cluster(); /* the running thread's, as a bit */
void fence_async();

uint64_t wgmma_planes(const void *first, int plane_bytes, site);
void wgmma(float *d, int n, const uint32_t a[4], uint64_t b, bool first, site);
void wgmma_commit(site);
void wgmma_wait(unsigned n_newest, site);

} // namespace emulator

#define HOPPER_MODEL EMULATOR_UNCHECKED static inline
#define HOPPER_AT ::emulator::site at = ::emulator::site::here()

HOPPER_MODEL void mbarrier_init(uint64_t *barrier, int n_arrivals, HOPPER_AT) {
    ::emulator::mbarrier_init(barrier, n_arrivals, at);
}
HOPPER_MODEL void fence_barrier_init() {
    ::emulator::fence_barrier_init();
}
HOPPER_MODEL void mbarrier_arrive(uint64_t *barrier, HOPPER_AT) {
    ::emulator::mbarrier_arrive(barrier, 0, at);
}
HOPPER_MODEL void mbarrier_arrive_expect(uint64_t *barrier, int bytes, HOPPER_AT) {
    ::emulator::mbarrier_arrive(barrier, bytes, at);
}
HOPPER_MODEL void mbarrier_arrive_at(uint64_t *barrier, int block, HOPPER_AT) {
    ::emulator::mbarrier_arrive_at(barrier, block, at);
}
#define cluster_sync() ::emulator::cluster_wait(EMULATOR_SITE)
HOPPER_MODEL void mbarrier_wait(uint64_t *barrier, int parity, HOPPER_AT) {
    ::emulator::mbarrier_wait(barrier, parity, at);
}
HOPPER_MODEL bool is_elected() {
    return threadIdx.x % 32 == 0;
}
HOPPER_MODEL void bulk_copy(void *shared, const void *global, int bytes, uint64_t *barrier,
                            HOPPER_AT) {
    ::emulator::bulk_copy(shared, global, bytes, barrier, ::emulator::block_of_cluster(), at);
}
HOPPER_MODEL void bulk_copy_to(int blocks, void *shared, const void *global, int bytes,
                               uint64_t *barrier, HOPPER_AT) {
    ::emulator::bulk_copy(shared, global, bytes, barrier, (unsigned)blocks, at);
}
HOPPER_MODEL void fence_async() {
    ::emulator::fence_async();
}

HOPPER_MODEL uint64_t wgmma_planes(const void *first, int plane_bytes, HOPPER_AT) {
    return ::emulator::wgmma_planes(first, plane_bytes, at);
}
HOPPER_MODEL void wgmma_fence() {
}
template <int N> HOPPER_MODEL void registers_fewer() {
    static_assert(N % 8 == 0 && N >= 24);
}
template <int N> HOPPER_MODEL void registers_more() {
    static_assert(N % 8 == 0 && N <= 256);
}
template <size_t R>
HOPPER_MODEL void wgmma_bf16(float (&d)[R], const uint32_t (&a)[4], uint64_t b, HOPPER_AT) {
    static_assert(R == 16 || R == 32 || R == 48 || R == 52 || R == 64);
    ::emulator::wgmma(d, 2 * (int)R, a, b, false, at);
}
template <size_t R>
HOPPER_MODEL void wgmma_bf16_first(float (&d)[R], const uint32_t (&a)[4], uint64_t b, HOPPER_AT) {
    static_assert(R == 16 || R == 32 || R == 48 || R == 52 || R == 64);
    ::emulator::wgmma(d, 2 * (int)R, a, b, true, at);
}
HOPPER_MODEL void wgmma_commit(HOPPER_AT) {
    ::emulator::wgmma_commit(at);
}
template <int N> HOPPER_MODEL void wgmma_wait(HOPPER_AT) {
    ::emulator::wgmma_wait(N, at);
}

#undef HOPPER_MODEL
#undef HOPPER_AT

#endif
