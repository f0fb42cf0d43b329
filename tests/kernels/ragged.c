/* ragged.c - batches of sequences and spans of convolutions: how the cases' are laid out, and what
 * part of them a piece of the rows is. */
#include "tests/kernels/harness.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int32_t pages_for(int32_t n_tokens) {
    return (n_tokens + PAGE_TOKENS - 1) / PAGE_TOKENS;
}

static void shuffle(int32_t *values, int32_t n, uint64_t *random) {
    for (int32_t i = n - 1; i > 0; i--) {
        int32_t j = (int32_t)random_below(random, (uint32_t)i + 1), kept = values[i];
        values[i] = values[j];
        values[j] = kept;
    }
}

/* Sequences with their pages scattered over the pool; what no sequence uses is page -1. */
static void init_sequences(struct fixture *f, uint64_t *random) {
    const struct kernel_case *c = f->v.c;
    size_t n = (size_t)c->n_sequences;
    f->n_sequences = c->n_sequences;
    f->row_first = fixture_take(f, n + 1, sizeof(int32_t));
    f->n_cached = fixture_take(f, n, sizeof(int32_t));
    for (int32_t s = 0; s < c->n_sequences; s++) {
        int32_t n_pages = pages_for(c->sequences[s].n_cached + c->sequences[s].n_rows);
        f->n_cached[s] = c->sequences[s].n_cached;
        f->row_first[s + 1] = f->row_first[s] + c->sequences[s].n_rows;
        f->n_pages += n_pages;
        f->max_pages = n_pages >= f->max_pages ? n_pages + 1 : f->max_pages;
    }
    f->n_pages += 2; /* nobody's */
    int32_t *free_pages = fixture_take(f, (size_t)f->n_pages, sizeof(int32_t));
    for (int32_t i = 0; i < f->n_pages; i++)
        free_pages[i] = i;
    shuffle(free_pages, f->n_pages, random);
    f->page_table = fixture_take(f, n * (size_t)f->max_pages, sizeof(int32_t));
    memset(f->page_table, 0xff, n * (size_t)f->max_pages * sizeof(int32_t));
    for (int32_t s = 0; s < c->n_sequences; s++)
        for (int32_t p = 0; p < pages_for(c->sequences[s].n_cached + c->sequences[s].n_rows); p++)
            f->page_table[s * f->max_pages + p] = *free_pages++;
}

/* A row of d elements as 8-bit codes, by the definition. */
static void put_codes(const float *values, int32_t d, int8_t *codes, float *scale) {
    float most = 0;
    for (int32_t i = 0; i < d; i++)
        most = fmaxf(most, fabsf(values[i]));
    *scale = most / 127.0f;
    for (int32_t i = 0; i < d; i++)
        codes[i] = (int8_t)rintf(values[i] * (127.0f / most));
}

float *page_scale(const struct fixture *f, void *pages, int32_t sequence, int32_t position,
                  int32_t head) {
    const struct kernel_case *c = f->v.c;
    int64_t page = f->page_table[sequence * f->max_pages + position / PAGE_TOKENS];
    int64_t codes = (int64_t)2 * c->n_kv_heads * PAGE_TOKENS * c->head_dim;
    return (float *)((char *)pages + page * f->page_stride + codes) + head * PAGE_TOKENS +
           position % PAGE_TOKENS;
}

/* Head h of the keys, or (behind them) of the values, of a token. */
static void put_page_row(const struct fixture *f, void *pages, int32_t sequence, int32_t position,
                         int32_t h, const float *values) {
    int32_t d = f->v.c->head_dim;
    int64_t page = f->page_table[sequence * f->max_pages + position / PAGE_TOKENS];
    int64_t at = page * f->page_stride + ((int64_t)h * PAGE_TOKENS + position % PAGE_TOKENS) * d;
    if (f->v.dtype == MILL_I8)
        put_codes(values, d, (int8_t *)pages + at, page_scale(f, pages, sequence, position, h));
    for (int32_t i = 0; i < d && f->v.dtype != MILL_I8; i++)
        if (f->v.dtype == MILL_F32)
            ((float *)pages)[at + i] = values[i];
        else
            ((uint16_t *)pages)[at + i] = mill_bf16_from_f32(values[i]);
}

/* Rows of a sequence that attention finds appended. */
static int32_t n_read(const struct kernel_case *c, int32_t s) {
    return c->flags & APPENDS ? 0 : c->sequences[s].n_rows;
}

/* Keys (twice as large) and values of every token that attention may look at. */
static void fill_pages(struct fixture *f, uint64_t *random) {
    const struct kernel_case *c = f->v.c;
    float values[MAX_HEAD_DIM];
    for (int32_t s = 0; s < c->n_sequences; s++)
        for (int32_t t = 0; t < c->sequences[s].n_cached + n_read(c, s); t++)
            for (int32_t h = 0; h < 2 * c->n_kv_heads; h++) {
                for (int32_t i = 0; i < c->head_dim; i++)
                    values[i] = random_value(random) * (h < c->n_kv_heads ? 2.0f : 1.0f);
                put_page_row(f, f->pages, s, t, h, values);
            }
}

void fixture_append(const struct fixture *f, const float *x, void *pages) {
    const struct kernel_case *c = f->v.c;
    for (int32_t s = 0; s < f->n_sequences; s++)
        for (int32_t r = f->row_first[s]; r < f->row_first[s + 1]; r++) {
            const float *keys =
                x + ((size_t)r + 1) * (size_t)f->x.stride + c->n_heads * c->head_dim;
            for (int32_t h = 0; h < 2 * c->n_kv_heads; h++)
                put_page_row(f, pages, s, f->n_cached[s] + r - f->row_first[s], h,
                             keys + h * c->head_dim);
        }
}

static void init_frequency(struct fixture *f) {
    int32_t half = f->v.c->head_dim / 2;
    f->frequency = fixture_take(f, (size_t)half, sizeof(float));
    float value = 1;
    for (int32_t j = 0; j < half; j++, value *= 0.65f)
        f->frequency[j] = value;
}

void fixture_init_batch(struct fixture *f, uint64_t *random) {
    const struct kernel_case *c = f->v.c;
    int32_t q_columns = c->n_heads * c->head_dim;
    init_sequences(f, random);
    init_frequency(f);
    int32_t rows = f->row_first[c->n_sequences];
    f->x = fixture_guarded(f, rows, q_columns + 2 * c->n_kv_heads * c->head_dim);
    f->page_tokens = PAGE_TOKENS;
    f->page_stride = mill_kv_page_elements(&(struct mill_kv_pages){.dtype = f->v.dtype,
                                                                   .n_heads = c->n_kv_heads,
                                                                   .page_tokens = PAGE_TOKENS,
                                                                   .head_dim = c->head_dim});
    if (c->flags & STRIDED)
        f->page_stride += 48;
    f->page_bytes = (size_t)(f->page_stride * f->n_pages) * mill_dtype_bytes(f->v.dtype);
    f->pages = fixture_take(f, f->page_bytes, 1);
    memset(f->pages, 0xff, f->page_bytes);
    guarded_fill(&f->x, 0, rows, random);
    if (c->op == OP_ROPE_APPEND)
        return;
    fill_pages(f, random);
    f->y = fixture_guarded(f, rows, q_columns);
    for (int32_t r = 0; r < rows && !(c->flags & APPENDS); r++) { /* attention reads only q */
        float *row = f->x.values + ((size_t)r + 1) * (size_t)f->x.stride;
        memset(row + q_columns, 0xff, (size_t)(f->x.columns - q_columns) * sizeof *row);
    }
}

/* Output rows of a whole sequence of n_x input rows. */
static int32_t whole_output(const struct kernel_case *c, int32_t n_x) {
    int32_t n = c->op == OP_CONV1D ? n_x + 2 * c->padding - c->dilation * (c->n_taps - 1)
                                   : (n_x - 1) * c->stride - 2 * c->padding + c->n_taps;
    return n_x > 0 && n > 0 ? n : 0;
}

/* Spans of n_x inputs whose number of outputs is their own: as many for attention, one for a mean,
 * at most as many for copies; with SPANS two more, one of them of a single input. */
static void init_whole_spans(struct fixture *f) {
    int32_t rows = f->v.rows, n_y = f->v.c->op == OP_POOL_MEAN ? 1 : rows;
    f->spans[0] = (struct mill_span){.n_x = rows, .n_y = n_y};
    f->spans[1] = (struct mill_span){.n_x = rows + 65, .n_y = n_y < 3 ? n_y : 3};
    f->spans[2] = (struct mill_span){.n_x = 1, .n_y = n_y < 2 ? n_y : 2};
    if (f->v.c->op == OP_COPY_ROWS)
        f->spans[2] = (struct mill_span){.n_x = 1, .x_place = 7, .n_y = 1, .y_place = -9};
}

/* A residual unit's outputs are times of its input: a whole sequence; or with SPANS also one whose
 * middle is wanted, and one whose first row alone is. */
static void init_unit_spans(struct fixture *f) {
    int32_t rows = f->v.rows;
    f->spans[0] = (struct mill_span){.n_x = rows, .n_y = rows};
    f->spans[1] = (struct mill_span){
        .n_x = rows + 9, .x_place = 1000, .n_y = rows, .y_place = rows ? 1004 : 1000};
    f->spans[2] = (struct mill_span){.n_x = 3, .x_place = -5, .n_y = 1, .y_place = -5};
}

static bool is_convolution(const struct kernel_case *c) {
    return c->op == OP_CONV1D || c->op == OP_CONV_TRANSPOSE1D || c->op == OP_RESIDUAL_UNIT;
}

/* One whole sequence; or with SPANS a whole one, one from the middle whose outputs begin before its
 * inputs' reach and end behind it, and one whose few outputs need only some of its inputs. */
void fixture_init_spans(struct fixture *f) {
    const struct kernel_case *c = f->v.c;
    int32_t rows = f->v.rows, rate = c->op == OP_CONV1D ? 1 : c->stride;
    f->n_spans = c->flags & SPANS ? 3 : 1;
    f->spans = fixture_take(f, 3, sizeof *f->spans);
    if (!is_convolution(c)) {
        init_whole_spans(f);
        return;
    }
    if (c->op == OP_RESIDUAL_UNIT) {
        init_unit_spans(f);
        return;
    }
    f->spans[0] = (struct mill_span){.n_x = rows, .n_y = whole_output(c, rows)};
    f->spans[1] = (struct mill_span){.n_x = rows / 2 + 1,
                                     .x_place = 1000,
                                     .n_y = rows ? (rows / 2 + 4) * rate + 1 : 0,
                                     .y_place = 998 * rate - 1};
    f->spans[2] = (struct mill_span){
        .n_x = rows + 9, .x_place = 37, .n_y = rows ? rate + 2 : 0, .y_place = 41 * rate + 1};
}

static int64_t floor_divide(int64_t a, int64_t b) {
    return a / b - (a % b < 0);
}

/* Input times that outputs y_place .. y_place + n_y - 1 can meet. */
static void reach(const struct kernel_case *c, const struct mill_span *span, int64_t *low,
                  int64_t *high) {
    int64_t first = span->y_place, last = first + span->n_y - 1;
    if (c->op != OP_CONV_TRANSPOSE1D) {
        *low = first - c->padding;
        *high = last - c->padding + (int64_t)(c->n_taps - 1) * c->dilation;
    } else {
        *low = floor_divide(first + c->padding - (c->n_taps - 1) + c->stride - 1, c->stride);
        *high = floor_divide(last + c->padding, c->stride);
    }
}

int32_t pieces_of_spans(const struct fixture *f, struct piece piece, struct mill_span *out) {
    int32_t n = 0;
    for (int32_t s = 0; s < f->n_spans; s++) {
        struct mill_span span = f->spans[s];
        int32_t skip = piece.first > span.y_first ? piece.first - span.y_first : 0;
        int32_t end = piece.first + piece.n - span.y_first;
        end = end < span.n_y ? end : span.n_y;
        if (skip >= end)
            continue;
        span.y_first += skip;
        span.y_place += skip;
        span.n_y = end - skip;
        if (f->v.c->op == OP_COPY_ROWS)
            span.x_first += skip;
        if (!is_convolution(f->v.c)) { /* every other output needs every input */
            out[n++] = span;
            continue;
        }
        int64_t low, high, x_end = (int64_t)span.x_place + span.n_x;
        reach(f->v.c, &span, &low, &high);
        low = low < span.x_place ? span.x_place : low;
        high = high < x_end ? high + 1 : x_end;
        if (low < high) {
            span.x_first += (int32_t)(low - span.x_place);
            span.x_place = (int32_t)low;
            span.n_x = (int32_t)(high - low);
        } else {
            span.n_x = 0;
        }
        out[n++] = span;
    }
    return n;
}

int32_t pieces_of_batch(const struct fixture *f, struct piece piece, int32_t *row_first,
                        int32_t *n_cached, int32_t *page_table) {
    int32_t n = 0;
    bool whole = piece.n == f->row_first[f->n_sequences];
    row_first[0] = 0;
    for (int32_t s = 0; s < f->n_sequences; s++) {
        int32_t first = f->row_first[s], end = f->row_first[s + 1];
        int32_t from = piece.first > first ? piece.first : first;
        int32_t to = piece.first + piece.n < end ? piece.first + piece.n : end;
        if (from >= to && !whole)
            continue; /* a whole batch keeps its sequences without rows */
        row_first[n + 1] = row_first[n] + (to - from);
        n_cached[n] = f->n_cached[s] + from - first;
        memcpy(page_table + n * f->max_pages, f->page_table + s * f->max_pages,
               (size_t)f->max_pages * sizeof *page_table);
        n++;
    }
    return n;
}
