/* card.c - how fast a card runs the two networks, each figure beside its limit on that card.
 *
 *     bench_card BACKEND [--peak TFLOP] [--least] [--only N]
 *
 * Made-up weights of the published sizes, so it needs no checkpoint, and of libraries only the
 * backend's plugin: it can be built on a bare machine. The bandwidth is measured by copying within
 * the device (bytes read plus bytes written); the peak of bf16 products is given, by whoever
 * measured it with the best library at hand. Limits are those of bench/paper.h. Comma-separated on
 * standard output, the same for people on standard error. --least: few steps of few sizes, to see
 * that it runs. --only: that batch, that many streams; for a profiler. */
#include "bench/made_up.h"
#include "bench/paper.h"
#include "bench/statistics.h"
#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/model/bicodec_stream.h"
#include "runtime/model/qwen2.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAGE_TOKENS = 16,
    CONTEXT = 400, /* tokens a sequence holds: the average of 8 s of speech */
    MAX_BATCH = 512,
    STREAM_FRAMES = 25,
    MAX_STEPS = 64,
    CALLS = 8, /* of the decoder, a size */
};

struct bench {
    const struct mill_backend_ops *ops;
    struct mill_backend *backend;
    struct bench_made_up made;
    struct bench_paper_model paper;
    double bytes_per_s, flop_per_s; /* 0 = not known */
    bool least;
    int32_t only; /* 0 = every size */
};

static void report(const char *what, double value, const char *unit, double limit) {
    printf("\"%s\",%.6g,%s,%.6g\n", what, value, unit, limit);
    fflush(stdout);
    if (limit > 0)
        fprintf(stderr, "  %-40s %10.4g %-12s %5.1f %% of %.4g\n", what, value, unit,
                100 * value / limit, limit);
    else
        fprintf(stderr, "  %-40s %10.4g %s\n", what, value, unit);
}

/* ------------------------------------------------------------------ limits */

static mill_status measure_bandwidth(struct bench *b, struct mill_error *err) {
    size_t bytes = b->least ? 1 << 20 : (size_t)1 << 30;
    enum { REPETITIONS = 10 };
    char *from = b->ops->alloc(b->backend, bytes), *to = b->ops->alloc(b->backend, bytes);
    mill_status status = from && to ? MILL_OK : MILL_E_MEMORY;
    for (int i = 0; status == MILL_OK && i < 3; i++) {
        double start = mill_clock_seconds();
        for (int k = 0; status == MILL_OK && k < REPETITIONS; k++)
            status = b->ops->copy_within(b->backend, to, from, bytes);
        if (status == MILL_OK)
            status = b->ops->synchronize(b->backend);
        double rate = 2.0 * REPETITIONS * (double)bytes / (mill_clock_seconds() - start);
        b->bytes_per_s = rate > b->bytes_per_s ? rate : b->bytes_per_s;
    }
    b->ops->free(b->backend, from);
    b->ops->free(b->backend, to);
    if (status < 0)
        return mill_fail(err, status, "bandwidth: %s",
                         mill_backend_failure(b->ops, b->backend, status));
    report("copy within the device", b->bytes_per_s / 1e9, "GB/s", 0);
    return MILL_OK;
}

/* Whether size n is wanted. */
static bool wants(const struct bench *b, int32_t n) {
    return b->only == 0 || b->only == n;
}

/* ------------------------------------------------------------------ the language model */

/* What the steps of one batch size are made of. */
struct batch {
    int32_t n;
    int32_t ids[MAX_BATCH], row_first[MAX_BATCH + 1], n_cached[MAX_BATCH], tokens[MAX_BATCH];
    const int32_t *pages[MAX_BATCH];
    struct mill_draw draws[MAX_BATCH];
};

static void fill_batch(struct batch *batch, int32_t n, const int32_t *page_table,
                       int32_t max_pages) {
    batch->n = n;
    for (int32_t i = 0; i < n; i++) {
        batch->ids[i] = i;
        batch->row_first[i] = i;
        batch->n_cached[i] = CONTEXT;
        batch->pages[i] = page_table + (int64_t)i * max_pages;
        batch->draws[i] = (struct mill_draw){.row = i,
                                             .legal = MILL_LEGAL_SEMANTIC,
                                             .temperature = 0.8f,
                                             .top_p = 0.95f,
                                             .top_k = 50,
                                             .seed = (uint64_t)i};
    }
    batch->row_first[n] = n;
}

static struct mill_qwen2_step step_of(const struct batch *batch) {
    return (struct mill_qwen2_step){.n_sequences = batch->n,
                                    .n_rows = batch->n,
                                    .n_draws = batch->n,
                                    .apart = true,
                                    .ids = batch->ids,
                                    .row_first = batch->row_first,
                                    .n_cached = batch->n_cached,
                                    .pages = batch->pages,
                                    .draws = batch->draws};
}

/* Steps one behind the other, each fed by the one before, as the engine runs them. */
static mill_status run_steps(struct mill_qwen2 *lm, struct batch *batch, int n, double *seconds,
                             struct mill_error *err) {
    struct mill_qwen2_step step = step_of(batch);
    double start = mill_clock_seconds();
    for (int i = 0; i < n; i++) {
        for (int32_t s = 0; s < batch->n; s++) {
            batch->ids[s] = i == 0 ? s : -1 - s;
            batch->n_cached[s] = CONTEXT + i;
            batch->draws[s].position = (uint64_t)i;
        }
        MILL_TRY(mill_qwen2_launch(lm, &step, err));
        if (i > 0)
            MILL_TRY(mill_qwen2_collect(lm, batch->tokens, err));
    }
    MILL_TRY(mill_qwen2_collect(lm, batch->tokens, err));
    *seconds = (mill_clock_seconds() - start) / n;
    return MILL_OK;
}

static mill_status time_batch(struct bench *b, struct mill_qwen2 *lm, struct batch *batch,
                              const char *dtype, struct mill_error *err) {
    double seconds, best = 0;
    int n = b->least ? 4 : MAX_STEPS;
    for (int i = 0; i < 4; i++) { /* the first sees the sizes, the second records them */
        MILL_TRY(run_steps(lm, batch, n, &seconds, err));
        best = i < 2 || seconds < best ? seconds : best;
    }
    const struct bench_paper_device card = {b->bytes_per_s,
                                            b->flop_per_s > 0 ? b->flop_per_s : 1e30, 1e30};
    double limit = bench_paper_step_s(&b->paper, &card, batch->n, CONTEXT + n / 2.0);
    char what[64];
    snprintf(what, sizeof what, "decode step %s, batch %d", dtype, batch->n);
    report(what, batch->n / best, "tokens/s", batch->n / limit);
    return MILL_OK;
}

static mill_status bench_language_model(struct bench *b, enum mill_dtype dtype,
                                        struct mill_error *err) {
    int32_t largest = b->least && !b->only ? 4 : MAX_BATCH;
    struct mill_qwen2_options options = {.max_rows = largest,
                                         .max_sequences = largest,
                                         .max_pages = (CONTEXT + MAX_STEPS) / PAGE_TOKENS + 1,
                                         .page_tokens = PAGE_TOKENS};
    options.n_pages = largest * options.max_pages + 1;
    b->paper = bench_paper_model_of(&b->made.shape, dtype, b->made.lm.kv_dtype,
                                    b->made.lm.legal[MILL_LEGAL_SEMANTIC].n_rows);
    int32_t *table = mill_alloc_array((size_t)options.n_pages, sizeof *table);
    struct batch *batch = mill_alloc_array(1, sizeof *batch);
    struct mill_qwen2 *lm = NULL;
    mill_status status = table && batch ? MILL_OK : mill_fail(err, MILL_E_MEMORY, "no memory");
    for (int32_t i = 0; table && i < options.n_pages; i++)
        table[i] = i;
    if (status == MILL_OK)
        status = mill_qwen2_open(&lm, b->ops, b->backend, &b->made.lm, &options, err);
    for (int32_t n = 1; status == MILL_OK && n <= largest; n *= n < 64 ? 4 : 2) {
        if (!wants(b, n))
            continue;
        fill_batch(batch, n, table, options.max_pages);
        status = time_batch(b, lm, batch, mill_dtype_name(dtype), err);
    }
    mill_qwen2_close(lm);
    free(batch);
    free(table);
    return status;
}

/* ------------------------------------------------------------------ the decoder */

static mill_status time_streams(struct bench *b, struct mill_bicodec_streams *streams, int32_t n,
                                const int32_t *semantic, float *wave, struct mill_error *err) {
    const struct mill_bicodec_shape *s = &b->made.shape.bicodec;
    int32_t context = mill_bicodec_streams_context(streams);
    int calls = b->least ? 2 : CALLS;
    double seconds[CALLS];
    struct mill_bicodec_piece *pieces = mill_alloc_array((size_t)n, sizeof *pieces);
    mill_status status = pieces ? MILL_OK : mill_fail(err, MILL_E_MEMORY, "no memory");
    /* The first call also computes what it looks ahead at. */
    for (int call = 0; status == MILL_OK && call <= calls; call++) {
        for (int32_t i = 0; i < n; i++)
            pieces[i] = (struct mill_bicodec_piece){
                .stream = i,
                .semantic = semantic,
                .n_semantic = (call + 1) * STREAM_FRAMES + context,
                .n_frames = STREAM_FRAMES,
                .wave = wave + (size_t)i * STREAM_FRAMES * (size_t)s->hop};
        double start = mill_clock_seconds();
        status = mill_bicodec_streams_decode(streams, pieces, n, err);
        if (call > 0)
            seconds[call - 1] = mill_clock_seconds() - start;
    }
    free(pieces);
    MILL_TRY(status);
    bench_sort(seconds, (size_t)calls);
    double audio_s = n * STREAM_FRAMES * (double)s->hop / s->sample_rate;
    char what[64];
    snprintf(what, sizeof what, "decoder, %d streams x %d frames", n, STREAM_FRAMES);
    report(what, n * STREAM_FRAMES * b->paper.frame_flop / seconds[0] / 1e12, "TFLOP/s",
           b->flop_per_s / 1e12);
    snprintf(what, sizeof what, "the same, seconds of audio a second");
    report(what, audio_s / seconds[0], "x", 0);
    return MILL_OK;
}

static mill_status bench_decoder(struct bench *b, struct mill_error *err) {
    enum { N_SEMANTIC = 1024 };
    const struct mill_bicodec_shape *s = &b->made.shape.bicodec;
    int32_t semantic[N_SEMANTIC], global[MILL_MAX_LEVELS * 16] = {0};
    for (int32_t i = 0; i < N_SEMANTIC; i++)
        semantic[i] = i * 37 % s->quantizer.codebook_size;
    int32_t largest = b->least && !b->only ? 1 : 256;
    mill_status status = MILL_OK;
    for (int32_t n = 1; status == MILL_OK && n <= largest; n *= n == 1 ? 8 : 4) {
        if (!wants(b, n))
            continue;
        const struct mill_bicodec_streams_options options = {
            .n_streams = n, .max_pieces = n, .max_frames = n * STREAM_FRAMES};
        struct mill_bicodec_streams *streams = NULL;
        float *wave = b->ops->host_alloc(b->backend,
                                         (size_t)n * STREAM_FRAMES * (size_t)s->hop * sizeof *wave);
        status = wave ? mill_bicodec_streams_open(&streams, b->ops, b->backend, &b->made.decoder,
                                                  &options, err)
                      : mill_fail(err, MILL_E_MEMORY, "no memory");
        for (int32_t i = 0; status == MILL_OK && i < n; i++)
            status = mill_bicodec_stream_start(
                streams, i, &(struct mill_bicodec_stream_start){.global = global, .exact = true},
                err);
        if (status == MILL_OK)
            status = time_streams(b, streams, n, semantic, wave, err);
        mill_bicodec_streams_close(streams);
        b->ops->host_free(b->backend, wave);
    }
    return status;
}

/* ------------------------------------------------------------------ */

static mill_status bench_all(struct bench *b, struct mill_error *err) {
    static const enum mill_dtype dtypes[] = {MILL_BF16, MILL_I8};
    MILL_TRY(measure_bandwidth(b, err));
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        MILL_TRY(bench_made_up_open(&b->made, b->ops, b->backend, dtypes[i], err));
        mill_status status = bench_language_model(b, dtypes[i], err);
        if (status == MILL_OK && i == 0)
            status = bench_decoder(b, err);
        bench_made_up_close(&b->made);
        MILL_TRY(status);
    }
    return MILL_OK;
}

int main(int argc, char **argv) {
    struct bench b = {.ops = NULL};
    struct mill_error err = {""};
    const char *name = argc > 1 ? argv[1] : "cuda";
    for (int i = 2; i < argc; i++) {
        b.least |= strcmp(argv[i], "--least") == 0;
        if (strcmp(argv[i], "--peak") == 0 && i + 1 < argc)
            b.flop_per_s = 1e12 * strtod(argv[++i], NULL);
        if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
            b.only = (int32_t)strtol(argv[++i], NULL, 10);
    }
    b.ops = mill_backend_find(name, &err);
    mill_status status =
        b.ops ? b.ops->open(&b.backend, &(struct mill_backend_options){0}, &err) : MILL_E_NOT_FOUND;
    if (status == MILL_OK) {
        fprintf(stderr, "%s\n", b.ops->describe(b.backend));
        printf("what,value,unit,limit\n");
        status = bench_all(&b, &err);
    }
    if (b.backend)
        b.ops->close(b.backend);
    if (status < 0)
        fprintf(stderr, "bench_card: %s\n", err.text);
    return status < 0 ? 1 : 0;
}
