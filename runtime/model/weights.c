/* weights.c - see weights.h.
 *
 * The steps: open and check the two files; plan the image; get it (from the cache; else made into
 * the cache; else, where no cache can be written, made in memory); hand it to the backend; bind.
 * Whatever goes wrong with a cache file costs only time: it is made again, or done without. */
#include "runtime/model/weights.h"

#include "runtime/base/memory.h"
#include "runtime/model/image_cache.h"
#include "runtime/model/tensor_table.h"
#include "runtime/model/weight_layout.h"

#include <stdlib.h>

enum { N_FILES = 2 };

struct mill_weights_storage {
    const struct mill_backend_ops *ops;
    struct mill_backend *backend;
    struct mill_image_memory memory;
    const void *device; /* what upload returned; NULL = nothing uploaded */
    int32_t *head_row_ids;
};

/* What only opening needs. */
struct opening {
    const char *folder;
    const struct mill_weights_options *options;
    struct mill_tensors *files[N_FILES]; /* language model, BiCodec */
    struct mill_image_plan plan;
};

static mill_status open_file(struct mill_tensors **out, const char *folder,
                             const struct mill_shape *shape, enum mill_tensor_file file,
                             struct mill_error *err) {
    struct mill_tensor_table *table = NULL;
    char *path = mill_path_join(folder, mill_tensor_file_path(file));
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "'%s': no memory", folder);
    mill_status status = mill_safetensors_open(out, path, err);
    free(path);
    if (status == MILL_OK)
        status = mill_tensor_table_open(&table, shape, file, err);
    if (status == MILL_OK)
        status = mill_tensor_table_check(table, *out, MILL_USE_SPEAK, err);
    mill_tensor_table_close(table);
    return status;
}

static mill_status fill_memory(struct mill_weights *weights, struct opening *opening,
                               struct mill_error *err) {
    struct mill_image_memory *memory = &weights->storage->memory;
    MILL_TRY(mill_image_memory_open(memory, opening->plan.bytes, err));
    struct mill_image_target target = {.memory = memory->image,
                                       .progress = opening->options->progress,
                                       .progress_context = opening->options->progress_context};
    return mill_image_fill(&opening->plan, &target, err);
}

static mill_status get_image(struct mill_weights *weights, struct opening *opening,
                             struct mill_error *err) {
    const char *cache = opening->options->cache;
    struct mill_image_memory *memory = &weights->storage->memory;
    if (!cache)
        return fill_memory(weights, opening, err);
    struct mill_image_key key;
    const struct mill_tensors *files[N_FILES] = {opening->files[0], opening->files[1]};
    MILL_TRY(mill_image_key_make(&key, &opening->plan, files, N_FILES, err));
    char *path = mill_image_cache_path(cache, opening->folder, &key);
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "'%s': no memory", cache);
    mill_status status = mill_image_cache_open(memory, path, &key, opening->plan.bytes);
    weights->from_cache = status == MILL_OK;
    if (status < 0) {
        struct mill_image_target target = {.progress = opening->options->progress,
                                           .progress_context = opening->options->progress_context};
        mill_folder_make(cache, NULL); /* where it fails, so does the next step */
        status = mill_image_cache_make(memory, path, &key, &opening->plan, &target, err);
        if (status < 0 && target.write_failed)
            status = fill_memory(weights, opening, err);
    }
    free(path);
    return status;
}

/* A backend with memory of its own has copied the image; then the host's copy can go. */
static mill_status upload(struct mill_weights *weights, size_t bytes, struct mill_error *err) {
    struct mill_weights_storage *storage = weights->storage;
    const uint8_t *host = storage->memory.image;
    storage->device = storage->ops->upload(storage->backend, host, bytes);
    if (!storage->device)
        return mill_fail(err, MILL_E_MEMORY, "backend '%s' has no memory for %zu bytes of weights",
                         storage->ops->name, bytes);
    if (storage->device != host)
        mill_image_memory_close(&storage->memory);
    weights->image_bytes = bytes;
    return MILL_OK;
}

static mill_status open_steps(struct mill_weights *weights, struct opening *opening,
                              const struct mill_shape *shape,
                              const struct mill_control_tokens *tokens, struct mill_error *err) {
    struct mill_weights_storage *storage = weights->storage;
    MILL_TRY(mill_weight_layout_head(&weights->lm, &storage->head_row_ids, shape, tokens,
                                     opening->options->full_head, err));
    MILL_TRY(open_file(&opening->files[0], opening->folder, shape, MILL_FILE_LLM, err));
    MILL_TRY(open_file(&opening->files[1], opening->folder, shape, MILL_FILE_BICODEC, err));
    MILL_TRY(mill_weight_layout_plan(weights, &opening->plan, shape, storage->head_row_ids,
                                     opening->files[0], opening->files[1], err));
    MILL_TRY(get_image(weights, opening, err));
    MILL_TRY(upload(weights, opening->plan.bytes, err));
    mill_image_bind(&opening->plan, storage->device);
    return MILL_OK;
}

mill_status mill_weights_open(struct mill_weights **out, const char *folder,
                              const struct mill_shape *shape,
                              const struct mill_control_tokens *tokens,
                              const struct mill_backend_ops *ops, struct mill_backend *backend,
                              const struct mill_weights_options *options, struct mill_error *err) {
    *out = NULL;
    struct mill_weights *weights = mill_alloc_array(1, sizeof *weights);
    struct mill_weights_storage *storage = mill_alloc_array(1, sizeof *storage);
    if (!weights || !storage) {
        free(weights);
        free(storage);
        return mill_fail(err, MILL_E_MEMORY, "no memory for the weights");
    }
    weights->storage = storage;
    weights->precision = options->precision;
    storage->ops = ops;
    storage->backend = backend;
    struct opening opening = {.folder = folder, .options = options};
    mill_image_plan_init(&opening.plan, ops);
    mill_status status = open_steps(weights, &opening, shape, tokens, err);
    mill_image_plan_deinit(&opening.plan);
    for (int i = 0; i < N_FILES; i++)
        mill_tensors_close(opening.files[i]);
    if (status < 0)
        mill_weights_close(weights);
    else
        *out = weights;
    return status;
}

void mill_weights_close(struct mill_weights *weights) {
    if (!weights)
        return;
    struct mill_weights_storage *storage = weights->storage;
    if (storage->device)
        storage->ops->release(storage->backend, storage->device);
    mill_image_memory_close(&storage->memory);
    mill_weight_layout_free(weights);
    free(storage->head_row_ids);
    free(storage);
    free(weights);
}
