/* fuzz_batch_line.c - the bytes as a batch's input: every line is a request with a name and a body,
 * or refused with words; lines lie within the text, one behind the other. */
#include "runtime/jobs/batch_line.h"
#include "runtime/jobs/store_types.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data, *line, *behind = text;
    size_t at = 0, number = 0, before = 0, n;
    while (mill_batch_line_next(text, size, &at, &number, &line, &n)) {
        struct mill_batch_fault fault;
        struct mill_error err = {""};
        json_t *root = NULL;
        require(number > before && line >= behind && n > 0 && line + n <= text + size);
        before = number;
        behind = line + n;
        mill_status status = mill_batch_line_read(&root, line, n, &fault, &err);
        if (status == MILL_OK) {
            size_t bytes = json_string_length(json_object_get(root, "custom_id"));
            require(bytes > 0 && bytes < MILL_JOB_CUSTOM_ID_BYTES);
            require(json_is_object(json_object_get(root, "body")));
        } else {
            require(!root && err.text[0] && fault.code && fault.code[0]);
        }
        json_decref(root);
    }
    require(at == size);
    return 0;
}
