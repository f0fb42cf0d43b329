/* json_config.c - the JSON half of config.h: jansson with duplicate keys refused; it bounds depth
 * and checks UTF-8 itself. No state. */
#include "runtime/base/file.h"
#include "runtime/io/config.h"

mill_status mill_json_parse(json_t **out, const char *name, const char *data, size_t size,
                            struct mill_error *err) {
    json_error_t cause;
    *out = json_loadb(size ? data : "", size, JSON_REJECT_DUPLICATES, &cause);
    if (*out)
        return MILL_OK;
    if (json_error_code(&cause) == json_error_out_of_memory || cause.text[0] == '\0')
        return mill_fail(err, MILL_E_MEMORY, "'%s': no memory", name);
    return mill_fail(err, MILL_E_INPUT, "'%s': line %d, byte %d: %s", name, cause.line,
                     cause.position, cause.text);
}

mill_status mill_json_open(json_t **out, const char *path, size_t maximum, struct mill_error *err) {
    *out = NULL;
    struct mill_buffer text;
    mill_buffer_init(&text, maximum);
    mill_status status = mill_file_read(path, &text, err);
    if (status == MILL_OK)
        status = mill_json_parse(out, path, text.data, text.size, err);
    mill_buffer_deinit(&text);
    return status;
}
