/* conv_words.h - a lane's part of a row of x, as conv_wide.cu multiplies it: of a group of 32
 * channels the words j of its four chunks, two channels a word. Snaked and rounded they are 16
 * bytes of plane j (product_hopper.h). */
#ifndef MILL_KERNELS_CUDA_CONV_WORDS_H
#define MILL_KERNELS_CUDA_CONV_WORDS_H

#include "kernels/cuda/conv_rows.h"

enum { ROW_WORDS = 4 };

/* Two channels; zeros beyond the last. */
template <bool WHOLE>
static __device__ __forceinline__ float2 load_two(const float *row, int32_t at, int32_t n) {
    if (WHOLE)
        return at < n ? *reinterpret_cast<const float2 *>(row + at) : make_float2(0, 0);
    return make_float2(at < n ? row[at] : 0, at + 1 < n ? row[at + 1] : 0);
}

template <bool WHOLE>
static __device__ __forceinline__ void load_words(float2 (&words)[ROW_WORDS], const float *row,
                                                  int32_t channel, int32_t n) {
#pragma unroll
    for (int c = 0; c < ROW_WORDS; c++)
        words[c] = load_two<WHOLE>(row, channel + 8 * c, n);
}

/* What snake needs of two channels: both alphas, both inverses. */
static __device__ __forceinline__ float4 snake_of_two(const float *alphas, int32_t at, int32_t n) {
    const float2 alpha = load_two<false>(alphas, at, n);
    return make_float4(alpha.x, alpha.y, snake_inverse(alpha.x), snake_inverse(alpha.y));
}

static __device__ __forceinline__ float2 snake_two(float2 word, const float4 &of) {
    return make_float2(snake(word.x, of.x, of.z), snake(word.y, of.y, of.w));
}

static __device__ __forceinline__ uint4 round_words(const float2 (&words)[ROW_WORDS]) {
    return make_uint4(pack_bf16(words[0].x, words[0].y), pack_bf16(words[1].x, words[1].y),
                      pack_bf16(words[2].x, words[2].y), pack_bf16(words[3].x, words[3].y));
}

#endif
