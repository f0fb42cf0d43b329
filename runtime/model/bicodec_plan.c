/* bicodec_plan.c - the decoder as a line of layers, and the walk backwards along it. Pure
 * functions; any thread. */
#include "runtime/model/bicodec_plan.h"

#include <stdbool.h>

/* Layers of the prenet up to its last product. */
static int32_t prenet_layers(const struct mill_bicodec_shape *shape) {
    return shape->prenet.n_samplings * (1 + MILL_BICODEC_SAMPLING_BLOCKS) + 1 +
           shape->prenet.n_layers;
}

int32_t mill_bicodec_n_layers(const struct mill_bicodec_shape *shape) {
    return prenet_layers(shape) + 1 + shape->generator.n_stages * (1 + MILL_BICODEC_UNITS) + 1;
}

int32_t mill_bicodec_first_generator_layer(const struct mill_bicodec_shape *shape) {
    return prenet_layers(shape);
}

static struct mill_bicodec_layer prenet_layer(const struct mill_bicodec_shape *shape, int32_t k) {
    const struct mill_vocos_shape *prenet = &shape->prenet;
    int32_t in_sampling = prenet->n_samplings * (1 + MILL_BICODEC_SAMPLING_BLOCKS);
    bool embed = k >= in_sampling ? k == in_sampling : k % (1 + MILL_BICODEC_SAMPLING_BLOCKS) == 0;
    return (struct mill_bicodec_layer){.kind = embed ? MILL_LAYER_EMBED : MILL_LAYER_BLOCK,
                                       .taps = MILL_BICODEC_TAPS,
                                       .dilation = 1,
                                       .stride = 1,
                                       .padding = MILL_BICODEC_TAPS / 2,
                                       .rows_per_frame = 1,
                                       .columns = prenet->dim};
}

static struct mill_bicodec_layer stage_layer(const struct mill_bicodec_shape *shape, int32_t k) {
    int32_t stage = k / (1 + MILL_BICODEC_UNITS), part = k % (1 + MILL_BICODEC_UNITS);
    int32_t rate = shape->generator.rates[stage], kernel = shape->generator.kernels[stage];
    int32_t channels = shape->generator.channels >> (stage + 1);
    struct mill_bicodec_layer layer = {.rows_per_frame = 1, .stride = 1};
    layer.columns = part == 0 ? 2 * channels : channels;
    for (int32_t i = 0; i <= stage; i++)
        layer.rows_per_frame *= shape->generator.rates[i];
    if (part == 0) {
        layer.kind = MILL_LAYER_UP;
        layer.taps = kernel;
        layer.dilation = 1;
        layer.stride = rate;
        layer.padding = (kernel - rate) / 2;
        return layer;
    }
    layer.kind = MILL_LAYER_UNIT;
    layer.taps = MILL_BICODEC_TAPS;
    layer.dilation = part == 1 ? 1 : part == 2 ? 3 : 9;
    layer.padding = MILL_BICODEC_TAPS / 2 * layer.dilation;
    return layer;
}

struct mill_bicodec_layer mill_bicodec_layer_at(const struct mill_bicodec_shape *shape, int32_t k) {
    int32_t n_prenet = prenet_layers(shape);
    if (k < n_prenet)
        return prenet_layer(shape, k);
    if (k > n_prenet && k < mill_bicodec_n_layers(shape) - 1)
        return stage_layer(shape, k - n_prenet - 1);
    struct mill_bicodec_layer layer = {
        .taps = MILL_BICODEC_TAPS, .dilation = 1, .stride = 1, .padding = MILL_BICODEC_TAPS / 2};
    if (k == n_prenet) {
        layer.kind = MILL_LAYER_CONV_IN;
        layer.rows_per_frame = 1;
        layer.columns = shape->generator.input;
    } else {
        layer.kind = MILL_LAYER_CONV_OUT;
        layer.rows_per_frame = shape->hop;
        layer.columns = shape->generator.channels >> shape->generator.n_stages;
    }
    return layer;
}

/* Division that rounds down for negative numbers too. */
static int64_t floor_divide(int64_t a, int64_t b) {
    return a / b - (a % b < 0);
}

/* Row t of a convolution reads t - padding .. t - padding + (taps - 1) * dilation; row t of a
 * transposed one reads every s with 0 <= t + padding - s * stride < taps. */
struct mill_range mill_bicodec_layer_input(const struct mill_bicodec_layer *layer,
                                           struct mill_range wanted) {
    int64_t first = wanted.first, last = wanted.end - 1;
    if (layer->kind == MILL_LAYER_UP)
        return (struct mill_range){
            floor_divide(first + layer->padding - layer->taps, layer->stride) + 1,
            floor_divide(last + layer->padding, layer->stride) + 1};
    int64_t reach = (int64_t)(layer->taps - 1) * layer->dilation;
    return (struct mill_range){first - layer->padding, last - layer->padding + reach + 1};
}

void mill_bicodec_plan_ranges(const struct mill_bicodec_shape *shape, int64_t first, int64_t end,
                              int64_t n_frames, struct mill_range *ranges) {
    int32_t n_layers = mill_bicodec_n_layers(shape);
    ranges[n_layers] = (struct mill_range){first * shape->hop, end * shape->hop};
    for (int32_t k = n_layers; k-- > 0;) {
        struct mill_bicodec_layer layer = mill_bicodec_layer_at(shape, k);
        struct mill_range in = mill_bicodec_layer_input(&layer, ranges[k + 1]);
        int64_t rate = layer.rows_per_frame / layer.stride;
        if (in.first < 0)
            in.first = 0;
        if (n_frames != INT64_MAX && in.end > n_frames * rate)
            in.end = n_frames * rate;
        ranges[k] = in;
    }
}

void mill_bicodec_plan_begin(const struct mill_bicodec_shape *shape, int64_t first,
                             struct mill_bicodec_rows *rows) {
    int32_t n_layers = mill_bicodec_n_layers(shape);
    int64_t row = first * shape->hop;
    for (int32_t k = n_layers;; k--) {
        rows[k] = (struct mill_bicodec_rows){row, row, row, row};
        if (k == 0)
            break;
        struct mill_bicodec_layer layer = mill_bicodec_layer_at(shape, k - 1);
        row = mill_bicodec_layer_input(&layer, (struct mill_range){row, row + 1}).first;
        if (row < 0)
            row = 0;
    }
}

void mill_bicodec_plan_advance(const struct mill_bicodec_shape *shape, int64_t end,
                               int64_t n_frames, struct mill_range *scratch,
                               struct mill_bicodec_rows *rows) {
    int32_t n_layers = mill_bicodec_n_layers(shape);
    mill_bicodec_plan_ranges(shape, end - 1, end, n_frames, scratch);
    for (int32_t k = n_layers; k >= 0; k--) {
        struct mill_bicodec_rows *r = &rows[k];
        r->kept = r->keep;
        r->fresh = r->end;
        if (scratch[k].end > r->end)
            r->end = scratch[k].end;
        r->keep = r->end;
        if (k == n_layers)
            continue;
        struct mill_bicodec_layer layer = mill_bicodec_layer_at(shape, k);
        int64_t next = rows[k + 1].end;
        int64_t first = mill_bicodec_layer_input(&layer, (struct mill_range){next, next + 1}).first;
        if (first < r->keep)
            r->keep = first > r->kept ? first : r->kept;
    }
}

int32_t mill_bicodec_layer_keeps(const struct mill_bicodec_layer *layer) {
    int32_t reach = (layer->taps - 1) * layer->dilation;
    return layer->kind == MILL_LAYER_UP ? reach / layer->stride + 1 : reach;
}
