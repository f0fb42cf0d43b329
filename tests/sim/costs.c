/* costs.c - what a card takes, as bench_card measured it: the lines of a networks.csv that tell of
 * bf16 decode steps and of the decoder's streams. */
#include "tests/sim/simulation.h"

#include "runtime/base/file.h"

#include <stdio.h>
#include <string.h>

static void add_point(struct sim_curve *curve, double size, double seconds) {
    if (curve->n < SIM_MAX_POINTS && seconds > 0)
        curve->points[curve->n++] = (struct sim_point){size, seconds};
}

static void read_line(struct sim_costs *costs, const char *line, double *n_frames, double frame_s) {
    double n, frames, rate;
    if (sscanf(line, "\"decode step BF16, batch %lf\",%lf", &n, &rate) == 2)
        add_point(&costs->step, n, n / rate);
    if (sscanf(line, "\"decoder, %lf streams x %lf frames", &n, &frames) == 2)
        *n_frames = n * frames;
    if (sscanf(line, "\"the same, seconds of audio a second\",%lf", &rate) == 1)
        add_point(&costs->batch, *n_frames, *n_frames * frame_s / rate);
}

mill_status sim_costs_read(struct sim_costs *costs, const char *path, struct mill_error *err) {
    struct mill_buffer text;
    double n_frames = 0, frame_s = sim_options_default().scheduler.frame_s;
    mill_buffer_init(&text, 1 << 20);
    *costs = (struct sim_costs){0};
    mill_status status = mill_file_read(path, &text, err);
    if (status == MILL_OK)
        status = mill_buffer_append(&text, "", 1, err);
    for (char *line = text.data, *end; status == MILL_OK && line; line = end) {
        end = strchr(line, '\n');
        if (end)
            *end++ = '\0';
        read_line(costs, line, &n_frames, frame_s);
    }
    if (status == MILL_OK && (costs->step.n < 2 || costs->batch.n < 2))
        status = mill_fail(err, MILL_E_INPUT,
                           "'%s' has %d sizes of a decode step in bf16 and %d of the decoder: a "
                           "networks.csv of bench_card has more",
                           path, costs->step.n, costs->batch.n);
    mill_buffer_deinit(&text);
    return status;
}
