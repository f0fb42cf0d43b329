/* safetensors.c - reads *.safetensors: 8 bytes of length, a JSON header of that length, the data.
 *
 * The rules are those that the format's reference reader (huggingface/safetensors, tensor.rs)
 * enforces: the header starts with '{', is at most 100,000,000 bytes of UTF-8 JSON without
 * duplicate keys; __metadata__ maps text to text; the tensors, in the order of their offsets, cover
 * the data without gap or overlap and end where the file ends. So a file has one meaning only and
 * no byte can hide in it. The result owns copies of the names; the JSON is gone after parse. */
#include "runtime/base/cursor.h"
#include "runtime/io/config.h"
#include "runtime/io/tensors_internal.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_START = 8, HEADER_MAXIMUM = 100000000 };

/* Where the header lies and what it says; entries' offsets are the file's. */
struct header {
    const char *path;
    const uint8_t *data; /* the whole file */
    size_t size;
    size_t data_start; /* first byte behind the header */
    json_t *json;
};

static mill_status read_header(struct header *h, struct mill_error *err) {
    struct mill_cursor c = {.data = h->data, .size = h->size};
    uint64_t length;
    if (!mill_cursor_u64(&c, &length))
        return mill_fail(err, MILL_E_INPUT,
                         "'%s': %zu bytes: too short for the 8 bytes of header length", h->path,
                         h->size);
    if (length > HEADER_MAXIMUM)
        return mill_fail(err, MILL_E_INPUT,
                         "'%s': byte 0: header length %" PRIu64
                         " is above the format's limit of %d: not a safetensors file?",
                         h->path, length, HEADER_MAXIMUM);
    const uint8_t *text = mill_cursor_take(&c, (size_t)length);
    if (!text)
        return mill_fail(err, MILL_E_INPUT,
                         "'%s': byte 0: header of %" PRIu64
                         " bytes ends past the file's end at byte %zu: the file is cut",
                         h->path, length, h->size);
    h->data_start = c.at;
    if (length == 0 || text[0] != '{')
        return mill_fail(err, MILL_E_INPUT, "'%s': byte 8: the header does not start with '{'",
                         h->path);
    json_error_t cause;
    mill_status status = mill_json_load(&h->json, (const char *)text, (size_t)length, &cause, err);
    if (status < 0)
        return mill_context(err, status, "'%s': header", h->path);
    if (h->json)
        return MILL_OK;
    return mill_fail(err, MILL_E_INPUT, "'%s': byte %zu: header: %s", h->path,
                     HEADER_START + (size_t)(cause.position < 0 ? 0 : cause.position), cause.text);
}

static mill_status check_metadata(const struct header *h, json_t *metadata,
                                  struct mill_error *err) {
    if (!json_is_object(metadata))
        return mill_fail(err, MILL_E_INPUT, "'%s': header: __metadata__ is not an object", h->path);
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value) {
        if (!json_is_string(value))
            return mill_fail(err, MILL_E_INPUT,
                             "'%s': header: __metadata__: value of '%.*s' is not text", h->path,
                             MILL_NAME_SHOWN, key);
    }
    return MILL_OK;
}

static mill_status read_shape(struct mill_tensor_entry *entry, const json_t *shape,
                              struct mill_error *err) {
    if (!json_is_array(shape))
        return mill_fail(err, MILL_E_INPUT, "shape is missing or not a list");
    size_t n = json_array_size(shape);
    if (n > MILL_TENSOR_DIMS)
        return mill_fail(err, MILL_E_INPUT, "shape has %zu dimensions, at most %d are read", n,
                         MILL_TENSOR_DIMS);
    entry->n_dims = (int32_t)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *dim = json_array_get(shape, i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return mill_fail(err, MILL_E_INPUT, "shape[%zu] is not a whole number from 0", i);
        entry->shape[i] = json_integer_value(dim);
    }
    return MILL_OK;
}

static mill_status read_offsets(const struct header *h, struct mill_tensor_entry *entry,
                                const json_t *offsets, struct mill_error *err) {
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last) ||
        json_integer_value(first) < 0)
        return mill_fail(err, MILL_E_INPUT,
                         "data_offsets is missing or not two whole numbers from 0");
    int64_t begin = json_integer_value(first), end = json_integer_value(last);
    if (end < begin)
        return mill_fail(err, MILL_E_INPUT,
                         "data_offsets end (%" PRId64 ") before they begin (%" PRId64 ")", end,
                         begin);
    size_t available = h->size - h->data_start, want;
    if ((uint64_t)end > available)
        return mill_fail(err, MILL_E_INPUT,
                         "data_offsets end %" PRIu64
                         " bytes past the file's end at byte %zu: the file is cut or damaged",
                         (uint64_t)end - available, h->size);
    entry->offset = h->data_start + (size_t)begin;
    entry->bytes = (size_t)(end - begin);
    if (!mill_tensors_shape_bytes(entry->dtype, entry->n_dims, entry->shape, &want))
        return mill_fail(err, MILL_E_INPUT, "the product of its shape is too large for any file");
    if (entry->bytes != want)
        return mill_fail(err, MILL_E_INPUT,
                         "at byte %zu: has %zu bytes, but its shape and dtype %s need %zu",
                         entry->offset, entry->bytes, mill_dtype_name(entry->dtype), want);
    return MILL_OK;
}

static mill_status read_entry(const struct header *h, struct mill_tensor_entry *entry,
                              const json_t *value, struct mill_error *err) {
    if (!json_is_object(value))
        return mill_fail(err, MILL_E_INPUT, "is not described by an object");
    const char *dtype = json_string_value(json_object_get(value, "dtype"));
    if (!dtype)
        return mill_fail(err, MILL_E_INPUT, "dtype is missing or not text");
    if (!mill_dtype_find(dtype, &entry->dtype))
        return mill_fail(err, MILL_E_INPUT, "dtype '%.*s' is not known", MILL_NAME_SHOWN, dtype);
    MILL_TRY(read_shape(entry, json_object_get(value, "shape"), err));
    return read_offsets(h, entry, json_object_get(value, "data_offsets"), err);
}

static int compare_ranges(const void *a, const void *b) {
    const struct mill_tensor_entry *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes); /* empty ones first */
}

/* Every byte behind the header belongs to exactly one tensor. */
static mill_status check_cover(const struct header *h, struct mill_tensors *tensors,
                               struct mill_error *err) {
    qsort(tensors->entries, tensors->n_entries, sizeof *tensors->entries, compare_ranges);
    size_t at = h->data_start;
    for (size_t i = 0; i < tensors->n_entries; i++) {
        const struct mill_tensor_entry *entry = &tensors->entries[i];
        if (entry->offset != at)
            return mill_fail(err, MILL_E_INPUT,
                             "'%s': tensor '%.*s': starts at byte %zu, but the data before it ends "
                             "at byte %zu: %s",
                             h->path, MILL_NAME_SHOWN, entry->name, entry->offset, at,
                             entry->offset < at ? "tensors overlap" : "there is a gap");
        at += entry->bytes;
    }
    if (at != h->size)
        return mill_fail(err, MILL_E_INPUT,
                         "'%s': byte %zu: the last tensor ends here, but the file has %zu bytes "
                         "more",
                         h->path, at, h->size - at);
    return MILL_OK;
}

static mill_status read_entries(const struct header *h, struct mill_tensors *tensors,
                                struct mill_error *err) {
    struct mill_tensor_entry *entry = tensors->entries;
    char *names = tensors->names;
    const char *key;
    json_t *value;
    json_object_foreach(h->json, key, value) {
        if (strcmp(key, "__metadata__") == 0) {
            MILL_TRY(check_metadata(h, value, err));
            continue;
        }
        size_t bytes = strlen(key) + 1;
        memcpy(names, key, bytes);
        entry->name = names;
        names += bytes;
        mill_status status = read_entry(h, entry, value, err);
        if (status < 0)
            return mill_context(err, status, "'%s': tensor '%.*s'", h->path, MILL_NAME_SHOWN, key);
        entry++;
    }
    MILL_TRY(check_cover(h, tensors, err));
    return mill_tensors_sort(tensors, err);
}

mill_status mill_safetensors_parse(struct mill_tensors **out, const char *path, const uint8_t *data,
                                   size_t size, struct mill_error *err) {
    *out = NULL;
    struct header h = {.path = path, .data = data, .size = size};
    MILL_TRY(read_header(&h, err));
    size_t n = 0, names_bytes = 0; /* sums of what jansson already holds: they cannot overflow */
    const char *key;
    json_t *value;
    json_object_foreach(h.json, key, value) {
        if (strcmp(key, "__metadata__") == 0)
            continue;
        n++;
        names_bytes += strlen(key) + 1;
    }
    struct mill_tensors *tensors = mill_tensors_new(path, data, size, n, names_bytes);
    mill_status status =
        tensors ? read_entries(&h, tensors, err)
                : mill_fail(err, MILL_E_MEMORY, "'%s': no memory for %zu tensors", path, n);
    json_decref(h.json);
    if (status < 0)
        mill_tensors_close(tensors);
    else
        *out = tensors;
    return status;
}

mill_status mill_safetensors_open(struct mill_tensors **out, const char *path,
                                  struct mill_error *err) {
    return mill_tensors_open(out, path, mill_safetensors_parse, err);
}
