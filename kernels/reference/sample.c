/* sample.c - the draw of one column per row of logits, in double.
 *
 * Candidates are visited by falling logit, ties by rising column, through "the next one after this
 * one": a scan of the row for each, which needs no memory and no sort. The steps are those of the
 * published order: temperature, top-k, softmax, top-p, softmax of what is left. One thread. */
#include "kernels/reference/internal.h"

#include "runtime/base/philox.h"

#include <math.h>

/* The candidate that follows `after` in the order of candidates; -1 = the first one. */
static int32_t next_candidate(const float *logits, int32_t n, int32_t after) {
    int32_t best = -1;
    for (int32_t i = 0; i < n; i++) {
        if (after >= 0 && (logits[i] > logits[after] || (logits[i] == logits[after] && i <= after)))
            continue; /* `after` or one before it */
        if (best < 0 || logits[i] > logits[best])
            best = i;
    }
    return best;
}

struct softmax {
    const float *logits;
    int32_t n, first;   /* columns; the largest logit's column */
    double temperature; /* > 0 */
};

static double exponential(const struct softmax *s, int32_t column) {
    double z = s->logits[column] / s->temperature;
    return exp(z - s->logits[s->first] / s->temperature);
}

/* Sum of the exponentials of the first n_kept candidates. */
static double total_of(const struct softmax *s, int32_t n_kept) {
    double total = 0;
    if (n_kept == s->n) { /* all of them: the order does not matter */
        for (int32_t i = 0; i < s->n; i++)
            total += exponential(s, i);
        return total;
    }
    for (int32_t k = 0, c = s->first; k < n_kept; k++, c = next_candidate(s->logits, s->n, c))
        total += exponential(s, c);
    return total;
}

/* Of n_kept candidates, how many have less than top_p before them; the first always stays. */
static int32_t keep_top_p(const struct softmax *s, int32_t n_kept, double top_p) {
    double total = total_of(s, n_kept), before = 0;
    int32_t k = 0;
    for (int32_t c = s->first; k < n_kept; k++, c = next_candidate(s->logits, s->n, c)) {
        if (k > 0 && before >= top_p)
            break;
        before += exponential(s, c) / total;
    }
    return k;
}

static int32_t draw(const float *logits, int32_t n, float temperature, int32_t top_k, float top_p,
                    double u) {
    for (int32_t i = 0; i < n; i++)
        if (!isfinite(logits[i]))
            return -1;
    int32_t first = next_candidate(logits, n, -1);
    if (temperature == 0)
        return first;
    const struct softmax s = {logits, n, first, temperature};
    int32_t n_kept = top_k > 0 && top_k < n ? top_k : n;
    if (top_p < 1)
        n_kept = keep_top_p(&s, n_kept, top_p);
    double total = total_of(&s, n_kept), edge = 0;
    int32_t column = first;
    for (int32_t k = 0, c = first; k < n_kept; k++, c = next_candidate(logits, n, c)) {
        column = c; /* rounding may leave the last edge below u: then the last one it is */
        edge += exponential(&s, c) / total;
        if (edge > u)
            break;
    }
    return column;
}

mill_status mill_reference_sample(struct mill_backend *b, const struct mill_sample_args *a) {
    (void)b;
    MILL_TRY(mill_reference_check_matrix(&a->logits));
    if (a->logits.rows == 0)
        return MILL_OK;
    if (!a->tokens || !a->temperature || !a->top_p || !a->top_k)
        return MILL_E_INPUT;
    if (!a->u && (!a->seed || !a->position))
        return MILL_E_INPUT;
    for (int32_t r = 0; r < a->logits.rows; r++)
        if (!(a->temperature[r] >= 0) || isinf(a->temperature[r]) || !(a->top_p[r] >= 0) ||
            a->top_k[r] < 0 || (a->u && !(a->u[r] >= 0 && a->u[r] < 1)))
            return MILL_E_INPUT;
    for (int32_t r = 0; r < a->logits.rows; r++) {
        double u = a->u ? a->u[r] : mill_philox_uniform(a->seed[r], a->position[r]);
        int32_t column = draw(mill_reference_row(&a->logits, r), a->logits.columns,
                              a->temperature[r], a->top_k[r], a->top_p[r], u);
        a->tokens[r] = column >= 0 && a->ids ? a->ids[column] : column;
    }
    return MILL_OK;
}
