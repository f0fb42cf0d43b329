/* harness.h - the operator tests: one case table, one fixture a case, one runner, one judge, used
 * by every backend and by every kind of test.
 *
 *   case table ── variant (case, rows, dtype) ── fixture (input data on the host, guards around)
 *                                                    │ run on a backend, in pieces
 *                                                    ▼
 *                                  output (with guards) ── judge against another output
 *
 * Every buffer is filled with poison (all bits set, a NaN) where the operator has nothing to read
 * or to write: a stray read spoils the result, a stray write is seen. One thread. */
#ifndef MILL_TESTS_KERNELS_HARNESS_H
#define MILL_TESTS_KERNELS_HARNESS_H

#include "kernels/backend.h"
#include "tests/kernels/cases.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- fixture.c: input data on the host, the same for the same variant */

enum { MAX_OWNED = 32 };

/* A matrix with a poisoned row before and behind it and, when strided, poisoned columns. */
struct guarded {
    float *values; /* [rows + 2, stride]; NULL = not in this case */
    int32_t rows, columns, stride;
};

struct fixture {
    struct variant v;
    void *owned[MAX_OWNED];
    int32_t n_owned;
    struct guarded x, y, residual; /* y = what it holds before the run */
    struct guarded key, value, z;  /* attn_dense: x is q; mix: x and z; what is fused: z between */
    float *weights, *bias;         /* [n_out][n_taps][n_in]; [groups][n_out] */
    float *pointwise, *bias2;      /* residual unit: [n_out][n_in]; [n_out] */
    float *alpha, *alpha2, *gain, *shift;
    bool in_two; /* residual unit, linear behind a norm, APPENDS: run it as two operators */
    void *table;
    int32_t *group, *ids, *drawn;
    int32_t group_stride, n_groups, table_rows;
    int32_t *row_first, *n_cached, *page_table; /* of the whole batch */
    int32_t n_sequences, max_pages, n_pages, page_tokens;
    int64_t page_stride;
    size_t page_bytes; /* of the pool */
    void *pages;
    float *frequency;
    float *temperature, *top_p;
    int32_t *top_k;
    double *u;
    struct mill_span *spans;
    int32_t n_spans;
};

/* What mix multiplies its two matrices by. */
#define MIX_X 0.75f
#define MIX_Z (-1.5f)

enum { N_TABLE_ROWS = 37, N_GROUPS = 3, PAGE_TOKENS = 8, MAX_HEAD_DIM = 256 };

/* Uniform in [-1, 1) from a state that it moves on. */
float random_value(uint64_t *state);
uint32_t random_below(uint64_t *state, uint32_t n);
/* Elements of a guarded matrix, guards and all; 0 without memory. */
size_t guarded_elements(const struct guarded *m);
/* All of a fixture, or an assertion failure. */
void fixture_init(struct fixture *f, const struct variant *v);
void fixture_deinit(struct fixture *f);
/* Zeroed memory that the fixture owns. */
void *fixture_take(struct fixture *f, size_t n, size_t size);
/* The logical shape of the weights. */
struct mill_weight_shape fixture_weight_shape(const struct fixture *f);
/* ... and of the residual unit's second one. */
struct mill_weight_shape fixture_pointwise_shape(const struct fixture *f);
/* ragged.c: the parts for ragged operators. */
void fixture_init_batch(struct fixture *f, uint64_t *random);
/* Appends the keys and values of all rows of x, guards and all, to `pages`, a pool of f's size. */
void fixture_append(const struct fixture *f, const float *x, void *pages);
/* The scale of a key's row of MILL_I8 pages; heads behind the keys' are the values'. */
float *page_scale(const struct fixture *f, void *pages, int32_t sequence, int32_t position,
                  int32_t head);
void fixture_init_spans(struct fixture *f);
/* A poisoned matrix of the case's stride; `fill` puts random values in its rows. */
struct guarded fixture_guarded(struct fixture *f, int32_t rows, int32_t columns);
void guarded_fill(struct guarded *m, int32_t first, int32_t rows, uint64_t *random);

/* ---- run.c */

struct rig { /* an open backend and the device memory of the run in hand */
    const struct mill_backend_ops *ops;
    struct mill_backend *backend;
    void *device[MAX_OWNED];
    int32_t n_device;
    bool behind_others; /* what an operator reads was written by a launch in front of it */
};

struct piece { /* rows of y to compute in one call */
    int32_t first, n;
};

struct output {
    float *values; /* all of y with its guards (rope_append: x; sample: tokens); owned */
    void *pages;   /* where rows are appended: the whole pool; else NULL; owned */
    size_t n_values, page_bytes;
    bool refused; /* an optional case that the backend does not have */
};

/* Operators' arguments, ready to call; made by prepare, which copies the fixture to the device. */
struct prepared {
    const struct fixture *f;
    struct mill_matrix x, y, residual, key, value, z;
    struct mill_weight w, pointwise;
    void *image[2]; /* host, owned */
    const void *uploaded[2];
    const float *alpha, *alpha2, *gain, *shift, *frequency;
    const void *table;
    const int32_t *group, *ids, *drawn, *page_table;
    struct mill_kv_pages kv;
    const float *temperature, *top_p;
    const int32_t *top_k;
    const double *u;
    int32_t *tokens;
    int32_t *row_first, *n_cached, *pages_of_piece; /* device: a piece's batch */
    int32_t *host_table;                            /* its page table as made, owned */
};

/* false: there is no such backend or instruction set here (`text` says which). */
bool rig_open(struct rig *rig, const char *backend, const char *isa, int32_t n_threads,
              struct mill_error *err);
void rig_close(struct rig *rig);
void *rig_put(struct rig *rig, const void *host, size_t bytes);

void prepare(struct rig *rig, struct prepared *p, const struct fixture *f);
void unprepare(struct rig *rig, struct prepared *p);
mill_status run_piece(struct rig *rig, const struct prepared *p, struct piece piece);
/* Everything: prepare, run the pieces in order, fetch, unprepare. false, with a line printed, when
 * a call failed. */
bool run(struct rig *rig, const struct fixture *f, const struct piece *pieces, int32_t n_pieces,
         struct output *out);
void output_deinit(struct output *out);
int32_t fixture_rows(const struct fixture *f); /* rows of y that pieces count */

/* ---- ragged.c: the part of a ragged operator that one piece is */

/* Spans that compute y rows of `piece` from the least of x that is enough; returns their number. */
int32_t pieces_of_spans(const struct fixture *f, struct piece piece, struct mill_span *out);
/* The batch of the piece's rows: [n + 1], [n], [n][max_pages] written; returns n. */
int32_t pieces_of_batch(const struct fixture *f, struct piece piece, int32_t *row_first,
                        int32_t *n_cached, int32_t *page_table);

/* ---- judge.c */

struct tolerance { /* |y - expected| <= absolute + relative * |expected|; kernels/README.md */
    double absolute, relative;
};
struct tolerance tolerance_of(const struct fixture *f);
/* Every value finite and within tolerance, every poisoned one untouched. Prints the first miss. */
bool judge_close(const struct fixture *f, const struct output *expected,
                 const struct output *actual);
/* The same bits. */
bool judge_equal(const struct fixture *f, const struct output *expected,
                 const struct output *actual, const char *what);
/* The operator's own cells written with finite values, all others still poison. */
bool judge_written(const struct fixture *f, const struct output *actual);

/* ---- contract.c, perf.c */

struct options {
    const char *backend, *isa; /* isa NULL = the best */
    bool small;                /* an emulated card with one multiprocessor */
};
int contract_tests(struct options *options); /* a cmocka group; returns its failures */
int perf_run(const struct options *options); /* a table on standard output; exit status */

#endif
