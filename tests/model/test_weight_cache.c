/* test_weight_cache.c - converted weights in a file: the same as fresh ones, made again when they
 * are not right, done without where they cannot be written; and opening while memory runs short. */
#include "runtime/model/image_cache.h"
#include "tests/support/fail_alloc.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define FOLDER MILL_SCRATCH "/weight-cache-small"
#define CACHE MILL_SCRATCH "/weight-cache"
#include "tests/model/small_model.h"

/* The only file of the cache folder; its path in `path`. */
static void find_cached(char *path, size_t size) {
    DIR *listing = opendir(CACHE);
    assert_non_null(listing);
    struct dirent *entry;
    int n = 0;
    while ((entry = readdir(listing))) {
        if (entry->d_name[0] == '.')
            continue;
        n++;
        snprintf(path, size, "%s/%s", CACHE, entry->d_name);
    }
    closedir(listing);
    assert_int_equal(n, 1); /* and no temporary file is left */
    assert_non_null(strstr(path, "/weight-cache-small-"));
    assert_non_null(strstr(path, ".mill"));
}

static void flip_byte(const char *path, off_t at) {
    int fd = open(path, O_RDWR);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void open_cached(struct model *model, const void *wanted, bool from_cache) {
    struct mill_weights *weights = open_precision(model, MILL_PRECISION_INT8, CACHE);
    assert_int_equal(weights->from_cache, from_cache);
    assert_memory_equal(image_of(weights), wanted, weights->image_bytes);
    mill_weights_close(weights);
}

static void test_cache(void **state) {
    struct model *model = *state;
    struct mill_weights *weights = open_precision(model, MILL_PRECISION_INT8, NULL);
    void *wanted = copy_image(weights);
    off_t end = 4096 + (off_t)weights->image_bytes;
    mill_weights_close(weights);
    remove_files(CACHE);
    rmdir(CACHE);
    char path[512];
    struct stat info;
    open_cached(model, wanted, false); /* makes the folder too */
    open_cached(model, wanted, true);
    find_cached(path, sizeof path);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_size, end);
    const off_t places[] = {0, 9, 20, 30, 40, 50, 4096, end / 2, end - 1}; /* header, image */
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        flip_byte(path, places[i]);
        open_cached(model, wanted, false);
        open_cached(model, wanted, true);
    }
    const off_t sizes[] = {0, 10, 4096, 5000, end - 1, end + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(truncate(path, sizes[i]), 0);
        open_cached(model, wanted, false);
        open_cached(model, wanted, true);
    }
    find_cached(path, sizeof path);
    const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    assert_int_equal(utimensat(AT_FDCWD, BICODEC_FILE, times, 0), 0);
    open_cached(model, wanted, false); /* the checkpoint was touched */
    open_cached(model, wanted, true);
    remove_files(CACHE);
    free(wanted);
}

/* The key of a file of one tensor: `at` bytes of zeros, a run of ones, and zeros again; and always
 * of one time. */
static struct mill_image_key key_of_file(const struct model *model, size_t at) {
    enum { BYTES = 8 << 20, RUN = 1 << 16, HEADER = 64 };
    static const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    char path[] = MILL_SCRATCH "/weights-of-one-time";
    struct mill_tensor_entry entry = {.offset = HEADER};
    struct mill_tensors file = {.path = path, .entries = &entry, .n_entries = 1};
    const struct mill_tensors *files[] = {&file};
    struct mill_image_plan plan;
    struct mill_image_key key;
    uint8_t *bytes = mill_alloc_array(BYTES, 1);
    assert_non_null(bytes);
    memset(bytes + at, 1, RUN);
    assert_int_equal(mill_file_write(path, bytes, BYTES, NULL), MILL_OK);
    free(bytes);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_int_equal(mill_mapping_open(&file.mapping, path, NULL), MILL_OK);
    mill_image_plan_init(&plan, model->ops);
    assert_int_equal(mill_image_key_make(&key, &plan, files, 1, NULL), MILL_OK);
    mill_mapping_close(&file.mapping);
    return key;
}

/* Weights that were trained further have the size and the names of those before them, and the time
 * as well where an archive made all times alike. */
static void test_other_weights_of_one_time(void **state) {
    const struct model *model = *state;
    const size_t places[] = {1000, 1 << 20, 5000000, (8 << 20) - (1 << 16)};
    struct mill_image_key keys[4];
    for (size_t i = 0; i < 4; i++) {
        keys[i] = key_of_file(model, places[i]);
        struct mill_image_key again = key_of_file(model, places[i]);
        assert_memory_equal(&keys[i], &again, sizeof again);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(&keys[i], &keys[k], sizeof *keys);
    }
    unlink(MILL_SCRATCH "/weights-of-one-time");
}

static void test_cache_tells_options_apart(void **state) {
    struct model *model = *state;
    for (int round = 0; round < 2; round++) {
        for (int p = 0; p < 3; p++) {
            struct mill_weights *weights = open_precision(model, (enum mill_precision)p, CACHE);
            assert_int_equal(weights->from_cache, round == 1);
            mill_weights_close(weights);
        }
        struct mill_weights *weights;
        struct mill_weights_options options = {.cache = CACHE};
        assert_int_equal(fixture_open_weights(&weights, FOLDER, &model->shape,
                                              &model->tokens.tokens, model->ops, model->backend,
                                              &options, NULL),
                         MILL_OK);
        assert_int_equal(weights->from_cache, round == 1);
        assert_int_equal(weights->lm.legal[MILL_LEGAL_ANY].n_rows, 0);
        mill_weights_close(weights);
    }
    remove_files(CACHE);
}

static void open_uncached(struct model *model, const char *cache, const void *wanted) {
    struct mill_weights *weights = open_precision(model, MILL_PRECISION_BF16, cache);
    assert_false(weights->from_cache);
    assert_memory_equal(image_of(weights), wanted, weights->image_bytes);
    mill_weights_close(weights);
}

static void test_no_cache_possible(void **state) {
    struct model *model = *state;
    struct mill_weights *weights = open_precision(model, MILL_PRECISION_BF16, NULL);
    void *wanted = copy_image(weights);
    mill_weights_close(weights);
    open_uncached(model, LLM_FILE "/not-a-folder", wanted);
    struct rlimit kept, low;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &kept), 0);
    low = kept;
    low.rlim_cur = 8192; /* as good as a full disk */
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    open_uncached(model, CACHE, wanted);
    open_uncached(model, CACHE, wanted);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &kept), 0);
    signal(SIGXFSZ, SIG_DFL);
    open_uncached(model, CACHE, wanted); /* nothing was left behind; now it is written */
    char path[512];
    find_cached(path, sizeof path);
    remove_files(CACHE);
    free(wanted);
}

/* Half an image, of a process that was killed, goes when the image is made. */
static void test_half_an_image(void **state) {
    struct model *model = *state;
    char path[512], half[600];
    mill_weights_close(open_precision(model, MILL_PRECISION_BF16, CACHE));
    find_cached(path, sizeof path);
    snprintf(half, sizeof half, "%s.0123456789ab.unfinished", path);
    assert_int_equal(rename(path, half), 0);
    mill_weights_close(open_precision(model, MILL_PRECISION_BF16, CACHE));
    assert_int_equal(access(half, F_OK), -1);
    assert_int_equal(access(path, F_OK), 0);
    remove_files(CACHE);
}

static void test_many_processes(void **state) {
    struct model *model = *state;
    enum { N = 4 };
    struct mill_weights *weights = open_precision(model, MILL_PRECISION_BF16, NULL);
    pid_t children[N];
    for (int i = 0; i < N; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            struct mill_weights *own;
            if (try_open(model, &own, MILL_PRECISION_BF16, CACHE, NULL) < 0)
                _exit(1);
            _exit(memcmp(image_of(own), image_of(weights), own->image_bytes) != 0);
        }
    }
    for (int i = 0; i < N; i++) {
        int result;
        assert_int_equal(waitpid(children[i], &result, 0), children[i]);
        assert_int_equal(result, 0);
    }
    mill_weights_close(weights);
    char path[512];
    find_cached(path, sizeof path);
    remove_files(CACHE);
}

/* One open with the n-th allocation failing, once or for good; how many it asked for. */
static long open_short_of_memory(struct model *model, const char *cache, long n, bool for_good) {
    struct mill_weights *weights = NULL;
    struct mill_error err = {0};
    long before = mill_fail_alloc_live();
    if (for_good)
        mill_fail_alloc_from(n);
    else
        mill_fail_alloc_at(n);
    mill_status status = try_open(model, &weights, MILL_PRECISION_INT8, cache, &err);
    long count = mill_fail_alloc_count();
    mill_fail_alloc_at(0);
    mill_weights_close(weights);
    if (status != MILL_OK && (status != MILL_E_MEMORY || n == 0 || err.text[0] == '\0'))
        fail_msg("allocation %ld gives status %d: %s", n, status, err.text);
    assert_int_equal(mill_fail_alloc_live(), before);
    return count;
}

/* Every allocation behind the reading of the two files, which is the readers' own matter: without a
 * cache, with one that is made, and with one that is there. */
static void test_open_without_memory(void **state) {
    struct model *model = *state;
    struct mill_weights *weights;
    if (!mill_fail_alloc_works())
        skip();
    model->shape.bicodec.prenet.condition = 0; /* refused as soon as both files are open */
    mill_fail_alloc_at(0);
    assert_true(try_open(model, &weights, MILL_PRECISION_INT8, NULL, NULL) < 0);
    long n_reading = mill_fail_alloc_count();
    model->shape.bicodec.prenet.condition = 12;
    for (int round = 0; round < 6; round++) {
        const char *cache = round < 2 ? NULL : CACHE;
        bool there = round >= 4;
        remove_files(CACHE);
        open_short_of_memory(model, cache, 0, false);
        long n = n_reading + 1;
        for (; open_short_of_memory(model, cache, n, round % 2) >= n; n++)
            if (!there)
                remove_files(CACHE);
        assert_true(n > n_reading + 10);
    }
    remove_files(CACHE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_other_weights_of_one_time),
        cmocka_unit_test(test_cache_tells_options_apart),
        cmocka_unit_test(test_no_cache_possible),
        cmocka_unit_test(test_half_an_image),
        cmocka_unit_test(test_many_processes),
        cmocka_unit_test(test_open_without_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
