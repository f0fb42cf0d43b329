/* fuzz_passage.c - any text or markup as a passage, with an engine that gives 20 ms of sound for
 * each segment. The first two bytes choose how. However it is asked, there are no more rests than
 * may be, and every sample is read once. */
#include "runtime/passage/passage_state.h"
#include "tests/fuzz/fuzz.h"
#include "tests/passage/fake_engine.h"

#include <math.h>

enum { SOUND = FAKE_RATE / 50, MAX_TEXT = 180 /* bytes: fewer segments than FAKE_REQUESTS */ };
#define MAX_RESTS_S 2.0

static mill_status find_voice(void *context, const char *name, struct mill_engine_request *wish,
                              struct mill_error *err) {
    static const int32_t voice[FAKE_VOICE_TOKENS] = {1, 2, 3, 4};
    (void)context;
    wish->global = voice;
    wish->n_global = FAKE_VOICE_TOKENS;
    return name[0] == 'x' ? mill_fail(err, MILL_E_INPUT, "no voice") : MILL_OK;
}

/* Samples of all of it. */
static uint64_t read_all(struct mill_passage *passage, struct mill_engine *engine) {
    static float samples[1 << 14];
    uint64_t sum = 0;
    for (int made = 0;;) {
        for (; made < engine->n_requests; made++) {
            fake_invent(engine, made);
            require(fake_deliver(engine, made, 0.5f, SOUND) == MILL_OK);
            fake_end(engine, made, MILL_OK);
        }
        size_t n;
        mill_status status =
            mill_passage_read(passage, samples, sizeof samples / sizeof *samples, 0, &n, NULL);
        sum += n;
        if (status == MILL_DONE)
            return sum;
        require(status == MILL_OK || status == MILL_AGAIN);
    }
}

static void check(struct mill_passage *p, struct mill_engine *engine) {
    double most_s = MAX_RESTS_S;
    size_t end = 0;
    for (int32_t i = 0; i < p->n_pieces; i++) {
        const struct mill_passage_piece *piece = &p->pieces[i];
        require(piece->bytes > 0 && piece->at >= end && piece->at + piece->bytes <= p->text.size);
        end = piece->at + piece->bytes;
        /* Its sound, as slow as may be, and the longest usual rest. */
        require(piece->speed >= MILL_SPEED_MIN && piece->speed <= MILL_SPEED_MAX);
        most_s += (0.02 + 0.7) / piece->speed + 0.1;
    }
    require(end > 0 && read_all(p, engine) <= (uint64_t)ceil(most_s * FAKE_RATE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct mill_engine engine;
    struct mill_passage_options options;
    struct mill_passage *passage;
    struct mill_error err;
    if (size < 2 || size > MAX_TEXT + 2)
        return 0;
    fake_engine_init(&engine);
    mill_passage_options_init(&options);
    options.text = (const char *)data + 2;
    options.text_bytes = size - 2;
    options.markup = data[0] & 1;
    options.language = data[0] & 2 ? "en" : NULL;
    options.find_voice = data[0] & 4 ? find_voice : NULL;
    options.n_ahead = data[0] >> 3 & 3;
    options.speed = data[0] & 32 ? 1 : 0.25 + data[1] % 16 / 4.0;
    options.paragraph_ms = data[0] & 64 ? 700 : 256 * data[1];
    options.max_rests_s = MAX_RESTS_S;
    mill_status status = mill_passage_open(&passage, &engine, &options, NULL, &err);
    require_message(status, &err);
    if (status == MILL_OK)
        check(passage, &engine);
    mill_passage_close(passage);
    return 0;
}
