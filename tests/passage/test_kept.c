/* test_kept.c - segments that are kept on the disk: taken again when the same is asked for, and
 * only then; damaged, cut off, without room; with an engine that the test plays. */
#include "runtime/base/file.h"
#include "tests/passage/passage_fixture.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/icu_memory.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char kept[] = MILL_SCRATCH "/test_kept.part";

static int count_kept(void) {
    int n = 0;
    DIR *folder = opendir(kept);
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        n += entry->d_name[0] != '.';
    if (folder)
        closedir(folder);
    return n;
}

static int forget_kept(void **state) {
    (void)state;
    DIR *folder = opendir(kept);
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder)
        closedir(folder);
    rmdir(kept);
    return 0;
}

/* Three paragraphs in a voice that the first creates. */
static struct mill_passage_options keeping(void) {
    struct mill_passage_options options = options_for(THREE);
    options.wish.global = NULL;
    options.wish.n_global = 0;
    options.kept = kept;
    options.kept_model = "a model";
    return options;
}

/* The requests that come, made and read; how many came. */
static int make_all(struct mill_engine *engine, const struct mill_passage_options *options,
                    float *out, size_t *n, struct mill_request_result *result,
                    struct mill_passage_progress *progress) {
    fake_engine_init(engine);
    struct mill_passage *passage = open_with(engine, options);
    mill_status status = MILL_AGAIN;
    *n = 0;
    for (int i = 0; status == MILL_AGAIN; i++) {
        status = read_all(passage, 999, out, n);
        for (; i < engine->n_requests; i++) {
            float value = 0.1f + 0.01f * (float)(engine->requests[i].wish.seed % 7);
            say(engine, i, 10, value, 100 + strlen(engine->requests[i].text), 10);
        }
        i--;
    }
    assert_int_equal(status, MILL_DONE);
    mill_passage_get_result(passage, result);
    mill_passage_get_progress(passage, progress);
    mill_passage_close(passage);
    return engine->n_requests;
}

static void test_segments_are_kept(void **state) {
    forget_kept(state);
    static struct mill_engine engine;
    float *first = malloc(MAX_SAMPLES * sizeof *first), *out = malloc(MAX_SAMPLES * sizeof *out);
    struct mill_request_result made, taken;
    struct mill_passage_progress progress;
    struct mill_passage_options options = keeping();
    size_t n_first, n;
    assert_int_equal(make_all(&engine, &options, first, &n_first, &made, &progress), 3);
    assert_true(progress.n_found == 0 && progress.n_kept == 3 && progress.n_found_frames == 0);
    assert_int_equal(count_kept(), 3);

    assert_int_equal(make_all(&engine, &options, out, &n, &taken, &progress), 0);
    assert_true(progress.n_found == 3 && progress.n_kept == 3);
    assert_int_equal(progress.n_found_frames, made.n_frames);
    assert_int_equal(n, n_first);
    assert_memory_equal(out, first, n * sizeof *out);
    assert_true(taken.end == made.end && taken.n_frames == made.n_frames &&
                taken.seed == made.seed && taken.findings == made.findings && taken.exact);
    assert_int_equal(taken.n_draws, 0); /* now */

    fake_engine_init(&engine); /* the voice comes from the disk too */
    struct mill_passage *passage = open_with(&engine, &options);
    int32_t voice[FAKE_VOICE_TOKENS];
    assert_int_equal(mill_passage_get_voice(passage, voice), MILL_OK);
    for (int i = 0; i < FAKE_VOICE_TOKENS; i++)
        assert_int_equal(voice[i], 1 + i);
    struct mill_error err;
    struct mill_passage *second; /* one at a time */
    assert_int_equal(mill_passage_open(&second, &engine, &options, NULL, &err), MILL_E_IO);
    assert_non_null(strstr(err.text, "test_kept.part': another process"));
    mill_passage_clear_kept(passage);
    mill_passage_close(passage);
    assert_int_equal(access(kept, F_OK), -1);
    free(first), free(out);
}

/* Each differs from what is kept in one thing that sound depends on. */
static void test_other_segments_are_not_taken(void **state) {
    static struct mill_engine engine;
    float *out = malloc(MAX_SAMPLES * sizeof *out);
    struct mill_request_result result;
    struct mill_passage_progress progress;
    static const int32_t voice[FAKE_VOICE_TOKENS] = {4, 3, 2, 1}, recording[2] = {1, 2};
    for (int i = 0; i < 16; i++) {
        size_t n;
        struct mill_passage_options options = keeping();
        forget_kept(state);
        assert_int_equal(make_all(&engine, &options, out, &n, &result, &progress), 3);
        struct mill_engine_request *w = &options.wish;
        int expected = 3;
        switch (i) {
        case 0:
            options.kept_model = "another";
            break;
        case 1:
            w->temperature = 1;
            break;
        case 2:
            w->top_p = 0.5f;
            break;
        case 3:
            w->top_k = 3;
            break;
        case 4:
            w->seed = 6;
            break;
        case 5:
            w->max_frames = 99;
            break;
        case 6:
            w->gender = 1;
            break;
        case 7:
            w->pitch = 4;
            break;
        case 8:
            w->speed = 0;
            break;
        case 9:
            w->pitch_value = 100, w->speed_value = 4;
            break;
        case 10:
            w->global = voice, w->n_global = FAKE_VOICE_TOKENS;
            break;
        case 11:
            options.text = "One!\n\nTwo.\n\nThree.", expected = 1;
            break;
        case 12:
            options.text = "One.\n\nTwo.\n\nThree!", expected = 1;
            break;
        case 13:
            options.text = "Nought.\n\nOne.\n\nTwo.\n\nThree.", expected = 4;
            options.text_bytes = strlen(options.text);
            break;
        case 14: /* given voices with recordings */
        case 15:
            w->global = voice, w->n_global = FAKE_VOICE_TOKENS;
            w->semantic = recording, w->n_semantic = 2;
            w->transcript = "A", w->transcript_bytes = 1;
            make_all(&engine, &options, out, &n, &result, &progress);
            w->n_semantic -= i == 14;
            w->transcript = i == 14 ? "A" : "B";
            break;
        }
        assert_int_equal(make_all(&engine, &options, out, &n, &result, &progress), expected);
        options.speed = 2; /* made of the sound */
        assert_int_equal(make_all(&engine, &options, out, &n, &result, &progress), 0);
    }
    forget_kept(state);
    free(out);
}

/* The byte at `at`, from the end where that is negative, of the i-th kept file; or it is cut there.
 */
static void damage(int i, off_t at, bool cut) {
    struct stat info;
    DIR *folder = opendir(kept);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.' || i-- != 0)
            continue;
        int fd = openat(dirfd(folder), entry->d_name, O_RDWR);
        assert_true(fd >= 0 && fstat(fd, &info) == 0);
        unsigned char byte;
        at += at < 0 ? info.st_size : 0;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 1;
        assert_true(cut ? ftruncate(fd, at) == 0 : pwrite(fd, &byte, 1, at) == 1);
        close(fd);
    }
    closedir(folder);
}

static void test_damaged_segments_are_made_again(void **state) {
    forget_kept(state);
    static struct mill_engine engine;
    float *first = malloc(MAX_SAMPLES * sizeof *first), *out = malloc(MAX_SAMPLES * sizeof *out);
    struct mill_request_result result;
    struct mill_passage_progress progress;
    static const int32_t voice[FAKE_VOICE_TOKENS] = {4, 3, 2, 1};
    struct mill_passage_options options = keeping();
    options.wish.global = voice, options.wish.n_global = FAKE_VOICE_TOKENS;
    size_t n_first, n;
    make_all(&engine, &options, first, &n_first, &result, &progress);
    static const off_t places[] = {0, 8, 71, 75, 83, 87, 88, 92, 96, 104, 112, 500, -65, -64, -1};
    for (size_t i = 0; i < 2 * (sizeof places / sizeof *places); i++) {
        damage((int)i % 3, places[i / 2], i % 2);
        assert_int_equal(make_all(&engine, &options, out, &n, &result, &progress), 1);
        assert_int_equal(n, n_first);
        assert_memory_equal(out, first, n * sizeof *out);
        assert_int_equal(make_all(&engine, &options, out, &n, &result, &progress), 0);
    }
    char name[3][sizeof kept + 256]; /* a segment by the name of another */
    DIR *folder = opendir(kept);
    int i = 0;
    for (struct dirent *entry; (entry = readdir(folder));)
        if (entry->d_name[0] != '.')
            snprintf(name[i++], sizeof name[0], "%s/%s", kept, entry->d_name);
    closedir(folder);
    assert_int_equal(rename(name[0], name[1]), 0);
    assert_int_equal(make_all(&engine, &options, out, &n, &result, &progress), 2);
    assert_memory_equal(out, first, n * sizeof *out);
    forget_kept(state);
    free(first), free(out);
}

/* What is not ours is left alone; what cannot be written ends it, and what was kept stays. */
static void test_the_folder(void **state) {
    forget_kept(state);
    static struct mill_engine engine;
    float *out = malloc(MAX_SAMPLES * sizeof *out);
    struct mill_error err;
    struct mill_passage *passage;
    struct mill_passage_options options = keeping();
    char path[256], half[256];
    assert_int_equal(mkdir(kept, 0700), 0);
    snprintf(path, sizeof path, "%s/notes.txt", kept);
    snprintf(half, sizeof half, "%s/%064d.0123456789ab.unfinished", kept, 7);
    assert_int_equal(mill_file_write(path, "mine", 4, NULL), MILL_OK);
    assert_int_equal(mill_file_write(half, "half", 4, NULL), MILL_OK);
    fake_engine_init(&engine);
    passage = open_with(&engine, &options);
    assert_int_equal(access(half, F_OK), -1);
    size_t n = 0;
    say(&engine, 0, 10, 0.5f, 100, 10);
    assert_int_equal(read_all(passage, 999, out, &n), MILL_AGAIN);
    assert_int_equal(count_kept(), 2);
    mill_passage_clear_kept(passage);
    mill_passage_close(passage);
    assert_int_equal(count_kept(), 1);
    assert_int_equal(unlink(path) || rmdir(kept), 0);

    struct mill_passage *refused; /* who finds another at work does not touch the folder */
    fake_engine_init(&engine);
    passage = open_with(&engine, &options);
    assert_int_equal(mill_passage_open(&refused, &engine, &options, NULL, &err), MILL_E_IO);
    assert_int_equal(access(kept, F_OK), 0);
    mill_passage_close(passage);

    options.text = "One."; /* of one segment nothing is kept */
    options.text_bytes = 4;
    fake_engine_init(&engine);
    passage = open_with(&engine, &options);
    assert_int_equal(access(kept, F_OK), -1);
    mill_passage_close(passage);
    options = keeping();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(i == 0 ? mill_file_write(kept, "x", 1, NULL) : symlink("none", kept), 0);
        assert_int_equal(mill_passage_open(&passage, &engine, &options, NULL, &err), MILL_E_IO);
        assert_non_null(strstr(err.text, "test_kept.part', where segments are kept"));
        unlink(kept);
    }
    free(out);
}

static void test_a_full_disk(void **state) {
    forget_kept(state);
    static struct mill_engine engine;
    float *out = malloc(MAX_SAMPLES * sizeof *out);
    struct mill_request_result result;
    struct mill_passage_progress progress;
    struct mill_passage_options options = keeping();
    struct rlimit before, low;
    size_t n = 0;
    fake_engine_init(&engine);
    struct mill_passage *passage = open_with(&engine, &options);
    say(&engine, 0, 10, 0.5f, 100, 10);
    assert_int_equal(read_all(passage, 999, out, &n), MILL_AGAIN);
    say(&engine, 1, 10, 0.5f, 1000, 10);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    low = (struct rlimit){.rlim_cur = 20000, .rlim_max = before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    assert_true(read_all(passage, 999, out, &n) < 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    mill_passage_close(passage);
    assert_int_equal(count_kept(), 1);
    assert_int_equal(make_all(&engine, &options, out, &n, &result, &progress), 2);
    assert_int_equal(progress.n_found, 1);
    forget_kept(state);
    free(out);
}

/* A run, and one that takes over what it kept. */
static mill_status attempt(void *context, struct mill_error *err) {
    struct mill_passage_options options = options_for(THREE);
    mill_status status = MILL_DONE;
    options.kept = kept;
    for (int run = 0; run < 2 && status == MILL_DONE; run++)
        status = try_all(context, &options, err);
    if (status == MILL_DONE)
        forget_kept(NULL);
    ERR_clear_error(); /* where OpenSSL had no memory, it remembers so */
    return status < 0 ? status : MILL_OK;
}

static void test_memory(void **state) {
    (void)state;
    static struct mill_engine engine;
    if (!mill_fail_alloc_works())
        skip();
    ERR_raise(ERR_LIB_USER, 1); /* so that it has what it remembers in */
    assert_true(mill_fail_alloc_sweep(attempt, &engine) > 40);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_segments_are_kept),
        cmocka_unit_test(test_other_segments_are_not_taken),
        cmocka_unit_test(test_damaged_segments_are_made_again),
        cmocka_unit_test(test_the_folder),
        cmocka_unit_test(test_a_full_disk),
        cmocka_unit_test(test_memory),
    };
    return mill_icu_memory_apart() ? cmocka_run_group_tests_name("kept", tests, forget_kept, NULL)
                                   : 1;
}
