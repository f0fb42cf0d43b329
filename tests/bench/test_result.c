/* test_result.c - results written, read back and compared: what got worse is found, what did not is
 * not, and a file that is no result is refused. */
#include "bench/result.h"

#include "runtime/base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct bench_result result_with(double frames, double first) {
    struct bench_result result = {.kind = "engine", .settings = "model=\"x\" & <y>"};
    bench_machine_describe(&result.machine);
    for (int p = 0; p < 3; p++) {
        struct bench_point *point = &result.points[result.n_points++];
        point->concurrency = 1 << p;
        point->n_repetitions = 3;
        point->predicted_frames_per_s = 3 * frames;
        for (int i = 0; i < 3; i++)
            point->outcomes[i] = (struct bench_outcome){.n_done = 8,
                                                        .frames_per_s = (frames + i) * (p + 1),
                                                        .first_p50 = first + 0.001 * i,
                                                        .joules = -1};
    }
    return result;
}

static void write_result(const struct bench_result *result, const char *folder) {
    struct mill_error err = {""};
    if (bench_result_write(result, folder, &err) != MILL_OK)
        fail_msg("%s", err.text);
}

static int count_worse(const char *before, const char *after) {
    struct mill_error err = {""};
    int n_worse = -1;
    FILE *out = fopen("/dev/null", "w");
    assert_non_null(out);
    if (bench_result_compare(before, after, 0.05, out, &n_worse, &err) != MILL_OK)
        fail_msg("%s", err.text);
    fclose(out);
    return n_worse;
}

static void test_compare(void **state) {
    (void)state;
    struct bench_result before = result_with(100, 0.2), slower = result_with(80, 0.2),
                        faster = result_with(130, 0.1), later = result_with(100, 0.3);
    write_result(&before, MILL_SCRATCH "/before");
    write_result(&slower, MILL_SCRATCH "/slower");
    write_result(&faster, MILL_SCRATCH "/faster");
    write_result(&later, MILL_SCRATCH "/later");
    const char *file = MILL_SCRATCH "/before/engine.json";
    assert_int_equal(count_worse(file, file), 0);
    assert_int_equal(count_worse(file, MILL_SCRATCH "/slower/engine.json"), 3);
    assert_int_equal(count_worse(file, MILL_SCRATCH "/faster/engine.json"), 0);
    assert_int_equal(count_worse(file, MILL_SCRATCH "/later/engine.json"), 3);
}

static void read_text(const char *path, struct mill_buffer *out) {
    struct mill_error err = {""};
    mill_buffer_init(out, 1 << 20);
    if (mill_file_read(path, out, &err) != MILL_OK ||
        mill_buffer_append(out, "", 1, &err) != MILL_OK)
        fail_msg("%s", err.text);
}

static void test_files(void **state) {
    (void)state;
    struct bench_result result = result_with(100, 0.2);
    for (int i = 0; i < 2; i++) {
        result.points[1].outcomes[i].n_failed = 2;
        bench_failures_add(result.points[1].outcomes[i].failures, i ? "429" : "timeout", 2);
    }
    write_result(&result, MILL_SCRATCH "/files");
    struct mill_buffer text;
    read_text(MILL_SCRATCH "/files/engine.json", &text);
    assert_non_null(strstr(text.data, "\"timeout\": 2"));
    assert_non_null(strstr(text.data, "\"429\": 2"));
    mill_buffer_deinit(&text);
    read_text(MILL_SCRATCH "/files/engine.csv", &text);
    assert_non_null(strstr(text.data, "\nconcurrency,rate,repetitions,done,failed,frames_per_s,"));
    assert_non_null(strstr(text.data, "\n4,0,3,24,0,303,")); /* mean of 300, 303, 306 */
    mill_buffer_deinit(&text);
    read_text(MILL_SCRATCH "/files/engine-throughput.svg", &text);
    assert_non_null(strstr(text.data, "on paper"));
    assert_non_null(strstr(text.data, "</svg>\n"));
    mill_buffer_deinit(&text);
    read_text(MILL_SCRATCH "/files/engine-latency.svg", &text);
    assert_non_null(strstr(text.data, "utterances at once"));
    mill_buffer_deinit(&text);
}

/* Other settings are shown; results without a point in common are no comparison. */
static void test_different_loads(void **state) {
    (void)state;
    struct bench_result one = result_with(100, 0.2), other = result_with(100, 0.2);
    struct mill_error err = {""};
    struct mill_buffer text;
    int n_worse;
    snprintf(other.settings, sizeof other.settings, "seed=2");
    write_result(&one, MILL_SCRATCH "/one");
    write_result(&other, MILL_SCRATCH "/other");
    FILE *out = fopen(MILL_SCRATCH "/comparison", "w");
    assert_non_null(out);
    assert_int_equal(bench_result_compare(MILL_SCRATCH "/one/engine.json",
                                          MILL_SCRATCH "/other/engine.json", 0, out, &n_worse,
                                          &err),
                     MILL_OK);
    for (int i = 0; i < other.n_points; i++)
        other.points[i].concurrency += 100;
    write_result(&other, MILL_SCRATCH "/other");
    assert_int_equal(bench_result_compare(MILL_SCRATCH "/one/engine.json",
                                          MILL_SCRATCH "/other/engine.json", 0, out, &n_worse,
                                          &err),
                     MILL_E_INPUT);
    assert_non_null(strstr(err.text, "in common"));
    fclose(out);
    read_text(MILL_SCRATCH "/comparison", &text);
    assert_non_null(strstr(text.data, "  before: model=\"x\" & <y>\n  after:  seed=2\n"));
    mill_buffer_deinit(&text);
}

static void test_bad_files(void **state) {
    (void)state;
    struct mill_error err = {""};
    int n_worse;
    const char *path = MILL_SCRATCH "/no-result.json";
    const char *const texts[] = {"", "{", "{}", "{\"points\": 3}", "[1, 2]"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(texts[i], file);
        fclose(file);
        assert_int_equal(bench_result_compare(path, path, 0, stdout, &n_worse, &err), MILL_E_INPUT);
        assert_non_null(strstr(err.text, "no-result.json"));
    }
    assert_int_equal(bench_result_compare("/nowhere", path, 0, stdout, &n_worse, &err),
                     MILL_E_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_compare), cmocka_unit_test(test_files),
                                       cmocka_unit_test(test_different_loads),
                                       cmocka_unit_test(test_bad_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
