/* batch.c - `sparkmill batch`: many texts into a folder of sound files, resumable.
 *
 * Everything is read and checked first; then passages are kept in flight on the engine, enough to
 * fill every device. The engine's threads only say that one can be read; this thread reads, and
 * writes files and results, so a slow disk does not hold up a device. */
#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/engine/model.h"
#include "runtime/passage/passage.h"
#include "tools/batch_results.h"
#include "tools/cache_folder.h"
#include "tools/command.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/user_folders.h"
#include "tools/voice_open.h"

#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Passages for each place of a device, so that none is idle while files are written; how often the
 * bar moves, and a signal is looked at. */
enum { FLIGHTS_EACH = 2, SHOW_MS = 100, MAX_COMMON = 512, READ_SAMPLES = 4096 };

struct options {
    const char *input, *output, *model, *voices, *devices, *precision, *format_name;
    long long max_running;
    bool no_cache, help;
    enum mill_audio_format format;
};

/* One passage under way. */
struct flight {
    struct batch *batch;
    struct mill_batch_item *item; /* NULL = free */
    struct mill_passage *passage;
    struct mill_audio_writer *writer; /* NULL until there is sound */
    bool readable;                    /* guarded by batch.lock */
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
    struct flight *flights;
    int n_flights, n_flying;
    size_t next, n_done, n_failed, n_skipped;
    size_t todo_bytes, done_bytes; /* of text, for the time that is left */
    double audio_s, start_s;
    char common[MAX_COMMON];
    pthread_mutex_t lock;
    pthread_cond_t readable;
};

/* ------------------------------------------------------------------ options */

static void print_help(void) {
    puts("Usage: sparkmill batch IN.jsonl|- --model DIR -o DIR [OPTION]...\n"
         "Speak many texts into a folder; run again, it goes on where it was.\n\n"
         "Each line of the input is an object: id (names the file), text; voice (a file or\n"
         "a kept name) or gender, pitch, speed, pitch_hz, speed_syllables; seed, temperature, "
         "top_k, top_p,\n"
         "max_seconds (of a segment), redraws, priority. DIR/results.jsonl tells of each.\n\n"
         "  --model DIR          checkpoint folder, as sparkmill pull makes it\n"
         "  -o, --output DIR     folder for sound files and results\n"
         "  --format NAME        wav wav24 wavfloat pcm flac mp3 opus aac m4a; else wav\n"
         "  --voices DIR         the folder of kept voices\n"
         "  --devices LIST       as for sparkmill say\n"
         "  --max-running N      texts at once on a device; 8\n"
         "  --precision NAME     auto fp32 bf16 int8\n"
         "  --no-cache           do not keep converted weights in the cache folder\n\n"
         "Exit status: 0 all is done, 1 something failed, 2 wrong use or bad input.");
}

static int read_options(struct options *o, int argc, char **argv) {
    enum { MODEL = 256, VOICES, FORMAT, DEVICES, RUNNING, PRECISION, NO_CACHE };
    static const struct option table[] = {{"model", required_argument, NULL, MODEL},
                                          {"output", required_argument, NULL, 'o'},
                                          {"voices", required_argument, NULL, VOICES},
                                          {"format", required_argument, NULL, FORMAT},
                                          {"devices", required_argument, NULL, DEVICES},
                                          {"max-running", required_argument, NULL, RUNNING},
                                          {"precision", required_argument, NULL, PRECISION},
                                          {"no-cache", no_argument, NULL, NO_CACHE},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    *o = (struct options){.max_running = 8, .format = MILL_AUDIO_WAV16};
    opterr = 0;
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, ":o:h", table, NULL)) != -1;) {
        if (c == ':')
            return mill_command_usage("batch", "option '%s' needs a value", argv[optind - 1]);
        if (c == '?')
            return mill_command_usage("batch", "unknown option '%s'", argv[optind - 1]);
        if (c == RUNNING &&
            !mill_option_int("batch", "--max-running", optarg, 1, 1024, &o->max_running))
            return MILL_EXIT_USAGE;
        const char **text = c == MODEL       ? &o->model
                            : c == 'o'       ? &o->output
                            : c == VOICES    ? &o->voices
                            : c == FORMAT    ? &o->format_name
                            : c == DEVICES   ? &o->devices
                            : c == PRECISION ? &o->precision
                                             : NULL;
        if (text)
            *text = optarg;
        o->no_cache |= c == NO_CACHE;
        o->help |= c == 'h';
    }
    if (o->help)
        return MILL_EXIT_OK;
    if (argc - optind != 1)
        return mill_command_usage("batch", "one input file is wanted, or - for standard input");
    o->input = argv[optind];
    if (!o->output)
        return mill_command_usage("batch", "where to? -o DIR");
    if (!o->model)
        return mill_command_usage("batch",
                                  "which model? --model DIR, as `sparkmill pull` makes it");
    if (o->format_name && !mill_audio_format_find(o->format_name, &o->format))
        return mill_command_usage("batch", "--format '%s': there are " MILL_AUDIO_FORMAT_NAMES,
                                  o->format_name);
    return MILL_EXIT_OK;
}

/* ------------------------------------------------------------------ opening */

/* What every key depends on: the checkpoint as its files' sizes and times tell it, precision,
 * format, this program's version. */
static void describe_common(struct batch *b) {
    static const char *const files[] = {"LLM/model.safetensors", "BiCodec/model.safetensors",
                                        "LLM/tokenizer.json", "config.yaml"};
    const struct options *o = &b->options;
    int n = snprintf(b->common, sizeof b->common, "sparkmill-batch 2 %s %s %d", MILL_VERSION,
                     mill_engine_get_info(b->engine)->precision, (int)o->format);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct stat info;
        char *path = mill_path_join(o->model, files[i]);
        if (path && stat(path, &info) == 0)
            n += snprintf(b->common + n, sizeof b->common - (size_t)n, " %lld.%lld.%ld",
                          (long long)info.st_size, (long long)info.st_mtim.tv_sec,
                          info.st_mtim.tv_nsec);
        free(path);
    }
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

static mill_status read_input(struct batch *b, struct mill_error *err) {
    const struct mill_engine_info *info = mill_engine_get_info(b->engine);
    describe_common(b);
    b->sizes = (struct mill_batch_sizes){.voice_model = &b->voice_model,
                                         .registry = &b->registry,
                                         .frames_per_second =
                                             (double)info->sample_rate / info->samples_per_frame,
                                         .common = b->common};
    MILL_TRY(mill_batch_input_read(&b->input, b->options.input, &b->sizes, err));
    MILL_TRY(
        mill_batch_results_open(&b->results, b->options.output, b->options.format, &b->input, err));
    for (size_t i = 0; i < b->input.n_items; i++) {
        b->n_skipped += b->input.items[i].done;
        b->todo_bytes += b->input.items[i].done ? 0 : b->input.items[i].text_bytes;
    }
    return MILL_OK;
}

static void show_weights(void *context, size_t done_bytes, size_t all_bytes) {
    struct batch *b = context;
    b->progress.total = (double)all_bytes;
    mill_progress_update(&b->progress, (double)done_bytes);
}

static mill_status start(struct batch *b, struct mill_error *err) {
    const struct mill_engine_progress progress = {.update = show_weights, .context = b};
    mill_progress_start(&b->progress, "preparing weights", "bytes", 0);
    mill_status status = mill_engine_start(b->engine, &progress, err);
    mill_progress_end(&b->progress);
    MILL_TRY(status);
    mill_command_note_gpu("batch", mill_engine_get_info(b->engine)->no_gpu);
    struct mill_engine_stats stats;
    mill_engine_get_stats(b->engine, &stats);
    b->n_flights = FLIGHTS_EACH * (int)b->options.max_running * stats.n_replicas;
    b->flights = mill_alloc_array((size_t)b->n_flights, sizeof *b->flights);
    return b->flights ? MILL_OK : mill_fail(err, MILL_E_MEMORY, "no memory");
}

/* ------------------------------------------------------------------ on the engine's threads */

static void note_readable(void *context) {
    struct flight *flight = context;
    struct batch *b = flight->batch;
    pthread_mutex_lock(&b->lock);
    flight->readable = true;
    pthread_cond_signal(&b->readable);
    pthread_mutex_unlock(&b->lock);
}

/* ------------------------------------------------------------------ on this one */

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

/* A passage for the next item, unless it is refused; MILL_AGAIN when the engine has enough. */
static mill_status take_off(struct batch *b, struct flight *flight, struct mill_error *err) {
    struct mill_batch_item *item = &b->input.items[b->next];
    struct mill_passage_options options;
    struct mill_voice voice;
    mill_passage_options_init(&options);
    MILL_TRY(mill_batch_item_wish(item, &b->sizes, &options.wish, &voice, err));
    options.text = options.wish.text;
    options.text_bytes = options.wish.text_bytes;
    options.readable = note_readable;
    options.context = flight;
    flight->batch = b;
    flight->readable = true; /* it is told of what comes behind the first look */
    mill_status status = mill_passage_open(&flight->passage, b->engine, &options, NULL, err);
    mill_voice_deinit(&voice);
    if (status == MILL_OK) {
        flight->item = item;
        b->n_flying++;
    }
    if (status != MILL_E_INPUT)
        return status;
    const struct mill_request_result refused = {.status = status, .error = *err};
    return note_failure(b, item, &refused, err);
}

static mill_status store(struct batch *b, struct flight *flight,
                         const struct mill_request_result *result, struct mill_error *err) {
    int32_t rate = mill_engine_get_info(b->engine)->sample_rate;
    MILL_TRY(mill_batch_results_store(b->results, flight->item, flight->writer, rate, result, err));
    b->n_done++;
    b->audio_s += (double)result->n_samples / rate;
    b->done_bytes += flight->item->text_bytes;
    return MILL_OK;
}

static mill_status write_samples(struct batch *b, struct flight *flight, const float *samples,
                                 size_t n, struct mill_error *err) {
    if (!flight->writer)
        MILL_TRY(mill_batch_results_begin(b->results, flight->item,
                                          mill_engine_get_info(b->engine)->sample_rate,
                                          &flight->writer, err));
    return mill_audio_writer_write(flight->writer, samples, n, err);
}

static void land(struct batch *b, struct flight *flight) {
    mill_passage_close(flight->passage);
    mill_audio_writer_close(flight->writer);
    *flight = (struct flight){0};
    b->n_flying--;
}

/* Reads what there is; an end is noted. */
static mill_status serve(struct batch *b, struct flight *flight, struct mill_error *err) {
    float samples[READ_SAMPLES];
    mill_status status, written = MILL_OK;
    size_t n;
    while ((status = mill_passage_read(flight->passage, samples, READ_SAMPLES, 0, &n, NULL)) ==
               MILL_OK &&
           written == MILL_OK)
        written = write_samples(b, flight, samples, n, err);
    if (written < 0 || status == MILL_AGAIN)
        return written;
    struct mill_request_result result;
    mill_passage_get_result(flight->passage, &result);
    if (status == MILL_DONE && !flight->writer)
        result.status = mill_fail(&result.error, MILL_E_NUMERIC, "there is no sound");
    if (status == MILL_DONE && flight->writer)
        written = store(b, flight, &result, err);
    else if (result.end != MILL_REQUEST_CANCELLED)
        written = note_failure(b, flight->item, &result, err);
    land(b, flight);
    return written;
}

/* The next flight that can be read, or NULL after a while. */
static struct flight *wait_for_readable(struct batch *b) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += SHOW_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    struct flight *found = NULL;
    pthread_mutex_lock(&b->lock);
    for (bool waited = false; !found; waited = true) {
        for (int i = 0; i < b->n_flights && !found; i++)
            if (b->flights[i].item && b->flights[i].readable)
                found = &b->flights[i];
        if (found)
            found->readable = false;
        if (found || waited)
            break;
        pthread_cond_timedwait(&b->readable, &b->lock, &until);
    }
    pthread_mutex_unlock(&b->lock);
    return found;
}

static mill_status fill(struct batch *b, struct mill_error *err) {
    for (int i = 0; i < b->n_flights && !*b->interrupted; i++) {
        while (b->next < b->input.n_items && b->input.items[b->next].done)
            b->next++;
        if (b->next == b->input.n_items)
            break;
        if (b->flights[i].item)
            continue;
        mill_status status = take_off(b, &b->flights[i], err);
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
        if (b->n_flying == 0)
            return *b->interrupted
                       ? mill_fail(err, MILL_E_CANCELLED, "interrupted; run it again to go on")
                       : MILL_OK;
        if (*b->interrupted)
            for (int i = 0; i < b->n_flights; i++)
                if (b->flights[i].item)
                    mill_passage_cancel(b->flights[i].passage);
        struct flight *flight = wait_for_readable(b);
        if (flight)
            MILL_TRY(serve(b, flight, err));
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
}

static mill_status run(struct batch *b, struct mill_error *err) {
    MILL_TRY(open_engine(b, err));
    MILL_TRY(read_input(b, err));
    b->interrupted = mill_interrupt_listen();
    if (b->n_skipped == b->input.n_items)
        return MILL_OK;
    MILL_TRY(start(b, err));
    b->start_s = mill_clock_seconds();
    return fly(b, err);
}

int mill_command_batch(int argc, char **argv) {
    struct batch b = {.start_s = mill_clock_seconds()};
    int result = read_options(&b.options, argc, argv);
    if (result != MILL_EXIT_OK)
        return result;
    if (b.options.help) {
        print_help();
        return MILL_EXIT_OK;
    }
    pthread_mutex_init(&b.lock, NULL);
    pthread_cond_init(&b.readable, NULL);
    struct mill_error err = {""};
    mill_status status = run(&b, &err);
    mill_progress_end(&b.progress);
    if (status < 0)
        result = mill_command_fail("batch", status, &err);
    else
        result = b.n_failed ? MILL_EXIT_FAILED : MILL_EXIT_OK;
    if (b.results)
        report(&b);
    for (int i = 0; i < b.n_flights; i++) {
        mill_passage_close(b.flights[i].passage);
        mill_audio_writer_close(b.flights[i].writer);
    }
    free(b.flights);
    mill_engine_close(b.engine);
    mill_batch_results_close(b.results);
    mill_batch_input_deinit(&b.input);
    free(b.voices);
    pthread_cond_destroy(&b.readable);
    pthread_mutex_destroy(&b.lock);
    return result;
}
