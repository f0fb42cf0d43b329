/* test_clients.c - the keys' file and what a key allows: who is let in, how often, how much. */
#include "runtime/base/file.h"
#include "runtime/server/usage.h"
#include "tests/support/bad_input.h"

#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char path[] = MILL_SCRATCH "/keys.yaml";
static const char alice[] = "sm-alice", bob[] = "sm-bob";

/* The clock that all of this process reads; 0 = the machine's. */
static time_t now_s;

__attribute__((visibility("default"))) time_t time(time_t *out);

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    time_t s = now_s ? now_s : now.tv_sec;
    if (out)
        *out = s;
    return s;
}

static struct mill_key make_key(const char *name, const char *text, uint32_t scopes) {
    struct mill_key key = {.scopes = scopes};
    snprintf(key.name, sizeof key.name, "%s", name);
    mill_key_hash(text, key.hash);
    return key;
}

static void write_keys(struct mill_key *keys, size_t n) {
    const struct mill_keys all = {.keys = keys, .n = n};
    assert_int_equal(mill_keys_write(&all, path, NULL), MILL_OK);
}

static struct mill_clients *open_clients(const char *file) {
    struct mill_clients *clients;
    struct mill_error err;
    if (mill_clients_open(&clients, file, &err) != MILL_OK)
        fail_msg("%s", err.text);
    return clients;
}

static struct mill_client *admit(struct mill_clients *clients, const char *authorization,
                                 enum mill_scope scope, int status) {
    struct mill_problem problem = {0};
    struct mill_client *client = mill_clients_admit(clients, authorization, scope, &problem);
    assert_int_equal(problem.status, status);
    assert_true((client != NULL) == (status == 0 && scope != MILL_SCOPE_PUBLIC));
    return client;
}

static void test_admission(void **state) {
    (void)state;
    struct mill_key keys[] = {make_key("alice", alice, 1u << MILL_SCOPE_SPEAK),
                              make_key("bob", bob, 1u << MILL_SCOPE_OPERATE)};
    write_keys(keys, 2);
    struct mill_clients *clients = open_clients(path);
    struct mill_client *client = admit(clients, "Bearer sm-alice", MILL_SCOPE_SPEAK, 0);
    assert_string_equal(mill_client_name(client), "alice");
    assert_ptr_equal(admit(clients, "bearer  sm-alice", MILL_SCOPE_SPEAK, 0), client);
    admit(clients, "Bearer sm-bob", MILL_SCOPE_OPERATE, 0);
    admit(clients, NULL, MILL_SCOPE_PUBLIC, 0);
    admit(clients, "Bearer sm-alice", MILL_SCOPE_OPERATE, 403);
    static const char *const strangers[] = {NULL,
                                            "",
                                            "sm-alice",
                                            "Bearer ",
                                            "Bearer sm-",
                                            "Bearer sm-alicex",
                                            "Basic sm-",
                                            "Bearer sm-alice ",
                                            "Bearer\tsm-alice"};
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
        admit(clients, strangers[i], MILL_SCOPE_SPEAK, 401);

    /* A reload takes bob's key away and leaves alice's counters. */
    write_keys(keys, 1);
    assert_int_equal(mill_clients_reload(clients, NULL), MILL_OK);
    admit(clients, "Bearer sm-bob", MILL_SCOPE_OPERATE, 401);
    assert_ptr_equal(admit(clients, "Bearer sm-alice", MILL_SCOPE_SPEAK, 0), client);
    struct mill_client_usage usage;
    assert_true(mill_clients_usage(clients, 0, &usage));
    assert_int_equal(usage.n_requests, 3);

    /* One that fails changes nothing. */
    unlink(path);
    struct mill_error err;
    assert_refused(mill_clients_reload(clients, &err), &err, "sparkmill keys");
    admit(clients, "Bearer sm-alice", MILL_SCOPE_SPEAK, 0);
    mill_clients_close(clients);
}

static void test_anonymous(void **state) {
    (void)state;
    struct mill_clients *clients = open_clients("");
    for (int scope = MILL_SCOPE_PUBLIC + 1; scope < MILL_SCOPE_COUNT; scope++)
        admit(clients, NULL, (enum mill_scope)scope, 0);
    mill_clients_close(clients);
}

static void test_limits(void **state) {
    (void)state;
    struct mill_key key = make_key("alice", alice, 1u << MILL_SCOPE_SPEAK);
    key.requests_per_minute = 3;
    key.concurrent = 2;
    key.audio_seconds_per_day = 10;
    key.priority = -1;
    write_keys(&key, 1);
    struct mill_clients *clients = open_clients(path);
    struct mill_client *client = NULL;
    for (int i = 0; i < 3; i++)
        client = admit(clients, "Bearer sm-alice", MILL_SCOPE_SPEAK, 0);
    struct mill_problem problem = {0};
    assert_null(mill_clients_admit(clients, "Bearer sm-alice", MILL_SCOPE_SPEAK, &problem));
    assert_int_equal(problem.status, 429);
    assert_string_equal(problem.code, "rate_limit_exceeded");
    assert_true(problem.retry_after_s > 0 && problem.retry_after_s <= 20);
    assert_int_equal(mill_client_priority(client), -1);

    assert_true(mill_client_begin(client, &problem));
    assert_true(mill_client_begin(client, &problem));
    assert_false(mill_client_begin(client, &problem));
    assert_int_equal(problem.status, 429);
    mill_client_end(client, 9.5);
    assert_true(mill_client_begin(client, &problem));
    mill_client_end(client, 0.5);
    mill_client_end(client, 0);
    assert_false(mill_client_begin(client, &problem));
    assert_string_equal(problem.code, "insufficient_quota");
    assert_true(problem.retry_after_s > 0 && problem.retry_after_s <= 86400);
    struct mill_client_usage usage;
    assert_true(mill_clients_usage(clients, 0, &usage));
    assert_int_equal(usage.n_running, 0);
    assert_true(usage.audio_s == 10);
    assert_false(mill_clients_usage(clients, 1, &usage));
    mill_clients_close(clients);
}

/* A day's sound is used up by live requests and batches alike, until the day turns. */
static void test_day(void **state) {
    (void)state;
    struct mill_key key = make_key("alice", alice, 1u << MILL_SCOPE_SPEAK);
    struct mill_problem problem = {0};
    key.audio_seconds_per_day = 10;
    write_keys(&key, 1);
    struct mill_clients *clients = open_clients(path);
    struct mill_client *client = mill_clients_find(clients, "alice");
    for (time_t day = 20000; day < 20002; day++) {
        now_s = day * 86400 + 86390;
        assert_int_equal(mill_clients_today(), day);
        assert_true(mill_clients_have_day(clients, "alice"));
        assert_true(mill_client_begin(client, &problem));
        mill_client_end(client, 4);
        mill_client_count_audio(client, 5);
        assert_true(mill_clients_have_day(clients, "alice"));
        mill_client_count_audio(client, 1);
        assert_false(mill_clients_have_day(clients, "alice"));
        assert_false(mill_client_begin(client, &problem));
        assert_string_equal(problem.code, "insufficient_quota");
        assert_true(problem.retry_after_s == 10);
        now_s += 9;
        assert_false(mill_clients_have_day(clients, "alice"));
    }
    now_s = 0;
    /* Whose key was taken away has none, as who never had one. */
    struct mill_key other = make_key("bob", bob, 1u << MILL_SCOPE_SPEAK);
    write_keys(&other, 1);
    assert_int_equal(mill_clients_reload(clients, NULL), MILL_OK);
    assert_true(mill_clients_have_day(clients, "bob"));
    assert_false(mill_clients_have_day(clients, "alice"));
    assert_false(mill_clients_have_day(clients, "eve"));
    mill_clients_close(clients);
    clients = open_clients(""); /* nobody counts */
    client = mill_clients_find(clients, "anonymous");
    mill_client_count_audio(client, 1e9);
    assert_true(mill_clients_have_day(clients, "ann"));
    mill_clients_close(clients);
}

/* What is written is read as it was, by nobody else. */
static void test_file(void **state) {
    (void)state;
    struct mill_key key =
        make_key("a.b-c_1", alice, 1u << MILL_SCOPE_SPEAK | 1u << MILL_SCOPE_JOBS);
    key.requests_per_minute = 7;
    key.audio_seconds_per_day = 1000000;
    key.priority = 2;
    struct mill_keys read;
    struct stat info;
    umask(077);
    unlink(path); /* of the tests before: who replaces a file leaves its access bits */
    write_keys(&key, 1);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(mill_keys_read(&read, path, NULL), MILL_OK);
    assert_int_equal(read.n, 1);
    assert_memory_equal(&read.keys[0], &key, sizeof key);
    mill_keys_deinit(&read);
    write_keys(NULL, 0);
    assert_int_equal(mill_keys_read(&read, path, NULL), MILL_OK);
    assert_int_equal(read.n, 0);
    mill_keys_deinit(&read);
    char first[MILL_KEY_TEXT_BYTES], second[MILL_KEY_TEXT_BYTES];
    assert_int_equal(mill_key_make(first, NULL), MILL_OK);
    assert_int_equal(mill_key_make(second, NULL), MILL_OK);
    assert_int_equal(strlen(first), MILL_KEY_TEXT_BYTES - 1);
    assert_string_not_equal(first, second);
}

static void refuse_file(const char *text, const char *parts) {
    struct mill_keys keys;
    struct mill_error err;
    assert_int_equal(mill_file_write(path, text, strlen(text), NULL), MILL_OK);
    assert_refused(mill_keys_read(&keys, path, &err), &err, parts);
}

#define HASH "'0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'"

static void test_bad_file(void **state) {
    (void)state;
    refuse_file("- a\n", "keys.yaml|'keys'");
    refuse_file("keys: 5\n", "'keys'");
    refuse_file("keys:\n  - name: a\n", "key 1|sha256");
    refuse_file("keys:\n  - name: a b\n", "key 1|name 'a b'");
    refuse_file("keys:\n  - name: a\n    sha256: abc\n    scopes: speak\n", "64");
    refuse_file("keys:\n  - name: a\n    sha256: " HASH "\n    scopes: fly\n", "'fly'|speak");
    refuse_file("keys:\n  - name: a\n    sha256: " HASH "\n    scopes: ''\n", "none");
    refuse_file("keys:\n  - name: a\n    sha256: " HASH "\n    scopes: public\n", "'public'");
    refuse_file("keys:\n  - name: a\n    sha256: " HASH "\n    scopes: speak\n    rate: 1\n",
                "'rate'");
    refuse_file("keys:\n  - name: a\n    sha256: " HASH "\n    scopes: speak\n    priority: 3\n",
                "priority");
    refuse_file("keys:\n  - name: a\n    sha256: " HASH
                "\n    scopes: speak\n  - name: b\n    sha256: " HASH "\n    scopes: speak\n",
                "'a' and 'b'");
}

/* A day's sound is what it was after a restart, for those who still have a key; a file that is
 * broken, or of another day, is as none. */
static void test_usage_stays(void **state) {
    (void)state;
    static const char file[] = MILL_SCRATCH "/usage.json";
    struct mill_key keys[] = {make_key("alice", alice, 1u << MILL_SCOPE_SPEAK),
                              make_key("bob", bob, 1u << MILL_SCOPE_SPEAK)};
    keys[0].audio_seconds_per_day = 10;
    struct mill_problem problem = {0};
    struct mill_error err = {""};
    struct mill_usage usage;
    unlink(file);
    write_keys(keys, 2);
    struct mill_clients *clients = open_clients(path);
    assert_int_equal(mill_usage_open(&usage, clients, MILL_SCRATCH, &err), MILL_OK);
    assert_int_equal(mill_usage_keep(&usage, &err), MILL_OK);
    assert_int_equal(access(file, F_OK), -1); /* nothing to keep */
    struct mill_client *client = admit(clients, "Bearer sm-alice", MILL_SCOPE_SPEAK, 0);
    assert_true(mill_client_begin(client, &problem));
    mill_client_end(client, 10.5);
    mill_client_count_audio(mill_clients_find(clients, "bob"), 3);
    assert_int_equal(mill_usage_keep(&usage, &err), MILL_OK);
    mill_usage_close(&usage);
    mill_clients_close(clients);

    static const char *const others[] = {"{\"day\": 1, \"audio_s\": {\"alice\": 99}}", "{", "",
                                         "{\"day\": 1, \"audio_s\": {\"alice\": -1}}"};
    for (int i = -1; i < 4; i++) {
        write_keys(keys, 1);
        clients = open_clients(path);
        if (i >= 0) {
            FILE *out = fopen(file, "w");
            assert_non_null(out);
            fputs(others[i], out);
            fclose(out);
        }
        assert_int_equal(mill_usage_open(&usage, clients, MILL_SCRATCH, &err),
                         i < 1 ? MILL_OK : MILL_E_INPUT);
        client = admit(clients, "Bearer sm-alice", MILL_SCOPE_SPEAK, 0);
        assert_int_equal(mill_client_begin(client, &problem), i >= 0);
        assert_true(i >= 0 || strcmp(problem.code, "insufficient_quota") == 0);
        mill_usage_close(&usage);
        mill_clients_close(clients);
    }
}

/* Two processes that share the folder: each learns what the other has counted, nothing is counted
 * twice, and nobody's count is lost, though one has no key for it. */
static void test_usage_is_shared(void **state) {
    (void)state;
    static const char file[] = MILL_SCRATCH "/usage.json";
    struct mill_key keys[] = {make_key("alice", alice, 1u << MILL_SCOPE_SPEAK),
                              make_key("bob", bob, 1u << MILL_SCOPE_SPEAK)};
    struct mill_error err = {""};
    struct mill_usage one, two;
    unlink(file);
    write_keys(keys, 2);
    struct mill_clients *first = open_clients(path);
    write_keys(keys, 1);
    struct mill_clients *second = open_clients(path);
    assert_int_equal(mill_usage_open(&one, first, MILL_SCRATCH, &err), MILL_OK);
    assert_int_equal(mill_usage_open(&two, second, MILL_SCRATCH, &err), MILL_OK);
    mill_client_count_audio(mill_clients_find(first, "bob"), 3);
    for (int i = 0; i < 3; i++) {
        mill_client_count_audio(mill_clients_find(first, "alice"), 1);
        mill_client_count_audio(mill_clients_find(second, "alice"), 10);
        assert_int_equal(mill_usage_keep(&one, &err), MILL_OK);
        assert_int_equal(mill_usage_keep(&two, &err), MILL_OK);
    }
    assert_int_equal(mill_usage_keep(&one, &err), MILL_OK);
    struct mill_client_usage got;
    assert_true(mill_clients_usage(first, 0, &got));
    assert_true(got.today_s == 33 && got.audio_s == 3 && got.unkept_s == 0);
    assert_true(mill_clients_usage(second, 0, &got));
    assert_true(got.today_s == 33 && got.audio_s == 30);
    mill_usage_close(&one);
    mill_usage_close(&two);
    mill_clients_close(first);
    mill_clients_close(second);

    write_keys(keys, 2);
    first = open_clients(path);
    assert_int_equal(mill_usage_open(&one, first, MILL_SCRATCH, &err), MILL_OK);
    assert_true(mill_clients_usage(first, 1, &got));
    assert_true(strcmp(got.name, "bob") == 0 && got.today_s == 3);
    mill_usage_close(&one);
    mill_clients_close(first);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_admission),   cmocka_unit_test(test_anonymous),
        cmocka_unit_test(test_limits),      cmocka_unit_test(test_day),
        cmocka_unit_test(test_file),        cmocka_unit_test(test_bad_file),
        cmocka_unit_test(test_usage_stays), cmocka_unit_test(test_usage_is_shared)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
