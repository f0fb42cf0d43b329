/* glu.cu - two halves of a row into one, a thread four results.
 *
 * Bytes: 12 a result (58 KB a row of 4,864); about 20 operations a result. Planned: 32 registers,
 * no shared memory, all warps: memory's speed. */
#include "kernels/cuda/activation.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/quads.h"

static __device__ __forceinline__ float gated(enum mill_glu_kind kind, float a, float b) {
    switch (kind) {
    case MILL_GLU_GELU:
        return a * gelu(b);
    case MILL_GLU_MAGNITUDE:
        return sqrtf(a * a + b * b);
    case MILL_GLU_SILU:
        break;
    }
    return a / (1.0f + expf(-a)) * b;
}

template <bool WHOLE> __global__ void glu_rows(const struct mill_glu_args args) {
    int32_t n = args.y.columns, at = quad_at();
    if (at >= n)
        return;
    const float *x = matrix_row(args.x, blockIdx.x);
    quad<float> a = load_quad<WHOLE>(x, at, n, 0.0f), b = load_quad<WHOLE>(x + n, at, n, 0.0f), y;
    for (int i = 0; i < 4; i++)
        y.v[i] = gated(args.kind, a.v[i], b.v[i]);
    store_quad<WHOLE>(matrix_row(args.y, blockIdx.x), at, n, y);
}

/* ------------------------------------------------------------------ launch */

mill_status mill_cuda_glu(struct mill_backend *backend, const struct mill_glu_args *args) {
    if (args->y.rows == 0)
        return MILL_OK;
    dim3 grid = quad_grid(args->y.rows, args->y.columns), block(QUAD_THREADS);
    if (quads_are_whole(&args->x) && quads_are_whole(&args->y))
        CU_LAUNCH((glu_rows<true>), grid, block, 0, backend->stream, *args);
    else
        CU_LAUNCH((glu_rows<false>), grid, block, 0, backend->stream, *args);
    return mill_cuda_launched(backend, "glu");
}
