/* test_server_options.c - where an option's value comes from, and which values are refused. */
#include "runtime/base/file.h"
#include "runtime/server/options.h"
#include "tests/support/bad_input.h"

static const char path[] = MILL_SCRATCH "/server_options.yaml";

static void write_file(const char *text) {
    assert_int_equal(mill_file_write(path, text, strlen(text), NULL), MILL_OK);
}

static char *variable(const char *name) {
    static char port[] = "9001", queue[] = "77";
    return strcmp(name, "SPARKMILL_PORT") == 0        ? port
           : strcmp(name, "SPARKMILL_MAX_QUEUE") == 0 ? queue
                                                      : NULL;
}

static char *bad_variable(const char *name) {
    static char many[] = "many";
    return strcmp(name, "SPARKMILL_MAX_RUNNING") == 0 ? many : NULL;
}

/* A flag goes before a variable, a variable before the file, in whatever order they are read. */
static void test_order(void **state) {
    (void)state;
    struct mill_server_options o;
    mill_server_options_init(&o);
    assert_int_equal(o.port, 8000);
    assert_true(o.require_consent);
    assert_int_equal(mill_server_options_set(&o, "port", "9002", MILL_SOURCE_FLAG, NULL), MILL_OK);
    write_file("port: 9000\nmax_queue: 5\nmax_backlog_s: 2.5\nmodel: 'm'\nmodel_name: 7\n"
               "require_consent: false\nkeys:\n");
    struct mill_error err;
    if (mill_server_options_read_file(&o, path, &err) != MILL_OK)
        fail_msg("%s", err.text);
    assert_int_equal(mill_server_options_read_variables(&o, variable, NULL), MILL_OK);
    assert_int_equal(o.port, 9002);
    assert_int_equal(o.max_queue, 77);
    assert_true(o.max_backlog_s == 2.5);
    assert_string_equal(o.model, "m");
    assert_string_equal(o.model_name, "7");
    assert_string_equal(o.keys, "");
    assert_false(o.require_consent);
    mill_server_options_deinit(&o);
}

/* What is printed is a file that gives the same values. */
static void test_print(void **state) {
    (void)state;
    struct mill_server_options o, again;
    struct mill_buffer first, second;
    mill_buffer_init(&first, 1 << 16);
    mill_buffer_init(&second, 1 << 16);
    mill_server_options_init(&o);
    mill_server_options_set(&o, "model", "it's a 'folder'", MILL_SOURCE_FLAG, NULL);
    mill_server_options_set(&o, "max-backlog-s", "0.25", MILL_SOURCE_FLAG, NULL);
    assert_int_equal(mill_server_options_print(&o, &first, NULL), MILL_OK);
    assert_int_equal(mill_buffer_append(&first, "", 1, NULL), MILL_OK);
    write_file(first.data);
    mill_server_options_init(&again);
    struct mill_error err;
    if (mill_server_options_read_file(&again, path, &err) != MILL_OK)
        fail_msg("%s", err.text);
    assert_string_equal(again.model, "it's a 'folder'");
    assert_true(again.max_backlog_s == 0.25);
    struct mill_server_option_info info;
    for (int i = 0; mill_server_options_info(i, &info); i++)
        assert_int_equal(again.source[i], MILL_SOURCE_FILE);
    assert_non_null(strstr(first.data, "(a flag)"));
    mill_buffer_deinit(&first);
    mill_buffer_deinit(&second);
    mill_server_options_deinit(&o);
    mill_server_options_deinit(&again);
}

static void refuse_file(const char *text, const char *parts) {
    struct mill_server_options o;
    struct mill_error err;
    mill_server_options_init(&o);
    write_file(text);
    assert_refused(mill_server_options_read_file(&o, path, &err), &err, parts);
    mill_server_options_deinit(&o);
}

static void test_refused(void **state) {
    (void)state;
    struct mill_server_options o;
    struct mill_error err;
    refuse_file("prot: 8000\n", "server_options.yaml|'prot'");
    refuse_file("port: 70000\n", "port '70000'|0 to 65535");
    refuse_file("port: [1]\n", "'port'|one value");
    refuse_file("port: 1.5\n", "port '1.5'|whole number");
    refuse_file("anonymous: 1\n", "true or false");
    refuse_file("- port\n", "option: value");
    mill_server_options_init(&o);
    assert_int_equal(mill_server_options_set(&o, "max_backlog_s", "nan", MILL_SOURCE_FLAG, &err),
                     MILL_E_INPUT);
    assert_refused(mill_server_options_read_variables(&o, bad_variable, &err), &err,
                   "SPARKMILL_MAX_RUNNING|many|whole number");
    assert_refused(mill_server_options_check(&o, &err), &err, "--model");
    mill_server_options_set(&o, "model", "m", MILL_SOURCE_FLAG, NULL);
    assert_int_equal(mill_server_options_check(&o, &err), MILL_OK);
    mill_server_options_set(&o, "host", "0.0.0.0", MILL_SOURCE_FLAG, NULL);
    assert_refused(mill_server_options_check(&o, &err), &err, "0.0.0.0|keys|--anonymous");
    mill_server_options_set(&o, "keys", "k", MILL_SOURCE_FLAG, NULL);
    assert_int_equal(mill_server_options_check(&o, &err), MILL_OK);
    mill_server_options_set(&o, "tls_key", "k", MILL_SOURCE_FLAG, NULL);
    assert_refused(mill_server_options_check(&o, &err), &err, "tls_cert and tls_key");
    mill_server_options_set(&o, "model_name", "a\"b", MILL_SOURCE_FLAG, NULL);
    assert_refused(mill_server_options_check(&o, &err), &err, "model_name");
    mill_server_options_deinit(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order), cmocka_unit_test(test_print),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
