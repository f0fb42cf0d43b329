/* test_writer.c - audio written by runtime/audio/writer.c, read back by libsndfile: every format
 * that keeps its samples, to a file and to a pipe; and what is left behind when nothing was
 * finished. */
#include "runtime/audio/writer.h"
#include "runtime/base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sndfile.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* An odd number: a 24-bit file then needs RIFF's padding byte. */
enum { N = 16001, RATE = 16000, N_LOSSLESS = MILL_AUDIO_FLAC + 1 };

static const char folder[] = MILL_SCRATCH "/writer";

static struct mill_audio_encoding as(int format) {
    return (struct mill_audio_encoding){.format = (enum mill_audio_format)format,
                                        .sample_rate = RATE};
}

static float *make_samples(void) {
    float *x = malloc(N * sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < N; i++)
        x[i] = sinf(0.01f * (float)i) * (float)i / N;
    x[0] = 1.5f;
    x[1] = -1.5f;
    x[2] = 1.0f;
    x[3] = nanf("");
    x[4] = 0.5f / 32767; /* a tie: to even, 0 */
    x[5] = 1.5f / 32767; /* a tie: to even, 2 */
    return x;
}

static int n_files(void) {
    DIR *d = opendir(folder);
    assert_non_null(d);
    int n = 0;
    for (struct dirent *e = readdir(d); e; e = readdir(d))
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* An empty folder, whatever an earlier run left in it. */
static int make_folder(void **state) {
    (void)state;
    if (mill_folder_make(folder, NULL) != MILL_OK)
        return -1;
    DIR *d = opendir(folder);
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
        if (e->d_name[0] != '.')
            unlinkat(dirfd(d), e->d_name, 0);
    return d ? closedir(d) : -1;
}

static double step_of(enum mill_audio_format format) {
    return format == MILL_AUDIO_WAV_FLOAT ? 0 : format == MILL_AUDIO_WAV24 ? 8388607 : 32767;
}

/* libsndfile reads whole numbers as value / 2^(bits - 1); they were written as value * (2^(bits -
 * 1) - 1). */
static void check_samples(const float *want, const double *got, enum mill_audio_format format) {
    for (int i = 0; i < N; i++) {
        double x = isnan(want[i]) ? 0 : fmin(fmax((double)want[i], -1), 1);
        double steps = step_of(format);
        double expected = steps > 0 ? rint(x * steps) / (steps + 1) : (double)(float)x;
        if (got[i] != expected)
            fail_msg("format %d sample %d: %.9g, not %.9g", format, i, got[i], expected);
    }
}

static void write_in_pieces(struct mill_audio_writer *w, const float *x) {
    struct mill_error err;
    for (size_t at = 0, n = 1; at < N; at += n, n = n * 3 % 9001 + 1) {
        n = n < N - at ? n : N - at;
        assert_int_equal(mill_audio_writer_write(w, x + at, n, &err), MILL_OK);
    }
    assert_int_equal(mill_audio_writer_finish(w, &err), MILL_OK);
    mill_audio_writer_close(w);
}

static void read_back(const char *path, enum mill_audio_format format, const float *want,
                      bool known_length) {
    SF_INFO info = {0};
    if (format == MILL_AUDIO_PCM)
        info = (SF_INFO){.samplerate = RATE,
                         .channels = 1,
                         .format = SF_FORMAT_RAW | SF_FORMAT_PCM_16 | SF_ENDIAN_LITTLE};
    SNDFILE *f = sf_open(path, SFM_READ, &info);
    if (!f)
        fail_msg("%s: %s", path, sf_strerror(NULL));
    assert_int_equal(info.samplerate, RATE);
    assert_int_equal(info.channels, 1);
    if (known_length)
        assert_int_equal(info.frames, N);
    double *got = calloc(N + 1, sizeof *got);
    assert_int_equal(sf_read_double(f, got, N + 1), N);
    check_samples(want, got, format);
    sf_close(f);
    free(got);
}

static void test_files(void **state) {
    (void)state;
    float *x = make_samples();
    for (int format = 0; format < N_LOSSLESS; format++) {
        char path[sizeof folder + 20];
        snprintf(path, sizeof path, "%s/file%d", folder, format);
        struct mill_audio_writer *w;
        struct mill_error err;
        const struct mill_audio_encoding encoding = as(format);
        assert_int_equal(mill_audio_writer_open(&w, path, &encoding, &err), MILL_OK);
        assert_int_not_equal(access(path, F_OK), 0); /* not visible before it is finished */
        write_in_pieces(w, x);
        read_back(path, (enum mill_audio_format)format, x, true);
    }
    assert_int_equal(n_files(), N_LOSSLESS);
    free(x);
}

struct drain {
    int fd;
    const char *path;
};

static void *drain_pipe(void *context) {
    struct drain *d = context;
    FILE *out = fopen(d->path, "wb");
    char bytes[777];
    for (ssize_t n; out && (n = read(d->fd, bytes, sizeof bytes)) > 0;)
        fwrite(bytes, 1, (size_t)n, out);
    if (out)
        fclose(out);
    return NULL;
}

static void test_pipes(void **state) {
    (void)state;
    float *x = make_samples();
    for (int format = 0; format < N_LOSSLESS; format++) {
        char path[sizeof folder + 20];
        snprintf(path, sizeof path, "%s/pipe%d", folder, format);
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        struct drain drain = {fds[0], path};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, drain_pipe, &drain), 0);
        struct mill_audio_writer *w;
        struct mill_error err;
        const struct mill_audio_encoding encoding = as(format);
        assert_int_equal(mill_audio_writer_open_stream(&w, fds[1], &encoding, &err), MILL_OK);
        write_in_pieces(w, x);
        close(fds[1]);
        pthread_join(thread, NULL);
        close(fds[0]);
        read_back(path, (enum mill_audio_format)format, x, false);
    }
    free(x);
}

static uint32_t u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void test_wav_headers(void **state) {
    (void)state;
    uint8_t file[44], piped[44];
    const char *paths[] = {MILL_SCRATCH "/writer/file0", MILL_SCRATCH "/writer/pipe0"};
    for (int i = 0; i < 2; i++) {
        FILE *f = fopen(paths[i], "rb");
        assert_non_null(f);
        assert_int_equal(fread(i ? piped : file, 1, 44, f), 44);
        fclose(f);
    }
    assert_memory_equal(file, "RIFF", 4);
    assert_int_equal(u32(file + 4), 36 + 2 * N);
    assert_memory_equal(file + 8, "WAVEfmt ", 8);
    assert_int_equal(u32(file + 24), RATE);
    assert_int_equal(u32(file + 28), RATE * 2);
    assert_memory_equal(file + 36, "data", 4);
    assert_int_equal(u32(file + 40), 2 * N);
    assert_int_equal(u32(piped + 4), UINT32_MAX);
    assert_int_equal(u32(piped + 40), UINT32_MAX);
    struct stat info;
    assert_int_equal(stat(MILL_SCRATCH "/writer/file1", &info), 0);
    assert_int_equal(info.st_size, 44 + 3 * N + 1); /* 24 bit: the padding byte */
}

static void test_unfinished(void **state) {
    (void)state;
    int before = n_files();
    float x[100] = {0};
    for (int format = 0; format < MILL_AUDIO_FORMAT_COUNT; format++) {
        struct mill_audio_writer *w;
        const struct mill_audio_encoding encoding = as(format);
        assert_int_equal(mill_audio_writer_open(&w, MILL_SCRATCH "/writer/never", &encoding, NULL),
                         MILL_OK);
        assert_int_equal(mill_audio_writer_write(w, x, 100, NULL), MILL_OK);
        assert_int_equal(n_files(), before + 1);
        mill_audio_writer_close(w);
        assert_int_equal(n_files(), before);
    }
    mill_audio_writer_close(NULL);
}

static void test_failures(void **state) {
    (void)state;
    struct mill_audio_writer *w;
    struct mill_error err;
    struct mill_audio_encoding encoding = as(MILL_AUDIO_WAV16);
    assert_int_equal(mill_audio_writer_open(&w, MILL_SCRATCH "/writer/none/x", &encoding, &err),
                     MILL_E_IO);
    assert_non_null(strstr(err.text, "writer/none/x"));
    assert_null(w);
    encoding.sample_rate = 0;
    assert_int_equal(mill_audio_writer_open(&w, MILL_SCRATCH "/writer/x", &encoding, &err),
                     MILL_E_INPUT);
    float x[5000] = {0};
    for (int format = 0; format < MILL_AUDIO_FORMAT_COUNT; format++) {
        if (format == MILL_AUDIO_M4A) /* not into streams */
            continue;
        int full = open("/dev/full", O_WRONLY);
        assert_true(full >= 0);
        encoding = as(format);
        mill_status status = mill_audio_writer_open_stream(&w, full, &encoding, &err);
        for (int i = 0; i < 10 && status == MILL_OK; i++)
            status = mill_audio_writer_write(w, x, 5000, &err);
        assert_int_equal(status, MILL_E_FULL);
        assert_non_null(strstr(err.text, "No space left"));
        mill_audio_writer_close(w);
        close(full);
    }
}

static void test_reader_gone(void **state) {
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    struct mill_audio_writer *w;
    const struct mill_audio_encoding encoding = as(MILL_AUDIO_WAV16);
    assert_int_equal(mill_audio_writer_open_stream(&w, fds[1], &encoding, NULL), MILL_E_CANCELLED);
    assert_null(w);
    close(fds[1]);
}

static const char comment[] = "synthetic speech";

static void write_commented(struct mill_audio_writer *w) {
    float x[101] = {0.5f};
    assert_int_equal(mill_audio_writer_write(w, x, 101, NULL), MILL_OK);
    assert_int_equal(mill_audio_writer_finish(w, NULL), MILL_OK);
    mill_audio_writer_close(w);
}

/* The comment is metadata that readers find, the samples behind it are as without it, and a pipe's
 * file can be read too. */
static void test_comment(void **state) {
    (void)state;
    static const char path[] = MILL_SCRATCH "/writer/commented";
    for (int i = 0; i < 2 * (MILL_AUDIO_WAV_FLOAT + 1); i++) {
        struct mill_audio_encoding encoding = as(i / 2);
        encoding.comment = comment;
        struct mill_audio_writer *w;
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(i & 1 ? mill_audio_writer_open_stream(&w, fd, &encoding, NULL)
                               : mill_audio_writer_open(&w, path, &encoding, NULL),
                         MILL_OK);
        write_commented(w);
        close(fd);
        SF_INFO info = {0};
        SNDFILE *f = sf_open(path, SFM_READ, &info);
        assert_non_null(f);
        double got[102];
        assert_int_equal(sf_read_double(f, got, 102), 101);
        assert_true(got[0] > 0.499 && got[0] < 0.501 && got[1] == 0);
        const char *text = sf_get_string(f, SF_STR_COMMENT);
        if (!text || strcmp(text, comment) != 0)
            fail_msg("format %d %s: '%s'", i / 2, i & 1 ? "piped" : "filed", text ? text : "none");
        sf_close(f);
    }
    char longest[MILL_AUDIO_COMMENT_BYTES + 1] = "";
    memset(longest, 'x', MILL_AUDIO_COMMENT_BYTES);
    struct mill_audio_writer *w;
    struct mill_audio_encoding encoding = as(MILL_AUDIO_WAV16);
    encoding.comment = longest;
    assert_int_equal(mill_audio_writer_open(&w, path, &encoding, NULL), MILL_E_INPUT);
    longest[MILL_AUDIO_COMMENT_BYTES - 1] = '\0';
    assert_int_equal(mill_audio_writer_open(&w, path, &encoding, NULL), MILL_OK);
    write_commented(w);
    unlink(path);
}

static void test_formats(void **state) {
    (void)state;
    enum mill_audio_format format = MILL_AUDIO_FORMAT_COUNT;
    assert_true(mill_audio_format_find("wav24", &format));
    assert_int_equal(format, MILL_AUDIO_WAV24);
    assert_string_equal(mill_audio_format_ending(format), "wav");
    assert_true(mill_audio_format_find("mp3", &format));
    assert_string_equal(mill_audio_format_media_type(format), "audio/mpeg");
    assert_false(mill_audio_format_find("MP3", &format));
    assert_false(mill_audio_format_find("wma", &format));
    assert_true(mill_audio_format_of_path("a.b/c.FLAC", &format));
    assert_int_equal(format, MILL_AUDIO_FLAC);
    assert_true(mill_audio_format_of_path("x.raw", &format));
    assert_int_equal(format, MILL_AUDIO_PCM);
    assert_true(mill_audio_format_of_path("x.wav", &format));
    assert_int_equal(format, MILL_AUDIO_WAV16);
    assert_true(mill_audio_format_of_path("x.ogg", &format));
    assert_int_equal(format, MILL_AUDIO_OPUS);
    assert_false(mill_audio_format_of_path("wav", &format));
    assert_false(mill_audio_format_of_path("x.txt", &format));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),       cmocka_unit_test(test_pipes),
        cmocka_unit_test(test_wav_headers), cmocka_unit_test(test_unfinished),
        cmocka_unit_test(test_failures),    cmocka_unit_test(test_reader_gone),
        cmocka_unit_test(test_comment),     cmocka_unit_test(test_formats),
    };
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
