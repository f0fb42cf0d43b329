/* buffer.c - see buffer.h. Grows by doubling, so appending n bytes one by one costs O(n). */
#include "runtime/base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mill_buffer_init(struct mill_buffer *buffer, size_t maximum) {
    *buffer = (struct mill_buffer){.maximum = maximum};
}

void mill_buffer_deinit(struct mill_buffer *buffer) {
    free(buffer->data);
    buffer->data = NULL;
    buffer->size = buffer->capacity = 0;
}

mill_status mill_buffer_reserve(struct mill_buffer *buffer, size_t more, struct mill_error *err) {
    if (more > buffer->maximum - buffer->size)
        return mill_fail(err, MILL_E_INPUT, "larger than the limit of %zu bytes", buffer->maximum);
    size_t need = buffer->size + more;
    if (need <= buffer->capacity)
        return MILL_OK;
    size_t capacity =
        buffer->capacity > buffer->maximum / 2 ? buffer->maximum : buffer->capacity * 2;
    if (capacity < need)
        capacity = need < 256 && buffer->maximum >= 256 ? 256 : need;
    char *data = realloc(buffer->data, capacity);
    if (!data)
        return mill_fail(err, MILL_E_MEMORY, "no memory for %zu bytes", capacity);
    buffer->data = data;
    buffer->capacity = capacity;
    return MILL_OK;
}

mill_status mill_buffer_append(struct mill_buffer *buffer, const void *data, size_t size,
                               struct mill_error *err) {
    if (size == 0)
        return MILL_OK;
    MILL_TRY(mill_buffer_reserve(buffer, size, err));
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    return MILL_OK;
}

mill_status mill_buffer_printf(struct mill_buffer *buffer, struct mill_error *err,
                               const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0)
        return mill_fail(err, MILL_E_INPUT, "text could not be formatted");
    MILL_TRY(mill_buffer_reserve(buffer, (size_t)n + 1, err)); /* vsnprintf ends with a zero byte */
    va_start(args, format);
    vsnprintf(buffer->data + buffer->size, (size_t)n + 1, format, args);
    va_end(args);
    buffer->size += (size_t)n;
    return MILL_OK;
}
