/* log.c - see log.h. No state. */
#include "runtime/server/log.h"

#include "runtime/base/utf8.h"

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
    mill_utf8_make_printable(line);
    log->write(log->context, line);
}
