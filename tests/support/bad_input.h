/* bad_input.h - checks that a refused input is refused properly: the right status and one line that
 * names what it must name. */
#ifndef MILL_TESTS_BAD_INPUT_H
#define MILL_TESTS_BAD_INPUT_H

#include "runtime/base/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The message must contain each of the parts, which "|" separates, in that order. */
static inline void assert_refused(mill_status status, const struct mill_error *err,
                                  const char *parts) {
    if (status != MILL_E_INPUT)
        fail_msg("status %d, not bad input (wanted: %s): %s", status, parts, err->text);
    const char *rest = err->text;
    while (*parts) {
        char part[256];
        size_t length = strcspn(parts, "|");
        assert_true(length < sizeof part);
        memcpy(part, parts, length);
        part[length] = '\0';
        const char *found = strstr(rest, part);
        if (!found)
            fail_msg("no \"%s\" in: %s", part, err->text);
        rest = found + length;
        parts += length + (parts[length] == '|');
    }
}

#endif
