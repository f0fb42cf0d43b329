/* say_as.h - numbers, dates and letters as words, by ICU's rules for each language. No state. */
#ifndef MILL_TEXT_SAY_AS_H
#define MILL_TEXT_SAY_AS_H

#include "runtime/base/buffer.h"
#include "runtime/base/status.h"

#include <stddef.h>

/* For messages. */
#define MILL_SAY_AS_KINDS "characters, digits, cardinal, ordinal and date"

/* What is read for `text`, behind what `out` holds. `kind` is one of the above (also spell-out for
 * characters, number for cardinal); `format` of a date says the order of year, month and day: "ymd"
 * (usual, also for NULL), "mdy", "dmy". `language` as BCP 47 has it. MILL_E_INPUT for what is not
 * such a thing, MILL_E_UNSUPPORTED for what ICU has no words for in that language. */
mill_status mill_say_as(struct mill_buffer *out, const char *language, const char *kind,
                        const char *format, const char *text, size_t bytes, struct mill_error *err);

#endif
