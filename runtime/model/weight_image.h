/* weight_image.h - the flat image of all weights: planned first, then filled, then bound.
 *
 *     | entry 0 | gap | entry 1 | gap | ...        every entry 64-byte aligned, gaps are zeros
 *
 * A plan lists the entries in order: where each lies, from which rows it is made, and which pointer
 * shall point to it. One list serves all three steps, so what is laid out and what is bound cannot
 * differ. Filling goes through the checkpoint piece by piece on a few threads; what was read of it
 * is forgotten again. The plan owns its entries and borrows everything else. */
#ifndef MILL_MODEL_WEIGHT_IMAGE_H
#define MILL_MODEL_WEIGHT_IMAGE_H

#include "kernels/backend.h"
#include "runtime/base/byte_progress.h"
#include "runtime/model/weight_rows.h"

enum mill_image_form {
    MILL_IMAGE_PACKED, /* in the backend's order, by weight_pack */
    MILL_IMAGE_TABLE   /* row-major, F32 or BF16 */
};

struct mill_image_entry {
    char name[160]; /* for messages and for the image's identity */
    enum mill_image_form form;
    struct mill_weight_shape shape;
    size_t offset, bytes;
    struct mill_row_source source;
    void *slot; /* the pointer that shall point to it; any object pointer type */
};

struct mill_image_plan {
    const struct mill_backend_ops *ops;
    struct mill_image_entry *entries;
    size_t n_entries, capacity;
    size_t bytes; /* of the image, a multiple of MILL_ALIGNMENT */
};

void mill_image_plan_init(struct mill_image_plan *plan, const struct mill_backend_ops *ops);
void mill_image_plan_deinit(struct mill_image_plan *plan);

/* Append an entry; name, form, source and slot are the caller's, the rest is worked out here. */
mill_status mill_image_plan_add(struct mill_image_plan *plan, const struct mill_image_entry *entry,
                                enum mill_dtype dtype, struct mill_error *err);

/* Let every slot point into an image at `base`. */
void mill_image_bind(const struct mill_image_plan *plan, const void *base);

/* Where the image goes: memory (zeroed before), or a file (reading as zeros before). */
struct mill_image_target {
    uint8_t *memory;
    struct mill_output *output; /* used where memory is NULL */
    uint64_t file_offset;       /* of the image's first byte */
    bool write_failed;          /* out: the file, not the checkpoint, is to blame */
    struct mill_byte_progress progress;
};
mill_status mill_image_fill(struct mill_image_plan *plan, struct mill_image_target *target,
                            struct mill_error *err);

#endif
