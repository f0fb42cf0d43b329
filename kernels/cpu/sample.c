/* sample.c - drawing a token on the cpu: the k best candidates are kept in a heap while the columns
 * go by, then put in order.
 *
 * Of 8,193 columns top-k 50 lets some 300 into the heap; the rest is one comparison each, with the
 * worst that is kept. The arithmetic on these k is the definition's, in double. A task draws a row;
 * candidates lie in the backend's prepared-rows memory, room for a row of them beside the other. */
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

/* Restore the heap (a parent comes after its children) of n candidates below `parent`. */
static void sift_down(struct candidate *c, int32_t parent, int32_t n) {
    struct candidate moving = c[parent];
    for (int32_t child; (child = 2 * parent + 1) < n; parent = child) {
        child += child + 1 < n && comes_before(&c[child], &c[child + 1]);
        if (!comes_before(&moving, &c[child]))
            break;
        c[parent] = c[child];
    }
    c[parent] = moving;
}

/* The k best of n columns, best first. */
static void take_best(struct candidate *c, int32_t k, const float *logits, int32_t n) {
    for (int32_t i = 0; i < k; i++)
        c[i] = (struct candidate){.column = i, .logit = logits[i]};
    for (int32_t i = k / 2 - 1; i >= 0; i--)
        sift_down(c, i, k);
    for (int32_t i = k; i < n; i++)
        if (logits[i] > c[0].logit) { /* of equals the earlier column stays */
            c[0] = (struct candidate){.column = i, .logit = logits[i]};
            sift_down(c, 0, k);
        }
    for (int32_t left = k - 1; left > 0; left--) {
        struct candidate worst = c[0];
        c[0] = c[left];
        sift_down(c, 0, left);
        c[left] = worst;
    }
}

/* Column drawn from one row's k best candidates: temperature, top-p, then the first whose
 * cumulative probability exceeds u. */
static int32_t draw(struct candidate *best, int32_t k, float temperature, float top_p, double u) {
    double total = 0;
    for (int32_t i = 0; i < k; i++)
        total += best[i].weight = exp((double)best[i].logit / (double)temperature -
                                      (double)best[0].logit / (double)temperature);
    double before = 0, kept = 0;
    int32_t n_kept = 0;
    for (; n_kept < k && (n_kept == 0 || top_p >= 1 || before < (double)top_p); n_kept++) {
        before += best[n_kept].weight / total;
        kept += best[n_kept].weight;
    }
    double edge = 0;
    for (int32_t i = 0; i < n_kept - 1; i++) {
        edge += best[i].weight / kept;
        if (edge > u)
            return best[i].column;
    }
    return best[n_kept - 1].column;
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
    int32_t n = args->logits.columns, k = args->top_k[row];
    bool finite = true;
    for (int32_t i = 0; i < n; i++)
        finite &= isfinite(logits[i]) != 0;
    if (!finite)
        return -1;
    if (args->temperature[row] <= 0)
        return best_column(logits, n);
    k = k > 0 && k < n ? k : n;
    take_best(candidates, k, logits, n);
    double u = args->u ? args->u[row] : mill_philox_uniform(args->seed[row], args->position[row]);
    return draw(candidates, k, args->temperature[row], args->top_p[row], u);
}

struct sample_run {
    const struct mill_sample_args *args;
    struct candidate *candidates; /* a row of them for each task */
    int32_t first;                /* row of the first task */
};

static void sample_task(void *context, int task, int worker) {
    (void)worker;
    const struct sample_run *run = context;
    const struct mill_sample_args *args = run->args;
    int32_t row = run->first + task;
    int32_t column =
        draw_column(args, row, run->candidates + (size_t)task * (size_t)args->logits.columns);
    args->tokens[row] = column >= 0 && args->ids ? args->ids[column] : column;
}

mill_status mill_cpu_sample(struct mill_backend *backend, const struct mill_sample_args *args) {
    struct sample_run run = {args, (struct candidate *)backend->prepared, 0};
    size_t n = (size_t)args->logits.columns, room = PREPARED_BYTES / sizeof *run.candidates;
    if (n < 1 || n > room)
        return MILL_E_UNSUPPORTED;
    int32_t block = (int32_t)(room / n);
    for (; run.first < args->logits.rows; run.first += block) {
        int32_t left = args->logits.rows - run.first;
        mill_pool_run(backend->pool, sample_task, &run, left < block ? left : block);
    }
    return MILL_OK;
}
