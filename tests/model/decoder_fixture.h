/* decoder_fixture.h - decoders of made-up sizes with random weights, packed straight through a
 * backend, so that tests of the decoder need no checkpoint. Device memory is full of NaN when it is
 * given out and recorded, so that tests can fill it again. */
#ifndef MILL_TESTS_MODEL_DECODER_FIXTURE_H
#define MILL_TESTS_MODEL_DECODER_FIXTURE_H

#include "runtime/model/bicodec_decode.h"

extern const struct mill_bicodec_shape decoder_small, decoder_other;

enum { MAX_TENSORS = 256 };
struct model {
    struct mill_backend_ops ops; /* the backend's, with recording memory */
    struct mill_backend *backend;
    struct mill_decoder_weights weights;
    struct mill_convnext_weights convnext[MILL_MAX_STAGES + 1][8];
    const void *uploaded[MAX_TENSORS];
    void *host[MAX_TENSORS];
    int n_tensors;
    uint64_t n_numbers;
    struct mill_bicodec_decoder *decoder;
    struct mill_bicodec_voice *voice; /* of the global tokens 0, 1, 2 ... */
};

struct model *model_open(const char *backend, const struct mill_bicodec_shape *shape,
                         enum mill_dtype dtype, int32_t max_window);
void model_close(struct model *model); /* everything of its backend must be closed */

extern int n_device_allocations; /* since model_open */
/* Fill a block with NaN; block 0 is the decoder's scratch. */
void poison_device_block(int block);

int32_t random_below(uint64_t *counter, int32_t n);
void model_random_tokens(const struct model *model, int32_t *tokens, int32_t n, uint64_t seed);

#endif
