/* test_tokenizer.c - the published tokenizer is reproduced exactly, from every form its files come
 * in, and its compiled image is safe to map. */
#include "tests/text/text_support.h"

#include "runtime/base/file.h"
#include "runtime/base/memory.h"
#include "runtime/text/published_tokenizer.h"
#include "runtime/text/tokenizer_image.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct mill_tokenizer *open_folder(const char *folder) {
    struct mill_tokenizer *tokenizer;
    struct mill_error err = {0};
    if (mill_tokenizer_open(&tokenizer, folder, &err) < 0)
        fail_msg("%s", err.text);
    return tokenizer;
}

static void check_sha256(const char *folder, const char *name, const char *expected) {
    struct mill_mapping mapping;
    char *path = mill_path_join(folder, name);
    assert_int_equal(mill_mapping_open(&mapping, path, NULL), MILL_OK);
    unsigned char digest[32];
    char text[65];
    assert_true(EVP_Digest(mapping.data, mapping.size, digest, NULL, EVP_sha256(), NULL));
    for (int i = 0; i < 32; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(text, expected);
    mill_mapping_close(&mapping);
    free(path);
}

static void published_files_are_equal_byte_for_byte(void **state) {
    (void)state;
    const char *folder = text_published_folder("tokenizer-files");
    check_sha256(folder, "tokenizer.json",
                 "9c8b057d6ca205a429cc3428b9fc815f0d6ee1d53106dd5e5b129ef9db2ff057");
    check_sha256(folder, "added_tokens.json",
                 "3b2b3e1c3fd4e50a340e85e9b76c26ebc2bab0bf72f4c5bb88d085e3929930ac");
    check_sha256(folder, "vocab.json",
                 "ca10d7e9fb3ed18575dd1e277a2579c16d108e32f27439684afa0e10b1440910");
    check_sha256(folder, "merges.txt",
                 "8831e4f1a044471340f7c0a83d7bd71306a5b867e95fd870f74d0c5308a904d5");
}

static void golden_from_tokenizer_json(void **state) {
    (void)state;
    struct mill_tokenizer *tokenizer = open_folder(text_published_folder("tokenizer-pairs"));
    assert_int_equal(mill_tokenizer_vocabulary_size(tokenizer), 165158);
    text_check_golden(tokenizer);
    mill_tokenizer_close(tokenizer);
}

static void golden_from_merges_as_text(void **state) {
    (void)state;
    const char *folder = text_published_folder("tokenizer-text");
    char *path = mill_path_join(folder, "tokenizer.json");
    json_t *root = json_load_file(path, 0, NULL), *texts = json_array();
    json_t *model = json_object_get(root, "model");
    size_t i;
    json_t *pair;
    json_array_foreach(json_object_get(model, "merges"), i, pair) {
        json_array_append_new(texts,
                              json_sprintf("%s %s", json_string_value(json_array_get(pair, 0)),
                                           json_string_value(json_array_get(pair, 1))));
    }
    assert_int_equal(json_array_size(texts), 151387);
    json_object_set_new(model, "merges", texts);
    assert_int_equal(json_dump_file(root, path, JSON_COMPACT), 0);
    json_decref(root);
    free(path);
    struct mill_tokenizer *tokenizer = open_folder(folder);
    text_check_golden(tokenizer);
    mill_tokenizer_close(tokenizer);
}

static void golden_from_three_files(void **state) {
    (void)state;
    const char *folder = text_published_folder("tokenizer-three");
    char *path = mill_path_join(folder, "tokenizer.json");
    assert_int_equal(unlink(path), 0);
    free(path);
    struct mill_tokenizer *tokenizer = open_folder(folder);
    text_check_golden(tokenizer);
    mill_tokenizer_close(tokenizer);
}

static void control_tokens_are_found_by_name(void **state) {
    const struct mill_control_tokens *c = mill_tokenizer_control_tokens(*state);
    assert_int_equal(c->im_end, 151645);
    assert_int_equal(c->task_tts, 165137);
    assert_int_equal(c->task_controllable_tts, 165143);
    assert_int_equal(c->start_content, 165146);
    assert_int_equal(c->end_content, 165152);
    assert_int_equal(c->start_style_label, 165147);
    assert_int_equal(c->end_style_label, 165153);
    assert_int_equal(c->start_acoustic_token, 165149);
    assert_int_equal(c->end_acoustic_token, 165155);
    assert_int_equal(c->start_global_token, 165150);
    assert_int_equal(c->end_global_token, 165156);
    assert_int_equal(c->start_semantic_token, 165151);
    const struct {
        struct mill_token_family family;
        int32_t first, n;
    } families[] = {{c->global, 151665, 4096},   {c->semantic, 155761, 8192},
                    {c->gender, 165032, 3},      {c->pitch_label, 164965, 5},
                    {c->speed_label, 164986, 5}, {c->pitch_value, 163953, 1001},
                    {c->speed_value, 164975, 11}};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        assert_int_equal(families[i].family.n, families[i].n);
        for (int32_t k = 0; k < families[i].n; k++)
            assert_int_equal(families[i].family.ids[k], families[i].first + k);
    }
}

static void image_maps_back(void **state) {
    size_t bytes;
    const void *image = mill_tokenizer_image(*state, &bytes);
    void *copy = mill_alloc_aligned(bytes);
    memcpy(copy, image, bytes);
    struct mill_tokenizer *mapped;
    assert_int_equal(mill_tokenizer_map(&mapped, copy, bytes, NULL), MILL_OK);
    size_t mapped_bytes;
    assert_ptr_equal(mill_tokenizer_image(mapped, &mapped_bytes), copy);
    assert_int_equal(mapped_bytes, bytes);
    text_check_golden(mapped);
    mill_tokenizer_close(mapped);
    free(copy);
}

/* The image with an int32 at `at` replaced must be refused. */
static void check_refused(const char *image, size_t bytes, size_t at, int32_t value) {
    char *copy = mill_alloc_aligned(bytes);
    memcpy(copy, image, bytes);
    memcpy(copy + at, &value, sizeof value);
    struct mill_tokenizer *mapped;
    struct mill_error err = {0};
    if (mill_tokenizer_map(&mapped, copy, bytes, &err) != MILL_E_INPUT)
        fail_msg("%d at byte %zu of the image is accepted", value, at);
    assert_null(mapped);
    assert_non_null(strstr(err.text, "tokenizer image"));
    free(copy);
}

static void broken_images_are_refused(void **state) {
    size_t bytes;
    const char *image = mill_tokenizer_image(*state, &bytes);
    const struct mill_image_header *h = (const void *)image;
    const int32_t values[] = {-1, INT32_MAX, INT32_MIN, 165158};
    for (size_t v = 0; v < sizeof values / sizeof *values; v++)
        for (size_t at = 0; at < offsetof(struct mill_image_header, byte_ids) + sizeof h->byte_ids;
             at += 4)
            if (at < offsetof(struct mill_image_header,
                              names_bytes) || /* any smaller size is fine */
                at >= offsetof(struct mill_image_header, markers))
                check_refused(image, bytes, at, values[v]);
    size_t merge = h->merges_at; /* of a slot in use */
    while (*(const int32_t *)(const void *)(image + merge) < 0)
        merge += sizeof(struct mill_merge);
    check_refused(image, bytes, merge, 165158);
    check_refused(image, bytes, merge + 4, -1);
    check_refused(image, bytes, merge + 8, -1);
    check_refused(image, bytes, merge + 12, 165158);
    for (size_t at = 0; at < sizeof(struct mill_added_token); at += 4)
        check_refused(image, bytes, h->added_at + at, INT32_MAX);
    check_refused(image, bytes, h->families_at, 165158);
    struct mill_tokenizer *mapped;
    for (size_t n = 0; n < sizeof *h + 200; n += 8)
        assert_int_equal(mill_tokenizer_map(&mapped, image, n, NULL), MILL_E_INPUT);
    assert_int_equal(mill_tokenizer_map(&mapped, image + 4, bytes - 4, NULL), MILL_E_INPUT);
}

static int open_published(void **state) {
    struct mill_tokenizer *tokenizer;
    int status = mill_published_tokenizer_open(&tokenizer, NULL);
    *state = tokenizer;
    return status;
}
static int close_published(void **state) {
    mill_tokenizer_close(*state);
    return 0;
}

static void golden_from_the_program(void **state) {
    text_check_golden(*state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_files_are_equal_byte_for_byte),
        cmocka_unit_test(golden_from_tokenizer_json),
        cmocka_unit_test(golden_from_merges_as_text),
        cmocka_unit_test(golden_from_three_files),
        cmocka_unit_test(golden_from_the_program),
        cmocka_unit_test(control_tokens_are_found_by_name),
        cmocka_unit_test(image_maps_back),
        cmocka_unit_test(broken_images_are_refused),
    };
    return cmocka_run_group_tests(tests, open_published, close_published);
}
