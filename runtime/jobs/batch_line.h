/* batch_line.h - one line of a batch's input: {"custom_id", "method", "url", "body"}, as OpenAI has
 * it. Pure functions over hostile bytes. */
#ifndef MILL_JOBS_BATCH_LINE_H
#define MILL_JOBS_BATCH_LINE_H

#include "runtime/base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define MILL_BATCH_ENDPOINT "/v1/audio/speech"

/* Why a line is none: OpenAI's word, the field it is about (NULL = the line). Static texts. */
struct mill_batch_fault {
    const char *code, *param;
};

/* *out is the caller's: the object, whose custom_id is a text and whose body is an object.
 * MILL_E_INPUT with *fault filled in. */
mill_status mill_batch_line_read(json_t **out, const char *line, size_t size,
                                 struct mill_batch_fault *fault, struct mill_error *err);
/* The next line of a text from *at on, without its end; false behind the last. Lines of nothing but
 * blanks are passed over; *number counts all, and is 0 at the start. */
bool mill_batch_line_next(const char *text, size_t size, size_t *at, size_t *number,
                          const char **line, size_t *line_size);

#endif
