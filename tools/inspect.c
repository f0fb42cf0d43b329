/* inspect.c - `sparkmill inspect`: what is in a checkpoint folder or in one file of tensors, and is
 * it what its configuration, or the published repository, says it should be.
 *
 * Results go to standard output, 80 columns. Exit status 2 where something is wrong with the
 * checkpoint; files that differ from the published ones are only reported, since a checkpoint may
 * rightly have other weights. One thread. */
#include "tools/inspect.h"
#include "runtime/base/memory.h"
#include "runtime/base/utf8.h"
#include "runtime/io/sha256.h"
#include "runtime/model/checkpoint_write.h"
#include "tools/command.h"
#include "tools/progress.h"
#include "tools/pull_manifest.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_LINES = 8, PIECE_ELEMENTS = 1 << 16, CREATION_ROWS = 1024 };

static const char command[] = "inspect";

static const char help[] =
    "Usage: sparkmill inspect [OPTION]... DIR|FILE\n"
    "What is in a checkpoint folder: its sizes, its tensors against its\n"
    "configuration, the memory each precision needs, and how it compares with the\n"
    "published repository. For a file (.safetensors, .bin): its tensors.\n"
    "\n"
    "  --memory  what it takes of a GPU, and nothing else\n"
    "  --hash    compare SHA-256 with the published files (reads everything once)\n"
    "  --values  look for values that are not finite numbers (reads everything once)\n"
    "\n"
    "Exit status: 0 nothing is wrong, 2 something is.";

struct request {
    bool hash, values, memory;
    const char *path;
};

/* Names come from files: nothing of them that a terminal would obey is printed. */
static void print_clean(const char *text) {
    char *clean = strdup(text);
    if (clean) {
        mill_utf8_make_printable(clean);
        fputs(clean, stdout);
    }
    free(clean);
}

/* The number in units that keep it short, as "2.03 GB". */
static const char *amount(double value, const char *unit, char out[24]) {
    static const char *const prefixes[] = {"", "k", "M", "G", "T"};
    int i = 0;
    for (; value >= 999.5 && i < 4; i++)
        value /= 1000;
    snprintf(out, 24, i && value < 99.95 ? "%.3g %s%s" : "%.0f %s%s", value, prefixes[i], unit);
    return out;
}

static void print_sizes(const struct mill_shape *s) {
    const struct mill_llm_shape *l = &s->llm;
    const struct mill_bicodec_shape *b = &s->bicodec;
    printf("Sizes, from the configuration\n");
    printf("  language model  %d layers, width %d, feed-forward %d\n", l->n_layers, l->hidden,
           l->intermediate);
    printf("                  %d heads over %d keys/values of %d, vocabulary %d\n", l->n_heads,
           l->n_kv_heads, l->head_dim, l->vocab);
    printf("  codec           %d Hz, %.4g frames/s of %d samples, %d codewords of %d\n",
           b->sample_rate, (double)b->sample_rate / b->hop, b->hop, b->quantizer.codebook_size,
           b->quantizer.codebook_dim);
    printf("  decoder         %d layers of %d (inner %d), width %d\n", b->prenet.n_layers,
           b->prenet.dim, b->prenet.intermediate, b->prenet.output);
    printf("  wave generator  %d channels, rates", b->generator.channels);
    for (int32_t i = 0; i < b->generator.n_stages; i++)
        printf(" %d", b->generator.rates[i]);
    printf("\n  voice           %d tokens of %d values, levels", b->speaker.n_tokens,
           mill_shape_global_codes(s));
    for (int32_t i = 0; i < b->speaker.n_levels; i++)
        printf(" %d", b->speaker.levels[i]);
    if (s->wav2vec2.n_convs)
        printf("\n  wav2vec2        %d layers, width %d, %d convolutions\n", s->wav2vec2.n_layers,
               s->wav2vec2.hidden, s->wav2vec2.n_convs);
    else
        printf("\n  wav2vec2        none: no cloning with a transcript\n");
}

/* "F32", or "F32 x 420, I64 x 1". */
static void print_dtypes(const struct mill_tensors *file) {
    size_t count[MILL_DTYPE_COUNT] = {0};
    int kinds = 0;
    for (size_t i = 0; i < file->n_entries; i++)
        kinds += count[file->entries[i].dtype]++ == 0;
    const char *separator = "";
    for (int d = 0; d < MILL_DTYPE_COUNT; d++)
        if (count[d]) {
            printf("%s%s", separator, mill_dtype_name((enum mill_dtype)d));
            if (kinds > 1)
                printf(" x %zu", count[d]);
            separator = ", ";
        }
    printf("\n");
}

static mill_status open_tensors(struct mill_tensors **out, const char *path,
                                struct mill_error *err) {
    const char *dot = strrchr(path, '.');
    bool torch = dot && (strcmp(dot, ".bin") == 0 || strcmp(dot, ".pt") == 0);
    return torch ? mill_torch_open(out, path, err) : mill_safetensors_open(out, path, err);
}

struct problems {
    int n;
};

static bool print_problem(void *context, enum mill_tensor_problem problem, const char *line) {
    struct problems *problems = context;
    (void)problem;
    if (problems->n++ < MAX_LINES) {
        printf("    ");
        print_clean(line);
        printf("\n");
    }
    return true;
}

static bool is_scannable(enum mill_dtype dtype) {
    return dtype == MILL_F64 || dtype == MILL_F32 || dtype == MILL_F16 || dtype == MILL_BF16;
}

/* Values of a tensor that are NaN or infinite. */
static size_t count_not_finite(const struct mill_tensors *file,
                               const struct mill_tensor_entry *entry, float *piece) {
    size_t size = mill_dtype_bytes(entry->dtype), n = entry->bytes / size, bad = 0;
    for (size_t first = 0; first < n; first += PIECE_ELEMENTS) {
        size_t count = n - first < PIECE_ELEMENTS ? n - first : PIECE_ELEMENTS;
        mill_dtype_to_f32(entry->dtype, file->mapping.data + entry->offset + first * size, piece,
                          count);
        for (size_t i = 0; i < count; i++)
            bad += !isfinite(piece[i]);
    }
    mill_mapping_forget(&file->mapping, entry->offset, entry->bytes);
    return bad;
}

static int scan_values(const struct mill_tensors *file, const char *label) {
    float *piece = mill_alloc_array(PIECE_ELEMENTS, sizeof *piece);
    struct mill_progress progress;
    int n_bad = 0;
    size_t done = 0;
    if (!piece)
        return mill_command_fail(command, MILL_E_MEMORY, NULL);
    mill_progress_start(&progress, label, "bytes", (double)file->mapping.size);
    for (size_t i = 0; i < file->n_entries; i++) {
        const struct mill_tensor_entry *entry = &file->entries[i];
        size_t bad = is_scannable(entry->dtype) ? count_not_finite(file, entry, piece) : 0;
        if (bad && n_bad++ < MAX_LINES) {
            mill_progress_end(&progress);
            printf("    tensor '");
            print_clean(entry->name);
            printf("': %zu values are not finite\n", bad);
        }
        done += entry->bytes;
        mill_progress_update(&progress, (double)done);
    }
    mill_progress_end(&progress);
    free(piece);
    printf("    values: %s\n", n_bad ? "not all finite" : "all finite");
    return n_bad ? MILL_EXIT_USAGE : MILL_EXIT_OK;
}

/* One file of the checkpoint against its table. */
static int inspect_part(const struct request *r, const struct mill_tensor_table *table) {
    const char *name = mill_tensor_file_path(table->file);
    struct mill_tensors *file = NULL;
    struct mill_error err = {0};
    struct problems problems = {0};
    char bytes[24], elements[24];
    char *path = mill_path_join(r->path, name);
    if (!path)
        return mill_command_fail(command, MILL_E_MEMORY, NULL);
    mill_status status = open_tensors(&file, path, &err);
    free(path);
    if (status < 0)
        return mill_command_fail(command, status, &err);
    printf("  %-40s %4zu tensors  %9s  ", name, file->n_entries,
           amount((double)file->mapping.size, "B", bytes));
    print_dtypes(file);
    mill_tensor_table_compare(table, file, MILL_USE_SPEAK | MILL_USE_VOICE | MILL_USE_TRANSCRIPT,
                              print_problem, &problems);
    if (problems.n > MAX_LINES)
        printf("    ... and %d more\n", problems.n - MAX_LINES);
    printf("    tensors: %s (%s elements)\n",
           problems.n ? "not what the configuration asks for" : "as the configuration asks for",
           amount((double)mill_tensor_table_elements(table), "", elements));
    int result = problems.n ? MILL_EXIT_USAGE : MILL_EXIT_OK;
    if (r->values) {
        int scanned = scan_values(file, name);
        result = result ? result : scanned;
    }
    mill_tensors_close(file);
    return result;
}

/* Bytes of weights while speaking, from the sizes alone: matrices in the precision's type (the
 * decoder's stay in bf16 under int8), the embedding, the legal rows of the head. */
static double speaking_bytes(const struct mill_shape *s, const struct mill_tensor_table *llm,
                             const struct mill_tensor_table *bicodec, double lm_bytes,
                             double other_bytes) {
    double hidden = s->llm.hidden, embedding = s->llm.vocab * hidden;
    double head_rows =
        (double)s->bicodec.quantizer.codebook_size + mill_shape_global_codes(s) + CREATION_ROWS;
    double decoder = (double)s->bicodec.quantizer.codebook_size * s->bicodec.quantizer.input;
    for (int32_t i = 0; i < bicodec->n_specs; i++) {
        const char *name = bicodec->specs[i].name;
        if (strncmp(name, "prenet.", 7) == 0 || strncmp(name, "decoder.", 8) == 0)
            decoder += (double)mill_tensor_spec_elements(&bicodec->specs[i]);
    }
    double layers = (double)mill_tensor_table_elements(llm) - embedding;
    return (layers + head_rows * hidden) * lm_bytes + (embedding + decoder) * other_bytes;
}

static void print_memory(const struct mill_shape *s, struct mill_tensor_table *const *tables) {
    static const struct {
        const char *name;
        double lm_bytes, other_bytes;
    } precisions[] = {{"fp32", 4, 4}, {"bf16", 2, 2}, {"int8", 1, 2}};
    char text[24];
    printf("Weights in memory while speaking, about\n ");
    for (size_t i = 0; i < sizeof precisions / sizeof precisions[0]; i++)
        printf(" %s %s%s", precisions[i].name,
               amount(speaking_bytes(s, tables[MILL_FILE_LLM], tables[MILL_FILE_BICODEC],
                                     precisions[i].lm_bytes, precisions[i].other_bytes),
                      "B", text),
               i < 2 ? "," : "\n");
}

/* Whether the checkpoint has the published names and shapes. */
static bool has_published_shapes(struct mill_tensor_table *const *tables) {
    struct mill_shape published;
    bool same = true;
    mill_synth_shape(&published, MILL_SYNTH_FULL);
    for (int f = 0; same && f < MILL_FILE_COUNT; f++) {
        struct mill_tensor_table *table;
        if (tables[f]->n_specs == 0) /* left out, and said so above */
            continue;
        if (mill_tensor_table_open(&table, &published, (enum mill_tensor_file)f, NULL) < 0)
            return false;
        same = table->n_specs == tables[f]->n_specs;
        for (int32_t i = 0; same && i < table->n_specs; i++) {
            const struct mill_tensor_spec *a = &table->specs[i], *b = &tables[f]->specs[i];
            same = strcmp(a->name, b->name) == 0 && a->n_dims == b->n_dims &&
                   memcmp(a->shape, b->shape, sizeof a->shape) == 0;
        }
        mill_tensor_table_close(table);
    }
    return same;
}

/* "published", "differs" and so on: how a file compares with the published one. */
static const char *compare_published(const struct request *r, const struct mill_pull_file *file,
                                     const char *path) {
    struct stat info;
    char hex[MILL_SHA256_HEX_BYTES];
    if (stat(path, &info) < 0)
        return "not there";
    if (file->exact && (uint64_t)info.st_size != file->bytes)
        return "differs in size";
    if (!r->hash || !file->sha256)
        return file->exact ? "same size" : "there";
    if (mill_sha256_file(path, hex, NULL) < 0)
        return "cannot be read";
    if (strcmp(hex, file->sha256) == 0)
        return "published, by SHA-256";
    if (file->also_seen && strncmp(hex, file->also_seen, strlen(file->also_seen)) == 0)
        return "a known copy, by SHA-256";
    return "differs in SHA-256";
}

static void print_published(const struct request *r, bool same_shapes) {
    struct mill_pull_manifest manifest;
    printf("Compared with the published repository\n");
    printf("  %-48s %s\n", "names and shapes of tensors", same_shapes ? "published" : "differ");
    if (!r->hash && mill_checkpoint_is_synthetic(r->path))
        return; /* nobody expects the files to be the same */
    if (mill_pull_manifest_open(&manifest, NULL, NULL) < 0)
        return;
    for (size_t i = 0; i < manifest.n_files; i++) {
        char *path = mill_path_join(r->path, manifest.files[i].path);
        if (path)
            printf("  %-48s %s\n", manifest.files[i].path,
                   compare_published(r, &manifest.files[i], path));
        free(path);
        fflush(stdout);
    }
    mill_pull_manifest_close(&manifest);
}

/* The marker's first line, where there is one. */
static void print_marker(const char *folder) {
    char line[160] = "";
    char *path = mill_path_join(folder, MILL_SYNTHETIC_MARKER);
    FILE *marker = path ? fopen(path, "r") : NULL;
    if (marker) {
        if (fgets(line, sizeof line, marker))
            line[strcspn(line, "\r\n")] = 0;
        printf("  synthetic: ");
        print_clean(line);
        printf("\n");
        fclose(marker);
    }
    free(path);
}

static int inspect_folder(const struct request *r) {
    struct mill_tensor_table *tables[MILL_FILE_COUNT] = {NULL};
    struct mill_shape shape;
    struct mill_error err = {0};
    mill_status status = mill_shape_read(&shape, r->path, &err);
    for (int f = 0; status >= 0 && f < MILL_FILE_COUNT; f++)
        status = mill_tensor_table_open(&tables[f], &shape, (enum mill_tensor_file)f, &err);
    int result = MILL_EXIT_OK;
    if (status < 0) {
        result = mill_command_fail(command, status, &err);
    } else {
        printf("Checkpoint %s\n", r->path);
        print_marker(r->path);
        print_sizes(&shape);
        printf("Files\n");
        for (int f = 0; f < MILL_FILE_COUNT; f++)
            if (tables[f]->n_specs) {
                int part = inspect_part(r, tables[f]);
                result = result ? result : part;
            }
        print_memory(&shape, tables);
        print_published(r, has_published_shapes(tables));
    }
    for (int f = 0; f < MILL_FILE_COUNT; f++)
        mill_tensor_table_close(tables[f]);
    return result;
}

static int inspect_file(const struct request *r) {
    struct mill_tensors *file = NULL;
    struct mill_error err = {0};
    char bytes[24];
    mill_status status = open_tensors(&file, r->path, &err);
    if (status < 0)
        return mill_command_fail(command, status, &err);
    for (size_t i = 0; i < file->n_entries; i++) {
        const struct mill_tensor_entry *entry = &file->entries[i];
        printf("%-5s %9s  ", mill_dtype_name(entry->dtype),
               amount((double)entry->bytes, "B", bytes));
        print_clean(entry->name);
        printf(" [");
        for (int32_t d = 0; d < entry->n_dims; d++)
            printf("%s%lld", d ? ", " : "", (long long)entry->shape[d]);
        printf("]\n");
    }
    printf("%zu tensors, %s, ", file->n_entries, amount((double)file->mapping.size, "B", bytes));
    print_dtypes(file);
    int result = r->values ? scan_values(file, "reading") : MILL_EXIT_OK;
    mill_tensors_close(file);
    return result;
}

#define ROW(...) MILL_OPTION(request, __VA_ARGS__)
static const struct mill_option rows[] = {
    ROW("hash", 0, FLAG, hash, 0, 0),
    ROW("values", 0, FLAG, values, 0, 0),
    ROW("memory", 0, FLAG, memory, 0, 0),
};
#undef ROW

int mill_command_inspect(int argc, char **argv) {
    struct request r = {0};
    struct stat info;
    struct mill_error err = {0};
    const struct mill_command_line line = {command, help, rows, sizeof rows / sizeof *rows};
    int first, result = mill_options_read(&line, argc, argv, &r, &first);
    if (result != MILL_GO_ON)
        return result;
    if (argc - first != 1)
        return mill_command_usage(command, "one folder or file is wanted");
    r.path = argv[first];
    if (stat(r.path, &info) < 0)
        return mill_command_fail(
            command, mill_fail(&err, MILL_E_NOT_FOUND, "'%s': %s", r.path, strerror(errno)), &err);
    if (r.memory) {
        mill_status planned = mill_inspect_memory(r.path, &err);
        return planned < 0 ? mill_command_fail(command, planned, &err) : MILL_EXIT_OK;
    }
    return S_ISDIR(info.st_mode) ? inspect_folder(&r) : inspect_file(&r);
}
