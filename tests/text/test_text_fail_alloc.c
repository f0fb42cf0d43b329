/* test_text_fail_alloc.c - memory that runs short at every single allocation in turn: a clean error
 * and nothing left behind. */
#include "tests/text/text_support.h"

#include "runtime/text/prompt.h"
#include "runtime/text/tokenizer_files.h"
#include "tests/support/fail_alloc.h"
#include "tests/text/small_tokenizer.h"

#include <stdlib.h>
#include <string.h>

static mill_status read_and_encode(void *context, struct mill_error *err) {
    /* A word beyond the stack's size, a decomposed letter, a control token. */
    static const char text[] = "abc abcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabc"
                               "abcabcabcabcabcabcabcabcabcabcabcabcabcabc e\xcc\x81 <|im_end|>";
    const char *json = context;
    struct mill_tokenizer *tokenizer;
    struct mill_encoder *encoder = NULL;
    struct mill_prompt prompt = {0};
    mill_status status = mill_tokenizer_parse_json(&tokenizer, "t.json", json, strlen(json), err);
    if (status == MILL_OK)
        status = mill_encoder_open(&encoder, tokenizer, err);
    const int32_t *ids;
    size_t n;
    if (status == MILL_OK)
        status = mill_encoder_encode(encoder, text, sizeof text - 1, true, &ids, &n, err);
    const struct mill_create_prompt create = {
        .text = text, .text_bytes = sizeof text - 1, .pitch_value = -1, .speed_value = -1};
    if (status == MILL_OK)
        status = mill_prompt_create(&prompt, encoder, mill_tokenizer_control_tokens(tokenizer),
                                    &create, err);
    mill_prompt_deinit(&prompt);
    mill_encoder_close(encoder);
    mill_tokenizer_close(tokenizer);
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    if (!mill_fail_alloc_works())
        skip();
    json_t *root = text_small_tokenizer();
    char *json = json_dumps(root, 0);
    assert_true(mill_fail_alloc_sweep(read_and_encode, json) > 100);
    free(json);
    json_decref(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
