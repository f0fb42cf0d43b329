/* fuzz_form.c - the bytes as a form: the first line is its type, the rest its body. Fields lie
 * within the body or the form's own memory. */
#include "runtime/server/form.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t type_size = end ? (size_t)(end - data) : 0;
    char *type = malloc(type_size + 1);
    require(type != NULL);
    memcpy(type, data, type_size);
    type[type_size] = '\0';
    const char *body = (const char *)data + (end ? type_size + 1 : 0);
    size_t body_size = size - (end ? type_size + 1 : 0);
    struct mill_form form;
    struct mill_error err;
    mill_status status = mill_form_read(&form, type, body, body_size, &err);
    require_message(status, &err);
    unsigned sum = 0;
    for (size_t i = 0; status == MILL_OK && i < form.n_fields; i++) {
        const struct mill_form_field *field = &form.fields[i];
        require(field->name[0] != '\0' && mill_form_find(&form, field->name) == field);
        require(field->size <= body_size);
        for (size_t j = 0; j < field->size; j++)
            sum += (unsigned char)field->data[j];
    }
    require(sum < UINT32_MAX);
    if (status == MILL_OK)
        mill_form_deinit(&form);
    free(type);
    return 0;
}
