/* bench_engine.c - `sparkmill bench engine`: loads on the engine of this process.
 *
 * The engine is opened once, with room for the largest load. Each point of load is run a few times
 * with the same requests; beside what was measured stands what paper predicts from this machine's
 * own bandwidth and peak, measured before (or given, for a card). */
#include "bench/bare.h"
#include "bench/engine_target.h"
#include "bench/limits.h"
#include "bench/paper.h"
#include "bench/result.h"
#include "runtime/engine/devices.h"
#include "tools/bench.h"
#include "tools/cache_folder.h"
#include "tools/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Frames for each byte of text of a model that never ends by itself: English read at 15 characters
 * a second. */
#define FRAMES_PER_BYTE (50.0 / 15)
enum { PROMPT_TOKENS = 60, MAX_FRAMES = 2000 };

struct bench {
    const struct mill_bench_options *options;
    struct mill_engine *engine;
    struct bench_passages passages;
    struct bench_energy *energy;
    struct bench_engine_target target;
    struct bench_result result;
    struct bench_paper_model paper;
    struct bench_paper_device device; /* zero = unknown: nothing is predicted */
    struct bench_bare bare;           /* zero = not opened: one replica on the processor has it */
};

/* ------------------------------------------------------------------ opening */

/* Whether one replica does it all, and that the processor. */
static bool on_cpu(const struct mill_engine_stats *stats) {
    return stats->n_replicas == 1 && strncmp(stats->replicas[0].device, "cpu:", 4) == 0;
}

static mill_status predict_with(struct bench *b, bool cpu, struct mill_error *err) {
    const struct mill_bench_options *o = b->options;
    struct mill_shape shape;
    const char *precision = mill_engine_get_info(b->engine)->precision;
    MILL_TRY(mill_shape_read(&shape, o->model, err));
    enum mill_dtype dtype = strcmp(precision, "fp32") == 0   ? MILL_F32
                            : strcmp(precision, "bf16") == 0 ? MILL_BF16
                                                             : MILL_I8;
    /* im_end and every semantic token */
    int32_t head_rows = mill_engine_get_info(b->engine)->n_semantic_codes + 1;
    b->paper = bench_paper_model_of(&shape, dtype, dtype, head_rows);
    if (o->bandwidth_gb > 0 && o->peak_tflop > 0) {
        b->device = (struct bench_paper_device){o->bandwidth_gb * 1e9, o->peak_tflop * 1e12,
                                                o->peak_tflop * 1e12};
    } else if (cpu) {
        struct mill_pool *pool;
        MILL_TRY(mill_pool_open(&pool, 0, err));
        b->device.bytes_per_s = bench_read_bandwidth(pool);
        mill_pool_close(pool);
        /* 8-bit weights meet 16-bit activations: two products an instruction, bf16's rate */
        double peak = bench_onednn_peak(dtype == MILL_F32 ? MILL_F32 : MILL_BF16);
        b->device.lm_flop_per_s = b->device.decoder_flop_per_s = peak;
    }
    return MILL_OK;
}

/* The parts alone; on the processor they share the engine's weights, mapped from the cache. */
static mill_status open_bare(struct bench *b, const char *cache, struct mill_error *err) {
    struct mill_engine_device devices[MILL_ENGINE_MAX_REPLICAS];
    struct mill_error note;
    int32_t n;
    const char *list = b->options->devices ? b->options->devices : "auto";
    MILL_TRY(mill_devices_parse(devices, MILL_ENGINE_MAX_REPLICAS, &n, list, &note, err));
    const struct mill_device_options options = {.folder = b->options->model,
                                                .cache = cache,
                                                .precision =
                                                    mill_engine_get_info(b->engine)->precision,
                                                .n_threads = devices[0].n_threads};
    return bench_bare_open(&b->bare, &options, BENCH_BARE_MAX_BATCH, PROMPT_TOKENS + MAX_FRAMES,
                           PROMPT_TOKENS + BENCH_BARE_MAX_BATCH, err);
}

static mill_status open_engine(struct bench *b, struct mill_error *err) {
    const struct mill_bench_options *o = b->options;
    char *cache = o->no_cache ? NULL : mill_cache_folder();
    struct mill_engine_options options = {
        .model = o->model, .devices = o->devices, .precision = o->precision, .cache = cache};
    options.max_running = 8; /* an open loop takes what comes */
    for (int i = 0; i < o->n_concurrencies; i++)
        if (o->concurrencies[i] > options.max_running)
            options.max_running = o->concurrencies[i];
    options.max_queue = 4096;
    struct mill_progress bar;
    const struct mill_engine_progress progress = {mill_progress_update_bytes, &bar};
    struct mill_engine_stats stats;
    mill_status status = mill_engine_open(&b->engine, &options, err);
    mill_progress_start(&bar, "preparing weights", "bytes", 0);
    if (status == MILL_OK)
        status = mill_engine_start(b->engine, &progress, err);
    mill_progress_end(&bar);
    if (status == MILL_OK) {
        mill_engine_get_stats(b->engine, &stats);
        status = predict_with(b, on_cpu(&stats), err);
    }
    if (status == MILL_OK && on_cpu(&stats))
        status = open_bare(b, cache, err);
    free(cache);
    MILL_TRY(status);
    b->energy = bench_energy_open();
    b->target = (struct bench_engine_target){
        .engine = b->engine,
        .energy = b->energy,
        .stream = !o->whole,
        .frames_per_byte = mill_engine_get_info(b->engine)->synthetic ? FRAMES_PER_BYTE : 0};
    return status;
}

static void describe(struct bench *b) {
    const struct mill_bench_options *o = b->options;
    struct mill_engine_stats stats;
    mill_engine_get_stats(b->engine, &stats);
    snprintf(b->result.settings, sizeof b->result.settings,
             "model=%.200s synthetic=%s devices=%.100s (%s) precision=%s text=%.200s stream=%s "
             "seed=%lld energy=%s",
             o->model, b->target.frames_per_byte > 0 ? "yes" : "no",
             o->devices ? o->devices : "auto", stats.replicas[0].device,
             mill_engine_get_info(b->engine)->precision, o->text ? o->text : "built-in",
             o->whole ? "no" : "yes", o->seed,
             b->energy ? bench_energy_source(b->energy) : "not told");
}

/* ------------------------------------------------------------------ running */

/* What would be possible: on paper, and with the same kernels but no engine around them, which are
 * measured now, as the machine is no other a minute later. */
static mill_status judge(void *context, struct bench_point *point, struct mill_error *err) {
    struct bench *b = context;
    const struct bench_outcome *outcome = &point->outcomes[0];
    int32_t n = point->concurrency;
    if (n == 0 || outcome->n_done == 0 || outcome->frames_per_s <= 0)
        return MILL_OK;
    double frames = outcome->frames_per_s * outcome->wall_s / outcome->n_done;
    if (b->device.bytes_per_s > 0 && b->device.lm_flop_per_s > 0)
        point->predicted_frames_per_s =
            bench_paper_frames_per_s(&b->paper, &b->device, n, PROMPT_TOKENS + frames / 2);
    if (!b->bare.lm || n > BENCH_BARE_MAX_BATCH)
        return MILL_OK;
    struct mill_engine_stats stats;
    mill_engine_get_stats(b->engine, &stats);
    double draws = frames * (double)stats.n_tokens / (double)stats.n_frames;
    int32_t n_frames = frames < MAX_FRAMES ? (int32_t)frames : MAX_FRAMES;
    int32_t n_draws = draws < MAX_FRAMES ? (int32_t)draws : MAX_FRAMES;
    return bench_bare_frames_per_s(&b->bare, n, PROMPT_TOKENS, n_draws, n_frames,
                                   &point->bare_frames_per_s, err);
}

mill_status mill_bench_engine(const struct mill_bench_options *options, struct mill_error *err) {
    struct bench b = {.options = options, .result = {.kind = "engine"}};
    bench_machine_describe(&b.result.machine);
    mill_status status = bench_passages_open(&b.passages, options->text, err);
    if (status == MILL_OK)
        status = open_engine(&b, err);
    if (status == MILL_OK) {
        const struct bench_target target = bench_engine_target_of(&b.target);
        describe(&b);
        status = mill_bench_run_points(options, &target, &b.passages, judge, &b, &b.result, err);
    }
    bench_bare_close(&b.bare);
    mill_engine_close(b.engine);
    bench_energy_close(b.energy);
    bench_passages_close(&b.passages);
    return status;
}
