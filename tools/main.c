/* main.c - the program `sparkmill`: finds the command by name and runs it. A new command is a file
 * beside this one, a line in command.h and a line in the table below. */
#include "tools/command.h"
#include "tools/interrupt.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct command {
    const char *name;
    const char *summary; /* one line of `sparkmill --help` */
    int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
    {"say", "speak a text into a sound file or a pipe", mill_command_say},
    {"batch", "speak many texts into a folder of sound files, resumable", mill_command_batch},
    {"serve", "serve speech over HTTP", mill_command_serve},
    {"keys", "API keys for serve", mill_command_keys},
    {"clone", "a voice from a recording", mill_command_clone},
    {"voices", "keep, compare and create voices", mill_command_voices},
    {"bench", "how fast it is here, beside what this machine allows", mill_command_bench},
    {"tokenize", "lines of text to token ids", mill_command_tokenize},
    {"inspect", "what is in a checkpoint, and is it the published one", mill_command_inspect},
    {"doctor", "what this machine has, what will be used, what is missing", mill_command_doctor},
    {"selftest", "known answers of the published model, line by line", mill_command_selftest},
    {"pull", "download the published model", mill_command_pull},
    {"synth-model", "make a synthetic checkpoint (noise, not speech) for tests",
     mill_command_synth_model},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void print_help(FILE *out) {
    fputs("Usage: sparkmill COMMAND [OPTION]...\n"
          "Text to speech with Spark-TTS.\n\n",
          out);
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-12s  %s\n", commands[i].name, commands[i].summary);
    fputs("\n"
          "  --version     print the version\n"
          "  --help        print this; `sparkmill COMMAND --help` for one command\n\n"
          "Exit status: 0 done, 1 failed, 2 wrong use or bad input.\n",
          out);
}

static int smallest(int a, int b, int c) {
    int ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Insertions, deletions and replacements from one word to the other; words over 31 characters count
 * as far from everything. */
static int edit_distance(const char *a, const char *b) {
    enum { LONGEST = 31 };
    size_t n_a = strlen(a), n_b = strlen(b);
    if (n_a > LONGEST || n_b > LONGEST)
        return LONGEST;
    int row[LONGEST + 1]; /* distance of the first i characters of a to the first j of b */
    for (size_t j = 0; j <= n_b; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= n_a; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= n_b; j++) {
            int replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = smallest(row[j] + 1, row[j - 1] + 1, replaced);
        }
    }
    return row[n_b];
}

static int refuse_command(const char *name) {
    const struct command *nearest = NULL;
    int least = strlen(name) > 4 ? 4 : 2; /* further away is not a slip of the fingers */
    for (int i = 0; i < N_COMMANDS; i++) {
        int distance = edit_distance(name, commands[i].name);
        if (distance < least) {
            least = distance;
            nearest = &commands[i];
        }
    }
    fprintf(stderr, "sparkmill: there is no command '%s'", name);
    if (nearest)
        fprintf(stderr, "; did you mean '%s'?", nearest->name);
    fputs("\nSee: sparkmill --help\n", stderr);
    return MILL_EXIT_USAGE;
}

static int find_and_run(int argc, char **argv) {
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(argv[0], commands[i].name) == 0)
            return commands[i].run(argc, argv);
    return refuse_command(argv[0]);
}

static int run_command(int argc, char **argv) {
    if (argc < 2) {
        print_help(stderr);
        return MILL_EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "help") == 0 && argc == 3) {
        char *of_command[] = {argv[2], "--help", NULL};
        return find_and_run(2, of_command);
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help(stdout);
        return MILL_EXIT_OK;
    }
    if (strcmp(name, "--version") == 0) {
        puts("sparkmill " MILL_VERSION);
        return MILL_EXIT_OK;
    }
    return find_and_run(argc - 1, argv + 1);
}

/* Where a standard stream was closed, the next file that is opened would get its number, and what
 * is printed with it: something that can neither be read nor written takes it first. */
static void fill_closed_streams(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv) {
    fill_closed_streams();
    int result = run_command(argc, argv);
    /* What a command wrote may still be in stdio's buffer: a full disk shows only now. */
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("sparkmill: standard output");
        return result == MILL_EXIT_OK ? MILL_EXIT_FAILED : result;
    }
    if (result != MILL_EXIT_OK)
        mill_interrupt_pass_on();
    return result;
}
