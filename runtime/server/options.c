/* options.c - see options.h. A new option is a field there and a row here. */
#include "runtime/server/options.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES = 1 << 16, NAME_BYTES = 64 };

#define NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/"

enum kind { TEXT, WHOLE, NUMBER, SWITCH };

static const struct row {
    const char *name;
    enum kind kind;
    size_t offset;
    const char *value; /* the default */
    double low, high;
    const char *help;
    bool is_limit;
} rows[] = {
#define ROW(field, kind, value, low, high, help)                                                   \
    { #field, kind, offsetof(struct mill_server_options, field), value, low, high, help, false }
#define LIMIT(field, kind, value, low, high, help)                                                 \
    { #field, kind, offsetof(struct mill_server_options, field), value, low, high, help, true }
    ROW(model, TEXT, "", 0, 0, "checkpoint folder, as sparkmill pull makes it"),
    ROW(model_name, TEXT, "spark-tts", 0, 0, "what clients call the model"),
    ROW(model_aliases, TEXT, "tts-1,tts-1-hd,gpt-4o-mini-tts,gpt-4o-mini-tts-2025-12-15", 0, 0,
        "other names it answers to; empty = none"),
    ROW(devices, TEXT, "auto", 0, 0,
        "auto, cuda, cuda:N, cpu, cpu:THREADS; several: commas between"),
    ROW(precision, TEXT, "auto", 0, 0, "auto fp32 bf16 int8"),
    ROW(cache, TEXT, "", 0, 0, "folder of converted weights; empty = the user's, none = off"),
    ROW(voices, TEXT, "", 0, 0, "folder of kept voices; empty = the user's"),
    ROW(dictionary, TEXT, "", 0, 0, "file of lines `written = spoken`, for every text"),
    ROW(state, TEXT, "", 0, 0, "folder of consents and counters; empty = the user's"),
    ROW(jobs, TEXT, "", 0, 0, "folder of files and batches; empty = in state, none = off"),

    ROW(host, TEXT, "127.0.0.1", 0, 0, "address to listen on, or unix:PATH"),
    ROW(port, WHOLE, "8000", 0, 65535, "0 = any free one"),
    ROW(tls_cert, TEXT, "", 0, 0, "certificate chain (PEM): HTTPS"),
    ROW(tls_key, TEXT, "", 0, 0, "its key (PEM)"),
    ROW(http_threads, WHOLE, "0", 0, 64, "0 = one per processor, at most 4"),
    ROW(keys, TEXT, "", 0, 0, "file of API keys, as sparkmill keys makes it"),
    ROW(anonymous, SWITCH, "false", 0, 0, "serve other machines without keys"),
    ROW(require_consent, SWITCH, "true", 0, 0, "clone only with a consent"),
    ROW(disclosure, SWITCH, "true", 0, 0, "mark sound as synthetic speech"),

    LIMIT(max_running, WHOLE, "0", 0, 4096, "utterances at once on a device; 0 = what suits it"),
    LIMIT(max_queue, WHOLE, "256", 1, 1 << 18, "utterances that wait"),
    LIMIT(max_backlog_s, NUMBER, "60", 0, 1e6, "seconds of work that wait; 0 = no limit"),
    LIMIT(max_unread_s, NUMBER, "30", 1, 3600, "seconds of sound kept for a slow reader"),
    LIMIT(max_utterance_s, NUMBER, "60", 1, 3600, "of sound that one utterance may become"),
    LIMIT(max_input_chars, WHOLE, "4096", 1, 1 << 20, "characters of one request's text"),
    LIMIT(max_rests_s, NUMBER, "60", 0, 86400, "seconds of rests in it, beyond the usual ones"),
    LIMIT(max_upload_bytes, WHOLE, "10485760", 1024, 1 << 30, "of a recording"),
    LIMIT(max_consents_bytes, WHOLE, "10737418240", 1024, 1LL << 50, "of all recorded consents"),
    LIMIT(max_batch_bytes, WHOLE, "209715200", 1024, 1LL << 32, "of a batch's file"),
    LIMIT(max_batch_lines, WHOLE, "50000", 1, 1000000, "requests of a batch"),
    LIMIT(max_jobs_bytes, WHOLE, "68719476736", 1024, 1LL << 50, "of all files of batches"),
    LIMIT(max_jobs_age_s, WHOLE, "2592000", 0, 1LL << 32,
          "seconds that uploads and ended batches are kept; 0 = for ever"),

    LIMIT(max_connections, WHOLE, "4096", 1, 1 << 20, "open at once"),
    LIMIT(max_connections_per_address, WHOLE, "0", 0, 1 << 20, "0 = no limit"),
    LIMIT(max_header_bytes, WHOLE, "16384", 4096, 131072, "of a request's headers"),
    LIMIT(min_body_rate, WHOLE, "1024", 1, 1 << 30, "bytes a second behind the body's time"),
    LIMIT(header_timeout_s, NUMBER, "10", 0.1, 3600, "for a connection's first headers"),
    LIMIT(idle_timeout_s, NUMBER, "75", 0.1, 86400, "for those of each further request"),
    LIMIT(body_timeout_s, NUMBER, "20", 0.1, 86400, "for a body, more by min_body_rate"),
    LIMIT(slow_client_s, NUMBER, "30", 0.1, 86400, "that a reader may lag behind real time"),

    LIMIT(drain_timeout_s, NUMBER, "30", 0, 86400, "for what runs when asked to stop"),
    LIMIT(stuck_s, NUMBER, "30", 1, 86400, "without a step until a device counts as stuck"),
#undef LIMIT
#undef ROW
};
enum { N_ROWS = sizeof rows / sizeof *rows };
_Static_assert((int)N_ROWS <= (int)MILL_SERVER_MAX_OPTIONS, "room for every option's source");

static mill_status wanted(struct mill_error *err, const struct row *row, const char *value) {
    if (row->kind == SWITCH)
        return mill_fail(err, MILL_E_INPUT, "%s '%.40s': true or false is wanted", row->name,
                         value);
    return mill_fail(err, MILL_E_INPUT, "%s '%.40s': a %s from %.10g to %.10g is wanted", row->name,
                     value, row->kind == WHOLE ? "whole number" : "number", row->low, row->high);
}

static mill_status take(struct mill_server_options *options, const struct row *row,
                        const char *value, struct mill_error *err) {
    void *field = (char *)options + row->offset;
    char *end = NULL;
    errno = 0;
    if (row->kind == TEXT) {
        *(const char **)field = value;
    } else if (row->kind == SWITCH) {
        if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
            return wanted(err, row, value);
        *(bool *)field = value[0] == 't';
    } else if (row->kind == WHOLE) {
        long long number = strtoll(value, &end, 10);
        if (end == value || *end || errno || (double)number < row->low ||
            (double)number > row->high)
            return wanted(err, row, value);
        *(int64_t *)field = number;
    } else {
        double number = strtod(value, &end);
        if (end == value || *end || !isfinite(number) || number < row->low || number > row->high)
            return wanted(err, row, value);
        *(double *)field = number;
    }
    return MILL_OK;
}

void mill_server_options_init(struct mill_server_options *options) {
    *options = (struct mill_server_options){0};
    for (int i = 0; i < N_ROWS; i++)
        take(options, &rows[i], rows[i].value, NULL);
}

void mill_server_options_deinit(struct mill_server_options *options) {
    json_decref(options->file);
    options->file = NULL;
}

static bool names_match(const char *row, const char *name) {
    for (; *row && (*row == *name || (*row == '_' && *name == '-')); row++, name++)
        ;
    return *row == '\0' && *name == '\0';
}

mill_status mill_server_options_set(struct mill_server_options *options, const char *name,
                                    const char *value, enum mill_option_source source,
                                    struct mill_error *err) {
    for (int i = 0; i < N_ROWS; i++) {
        if (!names_match(rows[i].name, name))
            continue;
        if (options->source[i] > (unsigned char)source)
            return MILL_OK;
        MILL_TRY(take(options, &rows[i], value, err));
        options->source[i] = (unsigned char)source;
        return MILL_OK;
    }
    return mill_fail(err, MILL_E_NOT_FOUND, "there is no option '%.40s'", name);
}

/* ------------------------------------------------------------------ the file */

/* A scalar of the file as the text that an option is read from; `digits` holds it where it must. */
static const char *text_of(const json_t *value, char digits[NAME_BYTES]) {
    if (json_is_string(value))
        return json_string_value(value);
    if (json_is_boolean(value))
        return json_is_true(value) ? "true" : "false";
    if (json_is_integer(value))
        snprintf(digits, NAME_BYTES, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(digits, NAME_BYTES, "%.17g", json_real_value(value));
    else
        return json_is_null(value) ? "" : NULL;
    return digits;
}

/* A text option that the file wrote as a number, such as a model's name, needs a text that stays.
 */
static mill_status keep_texts(json_t *root, struct mill_error *err) {
    const char *key;
    void *next;
    json_t *value;
    json_object_foreach_safe(root, next, key, value) {
        char digits[NAME_BYTES];
        const char *text = text_of(value, digits);
        if (!text)
            return mill_fail(err, MILL_E_INPUT, "'%.64s': one value is wanted", key);
        if (!json_is_string(value) && json_object_set_new(root, key, json_string(text)) != 0)
            return mill_fail(err, MILL_E_MEMORY, "no memory");
    }
    return MILL_OK;
}

mill_status mill_server_options_read_file(struct mill_server_options *options, const char *path,
                                          struct mill_error *err) {
    const char *key;
    json_t *value;
    MILL_TRY(mill_yaml_open(&options->file, path, FILE_BYTES, err));
    if (json_is_null(options->file))
        return MILL_OK;
    if (!json_is_object(options->file))
        return mill_fail(err, MILL_E_INPUT, "'%s': lines of `option: value` are wanted", path);
    mill_status status = keep_texts(options->file, err);
    json_object_foreach(options->file, key, value) {
        if (status == MILL_OK)
            status = mill_server_options_set(options, key, json_string_value(value),
                                             MILL_SOURCE_FILE, err);
    }
    return status < 0 ? mill_context(err, MILL_E_INPUT, "'%s'", path) : MILL_OK;
}

/* ------------------------------------------------------------------ variables */

static void variable_of(const struct row *row, char name[NAME_BYTES]) {
    int n = snprintf(name, NAME_BYTES, "SPARKMILL_%s", row->name);
    for (int i = 0; i < n && i < NAME_BYTES; i++)
        name[i] = (char)toupper((unsigned char)name[i]);
}

mill_status mill_server_options_read_variables(struct mill_server_options *options,
                                               char *(*get)(const char *name),
                                               struct mill_error *err) {
    for (int i = 0; i < N_ROWS; i++) {
        char name[NAME_BYTES];
        variable_of(&rows[i], name);
        const char *value = get(name);
        if (!value)
            continue;
        mill_status status =
            mill_server_options_set(options, rows[i].name, value, MILL_SOURCE_VARIABLE, err);
        if (status < 0)
            return mill_context(err, status, "%s", name);
    }
    return MILL_OK;
}

/* ------------------------------------------------------------------ all of them */

static bool is_loopback(const char *host) {
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 ||
           strcmp(host, "localhost") == 0 || strncmp(host, "unix:", 5) == 0;
}

mill_status mill_server_options_check(const struct mill_server_options *options,
                                      struct mill_error *err) {
    if (!options->model[0])
        return mill_fail(err, MILL_E_INPUT,
                         "which model? --model DIR; `sparkmill pull` downloads the published one, "
                         "`sparkmill synth-model` makes one for trying out");
    if (!options->model_name[0] ||
        options->model_name[strspn(options->model_name, NAME_CHARACTERS)])
        return mill_fail(err, MILL_E_INPUT,
                         "model_name '%.64s': letters, digits and any of . _ - / are wanted",
                         options->model_name);
    if (!options->tls_cert[0] != !options->tls_key[0])
        return mill_fail(err, MILL_E_INPUT, "tls_cert and tls_key: both or neither");
    if (!options->keys[0] && !options->anonymous && !is_loopback(options->host))
        return mill_fail(err, MILL_E_INPUT,
                         "host '%.64s' is open to other machines, and there are no keys: make some "
                         "with `sparkmill keys` and say --keys FILE, or say --anonymous",
                         options->host);
    return MILL_OK;
}

bool mill_server_options_info(int i, struct mill_server_option_info *out) {
    if (i < 0 || i >= N_ROWS)
        return false;
    *out = (struct mill_server_option_info){.name = rows[i].name,
                                            .help = rows[i].help,
                                            .is_switch = rows[i].kind == SWITCH,
                                            .is_limit = rows[i].is_limit};
    return true;
}

static mill_status print_value(const struct mill_server_options *options, const struct row *row,
                               struct mill_buffer *out, struct mill_error *err) {
    const void *field = (const char *)options + row->offset;
    if (row->kind == WHOLE)
        return mill_buffer_printf(out, err, "%lld", (long long)*(const int64_t *)field);
    if (row->kind == NUMBER)
        return mill_buffer_printf(out, err, "%.10g", *(const double *)field);
    if (row->kind == SWITCH)
        return mill_buffer_printf(out, err, "%s", *(const bool *)field ? "true" : "false");
    MILL_TRY(mill_buffer_append(out, "'", 1, err));
    for (const char *c = *(const char *const *)field; *c; c++)
        MILL_TRY(mill_buffer_append(out, *c == '\'' ? "''" : c, *c == '\'' ? 2 : 1, err));
    return mill_buffer_append(out, "'", 1, err);
}

mill_status mill_server_options_print(const struct mill_server_options *options,
                                      struct mill_buffer *out, struct mill_error *err) {
    static const char *const sources[] = {"", " (from the file)", " (from the environment)",
                                          " (a flag)"};
    for (int i = 0; i < N_ROWS; i++) {
        MILL_TRY(mill_buffer_printf(out, err, "# %s%s\n%s: ", rows[i].help,
                                    sources[options->source[i]], rows[i].name));
        MILL_TRY(print_value(options, &rows[i], out, err));
        MILL_TRY(mill_buffer_append(out, "\n", 1, err));
    }
    return MILL_OK;
}
