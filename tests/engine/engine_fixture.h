/* engine_fixture.h - what tests of the whole engine share: a tiny synthetic checkpoint, wishes of
 * several kinds by number, and what was heard of each. */
#ifndef MILL_TESTS_ENGINE_ENGINE_FIXTURE_H
#define MILL_TESTS_ENGINE_ENGINE_FIXTURE_H

#include "runtime/engine/engine_state.h"

/* Writes the checkpoint once; a cmocka group setup. */
int fixture_write_checkpoint(void **state);
const char *fixture_folder(void);
/* The backend of engines that are opened without hooks from now on; NULL = the usual one. */
void fixture_use(const struct mill_backend_ops *ops);
/* Opened and started, or the test fails. `model` NULL = the tiny checkpoint. */
struct mill_engine *fixture_open(struct mill_engine_options options,
                                 const struct mill_engine_hooks *hooks);

enum { FIXTURE_WISHES = 12, FIXTURE_FRAMES = 90 };

/* What was heard of one request. */
struct heard {
    float *wave; /* owned */
    size_t n_samples, capacity;
    int32_t n_deliveries;
    struct mill_request_result result;
    struct mill_request *request;
};
void heard_free(struct heard *heard);

/* Wish number i: voices given and created, streamed and not, judged and not, different texts and
 * seeds; delivered to `heard` by callback, or kept for a reader where `polled`. */
void fixture_submit(struct mill_engine *engine, int i, bool polled, struct heard *heard);
/* The same wish as a struct, to be changed before it is submitted. */
struct mill_engine_request fixture_wish(const struct mill_engine *engine, int i,
                                        struct heard *heard);
void fixture_submit_wish(struct mill_engine *engine, const struct mill_engine_request *wish,
                         struct heard *heard);
/* To its end; reads where it is polled; frees the request. */
void fixture_finish(struct heard *heard);
/* Wish i, alone on an engine that runs one at a time. */
void fixture_alone(int i, struct heard *heard);

void assert_same_sound(const struct heard *a, const struct heard *b);

#endif
