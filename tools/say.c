/* say.c - `sparkmill say`: one text into one sound file or pipe.
 *
 * In this order, so that the cheap refusals come first: options, text, voice, prompt, then the
 * weights, then the output, then speech. */
#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/voice/voice_prompt.h"
#include "tools/command.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/say_options.h"
#include "tools/user_folders.h"
#include "tools/voice_open.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* A window is computed with its context on both sides again, so large ones are cheaper; a listener
 * at a pipe hears the first half second as soon as it can be. */
enum { MAX_TEXT_BYTES = 1 << 20, MAX_WINDOW = 128, FIRST_WINDOW = 25 };

struct saying {
    struct mill_say_options options;
    struct mill_buffer text;
    struct mill_model model;
    struct mill_prompt prompt;
    struct mill_voice_model voice_model;
    struct mill_voice voice; /* given, or created */
    char *voices;            /* owned: the registry's folder */
    char voice_id[MILL_VOICE_ID_BYTES], consent_id[MILL_VOICE_ID_BYTES]; /* of a given one */
    struct mill_audio_writer *writer;
    struct mill_progress progress;
    struct mill_speak_result result;
    const atomic_bool *interrupted;
    double frames_per_second, start_s, opened_s;
};

/* ------------------------------------------------------------------ what to say, in which voice */

static mill_status read_text(struct saying *s, struct mill_error *err) {
    const struct mill_say_options *o = &s->options;
    if (o->text && strcmp(o->text, "-") != 0)
        MILL_TRY(mill_buffer_append(&s->text, o->text, strlen(o->text), err));
    else
        MILL_TRY(mill_file_read(o->text ? o->text : o->file, &s->text, err));
    while (s->text.size > 0 && strchr(" \t\r\n", s->text.data[s->text.size - 1]))
        s->text.size--; /* a file's last line break is not part of its text */
    return s->text.size > 0 ? MILL_OK : mill_fail(err, MILL_E_INPUT, "the text is empty");
}

/* What the command line leaves open, the voice says, and else the published settings do. */
static void settle_sampling(struct mill_say_options *o, const struct mill_voice_sampling *voice) {
    static const struct mill_voice_sampling published = {
        .temperature = 0.8, .top_p = 0.95, .top_k = 50, .seed = 0};
    const struct mill_voice_sampling *from = voice->given ? voice : &published;
    o->temperature = o->temperature < 0 ? from->temperature : o->temperature;
    o->top_p = o->top_p < 0 ? from->top_p : o->top_p;
    o->top_k = o->top_k < 0 ? from->top_k : o->top_k;
    o->seed = o->seed < 0 ? from->seed : o->seed;
}

static mill_status open_voice(struct saying *s, struct mill_error *err) {
    MILL_TRY(mill_voice_model_of(&s->voice_model, &s->model, err));
    if (s->options.voice) {
        s->voices = mill_voices_folder(s->options.voices);
        const struct mill_registry registry = {.folder = s->voices};
        MILL_TRY(mill_voice_open(&s->voice, s->options.voice, &registry, &s->voice_model, err));
        MILL_TRY(mill_voice_id(s->voice_id, &s->voice, err));
        MILL_TRY(mill_voice_consent_id(s->consent_id, &s->voice, err));
    }
    settle_sampling(&s->options, &s->voice.sampling);
    return MILL_OK;
}

static mill_status make_prompt(struct saying *s, struct mill_error *err) {
    const struct mill_say_options *o = &s->options;
    if (o->voice)
        return mill_voice_prompt(&s->prompt, s->model.encoder, s->model.control, &s->voice,
                                 s->text.data, s->text.size, err);
    bool exact = o->pitch_hz >= 0;
    const struct mill_create_prompt create = {
        .text = s->text.data,
        .text_bytes = s->text.size,
        .gender = o->gender,
        .pitch = o->pitch,
        .speed = o->speed,
        .pitch_value = exact ? mill_pitch_value_from_hz(o->pitch_hz) : -1,
        .speed_value = exact ? (int32_t)o->speed_syllables : -1};
    return mill_prompt_create(&s->prompt, s->model.encoder, s->model.control, &create, err);
}

static struct mill_utterance_options make_utterance(const struct saying *s) {
    const struct mill_say_options *o = &s->options;
    return (struct mill_utterance_options){
        .prompt = s->prompt.ids,
        .n_prompt = s->prompt.n_ids,
        .start = o->voice           ? MILL_GRAMMAR_SPEAK
                 : o->pitch_hz >= 0 ? MILL_GRAMMAR_CREATE_VALUES
                                    : MILL_GRAMMAR_CREATE,
        .unrestricted = o->unrestricted,
        .global = s->voice.global,
        .temperature = (float)o->temperature,
        .top_p = (float)o->top_p,
        .top_k = (int32_t)o->top_k,
        .seed = (uint64_t)o->seed,
        .max_frames = (int32_t)fmax(1, rint(o->max_seconds * s->frames_per_second)),
        .first_window = o->to_pipe ? FIRST_WINDOW : 0};
}

/* ------------------------------------------------------------------ opening */

static void show_weights(void *context, size_t done_bytes, size_t all_bytes) {
    struct saying *s = context;
    s->progress.total = (double)all_bytes;
    mill_progress_update(&s->progress, (double)done_bytes);
}

static mill_status open_text(struct saying *s, struct mill_error *err) {
    const struct mill_say_options *o = &s->options;
    const struct mill_model_options model = {.folder = o->model,
                                             .backend = o->backend,
                                             .precision = o->precision,
                                             .n_threads = (int32_t)o->n_threads,
                                             .full_head = o->unrestricted,
                                             .use_cache = !o->no_cache,
                                             .progress = show_weights,
                                             .progress_context = s};
    MILL_TRY(mill_model_open_text(&s->model, &model, err));
    s->frames_per_second = (double)s->model.shape.bicodec.sample_rate / s->model.shape.bicodec.hop;
    MILL_TRY(open_voice(s, err));
    return make_prompt(s, err);
}

static mill_status open_speech(struct saying *s, const struct mill_utterance_options *utterance,
                               struct mill_error *err) {
    mill_progress_start(&s->progress, "preparing weights", "bytes", 0);
    mill_status status = mill_model_open_speech(
        &s->model, mill_utterance_max_tokens(utterance, &s->model.tokens), MAX_WINDOW, err);
    mill_progress_end(&s->progress);
    s->opened_s = mill_clock_seconds();
    return status;
}

static mill_status open_output(struct saying *s, struct mill_error *err) {
    const struct mill_say_options *o = &s->options;
    int32_t rate = s->model.shape.bicodec.sample_rate;
    const char *comment = o->no_disclosure ? NULL : MILL_DISCLOSURE;
    return o->to_pipe
               ? mill_audio_writer_open_stream(&s->writer, STDOUT_FILENO, o->format, rate, comment,
                                               err)
               : mill_audio_writer_open(&s->writer, o->output, o->format, rate, comment, err);
}

/* ------------------------------------------------------------------ speaking */

static mill_status deliver(void *context, const float *wave, size_t n_samples,
                           struct mill_error *err) {
    struct saying *s = context;
    return mill_audio_writer_write(s->writer, wave, n_samples, err);
}

static void show_speech(void *context, int32_t n_semantic) {
    struct saying *s = context;
    mill_progress_update(&s->progress, n_semantic / s->frames_per_second);
}

static mill_status speak(struct saying *s, const struct mill_utterance_options *utterance,
                         struct mill_error *err) {
    int32_t n_voice = s->model.tokens.n_voice_tokens;
    int32_t *voice = mill_alloc_array((size_t)n_voice, sizeof *voice);
    if (!voice)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    const struct mill_speak_listener listener = {
        .context = s, .deliver = deliver, .progress = show_speech, .cancel = s->interrupted};
    mill_progress_start(&s->progress, "speaking", "s", 0);
    mill_status status = mill_speak(&s->model.parts, utterance, &listener, &s->result, voice, err);
    mill_progress_end(&s->progress);
    free(s->voice.global);
    s->voice.global = voice;
    s->voice.n_global = n_voice;
    return status;
}

/* A voice that was created gets the papers it has not; one that was given keeps its own. */
static mill_status save_voice(struct saying *s, struct mill_error *err) {
    char name[MILL_VOICE_NAME_BYTES], now[MILL_VOICE_TIME_BYTES];
    if (!s->options.save_voice)
        return MILL_OK;
    mill_voice_name_from_path(name, s->options.save_voice);
    struct mill_voice saved = s->voice;
    saved.name = name;
    if (!s->options.voice) {
        mill_voice_now(now);
        saved.model = s->voice_model.id;
        saved.provenance.created_by = "sparkmill " MILL_VERSION ", a created voice";
        saved.provenance.date = now;
    }
    return mill_voice_write(&saved, s->options.save_voice, err);
}

static void report(const struct saying *s) {
    const struct mill_speak_result *r = &s->result;
    double audio_s = r->n_frames / s->frames_per_second, wall_s = mill_clock_seconds() - s->start_s;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    if (r->end == MILL_UTTERANCE_LIMIT)
        fprintf(stderr, "stopped at the limit of %g seconds\n", s->options.max_seconds);
    fprintf(stderr,
            "audio %.2f s, wall %.2f s (opening %.2f, prompt %.2f, tokens %.2f, sound %.2f; first "
            "sound after %.2f), real-time factor %.2f, %.1f tokens/s, peak memory %.0f MB\n",
            audio_s, wall_s, s->opened_s - s->start_s, r->prefill_s, r->decode_s, r->vocoder_s,
            s->opened_s - s->start_s + r->first_audio_s, wall_s / audio_s,
            r->decode_s > 0 ? (r->n_draws - 1) / r->decode_s : 0,
            (double)usage.ru_maxrss * 1024 / 1e6);
}

static mill_status run(struct saying *s, struct mill_error *err) {
    MILL_TRY(read_text(s, err));
    s->interrupted = mill_interrupt_listen();
    MILL_TRY(open_text(s, err));
    const struct mill_utterance_options utterance = make_utterance(s);
    MILL_TRY(open_speech(s, &utterance, err));
    MILL_TRY(open_output(s, err));
    if (s->options.voice)
        fprintf(stderr, "voice=%s consent=%s\n", s->voice_id, s->consent_id);
    if (s->model.synthetic)
        fputs("synthetic weights: noise-like sound, not speech\n", stderr);
    MILL_TRY(speak(s, &utterance, err));
    MILL_TRY(mill_audio_writer_finish(s->writer, err));
    return save_voice(s, err);
}

int mill_command_say(int argc, char **argv) {
    struct saying s = {.start_s = mill_clock_seconds()};
    int result = mill_say_options_read(&s.options, argc, argv);
    if (result != MILL_EXIT_OK)
        return result;
    if (s.options.help) {
        mill_say_options_help();
        return MILL_EXIT_OK;
    }
    mill_buffer_init(&s.text, MAX_TEXT_BYTES);
    struct mill_error err = {""};
    mill_status status = run(&s, &err);
    if (status == MILL_OK)
        report(&s);
    else if (status != MILL_E_CANCELLED ||
             *s.interrupted) /* else the pipe's reader has had enough */
        result = mill_command_fail("say", status, &err);
    mill_audio_writer_close(s.writer);
    mill_prompt_deinit(&s.prompt);
    mill_voice_deinit(&s.voice);
    free(s.voices);
    mill_model_close(&s.model);
    mill_buffer_deinit(&s.text);
    return result;
}
