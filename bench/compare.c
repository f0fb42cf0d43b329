/* compare.c - two result files side by side; see bench_result_compare in result.h. */
#include "bench/result.h"

#include "runtime/io/config.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { LARGEST_RESULT = 1 << 24 }; /* bytes */

static mill_status read_points(const char *path, json_t **root, json_t **points,
                               struct mill_error *err) {
    MILL_TRY(mill_json_open(root, path, LARGEST_RESULT, err));
    *points = json_object_get(*root, "points");
    if (!json_is_array(*points))
        return mill_fail(err, MILL_E_INPUT,
                         "'%s' is no result of sparkmill bench: it has no list of points", path);
    return MILL_OK;
}

static double number_of(const json_t *object, const char *name) {
    return json_number_value(json_object_get(object, name));
}

static const json_t *same_point(const json_t *points, const json_t *wanted) {
    size_t i;
    json_t *point;
    json_array_foreach((json_t *)points, i, point) {
        if (number_of(point, "concurrency") == number_of(wanted, "concurrency") &&
            number_of(point, "rate") == number_of(wanted, "rate"))
            return point;
    }
    return NULL;
}

/* False where the point has no such figure, or the machine could not tell it (negative). */
static bool mean_in(const json_t *point, const char *figure, struct bench_mean *out) {
    const json_t *found = json_object_get(json_object_get(point, "figures"), figure);
    *out = (struct bench_mean){.mean = number_of(found, "mean"),
                               .half_width = number_of(found, "half_width"),
                               .n = json_array_size(json_object_get(found, "values"))};
    return found && isfinite(out->mean) && out->mean >= 0;
}

static bool compare_figure(const struct bench_figure *figure, const json_t *before,
                           const json_t *after, double least, FILE *out) {
    struct bench_mean a, b;
    if (figure->better == BENCH_NEUTRAL || !mean_in(before, figure->name, &a) ||
        !mean_in(after, figure->name, &b) || (a.mean == 0 && b.mean == 0))
        return false;
    struct bench_change change = bench_change_of(a, b, least);
    bool worse =
        change.beyond_noise && (b.mean > a.mean) == (figure->better == BENCH_LESS_IS_BETTER);
    fprintf(out, "  %-16s %12.5g +- %-8.2g -> %12.5g +- %-8.2g %+7.1f %%  %s\n", figure->name,
            a.mean, a.half_width, b.mean, b.half_width, 100 * change.share,
            !change.noise_known    ? "one run: noise not known"
            : !change.beyond_noise ? "same within noise"
            : worse                ? "WORSE"
                                   : "better");
    return worse;
}

/* What was not the same may be why the figures are not. */
static void print_text_where_different(const json_t *before, const json_t *after, const char *name,
                                       FILE *out) {
    const char *a = json_string_value(json_object_get(before, name));
    const char *b = json_string_value(json_object_get(after, name));
    if (a && b && strcmp(a, b) != 0)
        fprintf(out, "different %s\n  before: %s\n  after:  %s\n", name, a, b);
}

/* Points that both have; *n_worse counts figures. */
static int compare_points(const json_t *before, const json_t *after, double least, FILE *out,
                          int *n_worse) {
    int n_common = 0;
    size_t p;
    json_t *point;
    json_array_foreach((json_t *)before, p, point) {
        const json_t *other = same_point(after, point);
        if (!other)
            continue;
        if (number_of(point, "concurrency") > 0)
            fprintf(out, "%.0f at once\n", number_of(point, "concurrency"));
        else
            fprintf(out, "%.3g requests a second\n", number_of(point, "rate"));
        n_common++;
        for (size_t i = 0; i < bench_n_figures; i++)
            *n_worse += compare_figure(&bench_figures[i], point, other, least, out);
    }
    return n_common;
}

mill_status bench_result_compare(const char *before, const char *after, double least, FILE *out,
                                 int *n_worse, struct mill_error *err) {
    json_t *roots[2] = {NULL, NULL}, *points[2];
    mill_status status = read_points(before, &roots[0], &points[0], err);
    if (status == MILL_OK)
        status = read_points(after, &roots[1], &points[1], err);
    *n_worse = 0;
    if (status == MILL_OK) {
        print_text_where_different(json_object_get(roots[0], "machine"),
                                   json_object_get(roots[1], "machine"), "cpu", out);
        print_text_where_different(roots[0], roots[1], "settings", out);
        if (compare_points(points[0], points[1], least, out, n_worse) == 0)
            status = mill_fail(err, MILL_E_INPUT, "'%s' and '%s' have no point of load in common",
                               before, after);
    }
    json_decref(roots[0]);
    json_decref(roots[1]);
    return status;
}
