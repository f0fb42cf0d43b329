/* options.h - every option of the server, in one table: flags, the configuration file and
 * environment variables read it, --help and --print-config print it.
 *
 * An option NAME_S is `--name-s X`, `name_s: X` in the file and SPARKMILL_NAME_S=X; a flag wins
 * over a variable, a variable over the file, the file over the default. Texts are borrowed from
 * where they came from; what the file said lives until deinit. */
#ifndef MILL_SERVER_OPTIONS_H
#define MILL_SERVER_OPTIONS_H

#include "runtime/base/buffer.h"
#include "runtime/io/config.h"

#include <stdbool.h>
#include <stdint.h>

enum mill_option_source {
    MILL_SOURCE_DEFAULT,
    MILL_SOURCE_FILE,
    MILL_SOURCE_VARIABLE,
    MILL_SOURCE_FLAG
};

enum { MILL_SERVER_MAX_OPTIONS = 64 };

/* Meanings, ranges and defaults stand in the table, options.c. Texts may be empty, never NULL. */
struct mill_server_options {
    const char *model, *model_name, *model_aliases, *devices, *precision, *cache, *voices, *state,
        *jobs;
    const char *dictionary;
    const char *host, *tls_cert, *tls_key, *keys;
    int64_t port, http_threads;
    bool anonymous, require_consent, disclosure;

    int64_t max_running, max_queue, max_input_chars, max_upload_bytes, max_consents_bytes;
    double max_backlog_s, max_unread_s, max_utterance_s, max_rests_s;
    int64_t max_batch_bytes, max_batch_lines, max_jobs_bytes, max_jobs_age_s;

    int64_t max_connections, max_connections_per_address, max_header_bytes, min_body_rate;
    double header_timeout_s, idle_timeout_s, body_timeout_s, slow_client_s;

    double drain_timeout_s, stuck_s;

    /* Private. */
    unsigned char source[MILL_SERVER_MAX_OPTIONS]; /* enum mill_option_source, by table row */
    json_t *file;                                  /* owned */
};

void mill_server_options_init(struct mill_server_options *options);
void mill_server_options_deinit(struct mill_server_options *options);

/* Set `name` (with '_' or '-'), where nothing stronger than `source` has. MILL_E_NOT_FOUND for an
 * unknown name, MILL_E_INPUT for a value that does not fit; the message says what would. */
mill_status mill_server_options_set(struct mill_server_options *options, const char *name,
                                    const char *value, enum mill_option_source source,
                                    struct mill_error *err);
/* `path`: lines of `name: value`. */
mill_status mill_server_options_read_file(struct mill_server_options *options, const char *path,
                                          struct mill_error *err);
/* What the variables SPARKMILL_* say; `get` is getenv. */
mill_status mill_server_options_read_variables(struct mill_server_options *options,
                                               char *(*get)(const char *name),
                                               struct mill_error *err);
/* What must fit together. */
mill_status mill_server_options_check(const struct mill_server_options *options,
                                      struct mill_error *err);

struct mill_server_option_info {
    const char *name; /* with '_' */
    const char *help;
    bool is_switch; /* true or false */
    bool is_limit;  /* a bound whose default suits most */
};
/* Row `i` of the table; false behind the last. */
bool mill_server_options_info(int i, struct mill_server_option_info *out);

/* All options as a configuration file, with comments: meaning, and where the value comes from. */
mill_status mill_server_options_print(const struct mill_server_options *options,
                                      struct mill_buffer *out, struct mill_error *err);

#endif
