/* weight_rows.c - see weight_rows.h. */
#include "runtime/model/weight_rows.h"

#include "runtime/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

mill_status mill_tensor_ref_find(struct mill_tensor_ref *out, const struct mill_tensors *file,
                                 const char *name, size_t n_elements, struct mill_error *err) {
    const struct mill_tensor_entry *entry = mill_tensors_find(file, name);
    if (!entry)
        return mill_fail(err, MILL_E_INPUT, "'%s': tensor '%s' is missing", file->path, name);
    if (entry->dtype != MILL_F64 && entry->dtype != MILL_F32 && entry->dtype != MILL_F16 &&
        entry->dtype != MILL_BF16)
        return mill_fail(err, MILL_E_INPUT,
                         "'%s': tensor '%s': elements are %s, F64, F32, F16 or BF16 is needed",
                         file->path, name, mill_dtype_name(entry->dtype));
    size_t n = entry->bytes / mill_dtype_bytes(entry->dtype);
    if (n != n_elements)
        return mill_fail(err, MILL_E_INPUT, "'%s': tensor '%s': %zu elements, %zu are needed",
                         file->path, name, n, n_elements);
    *out = (struct mill_tensor_ref){file, entry};
    return MILL_OK;
}

mill_status mill_tensor_ref_read(const struct mill_tensor_ref *ref, size_t first, size_t n,
                                 float *to, struct mill_error *err) {
    const struct mill_tensor_entry *entry = ref->entry;
    const uint8_t *data = ref->file->mapping.data + entry->offset;
    mill_dtype_to_f32(entry->dtype, data + first * mill_dtype_bytes(entry->dtype), to, n);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(to[i]))
            return mill_fail(err, MILL_E_INPUT,
                             "'%s': tensor '%s': element %zu is not a finite number",
                             ref->file->path, entry->name, first + i);
    return MILL_OK;
}

void mill_row_source_unprepare(struct mill_row_source *source) {
    free(source->prepared);
    source->prepared = NULL;
}

/* [in][tap] to [tap][in]. */
static void transpose_taps(const float *from, int32_t n_taps, int32_t n_in, double factor,
                           float *to) {
    for (int32_t tap = 0; tap < n_taps; tap++)
        for (int32_t i = 0; i < n_in; i++)
            to[(size_t)tap * (size_t)n_in + (size_t)i] =
                (float)(factor * (double)from[(size_t)i * (size_t)n_taps + (size_t)tap]);
}

static size_t row_elements(const struct mill_row_source *source) {
    return (size_t)source->n_taps * (size_t)source->n_in;
}

/* The tensor that holds row `row`, and that row's number in it. */
static const struct mill_tensor_ref *find_part(const struct mill_row_source *source, int32_t row,
                                               int32_t *row_in_part) {
    int part = 0;
    while (part < MILL_ROW_TENSORS - 1 && row >= source->tensor_rows[part])
        row -= source->tensor_rows[part++];
    *row_in_part = row;
    return &source->tensor[part];
}

mill_status mill_rows_plain(const struct mill_row_source *source, int32_t first, int32_t n,
                            float *rows, const struct mill_row_scratch *scratch,
                            struct mill_error *err) {
    size_t elements = row_elements(source);
    const double *factors = source->prepared;
    for (int32_t r = 0; r < n; r++) {
        int32_t row, from_row = first + r;
        if (source->paired)
            from_row = from_row / 2 + from_row % 2 * (source->n_rows / 2);
        const struct mill_tensor_ref *part = find_part(source, from_row, &row);
        float gain = 1.0f, *to = rows + (size_t)r * elements;
        if (source->gain.entry)
            MILL_TRY(mill_tensor_ref_read(&source->gain, (size_t)(from_row), 1, &gain, err));
        double factor = source->scale * (double)gain * (factors ? factors[from_row] : 1.0);
        bool direct = source->n_taps == 1 || source->n_in == 1;
        float *from = direct ? to : scratch->values;
        MILL_TRY(mill_tensor_ref_read(part, (size_t)row * elements, elements, from, err));
        if (!direct)
            transpose_taps(from, source->n_taps, source->n_in, factor, to);
        else if (factor != 1.0)
            for (size_t i = 0; i < elements; i++)
                to[i] = (float)(factor * (double)to[i]);
    }
    return MILL_OK;
}

mill_status mill_rows_gather(const struct mill_row_source *source, int32_t first, int32_t n,
                             float *rows, const struct mill_row_scratch *scratch,
                             struct mill_error *err) {
    (void)scratch;
    size_t elements = row_elements(source);
    for (int32_t r = 0; r < n; r++) {
        int32_t id = source->ids[first + r];
        float *to = rows + (size_t)r * elements;
        if (id < 0)
            memset(to, 0, elements * sizeof *to);
        else
            MILL_TRY(
                mill_tensor_ref_read(&source->tensor[0], (size_t)id * elements, elements, to, err));
    }
    return MILL_OK;
}

static double sum_of_squares(const float *x, size_t n) {
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

/* g / |v|, refused where v is all zeros: the direction is then undefined. */
static mill_status norm_factor(const struct mill_tensor_ref *v, const struct mill_tensor_ref *g,
                               size_t filter, double squares, double *out, struct mill_error *err) {
    float gain;
    MILL_TRY(mill_tensor_ref_read(g, filter, 1, &gain, err));
    if (squares <= 0.0)
        return mill_fail(err, MILL_E_INPUT,
                         "'%s': tensor '%s': filter %zu is all zeros and cannot be normalised",
                         v->file->path, v->entry->name, filter);
    *out = (double)gain / sqrt(squares);
    return MILL_OK;
}

mill_status mill_rows_weight_norm(const struct mill_row_source *source, int32_t first, int32_t n,
                                  float *rows, const struct mill_row_scratch *scratch,
                                  struct mill_error *err) {
    size_t elements = row_elements(source);
    for (int32_t r = 0; r < n; r++) {
        size_t row = (size_t)(first + r);
        double factor;
        MILL_TRY(mill_tensor_ref_read(&source->tensor[0], row * elements, elements, scratch->values,
                                      err));
        MILL_TRY(norm_factor(&source->tensor[0], &source->tensor[1], row,
                             sum_of_squares(scratch->values, elements), &factor, err));
        transpose_taps(scratch->values, source->n_taps, source->n_in, factor,
                       rows + (size_t)r * elements);
    }
    return MILL_OK;
}

/* prepared: g / |v| of every input channel. */
mill_status mill_rows_prepare_transposed(struct mill_row_source *source, struct mill_error *err) {
    size_t elements = (size_t)source->n_rows * (size_t)source->n_taps;
    float *filter = mill_alloc_array(elements, sizeof *filter);
    double *factors = mill_alloc_array((size_t)source->n_in, sizeof *factors);
    mill_status status = MILL_OK;
    if (!filter || !factors)
        status = mill_fail(err, MILL_E_MEMORY, "no memory to fold a transposed convolution");
    for (size_t i = 0; status == MILL_OK && i < (size_t)source->n_in; i++) {
        status = mill_tensor_ref_read(&source->tensor[0], i * elements, elements, filter, err);
        if (status == MILL_OK)
            status = norm_factor(&source->tensor[0], &source->tensor[1], i,
                                 sum_of_squares(filter, elements), &factors[i], err);
    }
    free(filter);
    source->prepared = factors;
    return status;
}

mill_status mill_rows_weight_norm_transposed(const struct mill_row_source *source, int32_t first,
                                             int32_t n, float *rows,
                                             const struct mill_row_scratch *scratch,
                                             struct mill_error *err) {
    const double *factors = source->prepared;
    size_t taps = (size_t)source->n_taps, n_in = (size_t)source->n_in, run = (size_t)n * taps;
    for (size_t i = 0; i < n_in; i++) {
        size_t at = (i * (size_t)source->n_rows + (size_t)first) * taps;
        MILL_TRY(mill_tensor_ref_read(&source->tensor[0], at, run, scratch->values, err));
        for (size_t k = 0; k < run; k++) /* k = row * taps + tap, as in the result */
            rows[k * n_in + i] = (float)(factors[i] * (double)scratch->values[k]);
    }
    return MILL_OK;
}

/* prepared: the projection [n_in][dim], normed, then its bias [n_in]. */
mill_status mill_rows_prepare_codebook(struct mill_row_source *source, struct mill_error *err) {
    size_t n_out = (size_t)source->n_in, dim = (size_t)source->tensor_rows[0];
    float *row = mill_alloc_array(dim > n_out ? dim : n_out, sizeof *row);
    double *folded = mill_alloc_array(n_out * (dim + 1), sizeof *folded);
    mill_status status = MILL_OK;
    if (!row || !folded)
        status = mill_fail(err, MILL_E_MEMORY, "no memory to fold the codebook");
    for (size_t o = 0; status == MILL_OK && o < n_out; o++) {
        double factor = 0.0;
        status = mill_tensor_ref_read(&source->tensor[1], o * dim, dim, row, err);
        if (status == MILL_OK)
            status = norm_factor(&source->tensor[1], &source->tensor[2], o,
                                 sum_of_squares(row, dim), &factor, err);
        for (size_t j = 0; status == MILL_OK && j < dim; j++)
            folded[o * dim + j] = factor * (double)row[j];
    }
    if (status == MILL_OK)
        status = mill_tensor_ref_read(&source->gain, 0, n_out, row, err);
    for (size_t o = 0; status == MILL_OK && o < n_out; o++)
        folded[n_out * dim + o] = (double)row[o];
    free(row);
    source->prepared = folded;
    return status;
}

mill_status mill_rows_codebook(const struct mill_row_source *source, int32_t first, int32_t n,
                               float *rows, const struct mill_row_scratch *scratch,
                               struct mill_error *err) {
    size_t n_out = (size_t)source->n_in, dim = (size_t)source->tensor_rows[0];
    const double *projection = source->prepared, *bias = projection + n_out * dim;
    for (int32_t r = 0; r < n; r++) {
        size_t code = (size_t)(first + r);
        MILL_TRY(mill_tensor_ref_read(&source->tensor[0], code * dim, dim, scratch->values, err));
        for (size_t o = 0; o < n_out; o++) {
            double sum = bias[o];
            for (size_t j = 0; j < dim; j++)
                sum += projection[o * dim + j] * (double)scratch->values[j];
            rows[(size_t)r * n_out + o] = (float)sum;
        }
    }
    return MILL_OK;
}

mill_status mill_rows_rope_frequency(const struct mill_row_source *source, int32_t first, int32_t n,
                                     float *rows, const struct mill_row_scratch *scratch,
                                     struct mill_error *err) {
    (void)scratch;
    (void)err;
    for (int32_t r = 0; r < n; r++)
        rows[r] = (float)pow(source->scale, -(double)(first + r) / (double)source->n_rows);
    return MILL_OK;
}
