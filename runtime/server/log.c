/* log.c - see log.h. No state. */
#include "runtime/server/log.h"

#include <stdarg.h>
#include <stdio.h>

enum { LINE_BYTES = 1024 };

void mill_log_event(const struct mill_log *log, const char *format, ...) {
    char line[LINE_BYTES];
    va_list args;
    if (!log->write)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    for (unsigned char *c = (unsigned char *)line; *c; c++)
        if (*c < 0x20 || *c == 0x7f)
            *c = '?';
    log->write(log->context, line);
}
