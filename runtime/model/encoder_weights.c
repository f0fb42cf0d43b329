/* encoder_weights.c - see encoder_weights.h. */
#include "runtime/model/encoder_weights.h"

#include "runtime/base/memory.h"
#include "runtime/model/encoder_layout.h"
#include "runtime/model/weight_store.h"

#include <stdlib.h>

enum { N_FILES = 2 };

/* What only opening needs. */
struct opening {
    const char *folder;
    const struct mill_weights_options *options;
    struct mill_tensors *files[N_FILES]; /* BiCodec, wav2vec2 */
    struct mill_image_plan plan;
};

static mill_status check_backend(const struct mill_backend_ops *ops, struct mill_error *err) {
    if (!ops->attn_dense || !ops->pool_mean || !ops->mix)
        return mill_fail(err, MILL_E_UNSUPPORTED,
                         "backend '%s' has no encoders: clone voices with the cpu backend",
                         ops->name);
    return MILL_OK;
}

static mill_status open_files(const struct mill_encoder_weights *weights, struct opening *opening,
                              struct mill_error *err) {
    const struct mill_shape *shape = &weights->shape;
    if (weights->uses & MILL_USE_TRANSCRIPT) {
        if (shape->wav2vec2.n_convs == 0)
            return mill_fail(err, MILL_E_NOT_FOUND,
                             "'%s' has no wav2vec2-large-xlsr-53, which a voice with a transcript "
                             "needs: clone without one, or get the whole checkpoint",
                             opening->folder);
        MILL_TRY(mill_weight_file_open(&opening->files[1], opening->folder, shape,
                                       MILL_FILE_WAV2VEC2, weights->uses, err));
    }
    return mill_weight_file_open(&opening->files[0], opening->folder, shape, MILL_FILE_BICODEC,
                                 weights->uses, err);
}

static mill_status open_steps(struct mill_encoder_weights *weights, struct opening *opening,
                              struct mill_error *err) {
    const struct mill_weights_options *options = opening->options;
    bool exact = options->precision == MILL_PRECISION_FP32;
    MILL_TRY(check_backend(weights->ops, err));
    MILL_TRY(open_files(weights, opening, err));
    MILL_TRY(mill_encoder_layout_plan(weights, &opening->plan, opening->files[0], opening->files[1],
                                      exact ? MILL_F32 : MILL_BF16, err));
    const struct mill_tensors *files[N_FILES] = {opening->files[0], opening->files[1]};
    const struct mill_weight_store_source source = {.folder = opening->folder,
                                                    .cache = options->cache,
                                                    .plan = &opening->plan,
                                                    .files = files,
                                                    .n_files = files[1] ? 2 : 1,
                                                    .progress = options->progress};
    MILL_TRY(mill_weight_store_open(weights->store, &source, err));
    weights->from_cache = weights->store->from_cache;
    weights->image_bytes = opening->plan.bytes;
    return MILL_OK;
}

mill_status mill_encoder_weights_open(struct mill_encoder_weights **out, const char *folder,
                                      const struct mill_shape *shape, unsigned uses,
                                      const struct mill_backend_ops *ops,
                                      struct mill_backend *backend,
                                      const struct mill_weights_options *options,
                                      struct mill_error *err) {
    *out = NULL;
    struct mill_encoder_weights *weights = mill_alloc_array(1, sizeof *weights);
    struct mill_weight_store *store = mill_alloc_array(1, sizeof *store);
    if (!weights || !store) {
        free(weights);
        free(store);
        return mill_fail(err, MILL_E_MEMORY, "no memory for the encoders' weights");
    }
    *store = (struct mill_weight_store){.ops = ops, .backend = backend};
    *weights = (struct mill_encoder_weights){
        .ops = ops, .backend = backend, .shape = *shape, .uses = uses, .store = store};
    struct opening opening = {.folder = folder, .options = options};
    mill_image_plan_init(&opening.plan, ops);
    mill_status status = open_steps(weights, &opening, err);
    mill_image_plan_deinit(&opening.plan);
    for (int i = 0; i < N_FILES; i++)
        mill_tensors_close(opening.files[i]);
    if (status < 0)
        mill_encoder_weights_close(weights);
    else
        *out = weights;
    return status;
}

void mill_encoder_weights_close(struct mill_encoder_weights *weights) {
    if (!weights)
        return;
    mill_weight_store_close(weights->store);
    mill_encoder_layout_free(weights);
    free(weights->store);
    free(weights);
}
