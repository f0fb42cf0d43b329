/* base64.h - bytes out of the base64 of strangers. A pure function. */
#ifndef MILL_SERVER_BASE64_H
#define MILL_SERVER_BASE64_H

#include "runtime/base/status.h"

#include <stddef.h>

/* "data:audio/wav;base64,..." or the digits alone, RFC 4648's or its URLs'; white space is passed
 * over, and what follows the first '='. *out: *n bytes, at least one, the caller's to free. */
mill_status mill_base64_decode(const char *text, size_t size, char **out, size_t *n,
                               struct mill_error *err);

#endif
