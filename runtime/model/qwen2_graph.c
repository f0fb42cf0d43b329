/* qwen2_graph.c - decode steps recorded once and repeated.
 *
 * A decode step, one row and one draw a sequence and one legal set, is the same few hundred
 * operator calls again and again, and on a fast device the calls take longer than their work. So
 * where the backend can record calls, such a step is rounded up to one of few sizes (rows, and
 * width of the page table); the first of a size runs call by call, the second is recorded, and
 * every later one is one launch. All other steps run call by call. */
#include "runtime/model/qwen2_state.h"

#include <stdlib.h>

/* Sizes are 1, 2, 4, 8 and then multiples of SIZE rows. Widths are powers of two from WIDTH pages.
 */
enum { SIZE = MILL_QWEN2_PADDING + 1, WIDTH = 32 };

static int32_t least(int32_t a, int32_t b) {
    return a < b ? a : b;
}

/* The size's number, from 0; its rows in *rows. */
static int32_t find_size(int32_t n, int32_t *rows) {
    int32_t number = 0;
    for (*rows = 1; *rows < n && *rows < SIZE; number++)
        *rows *= 2;
    if (n > SIZE) {
        number += (n - 1) / SIZE;
        *rows = (n + SIZE - 1) / SIZE * SIZE;
    }
    return number;
}

static int32_t find_width(int32_t n, int32_t *pages) {
    int32_t number = 0;
    for (*pages = WIDTH; *pages < n; number++)
        *pages = *pages <= INT32_MAX / 2 ? 2 * *pages : INT32_MAX;
    return number;
}

/* Rows of a step of decoding, at most. */
static int32_t most_rows(const struct mill_qwen2 *lm) {
    return least(lm->options.max_rows, lm->options.max_sequences);
}

mill_status mill_qwen2_graphs_open(struct mill_qwen2 *lm, struct mill_error *err) {
    int32_t rows, pages;
    if (!lm->ops->graph_begin)
        return MILL_OK;
    lm->n_sizes = find_size(most_rows(lm), &rows) + 1;
    lm->n_widths = find_width(lm->options.max_pages, &pages) + 1;
    lm->graphs = mill_alloc_array((size_t)lm->n_sizes * (size_t)lm->n_widths, sizeof *lm->graphs);
    return lm->graphs ? MILL_OK : mill_fail(err, MILL_E_MEMORY, "language model: no memory");
}

void mill_qwen2_graphs_close(struct mill_qwen2 *lm) {
    for (int32_t i = 0; lm->graphs && i < lm->n_sizes * lm->n_widths; i++)
        if (lm->graphs[i].graph)
            lm->ops->graph_free(lm->backend, lm->graphs[i].graph);
    free(lm->graphs);
}

bool mill_qwen2_round_up(const struct mill_qwen2 *lm, struct mill_qwen2_layout *layout) {
    int32_t n = layout->n_rows, rows, pages;
    if (!lm->graphs || !layout->decode || layout->n_draws != n ||
        layout->n_draws_of[MILL_LEGAL_SEMANTIC] != n || layout->given_u)
        return false;
    find_size(n, &rows);
    find_width(layout->table_pages, &pages);
    rows = least(rows, most_rows(lm));
    *layout = (struct mill_qwen2_layout){.n_sequences = rows,
                                         .n_rows = rows,
                                         .table_pages = least(pages, lm->options.max_pages),
                                         .n_draws = rows,
                                         .decode = true,
                                         .n_draws_of = {[MILL_LEGAL_SEMANTIC] = rows}};
    return true;
}

mill_status mill_qwen2_run_rounded(struct mill_qwen2 *lm, const struct mill_qwen2_layout *layout) {
    int32_t rows, pages;
    struct mill_qwen2_graph *graph = &lm->graphs[find_size(layout->n_rows, &rows) * lm->n_widths +
                                                 find_width(layout->table_pages, &pages)];
    if (!graph->seen) {
        graph->seen = true;
        return mill_qwen2_run_layout(lm, layout);
    }
    if (!graph->graph) {
        MILL_TRY(lm->ops->graph_begin(lm->backend));
        mill_status status = mill_qwen2_run_layout(lm, layout);
        mill_status ended = lm->ops->graph_end(lm->backend, &graph->graph);
        MILL_TRY(status);
        MILL_TRY(ended);
    }
    return lm->ops->graph_launch(lm->backend, graph->graph);
}
