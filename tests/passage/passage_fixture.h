/* passage_fixture.h - what tests of passages share: opened on an engine that the test plays, and
 * read to where they are. */
#ifndef MILL_TESTS_PASSAGE_PASSAGE_FIXTURE_H
#define MILL_TESTS_PASSAGE_PASSAGE_FIXTURE_H

#include "runtime/passage/passage.h"
#include "tests/passage/fake_engine.h"

enum { MS = FAKE_RATE / 1000, MAX_SAMPLES = 1 << 20 };

/* Of three segments. */
#define THREE "One.\n\nTwo.\n\nThree."

/* The text with a voice of its own, 100 ms behind a paragraph. */
struct mill_passage_options options_for(const char *text);
/* Fails the test where it cannot be opened. */
struct mill_passage *open_with(struct mill_engine *engine,
                               const struct mill_passage_options *options);
/* All that can be read now, `piece` samples at a time; the status of the last read. */
mill_status read_all(struct mill_passage *passage, size_t piece, float *out, size_t *n);
/* Request i is made: silence, a sound of amplitude `value`, silence. */
void say(struct mill_engine *engine, int i, size_t head_ms, float value, size_t sound_ms,
         size_t tail_ms);

/* A passage opened, made and read where any allocation may fail: MILL_DONE when all went well. */
mill_status try_all(struct mill_engine *engine, const struct mill_passage_options *options,
                    struct mill_error *err);

#endif
