/* bare.c - see bare.h. */
#include "bench/bare.h"

#include "bench/statistics.h"
#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/engine/replica.h"
#include "runtime/model/bicodec_stream.h"

#include <stdlib.h>

enum {
    PAGE_TOKENS = MILL_REPLICA_PAGE_TOKENS,
    STEPS = 12,
    PROMPTS = 4,
    CALLS = 4,
    STREAM_FRAMES = 25
};

mill_status bench_bare_open(struct bench_bare *bare, const struct mill_device_options *options,
                            int32_t max_batch, int32_t max_tokens, int32_t max_rows,
                            struct mill_error *err) {
    MILL_TRY(mill_model_open(&bare->model, options->folder, options->cache, err));
    MILL_TRY(mill_device_open(&bare->device, &bare->model, options, err));
    bare->pages_a_sequence = max_tokens / PAGE_TOKENS + 1;
    const struct mill_qwen2_options lm = {.max_rows = max_rows,
                                          .max_sequences = max_batch,
                                          .page_tokens = PAGE_TOKENS,
                                          .max_pages = bare->pages_a_sequence,
                                          .n_pages = max_batch * bare->pages_a_sequence};
    bare->pages = mill_alloc_array((size_t)lm.n_pages, sizeof *bare->pages);
    if (!bare->pages)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    for (int32_t i = 0; i < lm.n_pages; i++)
        bare->pages[i] = i;
    return mill_qwen2_open(&bare->lm, bare->device.ops, bare->device.backend,
                           &bare->device.weights->lm, &lm, err);
}

void bench_bare_close(struct bench_bare *bare) {
    free(bare->pages);
    mill_qwen2_close(bare->lm);
    mill_device_close(&bare->device);
    mill_model_close(&bare->model);
    *bare = (struct bench_bare){0};
}

struct bench_times bench_times_of(double *seconds, int n) {
    bench_sort(seconds, (size_t)n);
    return (struct bench_times){seconds[0], bench_percentile(seconds, (size_t)n, 50)};
}

mill_status bench_bare_step(struct bench_bare *bare, int32_t n, int32_t rows, int32_t cached,
                            struct mill_error *err) {
    int32_t first[BENCH_BARE_MAX_BATCH + 1], held[BENCH_BARE_MAX_BATCH];
    int32_t tokens[BENCH_BARE_MAX_BATCH];
    const int32_t *pages[BENCH_BARE_MAX_BATCH];
    struct mill_draw draws[BENCH_BARE_MAX_BATCH];
    int32_t *ids = mill_alloc_array((size_t)(n * rows), sizeof *ids);
    if (!ids)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    for (int32_t i = 0; i < n * rows; i++)
        ids[i] = bare->model.control->semantic.ids[i % bare->model.control->semantic.n];
    for (int32_t i = 0; i < n; i++) {
        first[i] = i * rows;
        held[i] = cached;
        pages[i] = bare->pages + i * bare->pages_a_sequence;
        draws[i] = (struct mill_draw){.row = (i + 1) * rows - 1,
                                      .legal = MILL_LEGAL_SEMANTIC,
                                      .temperature = 0.8f,
                                      .top_p = 0.95f,
                                      .top_k = 50};
    }
    first[n] = n * rows;
    const struct mill_qwen2_step step = {.n_sequences = n,
                                         .n_rows = n * rows,
                                         .n_draws = n,
                                         .apart = true,
                                         .ids = ids,
                                         .row_first = first,
                                         .n_cached = held,
                                         .pages = pages,
                                         .draws = draws,
                                         .tokens = tokens};
    mill_status status = mill_qwen2_run(bare->lm, &step, err);
    free(ids);
    return status;
}

mill_status bench_bare_fill(struct bench_bare *bare, int32_t n, int32_t cached,
                            struct mill_error *err) {
    for (int32_t at = 0; at <= cached; at += PAGE_TOKENS)
        MILL_TRY(bench_bare_step(bare, n, 1, at, err));
    return MILL_OK;
}

/* ------------------------------------------------------------------ sound */

static mill_status time_calls(struct mill_bicodec_streams *streams, int32_t n, int32_t n_frames,
                              const int32_t *semantic, float *wave, size_t samples,
                              struct bench_times *times, struct mill_error *err) {
    struct mill_bicodec_piece pieces[BENCH_BARE_MAX_BATCH];
    double seconds[CALLS];
    int32_t context = mill_bicodec_streams_context(streams);
    for (int call = 0; call <= CALLS; call++) { /* the first also computes what it looks ahead at */
        for (int32_t i = 0; i < n; i++)
            pieces[i] = (struct mill_bicodec_piece){.stream = i,
                                                    .semantic = semantic,
                                                    .n_semantic = (call + 1) * n_frames + context,
                                                    .n_frames = n_frames,
                                                    .wave = wave + (size_t)i * samples};
        double start = mill_clock_seconds();
        MILL_TRY(mill_bicodec_streams_decode(streams, pieces, n, err));
        if (call > 0)
            seconds[call - 1] = mill_clock_seconds() - start;
    }
    *times = bench_times_of(seconds, CALLS);
    return MILL_OK;
}

mill_status bench_bare_time_streams(struct bench_bare *bare, int32_t n, int32_t n_frames,
                                    struct bench_times *times, size_t *bytes_of_a_stream,
                                    struct mill_error *err) {
    const struct mill_bicodec_shape *s = &bare->model.shape.bicodec;
    const struct mill_bicodec_streams_options options = {
        .n_streams = n, .max_pieces = n, .max_frames = n * n_frames};
    const int32_t global[MILL_MAX_LEVELS * 16] = {0};
    const struct mill_bicodec_stream_start start = {.global = global, .exact = true};
    size_t samples = (size_t)n_frames * (size_t)s->hop;
    struct mill_bicodec_streams *streams = NULL;
    MILL_TRY(mill_bicodec_streams_open(&streams, bare->device.ops, bare->device.backend,
                                       &bare->device.weights->decoder, &options, err));
    int32_t n_semantic = (CALLS + 1) * n_frames + mill_bicodec_streams_context(streams);
    int32_t *semantic = mill_alloc_array((size_t)n_semantic, sizeof *semantic);
    float *wave = mill_alloc_array((size_t)n * samples, sizeof *wave);
    mill_status status = semantic && wave ? MILL_OK : mill_fail(err, MILL_E_MEMORY, "no memory");
    for (int32_t i = 0; status == MILL_OK && i < n_semantic; i++)
        semantic[i] = i * 37 % s->quantizer.codebook_size;
    for (int32_t i = 0; status == MILL_OK && i < n; i++)
        status = mill_bicodec_stream_start(streams, i, &start, err);
    if (status == MILL_OK)
        status = time_calls(streams, n, n_frames, semantic, wave, samples, times, err);
    if (bytes_of_a_stream)
        *bytes_of_a_stream = mill_bicodec_stream_bytes(streams);
    mill_bicodec_streams_close(streams);
    free(semantic);
    free(wave);
    return status;
}

/* ------------------------------------------------------------------ together */

static mill_status time_steps(struct bench_bare *bare, int32_t n, int32_t rows, int32_t cached,
                              int n_times, struct bench_times *times, struct mill_error *err) {
    double seconds[STEPS];
    for (int i = 0; i < n_times; i++) {
        double start = mill_clock_seconds();
        MILL_TRY(bench_bare_step(bare, n, rows, cached, err));
        seconds[i] = mill_clock_seconds() - start;
    }
    *times = bench_times_of(seconds, n_times);
    return MILL_OK;
}

mill_status bench_bare_frames_per_s(struct bench_bare *bare, int32_t n, int32_t n_prompt,
                                    int32_t n_draws, int32_t n_frames, double *frames_per_s,
                                    struct mill_error *err) {
    struct bench_times step, prompt, sound;
    int32_t cached = n_prompt + n_draws / 2;
    MILL_TRY(bench_bare_fill(bare, n, cached, err));
    MILL_TRY(time_steps(bare, n, 1, cached, STEPS, &step, err));
    MILL_TRY(time_steps(bare, 1, n_prompt, 0, PROMPTS, &prompt, err));
    MILL_TRY(bench_bare_time_streams(bare, n, STREAM_FRAMES, &sound, NULL, err));
    double draws = (double)n_draws / n_frames;
    *frames_per_s = 1 / (draws * step.median / n + prompt.median / n_frames +
                         sound.median / (n * STREAM_FRAMES));
    return MILL_OK;
}
