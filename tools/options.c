/* options.c - what every command says and reads in the same way: failures, wrong use, numbers, a
 * table of options. See command.h. No state. */
#include "tools/command.h"

#include <errno.h>
#include <getopt.h>
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

void mill_command_note_gpu(const char *command, const char *no_gpu) {
    if (no_gpu[0])
        fprintf(stderr, "sparkmill %s: a GPU is not used: %s\n", command, no_gpu);
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

static bool take_whole(const char *command, const char *name, const char *text, long long low,
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

static bool take(const char *command, const struct mill_option *option, const char *value,
                 void *fields) {
    char name[40];
    void *field = (char *)fields + option->offset;
    snprintf(name, sizeof name, "--%s", option->name);
    switch (option->kind) {
    case MILL_OPTION_TEXT:
        *(const char **)field = value;
        return true;
    case MILL_OPTION_NUMBER:
        return mill_option_number(command, name, value, option->low, option->high, field);
    case MILL_OPTION_WHOLE:
        return take_whole(command, name, value, (long long)option->low, (long long)option->high,
                          field);
    case MILL_OPTION_FLAG:
        *(bool *)field = true;
        return true;
    }
    return false;
}

int mill_options_read(const struct mill_command_line *line, int argc, char **argv, void *fields,
                      int *first) {
    enum { BEHIND_LETTERS = 256 };
    const char *command = line->command;
    const struct mill_option *options = line->options;
    struct option table[MILL_MAX_OPTIONS + 2] = {{0}};
    char letters[2 * MILL_MAX_OPTIONS + 3] = ":h";
    size_t n_letters = 2;
    for (int i = 0; i < line->n_options; i++) {
        int argument = options[i].kind == MILL_OPTION_FLAG ? no_argument : required_argument;
        table[i] = (struct option){options[i].name, argument, NULL, BEHIND_LETTERS + i};
        if (options[i].letter)
            letters[n_letters++] = options[i].letter;
        if (options[i].letter && argument == required_argument)
            letters[n_letters++] = ':';
    }
    table[line->n_options] = (struct option){"help", no_argument, NULL, 'h'};
    opterr = 0;
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, letters, table, NULL)) != -1;) {
        if (c == ':')
            return mill_command_usage(command, "option '%s' needs a value", argv[optind - 1]);
        if (c == '?' && optopt > 0 && optopt < BEHIND_LETTERS) /* a letter, maybe of several */
            return mill_command_usage(command,
                                      "unknown option '-%c': behind '--' all is text, not options",
                                      optopt > ' ' && optopt < 0x7f ? optopt : '?');
        if (c == '?')
            return mill_command_usage(command, "unknown option '%s'", argv[optind - 1]);
        if (c == 'h') {
            puts(line->help);
            return MILL_EXIT_OK;
        }
        int at = c - BEHIND_LETTERS;
        for (int i = 0; at < 0 && i < line->n_options; i++)
            at = options[i].letter == c ? i : at;
        if (!take(command, &options[at], optarg, fields))
            return MILL_EXIT_USAGE;
    }
    *first = optind;
    return MILL_GO_ON;
}
