/* synth.h - weights from a recipe: anyone can compute them again from a tensor's name.
 *
 * Real Spark-TTS weights are large and licensed, so golden data and tests stand on these. Element i
 * (row-major) of a tensor is a pure function of (name, i, seed):
 *
 *   z = fnv1a64(name) + seed 0xD1B54A32D192ED03 + (i + 1) 0x9E3779B97F4A7C15     (mod 2^64)
 *   z = (z ^ z >> 30) 0xBF58476D1CE4E5B9;  z = (z ^ z >> 27) 0x94D049BB133111EB;  z = z ^ z >> 31
 *   x = float32(mean + amp (2 (z >> 40) / 2^24 - 1)), evaluated in float64, rounded once
 *
 * with mean and amp chosen by name and shape such that a random network keeps a lively, unsaturated
 * signal. A network with these weights makes noise, not speech. Pure functions, any thread. */
#ifndef MILL_MODEL_SYNTH_H
#define MILL_MODEL_SYNTH_H

#include "runtime/model/synth_shape.h"
#include "runtime/model/tensor_table.h"

/* A tensor of the recipe. */
struct mill_synth_tensor {
    uint64_t start;   /* z before the first element */
    double mean, amp; /* elements lie in [mean - amp, mean + amp) */
};

/* The recipe names wav2vec2's tensors without the file's prefix "wav2vec2."; it is cut off here. */
void mill_synth_tensor_init(struct mill_synth_tensor *tensor, const struct mill_tensor_spec *spec,
                            uint64_t seed);
/* Elements first .. first + n - 1. */
void mill_synth_fill(const struct mill_synth_tensor *tensor, size_t first, size_t n, float *out);

#endif
