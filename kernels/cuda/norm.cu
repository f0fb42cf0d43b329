/* norm.cu - RMS, layer and affine normalisation, a warp a row.
 *
 * A lane takes every 32nd quad of its row in each pass; the passes behind the first find the row in
 * L1. Bytes: the row once in, once out (7 KB for 896 columns), gain and shift from L2; 2 to 5
 * operations an element. Planned: 40 registers, no shared memory, 48 warps a processor: a single
 * row is latency (two sums over the warp), many are memory's speed. */
#include "kernels/cuda/activation.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/row_norm.h"

template <bool WHOLE> __global__ void norm_rows(const struct mill_norm_args a) {
    int32_t n = a.x.columns;
    int64_t r = (int64_t)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (r >= a.x.rows)
        return;
    const float *x = matrix_row(a.x, r);
    float *y = matrix_row(a.y, r), mean = 0, inverse = 1;
    int64_t first = a.group ? a.group[r] * a.group_stride : 0;
    if (a.kind == MILL_NORM_LAYER)
        mean = row_sum<WHOLE, false>(x, n, 0) / (float)n;
    if (a.kind != MILL_NORM_AFFINE)
        inverse = inverse_deviation<WHOLE>(x, n, mean, a.eps);
    __syncwarp(); /* a row's last quad was read by more lanes than its own, and y may be x */
    for (int32_t at = 4 * (threadIdx.x % 32); at < n; at += 4 * 32) {
        quad<float> q = load_quad<WHOLE>(x, at, n, 0.0f), shift = {};
        quad<float> gain = load_quad<WHOLE>(a.gain + first, at, n, 0.0f);
        if (a.shift)
            shift = load_quad<WHOLE>(a.shift + first, at, n, 0.0f);
        for (int i = 0; i < 4; i++)
            q.v[i] = activate(a.act, (q.v[i] - mean) * inverse * gain.v[i] + shift.v[i]);
        store_quad<WHOLE>(y, at, n, q);
    }
}

/* ------------------------------------------------------------------ launch */

/* Rows a block: one while that spreads a few rows over many processors. */
static uint32_t rows_a_block(int32_t rows) {
    return rows <= 1024 ? 1 : 4;
}

mill_status mill_cuda_norm(struct mill_backend *backend, const struct mill_norm_args *args) {
    int32_t n = args->x.columns;
    if (args->x.rows == 0)
        return MILL_OK;
    bool whole = quads_are_whole(&args->x) && quads_are_whole(&args->y) &&
                 quads_are_whole(args->gain, args->group_stride, n) &&
                 quads_are_whole(args->shift, args->group_stride, n);
    uint32_t per_block = rows_a_block(args->x.rows);
    dim3 grid(((uint32_t)args->x.rows + per_block - 1) / per_block), block(32 * per_block);
    if (whole)
        CU_LAUNCH((norm_rows<true>), grid, block, 0, backend->stream, *args);
    else
        CU_LAUNCH((norm_rows<false>), grid, block, 0, backend->stream, *args);
    return mill_cuda_launched(backend, "norm");
}
