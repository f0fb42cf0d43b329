/* language_model.c - rotary positions, pages of keys and values, and attention over them, on the
 * cpu.
 *
 * Attention takes one query row and one key/value head at a time, with all query heads that share
 * it, so a key is loaded once for seven heads. Keys come in runs that start at fixed positions
 * (page starts, then every ATTN_KEYS): the running softmax then moves in the same steps whether the
 * row is part of a prompt or decoded alone. */
#include "kernels/cpu/cpu_backend.h"

#include <math.h>
#include <string.h>

/* The sequence that owns a row: row_first rises. */
static int32_t sequence_of(const struct mill_batch *batch, int32_t row) {
    int32_t low = 0, high = batch->n_sequences - 1;
    while (low < high) {
        int32_t middle = (low + high + 1) / 2;
        if (batch->row_first[middle] <= row)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static int32_t position_of(const struct mill_batch *batch, int32_t sequence, int32_t row) {
    return batch->n_cached[sequence] + row - batch->row_first[sequence];
}

/* Keys (which = 0) or values (1) of a head from `position` on, to the end of its page, and their
 * scales (MILL_I8). */
struct page_rows {
    char *rows;
    float *scales;
};

static struct page_rows page_at(const struct mill_kv_pages *kv, const struct mill_batch *batch,
                                int32_t sequence, int32_t which, int32_t head, int32_t position) {
    int32_t number = batch->page_table[(size_t)sequence * (size_t)batch->max_pages +
                                       (size_t)(position / kv->page_tokens)];
    int64_t size = (int64_t)mill_dtype_bytes(kv->dtype);
    char *page = (char *)kv->data + number * kv->page_stride * size;
    int64_t row =
        ((int64_t)which * kv->n_heads + head) * kv->page_tokens + position % kv->page_tokens;
    int64_t codes = (int64_t)2 * kv->n_heads * kv->page_tokens * kv->head_dim;
    return (struct page_rows){page + row * kv->head_dim * size,
                              kv->dtype == MILL_I8 ? (float *)(page + codes) + row : NULL};
}

struct rope_run {
    const struct mill_rope_append_args *args;
    const struct cpu_isa *isa;
};

static void rotate(float *x, const float *cosine, const float *sine, int32_t half) {
    for (int32_t j = 0; j < half; j++) {
        float a = x[j], b = x[j + half];
        x[j] = a * cosine[j] - b * sine[j];
        x[j + half] = b * cosine[j] + a * sine[j];
    }
}

static void rope_task(void *context, int row, int worker) {
    (void)worker;
    const struct rope_run *run = context;
    const struct mill_rope_append_args *args = run->args;
    const struct mill_kv_pages *kv = &args->kv;
    int32_t d = kv->head_dim, half = d / 2;
    int32_t sequence = sequence_of(&args->batch, row);
    int32_t position = position_of(&args->batch, sequence, row);
    float cosine[ATTN_HEAD_DIM / 2], sine[ATTN_HEAD_DIM / 2];
    for (int32_t j = 0; j < half; j++)
        sincosf((float)position * args->frequency[j], &sine[j], &cosine[j]);
    float *x = matrix_row(&args->x, row);
    for (int32_t h = 0; h < args->n_heads + kv->n_heads; h++)
        rotate(x + h * d, cosine, sine, half);
    for (int32_t which = 0; which < 2; which++)
        for (int32_t h = 0; h < kv->n_heads; h++) {
            const float *from = x + (args->n_heads + which * kv->n_heads + h) * d;
            struct page_rows to = page_at(kv, &args->batch, sequence, which, h, position);
            if (kv->dtype == MILL_I8)
                *to.scales = run->isa->prepare_i8(from, d, d, to.rows);
            else if (kv->dtype == MILL_BF16)
                run->isa->prepare_bf16(from, NULL, d, d, to.rows);
            else
                memcpy(to.rows, from, (size_t)d * sizeof *from);
        }
}

mill_status mill_cpu_rope_append(struct mill_backend *backend,
                                 const struct mill_rope_append_args *args) {
    if (!mill_cpu_head_dim_is_supported(args->kv.head_dim))
        return MILL_E_UNSUPPORTED;
    struct rope_run run = {args, backend->isa};
    mill_pool_run(backend->pool, rope_task, &run, args->batch.n_rows);
    return MILL_OK;
}

struct attn_batch_run {
    const struct mill_attn_paged_args *args;
    const struct cpu_isa *isa;
};

void mill_cpu_attn_begin(struct attn_queries *queries, const float *q, int64_t stride, int32_t n,
                         int32_t head_dim, float scale) {
    queries->n = n;
    queries->head_dim = head_dim;
    for (int32_t i = 0; i < n; i++) {
        queries->maximum[i] = -INFINITY;
        queries->total[i] = 0;
        for (int32_t c = 0; c < head_dim; c++) {
            queries->q[i * head_dim + c] = q[i * stride + c] * scale;
            queries->y[i * head_dim + c] = 0;
        }
    }
}

void mill_cpu_attn_end(const struct attn_queries *queries, float *y, int64_t stride) {
    int32_t d = queries->head_dim;
    for (int32_t i = 0; i < queries->n; i++)
        for (int32_t c = 0; c < d; c++)
            y[i * stride + c] = queries->y[i * d + c] / queries->total[i];
}

/* The run of keys that starts at position `at`, of a sequence of n_keys. */
static struct attn_keys keys_at(const struct mill_attn_paged_args *args, int32_t sequence,
                                int32_t kv_head, int32_t at, int32_t n_keys) {
    const struct mill_kv_pages *kv = &args->kv;
    int32_t in_page = kv->page_tokens - at % kv->page_tokens, left = n_keys - at;
    int32_t n = in_page < ATTN_KEYS ? in_page : ATTN_KEYS;
    struct page_rows k = page_at(kv, &args->batch, sequence, 0, kv_head, at);
    struct page_rows v = page_at(kv, &args->batch, sequence, 1, kv_head, at);
    return (struct attn_keys){.k = k.rows,
                              .v = v.rows,
                              .k_scale = k.scales,
                              .v_scale = v.scales,
                              .dtype = kv->dtype,
                              .n = n < left ? n : left,
                              .k_stride = kv->head_dim,
                              .v_stride = kv->head_dim};
}

/* They come into the cache while the run before them is attended to: pages lie anywhere. (Inlined
 * always: see ask_results in product.c.) */
static inline __attribute__((always_inline)) void ask_keys(const struct attn_keys *keys) {
    int64_t bytes = keys->n * keys->k_stride * (int64_t)mill_dtype_bytes(keys->dtype);
    for (int64_t i = 0; i < bytes; i += 64) {
        __builtin_prefetch((const char *)keys->k + i);
        __builtin_prefetch((const char *)keys->v + i);
    }
    if (keys->k_scale) {
        __builtin_prefetch(keys->k_scale);
        __builtin_prefetch(keys->v_scale);
    }
}

/* Query heads [first, first + n) of a row, all of one kv head. */
static void attend(const struct attn_batch_run *run, int32_t row, int32_t kv_head, int32_t first,
                   int32_t n) {
    const struct mill_attn_paged_args *args = run->args;
    int32_t d = args->kv.head_dim;
    int32_t sequence = sequence_of(&args->batch, row);
    int32_t n_keys = position_of(&args->batch, sequence, row) + 1;
    struct attn_queries queries;
    mill_cpu_attn_begin(&queries, matrix_row(&args->x, row) + first * d, d, n, d, args->scale);
    struct attn_keys next = keys_at(args, sequence, kv_head, 0, n_keys);
    for (int32_t at = 0; at < n_keys;) {
        const struct attn_keys keys = next;
        at += keys.n;
        if (at < n_keys) {
            next = keys_at(args, sequence, kv_head, at, n_keys);
            ask_keys(&next);
        }
        run->isa->attn(&queries, &keys);
    }
    mill_cpu_attn_end(&queries, matrix_row(&args->y, row) + first * d, d);
}

static void attn_task(void *context, int task, int worker) {
    (void)worker;
    const struct attn_batch_run *run = context;
    int32_t n_kv = run->args->kv.n_heads, row = task / n_kv, kv_head = task % n_kv;
    int32_t shared = run->args->n_heads / n_kv;
    for (int32_t h = 0; h < shared; h += ATTN_QUERIES)
        attend(run, row, kv_head, kv_head * shared + h,
               shared - h < ATTN_QUERIES ? shared - h : ATTN_QUERIES);
}

mill_status mill_cpu_attn_paged(struct mill_backend *backend,
                                const struct mill_attn_paged_args *args) {
    if (!mill_cpu_head_dim_is_supported(args->kv.head_dim))
        return MILL_E_UNSUPPORTED;
    if (args->frequency)
        MILL_TRY(mill_cpu_rope_append(
            backend, &(struct mill_rope_append_args){args->x, args->n_heads, args->frequency,
                                                     args->batch, args->kv}));
    struct attn_batch_run run = {args, backend->isa};
    mill_pool_run(backend->pool, attn_task, &run, args->batch.n_rows * args->kv.n_heads);
    return MILL_OK;
}
