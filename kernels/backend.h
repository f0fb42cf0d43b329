/* backend.h - THE SEAM: the only door between the model and arithmetic.
 *
 * A backend is a table of fused operators and a few device services. An operator writes its result
 * to memory once; what is smaller is a field of its argument struct, and zero means "off".
 * Work runs in call order; only `synchronize` and `event_wait` wait for it, and an operator never
 * reads a device result on the host. Nothing is allocated after open but through `alloc` and
 * `host_alloc`.
 *
 * Activations are matrices [rows, columns], columns contiguous: a row is a token, a frame or a
 * sample ("channels last"). Requests that share a batch are told apart by row ranges (`mill_span`,
 * `mill_batch`), so that every operator takes a ragged batch. A row's result depends on that row's
 * request alone, to the last bit: not on the batch around it, the thread count or how a sequence
 * was cut into pieces.
 *
 * Pointers in argument structs are device memory, except where a comment says host. Formulas,
 * tolerances and who implements what: kernels/README.md. The plain definition of every operator:
 * kernels/reference/. */
#ifndef MILL_KERNELS_BACKEND_H
#define MILL_KERNELS_BACKEND_H

#include "runtime/base/dtype.h"
#include "runtime/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MILL_BACKEND_ABI = 6 };

/* A matrix of activations, borrowed; of MILL_F32, as yet the only type that operators take. */
struct mill_matrix {
    void *data; /* [rows, columns] */
    enum mill_dtype dtype;
    int32_t rows, columns;
    int64_t stride; /* elements from row to row, >= columns; linear may read overlapping rows */
};

/* The logical shape of a weight matrix: y[o] = sum over tap, i of w[o][tap][i] * x[tap][i].
 * A linear layer has one tap. A depthwise weight has n_in = 1. */
struct mill_weight_shape {
    int32_t n_out, n_taps, n_in;
    enum mill_dtype dtype; /* MILL_F32, MILL_BF16, or MILL_I8 with one f32 scale per output */
};

/* Weights are stored in the order its backend likes best; `image` was written by weight_pack. */
struct mill_weight {
    struct mill_weight_shape shape;
    const void *image;
    const float *bias; /* [n_out], or NULL */
};

/* weight_pack takes output rows in multiples of this, the last piece excepted. */
enum { MILL_PACK_ROWS = 64 };

/* One request's piece of a convolution. On the request's own time lines, input row x_first stands
 * at time x_place and output row y_first at time y_place, so that a piece of a sequence can be
 * computed from a piece of its input. Input times outside [x_place, x_place + n_x) count as zeros:
 * right at a sequence's true ends; elsewhere the caller provides enough. */
struct mill_span {
    int32_t x_first, n_x, x_place;
    int32_t y_first, n_y, y_place;
};

/* ------------------------------------------------------------------ common operators */

/* y[r] = table[ids[r]] as f32; ids must be in range (the caller's duty: it made them). An id of
 * -1 - k stands for drawn[k], which an earlier `sample` wrote: the step behind a draw is laid out
 * before anyone has seen the token. A drawn -1 counts as row 0. */
struct mill_embed_args {
    struct mill_matrix y;
    const void *table; /* [n_rows, y.columns], row-major */
    enum mill_dtype table_dtype;
    const int32_t *ids;   /* [y.rows] */
    const int32_t *drawn; /* NULL = every id is 0 or more */
};

/* Row y_first + i of y = row x_first + i of x, i < n_y, for each span; places are not looked at.
 * The spans' y rows do not overlap, nor do y and x. */
struct mill_copy_rows_args {
    struct mill_matrix y, x;
    const struct mill_span *spans; /* host */
    int32_t n_spans;
};

enum mill_norm_kind { MILL_NORM_RMS, MILL_NORM_LAYER, MILL_NORM_AFFINE };
enum mill_activation {
    MILL_ACT_NONE,
    MILL_ACT_GELU,
    MILL_ACT_TANH,
    MILL_ACT_RELU,
    MILL_ACT_SIGMOID,
    MILL_ACT_SILU
};

/* RMS: y = x / sqrt(mean(x^2) + eps) * gain. Layer: y = (x - mean) / sqrt(var + eps) * gain +
 * shift, population variance. Affine: y = x * gain + shift. Then y = act(y). gain and shift are
 * matrices of f32 [groups, columns] (row stride `group_stride`), row group[r] for row r: adaptive
 * normalisation with one voice a request. */
struct mill_norm_args {
    struct mill_matrix y, x; /* may be the same memory */
    enum mill_norm_kind kind;
    float eps;
    const float *gain, *shift; /* shift NULL for RMS */
    int64_t group_stride;      /* elements */
    const int32_t *group;      /* [rows], or NULL = 0 for every row */
    enum mill_activation act;
};

/* What two outputs beside each other become, a = v[2j] and b = v[2j + 1]: GATE y[j] = a act(b),
 * MAGNITUDE y[j] = sqrt(a^2 + b^2). */
enum mill_pairs { MILL_PAIRS_NONE, MILL_PAIRS_GATE, MILL_PAIRS_MAGNITUDE };

/* v = x W^T + bias[group], y = act(v) + residual; or, of pairs of v, half as wide: y = pairs(v) +
 * residual. With `gain`, x is RMS-normalised first: to the last bit what the backend's `norm` into
 * a matrix of f32 and then this give.
 * MILL_F32 weights: f32 products. MILL_BF16: x rounded to bf16, f32 sums. MILL_I8: x quantised per
 * row to 16 bits, integer sums (exact), then one scale: see kernels/README.md. */
struct mill_linear_args {
    struct mill_matrix y, x; /* y [rows, n_out], of pairs [rows, n_out / 2]; x [rows, n_in] */
    const float *gain;       /* of the norm, [n_in], or NULL */
    float eps;               /* ... */
    struct mill_weight w;    /* no operator writes it, nor gain; of groups one may write the bias */
    int32_t first_out, n_out;    /* a range of w's outputs, first_out a multiple of MILL_PACK_ROWS;
                                    n_out 0 = all */
    enum mill_activation act;    /* not with MAGNITUDE */
    enum mill_pairs pairs;       /* then n_out is even */
    struct mill_matrix residual; /* data NULL = none; may be y itself */
    const int32_t *bias_group;   /* [rows] -> row of w.bias as [groups, bias_stride], or NULL = 0 */
    int64_t bias_stride;
};

/* Two calls of `linear` to the last bit, but down.x is up.y, which holds anything afterwards. */
struct mill_feed_forward_args {
    struct mill_linear_args up, down;
};

/* ------------------------------------------------------------------ language model operators */

/* Which rows belong to which sequence, and where its keys and values are. Made by the host for a
 * step and copied to the device in front of its operators, which may look at it, and at what the
 * cache held then, before the operators in front are done; every array is device memory. A page is
 * appended to by one sequence of a step at most; others of the same step may attend to what it
 * appends there. */
struct mill_batch {
    int32_t n_sequences, n_rows, max_pages;
    /* [n_sequences + 1]: rows of sequence s are row_first[s] .. row_first[s + 1] - 1. */
    const int32_t *row_first;
    /* [n_sequences]: tokens in the cache before this step; row j stands at n_cached + j. */
    const int32_t *n_cached;
    const int32_t *page_table; /* [n_sequences, max_pages]: page numbers in order of position */
};

/* The page pool of one layer: page p, key or value, head h, position t, d consecutive elements.
 * With MILL_I8 these are codes, and behind them a page has its scales, f32 [2][n_heads]
 * [page_tokens]: an element stands for code * scale. */
struct mill_kv_pages {
    void *data; /* [n_pages][2][n_heads][page_tokens][head_dim], the layer's first page */
    enum mill_dtype dtype; /* MILL_F32, MILL_BF16 or MILL_I8 */
    int32_t n_heads, page_tokens, head_dim;
    /* Elements from page to page (layers may be interleaved); MILL_I8: a multiple of 4. */
    int64_t page_stride;
};

/* Elements of one layer's part of a page, its scales included. */
static inline int64_t mill_kv_page_elements(const struct mill_kv_pages *kv) {
    int64_t scale_bytes = kv->dtype == MILL_I8 ? (int64_t)sizeof(float) : 0;
    return (int64_t)2 * kv->n_heads * kv->page_tokens * (kv->head_dim + scale_bytes);
}

/* Rotate q and k in place by their position (pair (j, j + d/2), angle position * theta^(-2j/d)),
 * then write k and v into pages. x is the fused projection [rows, (n_heads + 2 * kv.n_heads) *
 * head_dim]: all q heads, then k, then v. MILL_I8 pages: see kernels/README.md. */
struct mill_rope_append_args {
    struct mill_matrix x;
    int32_t n_heads;
    const float *frequency; /* [head_dim / 2]: theta^(-2j/d) */
    struct mill_batch batch;
    struct mill_kv_pages kv;
};

/* y[r, h] = softmax(q[r, h] . K[0 .. position(r)] * scale) V, causal; query head h reads kv head h
 * / (n_heads / kv.n_heads). With `frequency`, x is as the projection left it: first what
 * rope_append does, to the last bit, but that nobody knows what x then holds. For steps of one row
 * a sequence, none of which reads what another appends. */
struct mill_attn_paged_args {
    struct mill_matrix y; /* [rows, n_heads * head_dim] */
    struct mill_matrix x; /* as rope_append left it, only q is read */
    int32_t n_heads;
    float scale;
    struct mill_batch batch;
    struct mill_kv_pages kv;
    const float *frequency; /* of rope_append, or NULL */
};

/* Draw one token per row of logits: temperature, then top_k, then top_p (the published order: a
 * candidate is kept while the probability before it is less than top_p), candidates by falling
 * logit, ties by rising column; the draw is the first candidate whose cumulative probability
 * exceeds u. temperature 0 = the largest logit. A row with a logit that is not finite gets token
 * -1. u = mill_philox_uniform(seed[r], position[r]) (runtime/base/philox.h). What says how to draw
 * was copied to the device in front of a step's operators, as a batch is (mill_batch). */
struct mill_sample_args {
    struct mill_matrix logits;        /* f32 */
    const int32_t *ids;               /* [columns]: each column's token, or NULL = the column */
    int32_t *tokens;                  /* [rows]: out */
    const float *temperature, *top_p; /* [rows]; top_p 1 = off */
    const int32_t *top_k;             /* [rows]; 0 = off */
    const uint64_t *seed, *position;  /* [rows] */
    const double *u;                  /* [rows] in place of them, or NULL; for tests */
};

/* ------------------------------------------------------------------ codec operators */

/* y[t] = act(bias + sum over tap of W[tap] pre(x[t + tap * dilation - padding])) + residual[t], t =
 * time (see mill_span); pre(x) = x + sin^2(alpha x) / (alpha + 1e-9) per channel (snake) where
 * alpha is given, else x. Zeros are padded behind pre. */
struct mill_conv1d_args {
    struct mill_matrix y, x;
    struct mill_weight w;
    bool depthwise; /* w [channels][taps][1]: channel c reads channel c */
    int32_t dilation, padding;
    const float *alpha; /* [n_in], or NULL */
    enum mill_activation act;
    struct mill_matrix residual;   /* data NULL = none; may be y itself where x is not */
    const struct mill_span *spans; /* host, [n_spans] */
    int32_t n_spans;
};

/* y[t] = bias + sum over the taps with (t + padding - tap) divisible by stride of W[tap] pre(x[(t +
 * padding - tap) / stride]). */
struct mill_conv_transpose1d_args {
    struct mill_matrix y, x;
    struct mill_weight w; /* [n_out][n_taps][n_in] */
    int32_t stride, padding;
    const float *alpha;
    const struct mill_span *spans; /* host */
    int32_t n_spans;
};

/* y[t] = x[t] + b2 + W2 snake2(b1 + sum over tap of W1[tap] snake1(x[t + tap * dilation -
 * padding])), to the last bit what the backend's conv1d makes of it in two calls: W1 into a matrix
 * of f32, then W2 with x as residual. Every output time lies in its span's input; y is not x. */
struct mill_residual_unit_args {
    struct mill_matrix y, x;
    struct mill_weight dilated, pointwise; /* [c][n_taps][c] and [c][1][c]: W1, b1 and W2, b2 */
    const float *alpha1, *alpha2;          /* [c] */
    int32_t dilation, padding;
    const struct mill_span *spans; /* host */
    int32_t n_spans;
};

/* ------------------------------------------------------------------ encoder operators
 * A backend may lack attn_dense and pool_mean (NULL): cloning then runs on the cpu backend. A
 * strided convolution without padding is a linear layer over overlapping rows (x.stride less than
 * x.columns); the nearest codeword is a linear layer and a draw at temperature 0; the spectrogram
 * is two linear layers, the first one's pairs (cosine, sine) taken to their MAGNITUDE. */

/* Attention of every query row of a span over every key row of it, both ways: y[r, h] =
 * softmax(q[r, h] . k[s, h] * scale) v[s, h]. The span's x side is rows of k and v, its y side rows
 * of q and y; places are not looked at. */
struct mill_attn_dense_args {
    struct mill_matrix y, q, k, v; /* [rows, n_heads * head_dim] each; f32 */
    int32_t n_heads;
    float scale;
    const struct mill_span *spans; /* host */
    int32_t n_spans;
};

/* y[y_first] = mean over the rows [x_first, x_first + n_x) of x, for each span. */
struct mill_pool_mean_args {
    struct mill_matrix y, x;
    const struct mill_span *spans; /* host */
    int32_t n_spans;
};

/* y[r] = x[r] * x_scale + z[r] * z_scale * gain[group[r]]; gain [groups, columns] or NULL = 1. y
 * may be x or z. */
struct mill_mix_args {
    struct mill_matrix y, x, z;
    float x_scale, z_scale;
    const float *gain;
    int64_t group_stride;
    const int32_t *group; /* [rows], or NULL = 0 for every row */
};

/* ------------------------------------------------------------------ the table */

struct mill_backend; /* one device: its memory, its scratch, its threads; one thread calls it */
struct mill_event;   /* a place in the order of work */
struct mill_graph;   /* operators and copies, recorded to be repeated */

struct mill_backend_options {
    int32_t n_threads; /* cpu: 0 = one per processor */
    /* NULL = the best there is. For tests, cpu: "avx2", "avx512", "avx512_bf16"; cuda: "sm_75",
     * "sm_80", "sm_86" = as if the card were no newer. */
    const char *isa;
    int32_t device;            /* cuda: which card, counted from 0 */
    size_t memory_limit_bytes; /* cuda: of the device, at most; 0 = what it has */
};

struct mill_backend_ops {
    uint32_t abi;
    const char *name; /* "reference", "cpu", "cuda", "emulator" */
    /* Name of the order that weight_pack writes; part of a converted checkpoint's identity. */
    const char *weight_layout;
    bool asynchronous; /* calls return before their work is done */

    /* Devices that `open` can be asked for; with the reason in the error, 0 where there are none
     * and a failure where what is there does not work. NULL = one. */
    int32_t (*n_devices)(struct mill_error *);
    mill_status (*open)(struct mill_backend **out, const struct mill_backend_options *,
                        struct mill_error *);
    void (*close)(struct mill_backend *);
    /* What it runs on, one line for logs: "avx512_bf16, 2 threads". Borrowed. */
    const char *(*describe)(const struct mill_backend *);
    /* What the last call that failed says of it, one line: "linear: no memory". Borrowed, until
     * another one fails. NULL = the status says it all. */
    const char *(*failure)(const struct mill_backend *);

    /* Weights: host functions. Bytes of the packed image of a shape; writing output rows
     * [first_out, first_out + n_rows) of it from f32 rows [n_rows][n_taps * n_in] in tap-major
     * order. */
    size_t (*weight_bytes)(const struct mill_weight_shape *);
    void (*weight_pack)(const struct mill_weight_shape *, int32_t first_out, int32_t n_rows,
                        const float *rows, void *image);

    /* Device memory, 64-byte aligned at least. `upload` makes a host region (weights) readable by
     * operators and may return the region itself; `release` undoes it. `memory`: what alloc can
     * still give, about, and all there is; both 0 where it is the host's. */
    void *(*alloc)(struct mill_backend *, size_t bytes);
    void (*free)(struct mill_backend *, void *);
    const void *(*upload)(struct mill_backend *, const void *host, size_t bytes);
    void (*release)(struct mill_backend *, const void *device);
    mill_status (*memory)(struct mill_backend *, size_t *free_bytes, size_t *total_bytes);
    /* Host memory that copies need not stage; 64-byte aligned. */
    void *(*host_alloc)(struct mill_backend *, size_t bytes);
    void (*host_free)(struct mill_backend *, void *);

    /* Copies take their turn among the operators. copy_in has read `host` when it returns, unless
     * that is host_alloc's: then when the copy's turn is over. What copy_out and operators wrote is
     * there after synchronize, or after event_wait on an event recorded behind it. copy_within may
     * read another device's memory, of a backend of the same table. */
    mill_status (*copy_in)(struct mill_backend *, void *device, const void *host, size_t bytes);
    mill_status (*copy_out)(struct mill_backend *, void *host, const void *device, size_t bytes);
    mill_status (*copy_within)(struct mill_backend *, void *to, const void *from, size_t bytes);
    mill_status (*synchronize)(struct mill_backend *);
    mill_status (*event_new)(struct mill_backend *, struct mill_event **out);
    void (*event_free)(struct mill_backend *, struct mill_event *);
    mill_status (*event_record)(struct mill_backend *, struct mill_event *);
    mill_status (*event_wait)(struct mill_backend *, struct mill_event *);

    /* Optional, all or none. Calls between begin and end are not run but recorded, with their
     * arguments (pointers, not what they point to; spans by value); launch runs them all. After a
     * failed call between the two, end says so and *out is NULL. */
    mill_status (*graph_begin)(struct mill_backend *);
    mill_status (*graph_end)(struct mill_backend *, struct mill_graph **out);
    mill_status (*graph_launch)(struct mill_backend *, struct mill_graph *);
    void (*graph_free)(struct mill_backend *, struct mill_graph *);

    mill_status (*embed)(struct mill_backend *, const struct mill_embed_args *);
    mill_status (*copy_rows)(struct mill_backend *, const struct mill_copy_rows_args *);
    mill_status (*norm)(struct mill_backend *, const struct mill_norm_args *);
    mill_status (*linear)(struct mill_backend *, const struct mill_linear_args *);
    /* Optional: NULL = two calls of linear. */
    mill_status (*feed_forward)(struct mill_backend *, const struct mill_feed_forward_args *);

    mill_status (*rope_append)(struct mill_backend *, const struct mill_rope_append_args *);
    mill_status (*attn_paged)(struct mill_backend *, const struct mill_attn_paged_args *);
    mill_status (*sample)(struct mill_backend *, const struct mill_sample_args *);

    mill_status (*conv1d)(struct mill_backend *, const struct mill_conv1d_args *);
    mill_status (*conv_transpose1d)(struct mill_backend *,
                                    const struct mill_conv_transpose1d_args *);
    /* Optional: NULL = two calls of conv1d. */
    mill_status (*residual_unit)(struct mill_backend *, const struct mill_residual_unit_args *);

    mill_status (*attn_dense)(struct mill_backend *, const struct mill_attn_dense_args *);
    mill_status (*pool_mean)(struct mill_backend *, const struct mill_pool_mean_args *);
    mill_status (*mix)(struct mill_backend *, const struct mill_mix_args *);
};

/* A backend's table by name; NULL with the names that exist in `err`. */
const struct mill_backend_ops *mill_backend_find(const char *name, struct mill_error *err);

/* What to tell of a call of this backend that failed: its own words, else the status's. */
const char *mill_backend_failure(const struct mill_backend_ops *ops,
                                 const struct mill_backend *backend, mill_status status);

/* `feed_forward` by any backend. */
mill_status mill_feed_forward(const struct mill_backend_ops *ops, struct mill_backend *backend,
                              const struct mill_feed_forward_args *args);

#ifdef __cplusplus
}
#endif

#endif
