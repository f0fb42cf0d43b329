/* status.c - writing and extending the one-line message of struct mill_error. Whatever text of a
 * file or a user went into it, a message is printable UTF-8: it can be shown and put into JSON. No
 * state.
 */
#include "runtime/base/status.h"

#include "runtime/base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

mill_status mill_fail(struct mill_error *err, mill_status code, const char *format, ...) {
    if (err) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        mill_utf8_make_printable(err->text);
    }
    return code;
}

mill_status mill_context(struct mill_error *err, mill_status code, const char *format, ...) {
    if (err) {
        char cause[sizeof err->text];
        memcpy(cause, err->text, sizeof cause);
        va_list args;
        va_start(args, format);
        int n = vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        if (n >= 0 && (size_t)n < sizeof err->text)
            snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", cause);
        mill_utf8_make_printable(err->text);
    }
    return code;
}

const char *mill_status_text(mill_status code) {
    switch (code) {
#define X(name, value, text, http)                                                                 \
    case value:                                                                                    \
        return text;
        MILL_STATUS_MAP(X)
#undef X
    }
    return "unknown status";
}
