/* selftest.c - `sparkmill selftest`: does this checkpoint, with this program, give the answers that
 * the published model is known to give? One line a check: pass, FAIL, or n/a where a check cannot
 * hold or was not asked for. One thread here. */
#include "runtime/audio/recording_prepare.h"
#include "runtime/engine/model.h"
#include "runtime/model/qwen2.h"
#include "runtime/model/tensor_table.h"
#include "runtime/text/prompt.h"
#include "runtime/voice/cloning.h"
#include "tools/cache_folder.h"
#include "tools/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char command[] = "selftest";
static const char no_speech[] = "synthetic weights: the published answers cannot hold";

enum { N_SEMANTIC = 497, N_KNOWN_GLOBALS = 4, MAX_KNOWN_IDS = 16 };
static const int32_t known_globals[N_KNOWN_GLOBALS] = {3363, 2367, 1591, 3625};

struct selftest {
    const char *folder, *recording, *backend, *precision;
    char *cache; /* owned: the folder; NULL = none */
    int n_failed;
    struct mill_model model;
    struct mill_device device;
    struct mill_qwen2 *lm;
    struct mill_voice voice; /* of the recording; its tokens only */
    struct mill_prompt prompt;
};

static const char help[] =
    "Usage: sparkmill selftest --model DIR [--recording FILE]\n"
    "Known answers of the published model, line by line: pass, FAIL or n/a.\n\n"
    "  --model DIR        checkpoint folder\n"
    "  --recording FILE   the published example, prompt_audio.wav, of known tokens\n"
    "  --backend NAME     cpu reference\n"
    "  --precision NAME   auto fp32 bf16 int8\n\n"
    "Exit status: 0 nothing failed, 1 something did, 2 wrong use or bad input.";

static void say(struct selftest *t, const char *verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(struct selftest *t, const char *verdict, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("%-4s  ", verdict);
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
    fflush(stdout); /* the next line may take a while */
    t->n_failed += strcmp(verdict, "FAIL") == 0;
}

static const char *verdict_of(bool good) {
    return good ? "pass" : "FAIL";
}

/* ------------------------------------------------------------------ files */

static mill_status check_file(const struct selftest *t, const struct mill_tensor_table *table,
                              size_t *n_tensors, struct mill_error *err) {
    const char *name = mill_tensor_file_path(table->file), *dot = strrchr(name, '.');
    struct mill_tensors *file;
    char *path = mill_path_join(t->folder, name);
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    mill_status status = dot && strcmp(dot, ".bin") == 0 ? mill_torch_open(&file, path, err)
                                                         : mill_safetensors_open(&file, path, err);
    free(path);
    MILL_TRY(status);
    status = mill_tensor_table_check(table, file,
                                     MILL_USE_SPEAK | MILL_USE_VOICE | MILL_USE_TRANSCRIPT, err);
    *n_tensors = file->n_entries;
    mill_tensors_close(file);
    return status;
}

static void check_files(struct selftest *t) {
    for (int f = 0; f < MILL_FILE_COUNT; f++) {
        const char *name = mill_tensor_file_path((enum mill_tensor_file)f);
        struct mill_tensor_table *table;
        size_t n_tensors = 0;
        struct mill_error err = {""};
        mill_status status =
            mill_tensor_table_open(&table, &t->model.shape, (enum mill_tensor_file)f, &err);
        if (status == MILL_OK && table->n_specs == 0)
            say(t, "n/a", "%s: not there: no cloning with a transcript", name);
        else if (status == MILL_OK && (status = check_file(t, table, &n_tensors, &err)) == MILL_OK)
            say(t, "pass", "%s: %zu tensors, as the configuration asks for", name, n_tensors);
        if (status < 0)
            say(t, "FAIL", "%s: %s", name, err.text);
        mill_tensor_table_close(table);
    }
}

/* ------------------------------------------------------------------ tokenizer */

static const struct known_text {
    const char *text;
    bool match_added_tokens;
    int32_t n_ids, ids[MAX_KNOWN_IDS];
} known_texts[] = {
    {"hello, here is a test for 可控语音合成。",
     false,
     13,
     {14990, 11, 1588, 374, 264, 1273, 369, 26853, 107, 99332, 105761, 106726, 1773}},
    {"一个中年女性的声音，音调较高，情绪高涨。",
     false,
     13,
     {46944, 15946, 7948, 101968, 104668, 3837, 78685, 47872, 105540, 3837, 104405, 114528, 1773}},
    {"<|pitch_value_0|><|pitch_var_value_0|><|loudness_value_0|><|speed_value_0|>",
     true,
     4,
     {163953, 164954, 164991, 164975}},
};

static void check_tokenizer(struct selftest *t) {
    for (size_t i = 0; i < sizeof known_texts / sizeof *known_texts; i++) {
        const struct known_text *known = &known_texts[i];
        const int32_t *ids;
        size_t n_ids = 0;
        mill_status status = mill_encoder_encode(t->model.encoder, known->text, strlen(known->text),
                                                 known->match_added_tokens, &ids, &n_ids, NULL);
        bool same = status == MILL_OK && n_ids == (size_t)known->n_ids &&
                    memcmp(ids, known->ids, n_ids * sizeof *ids) == 0;
        say(t, verdict_of(same), "tokenizer: the %d known ids of text %zu", known->n_ids, i + 1);
    }
    const struct mill_control_tokens *c = t->model.control;
    say(t,
        verdict_of(c->im_end == 151645 && c->task_tts == 165137 &&
                   c->start_semantic_token == 165151),
        "tokenizer: im_end %d, task_tts %d, start_semantic %d; 151645, 165137, 165151 are known",
        c->im_end, c->task_tts, c->start_semantic_token);
}

/* ------------------------------------------------------------------ recording */

static mill_status encode(struct selftest *t, struct mill_error *err) {
    const char *name = t->backend ? t->backend : "cpu";
    struct mill_recording recording;
    struct mill_prepared wave = {0};
    struct mill_weights_options weights = {.cache = t->cache};
    struct mill_backend *backend = NULL;
    const struct mill_backend_options backend_options = {0};
    const struct mill_prepare_options options = {.sample_rate = t->model.shape.bicodec.sample_rate};
    const struct mill_backend_ops *ops = mill_backend_find(name, err);
    if (!ops || !mill_precision_find(t->precision, name, &weights.precision))
        return ops ? mill_fail(err, MILL_E_INPUT, "precision '%s' is not known", t->precision)
                   : MILL_E_INPUT;
    MILL_TRY(mill_recording_read(&recording, t->recording, NULL, err));
    mill_status status = mill_recording_prepare(&wave, &recording, &options, err);
    mill_recording_close(&recording);
    if (status == MILL_OK)
        status = ops->open(&backend, &backend_options, err);
    const struct mill_cloning cloning = {.folder = t->folder,
                                         .shape = &t->model.shape,
                                         .ops = ops,
                                         .backend = backend,
                                         .weights = &weights};
    if (status == MILL_OK)
        status = mill_cloning_run(&cloning, wave.samples, wave.n_samples,
                                  t->model.shape.wav2vec2.n_convs > 0, &t->voice, err);
    ops->close(backend);
    mill_prepared_close(&wave);
    return status;
}

static void check_recording(struct selftest *t) {
    struct mill_error err = {""};
    if (!t->recording) {
        say(t, "n/a", "recording: none was given (--recording prompt_audio.wav)");
        return;
    }
    mill_status status = encode(t, &err);
    if (status < 0) {
        say(t, "FAIL", "recording: %s", err.text);
        return;
    }
    const int32_t *g = t->voice.global;
    if (t->model.synthetic) {
        say(t, "n/a", "recording: %d semantic tokens; %s", t->voice.n_semantic, no_speech);
        say(t, "n/a", "recording: global tokens; %s", no_speech);
        return;
    }
    say(t, verdict_of(t->voice.n_semantic == N_SEMANTIC),
        "recording: %d semantic tokens; %d are known", t->voice.n_semantic, N_SEMANTIC);
    bool same =
        t->voice.n_global >= N_KNOWN_GLOBALS && memcmp(g, known_globals, sizeof known_globals) == 0;
    say(t, verdict_of(same),
        "recording: global tokens begin %d %d %d %d; 3363 2367 1591 3625 are known", g[0], g[1],
        g[2], g[3]);
}

/* ------------------------------------------------------------------ the first token */

/* For one step of n_rows, which one page holds. */
static mill_status open_language_model(struct selftest *t, int32_t n_rows, struct mill_error *err) {
    const struct mill_device_options options = {.folder = t->folder,
                                                .cache = t->cache,
                                                .backend = t->backend,
                                                .precision = t->precision,
                                                .full_head = true};
    const struct mill_qwen2_options lm = {.max_rows = n_rows,
                                          .max_sequences = 1,
                                          .max_pages = 1,
                                          .n_pages = 1,
                                          .page_tokens = n_rows};
    MILL_TRY(mill_device_open(&t->device, &t->model, &options, err));
    return mill_qwen2_open(&t->lm, t->device.ops, t->device.backend, &t->device.weights->lm, &lm,
                           err);
}

/* What the model says, unrestricted, where the format has start_semantic: a prompt but for its last
 * token, and the likeliest of all that may follow. */
static mill_status draw_first(struct selftest *t, int32_t *token, struct mill_error *err) {
    const struct mill_clone_prompt clone = {.text = known_texts[0].text,
                                            .text_bytes = strlen(known_texts[0].text),
                                            .global = t->voice.global,
                                            .n_global = t->voice.n_global};
    MILL_TRY(mill_prompt_clone(&t->prompt, t->model.encoder, t->model.control, &clone, err));
    int32_t n_rows = t->prompt.n_ids - 1;
    MILL_TRY(open_language_model(t, n_rows, err));
    const struct mill_draw draw = {.row = n_rows - 1, .legal = MILL_LEGAL_ANY, .top_p = 1};
    const int32_t row_first[] = {0, n_rows}, n_cached[] = {0}, pages[] = {0};
    const struct mill_qwen2_step step = {.n_sequences = 1,
                                         .n_rows = n_rows,
                                         .n_draws = 1,
                                         .ids = t->prompt.ids,
                                         .row_first = row_first,
                                         .n_cached = n_cached,
                                         .pages = (const int32_t *const[]){pages},
                                         .draws = &draw,
                                         .tokens = token};
    return mill_qwen2_run(t->lm, &step, err);
}

static void check_first_token(struct selftest *t) {
    struct mill_error err = {""};
    int32_t token = -1, wanted = t->model.control->start_semantic_token;
    if (!t->voice.global) {
        say(t, "n/a", "first token: a recording's voice is needed");
        return;
    }
    mill_status status = draw_first(t, &token, &err);
    if (status < 0)
        say(t, "FAIL", "first token: %s", err.text);
    else if (t->model.synthetic)
        say(t, "n/a", "first token: %d; %s", token, no_speech);
    else
        say(t, verdict_of(token == wanted), "first token: %d; start_semantic is %d", token, wanted);
}

/* ------------------------------------------------------------------ all */

#define ROW(...) MILL_OPTION(selftest, __VA_ARGS__)
static const struct mill_option rows[] = {
    ROW("model", 0, TEXT, folder, 0, 0),
    ROW("recording", 0, TEXT, recording, 0, 0),
    ROW("backend", 0, TEXT, backend, 0, 0),
    ROW("precision", 0, TEXT, precision, 0, 0),
};
#undef ROW

int mill_command_selftest(int argc, char **argv) {
    struct selftest t = {0};
    struct mill_error err = {""};
    const struct mill_command_line line = {command, help, rows, sizeof rows / sizeof *rows};
    int first, result = mill_options_read(&line, argc, argv, &t, &first);
    if (result != MILL_GO_ON)
        return result;
    if (first != argc || !t.folder)
        return mill_command_usage(command, t.folder ? "it takes no arguments but options"
                                                    : "--model DIR is missing");
    t.cache = mill_cache_folder();
    mill_status status = mill_model_open(&t.model, t.folder, t.cache, &err);
    if (status == MILL_OK) {
        check_files(&t);
        check_tokenizer(&t);
        check_recording(&t);
        check_first_token(&t);
        result = t.n_failed ? MILL_EXIT_FAILED : MILL_EXIT_OK;
    } else {
        result = mill_command_fail(command, status, &err);
    }
    mill_voice_deinit(&t.voice);
    mill_prompt_deinit(&t.prompt);
    mill_qwen2_close(t.lm);
    mill_device_close(&t.device);
    mill_model_close(&t.model);
    free(t.cache);
    return result;
}
