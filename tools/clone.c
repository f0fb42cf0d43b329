/* clone.c - `sparkmill clone`: a recording to a voice file. The cheap refusals come first: consent,
 * the recording's checks, then the model. */
#include "runtime/engine/model.h"
#include "runtime/io/sha256.h"
#include "runtime/voice/cloner.h"
#include "tools/cache_folder.h"
#include "tools/command.h"
#include "tools/demo_voice.h"
#include "tools/user_folders.h"
#include "tools/voice_open.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const char command[] = "clone";

enum { STATEMENT_BYTES = 8192 };

struct cloning_request {
    const char *recording, *output, *model_folder, *transcript, *language, *licence, *name;
    const char *consent, *consent_by, *consent_for, *backend, *precision, *voices_option;
    double temperature, top_p; /* -1 = not given, as the next two */
    long long top_k, seed, n_threads;
    bool keep_silence;
    char *cache;                            /* owned: the folder; NULL = none */
    char demo_voice[MILL_DEMO_VOICE_BYTES]; /* where no model was given */
};

static const char help[] =
    "Usage: sparkmill clone RECORDING -o NAME.voice --consent TEXT|FILE [OPTION]...\n"
    "Make a voice from a recording of one person: 3 to 10 seconds of clear speech are\n"
    "best. Prints what was found in it, and refuses what would not make a voice.\n\n"
    "  --model DIR         checkpoint folder; the demo voice\n"
    "  -o, --output FILE   the voice file\n"
    "  --consent TEXT|FILE the speaker's statement, in words or as a text file\n"
    "  --consent-by NAME   who agreed\n"
    "  --consent-for TEXT  to what use\n"
    "  --transcript TEXT   what is said, word for word: new speech then continues the\n"
    "                      recording, with its manner; else only the timbre is taken\n"
    "  --keep-silence      use silence at both ends too\n"
    "  --name NAME         of the voice, else the file's\n"
    "  --language TAG      such as en or zh-CN\n"
    "  --licence TEXT      such as CC-BY-4.0\n"
    "  --temperature X --top-k N --top-p X --seed N    the voice's own defaults\n"
    "  --backend NAME      cpu reference\n"
    "  --precision NAME    auto fp32 bf16\n"
    "  --threads N         0 = one per processor\n"
    "  --voices DIR        the registry, which knows voices that were revoked\n\n"
    "Not checked: that one person speaks, and that the transcript fits. Listen.";

/* ------------------------------------------------------------------ consent */

/* A line's end is '\n' in voice files, and other control characters are not in them. */
static void clean(struct mill_buffer *text) {
    size_t n = 0;
    for (size_t i = 0; i < text->size; i++) {
        char c = text->data[i];
        if (c != '\r')
            text->data[n++] = c == '\t' ? ' ' : c;
    }
    while (n > 0 && strchr(" \n", text->data[n - 1]))
        n--;
    text->size = n;
}

static bool names_file(const char *consent) {
    size_t n = strlen(consent);
    return (n > 0 && !strchr(consent, ' ')) || (n > 4 && strcmp(consent + n - 4, ".txt") == 0) ||
           access(consent, F_OK) == 0;
}

/* The statement behind --consent, with a final zero. One word is a file's name: nobody agrees to
 * anything in one, and a wrong path must not become the statement. */
static mill_status read_statement(const char *consent, struct mill_buffer *out,
                                  struct mill_error *err) {
    mill_status status = names_file(consent)
                             ? mill_file_read(consent, out, err)
                             : mill_buffer_append(out, consent, strlen(consent), err);
    if (status < 0)
        return mill_context(err, status, "--consent: one word is a file that holds the statement");
    clean(out);
    if (out->size == 0)
        return mill_fail(err, MILL_E_INPUT, "--consent: the statement is empty");
    return mill_buffer_append(out, "", 1, err);
}

static mill_status check_consent(const struct cloning_request *r, struct mill_error *err) {
    struct mill_user_config config;
    MILL_TRY(mill_user_config_read(&config, err));
    if (r->consent || !config.require_consent)
        return MILL_OK;
    return mill_fail(err, MILL_E_INPUT,
                     "a voice belongs to a person: say with --consent how they agreed (a statement "
                     "or a file, who with --consent-by, to what with --consent-for). An operator "
                     "who keeps such records elsewhere writes `require_consent: false` into "
                     "sparkmill/config.yaml");
}

/* ------------------------------------------------------------------ the recording */

static void print_report(const struct mill_clone_findings *found, bool keep_silence) {
    const struct mill_recording_report *report = &found->report;
    printf("%-16s %10s\n", "format", mill_recording_format_name(found->format));
    for (int i = 0; i < MILL_CHECK_COUNT; i++) {
        const struct mill_recording_check_row *row = &report->rows[i];
        int digits = row->value == nearbyint(row->value) ? 0 : fabs(row->value) >= 10 ? 1 : 2;
        printf("%-16s %10.*f %-5s ", row->name, digits, row->value, row->unit);
        printf(row->advice[0] ? "%-8s %s\n" : "%s%s\n", mill_check_verdict_name(row->verdict),
               row->advice);
    }
    if (!keep_silence)
        printf("%-16s %10.2f %-5s from %.2f to %.2f s%s\n", "used",
               report->use_end_s - report->use_first_s, "s", report->use_first_s, report->use_end_s,
               report->is_cut ? ": the rest is left out" : "");
}

static mill_status prepare_recording(const struct cloning_request *r,
                                     const struct mill_shape *shape, struct mill_prepared *out,
                                     struct mill_error *err) {
    const struct mill_clone_source source = {
        .path = r->recording, .transcript = r->transcript, .keep_silence = r->keep_silence};
    struct mill_clone_findings found;
    mill_status status = mill_clone_prepare(&source, shape, out, &found, err);
    if (found.judged)
        print_report(&found, r->keep_silence);
    return status;
}

/* ------------------------------------------------------------------ the voice */

static void fill_sampling(const struct cloning_request *r, struct mill_voice_sampling *sampling) {
    *sampling = (struct mill_voice_sampling){
        .given = r->temperature >= 0 || r->top_p >= 0 || r->top_k >= 0 || r->seed >= 0,
        .temperature = r->temperature >= 0 ? r->temperature : 0.8,
        .top_p = r->top_p >= 0 ? r->top_p : 0.95,
        .top_k = r->top_k >= 0 ? (int32_t)r->top_k : 50,
        .seed = r->seed >= 0 ? r->seed : 0};
}

static mill_status write_voice(const struct cloning_request *r, struct mill_voice *voice,
                               struct mill_error *err) {
    char id[MILL_VOICE_ID_BYTES], consent_id[MILL_VOICE_ID_BYTES];
    struct rusage usage;
    char *folder = mill_voices_folder(r->voices_option);
    const struct mill_registry registry = {.folder = folder};
    mill_status status = mill_voice_check_allowed(&registry, voice, err);
    free(folder);
    MILL_TRY(status);
    MILL_TRY(mill_voice_id(id, voice, err));
    MILL_TRY(mill_voice_consent_id(consent_id, voice, err));
    MILL_TRY(mill_voice_write(voice, r->output, err));
    getrusage(RUSAGE_SELF, &usage);
    fprintf(stderr, "voice=%s consent=%s semantic_tokens=%d peak_memory_mb=%.0f\n", id, consent_id,
            voice->n_semantic, (double)usage.ru_maxrss * 1024 / 1e6);
    return MILL_OK;
}

/* With the texts that the voice borrows in this function's variables. */
static mill_status make_voice(const struct cloning_request *r, const struct mill_model *model,
                              const struct mill_prepared *wave, const char *statement,
                              struct mill_error *err) {
    char name[MILL_VOICE_NAME_BYTES], now[MILL_VOICE_TIME_BYTES], sha256[MILL_SHA256_HEX_BYTES];
    struct mill_voice_model voice_model;
    mill_voice_name_from_path(name, r->output);
    mill_voice_now(now);
    MILL_TRY(
        mill_voice_model_of(&voice_model, r->model_folder, &model->shape, model->synthetic, err));
    MILL_TRY(mill_sha256_file(r->recording, sha256, err));
    struct mill_voice voice = {
        .model = voice_model.id,
        .name = r->name ? r->name : name,
        .language = r->language,
        .licence = r->licence,
        .provenance = {.recording_sha256 = sha256,
                       .seconds = (double)wave->n_samples / wave->sample_rate,
                       .created_by = "sparkmill " MILL_VERSION,
                       .date = now},
        .transcript = r->transcript};
    if (statement) {
        voice.consent.statement = statement;
        voice.consent.who = r->consent_by;
        voice.consent.when = now;
        voice.consent.purpose = r->consent_for;
    }
    fill_sampling(r, &voice.sampling);
    const struct mill_cloner cloner = {.folder = r->model_folder,
                                       .backend = r->backend,
                                       .precision = r->precision,
                                       .cache = r->cache,
                                       .n_threads = (int32_t)r->n_threads};
    mill_status status = mill_clone_encode(&cloner, &model->shape, wave, &voice, err);
    if (status == MILL_OK)
        status = write_voice(r, &voice, err);
    mill_voice_deinit(&voice);
    return status;
}

static mill_status run(const struct cloning_request *r, struct mill_buffer *statement,
                       struct mill_error *err) {
    struct mill_model model;
    struct mill_prepared wave = {0};
    MILL_TRY(check_consent(r, err));
    MILL_TRY(mill_voice_check_output(r->output, err));
    if (r->name)
        MILL_TRY(mill_voice_check_name(r->name, err));
    if (r->transcript && !r->transcript[0])
        return mill_fail(err, MILL_E_INPUT,
                         "--transcript is empty: say what is said, or leave it out");
    if (r->consent)
        MILL_TRY(read_statement(r->consent, statement, err));
    MILL_TRY(mill_model_open(&model, r->model_folder, r->cache, err));
    mill_status status = prepare_recording(r, &model.shape, &wave, err);
    if (status == MILL_OK)
        status = make_voice(r, &model, &wave, statement->data, err);
    mill_prepared_close(&wave);
    mill_model_close(&model);
    return status;
}

/* ------------------------------------------------------------------ options */

#define ROW(...) MILL_OPTION(cloning_request, __VA_ARGS__)
static const struct mill_option rows[] = {
    ROW("model", 0, TEXT, model_folder, 0, 0),
    ROW("output", 'o', TEXT, output, 0, 0),
    ROW("consent", 0, TEXT, consent, 0, 0),
    ROW("consent-by", 0, TEXT, consent_by, 0, 0),
    ROW("consent-for", 0, TEXT, consent_for, 0, 0),
    ROW("transcript", 0, TEXT, transcript, 0, 0),
    ROW("name", 0, TEXT, name, 0, 0),
    ROW("language", 0, TEXT, language, 0, 0),
    ROW("licence", 0, TEXT, licence, 0, 0),
    ROW("backend", 0, TEXT, backend, 0, 0),
    ROW("precision", 0, TEXT, precision, 0, 0),
    ROW("voices", 0, TEXT, voices_option, 0, 0),
    ROW("temperature", 0, NUMBER, temperature, 0, 100),
    ROW("top-p", 0, NUMBER, top_p, 0.001, 1),
    ROW("top-k", 0, WHOLE, top_k, 0, 1000000),
    ROW("seed", 0, WHOLE, seed, 0, 9007199254740992),
    ROW("threads", 0, WHOLE, n_threads, 0, 1024),
    ROW("keep-silence", 0, FLAG, keep_silence, 0, 0),
};
#undef ROW

static int parse(struct cloning_request *r, int argc, char **argv) {
    const struct mill_command_line line = {command, help, rows, sizeof rows / sizeof *rows};
    int first, result = mill_options_read(&line, argc, argv, r, &first);
    if (result != MILL_GO_ON)
        return result;
    if (argc - first != 1)
        return mill_command_usage(command, "one recording is wanted");
    r->recording = argv[first];
    if (!r->output)
        return mill_command_usage(command, "where to? -o NAME.voice");
    return mill_demo_voice_stand_in(command, &r->model_folder, r->demo_voice);
}

int mill_command_clone(int argc, char **argv) {
    struct cloning_request r = {.temperature = -1, .top_p = -1, .top_k = -1, .seed = -1};
    struct mill_error err = {""};
    struct mill_buffer statement;
    int result = parse(&r, argc, argv);
    if (result != MILL_GO_ON)
        return result;
    mill_buffer_init(&statement, STATEMENT_BYTES);
    r.cache = mill_cache_folder();
    mill_status status = run(&r, &statement, &err);
    mill_buffer_deinit(&statement);
    free(r.cache);
    return status == MILL_OK ? MILL_EXIT_OK : mill_command_fail(command, status, &err);
}
