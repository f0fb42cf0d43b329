/* engine.c - see engine.h: open, start, close. */
#include "runtime/engine/engine_state.h"

#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/base/wait.h"

#include <stdlib.h>
#include <string.h>

enum { QUEUE = 256, TOKENS_EACH = 2048 };
/* Utterances at once, and frames that become sound at a time: on a processor as many as keep it
 * busy, on a GPU as many as still make it faster. */
enum { RUNNING = 8, WINDOW = 128, GPU_RUNNING = 256, GPU_WINDOW = 512 };
#define UNREAD_S 10.0
#define STUCK_S 30.0

/* ------------------------------------------------------------------ open */

static char *copy_text(const char *text) {
    return text ? strdup(text) : NULL;
}

static mill_status copy_options(struct mill_engine *engine,
                                const struct mill_engine_options *options, struct mill_error *err) {
    struct mill_engine_options *o = &engine->options;
    *o = *options;
    o->model = copy_text(options->model);
    o->devices = copy_text(options->devices ? options->devices : "auto");
    o->precision = copy_text(options->precision);
    o->cache = copy_text(options->cache);
    if (!options->model)
        return mill_fail(err, MILL_E_INPUT, "a model's folder is wanted");
    if (!o->model || !o->devices || (options->precision && !o->precision) ||
        (options->cache && !o->cache))
        return mill_fail(err, MILL_E_MEMORY, "no memory for the engine");
    if (o->max_running < 0 || o->max_tokens < 0 || o->cache_tokens < 0 || o->max_window < 0 ||
        o->max_queue < 0 || o->max_running > 4096 || o->max_queue > 1 << 18 ||
        o->max_window > 1 << 16 || !(o->max_backlog_s >= 0) || !(o->max_unread_s >= 0) ||
        o->max_unread_s > 1e6 || !(o->stuck_s >= 0))
        return mill_fail(err, MILL_E_INPUT, "an option of the engine is out of range");
    o->max_queue = o->max_queue ? o->max_queue : QUEUE;
    o->max_unread_s = o->max_unread_s > 0 ? o->max_unread_s : UNREAD_S;
    o->stuck_s = o->stuck_s > 0 ? o->stuck_s : STUCK_S;
    return MILL_OK;
}

/* One for all devices, since a request may go to any: what suits the first of them. */
static mill_status choose_precision(struct mill_engine *engine, struct mill_error *err) {
    const char *wanted = engine->options.precision;
    enum mill_precision precision;
    if (!mill_precision_find(wanted, engine->devices[0].name, &precision))
        return mill_fail(err, MILL_E_INPUT, "precision '%s': there are auto, fp32, bf16 and int8",
                         wanted);
    engine->info.precision = mill_precision_name(precision);
    return MILL_OK;
}

static mill_status choose_devices(struct mill_engine *engine, struct mill_error *err) {
    struct mill_engine_options *o = &engine->options;
    MILL_TRY(mill_devices_parse(engine->devices, MILL_ENGINE_MAX_REPLICAS, &engine->n_devices,
                                o->devices, &engine->no_gpu, err));
    bool any_gpu = false;
    for (int32_t i = 0; i < engine->n_devices; i++)
        any_gpu |= engine->devices[i].is_gpu;
    o->max_window = o->max_window ? o->max_window : any_gpu ? GPU_WINDOW : WINDOW;
    return choose_precision(engine, err);
}

/* What depends on the model's sizes. */
static mill_status plan(struct mill_engine *engine, struct mill_error *err) {
    struct mill_engine_options *o = &engine->options;
    const struct mill_shape *shape = &engine->model.shape;
    int32_t most = shape->llm.max_positions;
    o->max_tokens = o->max_tokens && o->max_tokens < most ? o->max_tokens : most;
    engine->info =
        (struct mill_engine_info){.sample_rate = shape->bicodec.sample_rate,
                                  .samples_per_frame = shape->bicodec.hop,
                                  .n_voice_tokens = shape->bicodec.speaker.n_tokens,
                                  .n_voice_codes = mill_shape_global_codes(shape),
                                  .n_semantic_codes = shape->bicodec.quantizer.codebook_size,
                                  .max_tokens = o->max_tokens,
                                  .synthetic = engine->model.synthetic,
                                  .precision = engine->info.precision,
                                  .no_gpu = engine->no_gpu.text};
    engine->pending =
        mill_alloc_array((size_t)mill_engine_max_live(engine), sizeof(struct mill_request *));
    return engine->pending ? MILL_OK : mill_fail(err, MILL_E_MEMORY, "no memory for a queue");
}

static mill_status init_locks(struct mill_engine *engine) {
    MILL_TRY(mill_wait_init(&engine->changed));
    pthread_mutex_init(&engine->lock, NULL);
    pthread_mutex_init(&engine->encoder_lock, NULL);
    return MILL_OK;
}

mill_status mill_engine_open_hooked(struct mill_engine **out,
                                    const struct mill_engine_options *options,
                                    const struct mill_engine_hooks *hooks, struct mill_error *err) {
    *out = NULL;
    struct mill_engine *engine = mill_alloc_array(1, sizeof *engine);
    if (!engine || init_locks(engine) < 0) {
        free(engine);
        return mill_fail(err, MILL_E_MEMORY, "no memory for the engine");
    }
    if (hooks)
        engine->hooks = *hooks;
    mill_status status = copy_options(engine, options, err);
    if (status == MILL_OK)
        status = choose_devices(engine, err);
    if (status == MILL_OK)
        status = mill_model_open(&engine->model, engine->options.model, engine->options.cache, err);
    if (status == MILL_OK)
        status = plan(engine, err);
    if (status < 0)
        mill_engine_close(engine);
    else
        *out = engine;
    return status;
}

mill_status mill_engine_open(struct mill_engine **out, const struct mill_engine_options *options,
                             struct mill_error *err) {
    return mill_engine_open_hooked(out, options, NULL, err);
}

const char *mill_engine_version(void) {
    return MILL_VERSION;
}

const struct mill_engine_info *mill_engine_get_info(const struct mill_engine *engine) {
    return &engine->info;
}

/* ------------------------------------------------------------------ start */

/* The first replica of this one's kind: its weights may serve both. */
static struct mill_replica *lender_of(const struct mill_engine *engine, int32_t i) {
    for (int32_t j = 0; j < i; j++)
        if (strcmp(engine->devices[j].name, engine->devices[i].name) == 0)
            return engine->replicas[j];
    return NULL;
}

int32_t mill_engine_running_of(const struct mill_engine *engine, int32_t device) {
    int32_t usual = engine->devices[device].is_gpu ? GPU_RUNNING : RUNNING;
    return engine->options.max_running ? engine->options.max_running : usual;
}

static int32_t cache_tokens_of(const struct mill_engine *engine, int32_t device) {
    const struct mill_engine_options *o = &engine->options;
    int64_t tokens = (int64_t)mill_engine_running_of(engine, device) * TOKENS_EACH;
    tokens = o->cache_tokens ? o->cache_tokens : tokens;
    tokens = tokens < o->max_tokens ? o->max_tokens : tokens;
    return tokens < 1 << 30 ? (int32_t)tokens : 1 << 30;
}

static mill_status open_replica(struct mill_engine *engine, int32_t i,
                                const struct mill_engine_progress *progress,
                                struct mill_error *err) {
    const struct mill_engine_options *o = &engine->options;
    const struct mill_engine_hooks *hooks = &engine->hooks;
    const struct mill_engine_device *device = &engine->devices[i];
    const struct mill_replica *lender = lender_of(engine, i);
    const struct mill_replica_options options = {
        .model = &engine->model,
        .device = {.folder = o->model,
                   .cache = o->cache,
                   .backend = device->name,
                   .precision = engine->info.precision,
                   .number = device->number,
                   .n_threads = device->n_threads,
                   .memory_limit_bytes = hooks->memory_limit_bytes,
                   .full_head = o->full_head,
                   .ops = hooks->find_backend ? hooks->find_backend(hooks->context, i) : NULL,
                   .progress = {progress->update, progress->context}},
        .lender = lender ? mill_replica_device(lender) : NULL,
        .host = {.context = engine, .ended = mill_engine_on_ended, .lost = mill_engine_on_lost},
        .max_jobs = mill_engine_max_live(engine),
        .max_running = mill_engine_running_of(engine, i),
        .max_tokens = o->max_tokens,
        .cache_tokens = cache_tokens_of(engine, i),
        .max_window = o->max_window,
        .stuck_s = o->stuck_s,
        .number = i,
        .clock = hooks->clock,
        .clock_context = hooks->context,
        .audit = hooks->audit,
        .prompt_rows = hooks->prompt_rows};
    MILL_TRY(mill_replica_open(&engine->replicas[i], &options, err));
    engine->n_replicas = i + 1;
    return MILL_OK;
}

/* Of "auto", a GPU that cannot be used is done without, and at last the processor serves. */
static mill_status open_replicas(struct mill_engine *engine,
                                 const struct mill_engine_progress *progress,
                                 struct mill_error *err) {
    for (int32_t i = 0; i < engine->n_devices;) {
        struct mill_engine_device *device = &engine->devices[i];
        struct mill_error why = {""};
        mill_status status = open_replica(engine, i, progress, device->may_be_left ? &why : err);
        if (status < 0 && !device->may_be_left)
            return engine->n_devices > 1 ? mill_context(err, status, "device %d", i) : status;
        if (status == MILL_OK) {
            i++;
            continue;
        }
        engine->no_gpu = why;
        memmove(device, device + 1, (size_t)(--engine->n_devices - i) * sizeof *device);
        if (engine->n_devices == 0) {
            engine->devices[engine->n_devices++] = (struct mill_engine_device){.name = "cpu"};
            MILL_TRY(choose_precision(engine, err));
        }
    }
    return MILL_OK;
}

/* What no replica has room for is refused when it is submitted. */
static void limit_tokens(struct mill_engine *engine) {
    int32_t most = 0;
    for (int32_t i = 0; i < engine->n_replicas; i++) {
        struct mill_router_replica load = mill_replica_get_load(engine->replicas[i]);
        most = most < load.max_tokens ? load.max_tokens : most;
    }
    if (most < engine->options.max_tokens)
        engine->options.max_tokens = engine->info.max_tokens = most;
}

mill_status mill_engine_start(struct mill_engine *engine,
                              const struct mill_engine_progress *progress, struct mill_error *err) {
    const struct mill_engine_progress silent = {0};
    MILL_TRY(open_replicas(engine, progress ? progress : &silent, err));
    limit_tokens(engine);
    engine->started_s = mill_clock_seconds();
    for (int32_t i = 0; i < engine->n_replicas; i++)
        MILL_TRY(mill_replica_start(engine->replicas[i], err));
    engine->has_watcher = pthread_create(&engine->watcher, NULL, mill_engine_watch, engine) == 0;
    if (!engine->has_watcher)
        return mill_fail(err, MILL_E_MEMORY, "no thread for the engine");
    pthread_mutex_lock(&engine->lock);
    engine->started = true;
    int32_t n_pending = engine->n_pending;
    engine->n_pending = 0;
    pthread_mutex_unlock(&engine->lock);
    for (int32_t i = 0; i < n_pending; i++)
        mill_engine_route(engine, engine->pending[i]);
    return MILL_OK;
}

/* ------------------------------------------------------------------ the end */

mill_status mill_engine_drain(struct mill_engine *engine, double timeout_s) {
    double until_s = mill_wait_deadline(timeout_s);
    pthread_mutex_lock(&engine->lock);
    engine->draining = true;
    while (engine->n_live + engine->n_places > 0)
        if (!mill_wait_until(&engine->changed, &engine->lock, until_s))
            break;
    mill_status status = engine->n_live + engine->n_places > 0 ? MILL_AGAIN : MILL_OK;
    pthread_mutex_unlock(&engine->lock);
    return status;
}

static void cancel_pending(struct mill_engine *engine) {
    const struct mill_error err = {"the engine was closed"};
    for (int32_t i = 0; i < engine->n_pending; i++) {
        struct mill_request_result result;
        mill_request_end_unmade(engine->pending[i], MILL_REQUEST_CANCELLED, MILL_E_CANCELLED, &err,
                                &result);
        mill_request_release(engine->pending[i]);
    }
}

void mill_engine_close(struct mill_engine *engine) {
    if (!engine)
        return;
    pthread_mutex_lock(&engine->lock);
    engine->draining = engine->closing = true;
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->lock);
    if (engine->has_watcher)
        pthread_join(engine->watcher, NULL);
    cancel_pending(engine);
    bool whole = true;
    for (int32_t i = 0; i < engine->n_replicas; i++)
        whole &= mill_replica_stop(engine->replicas[i]);
    for (int32_t i = 0; i < engine->n_replicas; i++)
        mill_replica_cancel_all(engine->replicas[i]);
    if (!whole)
        return; /* a stuck device may come back and use any of this */
    for (int32_t i = engine->n_replicas - 1; i >= 0; i--) /* those that lend weights go last */
        mill_replica_close(engine->replicas[i]);
    mill_model_close(&engine->model);
    free(engine->pending);
    free((char *)(uintptr_t)engine->options.model);
    free((char *)(uintptr_t)engine->options.devices);
    free((char *)(uintptr_t)engine->options.precision);
    free((char *)(uintptr_t)engine->options.cache);
    pthread_cond_destroy(&engine->changed);
    pthread_mutex_destroy(&engine->lock);
    pthread_mutex_destroy(&engine->encoder_lock);
    free(engine);
}
