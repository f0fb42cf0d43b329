/* batch.c - `sparkmill batch`: many texts into a folder of sound files, resumable.
 *
 * Everything is read and checked first; then passages are kept in flight on the engine
 * (jobs/flights.h), enough to fill every device. */
#include "runtime/base/clock.h"
#include "runtime/engine/model.h"
#include "runtime/jobs/flights.h"
#include "tools/batch_results.h"
#include "tools/cache_folder.h"
#include "tools/command.h"
#include "tools/demo_voice.h"
#include "tools/interrupt.h"
#include "tools/model_stamp.h"
#include "tools/progress.h"
#include "tools/user_folders.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Passages for each place of a device, so that none is idle while files are written. */
enum { FLIGHTS_EACH = 2, MAX_COMMON = 4096 };
#define SHOW_S 0.1 /* how often the bar moves, and a signal is looked at */

struct options {
    const char *input, *output, *model, *voices, *devices, *precision, *format_name;
    long long max_running;
    bool no_cache;
    enum mill_audio_format format;
    char demo_voice[MILL_DEMO_VOICE_BYTES]; /* where no model was given */
};

struct batch {
    struct options options;
    const atomic_bool *interrupted;
    char *voices; /* owned: the registry's folder */
    struct mill_registry registry;
    struct mill_voice_model voice_model;
    struct mill_engine *engine;
    struct mill_batch_sizes sizes;
    struct mill_batch_input input;
    struct mill_batch_results *results;
    struct mill_progress progress;
    struct mill_flights *flights;
    size_t next, n_done, n_failed, n_skipped;
    size_t todo_bytes, done_bytes; /* of text, for the time that is left */
    double audio_s, start_s;
    struct mill_buffer common;
};

/* ------------------------------------------------------------------ options */

static const char help[] =
    "Usage: sparkmill batch IN.jsonl|- -o DIR [OPTION]...\n"
    "Speak many texts into a folder; run again, it goes on where it was.\n\n"
    "Each line of the input is an object: id (names the file), text; voice (a file or\n"
    "a kept name) or gender, pitch, speed, pitch_hz, speed_syllables; ssml (true:\n"
    "markup), dictionary (lines `written = spoken`); seed, temperature, top_k, top_p,\n"
    "max_seconds (of a segment), redraws, priority. DIR/results.jsonl tells of each.\n\n"
    "  --model DIR          checkpoint folder (sparkmill pull), or the demo voice\n"
    "  -o, --output DIR     folder for sound files and results\n"
    "  --format NAME        wav wav24 wavfloat pcm flac mp3 opus aac m4a; else wav\n"
    "  --voices DIR         the folder of kept voices\n"
    "  --devices LIST       as for sparkmill say\n"
    "  --max-running N      texts at once on a device; 8\n"
    "  --precision NAME     auto fp32 bf16 int8\n"
    "  --no-cache           do not keep converted weights in the cache folder\n\n"
    "Exit status: 0 all is done, 1 something failed, 2 wrong use or bad input.";

#define ROW(...) MILL_OPTION(options, __VA_ARGS__)
static const struct mill_option rows[] = {
    ROW("model", 0, TEXT, model, 0, 0),         ROW("output", 'o', TEXT, output, 0, 0),
    ROW("voices", 0, TEXT, voices, 0, 0),       ROW("format", 0, TEXT, format_name, 0, 0),
    ROW("devices", 0, TEXT, devices, 0, 0),     ROW("max-running", 0, WHOLE, max_running, 1, 1024),
    ROW("precision", 0, TEXT, precision, 0, 0), ROW("no-cache", 0, FLAG, no_cache, 0, 0),
};
#undef ROW

static int read_options(struct options *o, int argc, char **argv) {
    const struct mill_command_line line = {"batch", help, rows, sizeof rows / sizeof *rows};
    *o = (struct options){.max_running = 8, .format = MILL_AUDIO_WAV16};
    int first, result = mill_options_read(&line, argc, argv, o, &first);
    if (result != MILL_GO_ON)
        return result;
    if (argc - first != 1)
        return mill_command_usage("batch", "one input file is wanted, or - for standard input");
    o->input = argv[first];
    if (!o->output)
        return mill_command_usage("batch", "where to? -o DIR");
    if (o->format_name && !mill_audio_format_find(o->format_name, &o->format))
        return mill_command_usage("batch", "--format '%s': there are " MILL_AUDIO_FORMAT_NAMES,
                                  o->format_name);
    return mill_demo_voice_stand_in("batch", &o->model, o->demo_voice);
}

/* ------------------------------------------------------------------ items that end */

/* An item that cannot be spoken does not hold up the others. */
static mill_status note_failure(struct batch *b, const struct mill_batch_item *item,
                                const struct mill_request_result *result, struct mill_error *err) {
    struct mill_progress bar = b->progress;
    mill_progress_end(&b->progress);
    b->progress = bar;
    fprintf(stderr, "sparkmill batch: line %zu, '%s': %s\n", item->line, item->id,
            result->error.text);
    b->n_failed++;
    b->todo_bytes -= item->text_bytes;
    return mill_batch_results_note_failure(b->results, item, result, err);
}

static mill_status begin_sound(void *context, void *item, struct mill_audio_writer **out,
                               struct mill_error *err) {
    struct batch *b = context;
    return mill_batch_results_begin(b->results, item, mill_engine_get_info(b->engine)->sample_rate,
                                    out, err);
}

static mill_status land(void *context, void *landed, struct mill_audio_writer *writer,
                        const struct mill_request_result *result, struct mill_error *err) {
    struct batch *b = context;
    struct mill_batch_item *item = landed;
    int32_t rate = mill_engine_get_info(b->engine)->sample_rate;
    if (result->end == MILL_REQUEST_CANCELLED)
        return MILL_OK;
    if (result->status == MILL_E_FULL) /* the next item would fare no better */
        return mill_fail(err, result->status, "line %zu, '%s': %s", item->line, item->id,
                         result->error.text);
    if (result->status < 0)
        return note_failure(b, item, result, err);
    MILL_TRY(mill_batch_results_store(b->results, item, writer, rate, result, err));
    b->n_done++;
    b->audio_s += (double)result->n_samples / rate;
    b->done_bytes += item->text_bytes;
    return MILL_OK;
}

/* ------------------------------------------------------------------ opening */

/* What every key depends on. */
static mill_status describe_common(struct batch *b, struct mill_error *err) {
    b->common.size = 0;
    MILL_TRY(mill_buffer_printf(&b->common, err, "sparkmill-batch 3 %d ", (int)b->options.format));
    return mill_model_stamp(&b->common, b->engine, b->options.model, err);
}

static mill_status open_engine(struct batch *b, struct mill_error *err) {
    const struct options *o = &b->options;
    char *cache = o->no_cache ? NULL : mill_cache_folder();
    const struct mill_engine_options options = {.model = o->model,
                                                .devices = o->devices,
                                                .precision = o->precision,
                                                .cache = cache,
                                                .max_running = (int32_t)o->max_running};
    mill_status status = mill_engine_open(&b->engine, &options, err);
    free(cache);
    MILL_TRY(status);
    struct mill_shape shape;
    MILL_TRY(mill_shape_read(&shape, o->model, err));
    b->voices = mill_voices_folder(o->voices);
    b->registry = (struct mill_registry){.folder = b->voices};
    return mill_voice_model_of(&b->voice_model, o->model, &shape,
                               mill_engine_get_info(b->engine)->synthetic, err);
}

static mill_status check_input_stays(const struct options *o, struct mill_error *err) {
    char *results = mill_path_join(o->output, MILL_BATCH_RESULTS_NAME);
    if (!results)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    bool same = mill_file_same(o->input, results);
    free(results);
    return same ? mill_fail(err, MILL_E_INPUT, "'%s' is where results go: call it otherwise",
                            o->input)
                : MILL_OK;
}

static mill_status read_input(struct batch *b, struct mill_error *err) {
    const struct mill_engine_info *info = mill_engine_get_info(b->engine);
    MILL_TRY(describe_common(b, err));
    b->sizes = (struct mill_batch_sizes){.voice_model = &b->voice_model,
                                         .registry = &b->registry,
                                         .frames_per_second =
                                             (double)info->sample_rate / info->samples_per_frame,
                                         .common = b->common.data};
    MILL_TRY(check_input_stays(&b->options, err));
    MILL_TRY(mill_batch_input_read(&b->input, b->options.input, &b->sizes, err));
    MILL_TRY(
        mill_batch_results_open(&b->results, b->options.output, b->options.format, &b->input, err));
    for (size_t i = 0; i < b->input.n_items; i++) {
        b->n_skipped += b->input.items[i].done;
        b->todo_bytes += b->input.items[i].done ? 0 : b->input.items[i].text_bytes;
    }
    return MILL_OK;
}

/* The GPU that was expected could not be used, and what the keys say is not so. */
static mill_status read_again(struct batch *b, struct mill_error *err) {
    mill_batch_results_close(b->results);
    mill_batch_input_deinit(&b->input);
    b->results = NULL;
    b->n_skipped = b->todo_bytes = 0;
    return read_input(b, err);
}

static mill_status start(struct batch *b, struct mill_error *err) {
    const struct mill_engine_progress progress = {mill_progress_update_bytes, &b->progress};
    mill_progress_start(&b->progress, "preparing weights", "bytes", 0);
    mill_status status = mill_engine_start(b->engine, &progress, err);
    mill_progress_end(&b->progress);
    MILL_TRY(status);
    mill_command_note_gpu("batch", mill_engine_get_info(b->engine)->no_gpu);
    struct mill_engine_stats stats;
    mill_engine_get_stats(b->engine, &stats);
    const struct mill_flight_hands hands = {.begin_sound = begin_sound, .land = land, .context = b};
    return mill_flights_open(
        &b->flights, FLIGHTS_EACH * (int)b->options.max_running * stats.n_replicas, &hands, err);
}

/* ------------------------------------------------------------------ items on their way */

/* A passage for the next item, unless it is refused; MILL_AGAIN when the engine has enough. */
static mill_status take_off(struct batch *b, struct mill_error *err) {
    struct mill_batch_item *item = &b->input.items[b->next];
    struct mill_batch_wish wish;
    MILL_TRY(mill_batch_wish_init(&wish, item, &b->sizes, err));
    char *kept = mill_batch_results_kept(b->results, item);
    wish.options.kept = kept;
    wish.options.kept_model = b->sizes.common;
    mill_status status = kept ? mill_flights_begin(b->flights, b->engine, &wish.options, item, err)
                              : mill_fail(err, MILL_E_MEMORY, "no memory");
    mill_batch_wish_deinit(&wish);
    free(kept);
    if (status != MILL_E_INPUT)
        return status;
    const struct mill_request_result refused = {.status = status, .error = *err};
    return note_failure(b, item, &refused, err);
}

static mill_status fill(struct batch *b, struct mill_error *err) {
    while (mill_flights_have_room(b->flights) && !*b->interrupted) {
        while (b->next < b->input.n_items && b->input.items[b->next].done)
            b->next++;
        if (b->next == b->input.n_items)
            break;
        mill_status status = take_off(b, err);
        if (status != MILL_OK)
            return status < 0 ? status : MILL_OK;
        b->next++;
    }
    return MILL_OK;
}

static mill_status fly(struct batch *b, struct mill_error *err) {
    mill_progress_start(&b->progress, "speaking", "audio", 0);
    for (;;) {
        MILL_TRY(fill(b, err));
        if (mill_flights_count(b->flights) == 0)
            return *b->interrupted ? mill_fail(err, MILL_E_CANCELLED, "interrupted") : MILL_OK;
        if (*b->interrupted)
            mill_flights_cancel(b->flights, NULL);
        MILL_TRY(mill_flights_serve(b->flights, SHOW_S, err));
        if (b->done_bytes > 0)
            b->progress.total = b->audio_s * (double)b->todo_bytes / (double)b->done_bytes;
        mill_progress_update(&b->progress, b->audio_s);
    }
}

static void report(const struct batch *b) {
    double wall_s = mill_clock_seconds() - b->start_s;
    fprintf(stderr,
            "%zu done, %zu done before, %zu failed; audio %.1f s, wall %.1f s, %.2f x real time\n",
            b->n_done, b->n_skipped, b->n_failed, b->audio_s, wall_s, b->audio_s / wall_s);
    if (b->n_done + b->n_skipped + b->n_failed < b->input.n_items)
        fputs("what was done is kept: run it again to go on\n", stderr);
}

static mill_status run(struct batch *b, struct mill_error *err) {
    MILL_TRY(open_engine(b, err));
    MILL_TRY(read_input(b, err));
    b->interrupted = mill_interrupt_listen();
    if (b->n_skipped == b->input.n_items)
        return MILL_OK;
    const char *expected = mill_engine_get_info(b->engine)->precision;
    MILL_TRY(start(b, err));
    if (strcmp(expected, mill_engine_get_info(b->engine)->precision) != 0)
        MILL_TRY(read_again(b, err));
    b->start_s = mill_clock_seconds();
    return fly(b, err);
}

int mill_command_batch(int argc, char **argv) {
    struct batch b = {.start_s = mill_clock_seconds()};
    mill_buffer_init(&b.common, MAX_COMMON);
    int result = read_options(&b.options, argc, argv);
    if (result != MILL_GO_ON)
        return result;
    struct mill_error err = {""};
    mill_status status = run(&b, &err);
    mill_progress_end(&b.progress);
    if (status < 0)
        result = mill_command_fail("batch", status, &err);
    else
        result = b.n_failed ? MILL_EXIT_FAILED : MILL_EXIT_OK;
    if (b.results)
        report(&b);
    mill_flights_close(b.flights);
    mill_engine_close(b.engine);
    mill_batch_results_close(b.results);
    mill_batch_input_deinit(&b.input);
    mill_buffer_deinit(&b.common);
    free(b.voices);
    return result;
}
