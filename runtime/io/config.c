/* config.c - the getters of config.h: each checks presence, type and range of one member and names
 * its key. No state. */
#include "runtime/io/config.h"

#include <inttypes.h>
#include <string.h>

static const char *type_name(const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "a group of keys";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "text";
    case JSON_INTEGER:
        return "a whole number";
    case JSON_REAL:
        return "a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a truth value";
    case JSON_NULL:
        break;
    }
    return "null";
}

/* The member, or NULL when it is missing. */
static const json_t *get(const json_t *object, const char *key, struct mill_error *err) {
    const json_t *value = json_object_get(object, key); /* NULL too when it is not an object */
    if (!value)
        mill_fail(err, MILL_E_INPUT, "'%s' is missing", key);
    return value;
}

static mill_status wrong_type(const char *key, const json_t *value, const char *wanted,
                              struct mill_error *err) {
    return mill_fail(err, MILL_E_INPUT, "'%s' is %s, not %s", key, type_name(value), wanted);
}

mill_status mill_config_int(const json_t *object, const char *key, int64_t low, int64_t high,
                            int64_t *out, struct mill_error *err) {
    const json_t *value = get(object, key, err);
    if (!value)
        return MILL_E_INPUT;
    if (!json_is_integer(value))
        return wrong_type(key, value, "a whole number", err);
    int64_t found = json_integer_value(value);
    if (found < low || found > high)
        return mill_fail(err, MILL_E_INPUT, "'%s' is %" PRId64 ", not from %" PRId64 " to %" PRId64,
                         key, found, low, high);
    *out = found;
    return MILL_OK;
}

mill_status mill_config_number(const json_t *object, const char *key, double low, double high,
                               double *out, struct mill_error *err) {
    const json_t *value = get(object, key, err);
    if (!value)
        return MILL_E_INPUT;
    if (!json_is_number(value))
        return wrong_type(key, value, "a number", err);
    double found = json_number_value(value);
    if (!(found >= low && found <= high))
        return mill_fail(err, MILL_E_INPUT, "'%s' is %g, not from %g to %g", key, found, low, high);
    *out = found;
    return MILL_OK;
}

mill_status mill_config_text(const json_t *object, const char *key, const char **out,
                             struct mill_error *err) {
    const json_t *value = get(object, key, err);
    if (!value)
        return MILL_E_INPUT;
    if (!json_is_string(value))
        return wrong_type(key, value, "text", err);
    *out = json_string_value(value);
    return MILL_OK;
}

mill_status mill_config_object(const json_t *object, const char *key, const json_t **out,
                               struct mill_error *err) {
    const json_t *value = get(object, key, err);
    if (!value)
        return MILL_E_INPUT;
    if (!json_is_object(value))
        return wrong_type(key, value, "a group of keys", err);
    *out = value;
    return MILL_OK;
}

const char *mill_config_find_unknown(const json_t *object, const char *const *names) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        size_t i = 0;
        while (names[i] && strcmp(names[i], key) != 0)
            i++;
        if (!names[i])
            return key;
    }
    return NULL;
}

mill_status mill_config_ints(const json_t *object, const char *key, int64_t low, int64_t high,
                             int32_t *out, int32_t capacity, int32_t *n, struct mill_error *err) {
    const json_t *list = get(object, key, err);
    if (!list)
        return MILL_E_INPUT;
    if (!json_is_array(list))
        return wrong_type(key, list, "a list of whole numbers", err);
    size_t size = json_array_size(list);
    if (size > (size_t)capacity)
        return mill_fail(err, MILL_E_INPUT,
                         "'%s' has %zu entries, at most %" PRId32 " are possible", key, size,
                         capacity);
    low = low < INT32_MIN ? INT32_MIN : low;
    high = high > INT32_MAX ? INT32_MAX : high;
    for (size_t i = 0; i < size; i++) {
        const json_t *value = json_array_get(list, i);
        if (!json_is_integer(value))
            return mill_fail(err, MILL_E_INPUT, "'%s'[%zu] is %s, not a whole number", key, i,
                             type_name(value));
        int64_t found = json_integer_value(value);
        if (found < low || found > high)
            return mill_fail(err, MILL_E_INPUT,
                             "'%s'[%zu] is %" PRId64 ", not from %" PRId64 " to %" PRId64, key, i,
                             found, low, high);
        out[i] = (int32_t)found;
    }
    *n = (int32_t)size;
    return MILL_OK;
}
