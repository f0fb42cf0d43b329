/* models.cpp - mma and ldmatrix: the fragments of a warp's lanes are gathered into whole matrices,
 * the product is computed, and every lane gets its part. Layouts: kernels/cuda/ptx.h. A bf16
 * product is summed in double and rounded once, which no tensor core does to the last bit. */
#include "tests/emulator/observer.h"
#include "tests/emulator/shared.h"

#include <ptx_models.h>

namespace emulator {

/* ------------------------------------------------------------------ mma */

struct mma_argument {
    void *d;
    const uint32_t *a, *b;
};

static float element_of(uint32_t bits, int i, float) {
    uint32_t f = i ? bits & 0xffff0000 : bits << 16;
    float value;
    memcpy(&value, &f, sizeof value);
    return value;
}
static int32_t element_of(uint32_t bits, int i, int8_t) {
    return (int8_t)(bits >> 8 * i);
}
static int32_t element_of(uint32_t bits, int i, uint8_t) {
    return (uint8_t)(bits >> 8 * i);
}

template <class T> static T fragment(void *const arguments[32], int lane, int e) {
    return static_cast<T *>(static_cast<mma_argument *>(arguments[lane])->d)[e];
}

/* Sum is double or int32_t, D float or int32_t; A and B choose element_of; K products a sum. */
template <class Sum, class D, class A, class B, int K>
static void do_mma(void *const arguments[32], uint32_t) {
    const int per = K / 8; /* elements a register */
    Sum a[16][K], b[K][8], d[16][8];
    for (int lane = 0; lane < LANES; lane++) {
        const auto *from = static_cast<mma_argument *>(arguments[lane]);
        int g = lane / 4, q = lane % 4;
        for (int r = 0; r < 4; r++)
            for (int i = 0; i < per; i++)
                a[g + 8 * (r & 1)][q * per + i + K / 2 * (r >> 1)] =
                    (Sum)element_of(from->a[r], i, A());
        for (int r = 0; r < 2; r++)
            for (int i = 0; i < per; i++)
                b[q * per + i + K / 2 * r][g] = (Sum)element_of(from->b[r], i, B());
        for (int e = 0; e < 4; e++)
            d[g + 8 * (e >> 1)][2 * q + (e & 1)] = (Sum)fragment<D>(arguments, lane, e);
    }
    for (int row = 0; row < 16; row++)
        for (int k = 0; k < K; k++)
            for (int column = 0; column < 8; column++)
                d[row][column] += a[row][k] * b[k][column];
    for (int lane = 0; lane < LANES; lane++)
        for (int e = 0; e < 4; e++)
            static_cast<D *>(static_cast<mma_argument *>(arguments[lane])->d)[e] =
                (D)d[lane / 4 + 8 * (e >> 1)][2 * (lane % 4) + (e & 1)];
}

static void check_whole_warp(const char *what, site at) {
    if (self->warp->existing != ~0u)
        fail(cudaErrorLaunchFailure, at, "%s in a warp of lanes %08x", what, self->warp->existing);
}

void mma(void *d, const uint32_t a[4], const uint32_t b[2], element of_a, site at) {
    mma_argument argument = {d, a, b};
    meeting_function model = of_a == element::bf16 ? do_mma<double, float, float, float, 16>
                             : of_a == element::s8 ? do_mma<int32_t, int32_t, int8_t, int8_t, 32>
                                                   : do_mma<int32_t, int32_t, uint8_t, int8_t, 32>;
    check_whole_warp("mma", at);
    meet(~0u, model, &argument, "mma", at);
}

/* ------------------------------------------------------------------ ldmatrix */

struct ldmatrix_argument {
    uint32_t *r;
    const uint16_t *row;
    int n_matrices;
    bool trans;
    site at;
};

static void do_ldmatrix(void *const arguments[32], uint32_t) {
    const auto *first = static_cast<ldmatrix_argument *>(arguments[0]);
    const uint16_t *rows[LANES];
    for (int lane = 0; lane < 8 * first->n_matrices; lane++) {
        rows[lane] = static_cast<ldmatrix_argument *>(arguments[lane])->row;
        if ((uintptr_t)rows[lane] % 16 != 0)
            fail(cudaErrorMisalignedAddress, first->at, "ldmatrix: lane %d's row is misaligned",
                 lane);
        if (!shared_has(rows[lane], 16))
            fail(cudaErrorIllegalAddress, first->at,
                 "ldmatrix: lane %d's row is not in shared memory", lane);
    }
    const thread *lanes = &resident.threads[self->warp->index * LANES];
    for (int lane = 0; lane < LANES; lane++) {
        int g = lane / 4, q = lane % 4;
        uint32_t *r = static_cast<ldmatrix_argument *>(arguments[lane])->r;
        for (int m = 0; m < first->n_matrices; m++) {
            const uint16_t *const *row = rows + 8 * m;
            const uint16_t *low = first->trans ? &row[2 * q][g] : &row[g][2 * q];
            const uint16_t *high = first->trans ? &row[2 * q + 1][g] : low + 1;
            if (checker) {
                checker->accessed(lanes[lane], low, 2, access::read, first->at);
                checker->accessed(lanes[lane], high, 2, access::read, first->at);
            }
            r[m] = *low | (uint32_t)*high << 16;
        }
    }
}

void ldmatrix(uint32_t *r, int n_matrices, bool trans, const void *row, site at) {
    ldmatrix_argument argument = {r, static_cast<const uint16_t *>(row), n_matrices, trans, at};
    check_whole_warp("ldmatrix", at);
    meet(~0u, do_ldmatrix, &argument, "ldmatrix", at);
}

} // namespace emulator
