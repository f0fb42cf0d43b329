/* json_config.c - the JSON half of config.h: jansson with duplicate keys refused; it bounds depth
 * and checks UTF-8 itself.
 *
 * Where jansson's text buffer cannot grow, a character is left out and nothing said: a text would
 * be read as another one. So its allocations are watched, a flag a thread, from before main on,
 * when there are no other threads that it could meet. */
#include "runtime/base/file.h"
#include "runtime/base/utf8.h"
#include "runtime/io/config.h"

#include <stdint.h>
#include <stdlib.h>

/* What the values of a text may take. Those of the published tokenizer, 14 MB, take 80 MB; empty
 * objects would take 75 bytes for each of theirs. */
static const size_t MAX_TREE_BYTES = (size_t)1 << 29;

static _Thread_local bool ran_short;
static _Thread_local size_t left = SIZE_MAX; /* bytes that jansson may take; 0 = it wanted more */

static void *take(size_t size) {
    void *memory = size <= left ? malloc(size) : NULL;
    left = size > left ? 0 : left - size;
    ran_short = ran_short || !memory;
    return memory;
}

__attribute__((constructor)) static void watch_jansson(void) {
    json_set_alloc_funcs(take, free);
}

bool mill_json_ran_short(void) {
    bool short_of_memory = ran_short;
    ran_short = false;
    return short_of_memory;
}

/* Where parsing stopped; in a text of one line the line is nothing to tell. */
static mill_status refuse(const char *name, const json_error_t *cause, struct mill_error *err) {
    mill_status status =
        !name && cause->line == 1
            ? mill_fail(err, MILL_E_INPUT, "byte %d: %s", cause->position, cause->text)
            : mill_fail(err, MILL_E_INPUT, "line %d, byte %d: %s", cause->line, cause->position,
                        cause->text);
    return name ? mill_context(err, status, "'%s'", name) : status;
}

mill_status mill_json_load(json_t **out, const char *data, size_t size, json_error_t *cause,
                           struct mill_error *err) {
    mill_json_ran_short();
    left = MAX_TREE_BYTES;
    *out = json_loadb(data, size, JSON_REJECT_DUPLICATES, cause);
    bool too_large = left == 0;
    left = SIZE_MAX;
    if (!mill_json_ran_short())
        return MILL_OK;
    json_decref(*out);
    *out = NULL;
    return too_large ? mill_fail(err, MILL_E_INPUT, "its values would take more than %zu bytes",
                                 MAX_TREE_BYTES)
                     : mill_fail(err, MILL_E_MEMORY, "no memory");
}

mill_status mill_json_parse(json_t **out, const char *name, const char *data, size_t size,
                            struct mill_error *err) {
    json_error_t cause;
    size_t mark = mill_utf8_mark_bytes(data, size);
    mill_status status =
        mill_json_load(out, size > mark ? data + mark : "", size - mark, &cause, err);
    if (status < 0)
        return mill_context(err, status, "%s", name ? name : "JSON");
    return *out ? MILL_OK : refuse(name, &cause, err);
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
