/* activation.h - the activations of backend.h, on the device. */
#ifndef MILL_KERNELS_CUDA_ACTIVATION_H
#define MILL_KERNELS_CUDA_ACTIVATION_H

#include "kernels/backend.h"
#include "kernels/cuda/device.h"

#include <math.h>

static __device__ __forceinline__ float gelu(float v) {
    return 0.5f * v * (1.0f + erff(v * 0.70710678f));
}

static __device__ __forceinline__ float activate(enum mill_activation act, float v) {
    switch (act) {
    case MILL_ACT_GELU:
        return gelu(v);
    case MILL_ACT_TANH:
        return tanhf(v);
    case MILL_ACT_RELU:
        return v < 0 ? 0 : v; /* keeps NaN */
    case MILL_ACT_SIGMOID:
        return 1.0f / (1.0f + expf(-v));
    case MILL_ACT_SILU:
        return v / (1.0f + expf(-v));
    case MILL_ACT_NONE:
        break;
    }
    return v;
}

#endif
