/* isa_avx512_bf16.c - AVX-512 with bf16 and 16-bit integer dot products (Cooper Lake, Sapphire
 * Rapids, Zen 4 and later). */
#include "kernels/cpu/avx512.inc"

static inline void vf_store_bf16(uint16_t *p, vf v) {
    __m256bh rounded = _mm512_cvtneps_pbh((__m512)v);
    memcpy(p, &rounded, sizeof rounded);
}

static inline vf vf_dot_bf16(vf sum, uint32_t pair, const uint16_t *b) {
    __m512bh w;
    memcpy(&w, b, sizeof w);
    return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32((int)pair), w);
}

static inline vi vi_dot_i8(vi sum, uint32_t pair, const int8_t *b) {
    __m512i w = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)b));
    return (vi)_mm512_dpwssd_epi32((__m512i)sum, w, _mm512_set1_epi32((int)pair));
}

#include "kernels/cpu/lanes.inc"
#include "kernels/cpu/tile.inc"

#include "kernels/cpu/attn.inc"

static bool supported(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
}

#define ISA_NAME "avx512_bf16"
#define ISA_TABLE mill_cpu_isa_avx512_bf16
#include "kernels/cpu/table.inc"
