/* isa.h - the inner loops, compiled once per instruction set, behind one table.
 *
 * Everything that loops over registers lies behind this table (isa_*.c, which include lanes.inc,
 * tile.inc and attn.inc); everything that decides what to compute, in which order and on which
 * thread is compiled once, above it. Every function here computes a row, or a small tile of rows,
 * in an order that does not depend on how many rows there are: that is what makes results
 * independent of batch, window and thread. */
#ifndef MILL_KERNELS_CPU_ISA_H
#define MILL_KERNELS_CPU_ISA_H

#include "kernels/backend.h"

enum {
    TILE_ROWS = 12, /* rows of a tile, at most; even */
    PANEL =
        64, /* outputs of a weight panel; the last panel is as wide as needed, in steps of LANES */
    LANES = 16,          /* every ISA's vectors divide it */
    I8_CHUNK = 512,      /* products any 32-bit sum can take: 512 * 127 * 32767 < 2^31 */
    ATTN_QUERIES = 32,   /* queries (heads or rows) handled at once in attention */
    ATTN_HEAD_DIM = 256, /* largest head, a multiple of LANES */
    ATTN_KEYS = 64,      /* keys handled at once, a multiple of LANES */
};

/* sums[r][c] = sum over tap, k of a(r, tap)[k] * b(tap)[k][c], in rising order of tap and k. */
struct tile {
    const char *a;             /* row 0, tap 0 of the prepared input */
    ptrdiff_t a_row, a_tap;    /* bytes from row to row, from tap to tap */
    const char *b;             /* the panel at its first tap */
    ptrdiff_t b_tap;           /* bytes from tap to tap */
    int32_t n_taps, n_k;       /* n_k: elements a tap, in pairs for bf16 and i8 */
    int32_t n_run;             /* i8: so many pairs go into a 32-bit sum */
    int32_t n_rows, n_columns; /* 1 .. TILE_ROWS; 16, 32, 48 or 64 = the panel's width */
    const char *next;          /* to be on its way into the cache meanwhile: */
    int64_t next_bytes;        /* so many bytes */
    float (*sums)[PANEL];      /* [n_rows]: out */
};

/* y = act(sums * (row_scale * scale) + bias) + residual over n sums, or their pairs (backend.h);
 * scale, bias, residual may be NULL. */
struct finish {
    float *y;
    const float *sums, *scale, *bias, *residual;
    float row_scale;
    enum mill_activation act;
    enum mill_pairs pairs;
    int32_t n;
};

/* A row as codes: what one of them stands for, and the sum of their magnitudes, exact up to 2^24.
 */
struct coded_row {
    float scale, magnitude;
};

/* What is done to a row before it is converted. */
struct before {
    const float *alpha; /* snake, or NULL */
    const float *gain;  /* times scale times gain, or NULL */
    float scale;
};

/* Queries that read the same keys - the heads of a row that share a key/value head, or rows of one
 * head - and how far their softmax has come. */
struct attn_queries {
    int32_t n, head_dim;
    _Alignas(64) float q[ATTN_QUERIES * ATTN_HEAD_DIM]; /* [n][head_dim], scaled */
    _Alignas(64) float y[ATTN_QUERIES * ATTN_HEAD_DIM]; /* [n][head_dim]: running weighted sum */
    float maximum[ATTN_QUERIES], total[ATTN_QUERIES];
};

/* A run of at most ATTN_KEYS keys and their values. */
struct attn_keys {
    const void *k, *v;
    const float *k_scale, *v_scale; /* I8: [n] */
    enum mill_dtype dtype;          /* F32, BF16 or I8 */
    int32_t n;
    int64_t k_stride, v_stride; /* elements from key to key */
};

struct cpu_isa {
    const char *name;
    bool (*supported)(void);
    void (*tile_f32)(const struct tile *);
    void (*tile_bf16)(const struct tile *);
    void (*tile_i8)(const struct tile *);
    void (*finish)(const struct finish *);

    /* Prepared rows: `before` (NULL = nothing), then converted; n_padded - n zeros behind. */
    void (*prepare_f32)(const float *x, const struct before *, int32_t n, int32_t n_padded,
                        void *out);
    void (*prepare_bf16)(const float *x, const struct before *, int32_t n, int32_t n_padded,
                         void *out);
    /* 16-bit codes of a row. */
    struct coded_row (*prepare_i16)(const float *x, const struct before *, int32_t n,
                                    int32_t n_padded, void *out);
    /* 8-bit codes of a row, with nothing before; returns the scale of one. */
    float (*prepare_i8)(const float *x, int32_t n, int32_t n_padded, void *out);

    /* 1 / sqrt(mean(x^2) + eps) */
    float (*inverse_rms)(const float *x, int32_t n, float eps);
    void (*norm)(const struct mill_norm_args *, int32_t row);
    /* One output row of a depthwise convolution from up to n_taps input rows (NULL = zeros). */
    void (*depthwise)(float *y, const float *const *x, const float *w, const float *bias,
                      int32_t n_taps, int32_t n);
    /* One row of y = x x_scale + z z_scale gain. */
    void (*mix)(const struct mill_mix_args *, int32_t row);
    /* Moves the queries' softmax on by a run of keys. */
    void (*attn)(struct attn_queries *, const struct attn_keys *);
};

const struct cpu_isa *mill_cpu_isa_avx2(void);
const struct cpu_isa *mill_cpu_isa_avx512(void);
const struct cpu_isa *mill_cpu_isa_avx512_bf16(void);

#endif
