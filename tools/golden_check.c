/* golden_check.c - the program golden_check: is what we compute Spark-TTS?
 *
 * Golden data are the answers of the model's plain definition for synthetic weights that anyone can
 * make again (`sparkmill synth-model`). Every array of a folder that this engine can compute is
 * compared, in any folder of the format: names come from manifest.json, sizes from the files.
 *
 * The rule, in fp32: waves, z_q, prenet, d-vector, hidden states, spectrogram, z and features at
 * least 90 dB signal to noise; a token of a recording may differ only where its stored margin is at
 * most 1e-4; logits within 2e-3 of the golden row's spread; a drawn token may differ only where the
 * golden draw lies within 1e-4 of an edge of the distribution; in prompt_top two ids may change
 * places only where their golden logits differ by at most twice the error of these logits.
 *
 * In bf16 and int8 the error is measured and shown, and nothing is right by being close enough to
 * a chosen number. A draw may differ only where the measured error explains it: E is twice the
 * largest error of the item's stored logits (twice, because the three rows that are stored need not
 * show the largest), and some logits within E of ours must draw the golden token with the same
 * uniform number. (An edge's distance alone would not do: two candidates that change places move
 * whole intervals. The bound is generous where many candidates are about as likely.) Sharper, and
 * in every precision: each draw must be the one that our own logits of that step give in float64,
 * unless it lies within 1e-4 of an edge. What cannot be rounding is a miss in any precision: a
 * value that is not finite, and a signal less than 20 dB above its error. */
#include "tools/golden_check.h"

#include "tools/command.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: golden_check --model DIR --golden DIR --backend NAME --precision P [--dump DIR]\n"
    "Compare what this engine computes with golden data.\n\n"
    "  --model DIR      checkpoint that the golden data were computed with\n"
    "  --golden DIR     folder with manifest.json and .npy files\n"
    "  --backend NAME   cpu or reference\n"
    "  --precision P    fp32, bf16 or int8\n"
    "  --dump DIR       also write our arrays there, under the same names\n"
    "  --threads N      threads of the backend (default: one per processor)\n\n"
    "fp32: signals at least 90 dB above their error; logits within 2e-3 of the spread; a "
    "drawn\n"
    "token may differ only within 1e-4 of an edge of the distribution, and ranks in "
    "prompt_top\n"
    "only where logits differ by no more than twice their error.\n"
    "bf16, int8: errors are shown. A draw may differ only where some logits within twice the\n"
    "largest error of the item's stored logits would draw the golden token with the same\n"
    "number.\n"
    "In any precision a draw must be what our own logits give (but within 1e-4 of an edge);\n"
    "a signal under 20 dB, or a value that is not finite, is a miss.\n"
    "A token of a recording may differ only where its stored margin is at most 1e-4; semantic\n"
    "ones in bf16 and int8 are counted. Without wav2vec2 their arrays are skipped.\n\n"
    "Exit status: 0 all within limits, 1 a miss or a failure, 2 wrong use or bad input.";

mill_status golden_check_snr(struct golden_run *run, const char *item, const char *leaf,
                             const struct golden_array *golden, const float *ours,
                             struct mill_error *err) {
    char name[GOLDEN_NAME + 32];
    snprintf(name, sizeof name, "%s.%s", item, leaf);
    golden_table_figure(&run->table, name, "signal to noise, dB",
                        golden_snr_db(golden->data, ours, golden->n), GOLDEN_AT_LEAST,
                        run->exact ? GOLDEN_EXACT_SNR_DB : GOLDEN_BROKEN_SNR_DB);
    run->table.n_compared++;
    return golden_folder_dump(&run->folder, item, leaf, MILL_F32, golden, ours, err);
}

enum { PREFILL_ROWS = 256, PAGE_TOKENS = 16 };

struct options {
    struct mill_device_options model;
    const char *golden, *dump;
    long long n_threads;
};

/* One sequence at a time, of the longest item's tokens. */
static mill_status open_speech(struct golden_run *run, int64_t longest, struct mill_error *err) {
    if (longest > run->model.shape.llm.max_positions)
        return mill_fail(err, MILL_E_INPUT, "an item has %lld tokens, and the model holds %d",
                         (long long)longest, run->model.shape.llm.max_positions);
    int32_t n_pages = (int32_t)((longest + PAGE_TOKENS - 1) / PAGE_TOKENS);
    run->lm_options = (struct mill_qwen2_options){.max_rows = PREFILL_ROWS,
                                                  .max_sequences = 1,
                                                  .max_pages = n_pages,
                                                  .n_pages = n_pages,
                                                  .page_tokens = PAGE_TOKENS};
    const struct mill_device *device = &run->device;
    MILL_TRY(mill_qwen2_open(&run->lm, device->ops, device->backend, &device->weights->lm,
                             &run->lm_options, err));
    return mill_bicodec_decoder_open(&run->decoder, device->ops, device->backend,
                                     &device->weights->decoder, GOLDEN_WINDOW_FRAMES, err);
}

static mill_status check_folder(struct golden_run *run, const struct options *options,
                                struct mill_error *err) {
    int64_t longest;
    MILL_TRY(golden_longest_sequence(run, &longest, err));
    MILL_TRY(mill_model_open(&run->model, options->model.folder, NULL, err));
    MILL_TRY(mill_device_open(&run->device, &run->model, &options->model, err));
    MILL_TRY(open_speech(run, longest, err));
    printf("%s against %s: backend %s (%s), %s\n\n", options->model.folder, options->golden,
           run->device.ops->name, run->device.ops->describe(run->device.backend),
           options->model.precision);
    printf("%-28s %-38s %12s  %-10s\n", "array", "measured", "figure", "limit");
    MILL_TRY(golden_check_language_model(run, err));
    MILL_TRY(golden_check_decoder(run, err));
    if (run->device.ops->attn_dense)
        return golden_check_encoder(run, err);
    puts("encoders                     this backend has none: voices are cloned on the cpu");
    return MILL_OK;
}

static int report(const struct golden_run *run) {
    int n_inputs = -run->table.n_compared, n_skipped = 0;
    for (int i = 0; i < run->folder.n_arrays; i++) {
        n_inputs += run->folder.entries[i].used;
        n_skipped += !run->folder.entries[i].used;
    }
    printf("\n%d arrays compared, %d read as input, %d skipped (nothing here computes them); "
           "%d figures past their limit\n",
           run->table.n_compared, n_inputs, n_skipped, run->table.n_missed);
    return run->table.n_missed ? MILL_EXIT_FAILED : MILL_EXIT_OK;
}

static int check(const struct options *options) {
    struct golden_run run = {.model_folder = options->model.folder,
                             .exact = strcmp(options->model.precision, "fp32") == 0};
    struct mill_error err = {0};
    mill_status status = golden_folder_open(&run.folder, options->golden, options->dump, &err);
    if (status >= 0)
        status = check_folder(&run, options, &err);
    int result = status < 0 ? mill_command_fail("golden_check", status, &err) : report(&run);
    mill_bicodec_decoder_close(run.decoder);
    mill_qwen2_close(run.lm);
    mill_device_close(&run.device);
    mill_model_close(&run.model);
    golden_folder_close(&run.folder);
    return result;
}

#define ROW(...) MILL_OPTION(options, __VA_ARGS__)
static const struct mill_option rows[] = {
    ROW("model", 0, TEXT, model.folder, 0, 0),
    ROW("golden", 0, TEXT, golden, 0, 0),
    ROW("backend", 0, TEXT, model.backend, 0, 0),
    ROW("precision", 0, TEXT, model.precision, 0, 0),
    ROW("dump", 0, TEXT, dump, 0, 0),
    ROW("threads", 0, WHOLE, n_threads, 0, 1024),
};
#undef ROW

int main(int argc, char **argv) {
    const struct mill_command_line line = {"golden_check", help, rows, sizeof rows / sizeof *rows};
    struct options options = {.model = {.full_head = true}};
    int first, result = mill_options_read(&line, argc, argv, &options, &first);
    if (result != MILL_GO_ON)
        return result;
    options.model.n_threads = (int32_t)options.n_threads;
    const char *precision = options.model.precision;
    if (!options.model.folder || !options.golden || !options.model.backend || !precision ||
        first != argc)
        return mill_command_usage("golden_check",
                                  "--model, --golden, --backend and --precision are needed");
    if (strcmp(precision, "fp32") != 0 && strcmp(precision, "bf16") != 0 &&
        strcmp(precision, "int8") != 0)
        return mill_command_usage("golden_check", "--precision '%s': there are fp32, bf16, int8",
                                  precision);
    return check(&options);
}
