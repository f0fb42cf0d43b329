/* product.c - the driver of every matrix product: linear layers, convolutions and transposed
 * convolutions alike.
 *
 * Input rows are first prepared (snake, conversion) into backend->prepared, once, however many taps
 * and panels read them. A product is then a grid of (group of rows) x (group of panels); a task
 * walks its panels, and for each its rows in tiles of up to TILE_ROWS, so that a panel is read from
 * the cache and the group's rows stay in it. With few rows the grid is split along panels, with
 * many along rows. Rows may lie in several pieces (the spans of a convolution): a tile stays within
 * one, a group does not care. */
#include "kernels/cpu/cpu_backend.h"

enum {
    GROUP_ROWS =
        96, /* 96 rows x 768 channels x 2 bytes beside a 700 KB panel: within a 1 MB cache */
    MANY_ROWS = TILE_ROWS / 2 + 1, /* from here on the next panel can come in while tiles multiply;
                                      below, memory is busy with this one */
    TASKS_PER_WORKER = 6 /* so that a thread that loses its processor for a moment does not hold up
                            the rest for long */
};

struct product_run {
    const struct product *product;
    const struct cpu_isa *isa;
    struct panels panels;
    const struct product_piece *pieces;
    int32_t n_row_groups, n_panel_groups, n_panels;
};

/* Some rows of a piece: `row` counts through all pieces, `inside` from the piece's first. */
struct tile_rows {
    const struct product_piece *piece;
    int32_t row, inside, n;
};

/* Where a tile's results go, and what is added to them. */
struct results {
    float *y;
    const float *residual; /* or NULL */
};

static struct results results_of(const struct product *p, const struct tile_rows *rows,
                                 int32_t column) {
    int32_t at = p->pairs ? column / 2 : column;
    return (struct results){
        .y = p->y + rows->piece->y + rows->inside * p->y_stride + at,
        .residual = p->residual ? p->residual + rows->piece->residual +
                                      rows->inside * p->residual_stride + at
                                : NULL,
    };
}

/* They come into the cache while the tile is multiplied. (Inlined always: a function that only
 * prefetches has no effects in GCC's eyes, and calls of it are dropped.) */
static inline __attribute__((always_inline)) void ask_results(const struct product *p,
                                                              const struct tile_rows *rows,
                                                              const struct results *results,
                                                              int32_t n_columns) {
    int32_t n = p->pairs ? n_columns / 2 : n_columns;
    for (int32_t r = 0; r < rows->n; r++)
        for (int32_t i = 0; i < n; i += 16) {
            __builtin_prefetch(results->y + r * p->y_stride + i, 1);
            if (results->residual)
                __builtin_prefetch(results->residual + r * p->residual_stride + i);
        }
}

static void finish_rows(const struct product_run *run, const struct tile_rows *rows,
                        const struct results *results, int32_t column, int32_t n_columns,
                        float (*sums)[PANEL]) {
    const struct product *p = run->product;
    const struct mill_weight *w = p->w;
    int32_t out = p->first_out + column;
    for (int32_t r = 0; r < rows->n; r++) {
        struct finish f = {
            .y = results->y + r * p->y_stride,
            .sums = sums[r],
            .residual = results->residual ? results->residual + r * p->residual_stride : NULL,
            .act = p->act,
            .pairs = p->pairs,
            .n = n_columns,
        };
        if (w->bias)
            f.bias =
                w->bias + out + (p->bias_group ? p->bias_group[rows->row + r] * p->bias_stride : 0);
        if (w->shape.dtype == MILL_I8) {
            f.scale = (const float *)((const char *)w->image + run->panels.scales_at) + out;
            f.row_scale = p->a_coded[rows->row + r].scale;
        }
        run->isa->finish(&f);
    }
}

/* The rows behind `rows` and before row `end`, in as few tiles as can be, of like sizes: a tile of
 * one or two rows takes as long as one of three. */
static void next_rows(struct tile_rows *rows, int32_t end) {
    rows->row += rows->n;
    rows->inside += rows->n;
    while (rows->row < end && rows->inside == rows->piece->n_rows) {
        rows->piece++;
        rows->inside = 0;
    }
    int32_t left = end - rows->row;
    if (left > 0 && left > rows->piece->n_rows - rows->inside)
        left = rows->piece->n_rows - rows->inside;
    int32_t n_tiles = (left + TILE_ROWS - 1) / TILE_ROWS;
    rows->n = n_tiles > 0 ? (left + n_tiles - 1) / n_tiles : 0;
}

/* The first tile of a task that begins at `row`. */
static struct tile_rows find_rows(const struct product_run *run, int32_t row, int32_t end) {
    struct tile_rows rows = {.piece = run->pieces, .inside = row};
    while (row < end && rows.inside >= rows.piece->n_rows)
        rows.inside -= rows.piece++->n_rows;
    rows.row = row;
    next_rows(&rows, end);
    return rows;
}

/* Of a group of panels; the larger groups come first, so that no thread is left alone with one at
 * the end. */
static int32_t first_panel(const struct product_run *run, int32_t group) {
    int32_t larger = run->n_panels % run->n_panel_groups;
    return run->n_panels / run->n_panel_groups * group + (group < larger ? group : larger);
}

/* Products that go into a 32-bit sum, in pairs. A sum cannot be larger than 127 times the codes'
 * magnitudes, so with most rows it is all of them: 127 * 2^24 < 2^31. */
static int32_t pairs_of_a_sum(const struct product_run *run, int32_t row, int32_t end) {
    for (; row < end; row++)
        if (run->product->a_coded[row].magnitude >= 0x1p24f)
            return I8_CHUNK / 2;
    return run->panels.n_groups;
}

static void product_task(void *context, int task, int worker) {
    (void)worker;
    const struct product_run *run = context;
    const struct product *p = run->product;
    const struct mill_weight_shape *shape = &p->w->shape;
    int32_t row_group = task % run->n_row_groups, panel_group = task / run->n_row_groups;
    int32_t row_end = (int32_t)((int64_t)p->n_rows * (row_group + 1) / run->n_row_groups);
    int32_t row_first = (int32_t)((int64_t)p->n_rows * row_group / run->n_row_groups);
    int32_t panel = first_panel(run, panel_group), panel_end = first_panel(run, panel_group + 1);
    const struct tile_rows first = find_rows(run, row_first, row_end);
    int32_t n_rows = row_end - row_first;
    int32_t n_run = shape->dtype == MILL_I8 ? pairs_of_a_sum(run, row_first, row_end) : 0;
    void (*tile)(const struct tile *) = shape->dtype == MILL_F32    ? run->isa->tile_f32
                                        : shape->dtype == MILL_BF16 ? run->isa->tile_bf16
                                                                    : run->isa->tile_i8;
    for (; panel < panel_end; panel++) {
        int32_t column = panel * PANEL, out = p->first_out + column;
        int32_t columns = panel_columns(shape, out);
        size_t tap_bytes = run->panels.tap_bytes_a_column * (size_t)columns;
        const char *b = (const char *)p->w->image +
                        (size_t)out * (size_t)shape->n_taps * run->panels.tap_bytes_a_column;
        int32_t wanted = p->n_out - column < columns ? p->n_out - column : columns;
        size_t panel_bytes = tap_bytes * (size_t)shape->n_taps;
        size_t a_row = n_rows >= MANY_ROWS ? panel_bytes / (size_t)n_rows : 0;
        for (struct tile_rows rows = first; rows.n > 0; next_rows(&rows, row_end)) {
            _Alignas(64) float sums[TILE_ROWS][PANEL];
            const struct results results = results_of(p, &rows, column);
            ask_results(p, &rows, &results, wanted);
            tile(&(struct tile){
                .a = p->a + rows.piece->a + rows.inside * p->a_row,
                .a_row = p->a_row,
                .a_tap = p->a_tap,
                .b = b + (size_t)p->first_tap * tap_bytes,
                .b_tap = (ptrdiff_t)((size_t)p->tap_step * tap_bytes),
                .n_taps = p->n_taps,
                .n_k = run->panels.n_groups,
                .n_run = n_run,
                .n_rows = rows.n,
                .n_columns = columns,
                .next = (a_row > 0 ? b + panel_bytes : b) + a_row * (size_t)(rows.row - row_first),
                .next_bytes = (int64_t)(a_row * (size_t)rows.n),
                .sums = sums,
            });
            finish_rows(run, &rows, &results, column, wanted, sums);
        }
    }
}

void mill_cpu_product_run(struct mill_backend *backend, const struct product *product) {
    const struct product_piece whole = {.n_rows = product->n_rows};
    struct product_run run = {
        .product = product,
        .pieces = product->pieces ? product->pieces : &whole,
        .isa = backend->isa,
        .panels = mill_cpu_panels(&product->w->shape),
        .n_panels = (product->n_out + PANEL - 1) / PANEL,
        .n_row_groups = (product->n_rows + GROUP_ROWS - 1) / GROUP_ROWS,
        .n_panel_groups = 1,
    };
    int32_t wanted = mill_pool_workers(backend->pool) * TASKS_PER_WORKER;
    if (run.n_row_groups < wanted)
        run.n_panel_groups = (wanted + run.n_row_groups - 1) / run.n_row_groups;
    if (run.n_panel_groups > run.n_panels)
        run.n_panel_groups = run.n_panels;
    mill_pool_run(backend->pool, product_task, &run, run.n_row_groups * run.n_panel_groups);
}

size_t mill_cpu_prepared_row_bytes(enum mill_dtype dtype, int32_t n_in) {
    return dtype == MILL_F32 ? (size_t)n_in * 4 : (size_t)(n_in + n_in % 2) * 2;
}

struct preparation_run {
    const struct preparation *preparation;
    struct mill_backend *backend;
    size_t row_bytes;
    int32_t rows_a_task;
};

static void prepare_task(void *context, int task, int worker) {
    (void)worker;
    const struct preparation_run *run = context;
    const struct preparation *p = run->preparation;
    const struct cpu_isa *isa = run->backend->isa;
    int32_t end = (task + 1) * run->rows_a_task;
    if (end > p->n_rows)
        end = p->n_rows;
    for (int32_t r = task * run->rows_a_task; r < end; r++) {
        char *out = run->backend->prepared + (size_t)(p->to + r) * run->row_bytes;
        int32_t row = p->first + r;
        bool inside = row >= 0 && row < p->n_x;
        const float *x = p->x + (inside ? row * p->x_stride : 0);
        int32_t n = inside ? p->n_in : 0;
        struct before before = {.alpha = p->alpha, .gain = p->gain};
        if (p->gain)
            before.scale = isa->inverse_rms(x, n, p->eps);
        if (p->dtype == MILL_F32)
            isa->prepare_f32(x, &before, n, p->n_in, out);
        else if (p->dtype == MILL_BF16)
            isa->prepare_bf16(x, &before, n, p->n_in + p->n_in % 2, out);
        else
            run->backend->coded_rows[p->to + r] =
                isa->prepare_i16(x, &before, n, p->n_in + p->n_in % 2, out);
    }
}

void mill_cpu_prepare(struct mill_backend *backend, const struct preparation *preparation) {
    struct preparation_run run = {
        .preparation = preparation,
        .backend = backend,
        .row_bytes = mill_cpu_prepared_row_bytes(preparation->dtype, preparation->n_in),
    };
    /* About 8,000 values a task: below that, waking a thread costs more than it saves. */
    run.rows_a_task = 8192 / preparation->n_in + 1;
    int n_tasks = (preparation->n_rows + run.rows_a_task - 1) / run.rows_a_task;
    mill_pool_run(backend->pool, prepare_task, &run, n_tasks);
}
