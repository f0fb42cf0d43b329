/* contract.c - what backend.h promises besides arithmetic: device services, weight packing in
 * pieces, no allocation in operators, nothing done for nothing, and values that are not finite
 * staying so. */
#include "runtime/base/philox.h"
#include "tests/kernels/harness.h"
#include "tests/support/fail_alloc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void open_or_fail(void **state, struct rig *rig) {
    const struct options *options = *state;
    struct mill_error err = {""};
    if (!rig_open(rig, options->backend, options->isa, 2, &err))
        fail_msg("%s", err.text);
}

static void fetch(struct rig *rig, void *host, const void *device, size_t bytes) {
    assert_int_equal(rig->ops->copy_out(rig->backend, host, device, bytes), MILL_OK);
    assert_int_equal(rig->ops->synchronize(rig->backend), MILL_OK);
}

static void test_services(void **state) {
    struct rig rig;
    open_or_fail(state, &rig);
    const struct mill_backend_ops *ops = rig.ops;
    assert_int_equal(ops->abi, MILL_BACKEND_ABI);
    assert_true(strlen(ops->weight_layout) > 0);
    assert_true(strlen(ops->describe(rig.backend)) > 0);
    ops->close(NULL);
    ops->free(rig.backend, NULL);
    ops->host_free(rig.backend, NULL);
    ops->event_free(rig.backend, NULL);

    char in[1000], out[1000] = {0};
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (char)(i * 7);
    void *device = ops->alloc(rig.backend, sizeof in);
    assert_non_null(device);
    assert_int_equal((uintptr_t)device % 64, 0);
    assert_int_equal(ops->copy_in(rig.backend, device, in, sizeof in), MILL_OK);
    fetch(&rig, out, device, sizeof out);
    assert_memory_equal(in, out, sizeof in);
    assert_int_equal(ops->copy_out(rig.backend, out, device, 0), MILL_OK);
    ops->free(rig.backend, device);

    memset(out, 0, sizeof out);
    const void *uploaded = ops->upload(rig.backend, in, sizeof in);
    assert_non_null(uploaded);
    fetch(&rig, out, uploaded, sizeof out);
    assert_memory_equal(in, out, sizeof in);
    ops->release(rig.backend, uploaded);
    size_t free_bytes = 1, total_bytes = 0;
    assert_int_equal(ops->memory(rig.backend, &free_bytes, &total_bytes), MILL_OK);
    assert_true(free_bytes <= total_bytes);
    rig_close(&rig);
}

/* Copies of both kinds of host memory and within the device, in their order; an event behind the
 * last is enough to see it. */
static void test_copies_and_events(void **state) {
    struct rig rig;
    open_or_fail(state, &rig);
    const struct mill_backend_ops *ops = rig.ops;
    char passing[64];
    char *from = ops->host_alloc(rig.backend, 64), *to = ops->host_alloc(rig.backend, 64);
    char *device = ops->alloc(rig.backend, 192);
    struct mill_event *event = NULL;
    assert_true(from && to && device);
    assert_int_equal(ops->event_new(rig.backend, &event), MILL_OK);
    memset(from, 1, 64);
    memset(to, 0, 64);
    memset(passing, 2, 64);
    assert_int_equal(ops->copy_in(rig.backend, device, from, 64), MILL_OK);
    assert_int_equal(ops->copy_in(rig.backend, device + 64, passing, 64), MILL_OK);
    memset(passing, 3, 64); /* has been read */
    assert_int_equal(ops->copy_within(rig.backend, device + 128, device + 64, 64), MILL_OK);
    assert_int_equal(ops->copy_within(rig.backend, device + 64, device, 64), MILL_OK);
    assert_int_equal(ops->copy_out(rig.backend, to, device + 128, 64), MILL_OK);
    assert_int_equal(ops->event_record(rig.backend, event), MILL_OK);
    assert_int_equal(ops->event_wait(rig.backend, event), MILL_OK);
    for (int i = 0; i < 64; i++)
        assert_int_equal(to[i], 2);
    fetch(&rig, passing, device + 64, 64);
    for (int i = 0; i < 64; i++)
        assert_int_equal(passing[i], 1);
    ops->event_free(rig.backend, event);
    ops->free(rig.backend, device);
    ops->host_free(rig.backend, from);
    ops->host_free(rig.backend, to);
    rig_close(&rig);
}

/* A graph repeats its calls on what their pointers then point to. */
static void test_graphs(void **state) {
    struct rig rig;
    open_or_fail(state, &rig);
    const struct mill_backend_ops *ops = rig.ops;
    if (!ops->graph_begin) {
        assert_true(!ops->graph_end && !ops->graph_launch && !ops->graph_free);
        rig_close(&rig);
        skip();
    }
    const int32_t first[4] = {1, 2, 3, 4}, second[4] = {5, 6, 7, 8};
    int32_t seen[4];
    struct mill_graph *graph = NULL;
    int32_t *device = rig_put(&rig, first, sizeof first),
            *copy = rig_put(&rig, second, sizeof seen);
    assert_int_equal(ops->graph_begin(rig.backend), MILL_OK);
    assert_int_equal(ops->copy_within(rig.backend, copy, device, sizeof first), MILL_OK);
    assert_int_equal(ops->graph_end(rig.backend, &graph), MILL_OK);
    fetch(&rig, seen, copy, sizeof seen);
    assert_memory_equal(seen, second, sizeof seen); /* recorded, not run */
    assert_int_equal(ops->graph_launch(rig.backend, graph), MILL_OK);
    fetch(&rig, seen, copy, sizeof seen);
    assert_memory_equal(seen, first, sizeof seen);
    assert_int_equal(ops->copy_in(rig.backend, device, second, sizeof second), MILL_OK);
    assert_int_equal(ops->graph_launch(rig.backend, graph), MILL_OK);
    fetch(&rig, seen, copy, sizeof seen);
    assert_memory_equal(seen, second, sizeof seen);
    ops->graph_free(rig.backend, graph);
    unprepare(&rig, &(struct prepared){0});
    rig_close(&rig);
}

/* Packs a shape at once and in pieces of MILL_PACK_ROWS: the same image, nothing behind it. */
static void check_packing(const struct mill_backend_ops *ops, struct mill_weight_shape shape) {
    size_t n = (size_t)shape.n_taps * (size_t)shape.n_in, bytes = ops->weight_bytes(&shape);
    assert_true(bytes >= (size_t)shape.n_out * n * mill_dtype_bytes(shape.dtype));
    size_t room = (bytes + 63) / 64 * 64 + 64;
    float *rows = malloc((size_t)shape.n_out * n * sizeof *rows);
    char *whole = aligned_alloc(64, room), *pieces = aligned_alloc(64, room);
    assert_true(rows && whole && pieces);
    uint64_t random = 1;
    for (size_t i = 0; i < (size_t)shape.n_out * n; i++)
        rows[i] = random_value(&random);
    memset(whole, 0x5a, room);
    memset(pieces, 0x5a, room);
    ops->weight_pack(&shape, 0, shape.n_out, rows, whole);
    for (int32_t first = 0; first < shape.n_out; first += MILL_PACK_ROWS) {
        int32_t left = shape.n_out - first;
        ops->weight_pack(&shape, first, left < MILL_PACK_ROWS ? left : MILL_PACK_ROWS,
                         rows + (size_t)first * n, pieces);
    }
    assert_memory_equal(whole, pieces, room);
    for (size_t i = bytes; i < room; i++)
        assert_int_equal(whole[i], 0x5a);
    free(rows);
    free(whole);
    free(pieces);
}

static void test_weight_packing(void **state) {
    struct rig rig;
    open_or_fail(state, &rig);
    static const enum mill_dtype dtypes[] = {MILL_F32, MILL_BF16, MILL_I8};
    static const int32_t outs[] = {1, 63, 64, 65, 128, 200}, ins[] = {1, 6, 63, 130};
    for (size_t d = 0; d < 3; d++)
        for (size_t o = 0; o < sizeof outs / sizeof *outs; o++)
            for (size_t i = 0; i < sizeof ins / sizeof *ins; i++) {
                check_packing(rig.ops, (struct mill_weight_shape){outs[o], 1, ins[i], dtypes[d]});
                if (dtypes[d] != MILL_I8)
                    check_packing(rig.ops,
                                  (struct mill_weight_shape){outs[o], 7, ins[i], dtypes[d]});
            }
    rig_close(&rig);
}

/* Counts the allocations of a variant's run, the backend's first sight of it. */
static bool visit_allocations(const struct variant *v, void *context) {
    struct rig *rig = context;
    struct fixture f;
    struct prepared p;
    fixture_init(&f, v);
    prepare(rig, &p, &f);
    mill_fail_alloc_at(0); /* counts from here */
    mill_status status = run_piece(rig, &p, (struct piece){0, fixture_rows(&f)});
    rig->ops->synchronize(rig->backend);
    long n_allocations = mill_fail_alloc_count();
    unprepare(rig, &p);
    fixture_deinit(&f);
    if (status == MILL_E_UNSUPPORTED && variant_is_optional(v))
        status = MILL_OK;
    char name[128];
    if (n_allocations || status != MILL_OK)
        fprintf(stderr, "  %s: status %d, %ld allocations\n", variant_name(v, name), status,
                n_allocations);
    return n_allocations == 0 && status == MILL_OK;
}

static void test_operators_allocate_nothing(void **state) {
    struct rig rig;
    if (!mill_fail_alloc_works())
        skip();
    open_or_fail(state, &rig);
    if (!rig.ops->asynchronous) /* else the queue of work is the driver's memory */
        assert_int_equal(each_variant(false, visit_allocations, &rig), 0);
    rig_close(&rig);
}

/* No rows at all, with matrices that have no memory. */
static void test_no_rows(void **state) {
    struct rig rig;
    open_or_fail(state, &rig);
    struct mill_matrix none = {NULL, MILL_F32, 0, 64, 64};
    float gain[64] = {0};
    assert_int_equal(
        rig.ops->embed(rig.backend, &(struct mill_embed_args){.y = none, .table_dtype = MILL_F32}),
        MILL_OK);
    assert_int_equal(
        rig.ops->copy_rows(rig.backend, &(struct mill_copy_rows_args){.y = none, .x = none}),
        MILL_OK);
    assert_int_equal(
        rig.ops->norm(rig.backend, &(struct mill_norm_args){.y = none, .x = none, .gain = gain}),
        MILL_OK);
    assert_int_equal(rig.ops->sample(rig.backend, &(struct mill_sample_args){.logits = none}),
                     MILL_OK);
    assert_int_equal(
        rig.ops->mix(rig.backend, &(struct mill_mix_args){.y = none, .x = none, .z = none}),
        MILL_OK);
    if (!rig.ops->attn_dense) { /* no encoder group */
        rig_close(&rig);
        return;
    }
    assert_int_equal(
        rig.ops->pool_mean(rig.backend, &(struct mill_pool_mean_args){.y = none, .x = none}),
        MILL_OK);
    assert_int_equal(
        rig.ops->attn_dense(rig.backend,
                            &(struct mill_attn_dense_args){
                                .y = none, .q = none, .k = none, .v = none, .n_heads = 2}),
        MILL_OK);
    rig_close(&rig);
}

/* A row of x with a NaN or an infinity in one place. */
static void spoil(struct fixture *f, int32_t row, float value) {
    f->x.values[((size_t)row + 1) * (size_t)f->x.stride + (size_t)f->x.columns / 2] = value;
}

/* Whether output column i of a row depends on what `spoil` spoils in it. */
static bool depends_on_spoiled(const struct fixture *f, int32_t i) {
    const struct kernel_case *c = f->v.c;
    int32_t spoiled = f->x.columns / 2 % f->y.columns;
    if (c->op == OP_ATTN_DENSE)
        return i / c->head_dim == spoiled / c->head_dim;
    if (c->op == OP_MIX || c->norm == MILL_NORM_AFFINE)
        return i == spoiled;
    return true;
}

/* Operators on rows: the spoiled row says so, its neighbours do not change. */
static bool visit_not_finite(const struct variant *v, void *context) {
    struct rig *rig = context;
    enum operator_kind op = v->c->op;
    if (v->rows != 9 || v->c->n_in == 1 || v->c->act == MILL_ACT_TANH ||
        v->c->flags & (IN_PLACE | OVERLAP | OPTIONAL) ||
        (op != OP_LINEAR && op != OP_NORM && op != OP_MIX && op != OP_ATTN_DENSE))
        return true;
    struct fixture f;
    struct output clean, spoiled;
    fixture_init(&f, v);
    bool good = run(rig, &f, &(struct piece){0, 9}, 1, &clean), refused = clean.refused;
    spoil(&f, 2, NAN);
    spoil(&f, 7, v->dtype == MILL_I8 ? INFINITY : NAN);
    good &= run(rig, &f, &(struct piece){0, 9}, 1, &spoiled);
    for (int32_t r = 0; r < 9 && !refused; r++)
        for (int32_t i = 0; i < f.y.columns; i++) {
            size_t at = ((size_t)r + 1) * (size_t)f.y.stride + (size_t)i;
            good &= (r == 2 || r == 7) && depends_on_spoiled(&f, i)
                        ? isnan(spoiled.values[at]) != 0
                        : spoiled.values[at] == clean.values[at];
        }
    char name[128];
    if (!good)
        fprintf(stderr, "  %s: a NaN got lost or spread\n", variant_name(v, name));
    output_deinit(&clean);
    output_deinit(&spoiled);
    fixture_deinit(&f);
    return good;
}

static void test_not_finite_stays(void **state) {
    struct rig rig;
    open_or_fail(state, &rig);
    assert_int_equal(each_variant(false, visit_not_finite, &rig), 0);
    rig_close(&rig);
}

/* Columns of y that belong to a query head, NaN or as they were. */
static bool head_is(const struct fixture *f, const struct output *before,
                    const struct output *after, int32_t row, int32_t head, bool spoiled) {
    int32_t d = f->v.c->head_dim;
    size_t at = ((size_t)row + 1) * (size_t)f->y.stride + (size_t)(head * d);
    bool good = true;
    for (int32_t i = 0; i < d; i++)
        good &= spoiled ? isnan(after->values[at + (size_t)i]) != 0
                        : after->values[at + (size_t)i] == before->values[at + (size_t)i];
    return good;
}

/* A NaN in a query: its head of its row. One in a key: every row of its sequence, in the heads that
 * share it, and no other sequence. */
static bool visit_not_finite_attention(const struct variant *v, void *context) {
    struct rig *rig = context;
    const struct kernel_case *c = v->c;
    if (c->op != OP_ATTN_PAGED || c->flags & OPTIONAL || c->n_sequences < 2)
        return true;
    struct fixture f;
    struct output clean, query, key;
    fixture_init(&f, v);
    struct piece all = {0, fixture_rows(&f)};
    bool good = run(rig, &f, &all, 1, &clean);
    int32_t row = f.row_first[f.n_sequences - 1], shared = c->n_heads / c->n_kv_heads;
    float *x = &f.x.values[((size_t)row + 1) * (size_t)f.x.stride], kept = x[3];
    x[3] = NAN;
    good &= run(rig, &f, &all, 1, &query);
    x[3] = kept;
    int64_t at = f.page_table[0] * f.page_stride; /* the first key of the first sequence, head 0 */
    if (v->dtype == MILL_I8)
        *page_scale(&f, f.pages, 0, 0, 0) = NAN;
    else if (v->dtype == MILL_F32)
        ((float *)f.pages)[at] = NAN;
    else
        ((uint16_t *)f.pages)[at] = 0x7fc0;
    good &= run(rig, &f, &all, 1, &key);
    for (int32_t r = 0; r < f.y.rows; r++)
        for (int32_t h = 0; h < c->n_heads; h++)
            good &= head_is(&f, &clean, &query, r, h, r == row && h == 0) &&
                    head_is(&f, &clean, &key, r, h, r < f.row_first[1] && h < shared);
    char name[128];
    if (!good)
        fprintf(stderr, "  %s: a NaN got lost or spread\n", variant_name(v, name));
    output_deinit(&clean);
    output_deinit(&query);
    output_deinit(&key);
    fixture_deinit(&f);
    return good;
}

static void test_not_finite_stays_in_attention(void **state) {
    struct rig rig;
    open_or_fail(state, &rig);
    assert_int_equal(each_variant(false, visit_not_finite_attention, &rig), 0);
    rig_close(&rig);
}

/* More spans than any backend passes on at once, in reverse. */
static void test_many_spans(void **state) {
    enum { N = 300 };
    struct rig rig;
    float x[N][3], y[N][3];
    struct mill_span spans[N];
    open_or_fail(state, &rig);
    for (int32_t i = 0; i < N; i++) {
        spans[i] = (struct mill_span){.x_first = i, .n_x = 1, .y_first = N - 1 - i, .n_y = 1};
        for (int32_t j = 0; j < 3; j++)
            x[i][j] = (float)(3 * i + j);
    }
    memset(y, 0xff, sizeof y);
    const struct mill_copy_rows_args args = {.y = {rig_put(&rig, y, sizeof y), MILL_F32, N, 3, 3},
                                             .x = {rig_put(&rig, x, sizeof x), MILL_F32, N, 3, 3},
                                             .spans = spans,
                                             .n_spans = N};
    assert_int_equal(rig.ops->copy_rows(rig.backend, &args), MILL_OK);
    fetch(&rig, y, args.y.data, sizeof y);
    for (int32_t i = 0; i < N; i++)
        assert_memory_equal(y[i], x[N - 1 - i], sizeof y[i]);
    unprepare(&rig, &(struct prepared){0});
    rig_close(&rig);
}

/* Seeds and positions stand for the numbers that Philox makes of them. */
static void test_sample_by_seed(void **state) {
    enum { ROWS = 7, N = 1000 };
    static const float logits[ROWS][N]; /* all equal: u alone decides */
    static const float ones[ROWS] = {1, 1, 1, 1, 1, 1, 1};
    static const int32_t none[ROWS];
    uint64_t seed[ROWS], position[ROWS];
    int32_t tokens[ROWS];
    struct rig rig;
    open_or_fail(state, &rig);
    for (uint64_t r = 0; r < ROWS; r++) {
        seed[r] = 0x123456789abcdef0u * (r + 1);
        position[r] = r << (8 * r);
    }
    const struct mill_sample_args args = {
        .logits = {rig_put(&rig, logits, sizeof logits), MILL_F32, ROWS, N, N},
        .tokens = rig_put(&rig, none, sizeof none),
        .temperature = rig_put(&rig, ones, sizeof ones),
        .top_p = rig_put(&rig, ones, sizeof ones),
        .top_k = rig_put(&rig, none, sizeof none),
        .seed = rig_put(&rig, seed, sizeof seed),
        .position = rig_put(&rig, position, sizeof position)};
    assert_int_equal(rig.ops->sample(rig.backend, &args), MILL_OK);
    fetch(&rig, tokens, args.tokens, sizeof tokens);
    for (int r = 0; r < ROWS; r++)
        assert_int_equal(tokens[r], (int)(mill_philox_uniform(seed[r], position[r]) * N));
    unprepare(&rig, &(struct prepared){0});
    rig_close(&rig);
}

/* Sampling's edges, exact on every backend: one row a line. */
static void test_sample_edges(void **state) {
    static const struct {
        float logits[4], temperature, top_p;
        int32_t top_k;
        double u;
        int32_t column;
    } rows[] = {
        {{1, 3, 3, 2}, 0, 1, 0, 0.999, 1},            /* greedy, tie: the lower column */
        {{1, 3, 3, 2}, 1, 1, 2, 0.499, 1},            /* two equal candidates */
        {{1, 3, 3, 2}, 1, 1, 2, 0.501, 2},            /* ... the second */
        {{1, 3, 3, 2}, 1, 1, 1, 0.999, 1},            /* top_k 1 */
        {{3, 3, 3, 3}, 1, 1, 3, 0.999, 2},            /* a tie at the k-th keeps the lower ones */
        {{0, 0, 0, 0}, 1, 1, 0, 0.75, 3},             /* u at an edge: the next one */
        {{0, 0, 0, 0}, 1, 1, 0, 0.25, 1},             /* ... */
        {{0, 0, 0, 0}, 1, 1, 9, 0.0, 0},              /* top_k larger than the row */
        {{0, 0, 0, 0}, 1, 0.5f, 0, 0.999, 1},         /* 0.5 before the third: not less than 0.5 */
        {{0, 0, 0, 0}, 1, 0.51f, 0, 0.999, 2},        /* ... less than 0.51 */
        {{5, 9, 1, 2}, 1, 1e-6f, 0, 0.999, 1},        /* a tiny top_p keeps one */
        {{5, 9, 1, 2}, 1, 0, 0, 0.999, 1},            /* 0 too */
        {{0, 1e30f, 0, -1e30f}, 1e-3f, 1, 0, 0.9, 1}, /* exp of huge differences */
        {{0, NAN, 0, 0}, 1, 1, 0, 0.5, -1},
        {{0, INFINITY, 0, 0}, 0, 1, 0, 0.5, -1},
        {{0, -INFINITY, 0, 0}, 1, 1, 1, 0.5, -1},
        {{1, 2, 4, 3}, 1, 1, 0, 0x1.fffffffffffffp-1, 0}, /* the largest u: the last candidate */
    };
    enum { N = sizeof rows / sizeof *rows };
    float logits[N][4], temperature[N], top_p[N];
    int32_t top_k[N], columns[N];
    double u[N];
    struct rig rig;
    open_or_fail(state, &rig);
    for (int i = 0; i < N; i++) {
        memcpy(logits[i], rows[i].logits, sizeof logits[i]);
        temperature[i] = rows[i].temperature;
        top_p[i] = rows[i].top_p;
        top_k[i] = rows[i].top_k;
        u[i] = rows[i].u;
    }
    int32_t *drawn = rig_put(&rig, top_k, sizeof top_k);
    const struct mill_sample_args args = {
        .logits = {rig_put(&rig, logits, sizeof logits), MILL_F32, N, 4, 4},
        .tokens = drawn,
        .temperature = rig_put(&rig, temperature, sizeof temperature),
        .top_p = rig_put(&rig, top_p, sizeof top_p),
        .top_k = rig_put(&rig, top_k, sizeof top_k),
        .u = rig_put(&rig, u, sizeof u)};
    assert_int_equal(rig.ops->sample(rig.backend, &args), MILL_OK);
    fetch(&rig, columns, drawn, sizeof columns);
    for (int i = 0; i < N; i++)
        if (columns[i] != rows[i].column)
            fail_msg("row %d: column %d, expected %d", i, columns[i], rows[i].column);
    unprepare(&rig, &(struct prepared){0});
    rig_close(&rig);
}

/* An infinity far below all that is looked at in a long row. */
static void test_sample_finds_infinity(void **state) {
    enum { N = 8193 };
    struct rig rig;
    open_or_fail(state, &rig);
    float *logits = calloc(N, sizeof *logits), one = 1;
    assert_non_null(logits);
    for (int i = 0; i < N; i++)
        logits[i] = (float)(i * 7919 % N);
    logits[5000] = -INFINITY;
    int32_t top_k = 50, column = 0;
    double u = 0.5;
    int32_t *drawn = rig_put(&rig, &column, sizeof column);
    const struct mill_sample_args args = {
        .logits = {rig_put(&rig, logits, N * sizeof *logits), MILL_F32, 1, N, N},
        .tokens = drawn,
        .temperature = rig_put(&rig, &one, sizeof one),
        .top_p = rig_put(&rig, &one, sizeof one),
        .top_k = rig_put(&rig, &top_k, sizeof top_k),
        .u = rig_put(&rig, &u, sizeof u)};
    assert_int_equal(rig.ops->sample(rig.backend, &args), MILL_OK);
    fetch(&rig, &column, drawn, sizeof column);
    assert_int_equal(column, -1);
    unprepare(&rig, &(struct prepared){0});
    rig_close(&rig);
    free(logits);
}

int contract_tests(struct options *options) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_services, options),
        cmocka_unit_test_prestate(test_copies_and_events, options),
        cmocka_unit_test_prestate(test_graphs, options),
        cmocka_unit_test_prestate(test_weight_packing, options),
        cmocka_unit_test_prestate(test_operators_allocate_nothing, options),
        cmocka_unit_test_prestate(test_no_rows, options),
        cmocka_unit_test_prestate(test_not_finite_stays, options),
        cmocka_unit_test_prestate(test_not_finite_stays_in_attention, options),
        cmocka_unit_test_prestate(test_many_spans, options),
        cmocka_unit_test_prestate(test_sample_edges, options),
        cmocka_unit_test_prestate(test_sample_finds_infinity, options),
        cmocka_unit_test_prestate(test_sample_by_seed, options),
    };
    return cmocka_run_group_tests_name("contract", tests, NULL, NULL);
}
