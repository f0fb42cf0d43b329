/* voices_create.c - `sparkmill voices create`: the model invents voices for one sentence, one for
 * each seed, to be listened to side by side; the 32 tokens of a voice that is kept fix it for
 * good. */
#include "tools/voices.h"

#include "runtime/audio/writer.h"
#include "runtime/base/file.h"
#include "runtime/base/memory.h"
#include "runtime/engine/engine.h"
#include "tools/cache_folder.h"
#include "tools/command.h"
#include "tools/demo_voice.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/user_folders.h"
#include "tools/voice_labels.h"
#include "tools/voice_open.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static void print_help(void) {
    puts("Usage: sparkmill voices create NAME [OPTION]...\n"
         "Let the model invent voices: writes NAME-1.wav and NAME-1.voice, NAME-2.wav ...\n\n"
         "  --gender NAME       female male\n"
         "  --pitch NAME        very_low low moderate high very_high\n"
         "  --speed NAME        the same\n"
         "  --text TEXT         what they say\n"
         "  --seed N            of the first candidate; the next has N + 1    [0]\n"
         "  -n N                candidates, at most 100                       [4]\n"
         "  --model DIR         checkpoint folder                 [the demo voice]\n"
         "  -o, --output DIR    where the files go                            [.]\n"
         "  --keep K            put candidate K into the registry as NAME\n"
         "  --language TAG      said in the files, such as en or zh-CN\n"
         "  --voices DIR        the registry's folder\n"
         "  --devices LIST      as for sparkmill say\n"
         "  --precision NAME    auto fp32 bf16 int8\n"
         "  --no-disclosure     do not mark the sound files as synthetic speech");
}

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

static mill_status make_candidates(struct creation *c, struct mill_error *err) {
    struct mill_progress progress;
    int32_t *global = mill_alloc_array((size_t)c->voice_model.n_global, sizeof *global);
    mill_status status = global ? MILL_OK : mill_fail(err, MILL_E_MEMORY, "no memory");
    mill_progress_start(&progress, "speaking", "voices", (double)c->n_candidates);
    for (long long k = 1; status == MILL_OK && k <= c->n_candidates; k++) {
        status = speak(c, k, global, err);
        if (status == MILL_OK)
            status = save(c, k, global, err);
        if (status < 0)
            mill_context(err, status, "candidate %lld", k);
        mill_progress_update(&progress, (double)k);
    }
    mill_progress_end(&progress);
    free(global);
    return status;
}

/* What can be refused before gigabytes are read, is. */
static mill_status prepare(struct creation *c, struct mill_error *err) {
    char longest[MILL_VOICE_NAME_BYTES + 8];
    snprintf(longest, sizeof longest, "%.*s-%lld", MILL_VOICE_NAME_BYTES, c->name, c->n_candidates);
    MILL_TRY(mill_voice_check_name(longest, err));
    MILL_TRY(mill_voice_check_name(c->name, err));
    MILL_TRY(mill_folder_make(c->output, err));
    if (c->keep) {
        struct mill_voice voice;
        c->voices = mill_voices_folder(c->voices_option);
        const struct mill_registry registry = {.folder = c->voices};
        MILL_TRY(mill_voice_check_registry(&registry, err));
        mill_status status = mill_registry_get(&registry, c->name, NULL, &voice, NULL);
        if (status == MILL_OK)
            mill_voice_deinit(&voice);
        if (status != MILL_E_NOT_FOUND)
            return mill_fail(err, MILL_E_INPUT, "there is a voice '%s' already in '%s'", c->name,
                             c->voices);
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

enum {
    GENDER = 256,
    PITCH,
    SPEED,
    TEXT,
    SEED,
    KEEP,
    MODEL,
    LANGUAGE,
    VOICES,
    DEVICES,
    PRECISION,
    NO_DISCLOSURE
};

/* Options that are text, by number. */
static const char **text_option(struct creation *c, int option) {
    switch (option) {
    case GENDER:
        return &c->gender_name;
    case PITCH:
        return &c->pitch_name;
    case SPEED:
        return &c->speed_name;
    case TEXT:
        return &c->text;
    case MODEL:
        return &c->model_folder;
    case LANGUAGE:
        return &c->language;
    case VOICES:
        return &c->voices_option;
    case DEVICES:
        return &c->devices;
    case PRECISION:
        return &c->precision;
    case 'o':
        return &c->output;
    default:
        return NULL;
    }
}

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
    return -1;
}

/* The exit status to leave with, or -1 to go on. */
static int parse(struct creation *c, int argc, char **argv) {
    static const struct option options[] = {{"gender", required_argument, NULL, GENDER},
                                            {"pitch", required_argument, NULL, PITCH},
                                            {"speed", required_argument, NULL, SPEED},
                                            {"text", required_argument, NULL, TEXT},
                                            {"seed", required_argument, NULL, SEED},
                                            {"keep", required_argument, NULL, KEEP},
                                            {"model", required_argument, NULL, MODEL},
                                            {"output", required_argument, NULL, 'o'},
                                            {"language", required_argument, NULL, LANGUAGE},
                                            {"voices", required_argument, NULL, VOICES},
                                            {"devices", required_argument, NULL, DEVICES},
                                            {"precision", required_argument, NULL, PRECISION},
                                            {"no-disclosure", no_argument, NULL, NO_DISCLOSURE},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int option;
    opterr = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, ":o:n:h", options, NULL)) != -1) {
        const char **text = text_option(c, option);
        bool good = true;
        if (text)
            *text = optarg;
        else if (option == NO_DISCLOSURE)
            c->no_disclosure = true;
        else if (option == SEED)
            good = mill_option_int(command, "--seed", optarg, 0, 1LL << 52, &c->seed);
        else if (option == KEEP)
            good = mill_option_int(command, "--keep", optarg, 1, MAX_CANDIDATES, &c->keep);
        else if (option == 'n')
            good = mill_option_int(command, "-n", optarg, 1, MAX_CANDIDATES, &c->n_candidates);
        else if (option == 'h') {
            print_help();
            return MILL_EXIT_OK;
        } else
            return mill_command_usage(command, "wrong option '%s'", argv[optind - 1]);
        if (!good)
            return MILL_EXIT_USAGE;
    }
    if (argc - optind != 1)
        return mill_command_usage(command, "one name is wanted");
    c->name = argv[optind];
    int result = check(c);
    if (result < 0 && mill_demo_voice_stand_in(command, &c->model_folder, c->demo_voice))
        result = MILL_EXIT_USAGE;
    return result;
}

int mill_voices_create(int argc, char **argv) {
    struct creation c = {.text = default_text, .output = ".", .n_candidates = 4};
    struct mill_error err = {""};
    int result = parse(&c, argc, argv);
    if (result >= 0)
        return result;
    mill_status status = create(&c, &err);
    result = status == MILL_OK ? MILL_EXIT_OK : mill_command_fail(command, status, &err);
    for (long long k = 1; k <= c.n_candidates; k++)
        mill_request_free(c.requests[k - 1]);
    mill_engine_close(c.engine);
    free(c.voices);
    return result;
}
