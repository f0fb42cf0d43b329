/* conv.cu - host side of the convolutions: which kernel, which tile, how many blocks; then the
 * operators conv1d and conv_transpose1d. */
#include "kernels/cuda/conv.h"
#include "kernels/cuda/conv_rates.h"
#include "kernels/cuda/quads.h"

/* ------------------------------------------------------------------ tiles */

/* Most rows that a phase of a span has. */
static int32_t phase_rows(const struct conv_args *args, int32_t span) {
    return conv_tiles(args->spans[span].n_y, conv_phases(args));
}

dim3 mill_cuda_conv_grid(const struct conv_args *args, int32_t n_spans, int32_t n_out,
                         int32_t n_rows) {
    int32_t longest = 0;
    for (int32_t s = 0; s < n_spans; s++)
        longest = phase_rows(args, s) > longest ? phase_rows(args, s) : longest;
    int32_t tiles = conv_tiles(args->w.shape.n_out, n_out) * conv_tiles(longest, n_rows);
    return dim3((uint32_t)tiles, (uint32_t)n_spans, (uint32_t)conv_phases(args));
}

int64_t mill_cuda_conv_row_tiles(const struct conv_tile *tile, const struct conv_args *args,
                                 int32_t n_spans) {
    int64_t blocks = 0, flat = 0;
    for (int32_t s = 0; s < n_spans; s++) {
        blocks += conv_tiles(phase_rows(args, s), tile->n_rows);
        flat += phase_rows(args, s) + conv_reach(args);
    }
    flat = (flat + tile->n_rows - 1) / tile->n_rows;
    return tile->multiply && flat < blocks ? flat : blocks; /* conv_wide.h */
}

/* In turn on each multiprocessor, as many abreast as go for the time of one. */
float mill_cuda_conv_microseconds(const struct conv_tile *tile, const struct conv_args *args,
                                  int32_t n_spans, int32_t n_processors) {
    const struct conv_pace *pace = &tile->pace;
    int64_t blocks = mill_cuda_conv_row_tiles(tile, args, n_spans);
    blocks *= conv_tiles(args->w.shape.n_out, tile->n_out) * conv_phases(args);
    float in_turn = (float)((blocks + n_processors - 1) / n_processors) / pace->abreast;
    float taps = (float)args->w.shape.n_taps / (float)conv_phases(args);
    float loads = (float)args->w.shape.n_in / 64;
    float block = pace->start + loads * (pace->load + taps * pace->multiply);
    return block * (in_turn > 1 ? in_turn : 1);
}

bool mill_cuda_conv_by_warp_groups(const struct mill_backend *backend) {
    return CONV_BY_WARP_GROUPS && backend->capability == 90;
}

static int32_t tiles_for(const struct mill_backend *backend, const struct conv_args *args,
                         struct conv_tile tiles[CONV_TILES]) {
    if (args->w.shape.n_out == 1)
        return mill_cuda_conv_single(args, tiles);
    if (args->w.shape.dtype != MILL_BF16 || backend->capability < 80)
        return mill_cuda_conv_ffma(args, tiles);
    return mill_cuda_conv_by_warp_groups(backend) ? mill_cuda_conv_wide(args, tiles)
                                                  : mill_cuda_conv_mma(args, tiles);
}

struct conv_tile mill_cuda_conv_best(const struct mill_backend *backend,
                                     const struct conv_args *args, int32_t n_spans) {
    size_t shared_bytes = (size_t)backend->shared_bytes;
    struct conv_tile tiles[CONV_TILES], best = {};
    float least = 0;
    for (int32_t i = 0, n = tiles_for(backend, args, tiles); i < n; i++) {
        float time = mill_cuda_conv_microseconds(&tiles[i], args, n_spans, backend->n_processors);
        bool fits = tiles[i].shared_bytes + MILL_CUDA_STATIC_SHARED_BYTES <= shared_bytes;
        if (!fits || (best.launch && least <= time))
            continue;
        best = tiles[i];
        least = time;
    }
    return best;
}

/* ------------------------------------------------------------------ operators */

mill_status mill_cuda_conv_launch(struct mill_backend *backend, struct conv_args *args,
                                  int32_t n_spans) {
    args->whole_x = quads_are_whole(&args->x);
    args->whole_y =
        quads_are_whole(&args->y) && (!args->residual.data || quads_are_whole(&args->residual));
    if (args->depthwise)
        return mill_cuda_conv_depthwise(backend, args, n_spans);
    const struct conv_tile best = mill_cuda_conv_best(backend, args, n_spans);
    return best.launch ? best.launch(backend, args, n_spans, &best) : MILL_E_UNSUPPORTED;
}

/* As many launches as there are CONV_SPANS spans that are not empty. */
static mill_status run(struct mill_backend *backend, struct conv_args *args,
                       const struct mill_span *spans, int32_t n_spans) {
    int32_t n = 0;
    for (int32_t s = 0; s < n_spans; s++) {
        if (spans[s].n_y == 0)
            continue;
        args->residual_first[n] = spans[s].y_first;
        args->spans[n++] = spans[s];
        if (n < CONV_SPANS)
            continue;
        MILL_TRY(mill_cuda_conv_launch(backend, args, n));
        n = 0;
    }
    return n > 0 ? mill_cuda_conv_launch(backend, args, n) : MILL_OK;
}

mill_status mill_cuda_conv1d(struct mill_backend *backend, const struct mill_conv1d_args *args) {
    if (args->w.shape.dtype == MILL_I8)
        return MILL_E_UNSUPPORTED;
    struct conv_args conv = {};
    conv.y = args->y;
    conv.x = args->x;
    conv.residual = args->residual;
    conv.w = args->w;
    conv.depthwise = args->depthwise;
    conv.alpha = args->alpha;
    conv.act = args->act;
    conv.dilation = args->dilation;
    conv.padding = args->padding;
    return run(backend, &conv, args->spans, args->n_spans);
}

mill_status mill_cuda_conv_transpose1d(struct mill_backend *backend,
                                       const struct mill_conv_transpose1d_args *args) {
    if (args->w.shape.dtype == MILL_I8 || args->w.shape.n_taps < args->stride)
        return MILL_E_UNSUPPORTED;
    struct conv_args conv = {};
    conv.y = args->y;
    conv.x = args->x;
    conv.w = args->w;
    conv.alpha = args->alpha;
    conv.stride = args->stride;
    conv.dilation = 1;
    conv.padding = args->padding;
    return run(backend, &conv, args->spans, args->n_spans);
}
