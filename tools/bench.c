/* bench.c - `sparkmill bench`: how fast it is here. One harness, three questions: how near the
 * steps of the model come to this machine's limits (kernels), what many requests get (engine, and
 * serve over HTTP), whether a result got worse (compare); and what any card could do at most
 * (paper).
 * docs/benchmarking.md. */
#include "tools/bench.h"

#include "bench/kernels.h"
#include "bench/paper.h"
#include "bench/result.h"
#include "tools/cache_folder.h"
#include "tools/command.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW(...) MILL_OPTION(mill_bench_options, __VA_ARGS__)
static const struct mill_option rows[] = {
    ROW("model", 0, TEXT, model, 0, 0),
    ROW("devices", 0, TEXT, devices, 0, 0),
    ROW("precision", 0, TEXT, precision, 0, 0),
    ROW("text", 0, TEXT, text, 0, 0),
    ROW("output", 'o', TEXT, output, 0, 0),
    ROW("concurrency", 0, TEXT, concurrency_list, 0, 0),
    ROW("rate", 0, TEXT, rate_list, 0, 0),
    ROW("requests", 0, WHOLE, n_requests, 1, 1000000),
    ROW("warmup", 0, WHOLE, n_warmup, 0, 1000000),
    ROW("repeat", 0, WHOLE, n_repetitions, 1, BENCH_MAX_REPETITIONS),
    ROW("threads", 0, WHOLE, n_threads, 0, 1024),
    ROW("seed", 0, WHOLE, seed, 0, 1000000000),
    ROW("context", 0, WHOLE, context, 1, 1000000),
    ROW("bandwidth", 0, NUMBER, bandwidth_gb, 0.1, 1e6),
    ROW("peak", 0, NUMBER, peak_tflop, 0.001, 1e6),
    ROW("least", 0, NUMBER, least, 0, 100),
    ROW("deadline", 0, NUMBER, deadline_s, 0.001, 1e6),
    ROW("url", 0, TEXT, url, 0, 0),
    ROW("voice", 0, TEXT, voice, 0, 0),
    ROW("fields", 0, TEXT, fields, 0, 0),
    ROW("key-file", 0, TEXT, key_file, 0, 0),
    ROW("sample-rate", 0, WHOLE, sample_rate, 0, 192000),
    ROW("whole", 0, FLAG, whole, 0, 0),
    ROW("no-cache", 0, FLAG, no_cache, 0, 0),
};
#undef ROW

static const char help[] =
    "Usage: sparkmill bench kernels|engine --model DIR [OPTION]...\n"
    "       sparkmill bench serve --url URL [OPTION]...\n"
    "       sparkmill bench paper --model DIR --bandwidth GB --peak TFLOP\n"
    "       sparkmill bench compare BEFORE.json AFTER.json\n"
    "kernels: steps of the model, each beside the limit measured in the same run.\n"
    "engine: many requests at once: frames a second, time to the first sound, gaps.\n"
    "serve: the same of any server that speaks OpenAI's words.\n"
    "paper: what a card with that bandwidth and arithmetic could do at most.\n"
    "compare: two results of engine or serve; exit status 1: something got worse.\n\n"
    "  --model DIR          checkpoint folder (serve: the model's name; tts-1)\n"
    "  --devices LIST       as for sparkmill say\n"
    "  --precision NAME     auto fp32 bf16 int8\n"
    "  --threads N          of kernels; 0 = one per processor\n"
    "  --concurrency LIST   closed loop, utterances at once: 1,2,4,8\n"
    "  --rate LIST          open loop, requests a second at random moments; none\n"
    "  --requests N         a point of load; twice the concurrency, ten seconds of\n"
    "                       the rate, 8 at least\n"
    "  --warmup N           requests before the first point; 2\n"
    "  --repeat N           runs of each point; 3\n"
    "  --text FILE          the text to read; the opening of a novel\n"
    "  --deadline SECONDS   until the first sound of a good request; 1\n"
    "  --whole              no streaming: sound when all is said\n"
    "  --seed N             of texts, moments and voices; 1\n"
    "  --url URL            http://HOST:PORT; the key is in OPENAI_API_KEY or\n"
    "  --key-file FILE      this file\n"
    "  --voice NAME         alloy\n"
    "  --fields JSON        an object: more fields of each request\n"
    "  --sample-rate N      of its pcm; as it says, else 24000\n"
    "  --bandwidth GB       a second, and\n"
    "  --peak TFLOP         a second: the device's limits where they are not measured\n"
    "  --context N          tokens a sequence holds, for paper; 400\n"
    "  --least SHARE        smaller changes are none, for compare; 0.05\n"
    "  -o, --output DIR     write DIR/engine.csv (serve.csv), .json and pictures";

/* ------------------------------------------------------------------ options */

/* "1,2,4" as numbers; the count, or -1 after saying what is wrong. */
static int read_list(const char *name, const char *list, double low, double high, double *out) {
    int n = 0;
    for (const char *at = list; at; n++) {
        char item[32];
        size_t length = strcspn(at, ",");
        snprintf(item, sizeof item, "%.*s", (int)length, at);
        if (n == MILL_BENCH_MAX_LOADS) {
            mill_command_usage("bench", "%s: at most %d of them", name, MILL_BENCH_MAX_LOADS);
            return -1;
        }
        if (!mill_option_number("bench", name, item, low, high, &out[n]))
            return -1;
        at = at[length] ? at + length + 1 : NULL;
    }
    return n;
}

static int read_options(struct mill_bench_options *o, int argc, char **argv, int *first) {
    *o = (struct mill_bench_options){.n_warmup = 2,
                                     .n_repetitions = 3,
                                     .seed = 1,
                                     .context = 400,
                                     .least = 0.05,
                                     .deadline_s = 1};
    const struct mill_command_line line = {"bench", help, rows, sizeof rows / sizeof *rows};
    int result = mill_options_read(&line, argc, argv, o, first);
    if (result != MILL_GO_ON)
        return result;
    double concurrencies[MILL_BENCH_MAX_LOADS];
    const char *list = o->concurrency_list ? o->concurrency_list : o->rate_list ? NULL : "1,2,4,8";
    o->n_concurrencies = read_list("--concurrency", list, 1, 1024, concurrencies);
    o->n_rates = read_list("--rate", o->rate_list, 0.001, 100000, o->rates);
    if (o->n_concurrencies < 0 || o->n_rates < 0)
        return MILL_EXIT_USAGE;
    for (int i = 0; i < o->n_concurrencies; i++)
        o->concurrencies[i] = (int32_t)concurrencies[i];
    return MILL_GO_ON;
}

/* ------------------------------------------------------------------ kernels, paper, compare */

static mill_status run_kernels(const struct mill_bench_options *o, struct mill_error *err) {
    char *cache = o->no_cache ? NULL : mill_cache_folder();
    const struct mill_device_options options = {.folder = o->model,
                                                .cache = cache,
                                                .backend = o->devices,
                                                .precision = o->precision,
                                                .n_threads = (int32_t)o->n_threads};
    mill_status status = bench_kernels_run(&options, err);
    free(cache);
    return status;
}

static mill_status run_paper(const struct mill_bench_options *o, struct mill_error *err) {
    struct mill_shape shape;
    MILL_TRY(mill_shape_read(&shape, o->model, err));
    if (o->bandwidth_gb <= 0 || o->peak_tflop <= 0)
        return mill_fail(err, MILL_E_INPUT,
                         "the card's limits are missing: --bandwidth 4300 --peak 790 is an H200");
    const struct bench_paper_device device = {o->bandwidth_gb * 1e9, o->peak_tflop * 1e12,
                                              o->peak_tflop * 1e12};
    int32_t head_rows = shape.bicodec.quantizer.codebook_size + 1;
    const struct {
        const char *name;
        enum mill_dtype dtype;
    } kinds[] = {{"bf16", MILL_BF16}, {"8-bit", MILL_I8}};
    printf("weights,batch,step_ms,lm_tokens_per_s,frames_per_s,x_real_time\n");
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct bench_paper_model model =
            bench_paper_model_of(&shape, kinds[k].dtype, kinds[k].dtype, head_rows);
        for (double batch = 1; batch <= 1024; batch *= 4) {
            double step_s = bench_paper_step_s(&model, &device, batch, (double)o->context);
            double frames = bench_paper_frames_per_s(&model, &device, batch, (double)o->context);
            printf("%s,%.0f,%.4f,%.0f,%.0f,%.1f\n", kinds[k].name, batch, 1e3 * step_s,
                   batch / step_s, frames, frames * shape.bicodec.hop / shape.bicodec.sample_rate);
        }
    }
    return MILL_OK;
}

static int run_compare(const struct mill_bench_options *o, int n, char **files) {
    struct mill_error err = {""};
    int n_worse = 0;
    if (n != 2)
        return mill_command_usage("bench", "compare wants two files: BEFORE.json AFTER.json");
    mill_status status = bench_result_compare(files[0], files[1], o->least, stdout, &n_worse, &err);
    if (status < 0)
        return mill_command_fail("bench", status, &err);
    if (n_worse > 0)
        fprintf(stderr, "%d figures got worse beyond noise\n", n_worse);
    return n_worse > 0 ? MILL_EXIT_FAILED : MILL_EXIT_OK;
}

int mill_command_bench(int argc, char **argv) {
    struct mill_bench_options options;
    int first, result = read_options(&options, argc, argv, &first);
    if (result != MILL_GO_ON)
        return result;
    static const struct {
        const char *name;
        mill_status (*run)(const struct mill_bench_options *, struct mill_error *);
    } kinds[] = {{"kernels", run_kernels},
                 {"engine", mill_bench_engine},
                 {"serve", mill_bench_serve},
                 {"paper", run_paper}};
    const char *kind = first < argc ? argv[first] : "";
    if (strcmp(kind, "compare") == 0)
        return run_compare(&options, argc - first - 1, argv + first + 1);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kind, kinds[i].name) != 0)
            continue;
        if (!options.model && kinds[i].run != mill_bench_serve)
            return mill_command_usage("bench", "which model? --model DIR");
        struct mill_error err = {""};
        mill_status status = kinds[i].run(&options, &err);
        return status < 0 ? mill_command_fail("bench", status, &err) : MILL_EXIT_OK;
    }
    return mill_command_usage("bench", "what? One of kernels, engine, serve, paper and compare");
}
