/* fake_engine.h - the engine as a test plays it: requests are noted, and the test delivers their
 * samples and ends them when it likes. It takes the place of libmill_engine where it is linked. */
#ifndef MILL_TESTS_PASSAGE_FAKE_ENGINE_H
#define MILL_TESTS_PASSAGE_FAKE_ENGINE_H

#include "runtime/engine/engine.h"

enum { FAKE_REQUESTS = 64, FAKE_RATE = 16000, FAKE_VOICE_TOKENS = 4 };

struct mill_request {
    struct mill_engine_request wish;
    char text[2048];
    int32_t global[FAKE_VOICE_TOKENS];
    bool has_voice, voice_known, cancelled, freed, ended;
    struct mill_request_result result;
};

struct mill_engine {
    struct mill_engine_info info;
    struct mill_request requests[FAKE_REQUESTS]; /* in the order of their submission */
    int n_requests, n_places;
    bool full; /* refuses what is not in a place */
};

void fake_engine_init(struct mill_engine *engine);
/* n samples of amplitude `value` for request i; what its callback said. */
mill_status fake_deliver(struct mill_engine *engine, int i, float value, size_t n);
/* With MILL_OK it was complete, and created the voice 1 + i, 2 + i, ... where it had none. */
void fake_end(struct mill_engine *engine, int i, mill_status status);
/* That voice is known now. */
void fake_invent(struct mill_engine *engine, int i);

#endif
