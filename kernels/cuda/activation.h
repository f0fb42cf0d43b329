/* activation.h - the activations of backend.h, on the device. */
#ifndef MILL_KERNELS_CUDA_ACTIVATION_H
#define MILL_KERNELS_CUDA_ACTIVATION_H

#include "kernels/backend.h"
#include "kernels/cuda/device.h"

#include <math.h>

static __device__ __forceinline__ float gelu(float v) {
    return 0.5f * v * (1.0f + erff(v * 0.70710678f));
}

/* All of them: their chains of instructions run side by side. */
template <int N>
static __device__ __forceinline__ void activate(enum mill_activation act, float (&all)[N]) {
    auto each = [&](auto of) {
#pragma unroll
        for (int i = 0; i < N; i++)
            all[i] = of(all[i]);
    };
    switch (act) {
    case MILL_ACT_GELU:
        return each([](float v) { return gelu(v); });
    case MILL_ACT_TANH:
        return each([](float v) { return tanhf(v); });
    case MILL_ACT_RELU:
        return each([](float v) { return v < 0 ? 0 : v; }); /* keeps NaN */
    case MILL_ACT_SIGMOID:
        return each([](float v) { return 1.0f / (1.0f + expf(-v)); });
    case MILL_ACT_SILU:
        return each([](float v) { return v / (1.0f + expf(-v)); });
    case MILL_ACT_NONE:
        break;
    }
}

static __device__ __forceinline__ float activate(enum mill_activation act, float v) {
    float one[1] = {v};
    activate(act, one);
    return one[0];
}

#endif
