/* bicodec_decode.h - semantic tokens and a voice to samples, whole or window by window, bit for bit
 * the same.
 *
 * The decoder looks mill_bicodec_context() frames to each side (67 in the published shape). A
 * window asks for frames [first, end): every layer computes just the rows that these need, from
 * tokens that reach that much further, and pads with zeros only at the true ends of the utterance.
 * So windows of any size give the samples of the whole. Memory is planned at open for `max_window`
 * frames; nothing is allocated later. One thread. */
#ifndef MILL_MODEL_BICODEC_DECODE_H
#define MILL_MODEL_BICODEC_DECODE_H

#include "runtime/model/weights.h"

struct mill_bicodec_decoder;

mill_status mill_bicodec_decoder_open(struct mill_bicodec_decoder **out,
                                      const struct mill_backend_ops *ops,
                                      struct mill_backend *backend,
                                      const struct mill_decoder_weights *weights,
                                      int32_t max_window, struct mill_error *err);
void mill_bicodec_decoder_close(struct mill_bicodec_decoder *decoder);

/* Frames of context each side. */
int32_t mill_bicodec_context(const struct mill_bicodec_shape *shape);

/* Everything that a voice's global tokens decide, computed once: a row of
 * mill_decoder_weights.voice. */
struct mill_bicodec_voice;
mill_status mill_bicodec_voice_open(struct mill_bicodec_voice **out,
                                    struct mill_bicodec_decoder *decoder, const int32_t *global,
                                    struct mill_error *err); /* [speaker.n_tokens], checked */
void mill_bicodec_voice_close(struct mill_bicodec_voice *voice);

struct mill_bicodec_window {
    const struct mill_bicodec_voice *voice;
    const int32_t *semantic; /* host: tokens 0 .. n_semantic - 1 of the utterance */
    int32_t n_semantic;
    bool finished; /* n_semantic is the utterance's end; otherwise end + context <= n_semantic */
    int32_t first, end; /* frames wanted; at most max_window */
    float *wave;        /* out: host [(end - first) * hop], in (-1, 1) */
    /* For comparison with golden data, else NULL: host [frames first .. end of z_q and prenet
     * output, channels-last]; d-vector [output] */
    float *z_q, *prenet, *d_vector;
};
mill_status mill_bicodec_decode(struct mill_bicodec_decoder *decoder,
                                const struct mill_bicodec_window *window, struct mill_error *err);

#endif
