/* defect_early.cu - see defect_kernels.h: kernels that may begin before those in front have ended.
 * Nothing that runs launches one after the other can tell by a result. */
#include "tests/emulator/defect_kernels.h"

#include "kernels/cuda/ptx.h"

static __global__ void in_front(float *y) {
    y[threadIdx.x] = 1;
}

static __global__ void between(float *) {
    grid_start_next();
    grid_wait();
}

void launch_two_in_front(const defect_arguments &a, cudaStream_t stream) {
    const struct stream_of early = {stream};
    CU_LAUNCH(in_front, 1, 64, 0, stream, a.y);
    CU_LAUNCH_EARLY(between, 1, 64, 0, &early, a.y);
}

DEFECT_EARLY(reads_before_waiting, "reads global memory before grid_wait although a launch") {
    grid_start_next();
    float v = y[threadIdx.x]; /* DEFECT */
    grid_wait();
    y[threadIdx.x + 64] = v;
}

DEFECT_EARLY(copies_before_waiting, "reads global memory before grid_wait although a launch") {
    CU_SHARED(float, tile, [64]);
    cp_async_4(&tile[threadIdx.x], &y[threadIdx.x], true); /* DEFECT */
    cp_async_commit();
    grid_wait();
    cp_async_wait<0>();
    y[threadIdx.x + 64] = tile[threadIdx.x];
}

DEFECT_EARLY(one_warp_does_not_wait, "reads global memory before grid_wait although a launch") {
    if (threadIdx.x < 32)
        grid_wait();
    y[threadIdx.x + 64] = y[threadIdx.x]; /* DEFECT */
}

/* Even where nobody has written: the launches in front may still read. */
DEFECT_EARLY(writes_before_waiting, "writes global memory before grid_wait") {
    y[threadIdx.x + 128] = x[threadIdx.x]; /* DEFECT */
    grid_wait();
}
