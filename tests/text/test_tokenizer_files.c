/* test_tokenizer_files.c - small and hostile tokenizer files: what fits is read, what does not is
 * refused in one line that names the place and the cause. */
#include "tests/text/text_support.h"

#include "runtime/base/file.h"
#include "runtime/text/tokenizer_cache.h"
#include "runtime/text/tokenizer_files.h"
#include "tests/text/small_tokenizer.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static mill_status parse(const json_t *root, struct mill_tokenizer **out, struct mill_error *err) {
    char *text = json_dumps(root, 0);
    assert_non_null(text);
    mill_status status = mill_tokenizer_parse_json(out, "t.json", text, strlen(text), err);
    free(text);
    return status;
}

/* Takes `root`. */
static void check_refused(json_t *root, const char *said) {
    struct mill_tokenizer *tokenizer;
    struct mill_error err = {0};
    assert_int_equal(parse(root, &tokenizer, &err), MILL_E_INPUT);
    assert_null(tokenizer);
    if (!strstr(err.text, said) || strncmp(err.text, "'t.json'", 8) != 0)
        fail_msg("'%s' does not say '%s'", err.text, said);
    json_decref(root);
}

static void a_small_tokenizer_is_read(void **state) {
    (void)state;
    json_t *root = text_small_tokenizer();
    struct mill_tokenizer *tokenizer;
    struct mill_encoder *encoder;
    struct mill_error err = {0};
    if (parse(root, &tokenizer, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(mill_tokenizer_control_tokens(tokenizer)->semantic.n, 2);
    assert_int_equal(mill_encoder_open(&encoder, tokenizer, NULL), MILL_OK);
    text_check_ids(encoder, "abc", (const int32_t[]){258, -1}); /* b c first: its rank is lower */
    text_check_ids(encoder, "abab", (const int32_t[]){256, 256, -1});
    mill_encoder_close(encoder);
    mill_tokenizer_close(tokenizer);
    json_decref(root);
}

static void other_kinds_are_refused_by_name(void **state) {
    (void)state;
    static const struct {
        const char *parent, *key, *value, *said;
    } cases[] = {
        {NULL, "normalizer", "{\"type\": \"NFKC\"}", "normalizer is {\"type\":\"NFKC\"}"},
        {NULL, "normalizer", "null", "normalizer is null"},
        {NULL, "truncation", "{}", "truncation is {}"},
        {NULL, "padding", "{}", "padding is {}"},
        {NULL, "post_processor", "{\"type\": \"BertProcessing\"}", "post_processor.type"},
        {NULL, "pre_tokenizer", "{\"type\": \"Whitespace\"}", "pre_tokenizer.type"},
        {NULL, "pre_tokenizer", "[]", "pre_tokenizer.type is missing"},
        {"pre_tokenizer", "pretokenizers", "[]", "pre_tokenizer.pretokenizers"},
        {NULL, "model", "3", "model"},
        {"model", "type", "\"Unigram\"", "model.type is \"Unigram\""},
        {"model", "dropout", "0.1", "model.dropout"},
        {"model", "unk_token", "\"x\"", "model.unk_token"},
        {"model", "byte_fallback", "true", "model.byte_fallback"},
        {"model", "ignore_merges", "true", "model.ignore_merges"},
        {"model", "continuing_subword_prefix", "\"##\"", "continuing_subword_prefix"},
        {"model", "vocab", "[]", "model.vocab: not an object"},
        {"model", "vocab", "{}", "model.merges[0]: 'b' is not a token"},
        {"model", "merges", "{}", "model.merges is not a list"},
        {"model", "merges", "[\"ab\"]", "model.merges[0]"},
        {"model", "merges", "[\"a b c\"]", "model.merges[0]"},
        {"model", "merges", "[[\"a\"]]", "model.merges[0]"},
        {"model", "merges", "[[\"a\", 3]]", "model.merges[0]"},
        {"model", "merges", "[\"b c\", \"a a\"]", "model.merges[1]: 'aa' is not a token"},
        {"model", "merges", "[\"b c\", \"b c\"]", "merge 1 repeats merge 0"},
        {NULL, "added_tokens", "{}", "added_tokens is not a list"},
        {NULL, "added_tokens", "[3]", "added_tokens[0]"},
        {NULL, "added_tokens", "[]", "<|im_end|> is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *root = text_small_tokenizer();
        json_t *parent = cases[i].parent ? json_object_get(root, cases[i].parent) : root;
        json_object_set_new(parent, cases[i].key,
                            json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
        check_refused(root, cases[i].said);
    }
}

static void another_expression_is_refused(void **state) {
    (void)state;
    json_t *root = text_small_tokenizer();
    json_t *steps = json_object_get(json_object_get(root, "pre_tokenizer"), "pretokenizers");
    json_object_set_new(json_object_get(json_array_get(steps, 0), "pattern"), "Regex",
                        json_string("\\p{N}{1,3}"));
    check_refused(root, "not the published expression");
}

static void bad_tokens_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *key, *value, *said;
    } cases[] = {{"x", "-1", "id -1 is not in"},
                 {"x", "99999999999", "id 99999999999 is not in"},
                 {"x", "1.5", "not a whole number"},
                 {"x", "0", "id 0 is another token's already"},
                 {"", "400", "without a name"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *root = text_small_tokenizer();
        json_object_set_new(json_object_get(json_object_get(root, "model"), "vocab"), cases[i].key,
                            json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
        check_refused(root, cases[i].said);
    }
    json_t *root = text_small_tokenizer();
    json_object_del(json_object_get(json_object_get(root, "model"), "vocab"), "!");
    check_refused(root, "no token stands for the byte 0x21");
}

static void bad_added_tokens_are_refused(void **state) {
    (void)state;
    char long_name[400];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    const struct {
        const char *key;
        json_t *value;
        const char *said;
    } cases[] = {{"lstrip", json_true(), "lstrip is not false"},
                 {"single_word", json_integer(0), "single_word is not false"},
                 {"normalized", json_null(), "needs id"},
                 {"id", json_string("3"), "needs id"},
                 {"id", json_integer(0), "id 0 is another token's already"},
                 {"content", json_string(""), "without a name"},
                 {"content", json_string("<|task_tts|>"), "stands twice"},
                 {"content", json_string("e\xcc\x81"), "beyond Latin letters"},
                 {"content", json_string(long_name), "more than 256 bytes"},
                 {"content", json_string("other"), "<|im_end|> is missing"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *root = text_small_tokenizer();
        json_t *first = json_array_get(json_object_get(root, "added_tokens"), 0); /* im_end */
        json_object_set_new(first, cases[i].key, cases[i].value);
        check_refused(root, cases[i].said);
    }
}

static void holes_in_families_are_refused(void **state) {
    (void)state;
    json_t *root = text_small_tokenizer();
    json_t *list = json_object_get(root, "added_tokens");
    size_t i;
    json_t *token;
    json_array_foreach(list, i, token) {
        if (strcmp(json_string_value(json_object_get(token, "content")),
                   "<|bicodec_semantic_0|>") == 0)
            json_object_set_new(token, "content", json_string("<|bicodec_semantic_7|>"));
    }
    check_refused(root, "<|bicodec_semantic_0|> is missing");
}

static void broken_json_and_duplicate_keys_are_refused(void **state) {
    (void)state;
    static const char *const texts[] = {
        "", "{", "[]", "{\"a\":1,\"a\":2}", "\xff", "{\"model\":{}}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct mill_tokenizer *tokenizer;
        struct mill_error err = {0};
        assert_int_equal(
            mill_tokenizer_parse_json(&tokenizer, "t.json", texts[i], strlen(texts[i]), &err),
            MILL_E_INPUT);
        assert_non_null(strstr(err.text, "'t.json'"));
    }
}

static void check_folder(const char *name, const char *vocab, const char *merges, const char *added,
                         mill_status expected, const char *said) {
    char folder[1024];
    snprintf(folder, sizeof folder, "%s/%s", MILL_SCRATCH, name);
    assert_int_equal(mill_folder_make(folder, NULL), MILL_OK);
    if (vocab)
        text_write_file(folder, "vocab.json", vocab, strlen(vocab));
    if (merges)
        text_write_file(folder, "merges.txt", merges, strlen(merges));
    if (added)
        text_write_file(folder, "added_tokens.json", added, strlen(added));
    struct mill_tokenizer *tokenizer;
    struct mill_error err = {0};
    mill_status status = mill_tokenizer_open(&tokenizer, folder, &err);
    if (status != expected || !strstr(err.text, said))
        fail_msg("%s: status %d, '%s' does not say '%s'", name, status, err.text, said);
}

static void three_files_are_checked(void **state) {
    (void)state;
    const char *vocab = "{\"a\":0,\"b\":1,\"ab\":2}", *merges = "#version: 0.2\na b\n";
    check_folder("three-none", NULL, NULL, NULL, MILL_E_NOT_FOUND,
                 "neither tokenizer.json nor vocab.json");
    check_folder("three-one", vocab, NULL, NULL, MILL_E_NOT_FOUND, "merges.txt");
    check_folder("three-two", vocab, merges, NULL, MILL_E_NOT_FOUND, "added_tokens.json");
    check_folder("three-list", "[]", merges, "{}", MILL_E_INPUT, "vocab.json': not an object");
    check_folder("three-line", vocab, "#version: 0.2\na b\n\n", "{}", MILL_E_INPUT,
                 "merges.txt': line 3");
    check_folder("three-unknown", vocab, "a c\n", "{}", MILL_E_INPUT,
                 "merges.txt': line 1: 'c' is not a token");
    check_folder("three-id", vocab, merges, "{\"x\": \"3\"}", MILL_E_INPUT,
                 "added_tokens.json': token 'x'");
    check_folder("three-bytes", vocab, merges, "{}", MILL_E_INPUT, "no token stands for the byte");
}

#define CACHED_FOLDER MILL_SCRATCH "/tokenizer-cached"
#define CACHED_FILE CACHED_FOLDER "/tokenizer.json"

/* Takes `root`. */
static void check_cached(json_t *root, int32_t ab) {
    static const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    struct mill_cached_tokenizer cached;
    struct mill_encoder *encoder;
    assert_int_equal(json_dump_file(root, CACHED_FILE, 0), 0);
    json_decref(root);
    assert_int_equal(utimensat(AT_FDCWD, CACHED_FILE, times, 0), 0);
    for (int i = 0; i < 2; i++) { /* it is made, and is there */
        assert_int_equal(mill_cached_tokenizer_open(&cached, CACHED_FOLDER, CACHED_FOLDER, NULL),
                         MILL_OK);
        assert_true(i == 0 || cached.mapping.data);
        assert_int_equal(mill_encoder_open(&encoder, cached.tokenizer, NULL), MILL_OK);
        text_check_ids(encoder, "ab", (const int32_t[]){ab, -1});
        mill_encoder_close(encoder);
        mill_cached_tokenizer_close(&cached);
    }
}

/* A file of the same size and time is another one all the same. */
static void another_tokenizer_of_one_time_is_not_the_cached_one(void **state) {
    (void)state;
    json_t *root = text_small_tokenizer();
    json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    assert_int_equal(mill_folder_make(CACHED_FOLDER, NULL), MILL_OK);
    check_cached(json_deep_copy(root), 256);
    json_object_set_new(vocab, "ab", json_integer(257));
    json_object_set_new(vocab, "bc", json_integer(256));
    check_cached(root, 257);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_tokenizer_is_read),
        cmocka_unit_test(other_kinds_are_refused_by_name),
        cmocka_unit_test(another_expression_is_refused),
        cmocka_unit_test(bad_tokens_are_refused),
        cmocka_unit_test(bad_added_tokens_are_refused),
        cmocka_unit_test(holes_in_families_are_refused),
        cmocka_unit_test(broken_json_and_duplicate_keys_are_refused),
        cmocka_unit_test(three_files_are_checked),
        cmocka_unit_test(another_tokenizer_of_one_time_is_not_the_cached_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
