/* small_model.h - what the tests of weights share: the small checkpoint in a folder of the
 * program's own, FOLDER, which it defines before it includes this, as it does CACHE, and opening
 * it. */
#ifndef MILL_TESTS_SMALL_MODEL_H
#define MILL_TESTS_SMALL_MODEL_H

#include "kernels/reference/reference.h"
#include "runtime/base/memory.h"
#include "runtime/model/weights.h"
#include "tests/model/checkpoint_fixture.h"
#include "tests/support/bad_input.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#define LLM_FILE FOLDER "/LLM/model.safetensors"
#define BICODEC_FILE FOLDER "/BiCodec/model.safetensors"

enum { IM_END = 3, GLOBAL = 10, SEMANTIC = 100, PITCH = 220, SPEED = 300 };

struct model {
    const struct mill_backend_ops *ops;
    struct mill_backend *backend;
    struct mill_shape shape;
    struct fixture_tokens tokens;
};

static inline mill_status try_open(struct model *model, struct mill_weights **out,
                                   enum mill_precision precision, const char *cache,
                                   struct mill_error *err) {
    struct mill_weights_options options = {
        .precision = precision, .full_head = true, .cache = cache};
    return fixture_open_weights(out, FOLDER, &model->shape, &model->tokens.tokens, model->ops,
                                model->backend, &options, err);
}

static inline struct mill_weights *
open_precision(struct model *model, enum mill_precision precision, const char *cache) {
    struct mill_weights *weights;
    struct mill_error err;
    if (try_open(model, &weights, precision, cache, &err) < 0)
        fail_msg("%s", err.text);
    return weights;
}

static inline struct mill_weights *open_fp32(struct model *model) {
    return open_precision(model, MILL_PRECISION_FP32, NULL);
}

static inline void remove_files(const char *folder) {
    DIR *listing = opendir(folder);
    struct dirent *entry;
    while (listing && (entry = readdir(listing)))
        unlinkat(dirfd(listing), entry->d_name, 0);
    if (listing)
        closedir(listing);
}

static inline int setup(void **state) {
    struct model *model = mill_alloc_array(1, sizeof *model);
    assert_non_null(model);
    struct mill_backend_options options = {0};
    model->ops = mill_reference_ops();
    assert_int_equal(model->ops->open(&model->backend, &options, NULL), MILL_OK);
    fixture_small_shape(&model->shape);
    fixture_write(FOLDER, &model->shape, MILL_F32);
    fixture_tokens_init(&model->tokens, &model->shape, IM_END, GLOBAL, SEMANTIC, PITCH, SPEED);
    remove_files(CACHE);
    *state = model;
    return 0;
}

static inline int teardown(void **state) {
    struct model *model = *state;
    fixture_tokens_deinit(&model->tokens);
    model->ops->close(model->backend);
    free(model);
    return 0;
}

/* The image begins with the first entry of the plan. */
static inline const void *image_of(const struct mill_weights *weights) {
    return weights->lm.rope_frequency;
}

static inline void *copy_image(const struct mill_weights *weights) {
    void *copy = mill_alloc_aligned(weights->image_bytes);
    assert_non_null(copy);
    memcpy(copy, image_of(weights), weights->image_bytes);
    return copy;
}

#endif
