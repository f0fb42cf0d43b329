/* defect_kernels.cu - see defect_kernels.h. */
#include "tests/emulator/defect_kernels.h"

#include "kernels/cuda/ptx.h"

/* ------------------------------------------------------------------ barriers */

DEFECT_KERNEL(no_barrier_before_read, 1, 64, "without a barrier after thread") {
    CU_SHARED(float, tile, [64]);
    tile[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = tile[63 - threadIdx.x]; /* DEFECT */
}

DEFECT_KERNEL(no_barrier_behind_read, 1, 64, "without a barrier after thread") {
    CU_SHARED(float, tile, [64]);
    for (int i = 0; i < 3; i++) {
        tile[threadIdx.x] = x[64 * i + (int)threadIdx.x]; /* DEFECT */
        __syncthreads();
        y[64 * i + (int)threadIdx.x] = tile[63 - threadIdx.x];
    }
}

DEFECT_KERNEL(two_writers, 1, 64, "without a barrier after thread") {
    CU_SHARED(float, tile, [63]);
    tile[threadIdx.x % 63] = x[threadIdx.x]; /* DEFECT */
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x % 63];
}

DEFECT_KERNEL(no_barrier_after_reduction, 1, 64, "without a barrier after thread") {
    CU_SHARED(float, of_warp, [2]);
    float sum = warp_sum(x[threadIdx.x]);
    if (threadIdx.x % 32 == 0)
        of_warp[threadIdx.x / 32] = sum;
    __syncthreads();
    sum = of_warp[0] + of_warp[1];
    float most = warp_max(x[threadIdx.x]);
    if (threadIdx.x % 32 == 0)
        of_warp[threadIdx.x / 32] = most; /* DEFECT */
    __syncthreads();
    y[threadIdx.x] = sum + of_warp[0] + of_warp[1];
}

DEFECT_KERNEL(warp_exchange_without_sync, 1, 32, "without a barrier after thread") {
    CU_SHARED(float, slot, [32]);
    slot[threadIdx.x] = x[threadIdx.x];
    float other = __shfl_xor_sync(0xffffffff, x[threadIdx.x], 1); /* orders no memory */
    y[threadIdx.x] = slot[31 - threadIdx.x] + other;              /* DEFECT */
}

DEFECT_KERNEL(half_warp_sync_too_narrow, 1, 32, "without a barrier after thread") {
    CU_SHARED(float, slot, [32]);
    slot[threadIdx.x] = x[threadIdx.x];
    __syncwarp(threadIdx.x < 16 ? 0x0000ffff : 0xffff0000);
    y[threadIdx.x] = slot[31 - threadIdx.x]; /* DEFECT */
}

enum { FULL = 1, EMPTY = 2 }; /* barriers */

DEFECT_KERNEL(producer_does_not_wait, 1, 64, "without a barrier after thread") {
    CU_SHARED(float, slot, [32]);
    unsigned lane = threadIdx.x % 32;
    for (unsigned i = 0; i < 3; i++) {
        if (threadIdx.x < 32) {
            slot[lane] = x[32 * i + lane]; /* DEFECT */
            barrier_sync(FULL, 64);
        } else {
            barrier_sync(FULL, 64);
            y[32 * i + lane] = slot[lane];
            __nanosleep(20);
        }
    }
}

DEFECT_KERNEL(consumer_does_not_wait, 1, 64, "without a barrier after thread") {
    CU_SHARED(float, slot, [32]);
    unsigned lane = threadIdx.x % 32;
    if (threadIdx.x < 32) {
        slot[lane] = x[lane];
        barrier_sync(FULL, 32);
    } else {
        barrier_sync(EMPTY, 32);
        y[lane] = slot[lane]; /* DEFECT */
    }
}

/* ------------------------------------------------------------------ asynchronous copies */

DEFECT_KERNEL(copy_without_wait, 1, 32, "while a copy is in flight") {
    CU_SHARED(float, tile, [128]);
    cp_async_16(&tile[4 * threadIdx.x], &x[4 * threadIdx.x], true);
    cp_async_commit();
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x]; /* DEFECT */
}

DEFECT_KERNEL(copy_wait_too_short, 1, 32, "while a copy is in flight") {
    CU_SHARED(float, tile, [2][128]);
    for (int i = 0; i < 2; i++) {
        cp_async_16(&tile[i][4 * threadIdx.x], &x[128 * i + 4 * (int)threadIdx.x], true);
        cp_async_commit();
    }
    cp_async_wait<1>();
    __syncthreads();
    y[threadIdx.x] = tile[0][threadIdx.x] + tile[1][threadIdx.x]; /* DEFECT */
}

DEFECT_KERNEL(copy_without_barrier, 1, 32, "without a barrier after thread") {
    CU_SHARED(float, tile, [128]);
    cp_async_16(&tile[4 * threadIdx.x], &x[4 * threadIdx.x], true);
    cp_async_commit();
    cp_async_wait<0>();
    y[threadIdx.x] = tile[127 - threadIdx.x]; /* DEFECT */
}

DEFECT_KERNEL(copy_into_what_is_read, 1, 64, "without a barrier after thread") {
    CU_SHARED(float, tile, [256]);
    for (int i = 0; i < 3; i++) {
        cp_async_16(&tile[4 * threadIdx.x], &x[4 * threadIdx.x], true); /* DEFECT */
        cp_async_commit();
        cp_async_wait<0>();
        __syncthreads();
        y[threadIdx.x] = tile[255 - threadIdx.x];
    }
}

DEFECT_KERNEL(copy_into_copy, 1, 32, "writes shared memory while a copy is in flight") {
    CU_SHARED(float, tile, [128]);
    for (int i = 0; i < 2; i++) {
        cp_async_16(&tile[4 * threadIdx.x], &x[4 * threadIdx.x], true); /* DEFECT */
        cp_async_commit();
    }
    cp_async_wait<0>();
    y[threadIdx.x] = tile[4 * threadIdx.x];
}

DEFECT_KERNEL(source_changes_under_copy, 1, 64, "without a barrier after thread") {
    CU_SHARED(float, tile, [32]);
    if (threadIdx.x < 8)
        cp_async_16(&tile[4 * threadIdx.x], &y[4 * threadIdx.x], true);
    cp_async_commit();
    if (threadIdx.x >= 32)
        y[threadIdx.x - 32] = 0; /* DEFECT */
    cp_async_wait<0>();
    __syncthreads();
    y[128 + threadIdx.x] = tile[threadIdx.x % 32];
}

DEFECT_KERNEL(ldmatrix_without_barrier, 1, 32, "without a barrier after thread") {
    CU_SHARED(uint16_t, tile, [32][8]);
    for (int i = 0; i < 8; i++)
        tile[threadIdx.x][i] = f32_to_bf16(x[8 * (int)threadIdx.x + i]);
    uint32_t r[4];
    ldmatrix_x4(r, tile[threadIdx.x]); /* DEFECT */
    y[threadIdx.x] = (float)(r[0] + r[1] + r[2] + r[3]);
}

/* ------------------------------------------------------------------ memory nobody wrote */

DEFECT_KERNEL(shared_not_written, 1, 64, "reads shared memory that nobody wrote") {
    CU_SHARED(float, tile, [65]);
    tile[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x + 1]; /* DEFECT */
}

DEFECT_KERNEL(shared_of_block_before, 2, 32, "reads shared memory that nobody wrote") {
    CU_SHARED(float, kept, [32]);
    if (blockIdx.x == (gridDim.x + 1) % 2)
        kept[threadIdx.x] = x[threadIdx.x];
    __syncwarp();
    y[32 * blockIdx.x + threadIdx.x] = kept[threadIdx.x]; /* DEFECT */
}

DEFECT_KERNEL(global_not_written, 1, 64, "reads global memory that nobody wrote") {
    y[threadIdx.x] += x[threadIdx.x]; /* DEFECT */
}

/* ------------------------------------------------------------------ addresses */

DEFECT_KERNEL(shared_read_out_of_bounds, 1, 64, "past the end of 'tile', 256 bytes of shared") {
    CU_SHARED(float, tile, [64]);
    tile[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x + 1]; /* DEFECT */
}

DEFECT_KERNEL(global_read_out_of_bounds, 1, 64, "0 bytes past the end of an allocation of 1024") {
    y[threadIdx.x] = x[threadIdx.x == 63 ? 256 : threadIdx.x]; /* DEFECT */
}

DEFECT_KERNEL(global_write_out_of_bounds, 1, 64, "4 bytes before an allocation of 1024") {
    y[(int)threadIdx.x - 1] = 0; /* DEFECT */
}

DEFECT_KERNEL(vector_misaligned, 1, 32, "not aligned") {
    const float4 *from = reinterpret_cast<const float4 *>(x + 4 * threadIdx.x + 2);
    reinterpret_cast<float4 *>(y)[threadIdx.x] = *from; /* DEFECT */
}

DEFECT_KERNEL(local_memory_of_another, 1, 64, "in another thread's local memory") {
    CU_SHARED(float *, pointer);
    float own[2] = {x[threadIdx.x], 1};
    if (threadIdx.x == 0)
        pointer = own;
    __syncthreads();
    y[threadIdx.x] = pointer[threadIdx.x % 2] + own[1 - threadIdx.x % 2]; /* DEFECT */
}

float program_data[64];
DEFECT_KERNEL(write_to_program_data, 1, 64, "in the program's own data") {
    program_data[threadIdx.x] = x[threadIdx.x]; /* DEFECT */
    y[threadIdx.x] = program_data[threadIdx.x];
}

/* ------------------------------------------------------------------ blocks, atomics, flags */

DEFECT_KERNEL(blocks_write_the_same, 2, 32, "after a thread of another block wrote it") {
    y[threadIdx.x] = x[threadIdx.x]; /* DEFECT */
}

DEFECT_KERNEL(block_reads_anothers, 2, 32, "after a thread of another block") {
    y[32 * blockIdx.x + threadIdx.x] = x[threadIdx.x];
    __threadfence();
    y[128 + 32 * blockIdx.x + threadIdx.x] = y[32 * (1 - blockIdx.x) + threadIdx.x]; /* DEFECT */
}

DEFECT_KERNEL(last_block_without_first_fence, 3, 32, "after a thread of another block") {
    CU_SHARED(bool, is_last);
    if (threadIdx.x == 0) {
        y[blockIdx.x] = x[blockIdx.x];
        is_last = atomicAdd(count, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    __threadfence();
    if (is_last && threadIdx.x == 0)
        y[8] = y[0] + y[1] + y[2]; /* DEFECT */
}

DEFECT_KERNEL(last_block_without_second_fence, 3, 32, "after a thread of another block") {
    CU_SHARED(bool, is_last);
    if (threadIdx.x == 0) {
        y[blockIdx.x] = x[blockIdx.x];
        __threadfence();
        is_last = atomicAdd(count, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (is_last && threadIdx.x == 0)
        y[8] = y[0] + y[1] + y[2]; /* DEFECT */
}

DEFECT_KERNEL(flag_without_fence, 1, 64, "without a barrier after thread") {
    CU_SHARED(int, flag);
    CU_SHARED(float, value);
    if (threadIdx.x == 0)
        flag = 0;
    __syncthreads();
    if (threadIdx.x == 32) {
        value = x[0];
        atomicExch(&flag, 1);
    }
    if (threadIdx.x == 0) {
        while (atomicAdd(&flag, 0) == 0)
            __nanosleep(20);
        y[0] = value; /* DEFECT */
    }
}

DEFECT_KERNEL(atomic_and_plain, 1, 64, "without a barrier after thread") {
    if (threadIdx.x == 0)
        *count = 5; /* DEFECT */
    else
        atomicAdd(count, 1u); /* DEFECT */
}
