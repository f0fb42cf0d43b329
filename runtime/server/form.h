/* form.h - the fields of a form in a request's body: multipart/form-data, or
 * application/x-www-form-urlencoded. Pure functions over hostile bytes. */
#ifndef MILL_SERVER_FORM_H
#define MILL_SERVER_FORM_H

#include "runtime/base/status.h"

#include <stddef.h>

enum { MILL_FORM_MAX_FIELDS = 32, MILL_FORM_NAME_BYTES = 64 };

struct mill_form_field {
    char name[MILL_FORM_NAME_BYTES];
    const char *data; /* borrowed: within the body, or the form's memory */
    size_t size;
    const char *file_name; /* borrowed, as it was sent; NULL = none */
    size_t file_name_size;
};

struct mill_form {
    struct mill_form_field fields[MILL_FORM_MAX_FIELDS];
    size_t n_fields;
    char *memory; /* owned: what was unescaped */
};

/* `type` is the Content-Type (NULL: none was said). The body must outlive the form. MILL_E_INPUT
 * for what is no form, a field that comes twice or whose name is not UTF-8, or more fields than
 * there is room for. */
mill_status mill_form_read(struct mill_form *out, const char *type, const char *body, size_t size,
                           struct mill_error *err);
void mill_form_deinit(struct mill_form *form);

/* MILL_E_INPUT where its bytes are no text, UTF-8 without zeros; the message begins with its name.
 */
mill_status mill_form_check_text(const struct mill_form_field *field, struct mill_error *err);

/* NULL when there is none of that name. */
const struct mill_form_field *mill_form_find(const struct mill_form *form, const char *name);

#endif
