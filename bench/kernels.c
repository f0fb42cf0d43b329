/* kernels.c - see kernels.h.
 *
 * The limits: reading memory (decoding one sequence must read every weight once a step), and
 * oneDNN's matmul (the decoder and prompts are arithmetic). Times are the best of several, so that
 * a busy moment of the machine does not count; the spread is printed beside them. */
#include "bench/kernels.h"

#include "bench/bare.h"
#include "bench/limits.h"
#include "bench/paper.h"
#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/model/bicodec_decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONTEXT = 400, /* tokens a sequence holds: the average of 8 s of speech */
    PROMPT = 200,
    MAX_BATCH = 16,
    STEPS = 24,
    FRAMES = 300,
    STREAMS = 8,
    STREAM_FRAMES = 25,
};

struct bench {
    struct mill_device_options options;
    struct bench_bare bare;
    struct mill_bicodec_decoder *decoder;
    struct bench_paper_model paper;
    double bandwidth, peak[MILL_DTYPE_COUNT];
};

static void report(const char *what, double value, const char *unit, double limit,
                   const char *limit_name) {
    printf("\"%s\",%.6g,%s,%.6g,%s\n", what, value, unit, limit, limit_name);
    if (limit > 0)
        fprintf(stderr, "  %-34s %10.4g %-16s %5.1f %% of %s (%.4g)\n", what, value, unit,
                100 * value / limit, limit_name, limit);
    else
        fprintf(stderr, "  %-34s %10.4g %s\n", what, value, unit);
}

static mill_status bench_language_model(struct bench *b, struct mill_error *err) {
    enum mill_dtype dtype = b->bare.device.weights->lm.head.shape.dtype;
    MILL_TRY(bench_bare_fill(&b->bare, MAX_BATCH, CONTEXT, err));
    for (int32_t n = 1; n <= MAX_BATCH; n *= 4) {
        double seconds[STEPS];
        for (int i = 0; i < STEPS; i++) {
            double start = mill_clock_seconds();
            MILL_TRY(bench_bare_step(&b->bare, n, 1, CONTEXT, err));
            seconds[i] = mill_clock_seconds() - start;
        }
        struct bench_times t = bench_times_of(seconds, STEPS);
        char what[64];
        snprintf(what, sizeof what, "decode step, batch %d", n);
        report(what, n / t.best, "tokens/s", n * b->bandwidth / b->paper.weight_bytes,
               "reading the weights once");
        if (n == 1)
            report("decode step, batch 1, median", 1 / t.median, "tokens/s", 0, "");
    }
    double seconds[4];
    for (int i = 0; i < 4; i++) {
        double start = mill_clock_seconds();
        MILL_TRY(bench_bare_step(&b->bare, 1, PROMPT, 0, err));
        seconds[i] = mill_clock_seconds() - start;
    }
    struct bench_times t = bench_times_of(seconds, 4);
    double flop = PROMPT * b->paper.token_flop;
    /* 8-bit weights meet 16-bit activations: two products an instruction, bf16's rate */
    enum mill_dtype rate = dtype == MILL_I8 ? MILL_BF16 : dtype;
    report("prompt of 200 tokens", flop / t.best / 1e9, "GFLOP/s", b->peak[rate] / 1e9,
           "oneDNN matmul");
    report("prompt of 200 tokens, seconds", t.best, "s", 0, "");
    return MILL_OK;
}

static mill_status bench_decoder(struct bench *b, int32_t window, struct mill_error *err) {
    const struct mill_bicodec_shape *s = &b->bare.model.shape.bicodec;
    int32_t semantic[FRAMES], global[MILL_MAX_LEVELS * 16] = {0};
    for (int32_t i = 0; i < FRAMES; i++)
        semantic[i] = i * 37 % s->quantizer.codebook_size;
    struct mill_bicodec_voice *voice = NULL;
    float *wave = mill_alloc_array((size_t)window * (size_t)s->hop, sizeof *wave);
    mill_status status = wave ? mill_bicodec_voice_open(&voice, b->decoder, global, err)
                              : mill_fail(err, MILL_E_MEMORY, "no memory");
    double seconds[4] = {0};
    for (int i = 0; status == MILL_OK && i < 4; i++) {
        double start = mill_clock_seconds();
        for (int32_t at = 0; status == MILL_OK && at < FRAMES; at += window)
            status = mill_bicodec_decode(
                b->decoder,
                &(struct mill_bicodec_window){.voice = voice,
                                              .semantic = semantic,
                                              .n_semantic = FRAMES,
                                              .finished = true,
                                              .first = at,
                                              .end = at + window < FRAMES ? at + window : FRAMES,
                                              .wave = wave},
                err);
        seconds[i] = mill_clock_seconds() - start;
    }
    mill_bicodec_voice_close(voice);
    free(wave);
    MILL_TRY(status);
    struct bench_times t = bench_times_of(seconds, 4);
    double audio = FRAMES * (double)s->hop / s->sample_rate;
    enum mill_dtype dtype = b->bare.device.weights->decoder.conv_in.shape.dtype;
    char what[64];
    snprintf(what, sizeof what, "decoder, windows of %d frames", window);
    report(what, b->paper.frame_flop * FRAMES / t.best / 1e9, "GFLOP/s", b->peak[dtype] / 1e9,
           "oneDNN matmul");
    snprintf(what, sizeof what, "the same, per audio second");
    report(what, t.best / audio, "s", 0, "");
    return MILL_OK;
}

/* The same frames as separate windows, context and all. */
static mill_status time_windows(struct mill_bicodec_decoder *decoder, const int32_t *semantic,
                                const struct mill_bicodec_voice *voice, float *wave,
                                struct bench_times *t, struct mill_error *err) {
    double seconds[4];
    for (int call = 0; call < 4; call++) {
        const struct mill_bicodec_window window = {.voice = voice,
                                                   .semantic = semantic,
                                                   .n_semantic = FRAMES,
                                                   .first = 4 * STREAM_FRAMES,
                                                   .end = 5 * STREAM_FRAMES,
                                                   .wave = wave};
        double start = mill_clock_seconds();
        for (int i = 0; i < STREAMS; i++)
            MILL_TRY(mill_bicodec_decode(decoder, &window, err));
        seconds[call] = mill_clock_seconds() - start;
    }
    *t = bench_times_of(seconds, 4);
    return MILL_OK;
}

/* Many utterances at once: carried state in one call against a window of its own for each. */
static mill_status bench_streams(struct bench *b, struct mill_error *err) {
    const struct mill_bicodec_shape *s = &b->bare.model.shape.bicodec;
    enum mill_dtype dtype = b->bare.device.weights->decoder.conv_in.shape.dtype;
    size_t bytes = 0;
    int32_t semantic[FRAMES], global[MILL_MAX_LEVELS * 16] = {0};
    struct mill_bicodec_voice *voice = NULL;
    struct bench_times carried, windows;
    for (int32_t i = 0; i < FRAMES; i++)
        semantic[i] = i * 37 % s->quantizer.codebook_size;
    MILL_TRY(bench_bare_time_streams(&b->bare, STREAMS, STREAM_FRAMES, &carried, &bytes, err));
    float *wave = mill_alloc_array((size_t)STREAM_FRAMES * (size_t)s->hop, sizeof *wave);
    mill_status status = wave ? mill_bicodec_voice_open(&voice, b->decoder, global, err)
                              : mill_fail(err, MILL_E_MEMORY, "no memory");
    if (status == MILL_OK)
        status = time_windows(b->decoder, semantic, voice, wave, &windows, err);
    mill_bicodec_voice_close(voice);
    free(wave);
    MILL_TRY(status);
    double audio = STREAMS * STREAM_FRAMES * (double)s->hop / s->sample_rate;
    report("decoder, 8 streams x 25 frames",
           STREAMS * STREAM_FRAMES * b->paper.frame_flop / carried.best / 1e9, "GFLOP/s",
           b->peak[dtype] / 1e9, "oneDNN matmul");
    report("the same, per audio second", carried.best / audio, "s", 0, "");
    report("8 windows of 25, per audio second", windows.best / audio, "s", 0, "");
    report("bytes of a stream", (double)bytes / 1e6, "MB", 0, "");
    return MILL_OK;
}

static mill_status bench_run(struct bench *b, struct mill_error *err) {
    struct mill_pool *pool = NULL;
    MILL_TRY(mill_pool_open(&pool, b->options.n_threads, err));
    b->bandwidth = bench_read_bandwidth(pool);
    mill_pool_close(pool);
    b->peak[MILL_F32] = bench_onednn_peak(MILL_F32);
    b->peak[MILL_BF16] = bench_onednn_peak(MILL_BF16);
    report("memory read", b->bandwidth / 1e9, "GB/s", 0, "");
    report("oneDNN matmul f32", b->peak[MILL_F32] / 1e9, "GFLOP/s", 0, "");
    report("oneDNN matmul bf16", b->peak[MILL_BF16] / 1e9, "GFLOP/s", 0, "");
    report("oneDNN matmul int8", bench_onednn_peak(MILL_I8) / 1e9, "GFLOP/s", 0, "");

    double start = mill_clock_seconds();
    MILL_TRY(bench_bare_open(&b->bare, &b->options, MAX_BATCH, CONTEXT, PROMPT, err));
    report(b->bare.device.weights->from_cache ? "open, from the cache" : "open, converting",
           mill_clock_seconds() - start, "s", 0, "");
    const struct mill_lm_weights *weights = &b->bare.device.weights->lm;
    b->paper = bench_paper_model_of(&b->bare.model.shape, weights->head.shape.dtype,
                                    weights->kv_dtype, weights->legal[MILL_LEGAL_SEMANTIC].n_rows);
    MILL_TRY(mill_bicodec_decoder_open(&b->decoder, b->bare.device.ops, b->bare.device.backend,
                                       &b->bare.device.weights->decoder, FRAMES, err));

    report("bytes of a decode step", b->paper.weight_bytes / 1e6, "MB", 0, "");
    MILL_TRY(bench_language_model(b, err));
    MILL_TRY(bench_decoder(b, FRAMES, err));
    MILL_TRY(bench_decoder(b, 100, err));
    return bench_streams(b, err);
}

mill_status bench_kernels_run(const struct mill_device_options *options, struct mill_error *err) {
    struct bench bench = {.options = *options};
    printf("what,value,unit,limit,limit_is\n");
    mill_status status = bench_run(&bench, err);
    mill_bicodec_decoder_close(bench.decoder);
    bench_bare_close(&bench.bare);
    return status;
}
