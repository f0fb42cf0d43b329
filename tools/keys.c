/* keys.c - `sparkmill keys`: API keys for `sparkmill serve`, kept as hashes in a file. A key is
 * printed once, when it is made. */
#include "runtime/server/keys.h"
#include "runtime/base/file.h"
#include "runtime/base/memory.h"
#include "tools/command.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char command[] = "keys";

struct request {
    const char *file, *scopes;
    long long requests_per_minute, concurrent, audio_seconds_per_day, priority;
};

#define ROW(...) MILL_OPTION(request, __VA_ARGS__)
static const struct mill_option options[] = {
    ROW("keys", 0, TEXT, file, 0, 0),
    ROW("scopes", 0, TEXT, scopes, 0, 0),
    ROW("requests-per-minute", 0, WHOLE, requests_per_minute, 0, 1e9),
    ROW("concurrent", 0, WHOLE, concurrent, 0, 1e6),
    ROW("audio-seconds-per-day", 0, WHOLE, audio_seconds_per_day, 0, 1e12),
    ROW("priority", 0, WHOLE, priority, -2, 2),
};
#undef ROW

static const char help[] =
    "Usage: sparkmill keys add NAME --keys FILE [OPTION]...\n"
    "       sparkmill keys list|remove NAME... --keys FILE\n"
    "API keys for `sparkmill serve --keys FILE`. `add` prints the new key, once: the\n"
    "file holds its hash only. A running server reads the file again at SIGHUP.\n\n"
    "  --keys FILE                  made where there is none\n"
    "  --scopes LIST                of speak, voices, jobs, operate; else speak\n"
    "  --requests-per-minute N      0 = no limit, as for the next two\n"
    "  --concurrent N               requests for speech at once\n"
    "  --audio-seconds-per-day N    from midnight UTC\n"
    "  --priority N                 the highest its requests may have, -2 to 2; 0";

static size_t find(const struct mill_keys *keys, const char *name) {
    size_t i = 0;
    while (i < keys->n && strcmp(keys->keys[i].name, name) != 0)
        i++;
    return i;
}

static mill_status add_key(const struct request *r, const char *name, struct mill_keys *keys,
                           struct mill_error *err) {
    char text[MILL_KEY_TEXT_BYTES];
    MILL_TRY(mill_key_check_name(name, err));
    if (find(keys, name) < keys->n)
        return mill_fail(err, MILL_E_INPUT, "there is a key '%s' already: remove it first", name);
    struct mill_key *more = realloc(keys->keys, (keys->n + 1) * sizeof *more);
    if (!more)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    keys->keys = more;
    struct mill_key *key = &keys->keys[keys->n];
    *key = (struct mill_key){.requests_per_minute = r->requests_per_minute,
                             .concurrent = r->concurrent,
                             .audio_seconds_per_day = r->audio_seconds_per_day,
                             .priority = r->priority};
    memcpy(key->name, name, strlen(name) + 1);
    MILL_TRY(mill_scopes_parse(r->scopes ? r->scopes : "speak", &key->scopes, err));
    MILL_TRY(mill_key_make(text, err));
    mill_key_hash(text, key->hash);
    keys->n++;
    MILL_TRY(mill_keys_write(keys, r->file, err));
    if (puts(text) >= 0 && fflush(stdout) == 0)
        return MILL_OK;
    int cause = errno; /* a key that nobody has seen is none */
    clearerr(stdout);
    keys->n--;
    MILL_TRY(mill_keys_write(keys, r->file, err));
    return mill_fail(err, MILL_E_IO, "key '%s' is not added, as it cannot be printed: %s", name,
                     strerror(cause));
}

static mill_status remove_key(const struct request *r, const char *name, struct mill_keys *keys,
                              struct mill_error *err) {
    size_t i = find(keys, name);
    if (i == keys->n)
        return mill_fail(err, MILL_E_NOT_FOUND, "there is no key '%s' in '%s'", name, r->file);
    memmove(&keys->keys[i], &keys->keys[i + 1], (keys->n - i - 1) * sizeof *keys->keys);
    keys->n--;
    return mill_keys_write(keys, r->file, err);
}

static void list_keys(const struct mill_keys *keys) {
    printf("%-24s %-30s %10s %10s %12s %8s\n", "name", "scopes", "a minute", "at once", "s a day",
           "priority");
    for (size_t i = 0; i < keys->n; i++) {
        const struct mill_key *key = &keys->keys[i];
        char scopes[64];
        mill_scopes_print(key->scopes, scopes);
        printf("%-24s %-30s %10lld %10lld %12lld %8lld\n", key->name, scopes,
               (long long)key->requests_per_minute, (long long)key->concurrent,
               (long long)key->audio_seconds_per_day, (long long)key->priority);
    }
}

/* A change reads the file and replaces it: of two at once, one would be lost. The folder is what is
 * locked, since the file is another one afterwards. -1: there is none, which reading and writing
 * tell. Closing it unlocks. */
static int lock_folder(const char *file) {
    char *copy = strdup(file);
    int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0)
        mill_lock_wait(fd, LOCK_EX);
    free(copy);
    return fd;
}

static mill_status run(const struct request *r, char **words, int n_words, struct mill_error *err) {
    struct mill_keys keys;
    bool adds = strcmp(words[0], "add") == 0;
    int lock = lock_folder(r->file);
    mill_status status = mill_keys_read(&keys, r->file, err);
    if (status == MILL_E_NOT_FOUND && adds)
        status = MILL_OK; /* the first one makes the file */
    if (status == MILL_OK && adds)
        status = add_key(r, words[1], &keys, err);
    else if (status == MILL_OK && strcmp(words[0], "list") == 0)
        list_keys(&keys);
    for (int i = 1; i < n_words && !adds && status == MILL_OK; i++)
        status = remove_key(r, words[i], &keys, err);
    mill_keys_deinit(&keys);
    if (lock >= 0)
        close(lock);
    return status;
}

int mill_command_keys(int argc, char **argv) {
    struct request r = {0};
    struct mill_error err = {""};
    int first;
    const struct mill_command_line line = {command, help, options,
                                           sizeof options / sizeof *options};
    int result = mill_options_read(&line, argc, argv, &r, &first);
    if (result != MILL_GO_ON)
        return result;
    int n_words = argc - first;
    const char *word = n_words > 0 ? argv[first] : "";
    bool fits = (strcmp(word, "add") == 0 && n_words == 2) ||
                (strcmp(word, "list") == 0 && n_words == 1) ||
                (strcmp(word, "remove") == 0 && n_words >= 2);
    if (!fits)
        return mill_command_usage(command, "add NAME, list, or remove NAME... is wanted");
    if (!r.file)
        return mill_command_usage(command, "which file? --keys FILE");
    umask(077);
    mill_status status = run(&r, argv + first, n_words, &err);
    return status < 0 ? mill_command_fail(command, status, &err) : MILL_EXIT_OK;
}
