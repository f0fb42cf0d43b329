/* passage_fixture.c - see passage_fixture.h. */
#include "tests/passage/passage_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct mill_passage *open_with(struct mill_engine *engine,
                               const struct mill_passage_options *options) {
    struct mill_passage *passage;
    struct mill_error err = {""};
    if (mill_passage_open(&passage, engine, options, NULL, &err) != MILL_OK)
        fail_msg("%s", err.text);
    return passage;
}

struct mill_passage_options options_for(const char *text) {
    static const int32_t voice[FAKE_VOICE_TOKENS] = {9, 8, 7, 6};
    struct mill_passage_options options;
    mill_passage_options_init(&options);
    options.text = text;
    options.text_bytes = strlen(text);
    options.language = "en";
    options.paragraph_ms = 100;
    options.wish.global = voice;
    options.wish.n_global = FAKE_VOICE_TOKENS;
    options.wish.seed = 5;
    return options;
}

mill_status read_all(struct mill_passage *passage, size_t piece, float *out, size_t *n) {
    mill_status status = MILL_OK;
    while (status == MILL_OK) {
        size_t n_read;
        status = mill_passage_read(passage, out + *n, piece, 0, &n_read, NULL);
        assert_true((status == MILL_OK) == (n_read > 0));
        *n += n_read;
        assert_true(*n + piece < MAX_SAMPLES);
    }
    return status;
}

void say(struct mill_engine *engine, int i, size_t head_ms, float value, size_t sound_ms,
         size_t tail_ms) {
    fake_deliver(engine, i, 0, head_ms * MS);
    fake_deliver(engine, i, value, sound_ms * MS);
    fake_deliver(engine, i, 0, tail_ms * MS);
    fake_end(engine, i, MILL_OK);
}

mill_status try_all(struct mill_engine *engine, const struct mill_passage_options *options,
                    struct mill_error *err) {
    struct mill_passage *passage;
    float out[1000];
    size_t n;
    fake_engine_init(engine);
    mill_status status = mill_passage_open(&passage, engine, options, NULL, err);
    for (int i = 0; status == MILL_OK && i < engine->n_requests; i++)
        fake_end(engine, i, fake_deliver(engine, i, 0.5f, 3000));
    while (status == MILL_OK)
        status = mill_passage_read(passage, out, 1000, 0, &n, err);
    mill_passage_close(passage);
    return status;
}
