/* bicodec_plan.h - which rows every layer of the decoder must compute for a wanted run of frames.
 *
 * Seen from afar the decoder is a line of layers, each of which looks at neighbouring rows
 * (convolutions) or changes their rate (transposed convolutions); everything between them works row
 * by row. So a window is planned by walking that line backwards: the rows wanted from a layer give
 * the rows it needs from the layer before, cut to the true ends of the utterance. Pure functions of
 * a shape, no memory of their own. Rows are counted on the layer's own time line: layer k reads
 * time line k and writes time line k + 1; time line 0 counts frames, the last one samples. What
 * shape.c promises of a shape is relied on: the product of the rates is the hop; a kernel is its
 * rate + an even number. */
#ifndef MILL_MODEL_BICODEC_PLAN_H
#define MILL_MODEL_BICODEC_PLAN_H

#include "runtime/model/shape.h"

enum mill_bicodec_layer_kind {
    MILL_LAYER_EMBED,    /* a ConvNeXt stack's first convolution */
    MILL_LAYER_BLOCK,    /* a ConvNeXt block: depthwise convolution, then two products */
    MILL_LAYER_CONV_IN,  /* the generator's first convolution */
    MILL_LAYER_UP,       /* a stage's transposed convolution */
    MILL_LAYER_UNIT,     /* a residual unit: dilated convolution, then a product */
    MILL_LAYER_CONV_OUT, /* the last convolution, to samples */
};

enum { MILL_BICODEC_TAPS = 7, MILL_BICODEC_SAMPLING_BLOCKS = 2, MILL_BICODEC_UNITS = 3 };
#define MILL_BICODEC_NORM_EPS 1e-6f

/* A layer with whatever works row by row behind it. */
struct mill_bicodec_layer {
    enum mill_bicodec_layer_kind kind;
    int32_t taps, dilation, stride, padding; /* stride > 1: rows are multiplied by it */
    int32_t rows_per_frame;                  /* of what it writes */
    int32_t columns;                         /* of what it reads */
};

struct mill_range {
    int64_t first, end; /* rows first .. end - 1 */
};

int32_t mill_bicodec_n_layers(const struct mill_bicodec_shape *shape);
/* The layer whose input is the prenet's output: MILL_LAYER_CONV_IN. */
int32_t mill_bicodec_first_generator_layer(const struct mill_bicodec_shape *shape);
/* Layer 0 <= k < n_layers, in the order of running. */
struct mill_bicodec_layer mill_bicodec_layer_at(const struct mill_bicodec_shape *shape, int32_t k);

/* Rows that a layer reads to write `wanted`, before any end is considered. */
struct mill_range mill_bicodec_layer_input(const struct mill_bicodec_layer *layer,
                                           struct mill_range wanted);

/* ranges[k], k = 0 .. n_layers: the rows of time line k that frames [first, end) need, cut to the
 * beginning and to the end of an utterance of n_frames (INT64_MAX where the end is not known). */
void mill_bicodec_plan_ranges(const struct mill_bicodec_shape *shape, int64_t first, int64_t end,
                              int64_t n_frames, struct mill_range *ranges);

/* An utterance piece by piece: what layer k reads of time line k in this piece. */
struct mill_bicodec_rows {
    int64_t kept;  /* rows kept .. fresh - 1 are left over from earlier pieces */
    int64_t fresh; /* rows fresh .. end - 1 are computed in this one */
    int64_t end;
    int64_t keep; /* rows keep .. end - 1 are read again by later pieces */
};
/* rows[k], k = 0 .. n_layers: nothing computed yet of an utterance whose sound is wanted from frame
 * `first` on. */
void mill_bicodec_plan_begin(const struct mill_bicodec_shape *shape, int64_t first,
                             struct mill_bicodec_rows *rows);
/* From the last piece's rows to the next one's, which emits the frames before `end`. n_frames: as
 * for mill_bicodec_plan_ranges; rows that an earlier cut left out are taken as they were. `scratch`
 * [n_layers + 1]. Pieces from 0 to an end compute each row of every time line exactly once. */
void mill_bicodec_plan_advance(const struct mill_bicodec_shape *shape, int64_t end,
                               int64_t n_frames, struct mill_range *scratch,
                               struct mill_bicodec_rows *rows);
/* Rows of time line k that may be kept between two pieces, at most. */
int32_t mill_bicodec_layer_keeps(const struct mill_bicodec_layer *layer);

#endif
