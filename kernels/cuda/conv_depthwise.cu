/* conv_depthwise.cu - convolutions in which a channel reads itself: those of ConvNeXt, f32 weights,
 * no snake, activation or residual, which no such layer has.
 *
 * A thread computes four channels of ROWS rows, tap by tap, so that it reads a weight once. Its
 * rows overlap, and the first cache has those it has read before.
 *
 * Bytes: 8 a channel and row, 154 KB an audio second of a published layer; 14 FLOPs. Weights: a
 * sector of 32 bytes each, so that ROWS rows are computed with one. Planned: 80 registers, no
 * shared memory -> 6 blocks an sm. */
#include "kernels/cuda/conv_rows.h"

enum { ROWS = 8 };

/* Block x: rows of a span, y: runs of quads of channels, z: span. */
template <bool WHOLE>
__global__ void __launch_bounds__(QUAD_THREADS)
    conv_depthwise(const __grid_constant__ struct conv_args args) {
    int32_t at = quad_at(), n = args.y.columns;
    conv_rows rows = conv_rows_of(args, blockIdx.z, 0, blockIdx.x * ROWS, ROWS);
    if (at >= n || rows.n <= 0)
        return;
    quad<float> bias = {}, sums[ROWS];
    if (args.w.bias)
        bias = load_quad<WHOLE>(args.w.bias, at, n, 0.0f);
#pragma unroll
    for (int i = 0; i < ROWS; i++)
        sums[i] = {};
    for (int32_t tap = 0; tap < rows.n_taps; tap++) {
        float w[4];
#pragma unroll
        for (int j = 0; j < 4; j++)
            w[j] = at + j < n
                       ? static_cast<const float *>(
                             args.w.image)[4 * weight_chunk_at(&args.w.shape, at + j, tap, 0)]
                       : 0;
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            int32_t row = rows.x_first + i + tap * rows.shift_step;
            if (i >= rows.n || row < 0 || row >= rows.n_x)
                continue;
            quad<float> x = load_quad<WHOLE>(rows.x + row * args.x.stride, at, n, 0.0f);
#pragma unroll
            for (int j = 0; j < 4; j++)
                sums[i].v[j] = fmaf(w[j], x.v[j], sums[i].v[j]);
        }
    }
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        if (i >= rows.n)
            break;
#pragma unroll
        for (int j = 0; j < 4; j++)
            sums[i].v[j] += bias.v[j];
        store_quad<WHOLE>(matrix_row(args.y, rows.y + i), at, n, sums[i]);
    }
}

/* ------------------------------------------------------------------ launch */

mill_status mill_cuda_conv_depthwise(struct mill_backend *backend, const struct conv_args *args,
                                     int32_t n_spans) {
    if (args->w.shape.dtype != MILL_F32 || args->alpha || args->act != MILL_ACT_NONE ||
        args->residual.data)
        return MILL_E_UNSUPPORTED;
    int32_t most = 0;
    for (int32_t s = 0; s < n_spans; s++)
        most = args->spans[s].n_y > most ? args->spans[s].n_y : most;
    dim3 grid = quad_grid((most + ROWS - 1) / ROWS, args->y.columns), block(QUAD_THREADS);
    grid.z = (uint32_t)n_spans;
    if (args->whole_x && args->whole_y)
        CU_LAUNCH((conv_depthwise<true>), grid, block, 0, backend->stream, *args);
    else
        CU_LAUNCH((conv_depthwise<false>), grid, block, 0, backend->stream, *args);
    return mill_cuda_launched(backend, "conv_depthwise");
}
