/* bicodec_run.h - the decoder's layers over pieces of several utterances at once; what windows
 * (bicodec_decode.c) and streams (bicodec_stream.c) share. Private to the two.
 *
 * A piece says for every time line which rows it computes and which it takes over from the piece
 * before (struct mill_bicodec_rows); a window takes over nothing. Activations live in three slabs:
 *
 *     slab 0                      slab 1                      slab 2
 *     prenet's rows, packed       a layer's input, in bands   hidden and wide, packed
 *     generator rows, in bands    likewise, alternating       the generator's input, in bands
 *
 * Packed: the fresh rows of all pieces one behind the other, as products over all rows want them.
 * In bands: each piece's rows in order of time, with room before the fresh rows for kept ones, as a
 * convolution wants them.
 *
 * Owns its device memory, borrows backend and weights. One thread. */
#ifndef MILL_MODEL_BICODEC_RUN_H
#define MILL_MODEL_BICODEC_RUN_H

#include "runtime/model/bicodec_plan.h"
#include "runtime/model/weights.h"

struct mill_bicodec_run_sizes {
    int32_t max_pieces, max_frames; /* of a call: pieces; frames emitted by all together */
    int32_t n_states;               /* utterances whose kept rows are stored; 0 for windows */
};

struct mill_bicodec_place {
    int32_t row;  /* of a matrix ... */
    int64_t time; /* ... that holds this time of a piece's time line */
};

/* Rows of all pieces of one or more time lines of the same rate. */
struct mill_bicodec_band {
    float *data;
    int32_t columns, n_rows;
    struct mill_bicodec_place *at; /* [n_pieces] */
};

enum { MILL_BICODEC_SLABS = 3 };

struct mill_bicodec_machine {
    const struct mill_backend_ops *ops;
    struct mill_backend *backend;
    const struct mill_decoder_weights *weights;
    struct mill_bicodec_run_sizes sizes;
    int32_t n_layers;
    struct mill_range *scratch;        /* [n_layers + 1] */
    struct mill_span *spans;           /* [2 * max_pieces] */
    struct mill_bicodec_place *places; /* [MILL_BICODEC_SLABS * max_pieces] */
    int32_t *host_index;               /* [n_index]: host_alloc's */
    int32_t n_index;
    void *memory; /* device: all that follows */
    size_t memory_bytes, state_bytes;
    int32_t *index; /* tokens, then the voice of each row behind each adaptive layer */
    float *slab[MILL_BICODEC_SLABS];
    float **states; /* [n_layers]: rows of time line k, mill_bicodec_layer_keeps each state */
};

/* The machine is zeroed, and closed by the caller after a failure too. */
mill_status
mill_bicodec_machine_open(struct mill_bicodec_machine *machine, const struct mill_backend_ops *ops,
                          struct mill_backend *backend, const struct mill_decoder_weights *weights,
                          const struct mill_bicodec_run_sizes *sizes, struct mill_error *err);
void mill_bicodec_machine_close(struct mill_bicodec_machine *machine);

struct mill_bicodec_run_piece {
    const struct mill_bicodec_rows *rows; /* [n_layers + 1], emitting something */
    const int32_t *semantic;              /* of the utterance from its first; checked */
    int32_t state;                        /* -1 = nothing is kept or stored */
    int32_t voice;                        /* row of the voices */
    float *wave;                          /* host */
};
struct mill_bicodec_run_request {
    const struct mill_bicodec_run_piece *pieces;
    int32_t n_pieces;
    const float *voices; /* device: rows of mill_decoder_weights.voice */
    /* For comparison with golden data, of the first piece, else NULL: host, the frames that are
     * emitted; the prenet's output still with the d-vector. */
    float *z_q, *prenet;
};
/* On its way when this returns: what it writes on the host is there when the backend says so. The
 * machine's next call may follow only then. */
mill_status mill_bicodec_run(struct mill_bicodec_machine *machine,
                             const struct mill_bicodec_run_request *request);

/* MILL_E_INPUT where one of the tokens that `rows` will read is no codeword. */
mill_status mill_bicodec_check_tokens(const struct mill_bicodec_shape *shape,
                                      const int32_t *semantic, const struct mill_bicodec_rows *rows,
                                      struct mill_error *err);

/* A voice's row of the voices (columns: weights.voice.shape.n_out) from its global tokens; likewise
 * on its way. */
mill_status mill_bicodec_voice_row(const struct mill_backend_ops *ops, struct mill_backend *backend,
                                   const struct mill_decoder_weights *weights,
                                   const int32_t *global, float *host_code, float *device_code,
                                   float *row, struct mill_error *err);

#endif
