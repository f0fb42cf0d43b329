/* plot.c - see plot.h. A chart is axes with round numbers and a few lines of points; x is drawn by
 * its logarithm, since loads double from point to point. */
#include "bench/plot.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 720, HEIGHT = 420, LEFT = 76, RIGHT = 24, TOP = 48, BOTTOM = 56, MAX_SERIES = 3 };

struct series {
    const char *name, *colour;
    bool dashed;
    double y[BENCH_MAX_POINTS], spread[BENCH_MAX_POINTS];
};

struct chart {
    const char *title, *x_title, *y_title;
    int n;
    double x[BENCH_MAX_POINTS];
    struct series series[MAX_SERIES];
    int n_series;
    double y_top, y_step;
};

static double place_x(const struct chart *c, double x) {
    double share = log(x / c->x[0]) / log(c->x[c->n - 1] / c->x[0]);
    return LEFT + share * (WIDTH - LEFT - RIGHT);
}

static double place_y(const struct chart *c, double y) {
    return HEIGHT - BOTTOM - y / c->y_top * (HEIGHT - TOP - BOTTOM);
}

/* A step of 1, 2 or 5 times a power of ten that divides the axis into about five. */
static void choose_axis(struct chart *c) {
    double most = 0;
    for (int s = 0; s < c->n_series; s++)
        for (int i = 0; i < c->n; i++)
            most = fmax(most, c->series[s].y[i] + c->series[s].spread[i]);
    if (most <= 0)
        most = 1;
    double power = pow(10, floor(log10(most / 5))), step = power;
    for (const double *f = (const double[]){2, 5, 10, 0}; *f > 0 && most / step > 6; f++)
        step = *f * power;
    c->y_step = step;
    c->y_top = ceil(most / step) * step;
}

static mill_status draw_axes(const struct chart *c, struct mill_buffer *out,
                             struct mill_error *err) {
    MILL_TRY(mill_buffer_printf(
        out, err,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
        "viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
        "<text x=\"%d\" y=\"26\" font-size=\"16\">%s</text>\n"
        "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n"
        "<text transform=\"translate(18 %d) rotate(-90)\" text-anchor=\"middle\">%s</text>\n",
        WIDTH, HEIGHT, WIDTH, HEIGHT, LEFT, c->title, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14,
        c->x_title, (TOP + HEIGHT - BOTTOM) / 2, c->y_title));
    for (double y = 0; y <= c->y_top * 1.0001; y += c->y_step)
        MILL_TRY(mill_buffer_printf(out, err,
                                    "<path d=\"M%d %.1fH%d\" stroke=\"#ddd\"/>"
                                    "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.6g</text>\n",
                                    LEFT, place_y(c, y), WIDTH - RIGHT, LEFT - 8, place_y(c, y) + 4,
                                    y));
    for (int i = 0; i < c->n; i++)
        MILL_TRY(mill_buffer_printf(
            out, err, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.4g</text>\n",
            place_x(c, c->x[i]), HEIGHT - BOTTOM + 20, c->x[i]));
    return MILL_OK;
}

static mill_status draw_series(const struct chart *c, int index, struct mill_buffer *out,
                               struct mill_error *err) {
    const struct series *s = &c->series[index];
    MILL_TRY(mill_buffer_printf(out, err,
                                "<path fill=\"none\" stroke=\"%s\" stroke-width=\"2\"%s d=\"",
                                s->colour, s->dashed ? " stroke-dasharray=\"6 5\"" : ""));
    for (int i = 0; i < c->n; i++)
        MILL_TRY(mill_buffer_printf(out, err, "%s%.1f %.1f", i ? "L" : "M", place_x(c, c->x[i]),
                                    place_y(c, s->y[i])));
    MILL_TRY(mill_buffer_printf(out, err, "\"/>\n"));
    for (int i = 0; i < c->n && !s->dashed; i++)
        MILL_TRY(mill_buffer_printf(out, err,
                                    "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"/>"
                                    "<path d=\"M%.1f %.1fV%.1f\" stroke=\"%s\"/>\n",
                                    place_x(c, c->x[i]), place_y(c, s->y[i]), s->colour,
                                    place_x(c, c->x[i]), place_y(c, s->y[i] - s->spread[i]),
                                    place_y(c, s->y[i] + s->spread[i]), s->colour));
    return mill_buffer_printf(out, err,
                              "<path d=\"M%d %dh24\" stroke=\"%s\" stroke-width=\"2\"%s/><text "
                              "x=\"%d\" y=\"%d\">%s</text>\n",
                              LEFT + 14, TOP + 12 + 18 * index, s->colour,
                              s->dashed ? " stroke-dasharray=\"6 5\"" : "", LEFT + 44,
                              TOP + 16 + 18 * index, s->name);
}

static mill_status draw(struct chart *c, struct mill_buffer *out, struct mill_error *err) {
    if (c->n < 2 || c->x[0] <= 0 || c->x[c->n - 1] <= c->x[0])
        return MILL_OK;
    choose_axis(c);
    MILL_TRY(draw_axes(c, out, err));
    for (int s = 0; s < c->n_series; s++)
        MILL_TRY(draw_series(c, s, out, err));
    return mill_buffer_printf(out, err, "</svg>\n");
}

/* The points of the closed loop, or of the open one. */
static int points_of(const struct bench_result *result, bool closed,
                     const struct bench_point **out) {
    int n = 0;
    for (int i = 0; i < result->n_points; i++)
        if ((result->points[i].concurrency > 0) == closed)
            out[n++] = &result->points[i];
    return n;
}

static const struct bench_figure *figure_at(size_t offset) {
    for (size_t i = 0; i < bench_n_figures; i++)
        if (bench_figures[i].offset == offset)
            return &bench_figures[i];
    return NULL;
}

static void add_series(struct chart *c, const char *name, const char *colour,
                       const struct bench_point **points, size_t offset) {
    struct series *s = &c->series[c->n_series++];
    *s = (struct series){.name = name, .colour = colour};
    for (int i = 0; i < c->n; i++) {
        struct bench_mean mean = bench_point_mean(points[i], figure_at(offset));
        s->y[i] = mean.mean;
        s->spread[i] = fmin(mean.half_width, mean.mean);
    }
}

mill_status bench_plot_throughput(const struct bench_result *result, struct mill_buffer *out,
                                  struct mill_error *err) {
    const struct bench_point *points[BENCH_MAX_POINTS];
    struct chart c = {.title = "Throughput",
                      .x_title = "utterances at once",
                      .y_title = "frames a second (50 = real time)",
                      .n = points_of(result, true, points)};
    for (int i = 0; i < c.n; i++)
        c.x[i] = points[i]->concurrency;
    add_series(&c, "measured", "#1f6fb2", points, offsetof(struct bench_outcome, frames_per_s));
    struct series paper = {.name = "on paper", .colour = "#888", .dashed = true};
    bool predicted = c.n > 0;
    for (int i = 0; i < c.n; i++) {
        paper.y[i] = points[i]->predicted_frames_per_s;
        predicted = predicted && paper.y[i] > 0;
    }
    if (predicted)
        c.series[c.n_series++] = paper;
    return draw(&c, out, err);
}

mill_status bench_plot_latency(const struct bench_result *result, struct mill_buffer *out,
                               struct mill_error *err) {
    const struct bench_point *points[BENCH_MAX_POINTS];
    int n = points_of(result, false, points);
    bool closed = n < 2;
    struct chart c = {.title = "Until the first sound",
                      .x_title = closed ? "utterances at once" : "requests a second",
                      .y_title = "seconds",
                      .n = closed ? points_of(result, true, points) : n};
    for (int i = 0; i < c.n; i++)
        c.x[i] = closed ? points[i]->concurrency : points[i]->rate;
    add_series(&c, "50 of 100 requests", "#1f6fb2", points,
               offsetof(struct bench_outcome, first_p50));
    add_series(&c, "90 of 100", "#c77d0a", points, offsetof(struct bench_outcome, first_p90));
    add_series(&c, "99 of 100", "#b3261e", points, offsetof(struct bench_outcome, first_p99));
    return draw(&c, out, err);
}
