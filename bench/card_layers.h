/* card_layers.h - the decoder's convolutions in the published shapes, for what times their tiles on
 * a card (card_tiles.cpp) and for what plans by such times. */
#ifndef MILL_BENCH_CARD_LAYERS_H
#define MILL_BENCH_CARD_LAYERS_H

#include "kernels/cuda/conv.h"

struct card_layer {
    const char *name;
    int32_t n_out, n_taps, n_in, stride, dilation, rows_a_frame; /* of the input */
};

enum { CARD_FRAMES = 25 }; /* of a stream at a time */

static const struct card_layer card_layers[] = {
    {"pointwise 96x1x96", 96, 1, 96, 0, 1, 320},
    {"dilated 96x7x96", 96, 7, 96, 0, 9, 320},
    {"up 96x4x192", 96, 4, 192, 2, 1, 160},
    {"pointwise 192x1x192", 192, 1, 192, 0, 1, 160},
    {"dilated 192x7x192", 192, 7, 192, 0, 9, 160},
    {"up 192x8x384", 192, 8, 384, 4, 1, 40},
    {"pointwise 384x1x384", 384, 1, 384, 0, 1, 40},
    {"dilated 384x7x384", 384, 7, 384, 0, 9, 40},
    {"up 384x11x768", 384, 11, 768, 5, 1, 8},
    {"pointwise 768x1x768", 768, 1, 768, 0, 1, 8},
    {"dilated 768x7x768", 768, 7, 768, 0, 9, 8},
    {"up 768x16x1536", 768, 16, 1536, 8, 1, 1},
    {"conv_in 1536x7x1024", 1536, 7, 1024, 0, 1, 1},
};
enum { N_CARD_LAYERS = sizeof card_layers / sizeof *card_layers };

/* A launch for so many streams, without its memory. */
static inline struct conv_args card_layer_args(const struct card_layer *l, int32_t n_streams) {
    struct conv_args args = {};
    int32_t phases = l->stride ? l->stride : 1;
    int32_t n_x = CARD_FRAMES * l->rows_a_frame, n_y = n_x * phases;
    args.x = {NULL, MILL_F32, n_streams * n_x, l->n_in, l->n_in};
    args.y = {NULL, MILL_F32, n_streams * n_y, l->n_out, l->n_out};
    args.w = {{l->n_out, l->n_taps, l->n_in, MILL_BF16}, NULL, NULL};
    args.stride = l->stride;
    args.dilation = l->dilation;
    args.padding = l->stride ? (l->n_taps - l->stride) / 2 : l->dilation * (l->n_taps - 1) / 2;
    args.whole_x = args.whole_y = true;
    for (int32_t s = 0; s < n_streams; s++)
        args.spans[s] = {s * n_x, n_x, 0, s * n_y, n_y, 0};
    return args;
}

#endif
