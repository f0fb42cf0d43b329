/* checkpoint_parts.h - what the files of checkpoint_write.h share among themselves. */
#ifndef MILL_MODEL_CHECKPOINT_PARTS_H
#define MILL_MODEL_CHECKPOINT_PARTS_H

#include "runtime/base/file.h"
#include "runtime/base/pool.h"
#include "runtime/model/checkpoint_write.h"

/* Computes tensors by all processors and writes them. */
struct mill_tensor_stream {
    struct mill_pool *pool;
    const struct mill_checkpoint_options *options;
    float *values;    /* a piece */
    uint16_t *halves; /* the same in a 16-bit type */
    size_t done_bytes, all_bytes;
};

/* The elements of a tensor at `offset` of the output; *crc goes on from what it holds (CRC-32 as in
 * zip files; NULL = not wanted). */
mill_status mill_tensor_stream_write(struct mill_tensor_stream *stream, struct mill_output *output,
                                     uint64_t offset, const struct mill_tensor_spec *spec,
                                     uint32_t *crc, struct mill_error *err);

/* A small file, whole. */
mill_status mill_checkpoint_write_text(const char *folder, const char *name, const char *text,
                                       size_t size, struct mill_error *err);

/* config.yaml, BiCodec/config.yaml, LLM/config.json and wav2vec2's two; the folders exist. */
mill_status mill_checkpoint_write_configs(const char *folder, const struct mill_shape *shape,
                                          enum mill_dtype dtype, struct mill_error *err);

/* wav2vec2's tensors as torch.save would, with the leftovers of pre-training beside them that a
 * reader has to ignore. */
mill_status mill_checkpoint_write_torch(struct mill_tensor_stream *stream, const char *path,
                                        const struct mill_tensor_table *table, int32_t hidden,
                                        struct mill_error *err);

#endif
