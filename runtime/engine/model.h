/* model.h - a checkpoint, opened: the one way from a folder to something that computes.
 *
 * In two parts, so that a wrong text or voice is refused before gigabytes are read, and because
 * several devices share the first:
 *
 *     mill_model    sizes, tokenizer, the format's tokens  one for a folder
 *     mill_device   backend, weights                       one for a device; of a kind they may
 *                                                          share weights
 *
 * The caller's storage, zeroed; close takes whatever came to be. */
#ifndef MILL_ENGINE_MODEL_H
#define MILL_ENGINE_MODEL_H

#include "runtime/engine/grammar.h"
#include "runtime/model/weights.h"
#include "runtime/text/tokenizer_cache.h"

struct mill_model {
    struct mill_shape shape;
    bool synthetic; /* its weights make noise, not speech */
    struct mill_cached_tokenizer tokenizer;
    const struct mill_control_tokens *control; /* the tokenizer's */
    struct mill_encoder *encoder;              /* one thread at a time */
    struct mill_grammar_tokens tokens;
};

/* `cache` NULL = none. On failure the model is closed. */
mill_status mill_model_open(struct mill_model *model, const char *folder, const char *cache,
                            struct mill_error *err);
void mill_model_close(struct mill_model *model);

/* The precision of that name, "auto" being what suits the backend; false when there is none. */
bool mill_precision_find(const char *name, const char *backend, enum mill_precision *out);
const char *mill_precision_name(enum mill_precision precision);

struct mill_device_options {
    const char *folder, *cache;         /* of the model */
    const char *backend;                /* NULL = "cpu" */
    int32_t number;                     /* which of the backend's devices */
    const char *precision;              /* NULL or "auto", "fp32", "bf16", "int8" */
    int32_t n_threads;                  /* 0 = one per processor */
    size_t memory_limit_bytes;          /* of the device, at most; 0 = what it has; for tests */
    bool full_head;                     /* for unrestricted drawing */
    const struct mill_backend_ops *ops; /* in place of the table of that name; for tests */
    struct mill_byte_progress progress; /* of the weights */
};

struct mill_device {
    const struct mill_backend_ops *ops;
    struct mill_backend *backend;
    struct mill_weights *weights;
    bool weights_borrowed;           /* of another device */
    const struct mill_weights *peer; /* another device's, to be copied by load; or NULL */
};

/* In two steps, so that what the weights take is known before it is taken: planned, the backend is
 * open and the weights have shapes and image_bytes, but no memory yet. `lender` is another open
 * device of the same model or NULL: where this backend reads the same memory its weights are used,
 * and then it must be closed later; where both are cards of a kind they are copied from there. On
 * failure the device stays open as far as it is. */
mill_status mill_device_plan(struct mill_device *device, const struct mill_model *model,
                             const struct mill_device_options *options,
                             const struct mill_device *lender, struct mill_error *err);
mill_status mill_device_load(struct mill_device *device, struct mill_error *err);
/* Both, of a device by itself. */
mill_status mill_device_open(struct mill_device *device, const struct mill_model *model,
                             const struct mill_device_options *options, struct mill_error *err);
void mill_device_close(struct mill_device *device);

/* One more backend on the device that the options name; the caller closes it, before that one. */
mill_status mill_device_open_backend(struct mill_backend **out, const struct mill_backend_ops *ops,
                                     const struct mill_device_options *options,
                                     struct mill_error *err);

#endif
