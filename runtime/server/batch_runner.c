/* batch_runner.c - see batch_runner.h. */
#include "runtime/server/batch_runner.h"

#include "runtime/base/clock.h"
#include "runtime/base/file.h"
#include "runtime/base/memory.h"
#include "runtime/io/config.h"
#include "runtime/jobs/flights.h"
#include "runtime/jobs/store.h"
#include "runtime/server/batch_answer.h"
#include "runtime/server/speech_plan.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A request is given up after so many attempts during which a device failed or the process ended.
 * The last one it makes alone: whoever was under way beside the culprit is not blamed with it.
 * While so many utterances wait for a device no other is taken. */
enum { MOST_FLIGHTS = 256, ATTEMPTS = 3, ENOUGH_WAIT = 4, AT_ONCE = 16, PRIORITY = -2, AHEAD = 1 };
#define LOOK_S 1.0   /* how often time and cancellations are looked at */
#define ROOM_S 0.02  /* how often devices are looked at that had no room for more */
#define PAUSE_S 10.0 /* when disk or devices fail */

struct mill_batch_runner {
    struct mill_server *server;
    struct mill_flights *flights;
    pthread_t thread;
    atomic_bool stopping, over, woken;
    /* The thread's own: */
    int64_t batch; /* that the last request was taken from */
    double looked_s, paused_until_s;
    bool alone; /* what is under way, or comes next, makes its last attempt */
};

/* One request under way. */
struct spoken {
    struct mill_speech_plan plan; /* first */
    struct mill_job_item item;
    char sound[MILL_JOB_ID_BYTES]; /* empty until it has begun */
};

static void free_spoken(struct spoken *s) {
    mill_speech_plan_deinit(&s->plan);
    mill_job_item_deinit(&s->item);
    free(s);
}

/* Nothing more is taken for a while. */
static void pause_for(struct mill_batch_runner *r, const struct mill_error *err) {
    if (r->paused_until_s < mill_clock_seconds())
        mill_log_event(r->server->log, "event=batches_paused seconds=%.0f error=\"%s\"", PAUSE_S,
                       err->text);
    r->paused_until_s = mill_clock_seconds() + PAUSE_S;
}

static void put_back(struct mill_batch_runner *r, struct spoken *s, bool failed) {
    mill_job_store_put_item(r->server->jobs, &s->item, failed);
}

/* ------------------------------------------------------------------ answers */

/* False when it could not be kept: the request is to be done again. Its sound is left for the next
 * start to sweep away, since nobody knows whether the disk has the answer. */
static bool settle(struct mill_batch_runner *r, struct spoken *s, const char *line,
                   struct mill_job_answer *answer) {
    struct mill_error err = {""};
    answer->line = line;
    mill_status status = line ? mill_job_store_settle_item(r->server->jobs, &s->item, answer,
                                                           (int64_t)time(NULL), &err)
                              : mill_fail(&err, MILL_E_MEMORY, "no memory for an answer");
    if (status == MILL_OK)
        return true;
    put_back(r, s, false);
    pause_for(r, &err);
    return false;
}

static void refuse(struct mill_batch_runner *r, struct spoken *s,
                   const struct mill_problem *problem) {
    struct mill_job_answer answer = {0};
    char *line = mill_batch_answer_refusal(s->item.custom_id, problem);
    if (settle(r, s, line, &answer))
        atomic_fetch_add(&r->server->metrics.n_batch_failed, 1);
    free(line);
}

static mill_status keep_sound(struct mill_batch_runner *r, struct spoken *s,
                              struct mill_audio_writer *writer,
                              const struct mill_request_result *result, struct mill_error *err) {
    struct mill_mapping sound;
    double rate = mill_engine_get_info(r->server->engine)->sample_rate;
    char *path = mill_job_store_sound_path(r->server->jobs, s->sound);
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    mill_status status = mill_audio_writer_finish(writer, err);
    if (status == MILL_OK)
        status = mill_mapping_open(&sound, path, err);
    free(path);
    MILL_TRY(status);
    struct mill_job_answer answer = {.sound = s->sound,
                                     .ending = mill_audio_format_ending(s->plan.wish.format),
                                     .sound_bytes = (int64_t)sound.size};
    double seconds = (double)result->n_samples / rate;
    char *line = mill_batch_answer_sound(s->item.custom_id, s->sound, s->plan.wish.format, &sound,
                                         seconds, result);
    mill_mapping_close(&sound);
    if (settle(r, s, line, &answer)) {
        struct mill_client *owner = mill_clients_find(r->server->clients, s->item.owner);
        atomic_fetch_add(&r->server->metrics.n_batch_done, 1);
        atomic_fetch_add(&r->server->metrics.batch_audio_ms, (uint64_t)(1e3 * seconds));
        if (owner)
            mill_client_count_audio(owner, seconds);
    }
    free(line);
    return MILL_OK;
}

/* Did a device or the machine fail, and not the request? */
static bool is_passing(mill_status status) {
    return status == MILL_E_DEVICE || status == MILL_E_MEMORY || status == MILL_E_CANCELLED;
}

/* ------------------------------------------------------------------ hands of the flights */

static mill_status begin_sound(void *context, void *item, struct mill_audio_writer **out,
                               struct mill_error *err) {
    struct mill_batch_runner *r = context;
    struct spoken *s = item;
    struct mill_audio_encoding encoding;
    char *path;
    MILL_TRY(mill_job_store_name_sound(r->server->jobs, s->sound, &path, err));
    mill_speech_plan_encoding(&s->plan, &encoding);
    mill_status status = mill_audio_writer_open(out, path, &encoding, err);
    free(path);
    return status;
}

static mill_status land(void *context, void *item, struct mill_audio_writer *writer,
                        const struct mill_request_result *result, struct mill_error *err) {
    struct mill_batch_runner *r = context;
    struct spoken *s = item;
    struct mill_problem problem;
    mill_status status = MILL_OK;
    if (result->status == MILL_OK) {
        status = keep_sound(r, s, writer, result, err);
        if (status < 0)
            put_back(r, s, false);
    } else if (result->end == MILL_REQUEST_DEADLINE) {
        mill_problem_set(&problem, 504, "deadline_exceeded", "deadline_ms",
                         "not done within the deadline");
        refuse(r, s, &problem);
    } else if (is_passing(result->status) &&
               (result->end == MILL_REQUEST_CANCELLED || s->item.n_attempts + 1 < ATTEMPTS)) {
        put_back(r, s, result->end != MILL_REQUEST_CANCELLED);
    } else {
        mill_problem_of_status(&problem, result->status, &result->error);
        mill_log_event(r->server->log, "event=failure part=batch line=%lld error=\"%s\"",
                       (long long)s->item.line, result->error.text);
        refuse(r, s, &problem);
    }
    free_spoken(s);
    return status;
}

static bool is_unwanted(void *context, const void *item) {
    struct mill_batch_runner *r = context;
    return !mill_job_store_wants_item(r->server->jobs, &((const struct spoken *)item)->item);
}

/* ------------------------------------------------------------------ taking */

static bool read_wish(struct spoken *s, const struct mill_server *server,
                      struct mill_speech_wish *wish, struct mill_problem *problem) {
    struct mill_error err;
    json_t *root = NULL;
    mill_status status = mill_json_parse(&root, NULL, s->item.text, s->item.text_bytes, &err);
    json_t *body = json_incref(json_object_get(root, "body"));
    json_decref(root);
    if (status < 0 || !body) { /* it could be when the batch began */
        json_decref(body);
        mill_problem_of_status(problem, status == MILL_E_MEMORY ? status : MILL_E_IO, NULL);
        return false;
    }
    if (mill_wire_speech_take(body, (size_t)server->options->max_input_chars, wish, problem) < 0)
        return false;
    if (!wish->is_sse)
        return true;
    mill_speech_wish_deinit(wish);
    mill_problem_set(problem, 400, "invalid_value", "stream_format",
                     "stream_format: a batch's sound is a file: audio is wanted");
    return false;
}

static bool plan_speech(struct mill_batch_runner *r, struct spoken *s,
                        struct mill_passage_options *options, struct mill_problem *problem) {
    struct mill_speech_wish wish;
    if (!read_wish(s, r->server, &wish, problem) ||
        !mill_speech_plan_init(&s->plan, r->server, &wish, NULL, problem) ||
        !mill_speech_plan_options(&s->plan, options, problem))
        return false;
    options->context = s;
    options->n_ahead = AHEAD;
    options->wish.priority = PRIORITY;
    struct mill_client *owner = mill_clients_find(r->server->clients, s->item.owner);
    options->wish.fair_key = owner ? mill_client_number(owner) : 0;
    /* Nobody waits for its first sound: it is judged before it is kept. */
    options->wish.stream = false;
    return true;
}

/* A day's sound that is used up, or a key that was taken away, holds up a batch as it does live
 * requests. */
static bool may_have(void *context, const char *owner) {
    struct mill_batch_runner *r = context;
    return mill_clients_have_day(r->server->clients, owner);
}

/* MILL_DONE: none may take off now. */
static mill_status take(struct mill_batch_runner *r, struct mill_job_item *out,
                        struct mill_error *err) {
    int64_t behind = r->batch;
    if (r->alone && mill_flights_count(r->flights) > 0)
        return MILL_DONE;
    mill_status status =
        mill_job_store_take_item(r->server->jobs, may_have, r, &r->batch, out, err);
    r->alone = status == MILL_OK && out->n_attempts == ATTEMPTS - 1;
    if (!r->alone || mill_flights_count(r->flights) == 0)
        return status;
    mill_job_store_put_item(r->server->jobs, out, false);
    mill_job_item_deinit(out);
    r->batch = behind;
    return MILL_DONE;
}

/* MILL_OK: one is on its way, or has its refusal; MILL_AGAIN: not now; MILL_DONE: there is none. */
static mill_status take_off(struct mill_batch_runner *r, struct mill_error *err) {
    struct mill_passage_options options;
    struct mill_problem problem = {0};
    struct spoken *s = mill_alloc_array(1, sizeof *s);
    if (!s)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    mill_status status = take(r, &s->item, err);
    if (status != MILL_OK) {
        free(s);
        return status;
    }
    if (s->item.n_attempts >= ATTEMPTS) {
        mill_problem_set(&problem, 500, "too_many_attempts", NULL,
                         "given up: %lld attempts ended with the server's process or a device",
                         (long long)s->item.n_attempts);
    } else if (plan_speech(r, s, &options, &problem)) {
        status = mill_flights_begin(r->flights, r->server->engine, &options, s, err);
        if (status == MILL_OK)
            return MILL_OK;
        if (status != MILL_AGAIN && !is_passing(status)) {
            mill_problem_of_field(&problem, status, "input", err);
            status = MILL_OK;
        }
    }
    if (problem.status == 503) /* memory was short */
        status = mill_fail(err, MILL_E_MEMORY, "%s", problem.message);
    else if (problem.status)
        refuse(r, s, &problem);
    if (status != MILL_OK)
        put_back(r, s, false);
    free_spoken(s);
    return status;
}

static bool has_room(struct mill_batch_runner *r) {
    struct mill_engine_stats stats;
    mill_engine_get_stats(r->server->engine, &stats);
    return stats.n_queued < ENOUGH_WAIT;
}

/* MILL_OK: there may be more to take; MILL_DONE: there is not, or all flights are under way;
 * MILL_AGAIN: devices have no room. Some at a time, so that those under way are served between. */
static mill_status fill(struct mill_batch_runner *r, struct mill_error *err) {
    for (int i = 0; i < AT_ONCE; i++) {
        if (!mill_flights_have_room(r->flights) || atomic_load(&r->stopping))
            return MILL_DONE;
        mill_status status = has_room(r) ? take_off(r, err) : MILL_AGAIN;
        if (status != MILL_OK)
            return status;
    }
    return MILL_OK;
}

/* ------------------------------------------------------------------ the thread */

static mill_status retire(struct mill_batch_runner *r, struct mill_error *err) {
    struct mill_job_retired gone;
    mill_status status = mill_job_store_retire(r->server->jobs, (int64_t)time(NULL), &gone, err);
    atomic_fetch_add(&r->server->metrics.n_retired_files, (uint64_t)gone.n_files);
    atomic_fetch_add(&r->server->metrics.n_retired_batches, (uint64_t)gone.n_batches);
    if (status == MILL_OK)
        mill_log_event(r->server->log, "event=retired files=%lld batches=%lld",
                       (long long)gone.n_files, (long long)gone.n_batches);
    return status;
}

static mill_status look(struct mill_batch_runner *r, struct mill_error *err) {
    mill_status status;
    r->looked_s = mill_clock_seconds();
    while ((status = mill_job_store_turn(r->server->jobs, (int64_t)time(NULL), err)) == MILL_OK)
        ;
    mill_flights_cancel(r->flights, is_unwanted);
    return status < 0 ? status : retire(r, err);
}

static void *run(void *context) {
    struct mill_batch_runner *r = context;
    while (!atomic_load(&r->stopping)) {
        struct mill_error err = {""};
        mill_status status = MILL_DONE;
        double now_s = mill_clock_seconds();
        if (atomic_exchange(&r->woken, false) || now_s - r->looked_s > LOOK_S)
            status = look(r, &err);
        if (status >= 0 && now_s >= r->paused_until_s)
            status = fill(r, &err);
        if (status < 0)
            pause_for(r, &err);
        double wait_s = status == MILL_OK ? 0 : status == MILL_AGAIN ? ROOM_S : LOOK_S;
        if (mill_flights_serve(r->flights, wait_s, &err) < 0)
            pause_for(r, &err);
    }
    mill_flights_cancel(r->flights, NULL);
    while (mill_flights_count(r->flights) > 0)
        mill_flights_serve(r->flights, LOOK_S, NULL);
    atomic_store(&r->over, true);
    return NULL;
}

mill_status mill_batch_runner_open(struct mill_batch_runner **out, struct mill_server *server,
                                   struct mill_error *err) {
    struct mill_batch_runner *r = mill_alloc_array(1, sizeof *r);
    if (!r)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    const struct mill_flight_hands hands = {.begin_sound = begin_sound, .land = land, .context = r};
    r->server = server;
    mill_status status = mill_flights_open(&r->flights, MOST_FLIGHTS, &hands, err);
    if (status == MILL_OK && pthread_create(&r->thread, NULL, run, r) != 0)
        status = mill_fail(err, MILL_E_MEMORY, "no thread for batches");
    if (status == MILL_OK) {
        *out = r;
        return MILL_OK;
    }
    mill_flights_close(r->flights);
    free(r);
    return status;
}

void mill_batch_runner_wake(struct mill_batch_runner *runner) {
    atomic_store(&runner->woken, true);
    mill_flights_wake(runner->flights);
}

void mill_batch_runner_stop(struct mill_batch_runner *runner) {
    atomic_store(&runner->stopping, true);
    mill_flights_wake(runner->flights);
}

bool mill_batch_runner_is_over(struct mill_batch_runner *runner) {
    return atomic_load(&runner->over);
}

void mill_batch_runner_close(struct mill_batch_runner *runner) {
    if (!runner)
        return;
    mill_batch_runner_stop(runner);
    pthread_join(runner->thread, NULL);
    mill_flights_close(runner->flights);
    free(runner);
}
