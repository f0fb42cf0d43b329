/* linear.h - what the kernels of `linear`, their launchers and the choice among them share.
 *
 * One order of summing holds for every kernel and every cut of the work, so that no bit of a row
 * depends on the rows beside it: inputs go in groups (64 bytes of weights an output, weights.h),
 * the products of 4 groups are summed one after the other to a chunk; 8 chunks are added in order
 * to a segment; segments are added in order. Chunks are what the warps of a block share out,
 * segments what blocks do. Sums of 8-bit weights are exact and need no order. */
#ifndef MILL_KERNELS_CUDA_LINEAR_H
#define MILL_KERNELS_CUDA_LINEAR_H

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/weights.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LINEAR_CHUNK = 4 /* groups */, LINEAR_SEGMENT = 8 /* chunks */ };

/* What is multiplied by what: the weights' type, where x is converted, which unit multiplies. */
enum linear_kind {
    LINEAR_F32,       /* x as it is, fmaf */
    LINEAR_BF16,      /* x normed and rounded by every block that reads it, tensor cores */
    LINEAR_BF16_ROWS, /* x rounded before the launch, tensor cores */
    LINEAR_BF16_WIDE, /* x rounded before the launch into tiles, warp groups: sm_90 */
    LINEAR_BF16_FMAF, /* x rounded before the launch, fmaf: for cards before sm_80 */
    LINEAR_I8_ROWS,   /* x quantised before the launch, tensor cores */
    LINEAR_N_KINDS
};

/* The parameter of a kernel. */
struct linear_run {
    const void *weights;       /* bricks, from the first output's on */
    const float *weight_scale; /* I8: from the first output's on */
    const char *x;             /* f32, or prepared rows of n_groups * 64 bytes */
    int64_t x_step;            /* bytes from row to row */
    const float *gain;         /* BF16: norm x with it first, or NULL */
    float eps;
    int64_t x_plane;      /* I8: bytes from a row's high bytes to its low bytes */
    const float *x_scale; /* I8: [rows] */
    int32_t n_rows, n_in, n_out, n_groups;
    float *y;
    uint32_t *planes; /* linear_wide.h, or NULL: y goes here instead, as the next one reads its x */
    int32_t planes_rows, planes_groups; /* ... in tiles of so many rows, a row of so many groups */
    int32_t planes_end;                 /* ... rows of all tiles, zeros behind the last of y */
    const float *residual, *bias;
    const int32_t *bias_group;
    int64_t y_step, residual_step, bias_step; /* elements from row to row */
    enum mill_activation act;
    enum mill_pairs pairs;
    bool whole_x, whole_y; /* x and gain; y, residual and bias: in aligned quads (quads.h) */
    int32_t n_row_tiles;   /* the grid's x counts tiles: rows, then outputs; its y splits (of
                              linear_few.h: x rows, y outputs) */
    int32_t n_splits;      /* blocks that share a tile: each adds up some of its segments */
    int32_t split_segments;
    void *partial;    /* n_splits > 1: the segments' sums, see linear_splits.h */
    int32_t *arrived; /* ... [tiles], zeros before and after: blocks that are done */
};

struct linear_plan;

/* How long a kernel takes, in microseconds, as bench_products measured it on an H200 or, where it
 * has changed since, as it is predicted. A multiprocessor takes `abreast` blocks at once, and so
 * many one after the other. */
struct linear_pace {
    float start;   /* a launch; also that of the rows' preparation, if they are prepared */
    float block;   /* a block, and */
    float step;    /* each chunk of inputs that it waits for, */
    float more;    /* longer by so much where the card and the tile's rows are full */
    float meeting; /* blocks that share a tile */
    float norm;    /* rows that are normed in the block */
    int32_t abreast;
};

/* One kernel: a kind, and the tile of y that a block computes, or a cluster. */
struct linear_kernel {
    enum linear_kind kind;
    int32_t n_rows, n_outs, n_warps; /* of a tile; of a block */
    int32_t unit_groups;    /* linear_few.h: that a warp takes at a time; 0 = linear_tile.h */
    int32_t whole_units;    /* ... of a warp, or a multiple; what is missing are zeros */
    int32_t waiting_bricks; /* ... of a unit's weights that wait in shared memory */
    bool is_exact;          /* ... a warp adds up its units, whose sums are not kept apart */
    int32_t n_blocks;       /* that have a tile together: of linear_wide.h a cluster, or 1 */
    int32_t n_wide;     /* ... warp groups of a tile, which take a segment or all; 0 = another */
    int32_t block_rows; /* ... of a block */
    int32_t n_slices;   /* parts of a block that take its chunks in turn */
    int32_t stages_a_chunk, n_stages; /* a chunk is loaded in stages, up to n_stages ahead */
    int32_t stage_bytes;              /* of all slices */
    int32_t exchange_bytes; /* shared memory by which sums meet: beside the stages with slices, else
                               in their place; of a row of a unit's or warp's sums */
    int32_t max_segments;   /* that a block can add up: 1, or any number */
    struct linear_pace pace;
    void (*function)(struct linear_run);
    void (*launch)(struct mill_backend *, const struct linear_plan *, const struct linear_run *);
};

/* ---- linear_f32.cu, linear_bf16.cu, linear_i8.cu: the kernels for weights of a type; linear.c:
 * those of any type, and which kinds (1 << kind) a card runs. These give the same bits; which is
 * soonest is for the plan to say. */
const struct linear_kernel *mill_cuda_linear_f32(int32_t *n);
const struct linear_kernel *mill_cuda_linear_bf16(int32_t *n);
const struct linear_kernel *mill_cuda_linear_i8(int32_t *n);
const struct linear_kernel *mill_cuda_linear_kernels(enum mill_dtype dtype, int32_t *n);
unsigned mill_cuda_linear_kinds(int32_t capability, enum mill_dtype dtype);

/* ---- linear_prepare.cu: rows of x, normed if there is a gain, as the kinds _ROWS and _FMAF read
 * them (and F32, where there is one), zeros behind the inputs up to whole groups. For I8 into two
 * planes, and a scale a row. `transposed`: a group is four chunks of four words, and word j of
 * chunk q is written in the place of word q of chunk j: so that ldmatrix, which gives lane 4g + q
 * word q of row g of a chunk, gives it words of chunk q. In tiles (product_hopper.h): a tile of
 * rows, 8 inputs, transposed as before, rows of the tile, 16 bytes each; zeros also behind the last
 * row up to a whole tile. */
struct linear_preparation {
    struct mill_matrix x;
    char *to; /* [planes][rows][row_bytes] */
    int32_t row_bytes;
    const float *gain; /* or NULL */
    float eps;
    enum mill_dtype dtype; /* of the weights */
    float *scale;          /* I8: [rows] */
    bool transposed;
    int32_t tile_rows; /* bf16: > 0: tiles of so many rows */
};
mill_status mill_cuda_linear_prepare(struct mill_backend *, const struct linear_preparation *);

/* ---- linear_plan.c: which kernel, and how many blocks share a tile */
/* Whether x is converted by a launch of its own. */
bool mill_cuda_linear_is_prepared(enum linear_kind kind, bool normed);
/* Groups of a row that is prepared for linear_wide.h: whole chunks. */
int32_t mill_cuda_linear_wide_groups(int32_t n_groups);
struct linear_size {
    unsigned kinds; /* 1 << kind, those to choose from */
    bool normed;
    int32_t n_rows, n_out, n_groups;
    int32_t n_processors, shared_bytes; /* of the card; of a block at most */
    int64_t prepared_bytes;             /* room for rows that are prepared, */
    int64_t partial_words;              /* for sums that blocks exchange, */
    int32_t max_shared_tiles;           /* and for tiles that they share */
};
struct linear_plan {
    const struct linear_kernel *kernel; /* NULL: none fits */
    int32_t n_row_tiles, n_tiles, n_splits, split_segments, shared_bytes, n_warps;
};
/* With this kernel, and tiles that n_splits blocks share, or fewer where there are fewer segments.
 */
struct linear_plan mill_cuda_linear_plan_with(const struct linear_size *size,
                                              const struct linear_kernel *kernel, int32_t n_splits);
double mill_cuda_linear_microseconds(const struct linear_size *size,
                                     const struct linear_plan *plan);
/* The soonest. No choice changes a result. */
struct linear_plan mill_cuda_linear_plan(const struct linear_size *size,
                                         const struct linear_kernel *kernels, int32_t n_kernels);

/* ---- linear.c: the two operators, and their parts */
struct linear_size mill_cuda_linear_size(const struct mill_backend *backend,
                                         const struct mill_linear_args *args, int32_t n_rows);
/* Rows first .. first + n_rows - 1 of a product, prepared if the kernel wants them so. */
mill_status mill_cuda_linear_run(struct mill_backend *backend, const struct mill_linear_args *args,
                                 int32_t first, int32_t n_rows, const struct linear_plan *plan);
/* Whether the first product can leave what lies between them as the second reads it: in the memory
 * of up.y, which has room for whole tiles of rows rounded to bf16. Then both, all rows. */
bool mill_cuda_linear_hands_over(const struct mill_feed_forward_args *args,
                                 const struct linear_kernel *up, const struct linear_kernel *down);
mill_status mill_cuda_linear_run_both(struct mill_backend *backend,
                                      const struct mill_feed_forward_args *args,
                                      const struct linear_plan *up_plan,
                                      const struct linear_plan *down_plan);

#ifdef __cplusplus
}
#endif
#endif
