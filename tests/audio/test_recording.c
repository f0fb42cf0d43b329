/* test_recording.c - recordings read through the decoding process: every format, files that are
 * broken or hostile, and a decoder that has gone over to the other side (bad_decoder.c). Behind
 * every test no process and no descriptor may be left. */
#include "runtime/audio/recording.h"
#include "runtime/base/file.h"

#include "tests/support/bad_input.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sndfile.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 48000 };

static const char folder[] = MILL_SCRATCH "/recording";
static const struct mill_recording_options with_decoder = {.decoder = MILL_DECODER};
static int n_files_open; /* before a test */

static int count_files(void) {
    int n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static int before(void **state) {
    (void)state;
    n_files_open = count_files();
    return mill_folder_make(folder, NULL) == MILL_OK ? 0 : -1;
}

static int after(void **state) {
    (void)state;
    if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD || count_files() != n_files_open) {
        print_error("a process or a descriptor was left behind\n");
        return -1;
    }
    return 0;
}

static const char *path_of(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static const char *write_file(const char *name, const void *data, size_t size) {
    const char *path = path_of(name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    return path;
}

static mill_status read_with(const char *path, const struct mill_recording_options *options,
                             struct mill_recording *r, struct mill_error *err) {
    err->text[0] = '\0';
    mill_status status = mill_recording_read(r, path, options, err);
    if (status < 0) {
        assert_null(r->memory);
        assert_null(strchr(err->text, '\n'));
        assert_non_null(strstr(err->text, "recording '"));
    }
    return status;
}

static void assert_refused_file(const char *path, const char *parts) {
    struct mill_recording r;
    struct mill_error err;
    assert_refused(read_with(path, &with_decoder, &r, &err), &err, parts);
}

/* ------------------------------------------------------------------ good files */

static float wave(int i) {
    return 0.5f * sinf(0.05f * (float)i) * (1 + sinf(0.0004f * (float)i)) / 2;
}

/* One second: channel 0 is the wave, the others are silent. */
static const char *write_sound(const char *name, int format, int rate, int channels) {
    const char *path = path_of(name);
    SF_INFO info = {.samplerate = rate, .channels = channels, .format = format};
    SNDFILE *file = sf_open(path, SFM_WRITE, &info);
    if (!file)
        fail_msg("%s: %s", name, sf_strerror(NULL));
    float *x = calloc((size_t)(N * channels), sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < N; i++)
        x[i * channels] = wave(i);
    assert_int_equal(sf_writef_float(file, x, N), N);
    sf_close(file);
    free(x);
    return path;
}

static const struct kind {
    const char *name;
    int format, rate, channels;
    enum mill_recording_format is;
    double snr_db; /* what the format must keep; 0 = lossy with a delay: compare powers only */
} kinds[] = {
    {"u8.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_U8, 48000, 1, MILL_RECORDING_WAV, 35},
    {"16.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 48000, 2, MILL_RECORDING_WAV, 80},
    {"24.wav", SF_FORMAT_WAVEX | SF_FORMAT_PCM_24, 192000, 16, MILL_RECORDING_WAV, 125},
    {"32.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_32, 384000, 1, MILL_RECORDING_WAV, 140},
    {"float.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, 4000, 1, MILL_RECORDING_WAV, 300},
    {"double.wav", SF_FORMAT_WAV | SF_FORMAT_DOUBLE, 44100, 1, MILL_RECORDING_WAV, 300},
    {"ulaw.wav", SF_FORMAT_WAV | SF_FORMAT_ULAW, 8000, 1, MILL_RECORDING_WAV, 30},
    {"16.w64", SF_FORMAT_W64 | SF_FORMAT_PCM_16, 48000, 2, MILL_RECORDING_WAV, 80},
    {"16.rf64", SF_FORMAT_RF64 | SF_FORMAT_PCM_16, 48000, 2, MILL_RECORDING_WAV, 80},
    {"big.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16 | SF_ENDIAN_BIG, 48000, 1, MILL_RECORDING_WAV, 80},
    {"16.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 44100, 2, MILL_RECORDING_FLAC, 80},
    {"24.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_24, 96000, 1, MILL_RECORDING_FLAC, 125},
    {"vorbis.ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS, 44100, 2, MILL_RECORDING_OGG, 15},
    {"opus.opus", SF_FORMAT_OGG | SF_FORMAT_OPUS, 48000, 1, MILL_RECORDING_OPUS, 15},
    {"layer3.mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 44100, 2, MILL_RECORDING_MP3, 0},
};

static void check_wave(const struct kind *kind, const struct mill_recording *r) {
    double power = 0, power_got = 0, error = 0;
    for (size_t i = 0; i < r->n_samples; i++) {
        double want = i < N ? (double)wave((int)i) : 0, got = (double)r->samples[i];
        power += want * want;
        power_got += got * got;
        error += (got - want) * (got - want);
    }
    double snr_db = 10 * log10(power / fmax(error, 1e-35));
    if (kind->snr_db > 0 && snr_db < kind->snr_db)
        fail_msg("%s: %.1f dB, not %.1f", kind->name, snr_db, kind->snr_db);
    if (fabs(power_got / power - 1) > 0.05)
        fail_msg("%s: power %g, not %g", kind->name, power_got, power);
}

/* Its bytes are the same recording as the file. */
static void check_bytes(const char *path, const struct mill_recording *file) {
    struct mill_recording r;
    struct mill_mapping bytes;
    assert_int_equal(mill_mapping_open(&bytes, path, NULL), MILL_OK);
    assert_int_equal(mill_recording_read_bytes(&r, bytes.data, bytes.size, &with_decoder, NULL),
                     MILL_OK);
    assert_int_equal(r.n_samples, file->n_samples);
    assert_memory_equal(r.samples, file->samples, r.n_samples * sizeof *r.samples);
    mill_recording_close(&r);
    mill_mapping_close(&bytes);
}

static void test_formats(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const struct kind *k = &kinds[i];
        struct mill_recording r;
        struct mill_error err;
        const char *path = write_sound(k->name, k->format, k->rate, k->channels);
        if (read_with(path, &with_decoder, &r, &err) != MILL_OK)
            fail_msg("%s: %s", k->name, err.text);
        assert_int_equal(r.sample_rate, k->rate);
        assert_int_equal(r.n_channels, k->channels);
        assert_int_equal(r.format, k->is);
        if (k->snr_db > 0)
            assert_int_equal(r.n_samples, N);
        else
            assert_in_range(r.n_samples, N, N + 4096);
        check_wave(k, &r);
        check_bytes(path, &r);
        mill_recording_close(&r);
    }
    assert_string_equal(mill_recording_format_name(MILL_RECORDING_OPUS), "opus");
}

static void *read_often(void *failed) {
    for (int i = 0; i < 10; i++) {
        struct mill_recording r;
        struct mill_error err;
        mill_status status =
            mill_recording_read(&r, MILL_GOLDEN "/audio/zh-22k.wav", &with_decoder, &err);
        if (status != MILL_OK || r.n_samples != 88200)
            *(bool *)failed = true;
        mill_recording_close(&r);
    }
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    pthread_t threads[4];
    bool failed[4] = {false};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_often, &failed[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_false(failed[i]);
    }
}

/* A program may run without standard input and output; the child's must not be mixed up. */
static void test_no_standard_files(void **state) {
    (void)state;
    struct mill_recording r;
    struct mill_error err;
    int kept[2] = {dup(0), dup(1)};
    close(0);
    close(1);
    mill_status status = read_with(MILL_GOLDEN "/audio/zh-22k.wav", &with_decoder, &r, &err);
    if (kept[0] >= 0)
        dup2(kept[0], 0);
    dup2(kept[1], 1);
    close(kept[0]);
    close(kept[1]);
    assert_int_equal(status, MILL_OK);
    mill_recording_close(&r);
}

/* ------------------------------------------------------------------ bad files */

static void test_no_sound_files(void **state) {
    (void)state;
    struct mill_recording r;
    struct mill_error err;
    assert_int_equal(read_with(path_of("missing.wav"), &with_decoder, &r, &err), MILL_E_NOT_FOUND);
    assert_refused_file(write_file("text.wav", "hello, world", 12),
                        "no sound file that can be read");
    assert_refused_file(write_file("short.wav", "RI", 2), "no sound file");
    assert_refused_file(write_file("empty.wav", "", 0), "empty; record it again");
    assert_refused_file(write_file("riff.wav", "RIFFRIFFRIFFRIFFRIFF", 20), "no sound file");
    assert_refused_file(folder, "not a regular file");
    assert_refused_file("/dev/zero", "not a regular file");
    const char *fifo = path_of("fifo");
    unlink(fifo);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_refused_file(fifo, "not a regular file");
    unlink(fifo);
    assert_refused(mill_recording_read_bytes(&r, "hello, world", 12, &with_decoder, &err), &err,
                   "recording: no sound file that can be read");
    assert_refused(mill_recording_read_bytes(&r, "", 0, &with_decoder, &err), &err,
                   "recording: empty");
    /* libsndfile would read this, but nobody needs it. */
    assert_refused_file(write_sound("x.aiff", SF_FORMAT_AIFF | SF_FORMAT_PCM_16, 16000, 1),
                        "no sound file");
}

struct wav {
    char riff[4];
    uint32_t riff_bytes;
    char wave[4], fmt[4];
    uint32_t fmt_bytes;
    uint16_t code, channels;
    uint32_t rate, bytes_per_second;
    uint16_t frame_bytes, bits;
    char data[4];
    uint32_t data_bytes;
    int16_t samples[64];
};

static struct wav good_wav(void) {
    return (struct wav){.riff = "RIFF",
                        .riff_bytes = sizeof(struct wav) - 8,
                        .wave = "WAVE",
                        .fmt = "fmt ",
                        .fmt_bytes = 16,
                        .code = 1,
                        .channels = 1,
                        .rate = 16000,
                        .bytes_per_second = 32000,
                        .frame_bytes = 2,
                        .bits = 16,
                        .data = "data",
                        .data_bytes = sizeof good_wav().samples};
}

static void test_wav_headers(void **state) {
    (void)state;
    struct mill_recording r;
    struct mill_error err;
    struct wav w = good_wav();
    assert_int_equal(read_with(write_file("w.wav", &w, sizeof w), &with_decoder, &r, &err), 0);
    assert_int_equal(r.n_samples, 64);
    mill_recording_close(&r);

    static const uint32_t bad_rates[] = {0, 1, 3999, 384001, 655350, 0x7fffffff, 0xffffffff};
    for (size_t i = 0; i < sizeof bad_rates / sizeof *bad_rates; i++) {
        w = good_wav();
        w.rate = bad_rates[i];
        assert_refused_file(write_file("w.wav", &w, sizeof w), "w.wav");
    }
    static const uint16_t bad_channels[] = {0, 17, 1000, 65535};
    for (size_t i = 0; i < sizeof bad_channels / sizeof *bad_channels; i++) {
        w = good_wav();
        w.channels = bad_channels[i];
        w.frame_bytes = (uint16_t)(2 * w.channels);
        assert_refused_file(write_file("w.wav", &w, sizeof w), "w.wav");
    }
    w = good_wav();
    w.data_bytes = 0;
    assert_refused_file(write_file("w.wav", &w, sizeof w - sizeof w.samples), "no sound in it");
    /* What is declared is not believed: the samples that are there are read. */
    w = good_wav();
    w.riff_bytes = w.data_bytes = UINT32_MAX;
    assert_int_equal(read_with(write_file("w.wav", &w, sizeof w), &with_decoder, &r, &err), 0);
    assert_int_equal(r.n_samples, 64);
    mill_recording_close(&r);
}

/* Apparent sizes far beyond any memory. */
static void test_sparse_giants(void **state) {
    (void)state;
    static const char *const heads[] = {"fLaC", "OggS", "ID3\3", "\xff\xfb\x90\x64"};
    struct wav w = good_wav();
    w.riff_bytes = w.data_bytes = UINT32_MAX;
    const char *path = write_file("giant", &w, sizeof w);
    assert_int_equal(truncate(path, 100LL << 30), 0);
    assert_refused_file(path, "too long: more than 600 s|cut out 3 to 30 s");
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        path = write_file("giant", heads[i], 4);
        assert_int_equal(truncate(path, 100LL << 30), 0);
        assert_refused_file(path, "giant");
    }
    unlink(path);
}

static void test_too_long(void **state) {
    (void)state;
    struct mill_recording r;
    struct mill_error err;
    struct mill_recording_options options = with_decoder;
    const char *path = write_sound("long.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 48000, 1);
    options.max_seconds = 1;
    assert_int_equal(read_with(path, &options, &r, &err), MILL_OK);
    mill_recording_close(&r);
    options.max_seconds = 0.99;
    assert_refused(read_with(path, &options, &r, &err), &err, "too long: more than 1 s");
}

static void test_not_finite(void **state) {
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        struct wav w = good_wav();
        w.code = 3;
        w.bits = 32;
        w.frame_bytes = 4;
        memcpy(&w.samples[16], &bad[i], 4);
        assert_refused_file(write_file("nan.wav", &w, sizeof w), "not a finite number, at 0.00 s");
    }
}

static char *whole_file(const char *path, size_t *size) {
    struct mill_buffer bytes;
    mill_buffer_init(&bytes, 1 << 24);
    assert_int_equal(mill_file_read(path, &bytes, NULL), MILL_OK);
    *size = bytes.size;
    return bytes.data;
}

/* Cut short at many places: refused or shorter, never more; compressed formats with a known length
 * must notice. */
static void test_truncated(void **state) {
    (void)state;
    static const char *const names[] = {"16.wav", "16.flac", "vorbis.ogg", "opus.opus",
                                        "layer3.mp3"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t size;
        char *data = whole_file(path_of(names[i]), &size);
        for (size_t cut = 1; cut < size; cut = cut * 3 / 2 + 1) {
            struct mill_recording r;
            struct mill_error err;
            const char *path = write_file("cut", data, cut);
            mill_status status = read_with(path, &with_decoder, &r, &err);
            if (status == MILL_OK) {
                assert_in_range(r.n_samples, 1, N + 4096);
                mill_recording_close(&r);
            } else if (status != MILL_E_INPUT) {
                fail_msg("%s cut to %zu: %d %s", names[i], cut, status, err.text);
            }
        }
        if (i == 1)
            assert_refused_file(write_file("cut", data, size / 2), "damaged after|copy it again");
        free(data);
    }
}

/* ------------------------------------------------------------------ the lock */

static void test_self_test(void **state) {
    (void)state;
    int how;
    pid_t child = fork();
    if (child == 0) {
        execl(MILL_DECODER, MILL_DECODER, "--self-test", NULL);
        _exit(9);
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGSYS);
}

static void test_bad_decoders(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"escape write", "the decoder was stopped|forbidden (SIGSYS)"},
        {"escape socket", "SIGSYS"},
        {"escape fork", "SIGSYS"},
        {"escape signal", "SIGSYS"},
        {"escape execute", "SIGSYS"},
        {"escape code", "SIGSYS"},
        {"escape map", "SIGSYS"},
        {"escape other", "SIGSYS"},
        {"escape processor", "the decoder was stopped|processor time"},
        {"crash", "the decoder crashed (Segmentation fault)"},
        {"hang", "not decoded within 0.5 s"},
        {"half", "not decoded within 0.5 s"},
        {"close", "the decoder was stopped"},
        {"nan", "makes no sense"},
        {"count", "makes no sense"},
        {"fewer", "makes no sense"},
        {"odd", "makes no sense"},
        {"nothing", "makes no sense"},
        {"format", "makes no sense"},
        {"rate", "makes no sense"},
        {"channels", "makes no sense"},
        {"verdict", "makes no sense"},
        {"flood", "makes no sense"},
        {"silent", "makes no sense"},
        {"detail", "???"},
        {"inheritance", "files 0 variables 0 blocked 0"},
    };
    struct mill_recording_options options = {.decoder = MILL_BAD_DECODER};
    int inheritable = open("/dev/null", O_RDONLY); /* no O_CLOEXEC */
    assert_true(inheritable >= 3);
    sigset_t blocked, old;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &old);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mill_recording r;
        struct mill_error err;
        const char *path = write_file("word", cases[i][0], strlen(cases[i][0]));
        options.timeout_seconds = strstr(cases[i][1], "0.5 s") ? 0.5 : 0;
        assert_refused(read_with(path, &options, &r, &err), &err, cases[i][1]);
    }
    sigprocmask(SIG_SETMASK, &old, NULL);
    close(inheritable);
}

static void test_memory_bomb(void **state) {
    (void)state;
    struct mill_recording_options options = {.decoder = MILL_BAD_DECODER};
    struct mill_recording r;
    struct mill_error err;
    int mebibytes = 0;
    assert_refused(read_with(write_file("word", "memory", 6), &options, &r, &err), &err, "memory ");
    assert_int_equal(sscanf(strstr(err.text, "(memory "), "(memory %d MiB", &mebibytes), 1);
    assert_in_range(mebibytes, 100, 256);
}

static void test_no_decoder(void **state) {
    (void)state;
    struct mill_recording_options options = {.decoder = "/nowhere/sparkmill-decode"};
    struct mill_recording r;
    struct mill_error err;
    const char *path = write_file("word", "give up", 7);
    assert_int_equal(read_with(path, &options, &r, &err), MILL_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "'/nowhere/sparkmill-decode' cannot be started"));
    options.decoder = MILL_BAD_DECODER;
    const char *reader = write_file("reads", "escape read", 11);
    assert_int_equal(read_with(reader, &options, &r, &err), MILL_E_IO);
    assert_non_null(strstr(err.text, "exit status 5")); /* could not open, went on */
    path = write_file("word", "give up", 7);
    assert_int_equal(read_with(path, &options, &r, &err), MILL_E_IO);
    assert_non_null(strstr(err.text, "exit status 3"));
    /* Without options: the one beside the running program, which this test is. */
    assert_int_equal(read_with(MILL_GOLDEN "/audio/zh-22k.wav", NULL, &r, &err), MILL_OK);
    mill_recording_close(&r);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, before, after)
    const struct CMUnitTest tests[] = {
        TEST(test_formats),     TEST(test_threads),        TEST(test_no_standard_files),
        TEST(test_wav_headers), TEST(test_no_sound_files), TEST(test_sparse_giants),
        TEST(test_too_long),    TEST(test_not_finite),     TEST(test_truncated),
        TEST(test_self_test),   TEST(test_bad_decoders),   TEST(test_memory_bomb),
        TEST(test_no_decoder),
    };
    return cmocka_run_group_tests_name("recording", tests, NULL, NULL);
}
