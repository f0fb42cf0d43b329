/* weight_rows.h - rows of a weight matrix, made on demand from the tensors of a checkpoint.
 *
 * A row source is a recipe: which tensors, and how rows [first, first + n) of the matrix that the
 * model uses follow from them, in tap-major order ([out][tap][in]; files have [out][in][tap]).
 * Folding is done in float64 and rounded to float32 once. Every element read is checked to be
 * finite. After `prepare`, rows may be made from several threads at once, each with its own
 * scratch. */
#ifndef MILL_MODEL_WEIGHT_ROWS_H
#define MILL_MODEL_WEIGHT_ROWS_H

#include "runtime/io/tensors.h"
#include "runtime/model/shape.h"

struct mill_tensor_ref {
    const struct mill_tensors *file;
    const struct mill_tensor_entry *entry;
};

/* A tensor by name. Missing, another number of elements than expected, or anything but F64, F32,
 * F16 and BF16: MILL_E_INPUT. */
mill_status mill_tensor_ref_find(struct mill_tensor_ref *out, const struct mill_tensors *file,
                                 const char *name, size_t n_elements, struct mill_error *err);
/* Elements [first, first + n) as float32; one that is not finite is MILL_E_INPUT, with its index.
 */
mill_status mill_tensor_ref_read(const struct mill_tensor_ref *ref, size_t first, size_t n,
                                 float *to, struct mill_error *err);

/* One thread's working memory, as large as the source's scratch_* say. */
struct mill_row_scratch {
    float *values;
    double *sums;
};

struct mill_row_source;
typedef mill_status mill_row_prepare(struct mill_row_source *source, struct mill_error *err);
typedef mill_status mill_row_make(const struct mill_row_source *source, int32_t first, int32_t n,
                                  float *rows, const struct mill_row_scratch *scratch,
                                  struct mill_error *err);

enum { MILL_ROW_TENSORS = 3 };

/* A layer's k projection, [rows, n_in] and [rows], and the gain [n_in] of the norm in front. */
struct mill_row_keys {
    struct mill_tensor_ref weights, bias, gain;
    int32_t n_in, head_dim;
};

struct mill_row_source {
    mill_row_make *make;
    mill_row_prepare *prepare;       /* NULL = nothing to prepare */
    const struct mill_tensors *file; /* holds every tensor of the recipe; NULL = none is read */
    int32_t n_rows, n_taps, n_in;
    /* The recipe's tensors; what each is: at the functions below. */
    struct mill_tensor_ref tensor[MILL_ROW_TENSORS];
    int32_t tensor_rows[MILL_ROW_TENSORS];
    struct mill_tensor_ref gain; /* entry NULL = none: row r is multiplied by gain[r] */
    double scale;
    struct mill_row_keys keys;              /* weight_balance.h */
    bool paired;                            /* see mill_rows_plain */
    const int32_t *ids;                     /* borrowed */
    const struct mill_bicodec_shape *shape; /* borrowed */
    size_t scratch_values, scratch_sums;    /* elements */
    void *prepared;                         /* owned; made by prepare, freed by unprepare */
};

void mill_row_source_unprepare(struct mill_row_source *source);

/* tensor[0 .. 2] with tensor_rows[] rows each, one behind the other, times scale times gain times
 * what is prepared, double [n_rows], if anything is. `paired`: the first row, the first of the
 * second half, the second row and so on, as the pairs of a linear layer are. */
mill_row_make mill_rows_plain;
/* Row r is row ids[r] of tensor[0], zeros where ids[r] is negative. One tap. */
mill_row_make mill_rows_gather;
/* Weight norm: row r = g[r] v[r] / |v[r]|; v = tensor[0] [out][in][tap], g = tensor[1] [out]. */
mill_row_make mill_rows_weight_norm;
/* The same for a transposed convolution: v = tensor[0] [in][out][tap], g = tensor[1] [in], |v| over
 * out and tap. */
mill_row_make mill_rows_weight_norm_transposed;
mill_row_prepare mill_rows_prepare_transposed;
/* z_q of every codeword: codebook tensor[0] [codes][dim] times the weight-normed projection, v =
 * tensor[1] [n_in][dim], g = tensor[2] [n_in], plus the bias, given as `gain` [n_in]. */
mill_row_make mill_rows_codebook;
mill_row_prepare mill_rows_prepare_codebook;
/* Row j = scale^(-j / n_rows): rotary frequencies, scale = theta, n_rows = half the head. */
mill_row_make mill_rows_rope_frequency;

#endif
