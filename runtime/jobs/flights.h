/* flights.h - passages on their way into sound files, many at once, served by one thread.
 *
 * The engine's threads only say that a passage can be read; the thread that serves reads, encodes
 * and writes, so a slow disk holds up no device. What becomes of a flight's sound its owner
 * decides, through the two hands below, on the serving thread. */
#ifndef MILL_JOBS_FLIGHTS_H
#define MILL_JOBS_FLIGHTS_H

#include "runtime/audio/writer.h"
#include "runtime/passage/passage.h"

#include <stdbool.h>

struct mill_flights;

struct mill_flight_hands {
    /* There is sound: where to? */
    mill_status (*begin_sound)(void *context, void *item, struct mill_audio_writer **out,
                               struct mill_error *err);
    /* It is over, however it ended. With MILL_OK in `result` all of the sound was written, and
     * waits to be finished; else the writer may be NULL. It is closed behind this, and when all
     * went well, what the passage kept on the disk is removed. */
    mill_status (*land)(void *context, void *item, struct mill_audio_writer *writer,
                        const struct mill_request_result *result, struct mill_error *err);
    void *context;
};

mill_status mill_flights_open(struct mill_flights **out, int capacity,
                              const struct mill_flight_hands *hands, struct mill_error *err);
/* Breaks off what flies, without a landing. NULL is fine. */
void mill_flights_close(struct mill_flights *flights);

int mill_flights_count(const struct mill_flights *flights);
bool mill_flights_have_room(const struct mill_flights *flights);
/* Takes off for `item`, which stays the caller's. Statuses as of mill_passage_open. `readable` is
 * taken; find_voice is called with `context` as it stands in the options. */
mill_status mill_flights_begin(struct mill_flights *flights, struct mill_engine *engine,
                               const struct mill_passage_options *options, void *item,
                               struct mill_error *err);
/* Those that `unwanted` says (NULL = all) are cancelled: they land soon. */
void mill_flights_cancel(struct mill_flights *flights,
                         bool (*unwanted)(void *context, const void *item));
/* Waits until a flight can be read, or somebody wakes it, up to timeout_s; reads one. A failure is
 * that of a hand, or of writing; where sound could not be written the flight lands later, as
 * cancelled. */
mill_status mill_flights_serve(struct mill_flights *flights, double timeout_s,
                               struct mill_error *err);
void mill_flights_wake(struct mill_flights *flights); /* any thread */

#endif
