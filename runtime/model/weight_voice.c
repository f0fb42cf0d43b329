/* weight_voice.c - see weight_voice.h.
 *
 * With c the digits of all tokens, token-major, the published network computes
 *     z[t] = A c[t] + a                      (project_out, [latent][levels], for each token)
 *     d    = P flat + p, flat[l * n_tokens + t] = z[t][l]         (project; d is the d-vector)
 *     gain = S d + s, shift = H d + h                          (each adaptive norm, S, H [dim][d])
 * all affine, so d = M c + m, and S d + s = (S M) c + (S m + s). M and m are prepared once; the
 * norms' rows are multiplied out when they are asked for. */
#include "runtime/model/weight_voice.h"

#include "runtime/base/memory.h"

#include <stdio.h>
#include <stdlib.h>

struct affine {
    struct mill_tensor_ref weight, bias;
};

struct voice_fold {
    struct mill_tensor_ref last_bias; /* prenet.linear.bias */
    int32_t n_norms;
    struct affine *norms; /* [n_norms][2]: gain, shift */
    double *vector;       /* M: [d][digits] */
    double *vector_bias;  /* m: [d] */
};

int32_t mill_voice_n_digits(const struct mill_bicodec_shape *shape) {
    return shape->speaker.n_tokens * shape->speaker.n_levels;
}

int32_t mill_voice_n_rows(const struct mill_bicodec_shape *shape) {
    return 2 * shape->speaker.output + 2 * shape->prenet.dim * (1 + shape->prenet.n_layers);
}

static mill_status find_affine(struct affine *out, const struct mill_tensors *file,
                               const char *module, size_t n_out, size_t n_in,
                               struct mill_error *err) {
    char name[160];
    snprintf(name, sizeof name, "%s.weight", module);
    MILL_TRY(mill_tensor_ref_find(&out->weight, file, name, n_out * n_in, err));
    snprintf(name, sizeof name, "%s.bias", module);
    return mill_tensor_ref_find(&out->bias, file, name, n_out, err);
}

static mill_status find_norms(struct voice_fold *fold, const struct mill_tensors *file,
                              const struct mill_bicodec_shape *shape, struct mill_error *err) {
    size_t dim = (size_t)shape->prenet.dim, d = (size_t)shape->speaker.output;
    MILL_TRY(mill_tensor_ref_find(&fold->last_bias, file, "prenet.linear.bias", d, err));
    for (int32_t k = 0; k < fold->n_norms; k++) {
        for (int part = 0; part < 2; part++) {
            const char *leaf = part == 0 ? "scale" : "shift";
            char module[128];
            if (k == 0)
                snprintf(module, sizeof module, "prenet.vocos_backbone.norm.%s", leaf);
            else
                snprintf(module, sizeof module, "prenet.vocos_backbone.convnext.%d.norm.%s", k - 1,
                         leaf);
            MILL_TRY(find_affine(&fold->norms[2 * k + part], file, module, dim, d, err));
        }
    }
    return MILL_OK;
}

/* M and m. `row` holds at least a row of P, `a` all of A and then its bias. */
static mill_status fold_vector(struct voice_fold *fold, const struct mill_tensors *file,
                               const struct mill_bicodec_shape *shape, float *row, float *a,
                               struct mill_error *err) {
    size_t tokens = (size_t)shape->speaker.n_tokens, levels = (size_t)shape->speaker.n_levels;
    size_t latent = (size_t)shape->speaker.latent, d = (size_t)shape->speaker.output;
    float *a_bias = a + latent * levels;
    struct affine out, project;
    MILL_TRY(find_affine(&out, file, "speaker_encoder.quantizer.project_out", latent, levels, err));
    MILL_TRY(find_affine(&project, file, "speaker_encoder.project", d, latent * tokens, err));
    MILL_TRY(mill_tensor_ref_read(&out.weight, 0, latent * levels, a, err));
    MILL_TRY(mill_tensor_ref_read(&out.bias, 0, latent, a_bias, err));
    for (size_t i = 0; i < d; i++) {
        double *m = fold->vector + i * tokens * levels;
        float p;
        MILL_TRY(mill_tensor_ref_read(&project.bias, i, 1, &p, err));
        MILL_TRY(
            mill_tensor_ref_read(&project.weight, i * latent * tokens, latent * tokens, row, err));
        double bias = (double)p;
        for (size_t l = 0; l < latent; l++) {
            for (size_t t = 0; t < tokens; t++) {
                double factor = (double)row[l * tokens + t];
                bias += factor * (double)a_bias[l];
                for (size_t j = 0; j < levels; j++)
                    m[t * levels + j] += factor * (double)a[l * levels + j];
            }
        }
        fold->vector_bias[i] = bias;
    }
    return MILL_OK;
}

mill_status mill_rows_prepare_voice(struct mill_row_source *source, struct mill_error *err) {
    const struct mill_bicodec_shape *shape = source->shape;
    size_t latent = (size_t)shape->speaker.latent, d = (size_t)shape->speaker.output;
    size_t digits = (size_t)mill_voice_n_digits(shape),
           n_norms = 1 + (size_t)shape->prenet.n_layers;
    size_t norm_bytes = 2 * n_norms * sizeof(struct affine);
    struct voice_fold *fold =
        mill_alloc_array(1, sizeof *fold + norm_bytes + d * (digits + 1) * sizeof(double));
    float *row = mill_alloc_array(latent * (size_t)shape->speaker.n_tokens, sizeof *row);
    float *a = mill_alloc_array(latent * ((size_t)shape->speaker.n_levels + 1), sizeof *a);
    mill_status status = MILL_OK;
    if (!fold || !row || !a) {
        status = mill_fail(err, MILL_E_MEMORY, "no memory to fold the voice matrix");
    } else {
        fold->n_norms = (int32_t)n_norms;
        fold->norms = (struct affine *)(fold + 1);
        fold->vector = (double *)(fold->norms + 2 * n_norms);
        fold->vector_bias = fold->vector + d * digits;
        status = find_norms(fold, source->file, shape, err);
        if (status == MILL_OK)
            status = fold_vector(fold, source->file, shape, row, a, err);
    }
    free(row);
    free(a);
    source->prepared = fold;
    return status;
}

/* Which row of which norm's gain or shift a voice row beyond the d-vectors is. */
static const struct affine *norm_row(const struct voice_fold *fold,
                                     const struct mill_bicodec_shape *shape, int32_t row,
                                     size_t *row_in_norm) {
    int32_t at = row - 2 * shape->speaker.output, dim = shape->prenet.dim;
    *row_in_norm = (size_t)(at % dim);
    return &fold->norms[at / dim];
}

mill_status mill_rows_voice(const struct mill_row_source *source, int32_t first, int32_t n,
                            float *rows, const struct mill_row_scratch *scratch,
                            struct mill_error *err) {
    const struct voice_fold *fold = source->prepared;
    int32_t d = source->shape->speaker.output;
    size_t digits = (size_t)source->n_in;
    for (int32_t r = first; r < first + n; r++, rows += digits) {
        if (r < 2 * d) {
            for (size_t j = 0; j < digits; j++)
                rows[j] = (float)fold->vector[(size_t)(r % d) * digits + j];
            continue;
        }
        size_t at;
        const struct affine *norm = norm_row(fold, source->shape, r, &at);
        MILL_TRY(
            mill_tensor_ref_read(&norm->weight, at * (size_t)d, (size_t)d, scratch->values, err));
        for (size_t j = 0; j < digits; j++)
            scratch->sums[j] = 0.0;
        for (size_t i = 0; i < (size_t)d; i++)
            for (size_t j = 0; j < digits; j++)
                scratch->sums[j] += (double)scratch->values[i] * fold->vector[i * digits + j];
        for (size_t j = 0; j < digits; j++)
            rows[j] = (float)scratch->sums[j];
    }
    return MILL_OK;
}

mill_status mill_rows_voice_bias(const struct mill_row_source *source, int32_t first, int32_t n,
                                 float *rows, const struct mill_row_scratch *scratch,
                                 struct mill_error *err) {
    const struct voice_fold *fold = source->prepared;
    int32_t d = source->shape->speaker.output;
    for (int32_t r = first; r < first + n; r++, rows++) {
        float bias = 0.0f;
        double sum;
        if (r < 2 * d) {
            if (r >= d)
                MILL_TRY(mill_tensor_ref_read(&fold->last_bias, (size_t)(r - d), 1, &bias, err));
            sum = (double)bias + fold->vector_bias[r % d];
        } else {
            size_t at;
            const struct affine *norm = norm_row(fold, source->shape, r, &at);
            MILL_TRY(mill_tensor_ref_read(&norm->bias, at, 1, &bias, err));
            MILL_TRY(mill_tensor_ref_read(&norm->weight, at * (size_t)d, (size_t)d, scratch->values,
                                          err));
            sum = (double)bias;
            for (size_t i = 0; i < (size_t)d; i++)
                sum += (double)scratch->values[i] * fold->vector_bias[i];
        }
        *rows = (float)sum;
    }
    return MILL_OK;
}
