/* usage.c - see usage.h: {"day": days since 1970, "audio_s": {"NAME": seconds, ...}}.
 *
 * Each process adds to the file, under a lock, what it has counted itself since it last did, and
 * learns from it what the others have. Names that it has no key for are left as they are. */
#include "runtime/server/usage.h"

#include "runtime/base/file.h"
#include "runtime/base/memory.h"
#include "runtime/io/config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_BYTES = 1 << 24 };

/* Of a client: what is added to the file, and what that comes to. */
struct entry {
    double added_s, today_s;
};

/* ------------------------------------------------------------------ the file, under the lock */

static mill_status check(const json_t *root, int64_t *day, const json_t **all,
                         struct mill_error *err) {
    const char *name;
    json_t *value;
    MILL_TRY(mill_config_int(root, "day", 0, INT32_MAX, day, err));
    MILL_TRY(mill_config_object(root, "audio_s", all, err));
    json_object_foreach((json_t *)(uintptr_t)*all, name, value) {
        if (!json_is_number(value) || !(json_number_value(value) >= 0))
            return mill_fail(err, MILL_E_INPUT, "'%.64s': seconds are wanted", name);
    }
    return MILL_OK;
}

/* What it says of that day: *out is the caller's, NULL where it says nothing. */
static mill_status read_day(const struct mill_usage *usage, int64_t wanted, json_t **out,
                            struct mill_error *err) {
    json_t *root;
    const json_t *all;
    int64_t day;
    *out = NULL;
    mill_status status = mill_json_open(&root, usage->path, FILE_BYTES, err);
    if (status < 0)
        return status == MILL_E_NOT_FOUND ? MILL_OK : status;
    status = check(root, &day, &all, err);
    if (status == MILL_OK && day == wanted)
        *out = json_incref((json_t *)(uintptr_t)all);
    json_decref(root);
    return status < 0 ? mill_context(err, status, "'%s'", usage->path) : MILL_OK;
}

/* `all` is taken. */
static mill_status write_day(const struct mill_usage *usage, int64_t day, json_t *all,
                             struct mill_error *err) {
    json_t *root = json_pack("{s:I, s:o}", "day", (json_int_t)day, "audio_s", all);
    char *text = root ? json_dumps(root, JSON_REAL_PRECISION(15) | JSON_INDENT(1)) : NULL;
    json_decref(root);
    mill_status status = mill_json_ran_short() || !text
                             ? mill_fail(err, MILL_E_MEMORY, "no memory")
                             : mill_file_write(usage->path, text, strlen(text), err);
    free(text);
    return status;
}

static void remember(struct mill_usage *usage) {
    if (stat(usage->path, &usage->seen) != 0)
        usage->seen = (struct stat){0};
}

static bool has_changed(const struct mill_usage *usage) {
    struct stat now;
    return stat(usage->path, &now) == 0 &&
           (now.st_ino != usage->seen.st_ino || now.st_size != usage->seen.st_size ||
            now.st_mtim.tv_sec != usage->seen.st_mtim.tv_sec ||
            now.st_mtim.tv_nsec != usage->seen.st_mtim.tv_nsec);
}

/* ------------------------------------------------------------------ what is counted and the file
 */

/* How many clients there are; and whether one has something to add. */
static size_t count_clients(const struct mill_usage *usage, bool *adds) {
    struct mill_client_usage client;
    size_t n = 0;
    for (*adds = false; mill_clients_usage(usage->clients, n, &client); n++)
        *adds = *adds || client.unkept_s > 0;
    return n;
}

/* Where the file says nothing of the day, what is known here is all there is. */
static void add_up(const struct mill_usage *usage, const json_t *kept, struct entry *entries,
                   size_t n) {
    struct mill_client_usage client;
    for (size_t i = 0; i < n && mill_clients_usage(usage->clients, i, &client); i++) {
        double kept_s = json_number_value(json_object_get(kept, client.name));
        entries[i] =
            (struct entry){client.unkept_s, kept ? kept_s + client.unkept_s : client.today_s};
    }
}

static mill_status merge(struct mill_usage *usage, struct entry *entries, size_t n, bool adds,
                         struct mill_error *err) {
    json_t *kept;
    struct mill_client_usage client;
    int64_t day = mill_clients_today();
    mill_status status = read_day(usage, day, &kept, err);
    if (status < 0 && status != MILL_E_INPUT) /* what cannot be understood is replaced */
        return status;
    mill_json_ran_short();
    add_up(usage, kept, entries, n);
    if (adds) {
        json_t *all = kept ? json_incref(kept) : json_object();
        for (size_t i = 0; i < n && mill_clients_usage(usage->clients, i, &client); i++)
            if (entries[i].today_s > 0)
                json_object_set_new(all, client.name, json_real(entries[i].today_s));
        status = write_day(usage, day, all, err);
    }
    json_decref(kept);
    if (adds && status < 0)
        return status;
    for (size_t i = 0; i < n; i++)
        mill_clients_keep(usage->clients, i, day, entries[i].added_s, entries[i].today_s);
    remember(usage);
    return status;
}

static mill_status exchange(struct mill_usage *usage, struct mill_error *err) {
    bool adds;
    int lock;
    size_t n = count_clients(usage, &adds);
    struct entry *entries = mill_alloc_array(n > 0 ? n : 1, sizeof *entries);
    if (!entries)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    mill_status status = mill_lock_take(&lock, usage->lock_path, 0600, err);
    if (status == MILL_OK) {
        status = merge(usage, entries, n, adds, err);
        close(lock);
    }
    free(entries);
    return status;
}

/* ------------------------------------------------------------------ open, keep, close */

mill_status mill_usage_open(struct mill_usage *usage, struct mill_clients *clients,
                            const char *folder, struct mill_error *err) {
    *usage = (struct mill_usage){.clients = clients,
                                 .path = mill_path_join(folder, "usage.json"),
                                 .lock_path = mill_path_join(folder, "usage.lock")};
    return usage->path && usage->lock_path ? exchange(usage, err)
                                           : mill_fail(err, MILL_E_MEMORY, "no memory");
}

void mill_usage_close(struct mill_usage *usage) {
    free(usage->path);
    free(usage->lock_path);
    *usage = (struct mill_usage){0};
}

mill_status mill_usage_keep(struct mill_usage *usage, struct mill_error *err) {
    bool adds;
    if (!usage->clients)
        return MILL_OK;
    count_clients(usage, &adds);
    if (!adds && !has_changed(usage))
        return MILL_OK;
    mill_status status = exchange(usage, err);
    return status == MILL_E_INPUT ? MILL_OK : status;
}
