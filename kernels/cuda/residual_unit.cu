/* residual_unit.cu - y = x + b2 + W2 snake2(b1 + W1 * snake1(x)), in one kernel where a block can
 * hold all channels of its rows, else as two convolutions.
 *
 * A block computes the dilated convolution of N rows as conv_mma.cu does, all channels of it: sums,
 * bias and second snake become bf16 rows in the place of the input's tile, and the pointwise
 * product runs over them like over the channels of a tile. The sums are those of the two
 * convolutions, in the same order from the same bf16 values, so the bits are the same, and which
 * way a call goes is a matter of speed.
 *
 * Work: 2 (n_taps + 1) c^2 FLOPs a row. Bytes: 8 c a row, where two convolutions have 20 c.
 * Planned (channels x rows, threads: registers, shared memory at reach 54 -> blocks an sm):
 *   96 x 128,  256: 128, 47 KB -> 2
 *   192 x 64,  256: 128, 72 KB -> 1 (sm_86, 89, 120), 2 (sm_80, 90)
 *   384 x 64,  512: 128, 144 KB -> 1 (sm_80, 90) */
#include "kernels/cuda/conv_mma.h"

using tile_96 = mma_tile<2, 4, 3, 4, 4, 2>;
using tile_192 = mma_tile<4, 2, 3, 4, 4, 2>;
using tile_384 = mma_tile<8, 2, 3, 4, 4, 1>;

/* The parameter of a kernel. */
struct unit_args {
    struct conv_args dilated; /* from x to y, x the residual */
    struct mill_weight pointwise;
    const float *alpha2;
};

/* Hidden rows lie as a tile's, but for their chunks: of row r, chunk c of a group is in place c ^
 * (r / 2 % 4), so that lanes that store four rows meet different banks. */
static __device__ __forceinline__ int32_t hidden_chunk(int32_t chunk, int32_t row) {
    return chunk ^ (row / 2 % 4);
}

template <class TILE>
static __device__ __forceinline__ void store_hidden(const mma_sums<TILE> &sums, uint16_t *hidden,
                                                    const struct mill_weight &w,
                                                    const float *alpha2) {
    int32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int32_t row = warp / TILE::WARPS_M * (TILE::N8 * 8) + lane % 4 * 2;
    int32_t first = warp % TILE::WARPS_M * (TILE::M16 * 16) / 8; /* chunk */
#pragma unroll
    for (int i = 0; i < 2 * TILE::M16; i++) {
        int32_t chunk = first + i, channel = 8 * chunk + lane / 4;
        bool inside = channel < w.shape.n_out;
        float bias = inside && w.bias ? w.bias[channel] : 0, alpha = inside ? alpha2[channel] : 0;
        float inverse = snake_inverse(alpha);
#pragma unroll
        for (int j = 0; j < 2 * TILE::N8; j++) {
            float v = sums.of[i / 2][j / 2][i % 2 * 2 + j % 2] + bias;
            int32_t r = row + j / 2 * 8 + j % 2;
            int32_t at = (chunk / 4 * TILE::N + r) * 4 + hidden_chunk(chunk % 4, r);
            hidden[at * 8 + lane / 4] = f32_to_bf16(snake(v, alpha, inverse));
        }
    }
}

/* sums += the pointwise product of the hidden rows. */
template <class TILE>
static __device__ __forceinline__ void multiply_hidden(mma_sums<TILE> &sums,
                                                       weight_stream<TILE> &stream, uint4 *ring,
                                                       const uint4 *hidden) {
    int32_t lane = threadIdx.x % 32, chunk = hidden_chunk(lane % 4, lane / 4);
    const uint4 *x = lane_rows<TILE>(hidden) - lane % 4 + chunk;
    for (int32_t group = 0; group < stream.n_groups; group++) {
        const uint4 *w = stream_next(stream, ring);
        multiply(sums, w, x + group * TILE::N * 4);
    }
}

/* Chunks of the input's tile or the hidden rows, whichever are more. */
template <class TILE>
static __host__ __device__ inline int32_t held_chunks(const struct conv_args *dilated) {
    int32_t tile = (TILE::N + conv_reach(dilated)) * TILE_ROW_CHUNKS;
    int32_t hidden = TILE::N * (TILE::M / 8);
    return tile > hidden ? tile : hidden;
}

/* Behind `shared` come the input's tile or the hidden rows, then the ring; or the sums. */
template <class TILE>
__global__ void __launch_bounds__(TILE::THREADS, TILE::BLOCKS)
    residual_unit(const __grid_constant__ struct unit_args args) {
    CU_DYN_SHARED(uint4, shared);
    int32_t first = blockIdx.x * TILE::N;
    conv_rows rows = conv_rows_of(args.dilated, blockIdx.y, 0, first, TILE::N);
    if (rows.n <= 0)
        return;
    uint4 *ring = shared + held_chunks<TILE>(&args.dilated);
    weight_stream<TILE> stream = stream_begin<TILE>(args.dilated.w, 0, rows.n_taps, 0, 1, ring);
    mma_sums<TILE> sums;
    clear(sums);
    convolve(sums, stream, ring, shared, args.dilated, rows);
    stream_end();
    stream = stream_begin<TILE>(args.pointwise, 0, 1, 0, 1, ring);
    store_hidden(sums, reinterpret_cast<uint16_t *>(shared), args.dilated.w, args.alpha2);
    clear(sums);
    multiply_hidden(sums, stream, ring, shared);
    stream_end();
    struct conv_output to = conv_output_of(args.dilated, rows);
    to.bias = args.pointwise.bias;
    finish(sums, reinterpret_cast<float *>(shared), to, 0);
}

/* ------------------------------------------------------------------ launch, at once */

struct unit_kernel {
    int32_t n_out, n_rows; /* of a block */
    size_t shared_bytes;
    mill_status (*launch)(struct mill_backend *, const struct unit_args *, int32_t n_spans,
                          const struct unit_kernel *);
};

template <class TILE>
static mill_status launch(struct mill_backend *backend, const struct unit_args *args,
                          int32_t n_spans, const struct unit_kernel *kernel) {
    MILL_TRY(
        mill_cuda_allow_shared(backend, (const void *)residual_unit<TILE>, kernel->shared_bytes));
    CU_LAUNCH(residual_unit<TILE>,
              mill_cuda_conv_grid(&args->dilated, n_spans, kernel->n_out, kernel->n_rows),
              dim3(TILE::THREADS), kernel->shared_bytes, backend->stream, *args);
    return mill_cuda_launched(backend, "residual_unit");
}

template <class TILE> static struct unit_kernel describe(const struct conv_args *dilated) {
    size_t held = (size_t)(held_chunks<TILE>(dilated) + TILE::STAGES * TILE::STAGE) * CHUNK_BYTES;
    size_t staged = (size_t)TILE::STAGED * conv_staged_pitch(TILE::M) * sizeof(float);
    return {TILE::M, TILE::N, held > staged ? held : staged, launch<TILE>};
}

/* The kernel whose blocks hold all channels, if there is one and it would be worth it: from half of
 * the card busy on. (A single output's sums have an order of their own, conv_single.cu.) */
static struct unit_kernel choose_kernel(const struct mill_backend *backend,
                                        const struct unit_args *args, const struct mill_span *spans,
                                        int32_t n_spans) {
    const struct conv_args *dilated = &args->dilated;
    const struct unit_kernel none = {};
    if (dilated->w.shape.dtype != MILL_BF16 || args->pointwise.shape.dtype != MILL_BF16 ||
        dilated->w.shape.n_out == 1 || backend->capability < 80)
        return none;
    const struct unit_kernel kernels[] = {describe<tile_96>(dilated), describe<tile_192>(dilated),
                                          describe<tile_384>(dilated)};
    for (const struct unit_kernel &kernel : kernels) {
        if (kernel.n_out < dilated->w.shape.n_out)
            continue;
        int64_t blocks = 0;
        for (int32_t s = 0; s < n_spans; s++)
            blocks += (spans[s].n_y + kernel.n_rows - 1) / kernel.n_rows;
        bool fits = kernel.shared_bytes <= (size_t)backend->shared_bytes;
        return fits && 2 * blocks >= backend->n_processors ? kernel : none;
    }
    return none;
}

/* ------------------------------------------------------------------ launch, in two */

/* By way of the backend's scratch memory, which has room for n_rows hidden rows. */
static mill_status launch_in_two(struct mill_backend *backend, const struct unit_args *args,
                                 int32_t n_spans, int32_t n_rows) {
    struct conv_args dilated = args->dilated, pointwise = args->dilated;
    int32_t c = dilated.w.shape.n_out, row = 0;
    dilated.y = pointwise.x = {backend->scratch, MILL_F32, n_rows, c, c};
    dilated.residual = {};
    pointwise.w = args->pointwise;
    pointwise.alpha = args->alpha2;
    pointwise.dilation = 1;
    pointwise.padding = 0;
    for (int32_t s = 0; s < n_spans; s++) {
        struct mill_span *hidden = &pointwise.spans[s];
        dilated.spans[s].y_first = hidden->x_first = row;
        hidden->n_x = hidden->n_y;
        hidden->x_place = hidden->y_place = 0;
        row += hidden->n_y;
    }
    MILL_TRY(mill_cuda_conv_launch(backend, &dilated, n_spans));
    return mill_cuda_conv_launch(backend, &pointwise, n_spans);
}

/* ------------------------------------------------------------------ the operator */

static struct unit_args unit_of(const struct mill_residual_unit_args *args) {
    struct unit_args unit = {};
    unit.dilated.y = args->y;
    unit.dilated.x = unit.dilated.residual = args->x;
    unit.dilated.w = args->dilated;
    unit.dilated.alpha = args->alpha1;
    unit.dilated.dilation = args->dilation;
    unit.dilated.padding = args->padding;
    unit.dilated.whole_x = quads_are_whole(&args->x);
    unit.dilated.whole_y = quads_are_whole(&args->y) && unit.dilated.whole_x;
    unit.pointwise = args->pointwise;
    unit.alpha2 = args->alpha2;
    return unit;
}

/* Rows first .. first + n - 1 of a span's output as a span of their own. */
static void add_span(struct conv_args *dilated, int32_t at, const struct mill_span *span,
                     int32_t first, int32_t n) {
    dilated->spans[at] = *span;
    dilated->spans[at].y_first += first;
    dilated->spans[at].y_place += first;
    dilated->spans[at].n_y = n;
    dilated->residual_first[at] = span->x_first + span->y_place + first - span->x_place;
}

/* A call under way: spans that wait for their launch. */
struct unit_run {
    struct unit_args args;
    struct unit_kernel kernel; /* launch NULL = in two */
    int32_t n_spans, n_rows;
    int32_t room; /* rows of a launch */
};

static mill_status flush(struct mill_backend *backend, struct unit_run *run) {
    int32_t n_spans = run->n_spans, n_rows = run->n_rows;
    run->n_spans = run->n_rows = 0;
    if (n_spans == 0)
        return MILL_OK;
    return run->kernel.launch ? run->kernel.launch(backend, &run->args, n_spans, &run->kernel)
                              : launch_in_two(backend, &run->args, n_spans, n_rows);
}

mill_status mill_cuda_residual_unit(struct mill_backend *backend,
                                    const struct mill_residual_unit_args *args) {
    if (args->dilated.shape.dtype == MILL_I8 || args->pointwise.shape.dtype == MILL_I8)
        return MILL_E_UNSUPPORTED;
    struct unit_run run = {};
    run.args = unit_of(args);
    run.kernel = choose_kernel(backend, &run.args, args->spans, args->n_spans);
    run.room = run.kernel.launch
                   ? INT32_MAX
                   : MILL_CUDA_SCRATCH_BYTES / (int32_t)sizeof(float) / args->y.columns;
    for (int32_t s = 0; s < args->n_spans; s++)
        for (int32_t first = 0, n; first < args->spans[s].n_y; first += n) {
            int32_t left = args->spans[s].n_y - first, room = run.room - run.n_rows;
            n = left < room ? left : room;
            add_span(&run.args.dilated, run.n_spans++, &args->spans[s], first, n);
            run.n_rows += n;
            if (run.n_spans == CONV_SPANS || run.n_rows == run.room)
                MILL_TRY(flush(backend, &run));
        }
    return flush(backend, &run);
}
