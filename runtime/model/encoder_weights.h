/* encoder_weights.h - the weights of what listens: a recording to a voice's global tokens (ECAPA,
 * perceiver, quantiser) and to semantic tokens (wav2vec2, BiCodec's encoder).
 *
 * They are an image of their own beside mill_weights, made, cached and bound in the same way, so
 * that they can be opened when somebody clones and closed behind it. Folded beforehand, in float64:
 * window and Fourier transform into one matrix; batch norms into a gain and a shift; weight norms;
 * layer scales and the sampling blocks' 3x; the length of the codewords. Immutable after open;
 * pointers are device pointers. */
#ifndef MILL_MODEL_ENCODER_WEIGHTS_H
#define MILL_MODEL_ENCODER_WEIGHTS_H

#include "runtime/model/encoder_sizes.h"
#include "runtime/model/tensor_table.h"
#include "runtime/model/weights.h"

/* Convolution (or product), ReLU, then y = x * gain + shift. */
struct mill_conv_norm_weights {
    struct mill_weight conv;
    const float *gain, *shift;
};

struct mill_ecapa_block_weights {
    struct mill_conv_norm_weights before, after;             /* [channels, channels] */
    struct mill_conv_norm_weights res[MILL_ECAPA_SCALE - 1]; /* [an eighth][3][an eighth] */
    struct mill_weight squeeze, excite; /* [128, channels], [channels, 128], bias */
};

struct mill_perceiver_layer_weights {
    struct mill_weight q, kv, out; /* [512, latent]; [1024, latent], k then v; [latent, 512] */
    struct mill_weight up, down;   /* [2 inner, latent], value then gate; [latent, inner]; bias */
};

struct mill_speaker_weights {
    struct mill_weight fourier;          /* [2 bins, window]: of each bin cosine, sine */
    struct mill_weight mel;              /* [n_mels, bins] */
    struct mill_conv_norm_weights first; /* [channels][5][n_mels] */
    struct mill_ecapa_block_weights blocks[MILL_ECAPA_BLOCKS];
    struct mill_weight last;    /* [3 channels, 3 channels], bias */
    struct mill_weight context; /* [latent, 3 channels], bias */
    const float *latents;       /* [n_tokens, latent] */
    struct mill_perceiver_layer_weights layers[MILL_PERCEIVER_LAYERS];
    const float *norm;          /* [latent] */
    struct mill_weight project; /* [n_levels, latent], bias */
};

/* A strided convolution as a product with overlapping rows, [dim, taps * input], then a norm. */
struct mill_feature_conv_weights {
    struct mill_weight conv;
    const float *gain, *shift;
};

struct mill_wav2vec2_layer_weights {
    const float *attn_gain, *attn_shift, *mlp_gain, *mlp_shift; /* [hidden] */
    struct mill_weight qkv, out; /* [3 hidden, hidden], [hidden, hidden], bias */
    struct mill_weight up, down; /* [intermediate, hidden], [hidden, intermediate], bias */
};

struct mill_wav2vec2_weights {
    struct mill_feature_conv_weights convs[MILL_MAX_CONVS];
    const float *gain, *shift;     /* of the norm before the projection */
    struct mill_weight projection; /* [hidden, dim], bias */
    struct mill_weight *position;  /* [pos_groups]: [hidden / groups][pos_kernel][same], bias */
    struct mill_wav2vec2_layer_weights layers[MILL_WAV2VEC2_LAYERS];
};

struct mill_semantic_weights {
    struct mill_wav2vec2_weights wav2vec2;
    struct mill_vocos_weights backbone;                  /* encoder.encoder */
    struct mill_vocos_weights sampling[MILL_MAX_STAGES]; /* [encoder.n_samplings] */
    struct mill_weight project;                          /* [quantizer.input, dim], bias */
    struct mill_weight in_project;                       /* [codebook_dim, quantizer.input], bias */
    struct mill_weight codebook; /* [codebook_size, codebook_dim], rows of length 1 */
};

struct mill_encoder_weights {
    const struct mill_backend_ops *ops; /* borrowed, as is the backend */
    struct mill_backend *backend;
    struct mill_shape shape;
    unsigned uses;                         /* which of the two is there */
    struct mill_speaker_weights speaker;   /* MILL_USE_VOICE */
    struct mill_semantic_weights semantic; /* MILL_USE_TRANSCRIPT */
    size_t image_bytes;
    bool from_cache;
    struct mill_weight_store *store; /* private */
};

/* `uses`: MILL_USE_VOICE, MILL_USE_TRANSCRIPT or both. Of the options, full_head does not matter;
 * with INT8 precision the products are BF16. The speaker encoder is F32 in any precision: it is
 * small, and 32 roundings decide a voice. MILL_E_UNSUPPORTED where the backend lacks the encoders'
 * operators, MILL_E_NOT_FOUND where the checkpoint has no wav2vec2. */
mill_status mill_encoder_weights_open(struct mill_encoder_weights **out, const char *folder,
                                      const struct mill_shape *shape, unsigned uses,
                                      const struct mill_backend_ops *ops,
                                      struct mill_backend *backend,
                                      const struct mill_weights_options *options,
                                      struct mill_error *err);
void mill_encoder_weights_close(struct mill_encoder_weights *weights);

#endif
