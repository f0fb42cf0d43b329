/* bicodec_stream.c - which rows each piece of a stream computes and keeps; bicodec_run.c does it.
 *
 * A stream is its plan (rows[k]: how far time line k came, which of its rows are still wanted), its
 * voice, and the kept rows in the machine. Pieces are planned on copies, so that a refused call
 * changes nothing. One thread. */
#include "runtime/model/bicodec_stream.h"

#include "runtime/base/memory.h"
#include "runtime/model/bicodec_decode.h"
#include "runtime/model/bicodec_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct stream {
    bool started;
    bool exact;
    bool in_call; /* while a call is checked */
    int32_t lookahead, step;
    int32_t position; /* the next frame to emit */
};

struct mill_bicodec_streams {
    struct mill_bicodec_machine machine;
    int32_t n_streams, context;
    struct stream *streams;
    struct mill_bicodec_rows *rows;         /* [n_streams][n_layers + 1] */
    struct mill_bicodec_rows *planned;      /* [max_pieces][n_layers + 1] */
    struct mill_bicodec_run_piece *running; /* [max_pieces] */
    struct mill_bicodec_piece *launched;    /* [n_launched]: the caller's, not collected yet */
    int32_t n_launched;
    struct mill_event *done; /* behind it */
    float *code;             /* host: a voice's, while it starts */
    float *device_code;
    float *voices; /* device: [n_streams][voice columns] */
};

static mill_status fail(const struct mill_bicodec_streams *s, mill_status status,
                        struct mill_error *err) {
    const struct mill_bicodec_machine *m = &s->machine;
    return mill_fail(err, status, "decoder: %d pieces: the %s backend: %s", s->n_launched,
                     m->ops->name, mill_backend_failure(m->ops, m->backend, status));
}

/* ------------------------------------------------------------------ open, close */

static size_t voice_bytes(const struct mill_bicodec_streams *s) {
    return (size_t)s->machine.weights->voice.shape.n_out * sizeof(float);
}

static mill_status open_streams(struct mill_bicodec_streams *s,
                                const struct mill_bicodec_streams_options *options,
                                struct mill_error *err) {
    const struct mill_bicodec_machine *m = &s->machine;
    size_t n_streams = (size_t)options->n_streams, n_pieces = (size_t)options->max_pieces;
    size_t n_rows = (size_t)m->n_layers + 1, n_code = (size_t)m->weights->voice.shape.n_in, n;
    s->streams = mill_alloc_array(n_streams, sizeof *s->streams);
    if (mill_mul_size(n_streams, n_rows, &n))
        s->rows = mill_alloc_array(n, sizeof *s->rows);
    s->planned = mill_alloc_array(n_pieces * n_rows, sizeof *s->planned);
    s->running = mill_alloc_array(n_pieces, sizeof *s->running);
    s->code = mill_alloc_array(n_code, sizeof *s->code);
    s->device_code = m->ops->alloc(m->backend, n_code * sizeof *s->device_code);
    if (mill_mul_size(n_streams, voice_bytes(s), &n))
        s->voices = m->ops->alloc(m->backend, n);
    if (!s->streams || !s->rows || !s->planned || !s->running || !s->code || !s->device_code ||
        !s->voices)
        return mill_fail(err, MILL_E_MEMORY, "decoder: no memory for %d streams",
                         options->n_streams);
    mill_status status = m->ops->event_new(m->backend, &s->done);
    return status < 0 ? fail(s, status, err) : MILL_OK;
}

mill_status mill_bicodec_streams_open(struct mill_bicodec_streams **out,
                                      const struct mill_backend_ops *ops,
                                      struct mill_backend *backend,
                                      const struct mill_decoder_weights *weights,
                                      const struct mill_bicodec_streams_options *options,
                                      struct mill_error *err) {
    *out = NULL;
    if (options->n_streams < 1 || options->max_pieces < 1 ||
        options->max_pieces > options->n_streams || options->max_frames < options->max_pieces)
        return mill_fail(err, MILL_E_INPUT, "decoder: %d streams, %d pieces of %d frames a call",
                         options->n_streams, options->max_pieces, options->max_frames);
    struct mill_bicodec_streams *s = mill_alloc_array(1, sizeof *s);
    if (!s)
        return mill_fail(err, MILL_E_MEMORY, "decoder: no memory");
    s->n_streams = options->n_streams;
    s->context = mill_bicodec_context(&weights->shape);
    const struct mill_bicodec_run_sizes sizes = {.max_pieces = options->max_pieces,
                                                 .max_frames = options->max_frames,
                                                 .n_states = options->n_streams};
    mill_status status = mill_bicodec_machine_open(&s->machine, ops, backend, weights, &sizes, err);
    if (status == MILL_OK)
        status = open_streams(s, options, err);
    if (status < 0) {
        mill_bicodec_streams_close(s);
        return status;
    }
    *out = s;
    return MILL_OK;
}

void mill_bicodec_streams_close(struct mill_bicodec_streams *streams) {
    if (!streams)
        return;
    struct mill_bicodec_machine *m = &streams->machine;
    if (streams->n_launched > 0)
        m->ops->synchronize(m->backend); /* it may still use what is freed here */
    if (streams->voices)
        m->ops->free(m->backend, streams->voices);
    if (streams->device_code)
        m->ops->free(m->backend, streams->device_code);
    m->ops->event_free(m->backend, streams->done);
    mill_bicodec_machine_close(m);
    free(streams->streams);
    free(streams->rows);
    free(streams->planned);
    free(streams->running);
    free(streams->code);
    free(streams);
}

size_t mill_bicodec_stream_bytes(const struct mill_bicodec_streams *streams) {
    return streams->machine.state_bytes / (size_t)streams->n_streams + voice_bytes(streams);
}

int32_t mill_bicodec_streams_context(const struct mill_bicodec_streams *streams) {
    return streams->context;
}

/* ------------------------------------------------------------------ a stream */

static struct mill_bicodec_rows *rows_of(const struct mill_bicodec_streams *s, int32_t stream) {
    return s->rows + (size_t)stream * ((size_t)s->machine.n_layers + 1);
}

mill_status mill_bicodec_stream_start(struct mill_bicodec_streams *streams, int32_t stream,
                                      const struct mill_bicodec_stream_start *start,
                                      struct mill_error *err) {
    struct mill_bicodec_streams *s = streams;
    const struct mill_bicodec_machine *m = &s->machine;
    bool exact = start->exact || start->lookahead >= s->context;
    if (stream < 0 || stream >= s->n_streams || start->first_frame < 0 ||
        start->first_frame > INT32_MAX / m->weights->shape.hop ||
        (!exact && (start->first_frame > 0 || start->lookahead < 0 || start->step < 1)))
        return mill_fail(err, MILL_E_INPUT,
                         "decoder: stream %d of %d from frame %d, %d frames ahead in steps of %d",
                         stream, s->n_streams, start->first_frame, start->lookahead, start->step);
    s->streams[stream] = (struct stream){.exact = exact,
                                         .lookahead = start->lookahead,
                                         .step = start->step,
                                         .position = start->first_frame};
    MILL_TRY(mill_bicodec_voice_row(
        m->ops, m->backend, m->weights, start->global, s->code, s->device_code,
        s->voices + (size_t)stream * (size_t)m->weights->voice.shape.n_out, err));
    mill_bicodec_plan_begin(&m->weights->shape, start->first_frame, rows_of(s, stream));
    s->streams[stream].started = true;
    return MILL_OK;
}

bool mill_bicodec_stream_is_exact(const struct mill_bicodec_streams *streams, int32_t stream) {
    return streams->streams[stream].exact;
}

/* The frame that a stream with little look-ahead must stop at before it looks at more tokens, seen
 * from frame `at`. */
static int64_t next_stop(const struct stream *stream, int64_t at) {
    return (at / stream->step + 1) * stream->step;
}

int32_t mill_bicodec_stream_ready(const struct mill_bicodec_streams *streams, int32_t stream,
                                  int32_t n_semantic, bool finished, int32_t max_frames) {
    const struct stream *s = &streams->streams[stream];
    if (!s->started)
        return 0;
    int64_t end = finished ? n_semantic : (int64_t)n_semantic - streams->context;
    if (!s->exact) {
        int64_t stop = next_stop(s, s->position);
        if (!finished || n_semantic > stop + s->lookahead)
            end = n_semantic >= stop + s->lookahead ? stop : 0;
    }
    int64_t ready = end > s->position ? end - s->position : 0;
    return (int32_t)(ready < max_frames ? ready : max_frames);
}

/* ------------------------------------------------------------------ a call */

/* Tokens that count as known to the piece: see mill_bicodec_plan_ranges. */
static int64_t known_frames(const struct stream *stream, const struct mill_bicodec_piece *piece) {
    int64_t end = piece->finished ? piece->n_semantic : INT64_MAX;
    if (stream->exact)
        return end;
    int64_t seen =
        next_stop(stream, (int64_t)stream->position + piece->n_frames - 1) + stream->lookahead;
    return seen < end ? seen : end;
}

static mill_status check_piece(const struct mill_bicodec_streams *s,
                               const struct mill_bicodec_piece *piece, struct mill_error *err) {
    if (piece->stream < 0 || piece->stream >= s->n_streams || !s->streams[piece->stream].started ||
        s->streams[piece->stream].in_call)
        return mill_fail(err, MILL_E_INPUT,
                         "decoder: stream %d of %d has not begun or is there twice", piece->stream,
                         s->n_streams);
    const struct mill_bicodec_shape *shape = &s->machine.weights->shape;
    if (piece->n_semantic > INT32_MAX / shape->hop)
        return mill_fail(err, MILL_E_INPUT, "decoder: %d frames are too long an utterance",
                         piece->n_semantic);
    int32_t ready =
        mill_bicodec_stream_ready(s, piece->stream, piece->n_semantic, piece->finished, INT32_MAX);
    if (piece->n_frames < 1 || piece->n_frames > ready)
        return mill_fail(err, MILL_E_INPUT,
                         "decoder: stream %d: %d frames from frame %d, where %d are ready",
                         piece->stream, piece->n_frames, s->streams[piece->stream].position, ready);
    return MILL_OK;
}

/* Whether the pieces can be run together; marks their streams. */
static mill_status check_pieces(struct mill_bicodec_streams *s,
                                const struct mill_bicodec_piece *pieces, int32_t n,
                                struct mill_error *err) {
    int64_t n_frames = 0;
    if (n < 1 || n > s->machine.sizes.max_pieces)
        return mill_fail(err, MILL_E_INPUT, "decoder: %d pieces in a call; there is room for %d", n,
                         s->machine.sizes.max_pieces);
    for (int32_t p = 0; p < n; p++) {
        MILL_TRY(check_piece(s, &pieces[p], err));
        s->streams[pieces[p].stream].in_call = true;
        n_frames += pieces[p].n_frames;
    }
    if (n_frames > s->machine.sizes.max_frames)
        return mill_fail(err, MILL_E_INPUT, "decoder: %lld frames in a call; there is room for %d",
                         (long long)n_frames, s->machine.sizes.max_frames);
    return MILL_OK;
}

/* Plan pieces on copies of their streams' rows. */
static mill_status plan_pieces(struct mill_bicodec_streams *s,
                               const struct mill_bicodec_piece *pieces, int32_t n,
                               struct mill_error *err) {
    const struct mill_bicodec_shape *shape = &s->machine.weights->shape;
    size_t n_rows = (size_t)s->machine.n_layers + 1;
    for (int32_t p = 0; p < n; p++) {
        const struct mill_bicodec_piece *piece = &pieces[p];
        const struct stream *stream = &s->streams[piece->stream];
        struct mill_bicodec_rows *rows = s->planned + (size_t)p * n_rows;
        memcpy(rows, rows_of(s, piece->stream), n_rows * sizeof *rows);
        mill_bicodec_plan_advance(shape, (int64_t)stream->position + piece->n_frames,
                                  known_frames(stream, piece), s->machine.scratch, rows);
        MILL_TRY(mill_bicodec_check_tokens(shape, piece->semantic, rows, err));
        s->running[p] = (struct mill_bicodec_run_piece){.rows = rows,
                                                        .semantic = piece->semantic,
                                                        .state = piece->stream,
                                                        .voice = piece->stream,
                                                        .wave = piece->wave};
    }
    return MILL_OK;
}

/* The streams go on behind their pieces; where that failed, their kept rows may be half new. */
static void advance(struct mill_bicodec_streams *s, bool good) {
    size_t n_rows = (size_t)s->machine.n_layers + 1;
    for (int32_t p = 0; p < s->n_launched; p++) {
        const struct mill_bicodec_piece *piece = &s->launched[p];
        memcpy(rows_of(s, piece->stream), s->running[p].rows, n_rows * sizeof *s->rows);
        s->streams[piece->stream].position += piece->n_frames;
        s->streams[piece->stream].started = good;
    }
}

mill_status mill_bicodec_streams_launch(struct mill_bicodec_streams *streams,
                                        struct mill_bicodec_piece *pieces, int32_t n_pieces,
                                        struct mill_error *err) {
    struct mill_bicodec_streams *s = streams;
    const struct mill_bicodec_machine *m = &s->machine;
    mill_status status = check_pieces(s, pieces, n_pieces, err);
    for (int32_t i = 0; i < s->n_streams; i++)
        s->streams[i].in_call = false;
    MILL_TRY(status);
    MILL_TRY(plan_pieces(s, pieces, n_pieces, err));
    const struct mill_bicodec_run_request request = {
        .pieces = s->running, .n_pieces = n_pieces, .voices = s->voices};
    s->launched = pieces;
    s->n_launched = n_pieces;
    status = mill_bicodec_run(&s->machine, &request);
    if (status == MILL_OK)
        status = m->ops->event_record(m->backend, s->done);
    advance(s, status == MILL_OK);
    return status < 0 ? fail(s, status, err) : MILL_OK;
}

static bool is_finite(const float *wave, int64_t n) {
    bool finite = true;
    for (int64_t i = 0; i < n; i++)
        finite &= isfinite(wave[i]) != 0;
    return finite;
}

mill_status mill_bicodec_streams_collect(struct mill_bicodec_streams *streams,
                                         struct mill_error *err) {
    struct mill_bicodec_streams *s = streams;
    mill_status status = s->machine.ops->event_wait(s->machine.backend, s->done);
    for (int32_t p = 0; p < s->n_launched; p++) {
        struct mill_bicodec_piece *piece = &s->launched[p];
        if (status < 0)
            s->streams[piece->stream].started = false;
        else
            piece->finite =
                is_finite(piece->wave, (int64_t)piece->n_frames * s->machine.weights->shape.hop);
    }
    if (status < 0)
        return fail(s, status, err);
    s->n_launched = 0;
    return MILL_OK;
}

mill_status mill_bicodec_streams_decode(struct mill_bicodec_streams *streams,
                                        struct mill_bicodec_piece *pieces, int32_t n_pieces,
                                        struct mill_error *err) {
    MILL_TRY(mill_bicodec_streams_launch(streams, pieces, n_pieces, err));
    return mill_bicodec_streams_collect(streams, err);
}
