/* tokenizer_files.c - a checkpoint's tokenizer files, as bytes nobody vouches for, to a vocabulary.
 *
 * What the files say about how text is treated (normaliser, pre-tokeniser, kind of model) must be
 * what runtime/text does; anything else is refused by name rather than tokenised wrongly. */
#include "runtime/text/tokenizer_files.h"

#include "runtime/base/cursor.h"
#include "runtime/base/file.h"
#include "runtime/io/config.h"
#include "runtime/text/published_tokenizer.h"
#include "runtime/text/vocabulary.h"

#include <stdlib.h>
#include <string.h>

static const size_t MAX_FILE_BYTES = (size_t)1 << 26;

/* A setting the code depends on: `object` must have `key` equal to `wanted` (JSON text), or, when
 * `or_absent`, not have it or have null. */
static mill_status require_setting(const json_t *object, const char *place, const char *key,
                                   const char *wanted, bool or_absent, struct mill_error *err) {
    const json_t *value = json_object_get(object, key);
    if (or_absent && (!value || json_is_null(value)))
        return MILL_OK;
    json_t *expected = json_loads(wanted, JSON_DECODE_ANY, NULL);
    if (!expected)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    bool is_equal = value && json_equal(value, expected);
    json_decref(expected);
    if (is_equal)
        return MILL_OK;
    char *found = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    mill_fail(err, MILL_E_INPUT, "%s.%s is %.120s; only %.200s is supported", place, key,
              found ? found : "missing", wanted);
    free(found);
    return MILL_E_INPUT;
}

/* The pre-tokeniser: a sequence of the published split and of bytes to symbols. */
static mill_status check_pretokeniser(const json_t *root, struct mill_error *err) {
    const json_t *outer = json_object_get(root, "pre_tokenizer");
    MILL_TRY(require_setting(outer, "pre_tokenizer", "type", "\"Sequence\"", false, err));
    const json_t *steps = json_object_get(outer, "pretokenizers");
    if (json_array_size(steps) != 2)
        return mill_fail(err, MILL_E_INPUT,
                         "pre_tokenizer.pretokenizers has not two steps, Split and ByteLevel");
    const json_t *split = json_array_get(steps, 0), *bytes = json_array_get(steps, 1);
    const char *place = "pre_tokenizer.pretokenizers[0]";
    MILL_TRY(require_setting(split, place, "type", "\"Split\"", false, err));
    MILL_TRY(require_setting(split, place, "behavior", "\"Isolated\"", false, err));
    MILL_TRY(require_setting(split, place, "invert", "false", true, err));
    const char *regex =
        json_string_value(json_object_get(json_object_get(split, "pattern"), "Regex"));
    if (!regex || strcmp(regex, mill_published_pattern) != 0)
        return mill_fail(err, MILL_E_INPUT,
                         "%s.pattern.Regex is not the published expression of Qwen2.5 but '%.120s'",
                         place, regex ? regex : "");
    place = "pre_tokenizer.pretokenizers[1]";
    MILL_TRY(require_setting(bytes, place, "type", "\"ByteLevel\"", false, err));
    MILL_TRY(require_setting(bytes, place, "add_prefix_space", "false", false, err));
    return require_setting(bytes, place, "use_regex", "false", false, err);
}

static mill_status check_settings(const json_t *root, const json_t *model, struct mill_error *err) {
    static const struct {
        const char *key, *wanted;
    } of_model[] = {{"dropout", "null"},
                    {"unk_token", "null"},
                    {"continuing_subword_prefix", "\"\""},
                    {"end_of_word_suffix", "\"\""},
                    {"byte_fallback", "false"},
                    {"ignore_merges", "false"}};
    const char *top = "the file";
    MILL_TRY(require_setting(root, top, "truncation", "null", true, err));
    MILL_TRY(require_setting(root, top, "padding", "null", true, err));
    MILL_TRY(require_setting(root, top, "normalizer", "{\"type\": \"NFC\"}", false, err));
    MILL_TRY(check_pretokeniser(root, err));
    const json_t *post = json_object_get(root, "post_processor");
    if (post && !json_is_null(post)) /* this one only concerns offsets */
        MILL_TRY(require_setting(post, "post_processor", "type", "\"ByteLevel\"", false, err));
    MILL_TRY(require_setting(model, "model", "type", "\"BPE\"", false, err));
    for (size_t i = 0; i < sizeof of_model / sizeof *of_model; i++)
        MILL_TRY(require_setting(model, "model", of_model[i].key, of_model[i].wanted, true, err));
    return MILL_OK;
}

/* {"name": id, ...}, as tokens of the model or, as added_tokens.json has them, beside it. That file
 * does not say which ones are normalised, but that is known by name. */
static mill_status read_ids(struct mill_vocabulary *vocabulary, const json_t *object,
                            bool are_added, struct mill_error *err) {
    if (!json_is_object(object))
        return mill_fail(err, MILL_E_INPUT, "not an object of names and ids");
    json_t *walked = (json_t *)(uintptr_t)object; /* the iterator's type, not a change */
    for (void *it = json_object_iter(walked); it; it = json_object_iter_next(walked, it)) {
        const char *name = json_object_iter_key(it);
        size_t bytes = json_object_iter_key_len(it);
        const json_t *id = json_object_iter_value(it);
        if (!json_is_integer(id))
            return mill_fail(err, MILL_E_INPUT, "token '%.80s': its id is not a whole number",
                             name);
        MILL_TRY(
            are_added
                ? mill_vocabulary_add_added(vocabulary, name, bytes, json_integer_value(id),
                                            mill_published_is_normalised(name), err)
                : mill_vocabulary_add_token(vocabulary, name, bytes, json_integer_value(id), err));
    }
    return MILL_OK;
}

/* "left right", one space in all. */
static mill_status read_merge_text(struct mill_vocabulary *vocabulary, const char *text,
                                   size_t size, struct mill_error *err) {
    const char *space = memchr(text, ' ', size);
    size_t n_left = space ? (size_t)(space - text) : 0;
    if (!space || memchr(space + 1, ' ', size - n_left - 1))
        return mill_fail(err, MILL_E_INPUT, "not two parts with one space between them");
    return mill_vocabulary_add_merge(vocabulary, text, n_left, space + 1, size - n_left - 1, err);
}

static mill_status read_merges(struct mill_vocabulary *vocabulary, const json_t *merges,
                               struct mill_error *err) {
    if (!json_is_array(merges))
        return mill_fail(err, MILL_E_INPUT, "model.merges is not a list");
    for (size_t i = 0; i < json_array_size(merges); i++) {
        const json_t *merge = json_array_get(merges, i);
        const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
        mill_status status;
        if (json_is_string(merge))
            status = read_merge_text(vocabulary, json_string_value(merge),
                                     json_string_length(merge), err);
        else if (json_array_size(merge) == 2 && json_is_string(left) && json_is_string(right))
            status = mill_vocabulary_add_merge(vocabulary, json_string_value(left),
                                               json_string_length(left), json_string_value(right),
                                               json_string_length(right), err);
        else
            status = mill_fail(err, MILL_E_INPUT, "neither text nor a pair of texts");
        if (status < 0)
            return mill_context(err, status, "model.merges[%zu]", i);
    }
    return MILL_OK;
}

static mill_status read_added_token(struct mill_vocabulary *vocabulary, const json_t *token,
                                    struct mill_error *err) {
    const json_t *id = json_object_get(token, "id"), *name = json_object_get(token, "content");
    const json_t *normalised = json_object_get(token, "normalized");
    if (!json_is_integer(id) || !json_is_string(name) || !json_is_boolean(normalised))
        return mill_fail(err, MILL_E_INPUT,
                         "needs id (a whole number), content (text) and normalized (true, false)");
    static const char *const refused[] = {"single_word", "lstrip", "rstrip"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const json_t *value = json_object_get(token, refused[i]);
        if (value && !json_is_false(value))
            return mill_fail(err, MILL_E_INPUT, "'%.80s': %s is not false", json_string_value(name),
                             refused[i]);
    }
    return mill_vocabulary_add_added(vocabulary, json_string_value(name), json_string_length(name),
                                     json_integer_value(id), json_is_true(normalised), err);
}

static mill_status read_added_tokens(struct mill_vocabulary *vocabulary, const json_t *tokens,
                                     struct mill_error *err) {
    if (!json_is_array(tokens))
        return mill_fail(err, MILL_E_INPUT, "added_tokens is not a list");
    for (size_t i = 0; i < json_array_size(tokens); i++) {
        mill_status status = read_added_token(vocabulary, json_array_get(tokens, i), err);
        if (status < 0)
            return mill_context(err, status, "added_tokens[%zu]", i);
    }
    return MILL_OK;
}

static mill_status build_from_json(struct mill_tokenizer **out, const json_t *root,
                                   struct mill_error *err) {
    const json_t *model;
    MILL_TRY(mill_config_object(root, "model", &model, err));
    MILL_TRY(check_settings(root, model, err));
    struct mill_vocabulary vocabulary;
    MILL_TRY(mill_vocabulary_init(&vocabulary, err));
    mill_status status = read_ids(&vocabulary, json_object_get(model, "vocab"), false, err);
    if (status < 0)
        mill_context(err, status, "model.vocab");
    if (status == MILL_OK)
        status = read_merges(&vocabulary, json_object_get(model, "merges"), err);
    if (status == MILL_OK)
        status = read_added_tokens(&vocabulary, json_object_get(root, "added_tokens"), err);
    if (status == MILL_OK)
        status = mill_vocabulary_compile(&vocabulary, out, err);
    mill_vocabulary_deinit(&vocabulary);
    return status;
}

/* Takes `root`. */
static mill_status finish_json(struct mill_tokenizer **out, json_t *root, const char *name,
                               struct mill_error *err) {
    mill_status status = build_from_json(out, root, err);
    json_decref(root);
    return status < 0 ? mill_context(err, status, "'%s'", name) : status;
}

mill_status mill_tokenizer_parse_json(struct mill_tokenizer **out, const char *name,
                                      const char *data, size_t size, struct mill_error *err) {
    *out = NULL;
    json_t *root;
    MILL_TRY(mill_json_parse(&root, name, data, size, err));
    return finish_json(out, root, name, err);
}

static mill_status read_merges_file(struct mill_vocabulary *vocabulary, const char *path,
                                    struct mill_error *err) {
    struct mill_buffer text;
    mill_buffer_init(&text, MAX_FILE_BYTES);
    mill_status status = mill_file_read(path, &text, err);
    struct mill_cursor cursor = {.data = (const uint8_t *)text.data, .size = text.size};
    size_t length, number = 0;
    const char *line;
    while (status == MILL_OK && (line = (const char *)mill_cursor_line(&cursor, &length))) {
        if (++number == 1 && length >= 8 && memcmp(line, "#version", 8) == 0)
            continue;
        status = read_merge_text(vocabulary, line, length, err);
        if (status < 0)
            mill_context(err, status, "'%s': line %zu", path, number);
    }
    mill_buffer_deinit(&text);
    return status;
}

static mill_status read_ids_file(struct mill_vocabulary *vocabulary, const char *path,
                                 bool are_added, struct mill_error *err) {
    json_t *root;
    MILL_TRY(mill_json_open(&root, path, MAX_FILE_BYTES, err));
    mill_status status = read_ids(vocabulary, root, are_added, err);
    json_decref(root);
    return status < 0 ? mill_context(err, status, "'%s'", path) : status;
}

static mill_status open_three_files(struct mill_tokenizer **out, const char *folder,
                                    struct mill_error *err) {
    struct mill_vocabulary vocabulary;
    MILL_TRY(mill_vocabulary_init(&vocabulary, err));
    char *names = mill_path_join(folder, "vocab.json");
    char *merges = mill_path_join(folder, "merges.txt");
    char *added = mill_path_join(folder, "added_tokens.json");
    mill_status status = MILL_OK;
    if (!names || !merges || !added)
        status = mill_fail(err, MILL_E_MEMORY, "'%s': no memory", folder);
    if (status == MILL_OK)
        status = read_ids_file(&vocabulary, names, false, err);
    if (status == MILL_E_NOT_FOUND)
        mill_fail(err, status, "'%s': neither tokenizer.json nor vocab.json is there", folder);
    if (status == MILL_OK)
        status = read_merges_file(&vocabulary, merges, err);
    if (status == MILL_OK)
        status = read_ids_file(&vocabulary, added, true, err);
    if (status == MILL_OK && (status = mill_vocabulary_compile(&vocabulary, out, err)) < 0)
        mill_context(err, status, "'%s'", added);
    free(names);
    free(merges);
    free(added);
    mill_vocabulary_deinit(&vocabulary);
    return status;
}

mill_status mill_tokenizer_open(struct mill_tokenizer **out, const char *folder,
                                struct mill_error *err) {
    *out = NULL;
    char *path = mill_path_join(folder, "tokenizer.json");
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "'%s': no memory", folder);
    json_t *root;
    mill_status status = mill_json_open(&root, path, MAX_FILE_BYTES, err);
    if (status == MILL_OK)
        status = finish_json(out, root, path, err);
    else if (status == MILL_E_NOT_FOUND)
        status = open_three_files(out, folder, err);
    free(path);
    return status;
}
