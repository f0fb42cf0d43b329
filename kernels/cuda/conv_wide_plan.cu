/* conv_wide_plan.cu - host side of conv_wide: what of a convolution, or of a residual unit, goes in
 * one launch, and how its rows lie in scratch memory.
 *
 * Scratch memory holds, for each flat row, where its sums go, its planes, and those of a unit's
 * hidden rows: the dilated convolution leaves them in the places of its sums, so that the pointwise
 * one's plan is the same. A launch takes as many rows as fit, and less where whole turns of the
 * card come out better: pieces of spans, each with the rows that it reaches back to. A unit at once
 * leaves nothing there, and is one launch. */
#include "kernels/cuda/conv_wide.h"
#include "kernels/cuda/quads.h"
#include "kernels/cuda/weights.h"

enum {
    COUNTED_TURNS = 8,        /* up to so many of the card, a launch is cut to whole ones */
    UNIT_ROWS = INT32_MAX / 2 /* flat rows of a launch that leaves nothing in scratch memory */
};

/* ------------------------------------------------------------------ rows */

/* Sums of a phase that a span has, at most. */
static int32_t sums_of(const struct conv_args *args, const struct mill_span *span) {
    if (args->stride == 0)
        return span->n_y;
    int32_t first = span->y_place + args->padding;
    return floor_divide(first + span->n_y - 1, args->stride) - floor_divide(first, args->stride) +
           1;
}

/* Outputs of a span that its first n sums of every phase are. */
static int32_t outputs_of(const struct conv_args *args, const struct mill_span *span, int32_t n) {
    if (args->stride == 0)
        return n;
    return n * args->stride - floor_rest(span->y_place + args->padding, args->stride);
}

/* ------------------------------------------------------------------ a launch */

/* A call under way: pieces of spans that wait for their launch. */
struct wide_call {
    const struct unit_args *unit;
    const struct conv_tile *tile;
    struct wide_run run;
    int32_t row_bytes;        /* of scratch memory */
    int32_t n_rows, max_rows; /* flat */
    int32_t n_tiles, max_tiles;
};

static wide_call call_of(const struct mill_backend *backend, const struct unit_args *unit,
                         const struct conv_tile *tile) {
    wide_call call = {};
    struct wide_run *run = &call.run;
    call.unit = unit;
    call.tile = tile;
    run->conv = unit->dilated;
    run->stride = conv_phases(&unit->dilated);
    run->reach = run->n_behind = conv_reach(&unit->dilated);
    run->n_stages = wide_stages(&unit->dilated.w.shape);
    call.max_rows = UNIT_ROWS;
    call.max_tiles = INT32_MAX;
    if (tile->does_units)
        return call;
    int32_t n_planes = WIDE_PLANES * run->n_stages;
    if (unit->pointwise.image)
        n_planes += WIDE_PLANES * wide_stages(&unit->pointwise.shape);
    call.row_bytes = (int32_t)sizeof(wide_row) + n_planes * CHUNK_BYTES;
    call.max_rows = MILL_CUDA_SCRATCH_BYTES / call.row_bytes - tile->n_rows;
    int32_t tiles = call.max_rows / tile->n_rows;
    int32_t each = conv_tiles(run->conv.w.shape.n_out, tile->n_out) * run->stride;
    int32_t turns = tiles * each / backend->n_processors;
    int32_t whole = turns * backend->n_processors / each; /* 0: the outputs of a tile are more */
    if (whole > 0 && turns <= COUNTED_TURNS)
        call.max_tiles = whole;
    return call;
}

/* How tiles are cut. */
static void cut(wide_call *call) {
    struct wide_run *run = &call->run;
    int32_t tile_rows = call->tile->n_rows, longest = 0, end = call->n_rows;
    run->first_row[run->n_spans] = call->n_rows;
    for (int32_t s = 0; s < run->n_spans; s++) {
        int32_t n = run->first_row[s + 1] - run->first_row[s] - run->reach;
        longest = n > longest ? n : longest;
    }
    int32_t of_span = conv_tiles(longest, tile_rows);
    int32_t of_all = conv_tiles(call->n_rows - run->reach, tile_rows);
    run->by_span = of_span * run->n_spans <= of_all;
    run->n_row_tiles = run->by_span ? of_span : of_all;
    for (int32_t s = 0; s < run->n_spans; s++) {
        int32_t first = run->by_span ? run->first_row[s] : 0;
        int32_t n = (run->by_span ? run->first_row[s + 1] : call->n_rows) - first - run->reach;
        int32_t reached = first + conv_tiles(n, tile_rows) * tile_rows + run->reach;
        end = reached > end ? reached : end;
    }
    run->pitch = end;
}

/* Where everything lies that goes through scratch memory. */
static void lay_out(struct wide_run *run, char *scratch) {
    run->rows = reinterpret_cast<wide_row *>(scratch);
    run->planes = reinterpret_cast<uint4 *>(run->rows + run->pitch);
    run->hidden = run->planes + (int64_t)run->n_stages * WIDE_PLANES * run->pitch;
}

static mill_status flush(struct mill_backend *backend, wide_call *call) {
    struct wide_run *run = &call->run;
    const struct unit_args *unit = call->unit;
    if (run->n_spans == 0)
        return MILL_OK;
    cut(call);
    if (!call->tile->does_units) {
        lay_out(run, backend->scratch);
        mill_cuda_conv_prepare(backend, run);
    }
    run->hidden_alpha = unit->alpha2;
    run->bias = unit->pointwise.image ? unit->pointwise.bias : unit->dilated.w.bias;
    if (call->tile->does_units)
        run->pointwise = unit->pointwise;
    MILL_TRY(call->tile->multiply(backend, run));
    if (unit->pointwise.image && !call->tile->does_units) {
        struct wide_run second = *run;
        second.hidden_alpha = NULL;
        second.conv.w = unit->pointwise;
        second.conv.dilation = 1;
        second.reach = 0;
        second.n_stages = wide_stages(&unit->pointwise.shape);
        second.planes = run->hidden;
        MILL_TRY(call->tile->multiply(backend, &second));
    }
    run->n_spans = call->n_rows = call->n_tiles = 0;
    return MILL_OK;
}

/* ------------------------------------------------------------------ pieces */

/* Sums of `left` that still fit: all, or whole tiles of them. */
static int32_t piece_of(const wide_call *call, int32_t left) {
    int32_t tile_rows = call->tile->n_rows, tiles = call->max_tiles - call->n_tiles;
    int32_t room = call->max_rows - call->n_rows - call->run.reach;
    if (left <= room && conv_tiles(left, tile_rows) <= tiles)
        return left;
    int32_t fitting = room / tile_rows < tiles ? room / tile_rows : tiles;
    return fitting > 0 ? fitting * tile_rows : 0;
}

mill_status mill_cuda_conv_wide_run(struct mill_backend *backend, const struct unit_args *unit,
                                    int32_t n_spans, const struct conv_tile *tile) {
    wide_call call = call_of(backend, unit, tile);
    struct wide_run *run = &call.run;
    if (call.max_rows < tile->n_rows + run->reach)
        return MILL_E_UNSUPPORTED;
    for (int32_t s = 0; s < n_spans; s++) {
        struct mill_span span = unit->dilated.spans[s];
        int32_t residual = unit->dilated.residual_first[s];
        while (span.n_y > 0) {
            int32_t left = sums_of(&unit->dilated, &span);
            int32_t n = run->n_spans < CONV_SPANS ? piece_of(&call, left) : 0;
            if (n == 0) {
                MILL_TRY(flush(backend, &call));
                continue;
            }
            struct mill_span piece = span;
            piece.n_y = n < left ? outputs_of(&unit->dilated, &span, n) : span.n_y;
            run->conv.spans[run->n_spans] = piece;
            run->conv.residual_first[run->n_spans] = residual;
            run->first_row[run->n_spans++] = call.n_rows;
            call.n_rows += n + run->reach;
            call.n_tiles += conv_tiles(n, tile->n_rows);
            span.n_y -= piece.n_y;
            span.y_first += piece.n_y;
            span.y_place += piece.n_y;
            residual += piece.n_y;
        }
    }
    return flush(backend, &call);
}

/* ------------------------------------------------------------------ launches */

mill_status mill_cuda_conv_wide_launch(struct mill_backend *backend, const struct conv_args *args,
                                       int32_t n_spans, const struct conv_tile *tile) {
    struct unit_args unit = {};
    unit.dilated = *args;
    return mill_cuda_conv_wide_run(backend, &unit, n_spans, tile);
}

/* At once where half of the card gets a block of all channels, else in two. */
static struct conv_tile unit_tile(const struct mill_backend *backend,
                                  const struct conv_args *dilated, int32_t n_spans) {
    const struct conv_tile at_once = mill_cuda_conv_wide_unit(dilated);
    size_t bytes = at_once.shared_bytes + MILL_CUDA_STATIC_SHARED_BYTES;
    if (at_once.launch && bytes <= (size_t)backend->shared_bytes &&
        2 * mill_cuda_conv_row_tiles(&at_once, dilated, n_spans) >= backend->n_processors)
        return at_once;
    return mill_cuda_conv_best(backend, dilated, n_spans);
}

static mill_status launch_unit(struct mill_backend *backend, const struct unit_args *unit,
                               int32_t n_spans, const struct unit_kernel *) {
    const struct conv_tile tile = unit_tile(backend, &unit->dilated, n_spans);
    return tile.launch ? mill_cuda_conv_wide_run(backend, unit, n_spans, &tile)
                       : MILL_E_UNSUPPORTED;
}

struct unit_kernel mill_cuda_unit_wide(const struct conv_args *dilated) {
    return {dilated->w.shape.n_out, 0, 0, launch_unit};
}
