/* model_open.h - a checkpoint, opened: the one way every command gets from a folder to something
 * that speaks.
 *
 * In two steps, so that a wrong text or voice is refused before gigabytes are read:
 *
 *     mill_model_open_text     shape, tokenizer
 *     mill_model_open_speech   backend, weights, language model, decoder, pages
 *
 * One struct, the caller's storage, and one close for whatever came to be. */
#ifndef MILL_TOOLS_MODEL_OPEN_H
#define MILL_TOOLS_MODEL_OPEN_H

#include "runtime/engine/speak.h"
#include "tools/tokenizer_cache.h"

struct mill_model_options {
    const char *folder;
    const char *backend;   /* NULL = "cpu" */
    const char *precision; /* NULL or "auto", "fp32", "bf16", "int8" */
    int32_t n_threads;     /* 0 = one per processor */
    bool full_head;        /* for unrestricted drawing */
    bool use_cache;        /* see tools/cache_folder.h */
    void (*progress)(void *context, size_t done_bytes, size_t all_bytes); /* of the weights */
    void *progress_context;
};

struct mill_model {
    struct mill_model_options options;
    struct mill_shape shape;
    bool synthetic; /* its weights make noise, not speech */
    char *cache;    /* owned; NULL = none */
    struct mill_cached_tokenizer tokenizer;
    const struct mill_control_tokens *control; /* the tokenizer's */
    struct mill_encoder *encoder;
    struct mill_grammar_tokens tokens;

    const struct mill_backend_ops *ops;
    struct mill_backend *backend;
    struct mill_weights *weights;
    struct mill_qwen2 *lm;
    struct mill_kv_pool *pool;
    struct mill_bicodec_decoder *decoder;
    struct mill_speak_parts parts; /* ready for mill_speak */
};

/* The precision of that name, "auto" being what suits the backend; false when there is none. */
bool mill_precision_find(const char *name, const char *backend, enum mill_precision *out);

/* On failure the model is closed. */
mill_status mill_model_open_text(struct mill_model *model, const struct mill_model_options *options,
                                 struct mill_error *err);
/* For one utterance at a time of at most max_tokens, prompt included, voiced max_window frames at a
 * time. On failure the model stays open as far as it is. */
mill_status mill_model_open_speech(struct mill_model *model, int64_t max_tokens, int32_t max_window,
                                   struct mill_error *err);
void mill_model_close(struct mill_model *model);

#endif
