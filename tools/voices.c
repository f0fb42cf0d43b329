/* voices.c - `sparkmill voices`: the registry of voices from the command line. Each sub-command is
 * a function below and a row of the table; what needs a model is in files of its own. */
#include "tools/voices.h"

#include "tools/command.h"
#include "tools/user_folders.h"
#include "tools/voice_open.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char command[] = "voices";

static const char help[] =
    "Usage: sparkmill voices ACTION [OPTION]...\n"
    "Keep voices by name: `sparkmill say --voice NAME` then speaks in them.\n\n"
    "  list                       every voice: name, id, language, what it has\n"
    "  show NAME|FILE             all that its file says\n"
    "  add FILE [--as NAME]       take a voice's file into the registry\n"
    "  import FILE...             the same, several\n"
    "  export NAME -o FILE        write a voice's file\n"
    "  rename NAME NEW\n"
    "  remove NAME...\n"
    "  revoke NAME|FILE --why TEXT    refuse it from now on, under any name\n"
    "  compare A B [--model DIR]  how alike two voices are (names or files)\n"
    "  create NAME --model DIR    let the model invent voices: voices create --help\n\n"
    "  --voices DIR               the registry's folder, else\n"
    "                             $XDG_DATA_HOME/sparkmill/voices\n\n"
    "A name is 1 to 64 of A-Z a-z 0-9 . _ - and no path; what has a '/' or ends in\n"
    ".voice or .json is a file. `sparkmill clone` makes voices from recordings.";

struct request {
    const char *voices, *as, *output, *why;
    struct mill_registry registry;
    char **arguments; /* what is no option */
    int n_arguments;
};

static int fail(mill_status status, const struct mill_error *err) {
    return mill_command_fail(command, status, err);
}

/* ------------------------------------------------------------------ looking */

/* One line of `list`; columns are wide enough for all but very long names. */
static void print_line(const struct mill_voice *voice) {
    char id[MILL_VOICE_ID_BYTES];
    if (mill_voice_id(id, voice, NULL) < 0)
        return;
    printf("%-24s %s  %-5s  %s%s%s\n", voice->name, id, voice->language ? voice->language : "-",
           voice->transcript                    ? "continuation"
           : voice->provenance.recording_sha256 ? "timbre"
                                                : "created",
           voice->consent.statement ? ", consent" : "", voice->revoked.when ? ", REVOKED" : "");
}

static int run_list(struct request *r) {
    struct mill_registry_names names;
    struct mill_error err = {""};
    mill_status status = mill_registry_list(&r->registry, &names, &err);
    if (status < 0)
        return fail(status, &err);
    int result = MILL_EXIT_OK;
    if (names.n == 0)
        fprintf(stderr, "no voices in '%s'\n", r->registry.folder);
    for (size_t i = 0; i < names.n; i++) {
        struct mill_voice voice;
        status = mill_registry_get(&r->registry, names.names[i], NULL, &voice, &err);
        if (status == MILL_OK)
            print_line(&voice);
        else if (status != MILL_E_NOT_FOUND) /* else another process removed it just now */
            result = fail(status, &err);
        mill_voice_deinit(&voice);
    }
    mill_registry_names_deinit(&names);
    return result;
}

/* Texts have no control characters but line breaks, see voice_read.c. */
static void print_text(const char *key, const char *text) {
    if (!text)
        return;
    printf("%-14s", key);
    for (; *text; text++)
        putchar(*text == '\n' ? ' ' : *text);
    putchar('\n');
}

static void print_tokens(const char *key, const int32_t *tokens, int32_t n) {
    printf("%-14s%d:", key, n);
    for (int32_t i = 0; i < n && i < 32; i++)
        printf(" %d", tokens[i]);
    puts(n > 32 ? " ..." : "");
}

static void print_voice(const struct mill_voice *voice, const char *id, const char *consent_id) {
    print_text("name", voice->name);
    print_text("voice id", id);
    print_text("model id", voice->model);
    print_text("language", voice->language);
    print_text("licence", voice->licence);
    print_text("consent id", consent_id);
    if (voice->consent.statement) {
        print_text("  statement", voice->consent.statement);
        print_text("  who", voice->consent.who);
        print_text("  when", voice->consent.when);
        print_text("  purpose", voice->consent.purpose);
    }
    print_text("made by", voice->provenance.created_by);
    print_text("made at", voice->provenance.date);
    print_text("recording", voice->provenance.recording_sha256);
    if (voice->provenance.recording_sha256)
        printf("%-14s%.2f\n", "  seconds", voice->provenance.seconds);
    print_tokens("globals", voice->global, voice->n_global);
    if (voice->transcript) {
        print_text("transcript", voice->transcript);
        print_tokens("semantics", voice->semantic, voice->n_semantic);
    }
    if (voice->sampling.given)
        printf("%-14stemperature %g, top-k %d, top-p %g, seed %lld\n", "sampling",
               voice->sampling.temperature, voice->sampling.top_k, voice->sampling.top_p,
               (long long)voice->sampling.seed);
    print_text("REVOKED at", voice->revoked.when);
    print_text("  because", voice->revoked.why);
}

static int run_show(struct request *r) {
    struct mill_voice voice = {0};
    struct mill_error err = {""};
    char id[MILL_VOICE_ID_BYTES], consent_id[MILL_VOICE_ID_BYTES];
    mill_status status = mill_voice_look(&voice, r->arguments[0], &r->registry, NULL, &err);
    if (status == MILL_OK)
        status = mill_voice_id(id, &voice, &err);
    if (status == MILL_OK)
        status = mill_voice_consent_id(consent_id, &voice, &err);
    if (status == MILL_OK)
        print_voice(&voice, id, consent_id);
    mill_voice_deinit(&voice);
    return status == MILL_OK ? MILL_EXIT_OK : fail(status, &err);
}

/* ------------------------------------------------------------------ changing */

static mill_status add_file(const struct request *r, const char *path, struct mill_error *err) {
    struct mill_voice voice;
    MILL_TRY(mill_voice_read(&voice, path, NULL, err));
    if (r->as)
        voice.name = r->as;
    mill_status status = mill_registry_add(&r->registry, &voice, err);
    mill_voice_deinit(&voice);
    return status;
}

static int run_add(struct request *r) {
    struct mill_error err = {""};
    int result = MILL_EXIT_OK;
    if (r->as && r->n_arguments > 1)
        return mill_command_usage(command, "--as NAME goes with one file");
    for (int i = 0; i < r->n_arguments; i++) {
        mill_status status = add_file(r, r->arguments[i], &err);
        if (status < 0)
            result = fail(status, &err);
    }
    return result;
}

static mill_status export_voice(const struct request *r, struct mill_error *err) {
    struct mill_voice voice;
    MILL_TRY(mill_voice_check_output(r->output, err));
    MILL_TRY(mill_voice_open(&voice, r->arguments[0], &r->registry, NULL, err));
    mill_status status = mill_voice_write(&voice, r->output, err);
    mill_voice_deinit(&voice);
    return status;
}

static int run_export(struct request *r) {
    struct mill_error err = {""};
    if (!r->output)
        return mill_command_usage(command, "where to? -o FILE");
    mill_status status = export_voice(r, &err);
    return status == MILL_OK ? MILL_EXIT_OK : fail(status, &err);
}

static int run_rename(struct request *r) {
    struct mill_error err = {""};
    mill_status status = mill_registry_rename(&r->registry, r->arguments[0], r->arguments[1], &err);
    return status == MILL_OK ? MILL_EXIT_OK : fail(status, &err);
}

static int run_remove(struct request *r) {
    struct mill_error err = {""};
    int result = MILL_EXIT_OK;
    for (int i = 0; i < r->n_arguments; i++) {
        mill_status status = mill_registry_remove(&r->registry, r->arguments[i], &err);
        if (status < 0)
            result = fail(status, &err);
    }
    return result;
}

static int run_revoke(struct request *r) {
    struct mill_voice voice = {0};
    struct mill_error err = {""};
    if (!r->why)
        return mill_command_usage(command, "why? --why TEXT: whoever is refused will read it");
    mill_status status = mill_voice_look(&voice, r->arguments[0], &r->registry, NULL, &err);
    if (status == MILL_OK)
        status = mill_registry_revoke(&r->registry, &voice, r->why, &err);
    mill_voice_deinit(&voice);
    return status == MILL_OK ? MILL_EXIT_OK : fail(status, &err);
}

/* ------------------------------------------------------------------ which */

static const struct action {
    const char *name;
    const char *takes; /* arguments that are no options, for messages */
    int least, most;   /* of them */
    int (*run)(struct request *r);
} actions[] = {
    {"list", "nothing", 0, 0, run_list},
    {"show", "NAME or FILE", 1, 1, run_show},
    {"add", "FILE", 1, 1, run_add},
    {"import", "FILE...", 1, 1000, run_add},
    {"export", "NAME", 1, 1, run_export},
    {"rename", "NAME NEW", 2, 2, run_rename},
    {"remove", "NAME...", 1, 1000, run_remove},
    {"revoke", "NAME or FILE", 1, 1, run_revoke},
};
enum { N_ACTIONS = sizeof actions / sizeof *actions };

#define ROW(...) MILL_OPTION(request, __VA_ARGS__)
static const struct mill_option rows[] = {
    ROW("voices", 0, TEXT, voices, 0, 0),
    ROW("as", 0, TEXT, as, 0, 0),
    ROW("output", 'o', TEXT, output, 0, 0),
    ROW("why", 0, TEXT, why, 0, 0),
};
#undef ROW

static int run_action(const struct action *action, int argc, char **argv) {
    struct request r = {0};
    struct mill_error err = {""};
    const struct mill_command_line line = {command, help, rows, sizeof rows / sizeof *rows};
    int first, result = mill_options_read(&line, argc, argv, &r, &first);
    if (result != MILL_GO_ON)
        return result;
    r.arguments = argv + first;
    r.n_arguments = argc - first;
    if (r.n_arguments < action->least || r.n_arguments > action->most)
        return mill_command_usage(command, "%s takes %s", action->name, action->takes);
    char *folder = mill_voices_folder(r.voices);
    r.registry.folder = folder;
    mill_status status = mill_voice_check_registry(&r.registry, &err);
    result = status == MILL_OK ? action->run(&r) : fail(status, &err);
    free(folder);
    return result;
}

int mill_command_voices(int argc, char **argv) {
    if (argc < 2)
        return mill_command_usage(command, "which action?");
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        puts(help);
        return MILL_EXIT_OK;
    }
    if (strcmp(name, "create") == 0)
        return mill_voices_create(argc - 1, argv + 1);
    if (strcmp(name, "compare") == 0)
        return mill_voices_compare(argc - 1, argv + 1);
    for (int i = 0; i < N_ACTIONS; i++)
        if (strcmp(name, actions[i].name) == 0)
            return run_action(&actions[i], argc - 1, argv + 1);
    return mill_command_usage(command, "there is no action '%s'", name);
}
