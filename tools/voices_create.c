/* voices_create.c - `sparkmill voices create`: the model invents voices for one sentence, one for
 * each seed, to be listened to side by side; the 32 tokens of a voice that is kept fix it for
 * good. */
#include "tools/voices.h"

#include "runtime/audio/writer.h"
#include "runtime/base/file.h"
#include "runtime/base/memory.h"
#include "runtime/engine/engine.h"
#include "runtime/voice/voice_labels.h"
#include "tools/cache_folder.h"
#include "tools/command.h"
#include "tools/demo_voice.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/user_folders.h"
#include "tools/voice_open.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char command[] = "voices create";
static const char default_text[] = "The north wind and the sun were disputing which was the "
                                   "stronger, when a traveller came along.";

enum { MAX_CANDIDATES = 100, MAX_RUNNING = 8, MAX_SECONDS = 30, READ_SAMPLES = 4096 };
#define LOOK_S 0.1 /* how often a signal is looked at */

struct creation {
    const char *name, *gender_name, *pitch_name, *speed_name, *text, *model_folder, *output;
    const char *devices, *precision, *language, *voices_option;
    long long seed, n_candidates, keep;
    int gender, pitch, speed;
    bool no_disclosure;
    struct mill_engine *engine;
    struct mill_request *requests[MAX_CANDIDATES];
    struct mill_voice_model voice_model;
    char *voices; /* owned: the registry's folder */
    const atomic_bool *interrupted;
    char demo_voice[MILL_DEMO_VOICE_BYTES]; /* where no model was given */
};

static const char help[] =
    "Usage: sparkmill voices create NAME [OPTION]...\n"
    "Let the model invent voices: writes NAME-1.wav and NAME-1.voice, NAME-2.wav ...\n\n"
    "  --gender NAME       female male\n"
    "  --pitch NAME        very_low low moderate high very_high\n"
    "  --speed NAME        the same\n"
    "  --text TEXT         what they say\n"
    "  --seed N            of the first candidate; the next has N + 1    [0]\n"
    "  -n, --candidates N  at most 100                                   [4]\n"
    "  --model DIR         checkpoint folder                 [the demo voice]\n"
    "  -o, --output DIR    where the files go                            [.]\n"
    "  --keep K            put candidate K into the registry as NAME\n"
    "  --language TAG      said in the files, such as en or zh-CN\n"
    "  --voices DIR        the registry's folder\n"
    "  --devices LIST      as for sparkmill say\n"
    "  --precision NAME    auto fp32 bf16 int8\n"
    "  --no-disclosure     do not mark the sound files as synthetic speech";

/* "DIR/NAME-K.ending" in new memory. */
static mill_status candidate_path(const struct creation *c, long long k, const char *ending,
                                  char **path, struct mill_error *err) {
    if (asprintf(path, "%s/%s-%lld.%s", c->output, c->name, k, ending) >= 0)
        return MILL_OK;
    *path = NULL;
    return mill_fail(err, MILL_E_MEMORY, "no memory");
}

/* Put every candidate into the engine's queue: they are spoken at once, and each as if alone. Every
 * one is what its seed gives, so nothing is drawn again. */
static mill_status submit(struct creation *c, struct mill_error *err) {
    const struct mill_engine_info *info = mill_engine_get_info(c->engine);
    struct mill_engine_request wish;
    mill_engine_request_init(&wish);
    wish.text = c->text;
    wish.text_bytes = strlen(c->text);
    wish.gender = c->gender;
    wish.pitch = c->pitch;
    wish.speed = c->speed;
    wish.max_frames = MAX_SECONDS * (info->sample_rate / info->samples_per_frame);
    wish.max_redraws = 0;
    for (long long k = 1; k <= c->n_candidates; k++) {
        wish.seed = (uint64_t)(c->seed + k - 1);
        MILL_TRY(mill_engine_submit(c->engine, &wish, &c->requests[k - 1], NULL, err));
    }
    return MILL_OK;
}

static mill_status write_samples(const struct creation *c, struct mill_request *request,
                                 struct mill_audio_writer *writer, struct mill_error *err) {
    float samples[READ_SAMPLES];
    for (;;) {
        size_t n;
        mill_status status = mill_request_read(request, samples, READ_SAMPLES, LOOK_S, &n, err);
        if (status == MILL_DONE)
            return MILL_OK;
        if (status == MILL_OK)
            status = mill_audio_writer_write(writer, samples, n, err);
        if (status < 0)
            return status;
        if (atomic_load(c->interrupted))
            mill_request_cancel(request);
    }
}

/* Speak into NAME-K.wav; the tokens that the model chose go to `global`. */
static mill_status speak(struct creation *c, long long k, int32_t *global, struct mill_error *err) {
    char *path;
    struct mill_audio_writer *writer = NULL;
    struct mill_request *request = c->requests[k - 1];
    MILL_TRY(candidate_path(c, k, "wav", &path, err));
    const struct mill_audio_encoding encoding = {
        .format = MILL_AUDIO_WAV16,
        .sample_rate = mill_engine_get_info(c->engine)->sample_rate,
        .comment = c->no_disclosure ? NULL : MILL_DISCLOSURE};
    mill_output_sweep(path);
    mill_status status = mill_audio_writer_open(&writer, path, &encoding, err);
    if (status == MILL_OK)
        status = write_samples(c, request, writer, err);
    if (status == MILL_OK)
        status = mill_request_get_voice(request, global);
    if (status == MILL_OK)
        status = mill_audio_writer_finish(writer, err);
    mill_audio_writer_close(writer);
    free(path);
    return status;
}

/* The candidate as NAME-K.voice, and as NAME in the registry where it is the one to keep. */
static mill_status save(const struct creation *c, long long k, int32_t *global,
                        struct mill_error *err) {
    char now[MILL_VOICE_TIME_BYTES], name[MILL_VOICE_NAME_BYTES + 8], *path;
    mill_voice_now(now);
    snprintf(name, sizeof name, "%s-%lld", c->name, k);
    struct mill_voice voice = {
        .model = c->voice_model.id,
        .name = name,
        .language = c->language,
        .provenance = {.created_by = "sparkmill " MILL_VERSION ", a created voice", .date = now},
        .global = global,
        .n_global = c->voice_model.n_global};
    MILL_TRY(candidate_path(c, k, "voice", &path, err));
    mill_status status = mill_voice_write(&voice, path, err);
    free(path);
    if (status < 0 || k != c->keep)
        return status;
    const struct mill_registry registry = {.folder = c->voices};
    voice.name = c->name;
    return mill_registry_add(&registry, &voice, err);
}

/* A small model may have few voices to invent: seeds then lead to the same. */
static void tell_repeated(const int32_t *globals, size_t n_global, long long n) {
    long long n_repeated = 0;
    for (long long k = 1; k < n; k++) {
        const int32_t *voice = globals + (size_t)k * n_global, *earlier = globals;
        while (earlier < voice && memcmp(earlier, voice, n_global * sizeof *voice) != 0)
            earlier += n_global;
        n_repeated += earlier < voice;
    }
    if (n_repeated > 0)
        fprintf(stderr, "%lld of %lld candidates are the same voice as an earlier one\n",
                n_repeated, n);
}

static mill_status make_candidates(struct creation *c, struct mill_error *err) {
    struct mill_progress progress;
    size_t n_global = (size_t)c->voice_model.n_global;
    int32_t *globals = mill_alloc_array((size_t)c->n_candidates * n_global, sizeof *globals);
    mill_status status = globals ? MILL_OK : mill_fail(err, MILL_E_MEMORY, "no memory");
    mill_progress_start(&progress, "speaking", "voices", (double)c->n_candidates);
    for (long long k = 1; status == MILL_OK && k <= c->n_candidates; k++) {
        int32_t *global = globals + (size_t)(k - 1) * n_global;
        status = speak(c, k, global, err);
        if (status == MILL_OK)
            status = save(c, k, global, err);
        if (status < 0)
            mill_context(err, status, "candidate %lld", k);
        mill_progress_update(&progress, (double)k);
    }
    mill_progress_end(&progress);
    if (status == MILL_OK)
        tell_repeated(globals, n_global, c->n_candidates);
    free(globals);
    return status;
}

/* Candidates of before may be made again; a recording of that name is none. */
static mill_status check_replaced(const struct creation *c, struct mill_error *err) {
    mill_status status = MILL_OK;
    for (long long k = 1; status == MILL_OK && k <= c->n_candidates; k++) {
        char *wav = NULL, *voice = NULL;
        status = candidate_path(c, k, "wav", &wav, err);
        if (status == MILL_OK)
            status = candidate_path(c, k, "voice", &voice, err);
        if (status == MILL_OK && access(wav, F_OK) == 0 && access(voice, F_OK) != 0)
            status = mill_fail(err, MILL_E_INPUT,
                               "'%s' is there without a voice beside it, and not replaced: move it "
                               "away, or take another name",
                               wav);
        free(wav);
        free(voice);
    }
    return status;
}

/* What can be refused before gigabytes are read, is. */
static mill_status prepare(struct creation *c, struct mill_error *err) {
    char longest[MILL_VOICE_NAME_BYTES + 8];
    snprintf(longest, sizeof longest, "%.*s-%lld", MILL_VOICE_NAME_BYTES, c->name, c->n_candidates);
    MILL_TRY(mill_voice_check_name(longest, err));
    MILL_TRY(mill_voice_check_name(c->name, err));
    MILL_TRY(mill_folder_make(c->output, err));
    MILL_TRY(check_replaced(c, err));
    if (c->keep) {
        struct mill_voice voice;
        c->voices = mill_voices_folder(c->voices_option);
        const struct mill_registry registry = {.folder = c->voices};
        MILL_TRY(mill_voice_check_registry(&registry, err));
        mill_status status = mill_registry_get(&registry, c->name, NULL, &voice, err);
        if (status == MILL_OK) {
            mill_voice_deinit(&voice);
            return mill_fail(err, MILL_E_INPUT, "there is a voice '%s' already in '%s'", c->name,
                             c->voices);
        }
        if (status != MILL_E_NOT_FOUND)
            return status;
    }
    return MILL_OK;
}

static mill_status open_engine(struct creation *c, struct mill_error *err) {
    struct mill_shape shape;
    char *cache = mill_cache_folder();
    const struct mill_engine_options options = {
        .model = c->model_folder,
        .devices = c->devices,
        .precision = c->precision,
        .cache = cache,
        .max_running = c->n_candidates < MAX_RUNNING ? (int32_t)c->n_candidates : MAX_RUNNING,
        .max_unread_s = MAX_SECONDS};
    mill_status status = mill_engine_open(&c->engine, &options, err);
    free(cache);
    MILL_TRY(status);
    MILL_TRY(mill_shape_read(&shape, c->model_folder, err));
    return mill_voice_model_of(&c->voice_model, c->model_folder, &shape,
                               mill_engine_get_info(c->engine)->synthetic, err);
}

static mill_status create(struct creation *c, struct mill_error *err) {
    c->interrupted = mill_interrupt_listen();
    MILL_TRY(prepare(c, err));
    MILL_TRY(open_engine(c, err));
    MILL_TRY(submit(c, err));
    MILL_TRY(mill_engine_start(c->engine, NULL, err));
    mill_command_note_gpu(command, mill_engine_get_info(c->engine)->no_gpu);
    if (mill_engine_get_info(c->engine)->synthetic)
        fputs("synthetic weights: noise-like sound, not speech\n", stderr);
    MILL_TRY(make_candidates(c, err));
    if (!c->keep)
        fprintf(stderr, "listen to them, then: sparkmill voices add %s/%s-K.voice --as %s\n",
                c->output, c->name, c->name);
    return MILL_OK;
}

/* ------------------------------------------------------------------ options */

#define ROW(...) MILL_OPTION(creation, __VA_ARGS__)
static const struct mill_option rows[] = {
    ROW("gender", 0, TEXT, gender_name, 0, 0),
    ROW("pitch", 0, TEXT, pitch_name, 0, 0),
    ROW("speed", 0, TEXT, speed_name, 0, 0),
    ROW("text", 0, TEXT, text, 0, 0),
    ROW("seed", 0, WHOLE, seed, 0, 1LL << 52),
    ROW("candidates", 'n', WHOLE, n_candidates, 1, MAX_CANDIDATES),
    ROW("keep", 0, WHOLE, keep, 1, MAX_CANDIDATES),
    ROW("model", 0, TEXT, model_folder, 0, 0),
    ROW("output", 'o', TEXT, output, 0, 0),
    ROW("language", 0, TEXT, language, 0, 0),
    ROW("voices", 0, TEXT, voices_option, 0, 0),
    ROW("devices", 0, TEXT, devices, 0, 0),
    ROW("precision", 0, TEXT, precision, 0, 0),
    ROW("no-disclosure", 0, FLAG, no_disclosure, 0, 0),
};
#undef ROW

static int check(struct creation *c) {
    c->gender = mill_gender_find(c->gender_name);
    c->pitch = mill_level_find(c->pitch_name);
    c->speed = mill_level_find(c->speed_name);
    if (c->gender < 0)
        return mill_command_usage(command, "--gender: there are " MILL_GENDER_LABELS);
    if (c->pitch < 0 || c->speed < 0)
        return mill_command_usage(command, "--pitch and --speed: there are " MILL_LEVEL_LABELS);
    if (c->keep > c->n_candidates)
        return mill_command_usage(command, "--keep %lld: there are %lld candidates", c->keep,
                                  c->n_candidates);
    return MILL_GO_ON;
}

static int parse(struct creation *c, int argc, char **argv) {
    const struct mill_command_line line = {command, help, rows, sizeof rows / sizeof *rows};
    int first, result = mill_options_read(&line, argc, argv, c, &first);
    if (result != MILL_GO_ON)
        return result;
    if (argc - first != 1)
        return mill_command_usage(command, "one name is wanted");
    c->name = argv[first];
    result = check(c);
    return result == MILL_GO_ON ? mill_demo_voice_stand_in(command, &c->model_folder, c->demo_voice)
                                : result;
}

int mill_voices_create(int argc, char **argv) {
    struct creation c = {.text = default_text, .output = ".", .n_candidates = 4};
    struct mill_error err = {""};
    int result = parse(&c, argc, argv);
    if (result != MILL_GO_ON)
        return result;
    mill_status status = create(&c, &err);
    result = status == MILL_OK ? MILL_EXIT_OK : mill_command_fail(command, status, &err);
    for (long long k = 1; k <= c.n_candidates; k++)
        mill_request_free(c.requests[k - 1]);
    mill_engine_close(c.engine);
    free(c.voices);
    return result;
}
