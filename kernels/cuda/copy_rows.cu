/* copy_rows.cu - ranges of rows from one matrix to another, a thread four elements.
 *
 * Bytes: 8 an element. Planned: 24 registers, no shared memory: memory's speed. */
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/quads.h"

enum { SPANS_A_LAUNCH = 128 };

struct copy_spans {
    struct mill_span span[SPANS_A_LAUNCH];
};

/* Block x: row of a span, y: run of quads, z: span. */
template <bool WHOLE>
__global__ void copy_spans_rows(struct mill_matrix y, struct mill_matrix x,
                                const __grid_constant__ struct copy_spans spans) {
    const struct mill_span &span = spans.span[blockIdx.z];
    int32_t r = (int32_t)blockIdx.x, at = quad_at();
    if (r >= span.n_y || at >= y.columns)
        return;
    const float *from = matrix_row(x, (int64_t)span.x_first + r);
    store_quad<WHOLE>(matrix_row(y, (int64_t)span.y_first + r), at, y.columns,
                      load_quad<WHOLE>(from, at, y.columns, 0.0f));
}

/* ------------------------------------------------------------------ launch */

static void copy_up_to_128(struct mill_backend *backend, const struct mill_copy_rows_args *args,
                           const struct mill_span *spans, int32_t n) {
    struct copy_spans copied = {};
    int32_t most = 0;
    for (int32_t i = 0; i < n; i++) {
        copied.span[i] = spans[i];
        most = spans[i].n_y > most ? spans[i].n_y : most;
    }
    if (most == 0)
        return;
    dim3 grid = quad_grid(most, args->y.columns), block(QUAD_THREADS);
    grid.z = (uint32_t)n;
    if (quads_are_whole(&args->x) && quads_are_whole(&args->y))
        CU_LAUNCH((copy_spans_rows<true>), grid, block, 0, backend->stream, args->y, args->x,
                  copied);
    else
        CU_LAUNCH((copy_spans_rows<false>), grid, block, 0, backend->stream, args->y, args->x,
                  copied);
}

mill_status mill_cuda_copy_rows(struct mill_backend *backend,
                                const struct mill_copy_rows_args *args) {
    for (int32_t first = 0; first < args->n_spans; first += SPANS_A_LAUNCH) {
        int32_t left = args->n_spans - first;
        copy_up_to_128(backend, args, args->spans + first,
                       left < SPANS_A_LAUNCH ? left : SPANS_A_LAUNCH);
    }
    return mill_cuda_launched(backend, "copy_rows");
}
