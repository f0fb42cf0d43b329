/* batch_line.c - see batch_line.h. */
#include "runtime/jobs/batch_line.h"

#include "runtime/io/config.h"
#include "runtime/jobs/store_types.h"

#include <string.h>

static bool is_blank(const char *line, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (!strchr(" \t\r", line[i]) || line[i] == '\0')
            return false;
    return true;
}

bool mill_batch_line_next(const char *text, size_t size, size_t *at, size_t *number,
                          const char **line, size_t *line_size) {
    while (*at < size) {
        const char *start = text + *at, *end = memchr(start, '\n', size - *at);
        size_t n = end ? (size_t)(end - start) : size - *at;
        *at += n + (end != NULL);
        ++*number;
        if (is_blank(start, n))
            continue;
        *line = start;
        *line_size = n;
        return true;
    }
    return false;
}

static mill_status check_fields(const json_t *root, struct mill_batch_fault *fault,
                                struct mill_error *err) {
    const json_t *custom_id = json_object_get(root, "custom_id");
    const char *method = json_string_value(json_object_get(root, "method"));
    const char *url = json_string_value(json_object_get(root, "url"));
    *fault = (struct mill_batch_fault){"invalid_custom_id", "custom_id"};
    if (!json_is_string(custom_id) || json_string_length(custom_id) == 0 ||
        json_string_length(custom_id) >= MILL_JOB_CUSTOM_ID_BYTES)
        return mill_fail(err, MILL_E_INPUT, "custom_id: a text of 1 to %d bytes is wanted",
                         MILL_JOB_CUSTOM_ID_BYTES - 1);
    *fault = (struct mill_batch_fault){"invalid_method", "method"};
    if (!method || strcmp(method, "POST") != 0)
        return mill_fail(err, MILL_E_INPUT, "method: \"POST\" is wanted");
    *fault = (struct mill_batch_fault){"invalid_url", "url"};
    if (!url || strcmp(url, MILL_BATCH_ENDPOINT) != 0)
        return mill_fail(err, MILL_E_INPUT, "url: \"" MILL_BATCH_ENDPOINT "\" is wanted");
    *fault = (struct mill_batch_fault){"invalid_body", "body"};
    if (!json_is_object(json_object_get(root, "body")))
        return mill_fail(err, MILL_E_INPUT,
                         "body: an object is wanted, as " MILL_BATCH_ENDPOINT " takes it");
    *fault = (struct mill_batch_fault){"unknown_parameter", NULL};
    if (json_object_size(root) != 4)
        return mill_fail(err, MILL_E_INPUT, "there are custom_id, method, url and body");
    return MILL_OK;
}

mill_status mill_batch_line_read(json_t **out, const char *line, size_t size,
                                 struct mill_batch_fault *fault, struct mill_error *err) {
    *fault = (struct mill_batch_fault){"invalid_json_line", NULL};
    MILL_TRY(mill_json_parse(out, NULL, line, size, err));
    mill_status status = json_is_object(*out) ? check_fields(*out, fault, err)
                                              : mill_fail(err, MILL_E_INPUT, "no JSON object");
    if (status < 0) {
        json_decref(*out);
        *out = NULL;
    }
    return status;
}
