/* test_bicodec_stream.c - streams equal the offline decoder to the last bit: at any cut, in any
 * company, with the end unknown; and compute every row once. */
#include "runtime/base/memory.h"
#include "runtime/model/bicodec_plan.h"
#include "runtime/model/bicodec_stream.h"
#include "runtime/model/synth_shape.h"
#include "tests/model/decoder_fixture.h"
#include "tests/support/fail_alloc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_LAYERS = 64, MAX_FRAMES = 90, N_UTTERANCES = 6, N_STREAMS = 4, MAX_PIECES = 3 };

/* ------------------------------------------------------------------ the plan */

/* What the pieces' rows must be, whatever the cut. */
static void check_piece_rows(const struct mill_bicodec_shape *shape, int64_t n_frames,
                             const struct mill_bicodec_rows *before,
                             const struct mill_bicodec_rows *rows) {
    int32_t n = mill_bicodec_n_layers(shape);
    for (int32_t k = 0; k <= n; k++) {
        assert_int_equal(rows[k].fresh, before[k].end);
        assert_true(rows[k].end >= rows[k].fresh && rows[k].keep <= rows[k].end);
        assert_int_equal(rows[k].kept, before[k].keep);
        if (k == n || rows[k + 1].end == rows[k + 1].fresh)
            continue;
        struct mill_bicodec_layer layer = mill_bicodec_layer_at(shape, k);
        struct mill_range in = mill_bicodec_layer_input(
            &layer, (struct mill_range){rows[k + 1].fresh, rows[k + 1].end});
        int64_t last = n_frames * (layer.rows_per_frame / layer.stride);
        assert_true(rows[k].kept <= (in.first < 0 ? 0 : in.first));
        assert_true(rows[k].end >= (in.end > last ? last : in.end));
        assert_true(rows[k].end - rows[k].keep <= mill_bicodec_layer_keeps(&layer));
    }
}

static void check_rows_once(const struct mill_bicodec_shape *shape, int32_t n_frames,
                            uint64_t *counter) {
    struct mill_bicodec_rows rows[MAX_LAYERS + 1], before[MAX_LAYERS + 1];
    struct mill_range scratch[MAX_LAYERS + 1], whole[MAX_LAYERS + 1];
    int32_t n = mill_bicodec_n_layers(shape), context = mill_bicodec_context(shape);
    int64_t n_rows[MAX_LAYERS + 1] = {0};
    assert_true(n <= MAX_LAYERS);
    mill_bicodec_plan_begin(shape, 0, rows);
    for (int32_t at = 0; at < n_frames;) {
        at += 1 + random_below(counter, 30);
        bool finished = at + context > n_frames;
        at = at < n_frames ? at : n_frames;
        memcpy(before, rows, sizeof rows);
        mill_bicodec_plan_advance(shape, at, finished ? n_frames : INT64_MAX, scratch, rows);
        check_piece_rows(shape, finished ? n_frames : INT64_MAX / 1024, before, rows);
        for (int32_t k = 0; k <= n; k++)
            n_rows[k] += rows[k].end - rows[k].fresh;
    }
    mill_bicodec_plan_ranges(shape, 0, n_frames, n_frames, whole);
    for (int32_t k = 0; k <= n; k++) {
        assert_int_equal(rows[k].end, whole[k].end);
        assert_int_equal(n_rows[k], whole[k].end - whole[k].first);
    }
}

static void test_every_row_once(void **state) {
    (void)state;
    struct mill_shape published;
    mill_synth_shape(&published, MILL_SYNTH_FULL);
    uint64_t counter = 0;
    for (int i = 0; i < 50; i++) {
        check_rows_once(&published.bicodec, 1 + random_below(&counter, 500), &counter);
        check_rows_once(&decoder_small, 1 + random_below(&counter, 200), &counter);
        check_rows_once(&decoder_other, 1 + random_below(&counter, 200), &counter);
    }
}

static void test_state_is_small(void **state) {
    (void)state;
    struct mill_shape published;
    mill_synth_shape(&published, MILL_SYNTH_FULL);
    size_t bytes = 0;
    for (int32_t k = 0; k < mill_bicodec_n_layers(&published.bicodec); k++) {
        struct mill_bicodec_layer layer = mill_bicodec_layer_at(&published.bicodec, k);
        bytes += (size_t)mill_bicodec_layer_keeps(&layer) * (size_t)layer.columns * sizeof(float);
    }
    print_message("kept rows of a stream: %zu bytes\n", bytes);
    assert_true(bytes < 1000000);
}

/* ------------------------------------------------------------------ many utterances */

struct utterance {
    int32_t global[8], tokens[MAX_FRAMES], n_frames;
    int32_t n_known, stream; /* said so far; where it is, -1 = nowhere */
    int32_t position;
    bool finished;
    float *whole, *heard; /* by the offline decoder, by streams */
};

struct crowd {
    struct model *model;
    struct mill_bicodec_streams *streams;
    struct utterance utterances[N_UTTERANCES];
    float *waves; /* of a call's pieces, some one behind the other and some apart */
    uint64_t counter;
};

static struct mill_bicodec_streams *open_streams(struct model *model, int32_t max_frames) {
    struct mill_error err = {0};
    struct mill_bicodec_streams *streams;
    const struct mill_bicodec_streams_options options = {
        .n_streams = N_STREAMS, .max_pieces = MAX_PIECES, .max_frames = max_frames};
    if (mill_bicodec_streams_open(&streams, &model->ops, model->backend, &model->weights, &options,
                                  &err))
        fail_msg("%s", err.text);
    return streams;
}

static void decode_whole(struct model *model, const int32_t *global, const int32_t *tokens,
                         int32_t n, float *wave) {
    struct mill_error err = {0};
    struct mill_bicodec_voice *voice;
    assert_int_equal(mill_bicodec_voice_open(&voice, model->decoder, global, &err), MILL_OK);
    const struct mill_bicodec_window window = {.voice = voice,
                                               .semantic = tokens,
                                               .n_semantic = n,
                                               .finished = true,
                                               .end = n,
                                               .wave = wave};
    if (mill_bicodec_decode(model->decoder, &window, &err))
        fail_msg("%s", err.text);
    mill_bicodec_voice_close(voice);
}

static void crowd_open(struct crowd *crowd, const char *backend,
                       const struct mill_bicodec_shape *shape, enum mill_dtype dtype) {
    *crowd = (struct crowd){.model = model_open(backend, shape, dtype, MAX_FRAMES)};
    crowd->streams = open_streams(crowd->model, 2 * MAX_FRAMES);
    crowd->waves =
        mill_alloc_array((size_t)(2 * MAX_FRAMES * shape->hop + MAX_PIECES), sizeof *crowd->waves);
    for (int i = 0; i < N_UTTERANCES; i++) {
        struct utterance *u = &crowd->utterances[i];
        for (int k = 0; k < 8; k++)
            u->global[k] = random_below(&crowd->counter, 14);
        u->n_frames = i == 0 ? MAX_FRAMES : 1 + random_below(&crowd->counter, MAX_FRAMES);
        model_random_tokens(crowd->model, u->tokens, u->n_frames, 1000 * (uint64_t)i);
        size_t n = (size_t)u->n_frames * (size_t)shape->hop;
        u->whole = mill_alloc_array(n, sizeof *u->whole);
        u->heard = mill_alloc_array(n, sizeof *u->heard);
        decode_whole(crowd->model, u->global, u->tokens, u->n_frames, u->whole);
    }
}

static void crowd_close(struct crowd *crowd) {
    for (int i = 0; i < N_UTTERANCES; i++) {
        free(crowd->utterances[i].whole);
        free(crowd->utterances[i].heard);
    }
    free(crowd->waves);
    mill_bicodec_streams_close(crowd->streams);
    model_close(crowd->model);
}

static void begin(struct crowd *crowd, struct utterance *u, int32_t stream,
                  const struct mill_bicodec_stream_start *like) {
    struct mill_error err = {0};
    struct mill_bicodec_stream_start start = *like;
    start.global = u->global;
    if (mill_bicodec_stream_start(crowd->streams, stream, &start, &err))
        fail_msg("%s", err.text);
    u->stream = stream;
    u->position = start.first_frame;
    u->n_known = start.exact ? start.first_frame : 0;
    u->finished = false;
}

/* One call with pieces of random size of some of the utterances that have a stream, each of which
 * came to know some more tokens meanwhile. Tokens not known yet are no codewords. */
static void call(struct crowd *crowd) {
    struct mill_bicodec_piece pieces[MAX_PIECES];
    struct utterance *whose[MAX_PIECES];
    int32_t known[MAX_PIECES][MAX_FRAMES], n = 0, hop = crowd->model->weights.shape.hop;
    float *wave = crowd->waves;
    for (int i = 0; i < N_UTTERANCES && n < MAX_PIECES; i++) {
        struct utterance *u = &crowd->utterances[i];
        if (u->stream < 0 || random_below(&crowd->counter, 3) == 0)
            continue;
        int32_t more = 1 + random_below(&crowd->counter, 40), left = u->n_frames - u->n_known;
        /* That the last token was the last becomes known with it or later. */
        u->finished = left == 0 || (more >= left && random_below(&crowd->counter, 2));
        u->n_known += more < left ? more : left;
        int32_t ready =
            mill_bicodec_stream_ready(crowd->streams, u->stream, u->n_known, u->finished, 1 + more);
        if (ready == 0)
            continue;
        memset(known[n], 0xff, sizeof known[n]);
        memcpy(known[n], u->tokens, (size_t)u->n_known * sizeof *u->tokens);
        pieces[n] =
            (struct mill_bicodec_piece){.stream = u->stream,
                                        .semantic = known[n],
                                        .n_semantic = u->n_known,
                                        .finished = u->finished,
                                        .n_frames = 1 + random_below(&crowd->counter, ready),
                                        .wave = wave};
        wave += pieces[n].n_frames * hop + random_below(&crowd->counter, 2);
        whose[n++] = u;
    }
    if (n == 0)
        return;
    struct mill_error err = {0};
    int before = n_device_allocations;
    mill_fail_alloc_at(0); /* counts from here */
    mill_status status = mill_bicodec_streams_decode(crowd->streams, pieces, n, &err);
    long n_host = mill_fail_alloc_count();
    if (status)
        fail_msg("%s", err.text);
    assert_int_equal(n_device_allocations, before);
    if (mill_fail_alloc_works())
        assert_int_equal(n_host, 0);
    for (int p = 0; p < n; p++) {
        struct utterance *u = whose[p];
        assert_true(pieces[p].finite);
        memcpy(u->heard + u->position * hop, pieces[p].wave,
               (size_t)(pieces[p].n_frames * hop) * sizeof *u->heard);
        u->position += pieces[p].n_frames;
    }
}

/* Speak all utterances, each from a random moment on, in whatever stream is free; where `again` is
 * set, some are interrupted and taken up elsewhere at the frame where they stood. */
static void speak_all(struct crowd *crowd, const struct mill_bicodec_stream_start *start,
                      bool again) {
    struct utterance *in_stream[N_STREAMS] = {0};
    int next = 0, hop = crowd->model->weights.shape.hop;
    for (int i = 0; i < N_UTTERANCES; i++) {
        struct utterance *u = &crowd->utterances[i];
        u->stream = -1;
        memset(u->heard, 0, (size_t)(u->n_frames * hop) * sizeof *u->heard);
    }
    for (int n_done = 0; n_done < N_UTTERANCES;) {
        int32_t stream = random_below(&crowd->counter, N_STREAMS);
        struct utterance *u = in_stream[stream];
        if (!u && next < N_UTTERANCES) {
            in_stream[stream] = u = &crowd->utterances[next++];
            begin(crowd, u, stream, start);
        } else if (u && u->position == u->n_frames) {
            u->stream = -1;
            in_stream[stream] = NULL;
            n_done++;
        } else if (u && again && random_below(&crowd->counter, 4) == 0) {
            struct mill_bicodec_stream_start resume = *start;
            resume.first_frame = u->position;
            begin(crowd, u, stream, &resume);
        }
        call(crowd);
    }
}

static void assert_heard(const struct crowd *crowd, const float *const *expected) {
    int32_t hop = crowd->model->weights.shape.hop;
    for (int i = 0; i < N_UTTERANCES; i++) {
        const struct utterance *u = &crowd->utterances[i];
        const float *whole = expected ? expected[i] : u->whole;
        for (int32_t s = 0; s < u->n_frames * hop; s++)
            if (memcmp(&whole[s], &u->heard[s], sizeof(float)) != 0)
                fail_msg("utterance %d of %d frames, sample %d (frame %d): %a and %a", i,
                         u->n_frames, s, s / hop, (double)whole[s], (double)u->heard[s]);
    }
}

static void check_crowd(const char *backend, const struct mill_bicodec_shape *shape,
                        enum mill_dtype dtype, int n_times) {
    struct crowd crowd;
    const struct mill_bicodec_stream_start exact = {.exact = true};
    crowd_open(&crowd, backend, shape, dtype);
    for (int i = 0; i < n_times; i++) {
        speak_all(&crowd, &exact, i % 2);
        assert_heard(&crowd, NULL);
    }
    crowd_close(&crowd);
}

static void test_streams_reference(void **state) {
    (void)state;
    check_crowd("reference", &decoder_small, MILL_F32, 2);
    check_crowd("reference", &decoder_other, MILL_BF16, 6);
}

static void test_streams_cpu(void **state) {
    (void)state;
    check_crowd("cpu", &decoder_small, MILL_F32, 8);
    check_crowd("cpu", &decoder_small, MILL_BF16, 8);
    check_crowd("cpu", &decoder_other, MILL_F32, 8);
    check_crowd("cpu", &decoder_other, MILL_BF16, 8);
}

/* ------------------------------------------------------------------ less look-ahead */

static float *heard_copy(const struct crowd *crowd, int i) {
    const struct utterance *u = &crowd->utterances[i];
    size_t n = (size_t)u->n_frames * (size_t)crowd->model->weights.shape.hop;
    float *copy = mill_alloc_array(n, sizeof *copy);
    memcpy(copy, u->heard, n * sizeof *copy);
    return copy;
}

/* The sound does not depend on cuts or company, and its first step is that of an utterance which
 * ends `lookahead` frames later. */
static void check_lookahead(struct crowd *crowd, int32_t lookahead, int32_t step) {
    const struct mill_bicodec_stream_start start = {.lookahead = lookahead, .step = step};
    int32_t hop = crowd->model->weights.shape.hop;
    float *expected[N_UTTERANCES], *beginning;
    speak_all(crowd, &start, false);
    for (int i = 0; i < N_UTTERANCES; i++)
        expected[i] = heard_copy(crowd, i);
    for (int i = 0; i < 3; i++) {
        speak_all(crowd, &start, false);
        assert_heard(crowd, (const float *const *)expected);
    }
    const struct utterance *u = &crowd->utterances[0];
    beginning = heard_copy(crowd, 0);
    decode_whole(crowd->model, u->global, u->tokens, step + lookahead, beginning);
    assert_memory_equal(beginning, u->heard, (size_t)(step * hop) * sizeof *beginning);
    assert_memory_not_equal(u->whole, u->heard, (size_t)(u->n_frames * hop) * sizeof *u->whole);
    free(beginning);
    for (int i = 0; i < N_UTTERANCES; i++)
        free(expected[i]);
}

static void test_lookahead(void **state) {
    (void)state;
    struct crowd crowd;
    crowd_open(&crowd, "cpu", &decoder_small, MILL_F32);
    int32_t context = mill_bicodec_context(&decoder_small);
    check_lookahead(&crowd, 0, 1);
    check_lookahead(&crowd, 3, 7);
    check_lookahead(&crowd, 12, 25);
    check_lookahead(&crowd, context - 1, 10);
    const struct mill_bicodec_stream_start enough = {.lookahead = context};
    speak_all(&crowd, &enough, false);
    assert_heard(&crowd, NULL);
    assert_true(mill_bicodec_stream_is_exact(crowd.streams, 0));
    crowd_close(&crowd);
}

/* ------------------------------------------------------------------ failures */

static int calls_to_failure;
static const struct mill_backend_ops *sound_ops;

static bool is_sound(void) {
    return calls_to_failure == 0 || --calls_to_failure > 0;
}

static mill_status failing_conv1d(struct mill_backend *backend,
                                  const struct mill_conv1d_args *args) {
    return is_sound() ? sound_ops->conv1d(backend, args) : MILL_E_DEVICE;
}

static mill_status failing_copy_rows(struct mill_backend *backend,
                                     const struct mill_copy_rows_args *args) {
    return is_sound() ? sound_ops->copy_rows(backend, args) : MILL_E_DEVICE;
}

/* A backend that fails in the middle of a call: its streams must begin again, and then give the
 * right sound. */
static void test_device_failure(void **state) {
    (void)state;
    struct crowd crowd;
    struct mill_error err = {0};
    crowd_open(&crowd, "cpu", &decoder_other, MILL_F32);
    sound_ops = mill_backend_find("cpu", NULL);
    struct utterance *u = &crowd.utterances[0];
    const struct mill_bicodec_stream_start exact = {.exact = true};
    crowd.model->ops.conv1d = failing_conv1d;
    crowd.model->ops.copy_rows = failing_copy_rows;
    begin(&crowd, u, 0, &exact);
    struct mill_bicodec_piece piece = {.semantic = u->tokens,
                                       .n_semantic = u->n_frames,
                                       .finished = true,
                                       .n_frames = 10,
                                       .wave = u->heard};
    assert_int_equal(mill_bicodec_streams_decode(crowd.streams, &piece, 1, &err), MILL_OK);
    piece.wave = u->heard + 10 * decoder_other.hop;
    for (int n = 1; n < 40; n += 6) {
        calls_to_failure = n;
        assert_int_equal(mill_bicodec_streams_decode(crowd.streams, &piece, 1, &err),
                         MILL_E_DEVICE);
        assert_non_null(strstr(err.text, "cpu backend"));
        assert_int_equal(mill_bicodec_streams_decode(crowd.streams, &piece, 1, &err), MILL_E_INPUT);
        struct mill_bicodec_stream_start resume = {.exact = true, .first_frame = 10};
        begin(&crowd, u, 0, &resume);
    }
    calls_to_failure = 0;
    assert_int_equal(mill_bicodec_streams_decode(crowd.streams, &piece, 1, &err), MILL_OK);
    assert_memory_equal(u->heard, u->whole, (size_t)(20 * decoder_other.hop) * sizeof *u->heard);
    crowd_close(&crowd);
}

/* A codeword that is no number spoils the utterance that says it, and no other. */
static void test_not_finite(void **state) {
    (void)state;
    struct crowd crowd;
    struct mill_error err = {0};
    crowd_open(&crowd, "cpu", &decoder_small, MILL_F32);
    float *codebook = crowd.model->host[0];
    assert_ptr_equal(codebook, crowd.model->weights.codebook);
    codebook[7 * decoder_small.quantizer.input] = NAN;
    const struct mill_bicodec_stream_start exact = {.exact = true};
    struct mill_bicodec_piece pieces[2];
    for (int i = 0; i < 2; i++) {
        struct utterance *u = &crowd.utterances[0]; /* twice the same */
        static int32_t tokens[2][MAX_FRAMES];
        for (int t = 0; t < MAX_FRAMES; t++)
            tokens[i][t] = i == 1 && t == 5 ? 7 : t % 7;
        begin(&crowd, u, i, &exact);
        pieces[i] = (struct mill_bicodec_piece){.stream = i,
                                                .semantic = tokens[i],
                                                .n_semantic = 20,
                                                .finished = true,
                                                .n_frames = 20,
                                                .wave = i ? u->heard : u->whole};
    }
    assert_int_equal(mill_bicodec_streams_decode(crowd.streams, pieces, 2, &err), MILL_OK);
    assert_true(pieces[0].finite);
    assert_false(pieces[1].finite);
    crowd_close(&crowd);
}

/* ------------------------------------------------------------------ bad input */

static mill_status try_pieces(struct crowd *crowd, const struct mill_bicodec_piece *pieces,
                              int32_t n) {
    struct mill_error err = {0};
    struct mill_bicodec_piece copy[MAX_PIECES + 1];
    memcpy(copy, pieces, (size_t)n * sizeof *pieces);
    mill_status status = mill_bicodec_streams_decode(crowd->streams, copy, n, &err);
    assert_true((status < 0) == (err.text[0] != 0));
    return status;
}

static void test_bad_pieces(void **state) {
    (void)state;
    struct crowd crowd;
    crowd_open(&crowd, "reference", &decoder_other, MILL_F32);
    struct utterance *u = &crowd.utterances[0];
    int32_t context = mill_bicodec_context(&decoder_other), bad[MAX_FRAMES] = {0};
    float wave[2 * MAX_FRAMES * 6];
    begin(&crowd, u, 0, &(struct mill_bicodec_stream_start){.exact = true});
    begin(&crowd, u, 1, &(struct mill_bicodec_stream_start){.exact = true});
    const struct mill_bicodec_piece good = {
        .semantic = u->tokens, .n_semantic = 20, .finished = true, .n_frames = 2, .wave = wave};
    struct mill_bicodec_piece pieces[MAX_PIECES + 1] = {good, good, good, good};
    assert_int_equal(try_pieces(&crowd, pieces, 2), MILL_E_INPUT); /* the same stream */
    pieces[1].stream = 2;                                          /* not begun */
    assert_int_equal(try_pieces(&crowd, pieces, 2), MILL_E_INPUT);
    pieces[1].stream = N_STREAMS;
    assert_int_equal(try_pieces(&crowd, pieces, 2), MILL_E_INPUT);
    pieces[1].stream = 1;
    assert_int_equal(try_pieces(&crowd, pieces, 0), MILL_E_INPUT);
    assert_int_equal(try_pieces(&crowd, pieces, MAX_PIECES + 1), MILL_E_INPUT);
    pieces[1].n_frames = 21;
    assert_int_equal(try_pieces(&crowd, pieces, 2), MILL_E_INPUT);
    pieces[1].n_frames = 0;
    assert_int_equal(try_pieces(&crowd, pieces, 2), MILL_E_INPUT);
    pieces[1] = good;
    pieces[1].stream = 1;
    pieces[1].finished = false;
    pieces[1].n_semantic = context + 1;
    assert_int_equal(try_pieces(&crowd, pieces, 2), MILL_E_INPUT);
    pieces[1].n_semantic = INT32_MAX;
    assert_int_equal(try_pieces(&crowd, pieces, 2), MILL_E_INPUT);
    pieces[1].n_semantic = 20;
    pieces[1].finished = true;
    pieces[1].semantic = bad;
    bad[3] = decoder_other.quantizer.codebook_size;
    assert_int_equal(try_pieces(&crowd, pieces, 2), MILL_E_INPUT);
    bad[3] = -1;
    assert_int_equal(try_pieces(&crowd, pieces, 2), MILL_E_INPUT);
    bad[3] = 0;
    /* Nothing has changed. */
    assert_int_equal(mill_bicodec_stream_ready(crowd.streams, 0, 20, true, INT32_MAX), 20);
    assert_int_equal(try_pieces(&crowd, pieces, 2), MILL_OK);
    crowd_close(&crowd);
}

static void test_bad_starts(void **state) {
    (void)state;
    struct crowd crowd;
    struct mill_error err;
    crowd_open(&crowd, "reference", &decoder_other, MILL_F32);
    const int32_t global[] = {0, 0}, bad[] = {0, 14};
    assert_int_equal(mill_bicodec_stream_ready(crowd.streams, 0, 1000, true, 10), 0);
    const struct mill_bicodec_stream_start starts[] = {
        {.global = global, .exact = true, .first_frame = -1},
        {.global = global, .exact = true, .first_frame = INT32_MAX},
        {.global = bad, .exact = true},
        {.global = global, .lookahead = -1, .step = 1},
        {.global = global, .lookahead = 1, .step = 0},
        {.global = global, .lookahead = 1, .step = 1, .first_frame = 1}};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        err.text[0] = 0;
        assert_int_equal(mill_bicodec_stream_start(crowd.streams, 0, &starts[i], &err),
                         MILL_E_INPUT);
        assert_true(err.text[0]);
    }
    const struct mill_bicodec_streams_options options[] = {
        {0, 1, 1}, {1, 2, 2}, {2, 2, 1}, {1, 1, INT32_MAX}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        struct mill_bicodec_streams *streams;
        assert_int_equal(mill_bicodec_streams_open(&streams, &crowd.model->ops,
                                                   crowd.model->backend, &crowd.model->weights,
                                                   &options[i], &err),
                         MILL_E_INPUT);
        assert_null(streams);
    }
    crowd_close(&crowd);
}

static mill_status open_and_close(void *context, struct mill_error *err) {
    struct model *model = context;
    const struct mill_bicodec_streams_options options = {2, 2, 8};
    struct mill_bicodec_streams *streams;
    mill_status status = mill_bicodec_streams_open(&streams, &model->ops, model->backend,
                                                   &model->weights, &options, err);
    mill_bicodec_streams_close(streams);
    return status;
}

static void test_open_out_of_memory(void **state) {
    (void)state;
    if (!mill_fail_alloc_works())
        skip();
    struct model *model = model_open("cpu", &decoder_other, MILL_F32, 4);
    assert_true(mill_fail_alloc_sweep(open_and_close, model) > 10);
    model_close(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_once),    cmocka_unit_test(test_state_is_small),
        cmocka_unit_test(test_streams_reference), cmocka_unit_test(test_streams_cpu),
        cmocka_unit_test(test_lookahead),         cmocka_unit_test(test_device_failure),
        cmocka_unit_test(test_not_finite),        cmocka_unit_test(test_bad_pieces),
        cmocka_unit_test(test_bad_starts),        cmocka_unit_test(test_open_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
