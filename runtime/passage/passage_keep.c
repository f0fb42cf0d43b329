/* passage_keep.c - see passage_state.h: segments that were made go to the disk as they are, before
 * their edges are cut and speed is changed, and those that are there are taken in place of a
 * request. All of it on the reader's thread: the engine's never wait for a disk.
 *
 * A segment's key is a hash of its spoken text, its voice and parameters, its own seed, and what
 * the passage was told of the model. Its sound is a function of these, so a passage that took some
 * from the disk sounds as one that took none, bit by bit. */
#include "runtime/passage/passage_state.h"

#include <inttypes.h>
#include <string.h>

enum { MAX_KEY_BYTES = 1 << 24 };

/* ------------------------------------------------------------------ keys */

static mill_status describe_tokens(struct mill_buffer *out, const int32_t *tokens, int32_t n,
                                   struct mill_error *err) {
    MILL_TRY(mill_buffer_printf(out, err, "\n%d", n));
    for (int32_t i = 0; i < n; i++)
        MILL_TRY(mill_buffer_printf(out, err, " %d", tokens[i]));
    return MILL_OK;
}

mill_status mill_passage_describe(struct mill_buffer *out, const struct mill_engine_request *w,
                                  struct mill_error *err) {
    MILL_TRY(mill_buffer_printf(
        out, err, "%.9g %.9g %d %" PRIu64 " %d %d %d %d %d\n%d %d %d %d %d", (double)w->temperature,
        (double)w->top_p, w->top_k, w->seed, w->max_frames, w->max_redraws, w->unrestricted,
        w->stream, w->lookahead, w->gender, w->pitch, w->speed, w->pitch_value, w->speed_value));
    MILL_TRY(describe_tokens(out, w->global, w->n_global, err));
    MILL_TRY(describe_tokens(out, w->semantic, w->n_semantic, err));
    MILL_TRY(mill_buffer_printf(out, err, "\n%zu\n", w->transcript_bytes));
    return mill_buffer_append(out, w->transcript, w->transcript_bytes, err);
}

static mill_status make_key(const struct mill_passage *p, const struct mill_engine_request *wish,
                            char key[MILL_SHA256_HEX_BYTES], struct mill_error *err) {
    struct mill_buffer words;
    mill_buffer_init(&words, MAX_KEY_BYTES);
    mill_status status = mill_buffer_printf(&words, err, "segment 1 %s\n", p->kept_model);
    if (status == MILL_OK)
        status = mill_passage_describe(&words, wish, err);
    if (status == MILL_OK)
        status = mill_buffer_printf(&words, err, "\n%zu\n", wish->text_bytes);
    if (status == MILL_OK)
        status = mill_buffer_append(&words, wish->text, wish->text_bytes, err);
    if (status == MILL_OK)
        status = mill_sha256_bytes(words.data, words.size, key, err);
    mill_buffer_deinit(&words);
    return status;
}

/* ------------------------------------------------------------------ from the disk */

/* Under the lock: the flight is as if the engine had made its piece. */
static mill_status land_sound(struct mill_passage *p, struct mill_passage_flight *flight,
                              const struct mill_kept_sound *sound, struct mill_error *err) {
    struct mill_passage_speaker *speaker = &p->speakers[p->pieces[flight->piece].speaker];
    MILL_TRY(mill_passage_hold(flight, sound->samples, sound->of.n_samples, err));
    if (flight->invents) {
        memcpy(speaker->global, sound->voice, sound->of.n_voice * sizeof *sound->voice);
        speaker->wish.global = speaker->global;
        speaker->wish.n_global = p->n_voice_tokens;
        speaker->inventor = -1;
    }
    flight->result = (struct mill_request_result){.end = (enum mill_request_end)sound->of.end,
                                                  .n_frames = (int32_t)sound->of.n_frames,
                                                  .n_redraws = (int32_t)sound->of.n_redraws,
                                                  .n_samples = sound->of.n_samples,
                                                  .seed = sound->of.seed,
                                                  .findings = sound->of.findings,
                                                  .exact = sound->of.exact};
    flight->ended = flight->is_kept = true;
    p->n_done++;
    p->n_kept++;
    return MILL_OK;
}

mill_status mill_passage_take_kept(struct mill_passage *p, struct mill_passage_flight *flight,
                                   const struct mill_engine_request *wish, struct mill_error *err) {
    struct mill_mapping mapping;
    struct mill_kept_sound sound;
    flight->is_kept = p->kept == NULL;
    flight->invents = p->speakers[p->pieces[flight->piece].speaker].inventor == flight->piece;
    if (!p->kept)
        return MILL_AGAIN;
    MILL_TRY(make_key(p, wish, flight->key, err));
    mill_status status = mill_kept_find(p->kept, flight->key, &mapping, &sound, err);
    if (status != MILL_OK)
        return status;
    bool fits = (sound.of.end == MILL_REQUEST_COMPLETE || sound.of.end == MILL_REQUEST_LIMIT) &&
                sound.of.n_voice == (flight->invents ? (uint32_t)p->n_voice_tokens : 0);
    pthread_mutex_lock(&p->lock);
    status = fits ? land_sound(p, flight, &sound, err) : MILL_AGAIN;
    pthread_mutex_unlock(&p->lock);
    mill_mapping_close(&mapping);
    return status;
}

mill_status mill_passage_count_kept(struct mill_passage *p, struct mill_error *err) {
    if (!p->kept)
        return MILL_OK;
    struct mill_buffer spoken;
    mill_status status = MILL_OK;
    int32_t n = p->n_kept; /* those that were submitted */
    mill_buffer_init(&spoken, MILL_SCRIPT_TEXT_BYTES);
    for (int32_t i = p->next; i < p->n_pieces && status == MILL_OK; i++) {
        int32_t inventor = p->speakers[p->pieces[i].speaker].inventor;
        char key[MILL_SHA256_HEX_BYTES];
        struct mill_engine_request wish;
        if (inventor >= 0 && inventor != i)
            continue;
        status = mill_passage_wish(p, i, &wish, &spoken, err);
        if (status == MILL_OK)
            status = make_key(p, &wish, key, err);
        n += status == MILL_OK && mill_kept_has(p->kept, key);
    }
    mill_buffer_deinit(&spoken);
    pthread_mutex_lock(&p->lock);
    p->n_found = n;
    pthread_mutex_unlock(&p->lock);
    return status;
}

/* ------------------------------------------------------------------ to the disk */

static mill_status keep_flight(struct mill_passage *p, struct mill_passage_flight *flight,
                               struct mill_error *err) {
    const struct mill_request_result *r = &flight->result;
    const struct mill_passage_speaker *speaker = &p->speakers[p->pieces[flight->piece].speaker];
    mill_passage_learn_voice(p, flight);
    const struct mill_kept_sound sound = {
        .of = {.end = r->end,
               .findings = r->findings,
               .n_frames = (uint32_t)r->n_frames,
               .n_redraws = (uint32_t)r->n_redraws,
               .exact = r->exact,
               .n_voice = flight->invents ? (uint32_t)p->n_voice_tokens : 0,
               .seed = r->seed,
               .n_samples = flight->n},
        .voice = speaker->global,
        .samples = flight->wave};
    MILL_TRY(mill_kept_put(p->kept, flight->key, &sound, err));
    pthread_mutex_lock(&p->lock);
    p->n_kept++;
    pthread_mutex_unlock(&p->lock);
    return MILL_OK;
}

mill_status mill_passage_keep(struct mill_passage *p, struct mill_error *err) {
    for (int32_t i = 0; p->kept && i < p->n_flights; i++) {
        struct mill_passage_flight *flight = &p->flights[i];
        if (flight->piece < 0 || flight->is_kept)
            continue;
        pthread_mutex_lock(&p->lock);
        bool ended = flight->ended, whole = flight->result.status >= 0;
        pthread_mutex_unlock(&p->lock);
        if (!ended)
            continue;
        flight->is_kept = true;
        if (whole) /* else the passage fails with it */
            MILL_TRY(keep_flight(p, flight, err));
    }
    return MILL_OK;
}

void mill_passage_clear_kept(struct mill_passage *passage) {
    if (passage->kept)
        mill_kept_clear(passage->kept);
}
