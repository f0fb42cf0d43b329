/* embed.cu - rows of a table, by id or by what was drawn, a thread four elements.
 *
 * Bytes: the table's row in, 4 an element out (5.4 KB a row of 896 in bf16). Planned: 24 registers,
 * no shared memory: for one row the latency of three dependent reads, then memory's speed. */
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/quads.h"

static __device__ __forceinline__ float to_f32(float v) {
    return v;
}

static __device__ __forceinline__ float to_f32(uint16_t v) {
    return bf16_to_f32(v);
}

template <bool WHOLE, class T> __global__ void embed_rows(const struct mill_embed_args a) {
    int32_t n = a.y.columns, at = quad_at();
    grid_start_next();
    grid_wait();
    if (at >= n)
        return;
    int32_t id = a.ids[blockIdx.x];
    if (id < 0)
        id = a.drawn[-1 - id];
    if (id < 0)
        id = 0;
    const T *row = static_cast<const T *>(a.table) + (int64_t)id * n;
    quad<T> from = load_quad<WHOLE>(row, at, n, T(0));
    quad<float> y;
    for (int i = 0; i < 4; i++)
        y.v[i] = to_f32(from.v[i]);
    store_quad<WHOLE>(matrix_row(a.y, blockIdx.x), at, n, y);
}

/* ------------------------------------------------------------------ launch */

template <class T>
static void embed(struct mill_backend *backend, const struct mill_embed_args *args) {
    int32_t n = args->y.columns;
    dim3 grid = quad_grid(args->y.rows, n), block(QUAD_THREADS);
    if (quads_are_whole(&args->y) && quads_are_whole(static_cast<const T *>(args->table), n, n))
        CU_LAUNCH_EARLY((embed_rows<true, T>), grid, block, 0, backend, *args);
    else
        CU_LAUNCH_EARLY((embed_rows<false, T>), grid, block, 0, backend, *args);
}

mill_status mill_cuda_embed(struct mill_backend *backend, const struct mill_embed_args *args) {
    if (args->table_dtype != MILL_F32 && args->table_dtype != MILL_BF16)
        return MILL_E_UNSUPPORTED;
    if (args->y.rows == 0)
        return MILL_OK;
    if (args->table_dtype == MILL_F32)
        embed<float>(backend, args);
    else
        embed<uint16_t>(backend, args);
    return mill_cuda_launched(backend, "embed");
}
