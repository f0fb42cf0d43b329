/* sample.c - drawing a token on the cpu: the candidates are selected, not the whole row sorted.
 *
 * Quickselect brings the top_k largest logits (ties by lower column) to the front, only these are
 * sorted, and the arithmetic on them is the definition's, in double. Candidates lie in the
 * backend's prepared-rows memory. */
#include "kernels/cpu/cpu_backend.h"

#include "runtime/base/philox.h"

#include <math.h>
#include <stdlib.h>

struct candidate {
    double z; /* logit / temperature; then the probability */
    int32_t column;
    float logit;
};

static bool comes_before(const struct candidate *a, const struct candidate *b) {
    return a->logit > b->logit || (a->logit == b->logit && a->column < b->column);
}

static void swap(struct candidate *a, struct candidate *b) {
    struct candidate t = *a;
    *a = *b;
    *b = t;
}

/* The first `k` places get the k best, in any order; Hoare's partition around the middle element,
 * linear on average. */
static void select_best(struct candidate *c, int32_t n, int32_t k) {
    int32_t low = 0, high = n - 1;
    while (low < high) {
        struct candidate pivot = c[low + (high - low) / 2];
        int32_t i = low, j = high;
        while (i <= j) {
            while (comes_before(&c[i], &pivot))
                i++;
            while (comes_before(&pivot, &c[j]))
                j--;
            if (i <= j)
                swap(&c[i++], &c[j--]);
        }
        if (k - 1 <= j)
            high = j;
        else if (k - 1 >= i)
            low = i;
        else
            return;
    }
}

static int by_rank(const void *a, const void *b) {
    return comes_before(a, b) ? -1 : 1;
}

/* Column drawn from one row's candidates: temperature, top-k, top-p, then the first whose
 * cumulative probability exceeds u. */
static int32_t draw(struct candidate *c, int32_t n, float temperature, int32_t top_k, float top_p,
                    double u) {
    if (top_k > 0 && top_k < n) {
        select_best(c, n, top_k);
        n = top_k;
    }
    qsort(c, (size_t)n, sizeof *c, by_rank);
    double total = 0, best = (double)c[0].logit / (double)temperature;
    for (int32_t i = 0; i < n; i++)
        total += c[i].z = exp((double)c[i].logit / (double)temperature - best);
    double before = 0, kept = 0;
    int32_t n_kept = 0;
    for (; n_kept < n && (top_p >= 1 || before < (double)top_p); n_kept++) {
        double p = c[n_kept].z / total;
        before += p;
        kept += c[n_kept].z;
    }
    if (n_kept == 0) /* top_p 0: the best one stays */
        return c[0].column;
    double edge = 0;
    for (int32_t i = 0; i < n_kept; i++) {
        edge += c[i].z / kept;
        if (edge > u)
            return c[i].column;
    }
    return c[n_kept - 1].column;
}

static int32_t best_column(const float *logits, int32_t n) {
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

mill_status mill_cpu_sample(struct mill_backend *backend, const struct mill_sample_args *args) {
    int32_t n = args->logits.columns;
    struct candidate *candidates = (struct candidate *)backend->prepared;
    if ((size_t)n > PREPARED_BYTES / sizeof *candidates || n < 1)
        return MILL_E_UNSUPPORTED;
    for (int32_t r = 0; r < args->logits.rows; r++) {
        const float *logits = matrix_row(&args->logits, r);
        bool finite = true;
        for (int32_t i = 0; i < n; i++)
            finite &= isfinite(logits[i]) != 0;
        if (!finite) {
            args->columns[r] = -1;
            continue;
        }
        if (args->temperature[r] <= 0) {
            args->columns[r] = best_column(logits, n);
            continue;
        }
        for (int32_t i = 0; i < n; i++)
            candidates[i] = (struct candidate){.column = i, .logit = logits[i]};
        double u = args->u ? args->u[r] : mill_philox_uniform(args->seed[r], args->position[r]);
        args->columns[r] =
            draw(candidates, n, args->temperature[r], args->top_k[r], args->top_p[r], u);
    }
    return MILL_OK;
}
