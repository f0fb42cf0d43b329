/* rope.h - the turn of a pair of a head's elements by an angle. Device code. */
#ifndef MILL_KERNELS_CUDA_ROPE_H
#define MILL_KERNELS_CUDA_ROPE_H

#include "kernels/cuda/device.h"

#include <math.h>

/* Cosine and sine of an angle below 2^31. The quarter turns come off in double, which leaves at
 * most pi / 4 and 2^-24 wrong at most; that goes through the Taylor series. */
static __device__ void cosine_sine(float angle, float *cosine, float *sine) {
    double quarters = rint((double)angle * 0.63661977236758134);
    float r = (float)fma(-quarters, 1.5707963267948966, (double)angle), z = r * r;
    float s = fmaf(z, 1.0f / 362880, -1.0f / 5040), c = fmaf(z, -1.0f / 3628800, 1.0f / 40320);
    s = fmaf(z, fmaf(z, s, 1.0f / 120), -1.0f / 6);
    c = fmaf(z, fmaf(z, fmaf(z, c, -1.0f / 720), 1.0f / 24), -0.5f);
    s = fmaf(r * z, s, r);
    c = fmaf(z, c, 1.0f);
    int32_t quadrant = (int32_t)quarters & 3;
    float across = quadrant & 1 ? s : c, up = quadrant & 1 ? c : s;
    *cosine = quadrant == 1 || quadrant == 2 ? -across : across;
    *sine = quadrant >= 2 ? -up : up;
}

/* Elements j and j + d / 2 of a head, by pair j's angle. */
static __device__ __forceinline__ void turn_pair(float *low, float *high, float cosine,
                                                 float sine) {
    float u = *low, v = *high;
    *low = u * cosine - v * sine;
    *high = v * cosine + u * sine;
}

#endif
