/* engine_fixture.c - see engine_fixture.h. */
#include "tests/engine/engine_fixture.h"

#include "tests/model/whole_checkpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Each program its own: tests run side by side. */
#define FOLDER MILL_SCRATCH "/engine-model-" FIXTURE_NAME
static const char folder[] = FOLDER;

const char *fixture_folder(void) {
    return folder;
}

int fixture_write_checkpoint(void **state) {
    (void)state;
    struct mill_shape shape;
    mill_synth_shape(&shape, MILL_SYNTH_TINY);
    shape.llm.vocab = 13312; /* the published one takes longer to read than all wishes to speak */
    whole_checkpoint_write(folder, &shape, MILL_F32);
    return 0;
}

static const struct mill_backend_ops *used;

void fixture_use(const struct mill_backend_ops *ops) {
    used = ops;
}

static const struct mill_backend_ops *find_used(void *context, int32_t replica) {
    (void)context, (void)replica;
    return used;
}

struct mill_engine *fixture_open(struct mill_engine_options options,
                                 const struct mill_engine_hooks *hooks) {
    static const struct mill_engine_hooks audited = {.find_backend = find_used, .audit = true};
    struct mill_engine *engine;
    struct mill_error err = {""};
    options.model = options.model ? options.model : folder;
    if (mill_engine_open_hooked(&engine, &options, hooks ? hooks : &audited, &err) != MILL_OK ||
        mill_engine_start(engine, NULL, &err) != MILL_OK)
        fail_msg("%s", err.text);
    return engine;
}

static mill_status hear(void *context, const float *samples, size_t n, struct mill_error *err) {
    struct heard *heard = context;
    (void)err;
    if (heard->n_samples + n > heard->capacity) {
        heard->capacity = 2 * (heard->n_samples + n);
        heard->wave = realloc(heard->wave, heard->capacity * sizeof *samples);
    }
    memcpy(heard->wave + heard->n_samples, samples, n * sizeof *samples);
    heard->n_samples += n;
    heard->n_deliveries++;
    return MILL_OK;
}

void heard_free(struct heard *heard) {
    mill_request_free(heard->request);
    free(heard->wave);
    *heard = (struct heard){0};
}

struct mill_engine_request fixture_wish(const struct mill_engine *engine, int i,
                                        struct heard *heard) {
    static const char *const texts[] = {"One.", "Two and three go to the mill.",
                                        "Four, five, six: what a day it was, said the miller."};
    static int32_t voices[3][64];
    struct mill_engine_request wish;
    mill_engine_request_init(&wish);
    const struct mill_engine_info *info = mill_engine_get_info(engine);
    assert_true(info->n_voice_tokens <= 64);
    wish.text = texts[i % 3];
    wish.text_bytes = strlen(wish.text);
    if (i % 4 != 3) {
        int32_t *voice = voices[i % 3];
        for (int32_t k = 0; k < info->n_voice_tokens; k++)
            voice[k] = (k * 37 + i % 3 * 11) % info->n_voice_codes;
        wish.global = voice;
        wish.n_global = info->n_voice_tokens;
    }
    if (i % 6 == 2) { /* two texts continue one recording: their prompts begin with a page alike */
        static const int32_t semantic[] = {5, 3, 8, 1};
        wish.text = texts[i % 4 / 2];
        wish.text_bytes = strlen(wish.text);
        wish.transcript = "One for the master, and one for the dame.";
        wish.transcript_bytes = strlen(wish.transcript);
        wish.semantic = semantic;
        wish.n_semantic = 4;
    }
    wish.seed = (uint64_t)(i / 2);
    wish.max_frames = FIXTURE_FRAMES - 7 * (i % 5);
    wish.stream = i % 2 == 0;
    wish.max_redraws = i % 3 == 1 ? 2 : 0;
    wish.lookahead = i == 4 ? 20 : -1;
    wish.priority = i % 3 - 1;
    wish.fair_key = (uint64_t)(i % 2);
    wish.deliver = hear;
    wish.context = heard;
    return wish;
}

void fixture_submit_wish(struct mill_engine *engine, const struct mill_engine_request *wish,
                         struct heard *heard) {
    struct mill_error err = {""};
    *heard = (struct heard){0};
    if (mill_engine_submit(engine, wish, &heard->request, NULL, &err) != MILL_OK)
        fail_msg("%s", err.text);
}

void fixture_submit(struct mill_engine *engine, int i, bool polled, struct heard *heard) {
    struct mill_engine_request wish = fixture_wish(engine, i, heard);
    if (polled)
        wish.deliver = NULL;
    fixture_submit_wish(engine, &wish, heard);
}

void fixture_finish(struct heard *heard) {
    enum { PIECE = 1000 };
    float samples[PIECE];
    size_t n;
    if (!heard->request->wish.deliver)
        while (mill_request_read(heard->request, samples, PIECE, -1, &n, NULL) == MILL_OK)
            hear(heard, samples, n, NULL);
    assert_int_equal(mill_request_wait(heard->request, -1), MILL_OK);
    mill_request_get_result(heard->request, &heard->result);
    mill_request_free(heard->request);
    heard->request = NULL;
}

void fixture_alone(int i, struct heard *heard) {
    struct mill_engine *engine =
        fixture_open((struct mill_engine_options){.devices = "cpu:1", .max_running = 1}, NULL);
    fixture_submit(engine, i, false, heard);
    fixture_finish(heard);
    mill_engine_close(engine);
}

void assert_same_sound(const struct heard *a, const struct heard *b) {
    if (a->result.status != MILL_OK || b->result.status != MILL_OK)
        fail_msg("'%s' and '%s'", a->result.error.text, b->result.error.text);
    assert_true(a->n_samples > 0);
    assert_int_equal(a->n_samples, b->n_samples);
    assert_memory_equal(a->wave, b->wave, a->n_samples * sizeof *a->wave);
    assert_int_equal(b->result.n_samples, b->n_samples);
    assert_int_equal(a->result.seed, b->result.seed);
    assert_int_equal(a->result.n_redraws, b->result.n_redraws);
    assert_int_equal(a->result.findings, b->result.findings);
}
