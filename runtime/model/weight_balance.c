/* weight_balance.c - see weight_balance.h. How large a key's elements become is estimated from the
 * weights: the lengths of a pair's biases, and three standard deviations of what is added to them,
 * the norm's output having mean square 1 before its gain. */
#include "runtime/model/weight_balance.h"

#include "runtime/base/memory.h"

#include <math.h>
#include <stdlib.h>

enum { MOST_DOUBLINGS = 20 };

/* Bias and spread (standard deviation) of every row of the k projection. */
static mill_status measure_rows(const struct mill_row_source *source, double *bias, double *spread,
                                struct mill_error *err) {
    const struct mill_row_keys *keys = &source->keys;
    size_t n_in = (size_t)keys->n_in;
    float *row = mill_alloc_array(n_in, sizeof *row), *gain = mill_alloc_array(n_in, sizeof *gain);
    mill_status status = MILL_OK;
    if (!row || !gain)
        status = mill_fail(err, MILL_E_MEMORY, "no memory to balance the keys");
    else
        status = mill_tensor_ref_read(&keys->gain, 0, n_in, gain, err);
    for (size_t r = 0; status == MILL_OK && r < (size_t)source->tensor_rows[1]; r++) {
        float b;
        double squares = 0.0;
        status = mill_tensor_ref_read(&keys->bias, r, 1, &b, err);
        if (status == MILL_OK)
            status = mill_tensor_ref_read(&keys->weights, r * n_in, n_in, row, err);
        for (size_t i = 0; status == MILL_OK && i < n_in; i++)
            squares += pow((double)row[i] * (double)gain[i], 2.0);
        bias[r] = status == MILL_OK ? (double)b : 0.0;
        spread[r] = sqrt(squares);
    }
    free(row);
    free(gain);
    return status;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Factors of one head's rows, from those' biases and spreads; the median pair keeps its size. */
static void balance_head(const double *bias, const double *spread, int32_t half, double *sizes,
                         double *factors) {
    double *sorted = sizes + half;
    for (int32_t j = 0; j < half; j++)
        sorted[j] = sizes[j] =
            hypot(bias[j], bias[j + half]) + 3.0 * fmax(spread[j], spread[j + half]);
    qsort(sorted, (size_t)half, sizeof *sorted, compare);
    double median = sorted[half / 2];
    for (int32_t j = 0; j < half; j++) {
        double doublings = sizes[j] > 0.0 && median > 0.0 ? rint(log2(median / sizes[j])) : 0.0;
        doublings = fmin(fmax(doublings, -MOST_DOUBLINGS), MOST_DOUBLINGS);
        factors[j] = factors[j + half] = exp2(doublings);
    }
}

mill_status mill_rows_prepare_balance(struct mill_row_source *source, struct mill_error *err) {
    int32_t d = source->keys.head_dim, n_q = source->tensor_rows[0], n_k = source->tensor_rows[1];
    int32_t shared = n_q / n_k; /* query heads of a key's */
    double *factors = mill_alloc_array((size_t)source->n_rows, sizeof *factors);
    double *room = mill_alloc_array(2 * (size_t)n_k + (size_t)d, sizeof *room);
    double *bias = room, *spread = room ? room + n_k : NULL;
    mill_status status = MILL_OK;
    if (!factors || !room)
        status = mill_fail(err, MILL_E_MEMORY, "no memory to balance the keys");
    else
        status = measure_rows(source, bias, spread, err);
    for (int32_t first = 0; status == MILL_OK && first < n_k; first += d)
        balance_head(bias + first, spread + first, d / 2, room + 2 * n_k, factors + n_q + first);
    for (int32_t r = 0; status == MILL_OK && r < source->n_rows; r++)
        if (r < n_q)
            factors[r] = 1.0 / factors[n_q + r / d / shared * d + r % d];
        else if (r >= n_q + n_k)
            factors[r] = 1.0;
    free(room);
    source->prepared = factors;
    return status;
}
