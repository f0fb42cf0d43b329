/* command.h - a command of the program `sparkmill`: one file each, listed in main.c.
 *
 * A command has a table of its options (mill_options_read), writes results to standard output and
 * everything else to standard error, and returns the exit status: 0 done, 1 failed, 2 wrong use or
 * bad input. --help prints its usage, at most a screen. What reads and checks a command line says
 * MILL_GO_ON, or the exit status to leave with. */
#ifndef MILL_TOOLS_COMMAND_H
#define MILL_TOOLS_COMMAND_H

#include "runtime/base/status.h"

#include <stddef.h>

enum { MILL_GO_ON = -1, MILL_EXIT_OK = 0, MILL_EXIT_FAILED = 1, MILL_EXIT_USAGE = 2 };

int mill_command_say(int argc, char **argv);
int mill_command_batch(int argc, char **argv);
int mill_command_clone(int argc, char **argv);
int mill_command_voices(int argc, char **argv);
int mill_command_selftest(int argc, char **argv);
int mill_command_tokenize(int argc, char **argv);
int mill_command_inspect(int argc, char **argv);
int mill_command_doctor(int argc, char **argv);
int mill_command_synth_model(int argc, char **argv);
int mill_command_pull(int argc, char **argv);
int mill_command_serve(int argc, char **argv);
int mill_command_keys(int argc, char **argv);
int mill_command_bench(int argc, char **argv);

/* Print "sparkmill COMMAND: message" and give the exit status that fits: 2 for bad input and what
 * was not found, else 1. */
int mill_command_fail(const char *command, mill_status status, const struct mill_error *err);
/* Where a GPU is there and not used, print why (mill_engine_info.no_gpu). */
void mill_command_note_gpu(const char *command, const char *no_gpu);
/* Wrong use: print the message and where help is; returns MILL_EXIT_USAGE. */
int mill_command_usage(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A number from an option, in [low, high]; false after printing what is wrong with option `name`.
 */
_Bool mill_option_number(const char *command, const char *name, const char *text, double low,
                         double high, double *out);

/* One option of a command and the field of the command's struct that it fills. */
enum mill_option_kind {
    MILL_OPTION_TEXT,   /* const char *, borrowed */
    MILL_OPTION_NUMBER, /* double in [low, high] */
    MILL_OPTION_WHOLE,  /* long long in [low, high] */
    MILL_OPTION_FLAG    /* bool, set */
};
struct mill_option {
    const char *name;
    char letter; /* short form, or 0 */
    enum mill_option_kind kind;
    size_t offset;
    double low, high;
};
/* A row of the table: `letter` 0 = no short form; low and high of numbers. */
#define MILL_OPTION(owner, name, letter, kind, field, low, high)                                   \
    { name, letter, MILL_OPTION_##kind, offsetof(struct owner, field), low, high }
enum { MILL_MAX_OPTIONS = 64 };

struct mill_command_line {
    const char *command, *help;
    const struct mill_option *options; /* --help and -h are understood anyway */
    int n_options;
};

/* Fill `fields`; *first is the first argument that is no option, and the arguments are reordered so
 * that those stand last. MILL_GO_ON, or the exit status after --help or saying what is wrong. */
int mill_options_read(const struct mill_command_line *line, int argc, char **argv, void *fields,
                      int *first);

#endif
