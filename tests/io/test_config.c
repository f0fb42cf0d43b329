/* test_config.c - JSON and YAML files as values, the traps of the published configuration files,
 * and the getters' messages. */
#include "runtime/base/file.h"
#include "runtime/io/config.h"
#include "tests/support/bad_input.h"

#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

typedef mill_status parse_fn(json_t **out, const char *name, const char *data, size_t size,
                             struct mill_error *err);

static json_t *parse(parse_fn *fn, const char *text) {
    json_t *json;
    struct mill_error err;
    if (fn(&json, "c", text, strlen(text), &err) != MILL_OK)
        fail_msg("%s", err.text);
    return json;
}

static void assert_bad(parse_fn *fn, const char *text, size_t size, const char *wanted) {
    /* a block of its own size, so that a sanitizer sees reads past its end */
    char *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, text, size);
    json_t *json;
    struct mill_error err;
    mill_status status = fn(&json, "c.conf", copy, size, &err);
    assert_refused(status, &err, "'c.conf'");
    assert_refused(status, &err, wanted);
    assert_null(json);
    free(copy);
}

/* Compares with the JSON text of what is wanted. */
static void assert_yaml(const char *yaml, const char *wanted) {
    json_t *found = parse(mill_yaml_parse, yaml);
    json_t *expected = json_loads(wanted, JSON_DECODE_ANY, NULL);
    assert_non_null(expected);
    if (!json_equal(found, expected)) {
        char *text = json_dumps(found, JSON_ENCODE_ANY);
        fail_msg("%s gives %s, not %s", yaml, text, wanted);
    }
    json_decref(found);
    json_decref(expected);
}

static void yaml_values(void **state) {
    (void)state;
    assert_yaml("\xef\xbb\xbf"
                "a: 1\r\nb: 2\r\n",
                "{\"a\":1,\"b\":2}"); /* by Windows */
    assert_yaml("a: 1\nb: -2\nc: +3\nd: 0o17\ne: 0xFf\n",
                "{\"a\":1,\"b\":-2,\"c\":3,\"d\":15,\"e\":255}");
    assert_yaml("a: 2.4\nb: 1e-06\nc: .5\nd: 5.\ne: -1.5E+3",
                "{\"a\":2.4,\"b\":1e-6,\"c\":0.5,\"d\":5.0,\"e\":-1500.0}");
    assert_yaml("[true, True, TRUE, false, False, FALSE]", "[true,true,true,false,false,false]");
    assert_yaml("a: null\nb: ~\nc:\nd: Null\ne: NULL\n",
                "{\"a\":null,\"b\":null,\"c\":null,\"d\":null,\"e\":null}");
    assert_yaml("a: '1'\nb: \"true\"\nc: 'null'\nd: \"\"\ne: |\n  12\n",
                "{\"a\":\"1\",\"b\":\"true\",\"c\":\"null\",\"d\":\"\",\"e\":\"12\\n\"}");
    assert_yaml("[yes, on, 1_000, 0b1, 1e, ., -, 1.2.3, 0x, \"-\"]",
                "[\"yes\",\"on\",\"1_000\",\"0b1\",\"1e\",\".\",\"-\",\"1.2.3\",\"0x\",\"-\"]");
    assert_yaml("9223372036854775807", "9223372036854775807");
    assert_yaml("- - 1\n  - 2\n- {a: [], b: {}}\n", "[[1,2],{\"a\":[],\"b\":{}}]");
    assert_yaml("---\na: 1\n...\n", "{\"a\":1}");
    assert_yaml("1: x\ntrue: y\n", "{\"1\":\"x\",\"true\":\"y\"}");
}

/* Trailing spaces, a line of spaces, blank lines at the end, flow lists, comments behind values. */
static void published_traps(void **state) {
    (void)state;
    assert_yaml("highpass_cutoff_freq: 40\n"
                "sample_rate: 16000 \n"
                "segment_duration: 2.4 # (s)\n"
                "volume_normalize: true",
                "{\"highpass_cutoff_freq\":40,\"sample_rate\":16000,\"segment_duration\":2.4,"
                "\"volume_normalize\":true}");
    assert_yaml("audio_tokenizer: \n"
                "  mel_params:\n"
                "    mel_fmin: 10 \n"
                "    mel_fmax: null\n"
                "    \n"
                "  decoder:\n"
                "    rates: [8, 5, 4, 2]\n"
                "    kernel_sizes: [16,11,8,4]\n"
                "  postnet: \n"
                "    use_tanh_at_final: False\n"
                "\n\n",
                "{\"audio_tokenizer\":{\"mel_params\":{\"mel_fmin\":10,\"mel_fmax\":null},"
                "\"decoder\":{\"rates\":[8,5,4,2],\"kernel_sizes\":[16,11,8,4]},"
                "\"postnet\":{\"use_tanh_at_final\":false}}}");
}

static void bad_yaml(void **state) {
    (void)state;
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"", "nothing"},
        {"# only a comment\n", "nothing"},
        {"a: 1\nb: &x 2\n", "line 2|anchors (&x)"},
        {"a: &x [1]\n", "line 1|anchors"},
        {"a: &x {b: 1}\n", "line 1|anchors"},
        {"a: 1\n\nb: *x\n", "line 3|aliases (*x)"},
        {"a: !!int 1\n", "line 1|tags"},
        {"a: !x [1]\n", "line 1|tags"},
        {"a: !!python/object/apply:os.system ['ls']\n", "line 1|tags"},
        {"a: 1\n---\nb: 2\n", "line 2|second document"},
        {"a: 1\nb: 2\na: 3\n", "line 3|'a' occurs twice"},
        {"a: {b: 1, b: 1}\n", "line 1|'b' occurs twice"},
        {"a: 1\n<<: {b: 1}\n", "line 2|merge"},
        {"? [a]\n: 1\n", "line 1|key that is a list"},
        {"{{a: 1}: 2}\n", "line 1|key that is a list or a mapping"},
        {"a: .inf\n", "line 1|not a finite"},
        {"a: .nan\n", "line 1|not a finite"},
        {"a: 1e999\n", "line 1|1e999"},
        {"a: 9223372036854775808\n", "line 1|too large"},
        {"a: \"x\\0y\"\n", "line 1|zero byte"},
        {"a: [1, 2\n", "line 2|"},
        {"a: 1\n b: 2\n", "line 2|"},
        {"a: \"x\n", "line 2|"},
        {"a:\t1\n\tb: 2\n", "line 2|"},
        {"a: \xff\n", "byte 3|UTF-8"},
        {"\xff\xfe"
         "a: 1",
         "UTF-8"},
        {"a: \x01\n", "byte 3|"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_bad(mill_yaml_parse, cases[i].text, strlen(cases[i].text), cases[i].wanted);
}

static void deep_yaml(void **state) {
    (void)state;
    char text[200];
    memset(text, '[', 32);
    memset(text + 32, ']', 32);
    text[64] = '\0';
    json_decref(parse(mill_yaml_parse, text)); /* 32 levels are possible */
    memset(text, '[', sizeof text);
    assert_bad(mill_yaml_parse, text, sizeof text, "line 1|deeper than 32");
    for (size_t i = 0; i < sizeof text; i += 2)
        memcpy(text + i, "- ", 2);
    assert_bad(mill_yaml_parse, text, sizeof text, "line 1|deeper than 32");
}

static void bad_json(void **state) {
    (void)state;
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"", "line 1"},
        {"{", "line 1, byte 1|"},
        {"{\"a\":1,\n\"a\":2}", "line 2, byte|duplicate"},
        {"{\"a\":1}}", "line 1|end of file"},
        {"{'a':1}", "line 1"},
        {"{\"a\":NaN}", "line 1"},
        {"{\"a\":1e999}", "real number overflow"},
        {"{\"a\":99999999999999999999}", "too big integer"},
        {"{\"a\":\"\xff\"}", "line 1, byte|decode"},
        {"{\"a\":\"\\u0000\"}", "NUL"},
        {"{\"a\":\"\\ud800\"}", "Unicode"},
        {"3", "line 1"},
        {"[1,]", "line 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_bad(mill_json_parse, cases[i].text, strlen(cases[i].text), cases[i].wanted);
    static char deep[100000];
    memset(deep, '[', sizeof deep);
    assert_bad(mill_json_parse, deep, sizeof deep, "line 1|depth");
}

static void getters(void **state) {
    (void)state;
    json_t *c = parse(mill_json_parse, "{\"i\":5,\"r\":0.5,\"s\":\"x\",\"o\":{},\"l\":[1,2,3],"
                                       "\"bad\":[1,\"2\"],\"n\":null,\"b\":true}");
    struct mill_error err;
    int64_t i;
    assert_int_equal(mill_config_int(c, "i", 0, 5, &i, &err), MILL_OK);
    assert_int_equal(i, 5);
    assert_refused(mill_config_int(c, "i", 0, 4, &i, &err), &err, "'i' is 5, not from 0 to 4");
    assert_refused(mill_config_int(c, "i", 6, 9, &i, &err), &err, "'i' is 5, not from 6 to 9");
    assert_refused(mill_config_int(c, "none", 0, 4, &i, &err), &err, "'none' is missing");
    assert_refused(mill_config_int(c, "r", 0, 4, &i, &err), &err, "'r' is a fraction");
    assert_refused(mill_config_int(c, "n", 0, 4, &i, &err), &err, "'n' is null");
    assert_refused(mill_config_int(c, "b", 0, 4, &i, &err), &err, "'b' is a truth value");
    assert_refused(mill_config_int(NULL, "b", 0, 4, &i, &err), &err, "'b' is missing");
    assert_refused(mill_config_int(json_object_get(c, "l"), "b", 0, 4, &i, &err), &err,
                   "'b' is missing");
    double r;
    assert_int_equal(mill_config_number(c, "r", 0, 1, &r, &err), MILL_OK);
    assert_true(r == 0.5);
    assert_int_equal(mill_config_number(c, "i", 0, 10, &r, &err), MILL_OK);
    assert_true(r == 5.0);
    assert_refused(mill_config_number(c, "r", 1, 2, &r, &err), &err, "'r' is 0.5, not from 1 to 2");
    assert_refused(mill_config_number(c, "s", 1, 2, &r, &err), &err, "'s' is text");
    const char *text;
    assert_int_equal(mill_config_text(c, "s", &text, &err), MILL_OK);
    assert_string_equal(text, "x");
    assert_refused(mill_config_text(c, "i", &text, &err), &err, "'i' is a whole number, not text");
    const json_t *object;
    assert_int_equal(mill_config_object(c, "o", &object, &err), MILL_OK);
    assert_refused(mill_config_object(c, "l", &object, &err), &err, "'l' is a list");
    int32_t list[3], n = -1;
    assert_int_equal(mill_config_ints(c, "l", 0, 9, list, 3, &n, &err), MILL_OK);
    assert_int_equal(n, 3);
    assert_int_equal(list[2], 3);
    assert_refused(mill_config_ints(c, "l", 0, 9, list, 2, &n, &err), &err, "'l' has 3 entries");
    assert_refused(mill_config_ints(c, "l", 0, 2, list, 3, &n, &err), &err, "'l'[2] is 3");
    assert_refused(mill_config_ints(c, "bad", 0, 2, list, 3, &n, &err), &err, "'bad'[1] is text");
    assert_refused(mill_config_ints(c, "o", 0, 2, list, 3, &n, &err), &err, "'o' is a group");
    json_decref(c);
}

static void unknown_members(void **state) {
    (void)state;
    static const char *const names[] = {"a", "b", NULL}, *const none[] = {NULL};
    json_t *object = json_pack("{s:i, s:i, s:i}", "b", 1, "c", 2, "d", 3);
    assert_string_equal(mill_config_find_unknown(object, names), "c");
    json_object_del(object, "c");
    json_object_del(object, "d");
    assert_null(mill_config_find_unknown(object, names));
    assert_string_equal(mill_config_find_unknown(object, none), "b");
    json_decref(object);
}

static void files(void **state) {
    (void)state;
    json_t *json;
    struct mill_error err;
    assert_int_equal(mill_file_write(MILL_SCRATCH "/config.json", "{\"a\":1}", 7, NULL), MILL_OK);
    assert_int_equal(mill_json_open(&json, MILL_SCRATCH "/config.json", 100, &err), MILL_OK);
    json_decref(json);
    assert_refused(mill_json_open(&json, MILL_SCRATCH "/config.json", 6, &err), &err,
                   "config.json'|limit of 6 bytes");
    assert_int_equal(mill_file_write(MILL_SCRATCH "/config.yaml", "a: 1", 4, NULL), MILL_OK);
    assert_int_equal(mill_yaml_open(&json, MILL_SCRATCH "/config.yaml", 100, &err), MILL_OK);
    json_decref(json);
    assert_int_equal(mill_yaml_open(&json, MILL_SCRATCH "/none.yaml", 6, &err), MILL_E_NOT_FOUND);
    assert_null(json);
}

/* In a program that has set a locale of its own, as those with windows do. */
static void locale_with_commas(void **state) {
    (void)state;
    static const char text[] = "LC_NUMERIC\ndecimal_point \",\"\nthousands_sep \"\"\ngrouping -1\n"
                               "END LC_NUMERIC\n";
    assert_int_equal(mill_file_write(MILL_SCRATCH "/commas.txt", text, sizeof text - 1, NULL),
                     MILL_OK);
    pid_t child = fork();
    if (child == 0) {
        dup2(open("/dev/null", O_WRONLY), STDERR_FILENO); /* it misses the other categories */
        execlp("localedef", "localedef", "-c", "-i", MILL_SCRATCH "/commas.txt",
               MILL_SCRATCH "/xx_XX", (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(setenv("LOCPATH", MILL_SCRATCH, 1), 0);
    if (!setlocale(LC_NUMERIC, "xx_XX")) /* a C library without locales */
        skip();
    assert_int_equal(*localeconv()->decimal_point, ',');
    json_t *yaml = parse(mill_yaml_parse, "a: 2.5\nb: 1e-3"),
           *json = parse(mill_json_parse, "{\"a\": 2.5}");
    setlocale(LC_NUMERIC, "C");
    double value = 0;
    assert_int_equal(mill_config_number(yaml, "a", 0, 9, &value, NULL), MILL_OK);
    assert_true(value == 2.5);
    assert_int_equal(mill_config_number(yaml, "b", 0, 9, &value, NULL), MILL_OK);
    assert_true(value == 1e-3);
    assert_int_equal(mill_config_number(json, "a", 0, 9, &value, NULL), MILL_OK);
    assert_true(value == 2.5);
    json_decref(yaml);
    json_decref(json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yaml_values),        cmocka_unit_test(published_traps),
        cmocka_unit_test(bad_yaml),           cmocka_unit_test(deep_yaml),
        cmocka_unit_test(bad_json),           cmocka_unit_test(getters),
        cmocka_unit_test(unknown_members),    cmocka_unit_test(files),
        cmocka_unit_test(locale_with_commas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
