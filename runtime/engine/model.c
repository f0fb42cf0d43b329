/* model.c - see model.h. */
#include "runtime/engine/model.h"

#include "runtime/model/checkpoint_write.h"

#include <stdlib.h>
#include <string.h>

static mill_status open_text(struct mill_model *model, const char *folder, const char *cache,
                             struct mill_error *err) {
    MILL_TRY(mill_shape_read(&model->shape, folder, err));
    model->synthetic = mill_checkpoint_is_synthetic(folder);
    char *llm = mill_path_join(folder, "LLM");
    if (!llm)
        return mill_fail(err, MILL_E_MEMORY, "model '%s': no memory", folder);
    mill_status status = mill_cached_tokenizer_open(&model->tokenizer, llm, cache, err);
    free(llm);
    MILL_TRY(status);
    int32_t n_ids = mill_tokenizer_vocabulary_size(model->tokenizer.tokenizer);
    if (n_ids > model->shape.llm.vocab) /* a text with such a token would stop every replica */
        return mill_fail(err, MILL_E_INPUT,
                         "model '%s': the tokenizer has a token %d, and LLM/config.json says that "
                         "there are %d: they are not of one model",
                         folder, n_ids - 1, model->shape.llm.vocab);
    model->control = mill_tokenizer_control_tokens(model->tokenizer.tokenizer);
    MILL_TRY(mill_encoder_open(&model->encoder, model->tokenizer.tokenizer, err));
    return mill_grammar_tokens_init(&model->tokens, model->control,
                                    model->shape.bicodec.speaker.n_tokens, err);
}

mill_status mill_model_open(struct mill_model *model, const char *folder, const char *cache,
                            struct mill_error *err) {
    *model = (struct mill_model){0};
    mill_status status = open_text(model, folder, cache, err);
    if (status < 0)
        mill_model_close(model);
    if (status == MILL_E_NOT_FOUND)
        mill_context(err, status,
                     "model '%s' is not a whole checkpoint (`sparkmill pull` downloads one)",
                     folder);
    return status;
}

void mill_model_close(struct mill_model *model) {
    mill_grammar_tokens_deinit(&model->tokens);
    mill_encoder_close(model->encoder);
    mill_cached_tokenizer_close(&model->tokenizer);
    *model = (struct mill_model){0};
}

const char *mill_precision_name(enum mill_precision precision) {
    static const char *const names[] = {[MILL_PRECISION_FP32] = "fp32",
                                        [MILL_PRECISION_BF16] = "bf16",
                                        [MILL_PRECISION_INT8] = "int8"};
    return names[precision];
}

bool mill_precision_find(const char *name, const char *backend, enum mill_precision *out) {
    if (!name || strcmp(name, "auto") == 0) {
        /* The reference backend is there to be exact; a processor waits for memory first, so the
         * smallest weights are the quickest; a GPU is quick with the published ones. */
        *out = !backend || strcmp(backend, "cpu") == 0        ? MILL_PRECISION_INT8
               : backend && strcmp(backend, "reference") == 0 ? MILL_PRECISION_FP32
                                                              : MILL_PRECISION_BF16;
        return true;
    }
    for (*out = MILL_PRECISION_FP32; *out <= MILL_PRECISION_INT8; (*out)++)
        if (strcmp(name, mill_precision_name(*out)) == 0)
            return true;
    return false;
}

static bool memory_is_the_hosts(const struct mill_device *device) {
    size_t free_bytes, total_bytes;
    return device->ops->memory(device->backend, &free_bytes, &total_bytes) == MILL_OK &&
           total_bytes == 0;
}

/* Whether the lender's weights, as they lie there, are what this device would load. */
static bool are_ours(const struct mill_device *device, const struct mill_device *lender,
                     enum mill_precision precision) {
    return lender && lender->weights && lender->weights->precision == precision &&
           strcmp(device->ops->weight_layout, lender->ops->weight_layout) == 0;
}

mill_status mill_device_open_backend(struct mill_backend **out, const struct mill_backend_ops *ops,
                                     const struct mill_device_options *options,
                                     struct mill_error *err) {
    const struct mill_backend_options backend = {.n_threads = options->n_threads,
                                                 .device = options->number,
                                                 .memory_limit_bytes = options->memory_limit_bytes};
    return ops->open(out, &backend, err);
}

mill_status mill_device_plan(struct mill_device *device, const struct mill_model *model,
                             const struct mill_device_options *options,
                             const struct mill_device *lender, struct mill_error *err) {
    *device = (struct mill_device){0};
    const char *name = options->backend ? options->backend : "cpu";
    device->ops = options->ops ? options->ops : mill_backend_find(name, err);
    if (!device->ops)
        return MILL_E_INPUT;
    struct mill_weights_options weights = {
        .full_head = options->full_head, .cache = options->cache, .progress = options->progress};
    if (!mill_precision_find(options->precision, name, &weights.precision))
        return mill_fail(err, MILL_E_INPUT, "precision '%s': there are auto, fp32, bf16 and int8",
                         options->precision);
    MILL_TRY(mill_device_open_backend(&device->backend, device->ops, options, err));
    bool ours = are_ours(device, lender, weights.precision);
    if (ours && memory_is_the_hosts(device) && memory_is_the_hosts(lender)) {
        device->weights = lender->weights;
        device->weights_borrowed = true;
        return MILL_OK;
    }
    if (ours && device->ops == lender->ops)
        device->peer = lender->weights;
    return mill_weights_plan(&device->weights, options->folder, &model->shape, model->control,
                             device->ops, &weights, err);
}

mill_status mill_device_load(struct mill_device *device, struct mill_error *err) {
    return device->weights_borrowed
               ? MILL_OK
               : mill_weights_load(device->weights, device->backend, device->peer, err);
}

mill_status mill_device_open(struct mill_device *device, const struct mill_model *model,
                             const struct mill_device_options *options, struct mill_error *err) {
    MILL_TRY(mill_device_plan(device, model, options, NULL, err));
    return mill_device_load(device, err);
}

void mill_device_close(struct mill_device *device) {
    if (!device->weights_borrowed)
        mill_weights_close(device->weights);
    if (device->backend)
        device->ops->close(device->backend);
    *device = (struct mill_device){0};
}
