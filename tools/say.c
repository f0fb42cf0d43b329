/* say.c - `sparkmill say`: one text into one sound file or pipe.
 *
 * In this order, so that the cheap refusals come first: options, text, voice, prompts, output, then
 * the weights, then speech. */
#include "runtime/base/clock.h"
#include "runtime/base/file.h"
#include "runtime/base/memory.h"
#include "runtime/model/shape.h"
#include "runtime/passage/passage.h"
#include "runtime/text/prompt.h"
#include "runtime/voice/voice_use.h"
#include "tools/cache_folder.h"
#include "tools/command.h"
#include "tools/interrupt.h"
#include "tools/model_stamp.h"
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

/* Segments of a text into a file are spoken four at a time; into a pipe one by one, since the first
 * of them is waited for. */
enum { MAX_TEXT_BYTES = 1 << 24, MAX_STAMP_BYTES = 4096, AT_ONCE = 4, READ_SAMPLES = 4096 };
#define SHOW_S 0.1 /* how often the bar moves, and a signal is looked at */

struct saying {
    struct mill_say_options options;
    struct mill_buffer text;
    struct mill_engine *engine;
    struct mill_passage *passage;
    struct mill_voice_model voice_model;
    struct mill_voice voice; /* given, or created */
    struct mill_voice named; /* the last that markup named */
    struct mill_dictionary *dictionary;
    char *voices;             /* owned: the registry's folder */
    char *kept;               /* owned: the folder beside the output in which segments are kept */
    struct mill_buffer stamp; /* of the model */
    char voice_id[MILL_VOICE_ID_BYTES], consent_id[MILL_VOICE_ID_BYTES]; /* of a given one */
    struct mill_audio_writer *writer;
    struct mill_progress progress;
    struct mill_request_result result;
    const atomic_bool *interrupted;
    double frames_per_second, start_s, submitted_s, opened_s;
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
    return s->text.size > 0 ? MILL_OK
           : o->file        ? mill_fail(err, MILL_E_INPUT, "'%s': the text is empty", o->file)
                            : mill_fail(err, MILL_E_INPUT, "the text is empty");
}

/* What is read is not what is written, nor are two things written to one place: one would be lost.
 */
static mill_status check_outputs(const struct mill_say_options *o, struct mill_error *err) {
    const char *const read[] = {o->file, o->dictionary, o->voice};
    for (size_t i = 0; i < sizeof read / sizeof *read; i++)
        if (read[i] && mill_file_same(read[i], o->output))
            return mill_fail(err, MILL_E_INPUT, "-o '%s' would replace what is read", o->output);
    if (!o->save_voice)
        return MILL_OK;
    for (size_t i = 0; i < 2; i++)
        if (read[i] && mill_file_same(read[i], o->save_voice))
            return mill_fail(err, MILL_E_INPUT, "--save-voice '%s' would replace what is read",
                             o->save_voice);
    MILL_TRY(mill_voice_check_output(o->save_voice, err));
    if (mill_file_same(o->save_voice, o->output))
        return mill_fail(err, MILL_E_INPUT, "-o and --save-voice are both '%s'", o->save_voice);
    return MILL_OK;
}

static mill_status find_voice(void *context, const char *name, struct mill_engine_request *wish,
                              struct mill_error *err) {
    struct saying *s = context;
    const struct mill_registry registry = {.folder = s->voices};
    mill_voice_deinit(&s->named);
    MILL_TRY(mill_voice_open(&s->named, name, &registry, &s->voice_model, err));
    mill_voice_use(&s->named, wish);
    return MILL_OK;
}

static mill_status open_voice(struct saying *s, struct mill_error *err) {
    const struct mill_say_options *o = &s->options;
    const struct mill_engine_info *info = mill_engine_get_info(s->engine);
    s->frames_per_second = (double)info->sample_rate / info->samples_per_frame;
    struct mill_shape shape;
    MILL_TRY(mill_shape_read(&shape, o->model, err));
    MILL_TRY(mill_voice_model_of(&s->voice_model, o->model, &shape, info->synthetic, err));
    s->voices = mill_voices_folder(o->voices);
    if (o->voice) {
        const struct mill_registry registry = {.folder = s->voices};
        MILL_TRY(mill_voice_open(&s->voice, o->voice, &registry, &s->voice_model, err));
        MILL_TRY(mill_voice_id(s->voice_id, &s->voice, err));
        MILL_TRY(mill_voice_consent_id(s->consent_id, &s->voice, err));
    }
    return MILL_OK;
}

/* Nothing is drawn again: a file is to hold what a pipe would have heard. */
static struct mill_engine_request make_wish(struct saying *s) {
    const struct mill_say_options *o = &s->options;
    struct mill_engine_request wish;
    mill_engine_request_init(&wish);
    mill_voice_use(&s->voice, &wish);
    const struct mill_voice_sampling chosen = {.temperature = o->temperature,
                                               .top_p = o->top_p,
                                               .top_k = (int32_t)o->top_k,
                                               .seed = o->seed};
    mill_voice_settle_sampling(&s->voice, &chosen, &wish);
    wish.gender = o->gender;
    wish.pitch = o->pitch;
    wish.speed = o->speed;
    if (o->pitch_hz >= 0 && !s->voice.global) {
        wish.pitch_value = mill_pitch_value_from_hz(o->pitch_hz);
        wish.speed_value = (int32_t)o->speed_syllables;
    }
    wish.max_frames = (int32_t)fmax(1, rint(o->max_seconds * s->frames_per_second));
    wish.max_redraws = 0;
    wish.unrestricted = o->unrestricted;
    wish.stream = o->to_pipe;
    return wish;
}

/* ------------------------------------------------------------------ opening */

static mill_status open_engine(struct saying *s, struct mill_error *err) {
    const struct mill_say_options *o = &s->options;
    char *cache = o->no_cache ? NULL : mill_cache_folder();
    const struct mill_engine_options options = {.model = o->model,
                                                .devices = o->devices,
                                                .precision = o->precision,
                                                .cache = cache,
                                                .full_head = o->unrestricted,
                                                .max_running = o->to_pipe ? 1 : AT_ONCE};
    mill_status status = mill_engine_open(&s->engine, &options, err);
    free(cache);
    return status;
}

/* The request is checked. */
static mill_status submit(struct saying *s, struct mill_error *err) {
    struct mill_passage_options options;
    s->stamp.size = 0;
    MILL_TRY(mill_model_stamp(&s->stamp, s->engine, s->options.model, err));
    mill_passage_options_init(&options);
    options.text = s->text.data;
    options.text_bytes = s->text.size;
    options.wish = make_wish(s);
    options.markup = s->options.ssml;
    options.dictionary = s->dictionary;
    options.find_voice = find_voice;
    options.context = s;
    options.speed = s->options.speed_factor;
    options.n_ahead = s->options.to_pipe ? 1 : AT_ONCE - 1;
    options.kept = s->kept;
    options.kept_model = s->stamp.data;
    return mill_passage_open(&s->passage, s->engine, &options, NULL, err);
}

/* Where the GPU that was expected could not be used, segments are others. */
static mill_status start(struct saying *s, struct mill_error *err) {
    const char *expected = mill_engine_get_info(s->engine)->precision;
    const struct mill_engine_progress progress = {mill_progress_update_bytes, &s->progress};
    mill_progress_start(&s->progress, "preparing weights", "bytes", 0);
    mill_status status = mill_engine_start(s->engine, &progress, err);
    mill_progress_end(&s->progress);
    s->opened_s = mill_clock_seconds();
    MILL_TRY(status);
    mill_command_note_gpu("say", mill_engine_get_info(s->engine)->no_gpu);
    if (strcmp(expected, mill_engine_get_info(s->engine)->precision) == 0)
        return MILL_OK;
    mill_passage_close(s->passage);
    s->passage = NULL;
    return submit(s, err);
}

static mill_status open_output(struct saying *s, struct mill_error *err) {
    const struct mill_say_options *o = &s->options;
    if (!o->to_pipe && asprintf(&s->kept, "%s.part", o->output) < 0)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    if (!o->to_pipe)
        mill_output_sweep(o->output);
    const struct mill_audio_encoding encoding = {
        .format = o->format,
        .sample_rate = mill_engine_get_info(s->engine)->sample_rate,
        .comment = o->no_disclosure ? NULL : MILL_DISCLOSURE};
    return o->to_pipe ? mill_audio_writer_open_stream(&s->writer, STDOUT_FILENO, &encoding, err)
                      : mill_audio_writer_open(&s->writer, o->output, &encoding, err);
}

/* ------------------------------------------------------------------ speaking */

static mill_status speak(struct saying *s, struct mill_error *err) {
    float samples[READ_SAMPLES];
    mill_status status = MILL_OK;
    mill_progress_start(&s->progress, "speaking", "audio", 0);
    while (status == MILL_OK || status == MILL_AGAIN) {
        struct mill_passage_progress progress;
        size_t n;
        if (*s->interrupted)
            mill_passage_cancel(s->passage);
        status = mill_passage_read(s->passage, samples, READ_SAMPLES, SHOW_S, &n, err);
        if (status == MILL_OK)
            status = mill_audio_writer_write(s->writer, samples, n, err);
        mill_passage_get_progress(s->passage, &progress);
        double audio_s = progress.n_frames / s->frames_per_second;
        mill_progress_skip(&s->progress, progress.n_found_frames / s->frames_per_second);
        if (progress.n_done > 0)
            s->progress.total = audio_s * progress.n_segments / progress.n_done;
        mill_progress_update(&s->progress, audio_s);
    }
    mill_progress_end(&s->progress);
    mill_passage_get_result(s->passage, &s->result);
    return status;
}

/* A voice that was created gets the papers it has not; one that was given keeps its own. */
static mill_status save_voice(struct saying *s, struct mill_error *err) {
    char name[MILL_VOICE_NAME_BYTES], now[MILL_VOICE_TIME_BYTES];
    if (!s->options.save_voice)
        return MILL_OK;
    if (!s->options.voice) {
        s->voice.n_global = mill_engine_get_info(s->engine)->n_voice_tokens;
        s->voice.global = mill_alloc_array((size_t)s->voice.n_global, sizeof *s->voice.global);
        if (!s->voice.global)
            return mill_fail(err, MILL_E_MEMORY, "no memory");
        mill_passage_get_voice(s->passage, s->voice.global);
    }
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

/* What an earlier run left, and what this one leaves. */
static void note_found(const struct saying *s) {
    struct mill_passage_progress progress;
    mill_passage_get_progress(s->passage, &progress);
    if (progress.n_found > 0)
        fprintf(stderr, "resumed: %d of %d segments were there\n", progress.n_found,
                progress.n_segments);
}

static void note_kept(const struct saying *s) {
    struct mill_passage_progress progress = {0};
    if (s->passage)
        mill_passage_get_progress(s->passage, &progress);
    if (progress.n_kept > 0)
        fprintf(stderr, "%d of %d segments are kept in '%s': the same command goes on from there\n",
                progress.n_kept, progress.n_segments, s->kept);
}

static void report(const struct saying *s) {
    const struct mill_request_result *r = &s->result;
    double audio_s = (double)r->n_samples / mill_engine_get_info(s->engine)->sample_rate;
    double now_s = mill_clock_seconds(), wall_s = now_s - s->start_s;
    struct mill_passage_progress progress;
    struct rusage usage;
    mill_passage_get_progress(s->passage, &progress);
    double made_s = audio_s * (progress.n_frames - progress.n_found_frames) / progress.n_frames;
    getrusage(RUSAGE_SELF, &usage);
    if (progress.n_limited > 0)
        fprintf(stderr,
                "%d of %d segments stopped before the end: at --max-seconds %g, or where the model "
                "has no more room\n",
                progress.n_limited, progress.n_segments, s->options.max_seconds);
    fprintf(stderr,
            "audio %.2f s in %d segment%s, wall %.2f s (opening %.2f, first sound after %.2f), "
            "real-time factor %.2f, %.1f tokens/s, peak memory %.0f MB\n",
            audio_s, progress.n_segments, progress.n_segments == 1 ? "" : "s", wall_s,
            s->opened_s - s->start_s, s->submitted_s - s->start_s + r->first_audio_s,
            made_s > 0 ? wall_s / made_s : 0, r->n_draws / (now_s - s->opened_s),
            (double)usage.ru_maxrss * 1024 / 1e6);
}

static mill_status run(struct saying *s, struct mill_error *err) {
    MILL_TRY(check_outputs(&s->options, err));
    MILL_TRY(read_text(s, err));
    if (s->options.dictionary)
        MILL_TRY(mill_dictionary_open(&s->dictionary, s->options.dictionary, err));
    s->interrupted = mill_interrupt_listen();
    MILL_TRY(open_engine(s, err));
    s->submitted_s = mill_clock_seconds();
    MILL_TRY(open_output(s, err));
    MILL_TRY(open_voice(s, err));
    MILL_TRY(submit(s, err));
    MILL_TRY(start(s, err));
    if (s->options.voice)
        fprintf(stderr, "voice=%s consent=%s\n", s->voice_id, s->consent_id);
    if (mill_engine_get_info(s->engine)->synthetic)
        fputs("synthetic weights: noise-like sound, not speech\n", stderr);
    note_found(s);
    MILL_TRY(speak(s, err));
    MILL_TRY(mill_audio_writer_finish(s->writer, err));
    MILL_TRY(save_voice(s, err));
    mill_passage_clear_kept(s->passage);
    return MILL_OK;
}

int mill_command_say(int argc, char **argv) {
    struct saying s = {.start_s = mill_clock_seconds()};
    int result = mill_say_options_read(&s.options, argc, argv);
    if (result != MILL_GO_ON)
        return result;
    mill_buffer_init(&s.text, MAX_TEXT_BYTES);
    mill_buffer_init(&s.stamp, MAX_STAMP_BYTES);
    struct mill_error err = {""};
    mill_status status = run(&s, &err);
    result = MILL_EXIT_OK;
    if (status == MILL_OK)
        report(&s);
    else if (status != MILL_E_CANCELLED ||
             *s.interrupted) /* else the pipe's reader has had enough */
        result = mill_command_fail("say", status, &err);
    if (status < 0)
        note_kept(&s);
    mill_passage_close(s.passage);
    mill_engine_close(s.engine);
    mill_audio_writer_close(s.writer);
    mill_voice_deinit(&s.voice);
    mill_voice_deinit(&s.named);
    mill_dictionary_close(s.dictionary);
    free(s.voices);
    free(s.kept);
    mill_buffer_deinit(&s.stamp);
    mill_buffer_deinit(&s.text);
    return result;
}
