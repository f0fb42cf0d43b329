/* synth_model.c - `sparkmill synth-model`: a checkpoint folder in the published layout whose
 * weights anyone can compute again. One thread here; the writer uses all processors. */
#include "runtime/base/clock.h"
#include "runtime/base/file.h"
#include "runtime/model/checkpoint_write.h"
#include "tools/command.h"
#include "tools/progress.h"

#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const char command[] = "synth-model";

static const char help[] =
    "Usage: sparkmill synth-model [OPTION]... DIR\n"
    "Write a checkpoint in the published layout with synthetic weights: a recipe that\n"
    "needs no download and makes noise, not speech. For tests and measurements.\n"
    "\n"
    "  --config tiny|full  full has every published size (4 GB), tiny the same\n"
    "                      structure with small widths (120 MB)    [tiny]\n"
    "  --seed N            another seed, other weights             [0]\n"
    "  --dtype TYPE        f32 (as published), bf16 or f16         [f32]\n"
    "  --no-cloning        leave out wav2vec2 (1.3 GB of full), which only\n"
    "                      cloning with a transcript needs\n"
    "\n"
    "DIR is made. It may exist if it is empty or holds a synthetic checkpoint, which\n"
    "is then replaced.";

struct request {
    const char *config_name, *dtype_name; /* NULL where not given */
    enum mill_synth_config config;
    enum mill_dtype dtype;
    long long seed;
    bool no_cloning;
    const char *folder;
};

#define ROW(...) MILL_OPTION(request, __VA_ARGS__)
static const struct mill_option rows[] = {
    ROW("config", 0, TEXT, config_name, 0, 0),
    ROW("seed", 0, WHOLE, seed, 0, 1LL << 53),
    ROW("dtype", 0, TEXT, dtype_name, 0, 0),
    ROW("no-cloning", 0, FLAG, no_cloning, 0, 0),
};
#undef ROW

static bool find_config(const char *name, enum mill_synth_config *out) {
    for (int i = 0; i < MILL_SYNTH_CONFIG_COUNT; i++)
        if (strcmp(name, mill_synth_config_name((enum mill_synth_config)i)) == 0) {
            *out = (enum mill_synth_config)i;
            return true;
        }
    return false;
}

static bool find_dtype(const char *name, enum mill_dtype *out) {
    static const struct {
        const char *name;
        enum mill_dtype dtype;
    } types[] = {{"f32", MILL_F32}, {"bf16", MILL_BF16}, {"f16", MILL_F16}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(name, types[i].name) == 0) {
            *out = types[i].dtype;
            return true;
        }
    return false;
}

static int parse(struct request *r, int argc, char **argv) {
    const struct mill_command_line line = {command, help, rows, sizeof rows / sizeof *rows};
    int first, result = mill_options_read(&line, argc, argv, r, &first);
    if (result != MILL_GO_ON)
        return result;
    if (r->config_name && !find_config(r->config_name, &r->config))
        return mill_command_usage(command, "--config '%s': tiny or full is wanted", r->config_name);
    if (r->dtype_name && !find_dtype(r->dtype_name, &r->dtype))
        return mill_command_usage(command, "--dtype '%s': f32, bf16 or f16 is wanted",
                                  r->dtype_name);
    if (argc - first != 1)
        return mill_command_usage(command, "one folder is wanted");
    r->folder = argv[first];
    return MILL_GO_ON;
}

/* What a writer that was killed at its first file left: that file is the marker. */
static bool is_half_a_marker(const char *name) {
    size_t n = strlen(MILL_SYNTHETIC_MARKER);
    return strncmp(name, MILL_SYNTHETIC_MARKER, n) == 0 && mill_output_is_temporary(name, n);
}

/* Nothing but what this command wrote may be overwritten. */
static mill_status check_folder(const struct request *r, struct mill_error *err) {
    DIR *folder = opendir(r->folder);
    if (!folder)
        return errno == ENOENT
                   ? MILL_OK
                   : mill_fail(err, MILL_E_INPUT, "'%s': %s", r->folder, strerror(errno));
    bool empty = true, with_wav2vec2 = false;
    for (const struct dirent *entry; (entry = readdir(folder));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            is_half_a_marker(entry->d_name))
            continue;
        empty = false;
        if (strcmp(entry->d_name, "wav2vec2-large-xlsr-53") == 0)
            with_wav2vec2 = true;
    }
    closedir(folder);
    if (!empty && !mill_checkpoint_is_synthetic(r->folder))
        return mill_fail(err, MILL_E_INPUT,
                         "'%s' has other content than a synthetic checkpoint: give a new folder",
                         r->folder);
    if (r->no_cloning && with_wav2vec2)
        return mill_fail(err, MILL_E_INPUT,
                         "'%s' holds wav2vec2, which --no-cloning leaves out: give a new folder",
                         r->folder);
    return MILL_OK;
}

static size_t count_bytes(const struct mill_shape *shape, enum mill_dtype dtype) {
    size_t elements = 0;
    for (int i = 0; i < MILL_FILE_COUNT; i++) {
        struct mill_tensor_table *table;
        if (mill_tensor_table_open(&table, shape, (enum mill_tensor_file)i, NULL) < 0)
            return 0;
        elements += mill_tensor_table_elements(table);
        mill_tensor_table_close(table);
    }
    return elements * mill_dtype_bytes(dtype);
}

int mill_command_synth_model(int argc, char **argv) {
    struct request r = {.config = MILL_SYNTH_TINY, .dtype = MILL_F32};
    struct mill_error err = {0};
    struct mill_progress progress;
    struct mill_shape shape;
    int result = parse(&r, argc, argv);
    if (result != MILL_GO_ON)
        return result;
    mill_synth_shape(&shape, r.config);
    if (r.no_cloning)
        shape.wav2vec2 = (struct mill_wav2vec2_shape){0};
    mill_status written = check_folder(&r, &err);
    if (written < 0)
        return mill_command_fail(command, written, &err);
    size_t bytes = count_bytes(&shape, r.dtype);
    struct mill_checkpoint_options options = {.seed = (uint64_t)r.seed,
                                              .dtype = r.dtype,
                                              .label = mill_synth_config_name(r.config),
                                              .progress = {mill_progress_update_bytes, &progress}};
    double start = mill_clock_seconds();
    mill_progress_start(&progress, "writing", "bytes", (double)bytes);
    written = mill_checkpoint_write(r.folder, &shape, &options, &err);
    mill_progress_end(&progress);
    if (written < 0)
        return mill_command_fail(command, written, &err);
    fprintf(stderr, "%s: %s, seed %lld, %s, %.2f GB in %.1f s; synthetic: noise, not speech\n",
            r.folder, options.label, r.seed, mill_dtype_name(r.dtype), 1e-9 * (double)bytes,
            mill_clock_seconds() - start);
    return MILL_EXIT_OK;
}
