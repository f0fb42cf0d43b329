/* sample.c - drawing a token on the cpu: the candidates are taken off a heap, best first, only as
 * many as can be drawn.
 *
 * Building the heap is linear, and of 8,193 columns top-k 50 takes 50 off. The arithmetic on these
 * is the definition's, in double. Candidates lie in the backend's prepared-rows memory. */
#include "kernels/cpu/cpu_backend.h"

#include "runtime/base/philox.h"

#include <math.h>

struct candidate {
    double weight; /* e^(logit / temperature), the best one's being 1 */
    int32_t column;
    float logit;
};

static bool comes_before(const struct candidate *a, const struct candidate *b) {
    return a->logit > b->logit || (a->logit == b->logit && a->column < b->column);
}

/* Restore the heap (a parent comes before its children) of n candidates below `parent`. */
static void sift_down(struct candidate *c, int32_t parent, int32_t n) {
    struct candidate moving = c[parent];
    for (int32_t child; (child = 2 * parent + 1) < n; parent = child) {
        child += child + 1 < n && comes_before(&c[child + 1], &c[child]);
        if (!comes_before(&c[child], &moving))
            break;
        c[parent] = c[child];
    }
    c[parent] = moving;
}

/* Bring the k best of n, best first, to the array's end, backwards: the best is c[n - 1]. */
static void take_best(struct candidate *c, int32_t n, int32_t k) {
    for (int32_t i = n / 2 - 1; i >= 0; i--)
        sift_down(c, i, n);
    for (int32_t taken = 0; taken < k; taken++) {
        struct candidate best = c[0];
        c[0] = c[n - 1 - taken];
        sift_down(c, 0, n - 1 - taken);
        c[n - 1 - taken] = best;
    }
}

/* Column drawn from one row's candidates: temperature, top-k, top-p, then the first whose
 * cumulative probability exceeds u. */
static int32_t draw(struct candidate *c, int32_t n, float temperature, int32_t top_k, float top_p,
                    double u) {
    int32_t k = top_k > 0 && top_k < n ? top_k : n;
    take_best(c, n, k);
    struct candidate *best = &c[n - 1]; /* the i-th best is best[-i] */
    double total = 0;
    for (int32_t i = 0; i < k; i++)
        total += best[-i].weight = exp((double)best[-i].logit / (double)temperature -
                                       (double)best->logit / (double)temperature);
    double before = 0, kept = 0;
    int32_t n_kept = 0;
    for (; n_kept < k && (n_kept == 0 || top_p >= 1 || before < (double)top_p); n_kept++) {
        before += best[-n_kept].weight / total;
        kept += best[-n_kept].weight;
    }
    double edge = 0;
    for (int32_t i = 0; i < n_kept - 1; i++) {
        edge += best[-i].weight / kept;
        if (edge > u)
            return best[-i].column;
    }
    return best[1 - n_kept].column;
}

static int32_t best_column(const float *logits, int32_t n) {
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

/* The candidates' memory holds as many as there are columns. */
static int32_t draw_column(const struct mill_sample_args *args, int32_t row,
                           struct candidate *candidates) {
    const float *logits = matrix_row(&args->logits, row);
    int32_t n = args->logits.columns;
    bool finite = true;
    for (int32_t i = 0; i < n; i++)
        finite &= isfinite(logits[i]) != 0;
    if (!finite)
        return -1;
    if (args->temperature[row] <= 0)
        return best_column(logits, n);
    for (int32_t i = 0; i < n; i++)
        candidates[i] = (struct candidate){.column = i, .logit = logits[i]};
    double u = args->u ? args->u[row] : mill_philox_uniform(args->seed[row], args->position[row]);
    return draw(candidates, n, args->temperature[row], args->top_k[row], args->top_p[row], u);
}

mill_status mill_cpu_sample(struct mill_backend *backend, const struct mill_sample_args *args) {
    struct candidate *candidates = (struct candidate *)backend->prepared;
    size_t n = (size_t)args->logits.columns;
    if (n < 1 || n > PREPARED_BYTES / sizeof *candidates)
        return MILL_E_UNSUPPORTED;
    for (int32_t r = 0; r < args->logits.rows; r++) {
        int32_t column = draw_column(args, r, candidates);
        args->tokens[r] = column >= 0 && args->ids ? args->ids[column] : column;
    }
    return MILL_OK;
}
