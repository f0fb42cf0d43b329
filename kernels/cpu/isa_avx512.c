/* isa_avx512.c - AVX-512 without the newer dot products (Skylake-X): bf16 pairs are widened to f32,
 * 8-bit weights to 16 bits. */
#include "kernels/cpu/avx512.inc"

/* Nearest, ties to even, as mill_bf16_from_f32; NaN stays NaN. */
static inline void vf_store_bf16(uint16_t *p, vf v) {
    vi bits = (vi)v;
    vi rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    vi nan = (bits & 0x7fffffff) > 0x7f800000;
    vi result = (rounded & ~nan) | (((bits >> 16) | 0x40) & nan);
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16((__m512i)result));
}

static inline vf vf_dot_bf16(vf sum, uint32_t pair, const uint16_t *b) {
    vi w, low = (vi){0} + (int32_t)(pair << 16), high = (vi){0} + (int32_t)(pair & 0xffff0000);
    memcpy(&w, b, sizeof w);
    sum = vf_fma((vf)low, (vf)(w << 16), sum);
    return vf_fma((vf)high, (vf)(w & (int32_t)0xffff0000), sum);
}

static inline vi vi_dot_i8(vi sum, uint32_t pair, const int8_t *b) {
    __m512i w = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)b));
    return sum + (vi)_mm512_madd_epi16(w, _mm512_set1_epi32((int)pair));
}

#include "kernels/cpu/lanes.inc"
#include "kernels/cpu/tile.inc"

#include "kernels/cpu/attn.inc"

static bool supported(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

#define ISA_NAME "avx512"
#define ISA_TABLE mill_cpu_isa_avx512
#include "kernels/cpu/table.inc"
