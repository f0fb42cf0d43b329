/* options.c - what every command says and reads in the same way: failures, wrong use, numbers. See
 * command.h. No state. */
#include "tools/command.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

int mill_command_fail(const char *command, mill_status status, const struct mill_error *err) {
    const char *text = err && err->text[0] ? err->text : mill_status_text(status);
    fprintf(stderr, "sparkmill %s: %s\n", command, text);
    return status == MILL_E_INPUT || status == MILL_E_NOT_FOUND ? MILL_EXIT_USAGE
                                                                : MILL_EXIT_FAILED;
}

int mill_command_usage(const char *command, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "sparkmill %s: ", command);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\nSee: sparkmill %s --help\n", command);
    va_end(args);
    return MILL_EXIT_USAGE;
}

bool mill_option_int(const char *command, const char *name, const char *text, long long low,
                     long long high, long long *out) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value < low || value > high) {
        mill_command_usage(command, "%s '%s': a whole number from %lld to %lld is wanted", name,
                           text, low, high);
        return false;
    }
    *out = value;
    return true;
}

bool mill_option_number(const char *command, const char *name, const char *text, double low,
                        double high, double *out) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) || value < low || value > high) {
        mill_command_usage(command, "%s '%s': a number from %g to %g is wanted", name, text, low,
                           high);
        return false;
    }
    *out = value;
    return true;
}
