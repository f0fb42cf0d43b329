/* status.c - writing and extending the one-line message of struct mill_error. No state. */
#include "runtime/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A message is one line: whatever text of a file or a user went into it, control characters become
 * '?'. */
static void keep_one_line(char *text) {
    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            *p = '?';
}

mill_status mill_fail(struct mill_error *err, mill_status code, const char *format, ...) {
    if (err) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        keep_one_line(err->text);
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
        if (n >= 0 && (size_t)n + 2 < sizeof err->text) {
            size_t room = sizeof err->text - (size_t)n - 3, length = strlen(cause);
            memcpy(err->text + n, ": ", 2);
            memcpy(err->text + n + 2, cause, length < room ? length : room);
            err->text[(size_t)n + 2 + (length < room ? length : room)] = '\0';
        }
        keep_one_line(err->text);
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
