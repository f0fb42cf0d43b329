/* npy.c - see npy.h. The header is a Python dictionary literal with exactly the keys descr,
 * fortran_order and shape; it is read token by token through a cursor. No state. */
#include "runtime/io/npy.h"

#include "runtime/base/cursor.h"
#include "runtime/base/memory.h"

#include <inttypes.h>

enum { HEADER_MAXIMUM = 65536, ALIGNMENT = 64, PREFIX_BYTES = 10 };
static const char magic[] = "\x93NUMPY";

static const struct {
    const char *descr;
    enum mill_dtype dtype;
} types[] = {
    {"<f4", MILL_F32}, {"<f8", MILL_F64}, {"<f2", MILL_F16}, {"<i4", MILL_I32},
    {"<i8", MILL_I64}, {"<i2", MILL_I16}, {"|i1", MILL_I8},  {"<u2", MILL_U16},
    {"<u4", MILL_U32}, {"<u8", MILL_U64}, {"|u1", MILL_U8},  {"|b1", MILL_BOOL},
};
enum { N_TYPES = sizeof types / sizeof *types };

static void skip_spaces(struct mill_cursor *c) {
    while (c->at < c->size && (c->data[c->at] == ' ' || c->data[c->at] == '\n'))
        c->at++;
}

static bool take_char(struct mill_cursor *c, char wanted) {
    skip_spaces(c);
    if (c->at == c->size || c->data[c->at] != (uint8_t)wanted)
        return false;
    c->at++;
    return true;
}

static bool take_word(struct mill_cursor *c, const char *word) {
    skip_spaces(c);
    size_t length = strlen(word);
    if (!mill_cursor_has(c, length) || memcmp(c->data + c->at, word, length) != 0)
        return false;
    c->at += length;
    return true;
}

/* 'text' without escapes, of at most size - 1 bytes. */
static bool take_text(struct mill_cursor *c, char *text, size_t size) {
    if (!take_char(c, '\''))
        return false;
    size_t n = 0;
    while (c->at < c->size && c->data[c->at] != '\'' && n + 1 < size)
        text[n++] = (char)c->data[c->at++];
    text[n] = '\0';
    return take_char(c, '\'');
}

static bool take_number(struct mill_cursor *c, int64_t *out) {
    skip_spaces(c);
    int64_t value = 0;
    size_t start = c->at;
    for (; c->at < c->size && c->data[c->at] >= '0' && c->data[c->at] <= '9'; c->at++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, c->data[c->at] - '0', &value))
            return false;
    *out = value;
    return c->at > start;
}

static mill_status read_descr(struct mill_cursor *c, struct mill_npy *npy, struct mill_error *err) {
    char descr[32];
    if (!take_text(c, descr, sizeof descr))
        return mill_fail(err, MILL_E_INPUT, "descr is not a plain type");
    for (int i = 0; i < N_TYPES; i++)
        if (strcmp(descr, types[i].descr) == 0) {
            npy->dtype = types[i].dtype;
            return MILL_OK;
        }
    return mill_fail(err, MILL_E_INPUT, "elements of type '%s' are not read", descr);
}

static mill_status read_order(struct mill_cursor *c, struct mill_error *err) {
    if (take_word(c, "False"))
        return MILL_OK;
    return mill_fail(err, MILL_E_INPUT, "fortran_order is not False: only C order is read");
}

static mill_status read_shape(struct mill_cursor *c, struct mill_npy *npy, struct mill_error *err) {
    if (!take_char(c, '('))
        return mill_fail(err, MILL_E_INPUT, "shape is not a tuple");
    npy->n_dims = 0;
    bool had_comma = true;
    while (!take_char(c, ')')) {
        if (npy->n_dims == MILL_NPY_DIMS)
            return mill_fail(err, MILL_E_INPUT, "more than %d dimensions", MILL_NPY_DIMS);
        if (!had_comma || !take_number(c, &npy->shape[npy->n_dims]))
            return mill_fail(err, MILL_E_INPUT, "shape holds something that is not a size");
        npy->n_dims++;
        had_comma = take_char(c, ',');
    }
    if (npy->n_dims == 1 && !had_comma)
        return mill_fail(err, MILL_E_INPUT, "shape is not a tuple");
    return MILL_OK;
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } in any order of the keys */
static mill_status read_dictionary(struct mill_cursor *c, struct mill_npy *npy,
                                   struct mill_error *err) {
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    bool seen[3] = {false};
    if (!take_char(c, '{'))
        return mill_fail(err, MILL_E_INPUT, "the header is not a dictionary");
    for (bool had_comma = true; !take_char(c, '}');) {
        char key[32] = "";
        int k = 0;
        if (!had_comma || !take_text(c, key, sizeof key) || !take_char(c, ':'))
            return mill_fail(err, MILL_E_INPUT, "the header is not a dictionary of named values");
        while (k < 3 && strcmp(key, keys[k]) != 0)
            k++;
        if (k == 3 || seen[k])
            return mill_fail(err, MILL_E_INPUT, "key '%s' is %s", key,
                             k == 3 ? "not known" : "there twice");
        seen[k] = true;
        MILL_TRY(k == 0   ? read_descr(c, npy, err)
                 : k == 1 ? read_order(c, err)
                          : read_shape(c, npy, err));
        had_comma = take_char(c, ',');
    }
    for (int k = 0; k < 3; k++)
        if (!seen[k])
            return mill_fail(err, MILL_E_INPUT, "key '%s' is missing", keys[k]);
    skip_spaces(c);
    return c->at == c->size ? MILL_OK
                            : mill_fail(err, MILL_E_INPUT, "text behind the header's dictionary");
}

/* Cut the header out of the file; `file` then stands at the first byte of the array. */
static mill_status find_header(struct mill_cursor *file, struct mill_cursor *header,
                               struct mill_error *err) {
    const uint8_t *start = mill_cursor_take(file, sizeof magic - 1);
    if (!start || memcmp(start, magic, sizeof magic - 1) != 0)
        return mill_fail(err, MILL_E_INPUT, "byte 0: not a .npy file");
    uint8_t version, minor;
    uint16_t short_length = 0;
    uint32_t length = 0;
    if (!mill_cursor_u8(file, &version) || !mill_cursor_u8(file, &minor))
        return mill_fail(err, MILL_E_INPUT, "byte %zu: the file is cut", file->at);
    if (version < 1 || version > 3 || minor != 0)
        return mill_fail(err, MILL_E_INPUT, "byte 6: version %u.%u is not known", version, minor);
    if (version == 1 ? !mill_cursor_u16(file, &short_length) : !mill_cursor_u32(file, &length))
        return mill_fail(err, MILL_E_INPUT, "byte %zu: the file is cut", file->at);
    if (version == 1)
        length = short_length;
    if (length > HEADER_MAXIMUM || !mill_cursor_has(file, length))
        return mill_fail(err, MILL_E_INPUT,
                         "byte %zu: the header of %" PRIu32 " bytes is larger than %s", file->at,
                         length, length > HEADER_MAXIMUM ? "any array needs" : "the file");
    *header = (struct mill_cursor){.data = file->data + file->at, .size = length};
    file->at += length;
    return MILL_OK;
}

static mill_status parse(struct mill_npy *npy, struct mill_cursor *file, struct mill_error *err) {
    struct mill_cursor header;
    MILL_TRY(find_header(file, &header, err));
    mill_status status = read_dictionary(&header, npy, err);
    if (status < 0)
        return mill_context(err, status, "byte %zu",
                            (size_t)(header.data - file->data) + header.at);
    size_t bytes = mill_dtype_bytes(npy->dtype);
    npy->n_elements = 1;
    for (int32_t i = 0; i < npy->n_dims; i++)
        if (!mill_mul_size(npy->n_elements, (size_t)npy->shape[i], &npy->n_elements))
            return mill_fail(err, MILL_E_INPUT, "byte %zu: the product of the shape is too large",
                             file->at);
    if (!mill_mul_size(npy->n_elements, bytes, &bytes))
        return mill_fail(err, MILL_E_INPUT, "byte %zu: the product of the shape is too large",
                         file->at);
    if (bytes != file->size - file->at)
        return mill_fail(err, MILL_E_INPUT,
                         "byte %zu: shape and type need %zu bytes, the file has %zu", file->at,
                         bytes, file->size - file->at);
    npy->data = file->data + file->at;
    return MILL_OK;
}

mill_status mill_npy_parse(struct mill_npy *out, const char *path, const uint8_t *data, size_t size,
                           struct mill_error *err) {
    *out = (struct mill_npy){0};
    struct mill_cursor file = {.data = data, .size = size};
    mill_status status = parse(out, &file, err);
    if (status < 0) {
        *out = (struct mill_npy){0};
        mill_context(err, status, "'%s'", path);
    }
    return status;
}

mill_status mill_npy_open(struct mill_npy *out, const char *path, struct mill_error *err) {
    *out = (struct mill_npy){0};
    struct mill_mapping mapping;
    MILL_TRY(mill_mapping_open(&mapping, path, err));
    mill_status status = mill_npy_parse(out, path, mapping.data, mapping.size, err);
    if (status < 0)
        mill_mapping_close(&mapping);
    else
        out->mapping = mapping;
    return status;
}

void mill_npy_close(struct mill_npy *npy) {
    mill_mapping_close(&npy->mapping);
    *npy = (struct mill_npy){0};
}

/* Magic, version 1.0, length, dictionary, spaces so that the array starts at a multiple of 64. */
static mill_status compose_header(struct mill_buffer *out, const char *descr, int32_t n_dims,
                                  const int64_t *shape, struct mill_error *err) {
    MILL_TRY(mill_buffer_append(out, magic, sizeof magic - 1, err));
    MILL_TRY(mill_buffer_append(out, "\1\0\0\0", 4, err));
    MILL_TRY(
        mill_buffer_printf(out, err, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr));
    for (int32_t i = 0; i < n_dims; i++)
        MILL_TRY(mill_buffer_printf(out, err, "%" PRId64 ", ", shape[i]));
    MILL_TRY(mill_buffer_printf(out, err, "), }"));
    while ((out->size + 1) % ALIGNMENT != 0)
        MILL_TRY(mill_buffer_append(out, " ", 1, err));
    MILL_TRY(mill_buffer_append(out, "\n", 1, err));
    size_t length = out->size - PREFIX_BYTES;
    out->data[PREFIX_BYTES - 2] = (char)(length & 0xff);
    out->data[PREFIX_BYTES - 1] = (char)(length >> 8);
    return MILL_OK;
}

static mill_status write_file(const char *path, const struct mill_buffer *header, const void *data,
                              size_t bytes, struct mill_error *err) {
    struct mill_output output;
    MILL_TRY(mill_output_open(&output, path, err));
    mill_status status = mill_output_write(&output, header->data, header->size, err);
    if (status == MILL_OK)
        status = mill_output_write(&output, data, bytes, err);
    if (status == MILL_OK)
        status = mill_output_commit(&output, err);
    mill_output_close(&output);
    return status;
}

mill_status mill_npy_write(const char *path, enum mill_dtype dtype, int32_t n_dims,
                           const int64_t *shape, const void *data, struct mill_error *err) {
    int type = 0;
    while (type < N_TYPES && types[type].dtype != dtype)
        type++;
    if (type == N_TYPES)
        return mill_fail(err, MILL_E_INPUT, "'%s': .npy has no type for %s", path,
                         mill_dtype_name(dtype));
    size_t bytes = mill_dtype_bytes(dtype);
    bool fits = n_dims >= 0 && n_dims <= MILL_NPY_DIMS;
    for (int32_t i = 0; fits && i < n_dims; i++)
        fits = shape[i] >= 0 && mill_mul_size(bytes, (size_t)shape[i], &bytes);
    if (!fits)
        return mill_fail(err, MILL_E_INPUT, "'%s': the shape cannot be written", path);
    struct mill_buffer header;
    mill_buffer_init(&header, 1024); /* 8 sizes of at most 21 bytes, and the fixed text */
    mill_status status = compose_header(&header, types[type].descr, n_dims, shape, err);
    if (status == MILL_OK)
        status = write_file(path, &header, data, bytes, err);
    else
        mill_context(err, status, "'%s'", path);
    mill_buffer_deinit(&header);
    return status;
}
