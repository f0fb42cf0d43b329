/* flights.c - see flights.h. */
#include "runtime/jobs/flights.h"

#include "runtime/base/memory.h"
#include "runtime/base/wait.h"

#include <stdlib.h>

enum { READ_SAMPLES = 4096 };

struct flight {
    struct mill_flights *all;
    void *item; /* NULL = free */
    struct mill_passage *passage;
    struct mill_audio_writer *writer; /* NULL until there is sound */
    /* The owner's, since `context` of a passage is the flight. */
    mill_status (*find_voice)(void *context, const char *name, struct mill_engine_request *wish,
                              struct mill_error *err);
    void *context;
    bool given_up; /* its sound could not be written */
    bool readable; /* guarded by the lock */
};

struct mill_flights {
    struct mill_flight_hands hands;
    struct flight *flights; /* owned: [capacity] */
    int capacity, n;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool woken;
};

mill_status mill_flights_open(struct mill_flights **out, int capacity,
                              const struct mill_flight_hands *hands, struct mill_error *err) {
    struct mill_flights *all = mill_alloc_array(1, sizeof *all);
    struct flight *flights = mill_alloc_array((size_t)capacity, sizeof *flights);
    if (!all || !flights || mill_wait_init(&all->changed) < 0) {
        free(all);
        free(flights);
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    }
    all->hands = *hands;
    all->flights = flights;
    all->capacity = capacity;
    pthread_mutex_init(&all->lock, NULL);
    *out = all;
    return MILL_OK;
}

static void end(struct flight *flight) {
    mill_passage_close(flight->passage); /* no callback comes behind this */
    mill_audio_writer_close(flight->writer);
    flight->all->n--;
    *flight = (struct flight){0};
}

void mill_flights_close(struct mill_flights *flights) {
    if (!flights)
        return;
    for (int i = 0; i < flights->capacity; i++)
        if (flights->flights[i].item)
            end(&flights->flights[i]);
    free(flights->flights);
    pthread_cond_destroy(&flights->changed);
    pthread_mutex_destroy(&flights->lock);
    free(flights);
}

int mill_flights_count(const struct mill_flights *flights) {
    return flights->n;
}

bool mill_flights_have_room(const struct mill_flights *flights) {
    return flights->n < flights->capacity;
}

/* ------------------------------------------------------------------ on the engine's threads */

static void note_readable(void *context) {
    struct flight *flight = context;
    pthread_mutex_lock(&flight->all->lock);
    flight->readable = true;
    pthread_cond_signal(&flight->all->changed);
    pthread_mutex_unlock(&flight->all->lock);
}

void mill_flights_wake(struct mill_flights *flights) {
    pthread_mutex_lock(&flights->lock);
    flights->woken = true;
    pthread_cond_signal(&flights->changed);
    pthread_mutex_unlock(&flights->lock);
}

/* ------------------------------------------------------------------ on the serving one */

static mill_status find_voice(void *context, const char *name, struct mill_engine_request *wish,
                              struct mill_error *err) {
    struct flight *flight = context;
    return flight->find_voice(flight->context, name, wish, err);
}

mill_status mill_flights_begin(struct mill_flights *flights, struct mill_engine *engine,
                               const struct mill_passage_options *options, void *item,
                               struct mill_error *err) {
    struct flight *flight = flights->flights;
    while (flight < flights->flights + flights->capacity && flight->item)
        flight++;
    if (flight == flights->flights + flights->capacity)
        return MILL_AGAIN;
    *flight = (struct flight){.all = flights,
                              .find_voice = options->find_voice,
                              .context = options->context,
                              /* It is told of what comes behind the first look. */
                              .readable = true};
    struct mill_passage_options own = *options;
    own.readable = note_readable;
    own.find_voice = options->find_voice ? find_voice : NULL;
    own.context = flight;
    mill_status status = mill_passage_open(&flight->passage, engine, &own, NULL, err);
    if (status == MILL_OK) {
        flight->item = item;
        flights->n++;
    }
    return status;
}

/* It is to be looked at again: its end can be read. */
static void cancel(struct flight *flight) {
    mill_passage_cancel(flight->passage);
    note_readable(flight);
}

void mill_flights_cancel(struct mill_flights *flights,
                         bool (*unwanted)(void *context, const void *item)) {
    for (int i = 0; i < flights->capacity; i++) {
        struct flight *flight = &flights->flights[i];
        if (flight->item && (!unwanted || unwanted(flights->hands.context, flight->item)))
            cancel(flight);
    }
}

static struct flight *find_readable(struct mill_flights *flights) {
    for (int i = 0; i < flights->capacity; i++)
        if (flights->flights[i].item && flights->flights[i].readable)
            return &flights->flights[i];
    return NULL;
}

/* NULL after a while, or when woken. */
static struct flight *wait_for_readable(struct mill_flights *flights, double timeout_s) {
    double until_s = mill_wait_deadline(timeout_s);
    struct flight *found;
    pthread_mutex_lock(&flights->lock);
    while (!(found = find_readable(flights)) && !flights->woken)
        if (!mill_wait_until(&flights->changed, &flights->lock, until_s))
            break;
    if (found)
        found->readable = false;
    else
        flights->woken = false;
    pthread_mutex_unlock(&flights->lock);
    return found;
}

static mill_status write_samples(struct flight *flight, const float *samples, size_t n,
                                 struct mill_error *err) {
    const struct mill_flight_hands *hands = &flight->all->hands;
    if (!flight->writer)
        MILL_TRY(hands->begin_sound(hands->context, flight->item, &flight->writer, err));
    return mill_audio_writer_write(flight->writer, samples, n, err);
}

static mill_status land(struct flight *flight, mill_status status, struct mill_error *err) {
    const struct mill_flight_hands *hands = &flight->all->hands;
    struct mill_request_result result;
    mill_passage_get_result(flight->passage, &result);
    if (flight->given_up) {
        result.end = MILL_REQUEST_CANCELLED;
        result.status = MILL_E_CANCELLED;
    } else if (status == MILL_DONE && !flight->writer) {
        result.status = mill_fail(&result.error, MILL_E_NUMERIC, "there is no sound");
    }
    status = hands->land(hands->context, flight->item, flight->writer, &result, err);
    if (status == MILL_OK && result.status == MILL_OK)
        mill_passage_clear_kept(flight->passage);
    end(flight);
    return status;
}

mill_status mill_flights_serve(struct mill_flights *flights, double timeout_s,
                               struct mill_error *err) {
    struct flight *flight = wait_for_readable(flights, timeout_s);
    if (!flight)
        return MILL_OK;
    float samples[READ_SAMPLES];
    mill_status status, written = MILL_OK;
    size_t n;
    while (written == MILL_OK && (status = mill_passage_read(flight->passage, samples, READ_SAMPLES,
                                                             0, &n, NULL)) == MILL_OK)
        if (!flight->given_up)
            written = write_samples(flight, samples, n, err);
    if (written < 0) {
        flight->given_up = true;
        cancel(flight);
        return written;
    }
    return status == MILL_AGAIN ? MILL_OK : land(flight, status, err);
}
