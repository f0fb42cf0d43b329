/* clients.c - see clients.h.
 *
 * Requests a minute are a bucket of as many drops as a minute has, filled evenly; a day's sound is
 * counted from midnight UTC. */
#include "runtime/server/clients.h"

#include "runtime/base/clock.h"
#include "runtime/base/memory.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { MAX_CLIENTS = 65536, DAY_S = 86400 };

struct mill_client {
    struct mill_clients *all;
    uint64_t number;
    char name[MILL_KEY_NAME_BYTES]; /* never changes, unlike the rest of the key */
    struct mill_key key;
    bool active; /* its key is in the file */
    double drops, filled_s;
    int64_t n_running, day;
    double day_audio_s, unkept_s, audio_s; /* unkept_s is a part of day_audio_s */
    uint64_t n_requests, n_refused;
};

struct mill_clients {
    const char *path; /* borrowed; empty = no keys */
    pthread_mutex_t lock;
    struct mill_client **clients; /* owned: [n], each too */
    size_t n, capacity;
};

/* ------------------------------------------------------------------ the list */

/* Under the lock, or before there are threads. */
static struct mill_client *add(struct mill_clients *all, const char *name) {
    if (all->n == all->capacity) {
        size_t capacity = all->capacity ? 2 * all->capacity : 16;
        struct mill_client **clients =
            capacity <= MAX_CLIENTS ? realloc(all->clients, capacity * sizeof(struct mill_client *))
                                    : NULL;
        if (!clients)
            return NULL;
        all->clients = clients;
        all->capacity = capacity;
    }
    struct mill_client *client = mill_alloc_array(1, sizeof *client);
    if (!client)
        return NULL;
    client->all = all;
    memcpy(client->name, name, strlen(name) + 1);
    client->number = all->n + 1;
    all->clients[all->n++] = client;
    return client;
}

static void set_key(struct mill_client *client, const struct mill_key *key) {
    client->key = *key;
    client->active = true;
}

static struct mill_client *find_name(const struct mill_clients *all, const char *name) {
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->clients[i]->name, name) == 0)
            return all->clients[i];
    return NULL;
}

/* Room for all first, so that it is done whole or not at all. */
static mill_status take_keys(struct mill_clients *all, const struct mill_keys *keys,
                             struct mill_error *err) {
    size_t n_before = all->n;
    for (size_t i = 0; i < keys->n; i++) {
        if (find_name(all, keys->keys[i].name))
            continue;
        struct mill_client *client = add(all, keys->keys[i].name);
        if (!client) {
            while (all->n > n_before)
                free(all->clients[--all->n]);
            return mill_fail(err, MILL_E_MEMORY, "no memory for %zu keys", keys->n);
        }
        client->drops = (double)keys->keys[i].requests_per_minute;
    }
    for (size_t i = 0; i < all->n; i++)
        all->clients[i]->active = false;
    for (size_t i = 0; i < keys->n; i++)
        set_key(find_name(all, keys->keys[i].name), &keys->keys[i]);
    return MILL_OK;
}

mill_status mill_clients_reload(struct mill_clients *clients, struct mill_error *err) {
    struct mill_keys keys;
    if (!clients->path[0])
        return MILL_OK;
    mill_status status = mill_keys_read(&keys, clients->path, err);
    if (status < 0)
        return status == MILL_E_NOT_FOUND
                   ? mill_context(err, MILL_E_INPUT, "keys (make some with `sparkmill keys`)")
                   : status;
    pthread_mutex_lock(&clients->lock);
    status = take_keys(clients, &keys, err);
    pthread_mutex_unlock(&clients->lock);
    mill_keys_deinit(&keys);
    return status;
}

mill_status mill_clients_open(struct mill_clients **out, const char *path, struct mill_error *err) {
    struct mill_clients *clients = mill_alloc_array(1, sizeof *clients);
    if (!clients)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    clients->path = path;
    pthread_mutex_init(&clients->lock, NULL);
    mill_status status = mill_clients_reload(clients, err);
    if (status == MILL_OK && !path[0]) {
        struct mill_client *anonymous = add(clients, "anonymous");
        const struct mill_key everything = {.scopes = UINT32_MAX, .priority = 2};
        if (anonymous)
            set_key(anonymous, &everything);
        else
            status = mill_fail(err, MILL_E_MEMORY, "no memory");
    }
    if (status < 0)
        mill_clients_close(clients);
    else
        *out = clients;
    return status;
}

void mill_clients_close(struct mill_clients *clients) {
    if (!clients)
        return;
    for (size_t i = 0; i < clients->n; i++)
        free(clients->clients[i]);
    free(clients->clients);
    pthread_mutex_destroy(&clients->lock);
    free(clients);
}

/* ------------------------------------------------------------------ who, and may they */

static struct mill_client *find_key(const struct mill_clients *all, const char *text) {
    unsigned char hash[MILL_KEY_HASH_BYTES];
    struct mill_client *found = NULL;
    mill_key_hash(text, hash);
    for (size_t i = 0; i < all->n; i++) /* all of them: the time tells nothing */
        if (CRYPTO_memcmp(all->clients[i]->key.hash, hash, sizeof hash) == 0 &&
            all->clients[i]->active)
            found = all->clients[i];
    OPENSSL_cleanse(hash, sizeof hash);
    return found;
}

static struct mill_client *find(const struct mill_clients *all, const char *authorization,
                                struct mill_problem *problem) {
    if (!all->path[0])
        return all->clients[0];
    struct mill_client *found = NULL;
    if (authorization && strncasecmp(authorization, "Bearer ", 7) == 0)
        found = find_key(all, authorization + 7 + strspn(authorization + 7, " "));
    if (!found)
        mill_problem_set(problem, 401, "invalid_api_key", NULL,
                         authorization ? "this API key is not known"
                                       : "an API key is wanted: Authorization: Bearer KEY");
    return found;
}

static bool take_drop(struct mill_client *client, struct mill_problem *problem) {
    double most = (double)client->key.requests_per_minute, now_s = mill_clock_seconds();
    if (most == 0)
        return true;
    double drops = client->drops + (now_s - client->filled_s) * most / 60;
    client->drops = drops > most ? most : drops;
    client->filled_s = now_s;
    if (client->drops >= 1) {
        client->drops--;
        return true;
    }
    mill_problem_set(problem, 429, "rate_limit_exceeded", NULL, "more than %.0f requests a minute",
                     most);
    problem->retry_after_s = (1 - client->drops) * 60 / most;
    return false;
}

struct mill_client *mill_clients_admit(struct mill_clients *clients, const char *authorization,
                                       enum mill_scope scope, struct mill_problem *problem) {
    if (scope == MILL_SCOPE_PUBLIC)
        return NULL;
    pthread_mutex_lock(&clients->lock);
    struct mill_client *client = find(clients, authorization, problem);
    if (client && !(client->key.scopes >> scope & 1)) {
        mill_problem_set(problem, 403, "insufficient_permissions", NULL,
                         "this API key is not for this path");
        client = NULL;
    } else if (client) {
        client->n_requests++;
        if (!take_drop(client, problem)) {
            client->n_refused++;
            client = NULL;
        }
    }
    pthread_mutex_unlock(&clients->lock);
    return client;
}

int64_t mill_clients_today(void) {
    return time(NULL) / DAY_S;
}

/* Under the lock: what it has used today. */
static double *today_of(struct mill_client *client) {
    int64_t today = mill_clients_today();
    if (client->day != today)
        client->day_audio_s = client->unkept_s = 0;
    client->day = today;
    return &client->day_audio_s;
}

/* Under the lock. */
static bool has_day(struct mill_client *client) {
    double most = (double)client->key.audio_seconds_per_day;
    return most == 0 || *today_of(client) < most;
}

bool mill_clients_have_day(struct mill_clients *clients, const char *name) {
    if (!clients->path[0])
        return true;
    pthread_mutex_lock(&clients->lock);
    struct mill_client *client = find_name(clients, name);
    bool has = client && client->active && has_day(client);
    pthread_mutex_unlock(&clients->lock);
    return has;
}

bool mill_client_begin(struct mill_client *client, struct mill_problem *problem) {
    pthread_mutex_lock(&client->all->lock);
    bool allowed = has_day(client);
    if (!allowed) {
        mill_problem_set(problem, 429, "insufficient_quota", NULL,
                         "the day's %lld seconds of sound are used up",
                         (long long)client->key.audio_seconds_per_day);
        problem->retry_after_s = (double)(DAY_S - time(NULL) % DAY_S);
    } else if (client->key.concurrent > 0 && client->n_running >= client->key.concurrent) {
        mill_problem_set(problem, 429, "rate_limit_exceeded", NULL,
                         "more than %lld requests at once", (long long)client->key.concurrent);
        problem->retry_after_s = 1;
        allowed = false;
    }
    if (allowed)
        client->n_running++;
    else
        client->n_refused++;
    pthread_mutex_unlock(&client->all->lock);
    return allowed;
}

static void count_audio(struct mill_client *client, double audio_s) {
    client->audio_s += audio_s;
    *today_of(client) += audio_s;
    client->unkept_s += audio_s;
}

void mill_client_end(struct mill_client *client, double audio_s) {
    pthread_mutex_lock(&client->all->lock);
    client->n_running--;
    count_audio(client, audio_s);
    pthread_mutex_unlock(&client->all->lock);
}

void mill_client_count_audio(struct mill_client *client, double audio_s) {
    pthread_mutex_lock(&client->all->lock);
    count_audio(client, audio_s);
    pthread_mutex_unlock(&client->all->lock);
}

const char *mill_client_name(const struct mill_client *client) {
    return client->name;
}

uint64_t mill_client_number(const struct mill_client *client) {
    return client->number;
}

struct mill_client *mill_clients_find(struct mill_clients *clients, const char *name) {
    pthread_mutex_lock(&clients->lock);
    struct mill_client *client = find_name(clients, name);
    pthread_mutex_unlock(&clients->lock);
    return client;
}

int32_t mill_client_priority(struct mill_client *client) {
    pthread_mutex_lock(&client->all->lock);
    int32_t priority = (int32_t)client->key.priority;
    pthread_mutex_unlock(&client->all->lock);
    return priority;
}

bool mill_clients_usage(struct mill_clients *clients, size_t i, struct mill_client_usage *out) {
    pthread_mutex_lock(&clients->lock);
    bool there = i < clients->n;
    if (there) {
        struct mill_client *client = clients->clients[i];
        double today_s = *today_of(client);
        *out = (struct mill_client_usage){.name = client->name,
                                          .n_requests = client->n_requests,
                                          .n_refused = client->n_refused,
                                          .audio_s = client->audio_s,
                                          .today_s = today_s,
                                          .unkept_s = client->unkept_s,
                                          .n_running = client->n_running};
    }
    pthread_mutex_unlock(&clients->lock);
    return there;
}

void mill_clients_keep(struct mill_clients *clients, size_t i, int64_t day, double kept_s,
                       double today_s) {
    pthread_mutex_lock(&clients->lock);
    struct mill_client *client = clients->clients[i];
    double *today = today_of(client);
    if (client->day == day) { /* else a new one has begun meanwhile */
        client->unkept_s -= kept_s;
        *today = today_s + client->unkept_s;
    }
    pthread_mutex_unlock(&clients->lock);
}
