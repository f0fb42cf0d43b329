/* mix.cu - a weighted sum of two matrices, a thread four results.
 *
 * Bytes: 12 a result, 3 operations. Planned: 32 registers, no shared memory: memory's speed. */
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/quads.h"

template <bool WHOLE> __global__ void mix_rows(const struct mill_mix_args a) {
    int32_t n = a.y.columns, r = (int32_t)blockIdx.x, at = quad_at();
    if (at >= n)
        return;
    quad<float> x = load_quad<WHOLE>(matrix_row(a.x, r), at, n, 0.0f);
    quad<float> z = load_quad<WHOLE>(matrix_row(a.z, r), at, n, 0.0f), gain = {{1, 1, 1, 1}};
    int64_t first = a.group ? a.group[r] * a.group_stride : 0;
    if (a.gain)
        gain = load_quad<WHOLE>(a.gain + first, at, n, 0.0f);
    for (int i = 0; i < 4; i++)
        x.v[i] = x.v[i] * a.x_scale + z.v[i] * a.z_scale * gain.v[i];
    store_quad<WHOLE>(matrix_row(a.y, r), at, n, x);
}

/* ------------------------------------------------------------------ launch */

mill_status mill_cuda_mix(struct mill_backend *backend, const struct mill_mix_args *args) {
    if (args->y.rows == 0)
        return MILL_OK;
    dim3 grid = quad_grid(args->y.rows, args->y.columns), block(QUAD_THREADS);
    bool whole = quads_are_whole(&args->x) && quads_are_whole(&args->y) &&
                 quads_are_whole(&args->z) &&
                 quads_are_whole(args->gain, args->group_stride, args->y.columns);
    if (whole)
        CU_LAUNCH((mix_rows<true>), grid, block, 0, backend->stream, *args);
    else
        CU_LAUNCH((mix_rows<false>), grid, block, 0, backend->stream, *args);
    return mill_cuda_launched(backend, "mix");
}
