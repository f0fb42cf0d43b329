/* text_support.c - see text_support.h. */
#include "tests/text/text_support.h"

#include "runtime/base/file.h"
#include "runtime/text/published_tokenizer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *text_published_folder(const char *name) {
    static char folder[1024];
    struct mill_error err = {0};
    snprintf(folder, sizeof folder, "%s/%s", MILL_SCRATCH, name);
    if (mill_folder_make(folder, &err) < 0 || mill_published_tokenizer_write(folder, &err) < 0)
        fail_msg("%s", err.text);
    return folder;
}

void text_write_file(const char *folder, const char *name, const void *data, size_t size) {
    struct mill_error err = {0};
    char *path = mill_path_join(folder, name);
    assert_non_null(path);
    if (mill_file_write(path, data, size, &err) < 0)
        fail_msg("%s", err.text);
    free(path);
}

static void check_column(struct mill_encoder *encoder, const json_t *line, const char *column,
                         bool match_added_tokens) {
    const json_t *text = json_object_get(line, "text"), *expected = json_object_get(line, column);
    const char *name = json_string_value(json_object_get(line, "name"));
    const int32_t *ids;
    size_t n;
    struct mill_error err = {0};
    if (mill_encoder_encode(encoder, json_string_value(text), json_string_length(text),
                            match_added_tokens, &ids, &n, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    if (n != json_array_size(expected))
        fail_msg("%s.%s: %zu tokens, not %zu", name, column, n, json_array_size(expected));
    for (size_t i = 0; i < n; i++)
        if (ids[i] != json_integer_value(json_array_get(expected, i)))
            fail_msg("%s.%s: token %zu is %d", name, column, i, ids[i]);
}

void text_check_golden(const struct mill_tokenizer *tokenizer) {
    struct mill_encoder *encoder;
    assert_int_equal(mill_encoder_open(&encoder, tokenizer, NULL), MILL_OK);
    FILE *file = fopen(MILL_GOLDEN "/tokenizer.jsonl", "r");
    assert_non_null(file);
    char *line = NULL;
    size_t capacity = 0, n_lines = 0;
    for (ssize_t n; (n = getline(&line, &capacity, file)) > 0; n_lines++) {
        json_t *golden = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL);
        assert_non_null(golden);
        check_column(encoder, golden, "ids", true);
        check_column(encoder, golden, "plain_ids", false);
        json_decref(golden);
    }
    assert_int_equal(n_lines, 1547);
    free(line);
    fclose(file);
    mill_encoder_close(encoder);
}

void text_check_ids(struct mill_encoder *encoder, const char *text, const int32_t *expected) {
    const int32_t *ids;
    size_t n, n_expected = 0;
    while (expected[n_expected] >= 0)
        n_expected++;
    assert_int_equal(mill_encoder_encode(encoder, text, strlen(text), false, &ids, &n, NULL),
                     MILL_OK);
    assert_int_equal(n, n_expected);
    assert_memory_equal(ids, expected, n * sizeof *ids);
}
