/* conv_prepare.cu - rows of the input as conv_wide.cu multiplies them: snaked, rounded to bf16, in
 * planes; and where the sums of each will go.
 *
 * A warp takes 8 rows of a group of 32 channels, lane j of four the words j of the group's chunks,
 * which are 16 bytes of plane j. Blocks that run at a time have all groups of their rows: memory is
 * read in whole rows, not in every row's 128 bytes of a group. Memory's speed: 4 n_in bytes a row
 * are read, 2 n_in stay in the L2 cache. */
#include "kernels/cuda/conv_wide.h"
#include "kernels/cuda/conv_words.h"

enum { THREADS = 256, BATCH = 4, ROWS = THREADS / 4 * BATCH /* of a block */ };

/* A span's rows: flat row r is input row x + r where that lies in [x_first, x_end), else zeros. */
struct span_rows {
    int32_t first, n;
    int64_t x, x_first, x_end;
};

static __device__ __forceinline__ span_rows rows_of(const wide_run &run, int32_t s) {
    const struct mill_span &span = run.conv.spans[s];
    int32_t place = run.conv.stride > 0
                        ? floor_divide(span.y_place + run.conv.padding, run.stride) - run.reach
                        : span.y_place - run.conv.padding;
    span_rows rows;
    rows.first = run.first_row[s];
    rows.n = (s + 1 < run.n_spans ? run.first_row[s + 1] : run.pitch) - rows.first;
    rows.x_first = span.x_first;
    rows.x_end = (int64_t)span.x_first + span.n_x;
    rows.x = (int64_t)place - span.x_place + span.x_first;
    return rows;
}

/* Sums i of the span: output times (i + floor) * stride + phase - delay from its first one. */
static __device__ __forceinline__ wide_row row_of(const wide_run &run, int32_t s, int32_t i) {
    const struct mill_span &span = run.conv.spans[s];
    int32_t shifted = span.y_place + run.conv.padding, stride = run.stride;
    int32_t delay = run.conv.stride > 0 ? floor_rest(shifted, stride) : 0;
    int64_t at = (int64_t)i * stride - delay; /* phase 0, from the span's first output on */
    wide_row row;
    row.y = (int32_t)(span.y_first + at);
    row.residual = (int32_t)(run.conv.residual_first[s] + at);
    row.first_phase = at < 0 ? (int32_t)-at : 0;
    row.end_phase = at < span.n_y ? (int32_t)min((int64_t)stride, span.n_y - at) : 0;
    return row;
}

template <bool WHOLE>
static __device__ __forceinline__ void prepare(const wide_run &run, const span_rows &rows,
                                               int32_t first) {
    int32_t lane = threadIdx.x % 32, n_in = run.conv.x.columns, j = lane % 4;
    int32_t channel = blockIdx.x * GROUP_CHANNELS + 2 * j;
    uint4 *plane = run.planes + ((int64_t)blockIdx.x * 4 + j) * run.pitch + rows.first;
    float2 words[BATCH][ROW_WORDS] = {};
#pragma unroll
    for (int b = 0; b < BATCH; b++) {
        int32_t r = first + b * (THREADS / 4);
        int64_t at = rows.x + r;
        if (r < rows.n && at >= rows.x_first && at < rows.x_end)
            load_words<WHOLE>(words[b], matrix_row(run.conv.x, at), channel, n_in);
    }
    if (run.conv.alpha) {
#pragma unroll
        for (int c = 0; c < ROW_WORDS; c++) {
            const float4 snake = snake_of_two(run.conv.alpha, channel + 8 * c, n_in);
#pragma unroll
            for (int b = 0; b < BATCH; b++)
                words[b][c] = snake_two(words[b][c], snake);
        }
    }
#pragma unroll
    for (int b = 0; b < BATCH; b++)
        if (first + b * (THREADS / 4) < rows.n)
            plane[first + b * (THREADS / 4)] = round_words(words[b]);
}

/* Blocks: x counts groups of 32 channels, y ROWS rows of a span, z spans. */
__global__ void __launch_bounds__(THREADS) conv_prepare(const __grid_constant__ wide_run run) {
    const span_rows rows = rows_of(run, blockIdx.z);
    int32_t lane = threadIdx.x % 32, first = blockIdx.y * ROWS;
    grid_start_next();
    grid_wait();
    if (first >= rows.n)
        return;
    if (blockIdx.x == 0 && first + (int32_t)threadIdx.x < rows.n)
        run.rows[rows.first + first + threadIdx.x] = row_of(run, blockIdx.z, first + threadIdx.x);
    first += threadIdx.x / 32 * 8 + lane / 4;
    if (run.conv.whole_x)
        prepare<true>(run, rows, first);
    else
        prepare<false>(run, rows, first);
}

void mill_cuda_conv_prepare(struct mill_backend *backend, const struct wide_run *run) {
    int32_t longest = 0;
    for (int32_t s = 0; s < run->n_spans; s++) {
        int32_t end = s + 1 < run->n_spans ? run->first_row[s + 1] : run->pitch;
        longest = end - run->first_row[s] > longest ? end - run->first_row[s] : longest;
    }
    dim3 grid((uint32_t)(2 * run->n_stages), (uint32_t)((longest + ROWS - 1) / ROWS),
              (uint32_t)run->n_spans);
    CU_LAUNCH_EARLY(conv_prepare, grid, dim3(THREADS), 0, backend, *run);
}
