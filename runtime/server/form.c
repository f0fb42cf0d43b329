/* form.c - see form.h.
 *
 * A multipart body is parts between lines "--boundary", the last "--boundary--"; a part is headers,
 * an empty line and its bytes, which end before the line break of the next such line. */
#include "runtime/server/form.h"

#include "runtime/base/memory.h"
#include "runtime/base/utf8.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_BOUNDARY = 70, MAX_HEADER = 1024 };

static mill_status add_field(struct mill_form *form, const char *name, size_t name_size,
                             const char *data, size_t size, struct mill_error *err) {
    if (form->n_fields == MILL_FORM_MAX_FIELDS)
        return mill_fail(err, MILL_E_INPUT, "the form has more than %d fields",
                         MILL_FORM_MAX_FIELDS);
    if (name_size == 0 || name_size >= MILL_FORM_NAME_BYTES || memchr(name, '\0', name_size))
        return mill_fail(err, MILL_E_INPUT, "a field's name has 1 to %d bytes",
                         MILL_FORM_NAME_BYTES - 1);
    if (mill_utf8_valid_bytes(name, name_size) < name_size)
        return mill_fail(err, MILL_E_INPUT, "a field's name is not UTF-8");
    struct mill_form_field *field = &form->fields[form->n_fields];
    memcpy(field->name, name, name_size);
    field->name[name_size] = '\0';
    field->data = data;
    field->size = size;
    if (mill_form_find(form, field->name))
        return mill_fail(err, MILL_E_INPUT, "field '%s' comes twice", field->name);
    form->n_fields++;
    return MILL_OK;
}

mill_status mill_form_check_text(const struct mill_form_field *field, struct mill_error *err) {
    size_t valid = mill_utf8_valid_bytes(field->data, field->size);
    if (valid < field->size)
        return mill_fail(err, MILL_E_INPUT, "%s: byte %zu is not UTF-8", field->name, valid);
    if (memchr(field->data, '\0', field->size))
        return mill_fail(err, MILL_E_INPUT, "%s: a text has no zero bytes", field->name);
    return MILL_OK;
}

const struct mill_form_field *mill_form_find(const struct mill_form *form, const char *name) {
    for (size_t i = 0; i < form->n_fields; i++)
        if (strcmp(form->fields[i].name, name) == 0)
            return &form->fields[i];
    return NULL;
}

void mill_form_deinit(struct mill_form *form) {
    free(form->memory);
    *form = (struct mill_form){0};
}

/* ------------------------------------------------------------------ urlencoded */

static int digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* In place; the new size, or SIZE_MAX for an escape that is none. */
static size_t unescape(char *text, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '%') {
            if (size - i < 3 || digit(text[i + 1]) < 0 || digit(text[i + 2]) < 0)
                return SIZE_MAX;
            c = (char)(digit(text[i + 1]) * 16 + digit(text[i + 2]));
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        text[n++] = c;
    }
    return n;
}

static mill_status read_urlencoded(struct mill_form *form, const char *body, size_t size,
                                   struct mill_error *err) {
    form->memory = mill_alloc_array(size + 1, 1);
    if (!form->memory)
        return mill_fail(err, MILL_E_MEMORY, "no memory for a form");
    memcpy(form->memory, body, size);
    for (size_t at = 0; at < size;) {
        char *name = form->memory + at;
        char *end = memchr(name, '&', size - at);
        size_t n = end ? (size_t)(end - name) : size - at;
        char *sign = memchr(name, '=', n);
        at += n + 1;
        if (n == 0)
            continue;
        size_t name_size = sign ? (size_t)(sign - name) : n;
        size_t data_size = sign ? n - name_size - 1 : 0;
        name_size = unescape(name, name_size);
        data_size = unescape(sign ? sign + 1 : name, data_size);
        if (name_size == SIZE_MAX || data_size == SIZE_MAX)
            return mill_fail(err, MILL_E_INPUT, "the form has a '%%' without two digits");
        MILL_TRY(add_field(form, name, name_size, sign ? sign + 1 : "", data_size, err));
    }
    return MILL_OK;
}

/* ------------------------------------------------------------------ multipart */

/* The value of a parameter, "...; name=value" or "...; name=\"value\""; NULL without one. */
static const char *find_parameter(const char *text, size_t size, const char *name, size_t *n) {
    size_t name_size = strlen(name);
    for (size_t i = 0; i + name_size < size; i++) {
        if (text[i] != ';')
            continue;
        size_t at = i + 1;
        while (at < size && text[at] == ' ')
            at++;
        if (size - at <= name_size || strncasecmp(text + at, name, name_size) != 0 ||
            text[at + name_size] != '=')
            continue;
        at += name_size + 1;
        bool quoted = at < size && text[at] == '"';
        at += quoted;
        size_t end = at;
        while (end < size && text[end] != (quoted ? '"' : ';') && (quoted || text[end] != ' '))
            end++;
        *n = end - at;
        return text + at;
    }
    return NULL;
}

/* The header Content-Disposition among a part's; NULL without one. */
static const char *find_disposition(const char *headers, size_t size, size_t *n) {
    static const char wanted[] = "Content-Disposition:";
    for (size_t at = 0; at < size;) {
        const char *line = headers + at, *end = memchr(line, '\n', size - at);
        size_t length = end ? (size_t)(end - line) : size - at;
        at += length + 1;
        if (length > 0 && line[length - 1] == '\r')
            length--;
        *n = length;
        if (length >= sizeof wanted - 1 && strncasecmp(line, wanted, sizeof wanted - 1) == 0)
            return line;
    }
    return NULL;
}

static mill_status add_part(struct mill_form *form, const char *part, size_t size,
                            struct mill_error *err) {
    size_t looked_at = size < MAX_HEADER ? size : MAX_HEADER, name_size = 0, line_size = 0;
    const char *end = memmem(part, looked_at, "\r\n\r\n", 4);
    const char *line = end ? find_disposition(part, (size_t)(end - part) + 2, &line_size) : NULL;
    const char *name = line ? find_parameter(line, line_size, "name", &name_size) : NULL;
    if (!name)
        return mill_fail(err, MILL_E_INPUT, "a part of the form has no name");
    const char *data = end + 4;
    MILL_TRY(add_field(form, name, name_size, data, size - (size_t)(data - part), err));
    struct mill_form_field *field = &form->fields[form->n_fields - 1];
    field->file_name = find_parameter(line, line_size, "filename", &field->file_name_size);
    return MILL_OK;
}

/* "\r\n--" and the boundary; the first one may lack the line break. */
static mill_status read_multipart(struct mill_form *form, const char *mark, size_t mark_size,
                                  const char *body, size_t size, struct mill_error *err) {
    if (size < mark_size - 2 || memcmp(body, mark + 2, mark_size - 2) != 0)
        return mill_fail(err, MILL_E_INPUT, "the form does not begin with its boundary");
    size_t at = mark_size - 2;
    for (;;) {
        if (size - at >= 2 && memcmp(body + at, "--", 2) == 0)
            return MILL_OK;
        if (size - at < 2 || memcmp(body + at, "\r\n", 2) != 0)
            return mill_fail(err, MILL_E_INPUT, "the form is cut off");
        at += 2;
        const char *next = memmem(body + at, size - at, mark, mark_size);
        if (!next)
            return mill_fail(err, MILL_E_INPUT, "the form is cut off");
        MILL_TRY(add_part(form, body + at, (size_t)(next - body) - at, err));
        at = (size_t)(next - body) + mark_size;
    }
}

static bool is_type(const char *type, const char *wanted) {
    size_t n = strlen(wanted);
    return type && strncasecmp(type, wanted, n) == 0 && (type[n] == '\0' || strchr("; ", type[n]));
}

mill_status mill_form_read(struct mill_form *out, const char *type, const char *body, size_t size,
                           struct mill_error *err) {
    *out = (struct mill_form){0};
    mill_status status;
    if (is_type(type, "multipart/form-data")) {
        char mark[4 + MAX_BOUNDARY] = "\r\n--";
        size_t n = 0;
        const char *boundary = find_parameter(type, strlen(type), "boundary", &n);
        if (!boundary || n == 0 || n > MAX_BOUNDARY)
            return mill_fail(err, MILL_E_INPUT, "the form's boundary has 1 to %d bytes",
                             MAX_BOUNDARY);
        memcpy(mark + 4, boundary, n);
        status = read_multipart(out, mark, 4 + n, body, size, err);
    } else if (is_type(type, "application/x-www-form-urlencoded")) {
        status = read_urlencoded(out, body, size, err);
    } else {
        status = mill_fail(err, MILL_E_INPUT, "a form (multipart/form-data) is wanted");
    }
    if (status < 0)
        mill_form_deinit(out);
    return status;
}
