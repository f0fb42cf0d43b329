/* passage_plan.c - see passage_state.h: a script's spans become pieces, each with the rest behind
 * it, and its voices speakers. */
#include "runtime/passage/passage_state.h"

#include "runtime/base/memory.h"

#include <math.h>
#include <string.h>

enum { MAX_PIECES = 100000, PROMPT_TOKENS = 16 /* beside text and voice */ };
/* Behind the parts of a sentence that had to be cut between words. */
#define WORD_PAUSE_S 0.08

/* ------------------------------------------------------------------ speakers */

static void *copy(const void *data, size_t n, size_t size) {
    void *out = mill_alloc_array(n, size);
    if (out && n > 0)
        memcpy(out, data, n * size);
    return out;
}

/* What `wish` points to becomes the speaker's own. */
static mill_status add_speaker(struct mill_passage *p, const struct mill_engine_request *wish,
                               struct mill_error *err) {
    struct mill_passage_speaker *speaker = &p->speakers[p->n_speakers++];
    *speaker = (struct mill_passage_speaker){.wish = *wish, .inventor = -1};
    struct mill_engine_request *own = &speaker->wish;
    own->text = own->transcript = NULL;
    own->semantic = NULL;
    own->text_bytes = 0;
    own->deliver = NULL;
    own->readable = NULL;
    own->ended = NULL;
    if (wish->global && (wish->n_global != p->n_voice_tokens || wish->n_semantic < 0))
        return mill_fail(err, MILL_E_INPUT, "a voice has %d global tokens, not %d",
                         p->n_voice_tokens, wish->n_global);
    speaker->global = mill_alloc_array((size_t)p->n_voice_tokens, sizeof *speaker->global);
    if (speaker->global && wish->global) {
        memcpy(speaker->global, wish->global, (size_t)wish->n_global * sizeof *wish->global);
        own->global = speaker->global;
    }
    if (wish->semantic)
        own->semantic = copy(wish->semantic, (size_t)wish->n_semantic, sizeof *wish->semantic);
    if (wish->transcript)
        own->transcript = copy(wish->transcript, wish->transcript_bytes, 1);
    return speaker->global && !own->semantic == !wish->semantic &&
                   !own->transcript == !wish->transcript
               ? MILL_OK
               : mill_fail(err, MILL_E_MEMORY, "no memory for a voice");
}

static mill_status add_named(struct mill_passage *p, const char *name, struct mill_error *err) {
    const struct mill_passage_options *o = &p->options;
    struct mill_engine_request wish = o->wish;
    wish.global = wish.semantic = NULL;
    wish.transcript = NULL;
    wish.n_global = wish.n_semantic = 0;
    wish.transcript_bytes = 0;
    if (!o->find_voice)
        return mill_fail(err, MILL_E_INPUT, "voice '%.64s': no voices are named here", name);
    MILL_TRY(o->find_voice(o->context, name, &wish, err));
    return add_speaker(p, &wish, err);
}

static mill_status add_speakers(struct mill_passage *p, const struct mill_script *script,
                                struct mill_error *err) {
    p->speakers = mill_alloc_array((size_t)script->n_voices + 1, sizeof *p->speakers);
    if (!p->speakers)
        return mill_fail(err, MILL_E_MEMORY, "no memory for a passage");
    MILL_TRY(add_speaker(p, &p->options.wish, err));
    for (int32_t i = 0; i < script->n_voices; i++)
        MILL_TRY(add_named(p, mill_script_voice(script, i), err));
    return MILL_OK;
}

/* ------------------------------------------------------------------ pieces */

/* The longest segment, as estimated, whose prompt and frames an utterance has room for: a byte of
 * text is a token at most, there are some 4 in a syllable, and speech may take half as long again
 * as estimated. The published model's room for 32,768 tokens is never the limit. */
static double longest_s(const struct mill_engine_info *info, const struct mill_engine_request *wish,
                        double syllables_per_s) {
    double frames_per_s = (double)info->sample_rate / info->samples_per_frame;
    double room = info->max_tokens - PROMPT_TOKENS - info->n_voice_tokens -
                  (double)wish->n_semantic - (double)wish->transcript_bytes;
    return fmax(1, room / (1.5 * frames_per_s + 4 * syllables_per_s));
}

/* How much the model says well at once in a voice. By the labels of one that it creates it reads
 * faster or slower: fast ones say more in the seconds that a segment may take. */
static struct mill_segment_limits limits_of(const struct mill_passage *p,
                                            const struct mill_engine_request *wish) {
    static const double pace[] = {0.6, 0.8, 1, 1.2, 1.4};
    struct mill_segment_limits limits = p->options.limits;
    if (!wish->global && wish->speed >= 0 && wish->speed < 5)
        limits.syllables_per_s *= pace[wish->speed];
    if (!wish->global && wish->speed_value >= 0)
        limits.syllables_per_s = fmax(1.5, wish->speed_value);
    double most_s = longest_s(mill_engine_get_info(p->engine), wish, limits.syllables_per_s);
    limits.max_s = fmin(limits.max_s, most_s);
    return limits;
}

static double usual_pause_s(const struct mill_passage_options *o, enum mill_segment_end end,
                            double speed) {
    double s = end == MILL_SEGMENT_WORD       ? WORD_PAUSE_S
               : end == MILL_SEGMENT_CLAUSE   ? 1e-3 * o->clause_ms
               : end == MILL_SEGMENT_SENTENCE ? 1e-3 * o->sentence_ms
                                              : 1e-3 * o->paragraph_ms;
    return s / speed;
}

/* The pieces of one span, behind those that `pieces` holds. */
static mill_status add_pieces(struct mill_passage *p, const struct mill_script_span *span,
                              const char *language, struct mill_buffer *pieces,
                              struct mill_error *err) {
    if (span->bytes == 0)
        return MILL_OK;
    const struct mill_segment_limits limits = limits_of(p, &p->speakers[1 + span->voice].wish);
    struct mill_segments segments;
    MILL_TRY(
        mill_segment_text(&segments, p->text.data + span->at, span->bytes, language, &limits, err));
    mill_status status = MILL_OK;
    for (size_t i = 0; i < segments.n && status == MILL_OK; i++) {
        const struct mill_segment *segment = &segments.items[i];
        double speed = fmin(fmax(p->options.speed * span->speed, MILL_SPEED_MIN), MILL_SPEED_MAX);
        enum mill_segment_end end = i + 1 < segments.n ? segment->end : span->end;
        const struct mill_passage_piece piece = {.at = span->at + segment->at,
                                                 .bytes = segment->bytes,
                                                 .speaker = 1 + span->voice,
                                                 .speed = speed,
                                                 .pitch = span->pitch,
                                                 .end = end,
                                                 .pause_s = usual_pause_s(&p->options, end, speed)};
        status = mill_buffer_append(pieces, &piece, sizeof piece, err);
        if (status == MILL_E_INPUT)
            mill_fail(err, status, "the text has more than %d segments: divide it", MAX_PIECES);
    }
    mill_segments_deinit(&segments);
    return status;
}

/* A rest that was asked for takes the place of the usual one, or adds to one that was. */
static void add_pause(double *pause_s, bool *asked, int32_t pause_ms) {
    *pause_s = (*asked ? *pause_s : 0) + 1e-3 * pause_ms;
    *asked = true;
}

static mill_status add_spans(struct mill_passage *p, const struct mill_script *script,
                             struct mill_buffer *pieces, struct mill_error *err) {
    size_t n;
    const struct mill_script_span *spans = mill_script_spans(script, &n);
    const char *language = p->options.language   ? p->options.language
                           : script->language[0] ? script->language
                                                 : NULL;
    bool asked = false; /* for the rest behind the last piece so far, or before the first */
    for (size_t i = 0; i < n; i++) {
        size_t before = pieces->size;
        MILL_TRY(add_pieces(p, &spans[i], language, pieces, err));
        asked &= pieces->size == before;
        struct mill_passage_piece *all = (struct mill_passage_piece *)(void *)pieces->data;
        size_t n_pieces = pieces->size / sizeof *all;
        double *pause_s = n_pieces > 0 ? &all[n_pieces - 1].pause_s : &p->first_pause_s;
        if (spans[i].pause_ms >= 0)
            add_pause(pause_s, &asked, spans[i].pause_ms);
        else if (pieces->size == before && pieces->size > 0 && !asked)
            *pause_s = fmax(*pause_s, usual_pause_s(&p->options, spans[i].end, p->options.speed));
    }
    if (pieces->size == 0)
        return mill_fail(err, MILL_E_INPUT, "the text has nothing that can be spoken");
    p->pieces = (struct mill_passage_piece *)(void *)pieces->data;
    p->n_pieces = (int32_t)(pieces->size / sizeof *p->pieces);
    p->last_pause_s = asked ? p->pieces[p->n_pieces - 1].pause_s : -1;
    return MILL_OK;
}

static mill_status check_rests(const struct mill_passage *p, struct mill_error *err) {
    struct mill_passage_options usual;
    double asked_s = fmax(0, p->first_pause_s) + fmax(0, p->last_pause_s), usual_s = 0;
    mill_passage_options_init(&usual);
    for (int32_t i = 0; i < p->n_pieces - 1; i++) {
        asked_s += p->pieces[i].pause_s;
        usual_s += usual_pause_s(&usual, p->pieces[i].end, p->pieces[i].speed);
    }
    return asked_s <= usual_s + p->options.max_rests_s
               ? MILL_OK
               : mill_fail(
                     err, MILL_E_INPUT,
                     "the text asks for %.1f s of rests: at most %g s more than the usual %.1f s "
                     "are given",
                     asked_s, p->options.max_rests_s, usual_s);
}

/* Whose voice is to be created, is created by its first piece. */
static void find_inventors(struct mill_passage *p) {
    for (int32_t i = p->n_pieces - 1; i >= 0; i--) {
        struct mill_passage_speaker *speaker = &p->speakers[p->pieces[i].speaker];
        if (!speaker->wish.global)
            speaker->inventor = i;
    }
}

static mill_status check_spoken(const struct mill_passage *p, struct mill_error *err) {
    size_t most = p->options.max_spoken_bytes;
    return p->text.size <= most
               ? MILL_OK
               : mill_fail(err, MILL_E_INPUT,
                           "with its dictionary the text has %zu bytes: at most %zu are spoken",
                           p->text.size, most);
}

mill_status mill_passage_plan(struct mill_passage *p, struct mill_error *err) {
    struct mill_script script;
    struct mill_buffer pieces;
    p->first_pause_s = p->last_pause_s = -1;
    const struct mill_passage_options *o = &p->options;
    MILL_TRY(o->markup
                 ? mill_script_from_markup(&script, o->text, o->text_bytes, o->dictionary, err)
                 : mill_script_from_text(&script, o->text, o->text_bytes, o->dictionary, err));
    p->text = script.text; /* now the passage's */
    script.text.data = NULL;
    mill_buffer_init(&pieces, MAX_PIECES * sizeof(struct mill_passage_piece));
    mill_status status = check_spoken(p, err);
    if (status == MILL_OK)
        status = add_speakers(p, &script, err);
    if (status == MILL_OK)
        status = add_spans(p, &script, &pieces, err);
    if (status < 0)
        mill_buffer_deinit(&pieces); /* else they are the passage's */
    mill_script_deinit(&script);
    MILL_TRY(status);
    find_inventors(p);
    return check_rests(p, err);
}
