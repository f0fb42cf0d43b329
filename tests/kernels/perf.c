/* perf.c - times the published shapes of the case table on one backend: the median of many runs.
 * Comma-separated: case, type, rows, microseconds, GB/s of weights or pages (of x and y where there
 * are none), GFLOP/s. The weights are cycled through copies so that they come from memory, as they
 * do in a model. */
#include "runtime/base/clock.h"
#include "tests/kernels/harness.h"

#include <stdio.h>
#include <stdlib.h>

enum { N_RUNS_MOST = 51, N_COPIES_MOST = 64, BURST = 64 };
static const double SECONDS_A_CASE = 0.3, BYTES_TO_CYCLE = 128e6;

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double weight_elements(const struct fixture *f) {
    const struct kernel_case *c = f->v.c;
    struct mill_weight_shape shape = fixture_weight_shape(f);
    double outs = c->range_out ? c->range_out : shape.n_out;
    double pointwise = f->pointwise ? outs * outs : 0;
    return f->weights ? outs * shape.n_taps * shape.n_in + pointwise : 0;
}

/* Multiplications and additions of one run. */
static double flops_of(const struct fixture *f) {
    const struct kernel_case *c = f->v.c;
    double sum = 0;
    for (int32_t s = 0; s < f->n_spans && c->op == OP_ATTN_DENSE; s++)
        sum += 4.0 * f->spans[s].n_x * f->spans[s].n_y * c->n_heads * c->head_dim;
    if (c->op == OP_ATTN_DENSE)
        return sum;
    if (c->op == OP_ATTN_PAGED) {
        for (int32_t s = 0; s < f->n_sequences; s++) {
            double rows = f->row_first[s + 1] - f->row_first[s];
            sum += rows * (f->n_cached[s] + rows / 2) * 4 * c->n_heads * c->head_dim;
        }
        return sum;
    }
    double rows = 0;
    for (int32_t s = 0; s < f->n_spans; s++)
        rows += f->spans[s].n_y;
    if (!f->spans)
        rows = f->v.rows;
    return 2 * rows * weight_elements(f) / (c->op == OP_CONV_TRANSPOSE1D ? c->stride : 1);
}

static double bytes_of(const struct fixture *f) {
    const struct kernel_case *c = f->v.c;
    double sum = weight_elements(f) * (double)mill_dtype_bytes(f->v.dtype);
    if (c->op == OP_ATTN_PAGED)
        for (int32_t s = 0; s < f->n_sequences; s++)
            sum += (double)(f->n_cached[s] + f->row_first[s + 1] - f->row_first[s]) *
                   (double)f->page_stride / f->page_tokens * (double)mill_dtype_bytes(f->v.dtype);
    double activations = (double)f->x.rows * f->x.columns + (double)f->y.rows * f->y.columns;
    return sum > 0 ? sum : activations * sizeof(float);
}

/* Copies of the weights that together exceed the caches. */
static int32_t upload_copies(struct rig *rig, const struct prepared *p, const void **copies) {
    if (!p->image[0])
        return 0;
    size_t bytes = rig->ops->weight_bytes(&p->w.shape);
    int32_t n = (int32_t)(BYTES_TO_CYCLE / (double)bytes) + 1;
    n = n < N_COPIES_MOST ? n : N_COPIES_MOST;
    for (int32_t i = 0; i < n; i++) {
        void *image = rig->ops->alloc(rig->backend, bytes);
        if (!image || rig->ops->copy_in(rig->backend, image, p->image[0], bytes) < 0) {
            rig->ops->free(rig->backend, image);
            return i;
        }
        copies[i] = image;
    }
    return n;
}

/* Runs one behind the other, each with the next copy of the weights. */
static mill_status run_burst(struct rig *rig, struct prepared *p, int32_t n_runs,
                             const void **copies, int32_t n_copies, int32_t *next) {
    struct piece all = {0, fixture_rows(p->f)};
    mill_status status = MILL_OK;
    for (int32_t i = 0; i < n_runs && status == MILL_OK; i++) {
        if (n_copies)
            p->w.image = copies[(*next)++ % n_copies];
        status = run_piece(rig, p, all);
    }
    return status;
}

/* A card repeats a recorded burst, as it does in a model: else it would mostly wait for launches.
 * What copies arrays from the host in between cannot be repeated without them. */
static struct mill_graph *record_burst(struct rig *rig, struct prepared *p, const void **copies,
                                       int32_t n_copies, int32_t *next) {
    struct mill_graph *graph = NULL;
    if (!rig->ops->graph_begin || p->f->pages || rig->ops->graph_begin(rig->backend) < 0)
        return NULL;
    run_burst(rig, p, BURST, copies, n_copies, next);
    return rig->ops->graph_end(rig->backend, &graph) < 0 ? NULL : graph;
}

/* Negative where the operator failed, 0 where it is optional and not there. */
static double median_seconds(struct rig *rig, struct prepared *p) {
    const void *copies[N_COPIES_MOST];
    double seconds[N_RUNS_MOST], total = 0;
    const void *original = p->w.image;
    int32_t n_copies = upload_copies(rig, p, copies), n = 0, next = 0;
    mill_status status = run_burst(rig, p, 1, copies, n_copies, &next);
    if (status < 0)
        seconds[n++] = status == MILL_E_UNSUPPORTED && variant_is_optional(&p->f->v) ? 0 : -1;
    struct mill_graph *graph =
        status == MILL_OK ? record_burst(rig, p, copies, n_copies, &next) : NULL;
    int32_t n_runs = rig->ops->asynchronous ? BURST : 1; /* for one time of waiting */
    while (status == MILL_OK && n < N_RUNS_MOST && (n < 3 || total < SECONDS_A_CASE)) {
        double start = mill_clock_seconds();
        if (graph)
            status = rig->ops->graph_launch(rig->backend, graph);
        else
            status = run_burst(rig, p, n_runs, copies, n_copies, &next);
        rig->ops->synchronize(rig->backend);
        double passed = mill_clock_seconds() - start;
        total += passed;
        seconds[n++] = passed / n_runs;
    }
    if (graph)
        rig->ops->graph_free(rig->backend, graph);
    p->w.image = original;
    for (int32_t i = 0; i < n_copies; i++)
        rig->ops->free(rig->backend, (void *)(uintptr_t)copies[i]);
    qsort(seconds, (size_t)n, sizeof *seconds, compare);
    return status < 0 && n > 1 ? -1 : seconds[n / 2];
}

static bool visit_perf(const struct variant *v, void *context) {
    struct rig *rig = context;
    if (v->rows == 0)
        return true;
    struct fixture f;
    struct prepared p;
    fixture_init(&f, v);
    prepare(rig, &p, &f);
    double seconds = median_seconds(rig, &p);
    if (seconds > 0)
        printf("%s,%s,%d,%.1f,%.2f,%.2f\n", v->c->name, mill_dtype_name(v->dtype), fixture_rows(&f),
               1e6 * seconds, bytes_of(&f) / seconds * 1e-9, flops_of(&f) / seconds * 1e-9);
    fflush(stdout);
    unprepare(rig, &p);
    fixture_deinit(&f);
    return seconds >= 0;
}

int perf_run(const struct options *options) {
    struct rig rig;
    struct mill_error err = {""};
    if (!rig_open(&rig, options->backend, options->isa, 0, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 77;
    }
    fprintf(stderr, "%s: %s\n", options->backend, rig.ops->describe(rig.backend));
    printf("case,type,rows,microseconds,GB/s,GFLOP/s\n");
    int32_t n_failed = each_variant(true, visit_perf, &rig);
    rig_close(&rig);
    return n_failed ? 1 : 0;
}
