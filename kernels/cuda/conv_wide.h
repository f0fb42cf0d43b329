/* conv_wide.h - convolutions by warp groups (sm_90a), in two steps: what conv_prepare.cu leaves,
 * and conv_wide.cu multiplies.
 *
 * Prepared rows. The spans of a launch lie one behind the other as flat rows: of each, the rows
 * that its first output reaches back to, then one for each further output (of a phase); zeros where
 * the convolution pads. So sum i of a span, at its flat row i, reads the flat rows i + shift + tap
 * * shift_step. Rows are snaked, rounded to bf16, in planes as product_hopper.h wants them, padded
 * with zeros to whole stages of channels. Sums at a span's last flat rows are nobody's; where a sum
 * goes is in a list beside the planes.
 *
 * A unit is two such launches, or one whose blocks have all channels (unit_wide_tile): they prepare
 * their rows themselves, in planes like those in shared memory, where hidden rows stay too.
 *
 * Tiles are cut from the flat rows of each span, or from all of them as one where spans are short:
 * whichever are fewer.
 *
 * An output's products are one chain: channels 64 at a time, in these tap by tap, in a tap 16
 * by 16. */
#ifndef MILL_KERNELS_CUDA_CONV_WIDE_H
#define MILL_KERNELS_CUDA_CONV_WIDE_H

#include "kernels/cuda/conv.h"
#include "kernels/cuda/residual_unit.h"

enum { WIDE_CHANNELS = 64 /* of a stage */, WIDE_PLANES = 8 };

/* Where the sums of a flat row go: phase p, of those that there are, to row y + p. */
struct wide_row {
    int32_t y, residual;
    int32_t first_phase, end_phase;
};

/* The parameter of both kernels. */
struct wide_run {
    struct conv_args conv;
    int32_t first_row[CONV_SPANS + 1]; /* flat, of each span; of none behind the last */
    int32_t n_spans;
    int32_t pitch; /* flat rows, those included that only tiles reach: from plane to plane */
    int32_t reach, stride; /* stride 1 where not transposed */
    int32_t n_behind;      /* flat rows of a span behind its last sum */
    int32_t n_stages;      /* of channels */
    uint4 *planes, *hidden;
    const float *hidden_alpha;    /* sums become a second convolution's prepared rows; NULL = y */
    struct mill_weight pointwise; /* ... of which the same launch makes y; image NULL = another */
    const float *bias;            /* of y */
    struct wide_row *rows;        /* [pitch]; of a unit at once none, and no planes */
    bool by_span;
    int32_t n_row_tiles;  /* of each span, or of all */
    int32_t n_row_stages; /* of rows on their way, in shared memory */
};

static __host__ __device__ inline int32_t wide_stages(const struct mill_weight_shape *shape) {
    return (shape->n_in + WIDE_CHANNELS - 1) / WIDE_CHANNELS;
}

/* Tiles of rows; of outputs, n_out each; of a launch, with its phases. */
static __host__ __device__ inline int32_t wide_row_tiles(const struct wide_run *run) {
    return run->by_span ? run->n_row_tiles * run->n_spans : run->n_row_tiles;
}
static __host__ __device__ inline int32_t wide_out_tiles(const struct wide_run *run,
                                                         int32_t n_out) {
    return (run->conv.w.shape.n_out + n_out - 1) / n_out;
}
static __host__ __device__ inline int32_t wide_items(const struct wide_run *run, int32_t n_out) {
    return wide_row_tiles(run) * wide_out_tiles(run, n_out) * run->stride;
}

/* A convolution or, with a second one's weights, a unit: cut, prepared and multiplied. */
mill_status mill_cuda_conv_wide_run(struct mill_backend *, const struct unit_args *,
                                    int32_t n_spans, const struct conv_tile *);

void mill_cuda_conv_prepare(struct mill_backend *, const struct wide_run *);

#endif
