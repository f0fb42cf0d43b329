/* bench_points.c - the points of load of `sparkmill bench engine` and `serve`, one after the other:
 * each a few times with the same requests, a line on the screen as it is done, files at the end. */
#include "runtime/base/file.h"
#include "tools/bench.h"

#include <math.h>
#include <stdio.h>

/* An open loop is watched for so long, where nobody says for how many requests. */
enum { OPEN_LOOP_S = 10, LEAST_REQUESTS = 8 };

static int32_t requests_of(const struct mill_bench_options *o, int32_t concurrency, double rate) {
    if (o->n_requests > 0)
        return (int32_t)o->n_requests;
    double n = concurrency > 0 ? 2.0 * concurrency : ceil(OPEN_LOOP_S * rate);
    return n > LEAST_REQUESTS ? (int32_t)n : LEAST_REQUESTS;
}

mill_status
mill_bench_run_points(const struct mill_bench_options *o, const struct bench_target *target,
                      const struct bench_passages *passages,
                      mill_status (*judge)(void *, struct bench_point *, struct mill_error *),
                      void *context, struct bench_result *result, struct mill_error *err) {
    const struct bench_machine *machine = &result->machine;
    if (o->output) /* what is wrong with it is said before minutes of measuring */
        MILL_TRY(mill_folder_make(o->output, err));
    fprintf(stderr, "%s; %d processors; %.1f GB; load %.2f\n%s\n", machine->cpu,
            machine->n_processors, machine->memory_gb, machine->load, result->settings);
    bench_result_print_header(stderr);
    for (int i = 0; i < o->n_concurrencies + o->n_rates; i++) {
        int32_t concurrency = i < o->n_concurrencies ? o->concurrencies[i] : 0;
        double rate = concurrency > 0 ? 0 : o->rates[i - o->n_concurrencies];
        struct bench_load load = {.concurrency = concurrency,
                                  .rate = rate,
                                  .n_requests = requests_of(o, concurrency, rate),
                                  .n_warmup = (int32_t)o->n_warmup,
                                  .seed = (uint64_t)o->seed,
                                  .deadline_s = o->deadline_s};
        struct bench_point *point = &result->points[result->n_points];
        *point = (struct bench_point){.concurrency = concurrency, .rate = rate};
        for (int k = 0; k < (int)o->n_repetitions; k++) {
            MILL_TRY(bench_load_run(&load, target, passages, &point->outcomes[k], err));
            point->n_repetitions++;
            load.n_warmup = 0; /* it is warm now */
        }
        if (judge)
            MILL_TRY(judge(context, point, err));
        result->n_points++;
        bench_result_print_point(stderr, point);
    }
    result->peak_memory_mb = bench_peak_memory_mb();
    fprintf(stderr, "peak memory of this program %.0f MB\n", result->peak_memory_mb);
    return o->output ? bench_result_write(result, o->output, err) : MILL_OK;
}
