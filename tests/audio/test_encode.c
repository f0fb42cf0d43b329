/* test_encode.c - sound through every encoder and back through libav's decoders: what comes out is
 * what went in, however it was cut, into a file and into a stream. */
#include "runtime/audio/encode.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { RATE = 16000, N = 37003, MAX_BYTES = 1 << 20 };

/* Where bytes go: fails at its n-th write. */
struct memory {
    uint8_t *bytes;
    size_t size;
    int n_writes, fails_at;
};

static mill_status memory_write(void *context, uint64_t offset, const void *data, size_t size,
                                struct mill_error *err) {
    struct memory *m = context;
    if (++m->n_writes == m->fails_at)
        return mill_fail(err, MILL_E_IO, "the disk is full");
    assert_true(offset <= m->size && offset + size <= MAX_BYTES);
    memcpy(m->bytes + offset, data, size);
    if (offset + size > m->size)
        m->size = (size_t)offset + size;
    return MILL_OK;
}

/* Offsets must go up. */
static mill_status memory_append(void *context, uint64_t offset, const void *data, size_t size,
                                 struct mill_error *err) {
    assert_int_equal(offset, ((struct memory *)context)->size);
    return memory_write(context, offset, data, size, err);
}

static struct memory memory_new(void) {
    struct memory m = {.bytes = malloc(MAX_BYTES)};
    assert_non_null(m.bytes);
    return m;
}

static struct mill_audio_sink sink_of(struct memory *m, bool can_seek) {
    return (struct mill_audio_sink){
        .write = can_seek ? memory_write : memory_append, .context = m, .can_seek = can_seek};
}

/* Like a voice: harmonics of a gliding pitch under syllables. */
static float *make_samples(void) {
    float *x = malloc(N * sizeof *x);
    assert_non_null(x);
    double phase = 0;
    for (int i = 0; i < N; i++) {
        double t = (double)i / RATE;
        phase += 2 * M_PI * (120 + 20 * sin(2 * t)) / RATE;
        double sum = 0;
        for (int k = 1; k <= 12; k++)
            sum += sin(k * phase) / k;
        x[i] = (float)(0.3 * sum * fabs(sin(M_PI * 3 * t)));
    }
    return x;
}

static void encode(struct memory *m, const struct mill_audio_encoding *encoding, bool can_seek,
                   const float *x, size_t n, size_t piece) {
    struct mill_audio_encoder *e;
    struct mill_error err = {""};
    const struct mill_audio_sink sink = sink_of(m, can_seek);
    if (mill_audio_encoder_open(&e, encoding, &sink, &err) != MILL_OK)
        fail_msg("%s", err.text);
    for (size_t at = 0; at < n; at += piece)
        assert_int_equal(mill_audio_encoder_write(e, x + at, piece < n - at ? piece : n - at, &err),
                         MILL_OK);
    if (mill_audio_encoder_finish(e, &err) != MILL_OK)
        fail_msg("%s", err.text);
    mill_audio_encoder_close(e);
}

/* ------------------------------------------------------------------ reading it again */

static float sample_of(const AVFrame *frame, int i) {
    switch (frame->format) {
    case AV_SAMPLE_FMT_FLT:
    case AV_SAMPLE_FMT_FLTP:
        return ((const float *)(const void *)frame->data[0])[i];
    case AV_SAMPLE_FMT_S16:
    case AV_SAMPLE_FMT_S16P:
        return (float)((const int16_t *)(const void *)frame->data[0])[i] / 32768;
    case AV_SAMPLE_FMT_S32:
    case AV_SAMPLE_FMT_S32P:
        return (float)((const int32_t *)(const void *)frame->data[0])[i] / 2147483648.0f;
    default:
        fail_msg("sample format %d", frame->format);
        return 0;
    }
}

static size_t take_frames(AVCodecContext *codec, AVFrame *frame, float *out, size_t n) {
    while (avcodec_receive_frame(codec, frame) == 0)
        for (int i = 0; i < frame->nb_samples; i++) {
            assert_true(n < 4 * N);
            out[n++] = sample_of(frame, i);
        }
    return n;
}

/* Samples of the sound in `m`, at most 4 * N into `out`. */
static size_t decode(const struct memory *m, int *rate, float *out) {
    char path[] = MILL_SCRATCH "/encoded-XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "wb");
    assert_int_equal(fwrite(m->bytes, 1, m->size, file), m->size);
    fclose(file);
    AVFormatContext *format = NULL;
    assert_int_equal(avformat_open_input(&format, path, NULL, NULL), 0);
    assert_true(avformat_find_stream_info(format, NULL) >= 0);
    assert_int_equal(format->nb_streams, 1);
    const AVCodecParameters *parameters = format->streams[0]->codecpar;
    AVCodecContext *codec = avcodec_alloc_context3(avcodec_find_decoder(parameters->codec_id));
    assert_int_equal(avcodec_parameters_to_context(codec, parameters), 0);
    codec->pkt_timebase = format->streams[0]->time_base;
    assert_int_equal(avcodec_open2(codec, NULL, NULL), 0);
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    size_t n = 0;
    while (av_read_frame(format, packet) == 0) {
        assert_int_equal(avcodec_send_packet(codec, packet), 0);
        n = take_frames(codec, frame, out, n);
        av_packet_unref(packet);
    }
    avcodec_send_packet(codec, NULL);
    n = take_frames(codec, frame, out, n);
    *rate = codec->sample_rate;
    av_packet_free(&packet);
    av_frame_free(&frame);
    avcodec_free_context(&codec);
    avformat_close_input(&format);
    unlink(path);
    return n;
}

/* Correlation of the samples with what was heard `lag` samples later. */
static double correlation(const float *x, const float *y, size_t n_y, size_t lag) {
    double xx = 0, yy = 0, xy = 0;
    for (size_t i = 0; i < N && i + lag < n_y; i++) {
        double a = (double)x[i], b = (double)y[i + lag];
        xx += a * a, yy += b * b, xy += a * b;
    }
    return xy / sqrt(xx * yy + 1e-30);
}

/* The lag at which it is the same sound, and how much the same. */
static double find_lag(const float *x, const float *y, size_t n_y, size_t *lag) {
    double best = -1;
    for (size_t i = 0; i < 4000; i++) {
        double c = correlation(x, y, n_y, i);
        if (c > best) {
            best = c;
            *lag = i;
        }
    }
    return best;
}

/* ------------------------------------------------------------------ tests */

static const struct {
    enum mill_audio_format format;
    bool file, stream, gapless; /* gapless: a file's sound begins where it began */
    double least;               /* correlation */
} cases[] = {
    {MILL_AUDIO_WAV16, true, true, true, 0.99999},
    {MILL_AUDIO_WAV24, true, true, true, 0.9999999},
    {MILL_AUDIO_WAV_FLOAT, true, true, true, 0.9999999},
    {MILL_AUDIO_FLAC, true, true, true, 0.99999},
    {MILL_AUDIO_MP3, true, true, true, 0.99},
    {MILL_AUDIO_AAC, true, true, false, 0.99},
    {MILL_AUDIO_M4A, true, false, true, 0.99},
};

static void test_round_trips(void **state) {
    (void)state;
    float *x = make_samples(), *y = malloc(4 * N * sizeof *y);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int can_seek = 0; can_seek < 2; can_seek++) {
            if (!(can_seek ? cases[i].file : cases[i].stream))
                continue;
            struct memory m = memory_new();
            const struct mill_audio_encoding encoding = {.format = cases[i].format,
                                                         .sample_rate = RATE};
            encode(&m, &encoding, can_seek, x, N, 777);
            int rate;
            size_t lag = 0, n = decode(&m, &rate, y);
            double same = find_lag(x, y, n, &lag);
            assert_int_equal(rate, RATE);
            if (same < cases[i].least || n < N + lag || (can_seek && cases[i].gapless && lag > 0))
                fail_msg("%s, %s: %zu samples, %zu late, correlation %.6f",
                         mill_audio_format_ending(cases[i].format), can_seek ? "file" : "stream", n,
                         lag, same);
            free(m.bytes);
        }
    free(x);
    free(y);
}

/* Opus is always decoded to 48 kHz: it is compared through a resampler, that of the encoder. */
static void test_opus(void **state) {
    (void)state;
    float *x = make_samples(), *y = malloc(4 * N * sizeof *y), *z = malloc(4 * N * sizeof *z);
    struct memory m = memory_new(), down = memory_new();
    const struct mill_audio_encoding encoding = {.format = MILL_AUDIO_OPUS, .sample_rate = RATE};
    encode(&m, &encoding, false, x, N, 777);
    int rate;
    size_t lag = 0, n = decode(&m, &rate, y);
    assert_int_equal(rate, 48000);
    const struct mill_audio_encoding back = {
        .format = MILL_AUDIO_WAV_FLOAT, .sample_rate = 48000, .output_rate = RATE};
    encode(&down, &back, true, y, n, 1000);
    n = decode(&down, &rate, z);
    assert_int_equal(rate, RATE);
    double same = find_lag(x, z, n, &lag);
    if (same < 0.98 || lag > 16 || n < N)
        fail_msg("%zu samples, %zu late, correlation %.6f", n, lag, same);
    free(m.bytes), free(down.bytes), free(x), free(y), free(z);
}

static void test_cuts_do_not_matter(void **state) {
    (void)state;
    float *x = make_samples();
    static const size_t pieces[] = {N, 1, 4097};
    for (int format = 0; format < MILL_AUDIO_FORMAT_COUNT; format++)
        for (int resampled = 0; resampled < 2; resampled++) {
            struct memory first = memory_new(), m = memory_new();
            const struct mill_audio_encoding encoding = {.format = (enum mill_audio_format)format,
                                                         .sample_rate = RATE,
                                                         .output_rate = resampled ? 24000 : 0};
            encode(&first, &encoding, true, x, N, pieces[0]);
            for (size_t i = 1; i < sizeof pieces / sizeof *pieces; i++) {
                m.size = 0;
                encode(&m, &encoding, true, x, N, pieces[i]);
                assert_int_equal(m.size, first.size);
                assert_memory_equal(m.bytes, first.bytes, m.size);
            }
            free(first.bytes), free(m.bytes);
        }
    free(x);
}

/* Of a second of sound, four fifths can be heard before the next one comes. */
static void test_bytes_leave_as_they_are_made(void **state) {
    (void)state;
    float *x = make_samples(), *y = malloc(4 * N * sizeof *y);
    for (int format = 0; format < MILL_AUDIO_FORMAT_COUNT; format++) {
        struct memory m = memory_new();
        const struct mill_audio_sink sink = sink_of(&m, false);
        const struct mill_audio_encoding encoding = {.format = (enum mill_audio_format)format,
                                                     .sample_rate = RATE};
        struct mill_audio_encoder *e;
        struct mill_error err;
        if (format == MILL_AUDIO_M4A) {
            assert_int_equal(mill_audio_encoder_open(&e, &encoding, &sink, &err), MILL_E_INPUT);
            assert_non_null(strstr(err.text, "aac"));
            free(m.bytes);
            continue;
        }
        assert_int_equal(mill_audio_encoder_open(&e, &encoding, &sink, NULL), MILL_OK);
        assert_int_equal(mill_audio_encoder_write(e, x, RATE, NULL), MILL_OK);
        int rate = RATE;
        size_t n = format == MILL_AUDIO_PCM ? m.size / 2 : decode(&m, &rate, y);
        if (5 * n < 4 * (size_t)rate)
            fail_msg("format %d: only %zu samples of %d", format, n, rate);
        mill_audio_encoder_close(e);
        free(m.bytes);
    }
    free(x), free(y);
}

static void test_comment(void **state) {
    (void)state;
    float *x = make_samples();
    for (int i = 0; i < 2 * MILL_AUDIO_FORMAT_COUNT; i++) {
        struct memory m = memory_new();
        const struct mill_audio_encoding encoding = {.format = (enum mill_audio_format)(i / 2),
                                                     .sample_rate = RATE,
                                                     .comment = MILL_DISCLOSURE};
        if (i / 2 != MILL_AUDIO_M4A || i % 2) {
            encode(&m, &encoding, i % 2, x, 5000, 5000);
            bool found = memmem(m.bytes, m.size, MILL_DISCLOSURE, strlen(MILL_DISCLOSURE)) != NULL;
            if (found != (i / 2 != MILL_AUDIO_PCM))
                fail_msg("format %d, %s: %s", i / 2, i % 2 ? "file" : "stream",
                         found ? "a comment" : "no comment");
        }
        free(m.bytes);
    }
    free(x);
}

static void test_a_failing_sink(void **state) {
    (void)state;
    float *x = make_samples();
    for (int format = 0; format < MILL_AUDIO_FORMAT_COUNT; format++)
        for (int fails_at = 1;; fails_at++) {
            struct memory m = memory_new();
            m.fails_at = fails_at;
            const struct mill_audio_sink sink = sink_of(&m, true);
            const struct mill_audio_encoding encoding = {.format = (enum mill_audio_format)format,
                                                         .sample_rate = RATE};
            struct mill_audio_encoder *e;
            struct mill_error err = {""};
            mill_status status = mill_audio_encoder_open(&e, &encoding, &sink, &err);
            if (status == MILL_OK)
                status = mill_audio_encoder_write(e, x, N, &err);
            if (status == MILL_OK)
                status = mill_audio_encoder_finish(e, &err);
            bool failed = m.n_writes >= fails_at;
            assert_int_equal(status, failed ? MILL_E_IO : MILL_OK);
            assert_string_equal(err.text, failed ? "the disk is full" : "");
            mill_audio_encoder_close(e);
            free(m.bytes);
            if (!failed)
                break;
        }
    free(x);
}

static void test_what_is_refused(void **state) {
    (void)state;
    struct memory m = memory_new();
    const struct mill_audio_sink sink = sink_of(&m, true);
    static const struct mill_audio_encoding bad[] = {
        {.format = MILL_AUDIO_WAV16, .sample_rate = 0},
        {.format = MILL_AUDIO_WAV16, .sample_rate = 400000},
        {.format = MILL_AUDIO_OPUS, .sample_rate = RATE, .output_rate = 44100},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct mill_audio_encoder *e;
        struct mill_error err = {""};
        assert_int_equal(mill_audio_encoder_open(&e, &bad[i], &sink, &err), MILL_E_INPUT);
        assert_null(e);
        assert_true(err.text[0] != '\0');
    }
    mill_audio_encoder_close(NULL);
    free(m.bytes);
}

/* What opus does not have becomes what it has; what mp3 is asked for, it gets. */
static void test_rates(void **state) {
    (void)state;
    float *x = make_samples(), *y = malloc(4 * N * sizeof *y);
    struct memory m = memory_new();
    int rate;
    encode(&m, &(struct mill_audio_encoding){.format = MILL_AUDIO_OPUS, .sample_rate = 22050}, true,
           x, 5000, 5000);
    decode(&m, &rate, y);
    m.size = 0;
    encode(&m,
           &(struct mill_audio_encoding){
               .format = MILL_AUDIO_MP3, .sample_rate = RATE, .output_rate = 44100},
           true, x, RATE, RATE);
    decode(&m, &rate, y);
    assert_int_equal(rate, 44100);
    assert_in_range(m.size, 8000, 9000);
    free(m.bytes), free(x), free(y);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_opus),
        cmocka_unit_test(test_cuts_do_not_matter),
        cmocka_unit_test(test_bytes_leave_as_they_are_made),
        cmocka_unit_test(test_comment),
        cmocka_unit_test(test_a_failing_sink),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_rates),
    };
    av_log_set_level(AV_LOG_QUIET); /* about streams without lengths */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
