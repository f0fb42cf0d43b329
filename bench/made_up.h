/* made_up.h - networks of the published sizes with made-up weights, packed straight for a backend,
 * so that a card can be measured with no checkpoint and no library at hand.
 *
 * Every matrix of the device is memory of its own, as in a model; on the host matrices of one shape
 * share one image. On a backend that reads the host's memory in place they share that: what it
 * measures is then its cache. Owned by the caller's struct; one thread. */
#ifndef MILL_BENCH_MADE_UP_H
#define MILL_BENCH_MADE_UP_H

#include "runtime/model/synth_shape.h"
#include "runtime/model/weights.h"

enum { BENCH_MADE_UP_MATRICES = 1024, BENCH_MADE_UP_IMAGES = 128, BENCH_MADE_UP_BLOCKS = 16 };

struct bench_made_up {
    const struct mill_backend_ops *ops; /* borrowed */
    struct mill_backend *backend;       /* borrowed */
    struct mill_shape shape;            /* the published one */
    struct mill_lm_weights lm;
    struct mill_decoder_weights decoder;

    struct mill_lm_layer *layers;
    struct mill_convnext_weights blocks[BENCH_MADE_UP_BLOCKS + 4];
    int n_blocks;
    int32_t *legal_ids;
    const void *uploaded[BENCH_MADE_UP_MATRICES];
    int n_uploaded;
    struct {
        struct mill_weight_shape shape;
        void *image;
    } images[BENCH_MADE_UP_IMAGES];
    int n_images;
};

/* Language model in `lm_dtype` (BF16 or I8), decoder in bf16. After a failure close frees what is
 * there. */
mill_status bench_made_up_open(struct bench_made_up *made, const struct mill_backend_ops *ops,
                               struct mill_backend *backend, enum mill_dtype lm_dtype,
                               struct mill_error *err);
void bench_made_up_close(struct bench_made_up *made);

#endif
