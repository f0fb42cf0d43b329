/* weight_image.c - see weight_image.h.
 *
 * Work is cut twice. A batch is a run of rows of one entry that is made, stored and then forgotten
 * together; it bounds what is resident. A piece of a batch is one task of the pool: MILL_PACK_ROWS
 * rows, the unit weight_pack wants. A packed entry may put a row anywhere in its bytes, so on its
 * way to a file the whole entry is staged in memory; a table is staged batch by batch. */
#include "runtime/model/weight_image.h"

#include "runtime/base/memory.h"
#include "runtime/base/pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_WORKERS = 4,
    BATCH_BYTES = 16 << 20, /* of float32 rows */
    TABLE_PIECE_BYTES = 1 << 18
};

void mill_image_plan_init(struct mill_image_plan *plan, const struct mill_backend_ops *ops) {
    *plan = (struct mill_image_plan){.ops = ops};
}

void mill_image_plan_deinit(struct mill_image_plan *plan) {
    for (size_t i = 0; i < plan->n_entries; i++)
        mill_row_source_unprepare(&plan->entries[i].source);
    free(plan->entries);
    *plan = (struct mill_image_plan){0};
}

static size_t row_elements(const struct mill_image_entry *entry) {
    return (size_t)entry->shape.n_taps * (size_t)entry->shape.n_in;
}

static size_t table_row_bytes(const struct mill_image_entry *entry) {
    return row_elements(entry) * mill_dtype_bytes(entry->shape.dtype);
}

static mill_status grow(struct mill_image_plan *plan, struct mill_error *err) {
    size_t capacity = plan->capacity ? 2 * plan->capacity : 256, bytes;
    struct mill_image_entry *entries = NULL;
    if (mill_mul_size(capacity, sizeof *entries, &bytes))
        entries = realloc(plan->entries, bytes);
    if (!entries)
        return mill_fail(err, MILL_E_MEMORY, "no memory for the plan of the weights");
    plan->entries = entries;
    plan->capacity = capacity;
    return MILL_OK;
}

mill_status mill_image_plan_add(struct mill_image_plan *plan, const struct mill_image_entry *entry,
                                enum mill_dtype dtype, struct mill_error *err) {
    const struct mill_row_source *source = &entry->source;
    size_t elements, bytes, end;
    if (source->n_rows < 1 || source->n_taps < 1 || source->n_in < 1 ||
        !mill_mul_size((size_t)source->n_taps, (size_t)source->n_in, &elements) ||
        !mill_mul_size(elements, (size_t)source->n_rows, &elements) ||
        !mill_mul_size(elements, 2 * sizeof(double), &bytes))
        return mill_fail(err, MILL_E_INPUT, "weight '%s': impossible size %d x %d x %d",
                         entry->name, source->n_rows, source->n_taps, source->n_in);
    if (plan->n_entries == plan->capacity)
        MILL_TRY(grow(plan, err));
    struct mill_image_entry *added = &plan->entries[plan->n_entries];
    *added = *entry;
    added->shape = (struct mill_weight_shape){source->n_rows, source->n_taps, source->n_in, dtype};
    added->bytes = entry->form == MILL_IMAGE_PACKED ? plan->ops->weight_bytes(&added->shape)
                                                    : elements * mill_dtype_bytes(dtype);
    added->offset = plan->bytes;
    if (!mill_add_size(plan->bytes, added->bytes, &end) || end > SIZE_MAX / 2)
        return mill_fail(err, MILL_E_INPUT, "weight '%s': the weights together are too large",
                         entry->name);
    plan->bytes = mill_align_size(end);
    plan->n_entries++;
    return MILL_OK;
}

void mill_image_bind(const struct mill_image_plan *plan, const void *base) {
    for (size_t i = 0; i < plan->n_entries; i++) {
        const void *data = (const uint8_t *)base + plan->entries[i].offset;
        memcpy(plan->entries[i].slot, &data, sizeof data);
    }
}

/* ------------------------------------------------------------------ filling */

struct filler {
    const struct mill_image_plan *plan;
    struct mill_image_target *target;
    struct mill_pool *pool;
    struct mill_row_scratch scratch[MAX_WORKERS];
    float *rows[MAX_WORKERS];
    uint8_t *staging; /* NULL where the target is memory */

    /* the batch in progress */
    const struct mill_image_entry *entry;
    uint8_t *image; /* where row `image_first_row` of the entry goes */
    int32_t image_first_row;
    int32_t first, n, piece_rows;

    pthread_mutex_t lock; /* for the three below */
    int failed_piece;
    mill_status status;
    struct mill_error error;
};

static int32_t piece_rows_of(const struct mill_image_entry *entry) {
    if (entry->form == MILL_IMAGE_PACKED)
        return MILL_PACK_ROWS;
    size_t rows = TABLE_PIECE_BYTES / (row_elements(entry) * sizeof(float));
    return rows < 1 ? 1 : (int32_t)rows;
}

static int32_t batch_rows_of(const struct mill_image_entry *entry) {
    int32_t piece = piece_rows_of(entry);
    size_t pieces = BATCH_BYTES / ((size_t)piece * row_elements(entry) * sizeof(float));
    return piece * (pieces < MAX_WORKERS ? MAX_WORKERS : (int32_t)pieces);
}

static int32_t min_rows(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static void store_table(const struct mill_image_entry *entry, const float *rows, int32_t n,
                        uint8_t *to) {
    size_t elements = (size_t)n * row_elements(entry);
    if (entry->shape.dtype == MILL_F32) {
        memcpy(to, rows, elements * sizeof *rows);
        return;
    }
    uint16_t *out = (uint16_t *)(void *)to; /* BF16, the only other one */
    for (size_t i = 0; i < elements; i++)
        out[i] = mill_bf16_from_f32(rows[i]);
}

/* A failing piece is remembered; with several, the first in order, so that the message does not
 * depend on the threads. */
static void make_piece(void *context, int task, int worker) {
    struct filler *filler = context;
    const struct mill_image_entry *entry = filler->entry;
    int32_t first = filler->first + task * filler->piece_rows;
    int32_t n = min_rows(filler->piece_rows, filler->first + filler->n - first);
    struct mill_error error = {0};
    float *rows = filler->rows[worker];
    mill_status status =
        entry->source.make(&entry->source, first, n, rows, &filler->scratch[worker], &error);
    if (status < 0) {
        pthread_mutex_lock(&filler->lock);
        if (filler->status == MILL_OK || task < filler->failed_piece) {
            filler->failed_piece = task;
            filler->status = status;
            filler->error = error;
        }
        pthread_mutex_unlock(&filler->lock);
    } else if (entry->form == MILL_IMAGE_PACKED) {
        filler->plan->ops->weight_pack(&entry->shape, first, n, rows, filler->image);
    } else {
        store_table(entry, rows, n,
                    filler->image +
                        (size_t)(first - filler->image_first_row) * table_row_bytes(entry));
    }
}

static mill_status run_batch(struct filler *filler, int32_t first, int32_t n,
                             struct mill_error *err) {
    filler->first = first;
    filler->n = n;
    mill_pool_run(filler->pool, make_piece, filler,
                  (n + filler->piece_rows - 1) / filler->piece_rows);
    if (filler->entry->source.file)
        mill_mapping_forget(&filler->entry->source.file->mapping, 0,
                            filler->entry->source.file->mapping.size);
    if (filler->status < 0)
        return mill_fail(err, filler->status, "%s", filler->error.text);
    return MILL_OK;
}

static mill_status write_staged(struct filler *filler, size_t offset, size_t bytes,
                                struct mill_error *err) {
    struct mill_image_target *target = filler->target;
    mill_status status =
        mill_output_write_at(target->output, target->file_offset + filler->entry->offset + offset,
                             filler->staging, bytes, err);
    target->write_failed = status < 0;
    return status;
}

static void report(const struct filler *filler, int32_t n_rows_done) {
    const struct mill_image_target *target = filler->target;
    const struct mill_image_entry *entry = filler->entry;
    double share = (double)n_rows_done / (double)entry->shape.n_out;
    mill_byte_progress_update(&target->progress,
                              entry->offset + (size_t)(share * (double)entry->bytes),
                              filler->plan->bytes);
}

static mill_status fill_entry(struct filler *filler, struct mill_error *err) {
    const struct mill_image_entry *entry = filler->entry;
    bool staged = filler->staging != NULL, packed = entry->form == MILL_IMAGE_PACKED;
    int32_t n_rows = entry->shape.n_out, batch = batch_rows_of(entry);
    filler->piece_rows = piece_rows_of(entry);
    filler->image = staged ? filler->staging : filler->target->memory + entry->offset;
    filler->image_first_row = 0;
    if (staged && packed)
        memset(filler->staging, 0, entry->bytes); /* padding that weight_pack leaves out */
    for (int32_t first = 0; first < n_rows;) {
        int32_t n = min_rows(batch, n_rows - first);
        if (staged)
            filler->image_first_row = first;
        MILL_TRY(run_batch(filler, first, n, err));
        if (staged && !packed)
            MILL_TRY(write_staged(filler, (size_t)first * table_row_bytes(entry),
                                  (size_t)n * table_row_bytes(entry), err));
        first += n;
        report(filler, first);
    }
    return staged && packed ? write_staged(filler, 0, entry->bytes, err) : MILL_OK;
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Working memory for the largest entry: fixed for the whole fill. */
static mill_status filler_reserve(struct filler *filler, struct mill_error *err) {
    size_t rows = 0, values = 0, sums = 0, staging = 0;
    for (size_t i = 0; i < filler->plan->n_entries; i++) {
        const struct mill_image_entry *entry = &filler->plan->entries[i];
        size_t batch = (size_t)min_rows(batch_rows_of(entry), entry->shape.n_out);
        rows = larger(rows, (size_t)piece_rows_of(entry) * row_elements(entry));
        values = larger(values, entry->source.scratch_values);
        sums = larger(sums, entry->source.scratch_sums);
        staging =
            larger(staging, entry->form == MILL_IMAGE_PACKED ? entry->bytes
                                                             : batch * table_row_bytes(entry));
    }
    bool complete = true;
    for (int i = 0; i < mill_pool_workers(filler->pool); i++) {
        filler->rows[i] = mill_alloc_array(rows, sizeof(float));
        filler->scratch[i].values = mill_alloc_array(values, sizeof(float));
        filler->scratch[i].sums = mill_alloc_array(sums, sizeof(double));
        complete &= filler->rows[i] && filler->scratch[i].values && filler->scratch[i].sums;
    }
    if (!filler->target->memory)
        complete &= (filler->staging = mill_alloc_aligned(staging)) != NULL;
    return complete ? MILL_OK : mill_fail(err, MILL_E_MEMORY, "no memory to convert the weights");
}

static void filler_deinit(struct filler *filler) {
    for (int i = 0; i < MAX_WORKERS; i++) {
        free(filler->rows[i]);
        free(filler->scratch[i].values);
        free(filler->scratch[i].sums);
    }
    free(filler->staging);
    mill_pool_close(filler->pool);
    pthread_mutex_destroy(&filler->lock);
}

mill_status mill_image_fill(struct mill_image_plan *plan, struct mill_image_target *target,
                            struct mill_error *err) {
    struct filler filler = {.plan = plan, .target = target};
    pthread_mutex_init(&filler.lock, NULL);
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int workers = processors < 1 ? 1 : processors > MAX_WORKERS ? MAX_WORKERS : (int)processors;
    mill_status status = mill_pool_open(&filler.pool, workers, err);
    if (status == MILL_OK)
        status = filler_reserve(&filler, err);
    for (size_t i = 0; status == MILL_OK && i < plan->n_entries; i++) {
        struct mill_row_source *source = &plan->entries[i].source;
        filler.entry = &plan->entries[i];
        if (source->prepare)
            status = source->prepare(source, err);
        if (status == MILL_OK)
            status = fill_entry(&filler, err);
        mill_row_source_unprepare(source);
    }
    filler_deinit(&filler);
    return status;
}
