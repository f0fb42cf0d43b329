/* weight_store.c - see weight_store.h. */
#include "runtime/model/weight_store.h"

#include <stdlib.h>

mill_status mill_weight_file_open(struct mill_tensors **out, const char *folder,
                                  const struct mill_shape *shape, enum mill_tensor_file file,
                                  unsigned needed_uses, struct mill_error *err) {
    struct mill_tensor_table *table = NULL;
    char *path = mill_path_join(folder, mill_tensor_file_path(file));
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "'%s': no memory", folder);
    mill_status status = file == MILL_FILE_WAV2VEC2 ? mill_torch_open(out, path, err)
                                                    : mill_safetensors_open(out, path, err);
    free(path);
    if (status == MILL_OK)
        status = mill_tensor_table_open(&table, shape, file, err);
    if (status == MILL_OK)
        status = mill_tensor_table_check(table, *out, needed_uses, err);
    mill_tensor_table_close(table);
    return status;
}

static mill_status fill_memory(struct mill_weight_store *store,
                               const struct mill_weight_store_source *source,
                               struct mill_error *err) {
    MILL_TRY(mill_image_memory_open(&store->memory, source->plan->bytes, err));
    struct mill_image_target target = {.memory = store->memory.image, .progress = source->progress};
    return mill_image_fill(source->plan, &target, err);
}

static mill_status get_image(struct mill_weight_store *store,
                             const struct mill_weight_store_source *source,
                             struct mill_error *err) {
    if (!source->cache)
        return fill_memory(store, source, err);
    struct mill_image_key key;
    MILL_TRY(mill_image_key_make(&key, source->plan, source->files, source->n_files, err));
    char *path = mill_image_cache_path(source->cache, source->folder, &key);
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "'%s': no memory", source->cache);
    mill_status status = mill_image_cache_open(&store->memory, path, &key, source->plan->bytes);
    store->from_cache = status == MILL_OK;
    if (status < 0) {
        struct mill_image_target target = {.progress = source->progress};
        mill_folder_make(source->cache, NULL); /* where it fails, so does the next step */
        status = mill_image_cache_make(&store->memory, path, &key, source->plan, &target, err);
        if (status < 0 && target.write_failed)
            status = fill_memory(store, source, err);
    }
    free(path);
    return status;
}

/* A backend with memory of its own has copied the image; then the host's copy can go. */
static mill_status upload(struct mill_weight_store *store, size_t bytes, struct mill_error *err) {
    const uint8_t *host = store->memory.image;
    store->device = store->ops->upload(store->backend, host, bytes);
    if (!store->device)
        return mill_fail(err, MILL_E_MEMORY, "backend '%s' has no memory for %zu bytes of weights",
                         store->ops->name, bytes);
    if (store->device != host)
        mill_image_memory_close(&store->memory);
    return MILL_OK;
}

mill_status mill_weight_store_copy(struct mill_weight_store *store,
                                   const struct mill_weight_store *from,
                                   const struct mill_image_plan *plan, struct mill_error *err) {
    const struct mill_backend_ops *ops = store->ops;
    const void *image = from->copy ? from->copy : from->device;
    store->copy = ops->alloc(store->backend, plan->bytes);
    mill_status status = store->copy ? MILL_OK : MILL_E_MEMORY;
    if (status == MILL_OK)
        status = ops->copy_within(store->backend, store->copy, image, plan->bytes);
    if (status == MILL_OK)
        status = ops->synchronize(store->backend);
    if (status == MILL_OK) {
        mill_image_bind(plan, store->copy);
        return MILL_OK;
    }
    mill_fail(err, status, "backend '%s': %zu bytes of weights from another device: %s", ops->name,
              plan->bytes, mill_backend_failure(ops, store->backend, status));
    ops->free(store->backend, store->copy);
    store->copy = NULL;
    return status;
}

mill_status mill_weight_store_open(struct mill_weight_store *store,
                                   const struct mill_weight_store_source *source,
                                   struct mill_error *err) {
    MILL_TRY(get_image(store, source, err));
    MILL_TRY(upload(store, source->plan->bytes, err));
    mill_image_bind(source->plan, store->device);
    return MILL_OK;
}

void mill_weight_store_close(struct mill_weight_store *store) {
    if (store->copy)
        store->ops->free(store->backend, store->copy);
    if (store->device)
        store->ops->release(store->backend, store->device);
    mill_image_memory_close(&store->memory);
    store->device = store->copy = NULL;
}
