/* checkpoint_write.h - a checkpoint folder in the published layout with synthetic weights
 * (synth.h).
 *
 * Files are those of the published repository: configuration, tokenizer, LLM and BiCodec as
 * safetensors, wav2vec2 as a PyTorch zip, and a marker "SYNTHETIC" that is written first, so that
 * no half-written folder can be taken for a real one. Every file appears whole or not at all;
 * tensors are computed by all processors and streamed, a few megabytes at a time. */
#ifndef MILL_MODEL_CHECKPOINT_WRITE_H
#define MILL_MODEL_CHECKPOINT_WRITE_H

#include "runtime/base/byte_progress.h"
#include "runtime/model/synth.h"

/* The marker's name below a checkpoint's folder. */
#define MILL_SYNTHETIC_MARKER "SYNTHETIC"

struct mill_checkpoint_options {
    uint64_t seed;
    enum mill_dtype dtype;  /* MILL_F32 (as published), MILL_BF16 or MILL_F16 */
    const char *label;      /* the configuration's name, for the marker; at most 64 bytes */
    bool without_tokenizer; /* the caller brings tokenizer files (another vocabulary) */
    struct mill_byte_progress progress;
};

/* Write everything below `folder`, which is made where it is not there; existing files of the same
 * names are replaced. A shape without wav2vec2 (n_convs 0) gives no such folder. */
mill_status mill_checkpoint_write(const char *folder, const struct mill_shape *shape,
                                  const struct mill_checkpoint_options *options,
                                  struct mill_error *err);

/* Whether the folder has the marker. */
bool mill_checkpoint_is_synthetic(const char *folder);

#endif
