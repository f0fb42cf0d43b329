/* hopper.h - what only sm_90a has: barriers in shared memory that count bytes too, bulk copies that
 * arrive at them, both also to the blocks of a cluster, and products of a warp group (four warps)
 * whose operands stay in shared memory.
 * Code that uses it stands under #if CU_HOPPER. Models for the emulator: tests/emulator/include/
 * hopper_models.h.
 *
 * mbarrier. A phase ends when the arrivals of mbarrier_init and the bytes of mbarrier_arrive_expect
 * are there; then the next one begins. Phases have parity 0, 1, 0, ...; mbarrier_wait returns when
 * the one of its parity has ended. The initialising thread calls fence_barrier_init, then there is
 * a __syncthreads; in a cluster a cluster_sync.
 *
 * Clusters. Blocks of a cluster (CU_LAUNCH_CLUSTERS) run at the same time. Block r of one is the
 * r-th of those beside each other in blockIdx.x. What is done to another block's shared memory is
 * done to what has the same place there as in one's own. A block may end when all that others do to
 * it is done, as behind a cluster_sync of theirs.
 *
 * wgmma. d += a b^T: a is 64 rows of 16 bf16, in registers, those of mma_bf16 for the 16 rows of
 * each warp; b is N rows in shared memory, as two planes of 16-byte pieces, those of successive
 * rows side by side. What threads store there is seen behind fence_async by each of them and a
 * barrier. d is 64 x N: warp w of the group has rows 16 w .. 16 w + 15; d[4 j + e] is D[16 w + g +
 * 8 * (e >> 1)][8 j + 2q + (e & 1)] with g = lane / 4, q = lane % 4. Operands and d are not touched
 * between wgmma_bf16 and the wgmma_wait that covers it. */
#ifndef MILL_KERNELS_CUDA_HOPPER_H
#define MILL_KERNELS_CUDA_HOPPER_H

#include "kernels/cuda/ptx.h"

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define CU_HOPPER (CU_ARCH == 900)
#else
#define CU_HOPPER 0
#endif

#if CU_HOPPER

#define HOPPER static __device__ __forceinline__

#ifndef __CUDACC__
#include <hopper_models.h>
#else

HOPPER void mbarrier_init(uint64_t *barrier, int n_arrivals) {
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(shared_address(barrier)),
                 "r"(n_arrivals)
                 : "memory");
}
HOPPER void fence_barrier_init() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
HOPPER void mbarrier_arrive(uint64_t *barrier) {
    asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
HOPPER void mbarrier_arrive_expect(uint64_t *barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
                 "r"(bytes)
                 : "memory");
}
/* At that of block `block` of the cluster. What the warp has read of its own block's memory is
 * read; what it wrote is another block's to see behind a cluster_sync only. */
HOPPER void mbarrier_arrive_at(uint64_t *barrier, int block) {
    asm volatile("{\n"
                 ".reg .b32 there;\n"
                 "mapa.shared::cluster.u32 there, %0, %1;\n"
                 "mbarrier.arrive.shared::cluster.b64 _, [there];\n"
                 "}" ::"r"(shared_address(barrier)),
                 "r"(block)
                 : "memory");
}
/* All threads of the cluster; what they did before is seen behind it. */
HOPPER void cluster_sync() {
    asm volatile("barrier.cluster.arrive.release;\n"
                 "barrier.cluster.wait.acquire;" ::
                     : "memory");
}
HOPPER void mbarrier_wait(uint64_t *barrier, int parity) {
    asm volatile("{\n"
                 ".reg .pred ended;\n"
                 "again:\n"
                 "mbarrier.try_wait.parity.shared.b64 ended, [%0], %1;\n"
                 "@!ended bra again;\n"
                 "}" ::"r"(shared_address(barrier)),
                 "r"(parity)
                 : "memory");
}

/* True for one lane of a whole warp. The compiler then knows that a copy has one thread. */
HOPPER bool is_elected() {
    uint32_t elected;
    asm volatile("{\n"
                 ".reg .pred one;\n"
                 "elect.sync _|one, 0xffffffff;\n"
                 "selp.u32 %0, 1, 0, one;\n"
                 "}"
                 : "=r"(elected));
    return elected != 0;
}

/* By one thread; addresses and bytes multiples of 16. The bytes arrive at the barrier. */
HOPPER void bulk_copy(void *shared, const void *global, int bytes, uint64_t *barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1], %2, [%3];" ::"r"(shared_address(shared)),
                 "l"(__cvta_generic_to_global(global)), "r"(bytes), "r"(shared_address(barrier))
                 : "memory");
}

/* The same to each block of the cluster whose bit is set, and arriving at its barrier. */
HOPPER void bulk_copy_to(int blocks, void *shared, const void *global, int bytes,
                         uint64_t *barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes"
                 ".multicast::cluster [%0], [%1], %2, [%3], %4;" ::"r"(shared_address(shared)),
                 "l"(__cvta_generic_to_global(global)), "r"(bytes), "r"(shared_address(barrier)),
                 "h"((uint16_t)blocks)
                 : "memory");
}

/* What the thread stored in shared memory is seen by copies and products that come behind. */
HOPPER void fence_async() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* The operand b: products 0 .. 7 of row r at `first` + 16 r, the others plane_bytes behind; both
 * any multiple of 16. */
HOPPER uint64_t wgmma_planes(const void *first, int plane_bytes) {
    const uint64_t eight_rows = 128 >> 4;
    return (uint64_t)(shared_address(first) >> 4 & 0x3fff) |
           (uint64_t)(uint32_t)(plane_bytes >> 4 & 0x3fff) << 16 | eight_rows << 32;
}
/* Before the first product, and before one whose d was touched since. */
HOPPER void wgmma_fence() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
HOPPER void wgmma_commit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/* All groups but the newest N. */
template <int N> HOPPER void wgmma_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

/* How many registers each thread of the warp group may have from here on, a multiple of 8; the
 * block's threads together have what they were launched with. In a branch of its own for each warp
 * group. */
template <int N> HOPPER void registers_fewer() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}
template <int N> HOPPER void registers_more() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}

#define WGMMA_8(how, i) how(d[i]), how(d[i + 1]), how(d[i + 2]), how(d[i + 3])
#define WGMMA_16(how, i) WGMMA_8(how, i), WGMMA_8(how, i + 4)
#define WGMMA_32(how, i) WGMMA_16(how, i), WGMMA_16(how, i + 8)
#define WGMMA_64(how, i) WGMMA_32(how, i), WGMMA_32(how, i + 16)
#define WGMMA_96(how, i) WGMMA_64(how, i), WGMMA_32(how, i + 32)
#define WGMMA_104(how, i) WGMMA_96(how, i), WGMMA_8(how, i + 48)
#define WGMMA_128(how, i) WGMMA_64(how, i), WGMMA_64(how, i + 32)
/* d[N / 2] says what N is: 32, 64, 96, 104 or 128. wgmma_bf16_first: d = a b^T. */
#define WGMMA_NAMED(name, how, add, n, registers, a_registers, b_register)                         \
    HOPPER void name(float(&d)[n / 2], const uint32_t(&a)[4], uint64_t b) {                        \
        asm volatile("wgmma.mma_async.sync.aligned.m64n" #n "k16.f32.bf16.bf16 {" registers        \
                     "}, {" a_registers "}, " b_register ", " add ", 1, 1, 0;"                     \
                     : WGMMA_##n(how, 0)                                                           \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b)                          \
                     : "memory");                                                                  \
    }
#define WGMMA(n, registers, a_registers, b_register)                                               \
    WGMMA_NAMED(wgmma_bf16, "+f", "1", n, registers, a_registers, b_register)                      \
    WGMMA_NAMED(wgmma_bf16_first, "=f", "0", n, registers, a_registers, b_register)
#define WGMMA_R16 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define WGMMA_R32                                                                                  \
    WGMMA_R16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define WGMMA_R48                                                                                  \
    WGMMA_R32                                                                                      \
    ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define WGMMA_R52 WGMMA_R48 ", %48, %49, %50, %51"
#define WGMMA_R64                                                                                  \
    WGMMA_R48 ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
WGMMA(32, WGMMA_R16, "%16, %17, %18, %19", "%20")
WGMMA(64, WGMMA_R32, "%32, %33, %34, %35", "%36")
WGMMA(96, WGMMA_R48, "%48, %49, %50, %51", "%52")
WGMMA(104, WGMMA_R52, "%52, %53, %54, %55", "%56")
WGMMA(128, WGMMA_R64, "%64, %65, %66, %67", "%68")

#endif

#undef HOPPER
#endif
#endif
