/* weight_store.h - a planned image of weights, brought to its backend: from the cache; else made
 * into the cache; else, where no cache can be written, made in memory.
 *
 * Whatever goes wrong with a cache file costs only time: it is made again, or done without. The
 * store owns the image, on the host or on the device; it borrows the backend. */
#ifndef MILL_MODEL_WEIGHT_STORE_H
#define MILL_MODEL_WEIGHT_STORE_H

#include "runtime/base/byte_progress.h"
#include "runtime/model/image_cache.h"
#include "runtime/model/tensor_table.h"

struct mill_weight_store {
    const struct mill_backend_ops *ops;
    struct mill_backend *backend;
    struct mill_image_memory memory;
    const void *device; /* what upload returned; NULL = nothing uploaded */
    void *copy;         /* in its place: another device's, copied */
    bool from_cache;
};

/* What the store is filled from. */
struct mill_weight_store_source {
    const char *folder; /* the checkpoint's, for the cache file's name */
    const char *cache;  /* folder for converted images; NULL = none */
    struct mill_image_plan *plan;
    const struct mill_tensors *const *files; /* those that the plan reads */
    int n_files;
    struct mill_byte_progress progress;
};

/* Open a checkpoint's file and check that it holds what the uses (enum mill_tensor_use) need. */
mill_status mill_weight_file_open(struct mill_tensors **out, const char *folder,
                                  const struct mill_shape *shape, enum mill_tensor_file file,
                                  unsigned needed_uses, struct mill_error *err);

/* Fill `store`, whose ops and backend are set, from another device that has the same image, and
 * bind the plan's slots. The other one is not in use meanwhile. */
mill_status mill_weight_store_copy(struct mill_weight_store *store,
                                   const struct mill_weight_store *from,
                                   const struct mill_image_plan *plan, struct mill_error *err);
/* Fill `store`, whose ops and backend are set, and bind the plan's slots. */
mill_status mill_weight_store_open(struct mill_weight_store *store,
                                   const struct mill_weight_store_source *source,
                                   struct mill_error *err);
void mill_weight_store_close(struct mill_weight_store *store);

#endif
