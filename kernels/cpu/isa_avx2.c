/* isa_avx2.c - AVX2 and FMA (Haswell, Zen and later): half as wide, sixteen registers, so a tile is
 * 6 x 16. */
#include "kernels/cpu/isa.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

enum { VL = 8, TILE_VECTORS = 2 };
typedef float vf __attribute__((vector_size(32)));
typedef int32_t vi __attribute__((vector_size(32)));

static inline vf vf_fma(vf a, vf b, vf c) {
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}

/* NaN in either operand may give the other: callers that care look for it themselves. */
static inline vf vf_max(vf a, vf b) {
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
}

static inline vf vf_sqrt(vf a) {
    return (vf)_mm256_sqrt_ps((__m256)a);
}

static inline float vf_largest(vf v) {
    __m128 four =
        _mm_max_ps(_mm256_castps256_ps128((__m256)v), _mm256_extractf128_ps((__m256)v, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

static inline float vf_sum(vf v) {
    __m128 four =
        _mm_add_ps(_mm256_castps256_ps128((__m256)v), _mm256_extractf128_ps((__m256)v, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* Pairs of rows, then fours, within halves; then the halves of fours. */
static inline __attribute__((always_inline)) void vf_transpose(vf *v) {
    __m256 pairs[VL];
    __m256d fours[VL];
    for (int i = 0; i < VL; i += 2) {
        pairs[i] = _mm256_unpacklo_ps((__m256)v[i], (__m256)v[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_ps((__m256)v[i], (__m256)v[i + 1]);
    }
    for (int i = 0; i < VL; i += 4)
        for (int j = 0; j < 2; j++) {
            __m256d a = (__m256d)pairs[i + j], b = (__m256d)pairs[i + j + 2];
            fours[i + 2 * j] = _mm256_unpacklo_pd(a, b);
            fours[i + 2 * j + 1] = _mm256_unpackhi_pd(a, b);
        }
    for (int i = 0; i < 4; i++) {
        v[i] = (vf)_mm256_permute2f128_pd(fours[i], fours[i + 4], 0x20);
        v[i + 4] = (vf)_mm256_permute2f128_pd(fours[i], fours[i + 4], 0x31);
    }
}

static inline vf vf_load_i8(const int8_t *p) {
    return (vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

/* Every second lane of each half, then the halves of a beside each other, and those of b. */
static inline vf vf_even(vf a, vf b) {
    __m256d mixed = (__m256d)_mm256_shuffle_ps((__m256)a, (__m256)b, 0x88);
    return (vf)_mm256_permute4x64_pd(mixed, 0xd8);
}

static inline vf vf_odd(vf a, vf b) {
    __m256d mixed = (__m256d)_mm256_shuffle_ps((__m256)a, (__m256)b, 0xdd);
    return (vf)_mm256_permute4x64_pd(mixed, 0xd8);
}

static inline vf vf_load_bf16(const uint16_t *p) {
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return (vf)_mm256_slli_epi32(wide, 16);
}

/* Nearest, ties to even, as mill_bf16_from_f32; NaN stays NaN. */
static inline void vf_store_bf16(uint16_t *p, vf v) {
    vi bits = (vi)v;
    vi rounded = ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) & 0xffff;
    vi nan = (bits & 0x7fffffff) > 0x7f800000;
    vi result = (rounded & ~nan) | ((((bits >> 16) & 0xffff) | 0x40) & nan);
    __m256i packed = _mm256_packus_epi32((__m256i)result, (__m256i)result);
    _mm_storeu_si128((__m128i *)p, _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
}

static inline vf vf_dot_bf16(vf sum, uint32_t pair, const uint16_t *b) {
    vi w, low = (vi){0} + (int32_t)(pair << 16), high = (vi){0} + (int32_t)(pair & 0xffff0000);
    memcpy(&w, b, sizeof w);
    sum = vf_fma((vf)low, (vf)(w << 16), sum);
    return vf_fma((vf)high, (vf)(w & (int32_t)0xffff0000), sum);
}

static inline vi vi_dot_i8(vi sum, uint32_t pair, const int8_t *b) {
    __m256i w = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)b));
    return sum + (vi)_mm256_madd_epi16(w, _mm256_set1_epi32((int)pair));
}

#include "kernels/cpu/lanes.inc"
#include "kernels/cpu/tile.inc"

#include "kernels/cpu/attn.inc"

static bool supported(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

#define ISA_NAME "avx2"
#define ISA_TABLE mill_cpu_isa_avx2
#include "kernels/cpu/table.inc"
