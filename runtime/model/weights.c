/* weights.c - see weights.h.
 *
 * Planning opens and checks the two files and plans the image; loading gets it, hands it to the
 * backend and binds it (weight_store.h). What only the way from one to the other needs is freed
 * when they are loaded. */
#include "runtime/model/weights.h"

#include "runtime/base/memory.h"
#include "runtime/model/weight_layout.h"
#include "runtime/model/weight_store.h"

#include <stdlib.h>
#include <string.h>

enum { N_FILES = 2 };

struct mill_weights_storage {
    struct mill_weight_store store;
    int32_t *head_row_ids;
    /* Until loaded: */
    char *folder, *cache;
    struct mill_weights_options options;
    struct mill_tensors *files[N_FILES]; /* language model, BiCodec */
    struct mill_image_plan plan;
};

static void forget_files(struct mill_weights_storage *storage) {
    mill_image_plan_deinit(&storage->plan);
    for (int i = 0; i < N_FILES; i++) {
        mill_tensors_close(storage->files[i]);
        storage->files[i] = NULL;
    }
    free(storage->folder);
    free(storage->cache);
    storage->folder = storage->cache = NULL;
}

static mill_status plan_steps(struct mill_weights *weights, const struct mill_shape *shape,
                              const struct mill_control_tokens *tokens, struct mill_error *err) {
    struct mill_weights_storage *s = weights->storage;
    MILL_TRY(mill_weight_layout_head(&weights->lm, &s->head_row_ids, shape, tokens,
                                     s->options.full_head, err));
    MILL_TRY(
        mill_weight_file_open(&s->files[0], s->folder, shape, MILL_FILE_LLM, MILL_USE_SPEAK, err));
    MILL_TRY(mill_weight_file_open(&s->files[1], s->folder, shape, MILL_FILE_BICODEC,
                                   MILL_USE_SPEAK, err));
    MILL_TRY(mill_weight_layout_plan(weights, &s->plan, shape, s->head_row_ids, s->files[0],
                                     s->files[1], err));
    weights->image_bytes = s->plan.bytes;
    return MILL_OK;
}

mill_status mill_weights_plan(struct mill_weights **out, const char *folder,
                              const struct mill_shape *shape,
                              const struct mill_control_tokens *tokens,
                              const struct mill_backend_ops *ops,
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
    storage->options = *options;
    storage->folder = strdup(folder);
    storage->cache = options->cache ? strdup(options->cache) : NULL;
    mill_image_plan_init(&storage->plan, ops);
    mill_status status = MILL_OK;
    if (!storage->folder || (options->cache && !storage->cache))
        status = mill_fail(err, MILL_E_MEMORY, "no memory for the weights");
    else
        status = plan_steps(weights, shape, tokens, err);
    if (status < 0)
        mill_weights_close(weights);
    else
        *out = weights;
    return status;
}

mill_status mill_weights_load(struct mill_weights *weights, struct mill_backend *backend,
                              const struct mill_weights *peer, struct mill_error *err) {
    struct mill_weights_storage *s = weights->storage;
    const struct mill_tensors *files[N_FILES] = {s->files[0], s->files[1]};
    const struct mill_weight_store_source source = {.folder = s->folder,
                                                    .cache = s->cache,
                                                    .plan = &s->plan,
                                                    .files = files,
                                                    .n_files = N_FILES,
                                                    .progress = s->options.progress};
    s->store.backend = backend;
    mill_status status = MILL_E_DEVICE;
    if (peer)
        status = mill_weight_store_copy(&s->store, &peer->storage->store, &s->plan, err);
    if (status < 0)
        status = mill_weight_store_open(&s->store, &source, err);
    weights->from_cache = s->store.from_cache;
    forget_files(s);
    return status;
}

void mill_weights_close(struct mill_weights *weights) {
    if (!weights)
        return;
    struct mill_weights_storage *storage = weights->storage;
    mill_weight_store_close(&storage->store);
    forget_files(storage);
    mill_weight_layout_free(weights);
    free(storage->head_row_ids);
    free(storage);
    free(weights);
}
