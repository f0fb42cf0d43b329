/* paper.h - what a device can do at most, from bytes and arithmetic alone: no launch, no waiting,
 * every byte at full bandwidth, every product at peak.
 *
 * A step of the language model reads its weights once and each sequence's keys and values; a frame
 * of sound costs the decoder's arithmetic. The two are added, since one device does both. */
#ifndef MILL_BENCH_PAPER_H
#define MILL_BENCH_PAPER_H

#include "runtime/base/dtype.h"
#include "runtime/model/shape.h"

struct bench_paper_device {
    double bytes_per_s;
    double lm_flop_per_s, decoder_flop_per_s; /* 2 per multiply-add */
};

struct bench_paper_model {
    double weight_bytes;      /* that a step reads: layers and the legal head */
    double token_flop;        /* weights only */
    double kv_bytes, kv_flop; /* per token of context */
    double frame_flop;        /* decoder */
};

/* Types of the weights and of keys and values; head rows computed in a step. */
struct bench_paper_model bench_paper_model_of(const struct mill_shape *shape,
                                              enum mill_dtype weights, enum mill_dtype kv,
                                              int32_t head_rows);

/* Seconds of one decode step of `batch` sequences with `context` tokens each. */
double bench_paper_step_s(const struct bench_paper_model *model,
                          const struct bench_paper_device *device, double batch, double context);

/* Frames a second of language model and decoder together. */
double bench_paper_frames_per_s(const struct bench_paper_model *model,
                                const struct bench_paper_device *device, double batch,
                                double context);

#endif
