/* weights.h - a checkpoint's numbers, folded, converted and laid out for one backend, ready to run.
 *
 * Loading streams the published files once into one image (every tensor 64-byte aligned, in the
 * backend's own order and the chosen dtype) and hands it to the backend as a whole. With a cache
 * folder the image lies in a file there, so the next load only maps it. What inference would
 * compute again and again is folded beforehand, in float64: weight norm; layer scale into the
 * second pointwise product; the factor 3 of a sampling block into its convolution; codebook x
 * out-projection into one table; FSQ, its projection, the d-vector and every adaptive norm into one
 * matrix from a voice's code vector ("voice"), since all of them are linear in it. Immutable once
 * loaded, shared by every user of the backend. Pointers are device pointers, except `head_ids`. */
#ifndef MILL_MODEL_WEIGHTS_H
#define MILL_MODEL_WEIGHTS_H

#include "kernels/backend.h"
#include "runtime/base/byte_progress.h"
#include "runtime/model/shape.h"
#include "runtime/text/control_tokens.h"

enum mill_precision { MILL_PRECISION_FP32, MILL_PRECISION_BF16, MILL_PRECISION_INT8 };

/* What may follow at a place of the format; each set is a run of head rows. ANY exists only with
 * options.full_head. */
enum mill_legal_set {
    MILL_LEGAL_SEMANTIC,
    MILL_LEGAL_GLOBAL,
    MILL_LEGAL_PITCH,
    MILL_LEGAL_SPEED,
    MILL_LEGAL_ANY,
    MILL_LEGAL_COUNT
};

struct mill_legal_rows {
    int32_t first_row, n_rows; /* first_row is a multiple of MILL_PACK_ROWS, as linear wants it */
    const int32_t *ids; /* host: [n_rows] token ids, ascending; SEMANTIC begins with im_end where
                           its id is lowest */
};

struct mill_lm_layer {
    const float *attn_norm, *mlp_norm; /* [hidden] */
    struct mill_weight qkv;            /* [(n_heads + 2 n_kv_heads) head_dim, hidden], bias */
    struct mill_weight o;              /* [hidden, n_heads head_dim] */
    struct mill_weight gate_up;        /* [2 intermediate, hidden]: row 2j of up, 2j + 1 of gate */
    struct mill_weight down;           /* [hidden, intermediate] */
};

struct mill_lm_weights {
    struct mill_llm_shape shape;
    enum mill_dtype kv_dtype;    /* F32 for fp32, BF16 for bf16, I8 for int8 */
    const void *embed;           /* [vocab, hidden] row-major */
    enum mill_dtype embed_dtype; /* F32 for fp32, else BF16 */
    struct mill_lm_layer *layers;
    const float *norm;           /* [hidden] */
    const float *rope_frequency; /* [head_dim / 2] */
    struct mill_weight head;     /* every legal row, sets one behind the other */
    struct mill_legal_rows legal[MILL_LEGAL_COUNT];
};

struct mill_convnext_weights {
    struct mill_weight depthwise;        /* [dim][7][1], bias */
    const float *norm_gain, *norm_shift; /* NULL where the norm is adaptive */
    struct mill_weight up;               /* [intermediate, dim], bias */
    struct mill_weight down;             /* [dim, intermediate], bias: both times gamma */
};

struct mill_vocos_weights {
    struct mill_weight embed; /* [dim][7][input], bias; times 3 behind a sampling block */
    const float *norm_gain, *norm_shift;
    struct mill_convnext_weights *blocks;
    int32_t n_blocks;
    const float *final_gain, *final_shift;
};

struct mill_residual_unit_weights {
    const float *alpha1, *alpha2;
    struct mill_weight dilated, pointwise; /* [c][7][c], [c][1][c], bias */
};

struct mill_generator_stage_weights {
    const float *alpha;
    /* [c / 2][kernel][c], bias: y[t] += w[tap] x[(t + padding - tap) / stride]. */
    struct mill_weight up;
    struct mill_residual_unit_weights units[3]; /* dilation 1, 3, 9 */
};

struct mill_decoder_weights {
    struct mill_bicodec_shape shape;
    const void *codebook; /* [codebook_size, quantizer.input]: z_q of each semantic token */
    enum mill_dtype codebook_dtype;
    /* Voice row = voice x code + bias, code = the n_tokens * n_levels FSQ digits (level - L/2) /
     * (L/2), token-major; columns: [0, d) the d-vector; [d, 2d) the prenet's last bias + d-vector;
     *   then for each adaptive norm k (0 = the backbone's first norm, 1 + i = block i) gain [dim]
     * and shift [dim]. */
    struct mill_weight voice;
    struct mill_weight linear_pre;                       /* [dim, input] */
    struct mill_vocos_weights sampling[MILL_MAX_STAGES]; /* [prenet.n_samplings] */
    struct mill_vocos_weights backbone;
    struct mill_weight linear; /* [output, dim]; no bias: it lies in the voice row */
    struct mill_weight conv_in;
    struct mill_generator_stage_weights stages[MILL_MAX_STAGES];
    const float *final_alpha;
    struct mill_weight conv_out; /* [1][7][c], bias */
};

struct mill_weights {
    struct mill_lm_weights lm;
    struct mill_decoder_weights decoder;
    enum mill_precision precision;
    size_t image_bytes;
    bool from_cache;
    struct mill_weights_storage *storage; /* private */
};

struct mill_weights_options {
    enum mill_precision precision;
    bool full_head;    /* also pack all vocabulary rows, for MILL_LEGAL_ANY */
    const char *cache; /* folder for converted images; NULL = none */
    struct mill_byte_progress progress;
};

/* In two steps, so that what the weights take is known before anything is taken. Planned: the files
 * are open and checked, every shape and image_bytes are set, and no pointer. `shape` must live
 * until the weights are loaded. */
mill_status mill_weights_plan(struct mill_weights **out, const char *folder,
                              const struct mill_shape *shape,
                              const struct mill_control_tokens *tokens,
                              const struct mill_backend_ops *ops,
                              const struct mill_weights_options *options, struct mill_error *err);
/* The image is copied from `peer`, the same weights on another device of the same kind, which is
 * not in use meanwhile (NULL = none); where that fails too, it is got and handed to the backend.
 * After a failure only close may follow. */
mill_status mill_weights_load(struct mill_weights *weights, struct mill_backend *backend,
                              const struct mill_weights *peer, struct mill_error *err);
void mill_weights_close(struct mill_weights *weights);

/* Column of adaptive norm k's gain in a voice row; its shift follows `prenet.dim` columns later. */
static inline int32_t mill_voice_norm_column(const struct mill_bicodec_shape *shape, int32_t k) {
    return 2 * shape->speaker.output + 2 * shape->prenet.dim * k;
}

#endif
