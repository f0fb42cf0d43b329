/* buffer.h - a growing run of bytes with a maximum given at the start.
 *
 * For bytes whose number is not known beforehand: text from a pipe, a file being composed.
 * Zero-initialise with mill_buffer_init, free with mill_buffer_deinit; the caller's storage. A
 * failing call leaves the content as it was. */
#ifndef MILL_BASE_BUFFER_H
#define MILL_BASE_BUFFER_H

#include "runtime/base/status.h"

#include <stddef.h>

struct mill_buffer {
    char *data;      /* owned; NULL while empty */
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
    size_t maximum;  /* bytes it may grow to */
};

void mill_buffer_init(struct mill_buffer *buffer, size_t maximum);
void mill_buffer_deinit(struct mill_buffer *buffer);

/* Room for `more` bytes behind `size`; MILL_E_INPUT past the maximum, MILL_E_MEMORY when memory is
 * short. */
mill_status mill_buffer_reserve(struct mill_buffer *buffer, size_t more, struct mill_error *err);
mill_status mill_buffer_append(struct mill_buffer *buffer, const void *data, size_t size,
                               struct mill_error *err);
mill_status mill_buffer_printf(struct mill_buffer *buffer, struct mill_error *err,
                               const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
