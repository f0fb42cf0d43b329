/* engine_target.c - see engine_target.h. The handle of a request is the engine's; sound and end
 * come on a replica's thread. The quality gate is off: a redraw is work that the load did not ask
 * for. */
#include "bench/engine_target.h"

static mill_status hear(void *context, const float *samples, size_t n, struct mill_error *err) {
    (void)samples;
    (void)err;
    bench_request_heard(context, n);
    return MILL_OK;
}

static void end(void *context, const struct mill_request_result *result) {
    bench_request_ended(context,
                        result->status == MILL_OK ? NULL : mill_status_text(result->status));
}

static mill_status start(void *context, struct bench_request *request, struct mill_error *err) {
    const struct bench_engine_target *target = context;
    struct mill_engine_request wish;
    mill_engine_request_init(&wish);
    wish.text = request->text.text;
    wish.text_bytes = request->text.bytes;
    wish.seed = request->seed;
    wish.max_redraws = 0;
    wish.stream = target->stream;
    if (target->frames_per_byte > 0)
        wish.max_frames = (int32_t)(target->frames_per_byte * (double)request->text.bytes) + 1;
    wish.deliver = hear;
    wish.ended = end;
    wish.context = request;
    struct mill_request *handle;
    bench_request_sent(request);
    MILL_TRY(mill_engine_submit(target->engine, &wish, &handle, NULL, err));
    request->handle = handle;
    return MILL_OK;
}

static void finish(void *context, struct bench_request *request) {
    (void)context;
    mill_request_free(request->handle);
    request->handle = NULL;
}

static double joules(void *context) {
    const struct bench_engine_target *target = context;
    return target->energy ? bench_energy_joules(target->energy) : -1;
}

static double busy_s(void *context) {
    const struct bench_engine_target *target = context;
    struct mill_engine_stats stats;
    double sum_s = 0;
    mill_engine_get_stats(target->engine, &stats);
    for (int32_t i = 0; i < stats.n_replicas; i++)
        sum_s += stats.replicas[i].busy_s;
    return sum_s / stats.n_replicas;
}

struct bench_target bench_engine_target_of(struct bench_engine_target *engine) {
    const struct mill_engine_info *info = mill_engine_get_info(engine->engine);
    return (struct bench_target){.context = engine,
                                 .sample_rate = info->sample_rate,
                                 .samples_per_frame = info->samples_per_frame,
                                 .start = start,
                                 .finish = finish,
                                 .joules = joules,
                                 .busy_s = busy_s};
}
