/* result.c - see result.h: the table of figures, the screen, CSV and JSON. */
#include "bench/result.h"

#include "bench/plot.h"
#include "runtime/base/file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define FIGURE(field, better)                                                                      \
    { #field, better, offsetof(struct bench_outcome, field) }
const struct bench_figure bench_figures[] = {
    FIGURE(frames_per_s, BENCH_MORE_IS_BETTER),
    FIGURE(audio_per_s, BENCH_MORE_IS_BETTER),
    FIGURE(first_p50, BENCH_LESS_IS_BETTER),
    FIGURE(first_p90, BENCH_LESS_IS_BETTER),
    FIGURE(first_p99, BENCH_LESS_IS_BETTER),
    FIGURE(latency_p50, BENCH_LESS_IS_BETTER),
    FIGURE(latency_p90, BENCH_LESS_IS_BETTER),
    FIGURE(latency_p99, BENCH_LESS_IS_BETTER),
    FIGURE(gap_p50, BENCH_LESS_IS_BETTER),
    FIGURE(gap_p99, BENCH_LESS_IS_BETTER),
    FIGURE(underrun_share, BENCH_LESS_IS_BETTER),
    FIGURE(stalled_s, BENCH_LESS_IS_BETTER),
    FIGURE(good_per_s, BENCH_MORE_IS_BETTER),
    FIGURE(good_share, BENCH_MORE_IS_BETTER),
    FIGURE(sent_late_p99, BENCH_NEUTRAL),
    FIGURE(audio_s, BENCH_NEUTRAL),
    FIGURE(wall_s, BENCH_NEUTRAL),
    FIGURE(joules, BENCH_LESS_IS_BETTER),
    FIGURE(busy_share, BENCH_NEUTRAL),
};
#undef FIGURE
const size_t bench_n_figures = sizeof bench_figures / sizeof *bench_figures;

struct bench_mean bench_point_mean(const struct bench_point *point,
                                   const struct bench_figure *figure) {
    double values[BENCH_MAX_REPETITIONS];
    for (int i = 0; i < point->n_repetitions; i++)
        memcpy(&values[i], (const char *)&point->outcomes[i] + figure->offset, sizeof values[i]);
    return bench_mean_of(values, (size_t)point->n_repetitions);
}

/* Requests of all repetitions. */
struct counts {
    int32_t n_done, n_failed;
    struct bench_failure failures[BENCH_MAX_FAILURES];
};

static struct counts count_requests(const struct bench_point *point) {
    struct counts counts = {0};
    for (int i = 0; i < point->n_repetitions; i++) {
        const struct bench_outcome *outcome = &point->outcomes[i];
        counts.n_done += outcome->n_done;
        counts.n_failed += outcome->n_failed;
        for (int k = 0; k < BENCH_MAX_FAILURES && outcome->failures[k].n > 0; k++)
            bench_failures_add(counts.failures, outcome->failures[k].name, outcome->failures[k].n);
    }
    return counts;
}

static const struct bench_figure *figure_named(const char *name) {
    for (size_t i = 0; i < bench_n_figures; i++)
        if (strcmp(bench_figures[i].name, name) == 0)
            return &bench_figures[i];
    return NULL;
}

static double mean_named(const struct bench_point *point, const char *name) {
    return bench_point_mean(point, figure_named(name)).mean;
}

/* ------------------------------------------------------------------ the screen */

void bench_result_print_header(FILE *out) {
    fprintf(out, "%-14s %18s %9s %9s %9s %24s %9s %9s %9s %8s\n", "load", "frames/s", "x real",
            "of kernels", "of paper", "first sound 50/90/99", "gap 99", "end 50", "underrun",
            "good/s");
}

/* What was measured as a share of what could be; "-" where that is not known. */
static const char *share(char text[16], double measured, double possible) {
    snprintf(text, 16, "-");
    if (possible > 0)
        snprintf(text, 16, "%.0f %%", 100 * measured / possible);
    return text;
}

void bench_result_print_point(FILE *out, const struct bench_point *point) {
    char load[32], rate[48], first[48], of_kernels[16], of_paper[16];
    if (point->concurrency > 0)
        snprintf(load, sizeof load, "%d at once", point->concurrency);
    else
        snprintf(load, sizeof load, "%.3g a second", point->rate);
    struct bench_mean frames = bench_point_mean(point, figure_named("frames_per_s"));
    if (frames.n > 1)
        snprintf(rate, sizeof rate, "%.5g +- %.2g", frames.mean, frames.half_width);
    else
        snprintf(rate, sizeof rate, "%.5g", frames.mean);
    snprintf(first, sizeof first, "%.3f %.3f %.3f s", mean_named(point, "first_p50"),
             mean_named(point, "first_p90"), mean_named(point, "first_p99"));
    fprintf(out, "%-14s %18s %9.2f %9s %9s %24s %7.3f s %7.3f s %7.0f %% %8.3g\n", load, rate,
            mean_named(point, "audio_per_s"),
            share(of_kernels, frames.mean, point->bare_frames_per_s),
            share(of_paper, frames.mean, point->predicted_frames_per_s), first,
            mean_named(point, "gap_p99"), mean_named(point, "latency_p50"),
            100 * mean_named(point, "underrun_share"), mean_named(point, "good_per_s"));
    struct counts counts = count_requests(point);
    if (counts.n_failed == 0)
        return;
    fprintf(out, "%-14s %d of %d requests failed:", "", counts.n_failed,
            counts.n_done + counts.n_failed);
    for (int k = 0; k < BENCH_MAX_FAILURES && counts.failures[k].n > 0; k++)
        fprintf(out, " %s (%d)", counts.failures[k].name, counts.failures[k].n);
    fprintf(out, "\n");
}

/* ------------------------------------------------------------------ CSV */

static mill_status compose_csv(const struct bench_result *result, struct mill_buffer *out,
                               struct mill_error *err) {
    const struct bench_machine *m = &result->machine;
    MILL_TRY(mill_buffer_printf(
        out, err, "# %s; %d processors; %.1f GB; %s; load %.2f; %s; %s\n# %s\n", m->cpu,
        m->n_processors, m->memory_gb, m->system, m->load, m->date, m->version, result->settings));
    MILL_TRY(mill_buffer_printf(out, err, "concurrency,rate,repetitions,done,failed"));
    for (size_t i = 0; i < bench_n_figures; i++)
        MILL_TRY(mill_buffer_printf(out, err, ",%s,%s_95", bench_figures[i].name,
                                    bench_figures[i].name));
    MILL_TRY(mill_buffer_printf(out, err, ",predicted_frames_per_s,bare_frames_per_s\n"));
    for (int p = 0; p < result->n_points; p++) {
        const struct bench_point *point = &result->points[p];
        struct counts counts = count_requests(point);
        MILL_TRY(mill_buffer_printf(out, err, "%d,%.6g,%d,%d,%d", point->concurrency, point->rate,
                                    point->n_repetitions, counts.n_done, counts.n_failed));
        for (size_t i = 0; i < bench_n_figures; i++) {
            struct bench_mean mean = bench_point_mean(point, &bench_figures[i]);
            MILL_TRY(mill_buffer_printf(out, err, ",%.6g,%.3g", mean.mean, mean.half_width));
        }
        MILL_TRY(mill_buffer_printf(out, err, ",%.6g,%.6g\n", point->predicted_frames_per_s,
                                    point->bare_frames_per_s));
    }
    return MILL_OK;
}

/* ------------------------------------------------------------------ JSON */

static json_t *machine_json(const struct bench_machine *m) {
    return json_pack("{s:s s:i s:f s:s s:f s:s s:s}", "cpu", m->cpu, "processors", m->n_processors,
                     "memory_gb", m->memory_gb, "system", m->system, "load", m->load, "date",
                     m->date, "version", m->version);
}

static json_t *figure_json(const struct bench_point *point, const struct bench_figure *figure) {
    struct bench_mean mean = bench_point_mean(point, figure);
    json_t *values = json_array();
    for (int i = 0; i < point->n_repetitions; i++) {
        double value;
        memcpy(&value, (const char *)&point->outcomes[i] + figure->offset, sizeof value);
        json_array_append_new(values, json_real(value));
    }
    return json_pack("{s:f s:f s:o}", "mean", mean.mean, "half_width", mean.half_width, "values",
                     values);
}

static json_t *point_json(const struct bench_point *point) {
    struct counts counts = count_requests(point);
    json_t *figures = json_object(), *failures = json_object();
    for (size_t i = 0; i < bench_n_figures; i++)
        json_object_set_new(figures, bench_figures[i].name, figure_json(point, &bench_figures[i]));
    for (int k = 0; k < BENCH_MAX_FAILURES && counts.failures[k].n > 0; k++)
        json_object_set_new(failures, counts.failures[k].name, json_integer(counts.failures[k].n));
    return json_pack("{s:i s:f s:i s:i s:o s:f s:f s:o}", "concurrency", point->concurrency, "rate",
                     point->rate, "done", counts.n_done, "failed", counts.n_failed, "failures",
                     failures, "predicted_frames_per_s", point->predicted_frames_per_s,
                     "bare_frames_per_s", point->bare_frames_per_s, "figures", figures);
}

static mill_status compose_json(const struct bench_result *result, struct mill_buffer *out,
                                struct mill_error *err) {
    json_t *points = json_array();
    for (int i = 0; i < result->n_points; i++)
        json_array_append_new(points, point_json(&result->points[i]));
    json_t *all = json_pack("{s:s s:o s:s s:f s:o}", "bench", result->kind, "machine",
                            machine_json(&result->machine), "settings", result->settings,
                            "peak_memory_mb", result->peak_memory_mb, "points", points);
    char *text = all ? json_dumps(all, JSON_INDENT(1) | JSON_REAL_PRECISION(8)) : NULL;
    json_decref(all);
    if (!text)
        return mill_fail(err, MILL_E_MEMORY, "no memory for the results");
    mill_status status = mill_buffer_printf(out, err, "%s\n", text);
    free(text);
    return status;
}

/* ------------------------------------------------------------------ files */

static mill_status write_file(const struct bench_result *result, const char *folder,
                              const char *suffix,
                              mill_status (*compose)(const struct bench_result *,
                                                     struct mill_buffer *, struct mill_error *),
                              struct mill_error *err) {
    enum { MAX_BYTES = 16 << 20 };
    char name[64];
    snprintf(name, sizeof name, "%s%s", result->kind, suffix);
    char *path = mill_path_join(folder, name);
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "no memory for the results");
    struct mill_buffer text;
    mill_buffer_init(&text, MAX_BYTES);
    mill_status status = compose(result, &text, err);
    if (status == MILL_OK && text.size > 0)
        status = mill_file_write(path, text.data, text.size, err);
    mill_buffer_deinit(&text);
    free(path);
    return status;
}

mill_status bench_result_write(const struct bench_result *result, const char *folder,
                               struct mill_error *err) {
    MILL_TRY(mill_folder_make(folder, err));
    MILL_TRY(write_file(result, folder, ".csv", compose_csv, err));
    MILL_TRY(write_file(result, folder, ".json", compose_json, err));
    MILL_TRY(write_file(result, folder, "-throughput.svg", bench_plot_throughput, err));
    return write_file(result, folder, "-latency.svg", bench_plot_latency, err);
}
