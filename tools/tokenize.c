/* tokenize.c - `sparkmill tokenize`: lines of text, or JSON Lines with a `text` field, to token
 * ids, one JSON list a line. Lines are read, answered and forgotten one by one, so a pipe may be
 * endless; the first bad line ends the command. */
#include "runtime/base/file.h"
#include "runtime/io/config.h"
#include "runtime/text/published_tokenizer.h"
#include "runtime/text/tokenizer.h"
#include "tools/command.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char command[] = "tokenize";

static const char help[] =
    "Usage: sparkmill tokenize [OPTION]... [FILE|-]\n"
    "Print the token ids of each line of a file (- = standard input) as a JSON list.\n"
    "\n"
    "  --model DIR       the tokenizer of a checkpoint folder (it lies in DIR/LLM);\n"
    "                    without it the published one, which the program carries\n"
    "  --jsonl           each line is a JSON object; its field `text` is taken\n"
    "  --control-tokens  text that reads like a control token (<|im_end|>) is one,\n"
    "                    as with the published tokenizer; without it, text stays text";

struct request {
    const char *model, *path; /* NULL = the published tokenizer; standard input */
    bool jsonl, control_tokens;
};

#define ROW(...) MILL_OPTION(request, __VA_ARGS__)
static const struct mill_option rows[] = {
    ROW("model", 0, TEXT, model, 0, 0),
    ROW("jsonl", 0, FLAG, jsonl, 0, 0),
    ROW("control-tokens", 0, FLAG, control_tokens, 0, 0),
};
#undef ROW

static mill_status open_tokenizer(struct mill_tokenizer **out, const char *model,
                                  struct mill_error *err) {
    if (!model)
        return mill_published_tokenizer_open(out, err);
    char *folder = mill_path_join(model, "LLM");
    if (!folder)
        return mill_fail(err, MILL_E_MEMORY, "'%s': no memory", model);
    mill_status status = mill_tokenizer_open(out, folder, err);
    free(folder);
    return status;
}

static mill_status print_ids(struct mill_encoder *encoder, const struct request *r,
                             const char *text, size_t size, struct mill_error *err) {
    const int32_t *ids;
    size_t n;
    MILL_TRY(mill_encoder_encode(encoder, text, size, r->control_tokens, &ids, &n, err));
    putchar('[');
    for (size_t i = 0; i < n; i++)
        printf(i ? ",%d" : "%d", ids[i]);
    fputs("]\n", stdout);
    return MILL_OK;
}

static mill_status tokenize_json_line(struct mill_encoder *encoder, const struct request *r,
                                      const char *line, size_t size, struct mill_error *err) {
    json_t *object;
    MILL_TRY(mill_json_parse(&object, NULL, line, size, err));
    const char *text;
    mill_status status = mill_config_text(object, "text", &text, err);
    if (status == MILL_OK)
        status = print_ids(encoder, r, text, strlen(text), err);
    json_decref(object);
    return status;
}

static mill_status tokenize_lines(struct mill_encoder *encoder, const struct request *r,
                                  FILE *input, struct mill_error *err) {
    const char *name = r->path ? r->path : "standard input";
    char *line = NULL;
    size_t capacity = 0, number = 0;
    mill_status status = MILL_OK;
    errno = 0;
    for (ssize_t n; status == MILL_OK && (n = getline(&line, &capacity, input)) >= 0;) {
        number++;
        size_t size = (size_t)n;
        if (size > 0 && line[size - 1] == '\n')
            size--;
        status = r->jsonl ? tokenize_json_line(encoder, r, line, size, err)
                          : print_ids(encoder, r, line, size, err);
        if (status < 0)
            mill_context(err, status, "'%s': line %zu", name, number);
        else if (ferror(stdout))
            break;
    }
    if (status == MILL_OK && !feof(input) && !ferror(stdout))
        status = mill_fail(err, MILL_E_IO, "'%s': %s", name, strerror(errno));
    free(line);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == MILL_OK)
        status = mill_fail(err, MILL_E_IO, "standard output: %s", strerror(errno));
    return status;
}

int mill_command_tokenize(int argc, char **argv) {
    struct request r = {0};
    const struct mill_command_line line = {command, help, rows, sizeof rows / sizeof *rows};
    int first, result = mill_options_read(&line, argc, argv, &r, &first);
    if (result != MILL_GO_ON)
        return result;
    if (argc - first > 1)
        return mill_command_usage(command, "at most one file is taken");
    if (first < argc && strcmp(argv[first], "-") != 0)
        r.path = argv[first];
    struct mill_error err = {0};
    struct mill_tokenizer *tokenizer = NULL;
    struct mill_encoder *encoder = NULL;
    mill_status status = MILL_OK;
    FILE *input = r.path ? fopen(r.path, "r") : stdin;
    if (!input)
        status = mill_fail(&err, mill_open_failure(errno), "'%s': %s", r.path, strerror(errno));
    if (status == MILL_OK)
        status = open_tokenizer(&tokenizer, r.model, &err);
    if (status == MILL_OK)
        status = mill_encoder_open(&encoder, tokenizer, &err);
    if (status == MILL_OK)
        status = tokenize_lines(encoder, &r, input, &err);
    mill_encoder_close(encoder);
    mill_tokenizer_close(tokenizer);
    if (input && input != stdin)
        fclose(input);
    return status < 0 ? mill_command_fail(command, status, &err) : MILL_EXIT_OK;
}
