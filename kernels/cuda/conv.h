/* conv.h - what the convolution kernels and their launchers share: one description of a launch for
 * conv1d and conv_transpose1d alike.
 *
 * Both are products with the weights of each tap, summed over shifted rows of the input. A
 * transposed convolution of stride s is s of them: output phase p, the times with (t + padding) mod
 * s = p, uses the taps p, p + s, ... on successive input rows, going back in time. A convolution is
 * the case of one phase whose taps go forward `dilation` rows each.
 *
 * Every kernel sums an output in one fixed order that depends on the layer alone: channels in runs
 * of 64 (32 where products are f32), in each run tap by tap, in each tap the run's channels. So no
 * bit depends on the tile that a launch is cut into, nor on how a sequence is cut into spans. */
#ifndef MILL_KERNELS_CUDA_CONV_H
#define MILL_KERNELS_CUDA_CONV_H

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device.h"

enum {
    CONV_SPANS = 128, /* of one launch */
    CONV_TILES = 4    /* of a kernel, at most */
};

/* The parameter of a kernel: under 4 KB. */
struct conv_args {
    struct mill_matrix y, x, residual; /* residual.data NULL = none */
    struct mill_weight w;
    const float *alpha; /* NULL = no snake */
    enum mill_activation act;
    int32_t stride;   /* 0: conv1d; else transposed */
    int32_t dilation; /* 1 where transposed */
    int32_t padding;
    bool depthwise;
    bool whole_x, whole_y; /* rows of x; rows of y and residual: in aligned quads (quads.h) */
    struct mill_span spans[CONV_SPANS];
    int32_t residual_first[CONV_SPANS]; /* row of residual that a span's first output row adds */
};

/* Towards minus infinity, b > 0; and what is left. */
static __host__ __device__ inline int32_t floor_divide(int32_t a, int32_t b) {
    return a / b - (a % b < 0);
}
static __host__ __device__ inline int32_t floor_rest(int32_t a, int32_t b) {
    return a - floor_divide(a, b) * b;
}

/* Tiles that cover n. */
static __host__ __device__ inline int32_t conv_tiles(int32_t n, int32_t tile) {
    return (n + tile - 1) / tile;
}

static __host__ __device__ inline int32_t conv_phases(const struct conv_args *args) {
    return args->stride > 0 ? args->stride : 1;
}

/* Input rows beyond one that an output row reaches at most. */
static __host__ __device__ inline int32_t conv_reach(const struct conv_args *args) {
    int32_t phases = conv_phases(args);
    return ((args->w.shape.n_taps + phases - 1) / phases - 1) * args->dilation;
}

/* How long a block takes, in microseconds: to begin and end; for each 64 channels to load its rows,
 * and for each tap of these to multiply them. So many blocks of a multiprocessor side by side take
 * no longer than one. */
struct conv_pace {
    float start, load, multiply;
    float abreast;
};

struct wide_run; /* conv_wide.h */

/* A tile of a kernel: outputs and rows that a block computes. */
struct conv_tile {
    int32_t n_out, n_rows;
    struct conv_pace pace; /* conv_rates.h */
    size_t shared_bytes;   /* of a block */
    mill_status (*launch)(struct mill_backend *, const struct conv_args *, int32_t n_spans,
                          const struct conv_tile *);
    mill_status (*multiply)(struct mill_backend *, struct wide_run *) = NULL; /* of conv_wide */
    bool does_units = false; /* ... both convolutions of a unit: n_out is all its channels */
};

/* Blocks: x counts tiles of outputs, then of rows; y spans; z phases. */
dim3 mill_cuda_conv_grid(const struct conv_args *args, int32_t n_spans, int32_t n_out,
                         int32_t n_rows);

/* Whether bf16 products go by warp groups on this card. */
bool mill_cuda_conv_by_warp_groups(const struct mill_backend *);

/* A kernel's tiles for args, and how many: products by tensor cores (bf16: by warp groups, or from
 * sm_80 on), by fmaf, for one output alone. */
int32_t mill_cuda_conv_wide(const struct conv_args *, struct conv_tile tiles[CONV_TILES]);
/* Of a unit at once, given its dilated convolution; launch NULL where it has too many channels, or
 * rows that do not lie in quads. It is chosen without a pace. */
struct conv_tile mill_cuda_conv_wide_unit(const struct conv_args *);
int32_t mill_cuda_conv_mma(const struct conv_args *, struct conv_tile tiles[CONV_TILES]);
int32_t mill_cuda_conv_ffma(const struct conv_args *, struct conv_tile tiles[CONV_TILES]);
int32_t mill_cuda_conv_single(const struct conv_args *, struct conv_tile tiles[CONV_TILES]);

/* Tiles of rows that a launch is cut into, of a phase and so many outputs; how long its blocks take
 * on so many multiprocessors; and the layer's tile in which they take least, launch NULL where the
 * card has not the shared memory for any. */
int64_t mill_cuda_conv_row_tiles(const struct conv_tile *, const struct conv_args *,
                                 int32_t n_spans);
float mill_cuda_conv_microseconds(const struct conv_tile *, const struct conv_args *,
                                  int32_t n_spans, int32_t n_processors);
struct conv_tile mill_cuda_conv_best(const struct mill_backend *, const struct conv_args *,
                                     int32_t n_spans);

/* Launch args->spans[0 .. n_spans - 1], none empty: channel by channel; and as it is best,
 * MILL_E_UNSUPPORTED when there is no such tile. The latter sets whole_x and whole_y. */
mill_status mill_cuda_conv_depthwise(struct mill_backend *, const struct conv_args *,
                                     int32_t n_spans);
mill_status mill_cuda_conv_launch(struct mill_backend *, struct conv_args *, int32_t n_spans);
mill_status mill_cuda_conv_wide_launch(struct mill_backend *, const struct conv_args *,
                                       int32_t n_spans, const struct conv_tile *);

#endif
