/* voices_compare.c - `sparkmill voices compare`: how alike two voices are, by their tokens and,
 * with a model, by the vectors that its decoder makes of them. */
#include "tools/voices.h"

#include "runtime/base/memory.h"
#include "runtime/engine/model.h"
#include "runtime/model/bicodec_decode.h"
#include "tools/cache_folder.h"
#include "tools/command.h"
#include "tools/user_folders.h"
#include "tools/voice_open.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char command[] = "voices compare";

struct comparison {
    const char *wanted[2], *model_folder, *backend, *precision, *voices_option;
    char *folder, *cache; /* owned: the registry's; of converted weights, NULL = none */
    struct mill_voice voices[2];
    struct mill_model model;
    struct mill_device device;
    struct mill_bicodec_decoder *decoder;
    float *vectors[2], *wave; /* owned */
};

static const char help[] =
    "Usage: sparkmill voices compare A B [--model DIR]\n"
    "Share of equal global tokens of two voices (names or files), and, with a model, the\n"
    "cosine of the vectors its decoder makes of them: 1 is the same voice.\n\n"
    "  --model DIR       checkpoint folder\n"
    "  --backend NAME    cpu reference\n"
    "  --precision NAME  auto fp32 bf16 int8\n"
    "  --voices DIR      the registry's folder";

/* One frame is decoded for the sake of its d-vector, which does not depend on the frame. */
static mill_status make_vector(struct comparison *c, int i, struct mill_error *err) {
    static const int32_t semantic[] = {0};
    struct mill_bicodec_voice *voice;
    c->vectors[i] =
        mill_alloc_array((size_t)c->model.shape.bicodec.speaker.output, sizeof **c->vectors);
    if (!c->vectors[i] || !c->wave)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    MILL_TRY(mill_bicodec_voice_open(&voice, c->decoder, c->voices[i].global, err));
    const struct mill_bicodec_window window = {.voice = voice,
                                               .semantic = semantic,
                                               .n_semantic = 1,
                                               .finished = true,
                                               .end = 1,
                                               .wave = c->wave,
                                               .d_vector = c->vectors[i]};
    mill_status status = mill_bicodec_decode(c->decoder, &window, err);
    mill_bicodec_voice_close(voice);
    return status;
}

static double cosine(const float *a, const float *b, int32_t n) {
    double ab = 0, aa = 0, bb = 0;
    for (int32_t i = 0; i < n; i++) {
        ab += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

static mill_status open_voices(struct comparison *c, struct mill_error *err) {
    const struct mill_registry registry = {.folder = c->folder};
    struct mill_voice_model model;
    if (c->model_folder) {
        MILL_TRY(mill_model_open(&c->model, c->model_folder, c->cache, err));
        MILL_TRY(
            mill_voice_model_of(&model, c->model_folder, &c->model.shape, c->model.synthetic, err));
    }
    for (int i = 0; i < 2; i++)
        MILL_TRY(mill_voice_look(&c->voices[i], c->wanted[i], &registry,
                                 c->model_folder ? &model : NULL, err));
    const struct mill_voice *a = &c->voices[0], *b = &c->voices[1];
    if (strcmp(a->model, b->model) != 0)
        return mill_fail(err, MILL_E_INPUT, "models %s and %s: their tokens mean other things",
                         a->model, b->model);
    if (a->n_global != b->n_global)
        return mill_fail(err, MILL_E_INPUT, "%d and %d global tokens", a->n_global, b->n_global);
    return MILL_OK;
}

static mill_status open_decoder(struct comparison *c, struct mill_error *err) {
    const struct mill_device_options options = {.folder = c->model_folder,
                                                .cache = c->cache,
                                                .backend = c->backend,
                                                .precision = c->precision};
    MILL_TRY(mill_device_open(&c->device, &c->model, &options, err));
    return mill_bicodec_decoder_open(&c->decoder, c->device.ops, c->device.backend,
                                     &c->device.weights->decoder, 1, err);
}

static mill_status compare(struct comparison *c, struct mill_error *err) {
    MILL_TRY(open_voices(c, err));
    int32_t n = c->voices[0].n_global, n_equal = 0;
    for (int32_t i = 0; i < n; i++)
        n_equal += c->voices[0].global[i] == c->voices[1].global[i];
    printf("equal global tokens  %d of %d (%.1f %%)\n", n_equal, n, 100.0 * n_equal / n);
    if (!c->model_folder)
        return MILL_OK;
    MILL_TRY(open_decoder(c, err));
    c->wave = mill_alloc_array((size_t)c->model.shape.bicodec.hop, sizeof *c->wave);
    for (int i = 0; i < 2; i++)
        MILL_TRY(make_vector(c, i, err));
    printf("cosine of d-vectors  %.6f\n",
           cosine(c->vectors[0], c->vectors[1], c->model.shape.bicodec.speaker.output));
    return MILL_OK;
}

#define ROW(...) MILL_OPTION(comparison, __VA_ARGS__)
static const struct mill_option rows[] = {
    ROW("model", 0, TEXT, model_folder, 0, 0),
    ROW("backend", 0, TEXT, backend, 0, 0),
    ROW("precision", 0, TEXT, precision, 0, 0),
    ROW("voices", 0, TEXT, voices_option, 0, 0),
};
#undef ROW

int mill_voices_compare(int argc, char **argv) {
    struct comparison c = {0};
    struct mill_error err = {""};
    const struct mill_command_line line = {command, help, rows, sizeof rows / sizeof *rows};
    int first, result = mill_options_read(&line, argc, argv, &c, &first);
    if (result != MILL_GO_ON)
        return result;
    if (argc - first != 2)
        return mill_command_usage(command, "two voices are wanted");
    c.wanted[0] = argv[first];
    c.wanted[1] = argv[first + 1];
    c.folder = mill_voices_folder(c.voices_option);
    c.cache = mill_cache_folder();
    mill_status status = compare(&c, &err);
    result = status == MILL_OK ? MILL_EXIT_OK : mill_command_fail(command, status, &err);
    for (int i = 0; i < 2; i++) {
        mill_voice_deinit(&c.voices[i]);
        free(c.vectors[i]);
    }
    free(c.wave);
    mill_bicodec_decoder_close(c.decoder);
    mill_device_close(&c.device);
    mill_model_close(&c.model);
    free(c.folder);
    free(c.cache);
    return result;
}
