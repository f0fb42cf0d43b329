/* weights.c - see weights.h.
 *
 * The steps: open and check the two files; plan the image; get it, hand it to the backend and bind
 * it (weight_store.h). */
#include "runtime/model/weights.h"

#include "runtime/base/memory.h"
#include "runtime/model/weight_layout.h"
#include "runtime/model/weight_store.h"

#include <stdlib.h>

enum { N_FILES = 2 };

struct mill_weights_storage {
    struct mill_weight_store store;
    int32_t *head_row_ids;
};

/* What only opening needs. */
struct opening {
    const char *folder;
    const struct mill_weights_options *options;
    struct mill_tensors *files[N_FILES]; /* language model, BiCodec */
    struct mill_image_plan plan;
};

static mill_status open_store(struct mill_weights *weights, struct opening *opening,
                              struct mill_error *err) {
    struct mill_weight_store *store = &weights->storage->store;
    const struct mill_tensors *files[N_FILES] = {opening->files[0], opening->files[1]};
    const struct mill_weight_store_source source = {.folder = opening->folder,
                                                    .cache = opening->options->cache,
                                                    .plan = &opening->plan,
                                                    .files = files,
                                                    .n_files = N_FILES,
                                                    .progress = opening->options->progress,
                                                    .progress_context =
                                                        opening->options->progress_context};
    MILL_TRY(mill_weight_store_open(store, &source, err));
    weights->from_cache = store->from_cache;
    weights->image_bytes = opening->plan.bytes;
    return MILL_OK;
}

static mill_status open_steps(struct mill_weights *weights, struct opening *opening,
                              const struct mill_shape *shape,
                              const struct mill_control_tokens *tokens, struct mill_error *err) {
    struct mill_weights_storage *storage = weights->storage;
    MILL_TRY(mill_weight_layout_head(&weights->lm, &storage->head_row_ids, shape, tokens,
                                     opening->options->full_head, err));
    MILL_TRY(mill_weight_file_open(&opening->files[0], opening->folder, shape, MILL_FILE_LLM,
                                   MILL_USE_SPEAK, err));
    MILL_TRY(mill_weight_file_open(&opening->files[1], opening->folder, shape, MILL_FILE_BICODEC,
                                   MILL_USE_SPEAK, err));
    MILL_TRY(mill_weight_layout_plan(weights, &opening->plan, shape, storage->head_row_ids,
                                     opening->files[0], opening->files[1], err));
    return open_store(weights, opening, err);
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
    storage->store.ops = ops;
    storage->store.backend = backend;
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
    mill_weight_store_close(&storage->store);
    mill_weight_layout_free(weights);
    free(storage->head_row_ids);
    free(storage);
    free(weights);
}
