/* image_cache.h - a filled image kept in a file, so that the next open only maps it.
 *
 *     byte 0      header: magic, version, key, size, hash of the image, hash of the header
 *     byte 4096   the image
 *
 * The key says everything that the image depends on; it is in the file's name and in the header. An
 * image is used only after its whole content was hashed and found equal. A file is written under a
 * temporary name and renamed, so any number of processes may race for it, and it may be deleted at
 * any time: who has it mapped keeps it. */
#ifndef MILL_MODEL_IMAGE_CACHE_H
#define MILL_MODEL_IMAGE_CACHE_H

#include "runtime/model/weight_image.h"

struct mill_image_key {
    uint64_t low, high;
};

/* The key of a plan's image: its entries, the legal rows' ids, the backend's weight order, and the
 * identity of the source files (path, size, time of change, header, and a MiB from places all over
 * the rest). */
mill_status mill_image_key_make(struct mill_image_key *out, const struct mill_image_plan *plan,
                                const struct mill_tensors *const *files, int n_files,
                                struct mill_error *err);

/* "<cache>/<checkpoint folder's name>-<16 hex digits>.mill"; free(). NULL when memory is short. */
char *mill_image_cache_path(const char *cache, const char *folder,
                            const struct mill_image_key *key);

/* Memory that holds an image: mapped from a file, or anonymous. */
struct mill_image_memory {
    void *mapping; /* NULL = none */
    size_t mapping_bytes;
    uint8_t *image;
};
void mill_image_memory_close(struct mill_image_memory *memory);
mill_status mill_image_memory_open(struct mill_image_memory *memory, size_t image_bytes,
                                   struct mill_error *err); /* anonymous, zeroed */

/* Map an image that is there and right; MILL_E_NOT_FOUND when it is not. */
mill_status mill_image_cache_open(struct mill_image_memory *memory, const char *path,
                                  const struct mill_image_key *key, size_t image_bytes);

/* Fill a plan's image into a new file of that path and map it. `target` brings the progress call
 * and says in write_failed whether the file system is to blame (folder not writable, disk full). */
mill_status mill_image_cache_make(struct mill_image_memory *memory, const char *path,
                                  const struct mill_image_key *key, struct mill_image_plan *plan,
                                  struct mill_image_target *target, struct mill_error *err);

#endif
