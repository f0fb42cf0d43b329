/* bicodec_stream.h - the decoder for many utterances at once, each carrying its state: every row of
 * every layer is computed exactly once.
 *
 * A stream remembers, for each layer, the last rows that the layer's next rows still look back at,
 * and how far the layer came: each lags behind the tokens by what it and the layers behind it look
 * ahead. A call takes pieces of several streams, new tokens each, and runs every operator once
 * over all of them (the weights are read once). What comes out, piece by piece, is bit for bit what
 * mill_bicodec_decode gives for the whole utterance: at any cut, beside any company, with the end
 * not known beforehand.
 *
 * `lookahead`: to emit frame f exactly, mill_bicodec_context() frames behind it must be known (67).
 * A stream started with less takes its tokens `step` at a time: to emit frames before s * step it
 * computes as if the utterance ended at frame s * step + lookahead, that is, in every layer the
 * rows behind that frame's are absent and count as zeros. A layer that would not look so far does
 * not notice; so the wave generator (the last 10 frames of the 67) stays whole where `lookahead` is
 * 10 or more. A row computed so is not computed again when more is known. The sound is then a
 * function of (tokens, voice, lookahead, step), still not of who was waiting when.
 *
 * All memory is taken at open: a fixed number of streams, room for `max_frames` frames of sound and
 * `max_pieces` pieces a call; nothing is allocated later. Borrows backend and weights. One
 * thread. */
#ifndef MILL_MODEL_BICODEC_STREAM_H
#define MILL_MODEL_BICODEC_STREAM_H

#include "runtime/model/weights.h"

struct mill_bicodec_streams;

struct mill_bicodec_streams_options {
    int32_t n_streams;  /* 1 or more: utterances that carry state */
    int32_t max_pieces; /* of one call; at most n_streams */
    int32_t max_frames; /* of sound in one call, all pieces together; at least max_pieces */
};

mill_status mill_bicodec_streams_open(struct mill_bicodec_streams **out,
                                      const struct mill_backend_ops *ops,
                                      struct mill_backend *backend,
                                      const struct mill_decoder_weights *weights,
                                      const struct mill_bicodec_streams_options *options,
                                      struct mill_error *err);
void mill_bicodec_streams_close(struct mill_bicodec_streams *streams);

/* mill_bicodec_context of its shape. */
int32_t mill_bicodec_streams_context(const struct mill_bicodec_streams *streams);
/* Device bytes of each stream's state and voice: 0.7 MB in the published shape. */
size_t mill_bicodec_stream_bytes(const struct mill_bicodec_streams *streams);

struct mill_bicodec_stream_start {
    const int32_t *global; /* [speaker.n_tokens]: the voice; checked */
    /* Sound before this frame is not wanted (it was delivered before a failure, say) and not
     * computed; the rest is the same to the last bit. 0 for a stream that is not exact. */
    int32_t first_frame;
    bool exact;              /* else: */
    int32_t lookahead, step; /* frames, 0 or more and 1 or more; see above */
};
/* Begin an utterance in stream 0 <= stream < n_streams, whatever it held before: after preemption
 * or a failure the same call begins it again. */
mill_status mill_bicodec_stream_start(struct mill_bicodec_streams *streams, int32_t stream,
                                      const struct mill_bicodec_stream_start *start,
                                      struct mill_error *err);

/* Whether the stream's sound is that of the offline decoder: `exact`, or a lookahead that covers
 * the context. */
bool mill_bicodec_stream_is_exact(const struct mill_bicodec_streams *streams, int32_t stream);
/* Frames that a piece may emit now, at most `max_frames` of them, when the utterance has n_semantic
 * tokens so far, or for good (`finished`). 0 = wait, or all is said, or the stream has not begun.
 */
int32_t mill_bicodec_stream_ready(const struct mill_bicodec_streams *streams, int32_t stream,
                                  int32_t n_semantic, bool finished, int32_t max_frames);

struct mill_bicodec_piece {
    int32_t stream;          /* each stream at most once a call */
    const int32_t *semantic; /* host: all tokens of the utterance, from its first */
    int32_t n_semantic;
    bool finished;    /* n_semantic is the utterance's end */
    int32_t n_frames; /* to emit: at least 1, at most what mill_bicodec_stream_ready says */
    float *wave; /* out: host [n_frames * hop], in (-1, 1); best right behind the last piece's */
    bool finite; /* out: whether every sample is a number */
};
/* Begin to decode; where the backend is asynchronous this returns while it is computed, and the
 * samples belong into memory of its host_alloc. What was launched is to be collected before the
 * next launch; the pieces are borrowed until then, their tokens are not. A stream of them may be
 * started again meanwhile. Bad input is refused before anything changes. After a failure of the
 * backend the streams of this call must be started again. */
mill_status mill_bicodec_streams_launch(struct mill_bicodec_streams *streams,
                                        struct mill_bicodec_piece *pieces, int32_t n_pieces,
                                        struct mill_error *err);
/* Wait until what was launched is there. A sample that is not finite fails its own piece alone: see
 * `finite`. */
mill_status mill_bicodec_streams_collect(struct mill_bicodec_streams *streams,
                                         struct mill_error *err);
/* Both. */
mill_status mill_bicodec_streams_decode(struct mill_bicodec_streams *streams,
                                        struct mill_bicodec_piece *pieces, int32_t n_pieces,
                                        struct mill_error *err);

#endif
