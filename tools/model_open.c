/* model_open.c - see model_open.h. */
#include "tools/model_open.h"

#include "runtime/model/checkpoint_write.h"
#include "tools/cache_folder.h"

#include <stdlib.h>
#include <string.h>

/* A step of PREFILL_ROWS rows uses the processor as well as any larger one; a page of PAGE_TOKENS
 * positions wastes little at a sequence's end. */
enum { PREFILL_ROWS = 256, PAGE_TOKENS = 16 };

bool mill_precision_find(const char *name, const char *backend, enum mill_precision *out) {
    static const char *const names[] = {[MILL_PRECISION_FP32] = "fp32",
                                        [MILL_PRECISION_BF16] = "bf16",
                                        [MILL_PRECISION_INT8] = "int8"};
    if (!name || strcmp(name, "auto") == 0) {
        /* The reference backend is there to be exact, every other one to be quick. */
        bool exact = backend && strcmp(backend, "reference") == 0;
        *out = exact ? MILL_PRECISION_FP32 : MILL_PRECISION_INT8;
        return true;
    }
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (enum mill_precision)i;
            return true;
        }
    return false;
}

static mill_status open_text(struct mill_model *model, struct mill_error *err) {
    const char *folder = model->options.folder;
    MILL_TRY(mill_shape_read(&model->shape, folder, err));
    model->synthetic = mill_checkpoint_is_synthetic(folder);
    if (model->options.use_cache)
        model->cache = mill_cache_folder();
    char *llm = mill_path_join(folder, "LLM");
    if (!llm)
        return mill_fail(err, MILL_E_MEMORY, "model '%s': no memory", folder);
    mill_status status = mill_cached_tokenizer_open(&model->tokenizer, llm, model->cache, err);
    free(llm);
    MILL_TRY(status);
    model->control = mill_tokenizer_control_tokens(model->tokenizer.tokenizer);
    MILL_TRY(mill_encoder_open(&model->encoder, model->tokenizer.tokenizer, err));
    return mill_grammar_tokens_init(&model->tokens, model->control,
                                    model->shape.bicodec.speaker.n_tokens, err);
}

mill_status mill_model_open_text(struct mill_model *model, const struct mill_model_options *options,
                                 struct mill_error *err) {
    *model = (struct mill_model){.options = *options};
    mill_status status = open_text(model, err);
    if (status < 0)
        mill_model_close(model);
    if (status == MILL_E_NOT_FOUND)
        mill_context(err, status,
                     "model '%s' is not a whole checkpoint (`sparkmill pull` downloads one)",
                     options->folder);
    return status;
}

static mill_status open_weights(struct mill_model *model, struct mill_error *err) {
    const struct mill_model_options *options = &model->options;
    const char *name = options->backend ? options->backend : "cpu";
    model->ops = mill_backend_find(name, err);
    if (!model->ops)
        return MILL_E_INPUT;
    struct mill_weights_options weights = {.full_head = options->full_head,
                                           .cache = model->cache,
                                           .progress = options->progress,
                                           .progress_context = options->progress_context};
    if (!mill_precision_find(options->precision, name, &weights.precision))
        return mill_fail(err, MILL_E_INPUT, "precision '%s': there are auto, fp32, bf16 and int8",
                         options->precision);
    const struct mill_backend_options backend = {.n_threads = options->n_threads};
    MILL_TRY(model->ops->open(&model->backend, &backend, err));
    return mill_weights_open(&model->weights, options->folder, &model->shape, model->control,
                             model->ops, model->backend, &weights, err);
}

mill_status mill_model_open_speech(struct mill_model *model, int64_t max_tokens, int32_t max_window,
                                   struct mill_error *err) {
    int32_t max_positions = model->shape.llm.max_positions;
    if (max_tokens > max_positions)
        return mill_fail(err, MILL_E_INPUT,
                         "text and speech may come to %lld tokens, and the model holds %d: shorten "
                         "the text or the limit",
                         (long long)max_tokens, max_positions);
    MILL_TRY(open_weights(model, err));
    int32_t n_pages = (int32_t)((max_tokens + PAGE_TOKENS - 1) / PAGE_TOKENS);
    struct mill_speak_parts *parts = &model->parts;
    *parts = (struct mill_speak_parts){.lm_options = {.max_rows = PREFILL_ROWS,
                                                      .max_sequences = 1,
                                                      .max_pages = n_pages,
                                                      .n_pages = n_pages,
                                                      .page_tokens = PAGE_TOKENS},
                                       .max_positions = max_positions,
                                       .max_window = max_window,
                                       .context = mill_bicodec_context(&model->shape.bicodec),
                                       .hop = model->shape.bicodec.hop,
                                       .tokens = &model->tokens};
    MILL_TRY(mill_qwen2_open(&model->lm, model->ops, model->backend, &model->weights->lm,
                             &parts->lm_options, err));
    MILL_TRY(mill_bicodec_decoder_open(&model->decoder, model->ops, model->backend,
                                       &model->weights->decoder, max_window, err));
    MILL_TRY(mill_kv_pool_open(&model->pool, n_pages, err));
    parts->lm = model->lm;
    parts->decoder = model->decoder;
    parts->pool = model->pool;
    return MILL_OK;
}

void mill_model_close(struct mill_model *model) {
    mill_kv_pool_close(model->pool);
    mill_bicodec_decoder_close(model->decoder);
    mill_qwen2_close(model->lm);
    mill_weights_close(model->weights);
    if (model->backend)
        model->ops->close(model->backend);
    mill_grammar_tokens_deinit(&model->tokens);
    mill_encoder_close(model->encoder);
    mill_cached_tokenizer_close(&model->tokenizer);
    free(model->cache);
    *model = (struct mill_model){0};
}
