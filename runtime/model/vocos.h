/* vocos.h - a ConvNeXt stack over rows of a time line: decoder and encoder run the same one.
 *
 * A convolution over 7 rows and a norm, then blocks of depthwise convolution, norm and two
 * products with a residual sum, then a last norm. Only wanted rows are computed: each convolution
 * gives the rows of the next range from those of the range before. Borrows everything. */
#ifndef MILL_MODEL_VOCOS_H
#define MILL_MODEL_VOCOS_H

#include "runtime/model/bicodec_plan.h"
#include "runtime/model/matrix.h"
#include "runtime/model/weights.h"

/* Rows of one time line: the row at `data` stands at time `place`. */
struct mill_band {
    float *data;
    int32_t columns;
    int64_t place;
};

static inline int64_t mill_range_rows(struct mill_range range) {
    return range.end - range.first;
}

static inline struct mill_matrix mill_band_rows(const struct mill_band *band,
                                                struct mill_range range) {
    return mill_matrix_f32(band->data + (range.first - band->place) * band->columns,
                           mill_range_rows(range), band->columns);
}

/* The span of a convolution from rows `in` to rows `out`, for matrices that hold just these. */
struct mill_span mill_range_span(struct mill_range in, struct mill_range out);

struct mill_vocos {
    const struct mill_backend_ops *ops;
    struct mill_backend *backend;
    float *hidden;         /* device scratch: [rows of ranges[1]][dim + intermediate] */
    const float *adaptive; /* device, or NULL: gain [dim] and shift [dim] of every adaptive norm */
};

/* From x to y, whose first row becomes the first of the last range; ranges [2 + n_blocks], the
 * first one what is read of x. y may be x's memory, or the beginning of it. */
mill_status mill_vocos_run(const struct mill_vocos *run, const struct mill_vocos_weights *weights,
                           const struct mill_range *ranges, struct mill_band *y,
                           const struct mill_band *x);

#endif
