/* synth.c - see synth.h. The arithmetic is the recipe's, operation by operation: float64 without
 * contraction, so that any language gives the same bytes. */
#include "runtime/model/synth.h"

#include <math.h>
#include <string.h>

static bool contains(const char *name, const char *part) {
    return strstr(name, part) != NULL;
}

struct spread {
    double mean, amp;
};

/* Weight-norm gain: the length of one filter. */
static struct spread spread_gain(const char *name, int64_t n_filters) {
    if (n_filters == 1 && strncmp(name, "decoder.", 8) == 0)
        return (struct spread){0.03, 0}; /* the last convolution, before tanh */
    const char *block = strstr(name, ".block.");
    const char *unit = block ? strstr(block + 7, ".block.") : NULL;
    if (unit) /* residual unit: dilated, then pointwise */
        return contains(block + 7, ".block.1.") ? (struct spread){0.8, 0.2}
                                                : (struct spread){0.4, 0.1};
    return contains(name, ".block.1.") ? (struct spread){2, 0.2} : (struct spread){1.3, 0.2};
}

/* The rules in their order: the first that fits decides. */
static struct spread spread_of(const char *name, const struct mill_tensor_spec *spec) {
    const char *dot = strrchr(name, '.'), *leaf = dot ? dot + 1 : name;
    bool weight = strcmp(leaf, "weight") == 0, gamma = strcmp(leaf, "gamma") == 0;
    if (strcmp(leaf, "running_var") == 0)
        return (struct spread){1, 0.3};
    if (strcmp(leaf, "running_mean") == 0)
        return (struct spread){0, 0.1};
    if (strcmp(leaf, "alpha") == 0) /* snake frequency */
        return (struct spread){1, 0.5};
    if (gamma && contains(name, "convnext")) /* layer scale */
        return (struct spread){0.25, 0.1};
    if (strcmp(leaf, "weight_g") == 0)
        return spread_gain(name, spec->shape[0]);
    if (strcmp(leaf, "weight_v") == 0 || strcmp(leaf, "latents") == 0)
        return (struct spread){0, 1};
    if (contains(name, "embed_tokens"))
        return (struct spread){0, 0.17};
    if (weight && contains(name, "codebook"))
        return (struct spread){0, 1};
    if (gamma || (weight && spec->n_dims == 1)) /* norms */
        return (struct spread){1, 0.2};
    if (strcmp(leaf, "bias") == 0)
        return contains(name, ".norm.scale.") ? (struct spread){1, 0.1} : (struct spread){0, 0.05};
    double fan_in = 1;
    for (int32_t i = 1; i < spec->n_dims; i++)
        fan_in *= (double)spec->shape[i];
    double gain = contains(name, ".norm.scale.") || contains(name, ".norm.shift.") ? 0.3 : 1;
    return (struct spread){0, gain * sqrt(3 / fan_in)};
}

static uint64_t fnv1a64(const char *text) {
    uint64_t h = 0xCBF29CE484222325u;
    for (; *text; text++)
        h = (h ^ (uint8_t)*text) * 0x100000001B3u;
    return h;
}

void mill_synth_tensor_init(struct mill_synth_tensor *tensor, const struct mill_tensor_spec *spec,
                            uint64_t seed) {
    static const char prefix[] = "wav2vec2.";
    const char *name = spec->name;
    if (strncmp(name, prefix, sizeof prefix - 1) == 0)
        name += sizeof prefix - 1;
    struct spread spread = spread_of(name, spec);
    tensor->start = fnv1a64(name) + seed * 0xD1B54A32D192ED03u;
    tensor->mean = spread.mean;
    tensor->amp = spread.amp;
}

void mill_synth_fill(const struct mill_synth_tensor *tensor, size_t first, size_t n, float *out) {
    double mean = tensor->mean, amp = tensor->amp;
    for (size_t i = 0; i < n; i++) {
        uint64_t z = tensor->start + (first + i + 1) * 0x9E3779B97F4A7C15u;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        z = z ^ z >> 31;
        double u = (double)(int32_t)(z >> 40) * 0x1p-24;
        out[i] = (float)(mean + amp * (2 * u - 1));
    }
}
