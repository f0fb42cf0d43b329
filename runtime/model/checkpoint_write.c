/* checkpoint_write.c - see checkpoint_write.h. Folders, marker, safetensors files, and the stream
 * of computed elements that both file formats draw from. */
#include "runtime/model/checkpoint_write.h"

#include "runtime/base/memory.h"
#include "runtime/model/checkpoint_parts.h"
#include "runtime/text/published_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum {
    TASK_ELEMENTS = 1 << 16,
    PIECE_TASKS = 32, /* 8 MB of float32 */
    PIECE_ELEMENTS = TASK_ELEMENTS * PIECE_TASKS,
    MAX_HEADER_BYTES = 100 << 20 /* safetensors' own limit */
};

struct piece {
    struct mill_tensor_stream *stream;
    const struct mill_synth_tensor *tensor;
    size_t first, n; /* elements */
};

static void fill_task(void *context, int task, int worker) {
    struct piece *piece = context;
    struct mill_tensor_stream *stream = piece->stream;
    size_t low = (size_t)task * TASK_ELEMENTS;
    size_t high = low + TASK_ELEMENTS < piece->n ? low + TASK_ELEMENTS : piece->n;
    (void)worker;
    mill_synth_fill(piece->tensor, piece->first + low, high - low, stream->values + low);
    if (stream->options->dtype == MILL_BF16)
        for (size_t i = low; i < high; i++)
            stream->halves[i] = mill_bf16_from_f32(stream->values[i]);
    else if (stream->options->dtype == MILL_F16)
        for (size_t i = low; i < high; i++)
            stream->halves[i] = mill_f16_from_f32(stream->values[i]);
}

mill_status mill_tensor_stream_write(struct mill_tensor_stream *stream, struct mill_output *output,
                                     uint64_t offset, const struct mill_tensor_spec *spec,
                                     uint32_t *crc, struct mill_error *err) {
    const struct mill_checkpoint_options *options = stream->options;
    const void *data =
        options->dtype == MILL_F32 ? (const void *)stream->values : (const void *)stream->halves;
    size_t elements = mill_tensor_spec_elements(spec);
    struct mill_synth_tensor tensor;
    mill_synth_tensor_init(&tensor, spec, options->seed);
    for (size_t first = 0; first < elements; first += PIECE_ELEMENTS) {
        size_t n = elements - first < PIECE_ELEMENTS ? elements - first : PIECE_ELEMENTS;
        size_t bytes = n * mill_dtype_bytes(options->dtype);
        struct piece piece = {stream, &tensor, first, n};
        mill_pool_run(stream->pool, fill_task, &piece,
                      (int)((n + TASK_ELEMENTS - 1) / TASK_ELEMENTS));
        MILL_TRY(mill_output_write_at(output, offset, data, bytes, err));
        if (crc)
            *crc = (uint32_t)crc32(*crc, data, (uInt)bytes);
        offset += bytes;
        stream->done_bytes += bytes;
        mill_byte_progress_update(&options->progress, stream->done_bytes, stream->all_bytes);
    }
    return MILL_OK;
}

mill_status mill_checkpoint_write_text(const char *folder, const char *name, const char *text,
                                       size_t size, struct mill_error *err) {
    char *path = mill_path_join(folder, name);
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "out of memory for a path");
    mill_status status = mill_file_write(path, text, size, err);
    free(path);
    return status;
}

/* The header as the safetensors library writes it: names ascending, padded with blanks such that
 * the data begin at a multiple of 8. The published BiCodec file has no metadata. */
static mill_status put_header(struct mill_buffer *header, const struct mill_tensor_table *table,
                              enum mill_dtype dtype, struct mill_error *err) {
    size_t at = 0;
    MILL_TRY(mill_buffer_printf(
        header, err, "{%s",
        table->file == MILL_FILE_LLM ? "\"__metadata__\":{\"format\":\"pt\"}," : ""));
    for (int32_t i = 0; i < table->n_specs; i++) {
        const struct mill_tensor_spec *spec = &table->specs[table->by_name[i]];
        size_t bytes = mill_tensor_spec_elements(spec) * mill_dtype_bytes(dtype);
        MILL_TRY(mill_buffer_printf(header, err, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[",
                                    i ? "," : "", spec->name, mill_dtype_name(dtype)));
        for (int32_t d = 0; d < spec->n_dims; d++)
            MILL_TRY(
                mill_buffer_printf(header, err, "%s%lld", d ? "," : "", (long long)spec->shape[d]));
        MILL_TRY(mill_buffer_printf(header, err, "],\"data_offsets\":[%zu,%zu]}", at, at + bytes));
        at += bytes;
    }
    size_t blanks = (8 - (header->size + 1) % 8) % 8;
    return mill_buffer_printf(header, err, "}%*s", (int)blanks, "");
}

static mill_status write_safetensors(struct mill_tensor_stream *stream, struct mill_output *output,
                                     const struct mill_tensor_table *table,
                                     struct mill_error *err) {
    struct mill_buffer header;
    size_t element = mill_dtype_bytes(stream->options->dtype);
    mill_buffer_init(&header, MAX_HEADER_BYTES);
    mill_status status = put_header(&header, table, stream->options->dtype, err);
    uint64_t header_bytes = header.size, offset = sizeof header_bytes + header.size;
    if (status >= 0)
        status = mill_output_write(output, &header_bytes, sizeof header_bytes, err);
    if (status >= 0)
        status = mill_output_write(output, header.data, header.size, err);
    mill_buffer_deinit(&header);
    for (int32_t i = 0; status >= 0 && i < table->n_specs; i++) {
        const struct mill_tensor_spec *spec = &table->specs[table->by_name[i]];
        status = mill_tensor_stream_write(stream, output, offset, spec, NULL, err);
        offset += mill_tensor_spec_elements(spec) * element;
    }
    return status >= 0 ? mill_output_commit(output, err) : status;
}

static mill_status write_tensors(struct mill_tensor_stream *stream, const char *folder,
                                 const struct mill_tensor_table *table, int32_t hidden,
                                 struct mill_error *err) {
    char *path = mill_path_join(folder, mill_tensor_file_path(table->file));
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "out of memory for a path");
    mill_status status;
    if (table->file == MILL_FILE_WAV2VEC2) {
        status = mill_checkpoint_write_torch(stream, path, table, hidden, err);
    } else {
        struct mill_output output;
        status = mill_output_open(&output, path, err);
        if (status >= 0) {
            status = write_safetensors(stream, &output, table, err);
            mill_output_close(&output);
        }
    }
    free(path);
    return status;
}

/* What is left in it of a checkpoint whose writer was killed goes. */
static mill_status make_folder(const char *path, struct mill_error *err) {
    MILL_TRY(mill_folder_make(path, err));
    mill_output_sweep_folder(path);
    return MILL_OK;
}

static mill_status make_part(const char *folder, const char *name, struct mill_error *err) {
    char *path = mill_path_join(folder, name);
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "out of memory for a path");
    mill_status status = make_folder(path, err);
    free(path);
    return status;
}

/* Everything but the tensors. */
static mill_status write_small_files(const char *folder, const struct mill_shape *shape,
                                     const struct mill_checkpoint_options *options,
                                     struct mill_error *err) {
    char marker[192];
    int size = snprintf(marker, sizeof marker,
                        "config %.64s seed %llu: weights from a recipe, not speech\n",
                        options->label, (unsigned long long)options->seed);
    MILL_TRY(make_folder(folder, err));
    MILL_TRY(mill_checkpoint_write_text(folder, MILL_SYNTHETIC_MARKER, marker, (size_t)size, err));
    MILL_TRY(make_part(folder, "LLM", err));
    MILL_TRY(make_part(folder, "BiCodec", err));
    if (shape->wav2vec2.n_convs)
        MILL_TRY(make_part(folder, "wav2vec2-large-xlsr-53", err));
    MILL_TRY(mill_checkpoint_write_configs(folder, shape, options->dtype, err));
    if (options->without_tokenizer)
        return MILL_OK;
    char *llm = mill_path_join(folder, "LLM");
    if (!llm)
        return mill_fail(err, MILL_E_MEMORY, "out of memory for a path");
    mill_status status = mill_published_tokenizer_write(llm, err);
    free(llm);
    return status;
}

mill_status mill_checkpoint_write(const char *folder, const struct mill_shape *shape,
                                  const struct mill_checkpoint_options *options,
                                  struct mill_error *err) {
    struct mill_tensor_table *tables[MILL_FILE_COUNT] = {NULL};
    struct mill_tensor_stream stream = {.options = options};
    mill_status status = write_small_files(folder, shape, options, err);
    if (status >= 0)
        status = mill_pool_open(&stream.pool, 0, err);
    stream.values = mill_alloc_aligned(PIECE_ELEMENTS * sizeof *stream.values);
    stream.halves = mill_alloc_aligned(PIECE_ELEMENTS * sizeof *stream.halves);
    if (status >= 0 && (!stream.values || !stream.halves))
        status = mill_fail(err, MILL_E_MEMORY, "out of memory for a piece of a tensor");
    for (int i = 0; status >= 0 && i < MILL_FILE_COUNT; i++) {
        status = mill_tensor_table_open(&tables[i], shape, (enum mill_tensor_file)i, err);
        if (status >= 0)
            stream.all_bytes +=
                mill_tensor_table_elements(tables[i]) * mill_dtype_bytes(options->dtype);
    }
    for (int i = 0; status >= 0 && i < MILL_FILE_COUNT; i++)
        if (tables[i]->n_specs)
            status = write_tensors(&stream, folder, tables[i], shape->wav2vec2.hidden, err);
    for (int i = 0; i < MILL_FILE_COUNT; i++)
        mill_tensor_table_close(tables[i]);
    free(stream.values);
    free(stream.halves);
    mill_pool_close(stream.pool);
    return status < 0 ? mill_context(err, status, "synthetic checkpoint '%s'", folder) : status;
}

bool mill_checkpoint_is_synthetic(const char *folder) {
    char *path = mill_path_join(folder, MILL_SYNTHETIC_MARKER);
    bool found = path && access(path, F_OK) == 0;
    free(path);
    return found;
}
