/* models.cpp - mma and ldmatrix: the fragments of a warp's lanes are gathered into whole matrices,
 * the product is computed, and every lane gets its part. Layouts: kernels/cuda/ptx.h. A bf16
 * product is summed in double and rounded once, which no tensor core does to the last bit. */
#include "tests/emulator/observer.h"
#include "tests/emulator/shared.h"

#include <ptx_models.h>

namespace emulator {

/* ------------------------------------------------------------------ mma */

struct mma_argument {
    uint32_t *d; /* float or int32_t */
    const uint32_t *a, *b;
};

/* Eight of a matrix's row. Unsigned: an integer sum wraps. */
typedef uint32_t words __attribute__((vector_size(8 * sizeof(uint32_t))));
typedef int32_t ints __attribute__((vector_size(8 * sizeof(int32_t))));
typedef float floats __attribute__((vector_size(8 * sizeof(float))));
typedef double doubles __attribute__((vector_size(8 * sizeof(double))));

/* What a register holds: element i of eight, in the type of the sums; sums from and to d. */
struct bf16_registers {
    enum { n_elements = 2 };
    typedef doubles sums;
    static void left(sums &to, const words &from, int i) {
        from_d(to, i ? from & 0xffff0000 : from << 16);
    }
    static void right(sums &to, const words &from, int i) {
        left(to, from, i);
    }
    static void from_d(sums &to, const words &d) {
        to = __builtin_convertvector((floats)d, doubles);
    }
    static void to_d(words &d, const sums &from) {
        d = (words) __builtin_convertvector(from, floats);
    }
};
struct s8_registers {
    enum { n_elements = 4 };
    typedef words sums;
    static void left(sums &to, const words &from, int i) {
        right(to, from, i);
    }
    static void right(sums &to, const words &from, int i) {
        to = (words)((ints)(from << (24 - 8 * i)) >> 24);
    }
    static void from_d(sums &to, const words &d) {
        to = d;
    }
    static void to_d(words &d, const sums &from) {
        d = from;
    }
};
struct u8_s8_registers : s8_registers {
    static void left(sums &to, const words &from, int i) {
        to = from << (24 - 8 * i) >> 24;
    }
};

/* Of a warp, by rows: A 16 x 8 registers, B 8 registers x 8 columns, D 16 x 8. */
struct mma_matrices {
    words a[16], b[8], d[16];
};

static void gather(mma_matrices &m, void *const arguments[32]) {
    for (int lane = 0; lane < LANES; lane++) {
        const auto *from = static_cast<const mma_argument *>(arguments[lane]);
        int g = lane / 4, q = lane % 4;
        m.a[g][q] = from->a[0];
        m.a[g + 8][q] = from->a[1];
        m.a[g][q + 4] = from->a[2];
        m.a[g + 8][q + 4] = from->a[3];
        m.b[q][g] = from->b[0];
        m.b[q + 4][g] = from->b[1];
        m.d[g][2 * q] = from->d[0];
        m.d[g][2 * q + 1] = from->d[1];
        m.d[g + 8][2 * q] = from->d[2];
        m.d[g + 8][2 * q + 1] = from->d[3];
    }
}

static void scatter(void *const arguments[32], const mma_matrices &m) {
    for (int lane = 0; lane < LANES; lane++) {
        uint32_t *d = static_cast<mma_argument *>(arguments[lane])->d;
        int g = lane / 4, q = lane % 4;
        d[0] = m.d[g][2 * q];
        d[1] = m.d[g][2 * q + 1];
        d[2] = m.d[g + 8][2 * q];
        d[3] = m.d[g + 8][2 * q + 1];
    }
}

template <class Registers> static void do_mma(void *const arguments[32], uint32_t) {
    typedef typename Registers::sums sums;
    const int n = Registers::n_elements;
    mma_matrices m;
    gather(m, arguments);
    sums right[8 * n]; /* [k] */
    for (int k = 0; k < 8 * n; k++)
        Registers::right(right[k], m.b[k / n], k % n);
    for (int row = 0; row < 16; row += 4) { /* four sums, which need not wait for one another */
        sums left[4][n], sum[4];            /* left: [row][k % n][k / n] */
        for (int r = 0; r < 4; r++) {
            for (int i = 0; i < n; i++)
                Registers::left(left[r][i], m.a[row + r], i);
            Registers::from_d(sum[r], m.d[row + r]);
        }
        for (int k = 0; k < 8 * n; k++)
#pragma GCC unroll 4
            for (int r = 0; r < 4; r++)
                sum[r] += left[r][k % n][k / n] * right[k];
        for (int r = 0; r < 4; r++)
            Registers::to_d(m.d[row + r], sum[r]);
    }
    scatter(arguments, m);
}

static void check_whole_warp(const char *what, site at) {
    if (self->warp->existing != ~0u)
        fail(cudaErrorLaunchFailure, at, "%s in a warp of lanes %08x", what, self->warp->existing);
}

void mma(void *d, const uint32_t a[4], const uint32_t b[2], element of_a, site at) {
    mma_argument argument = {static_cast<uint32_t *>(d), a, b};
    meeting_function model = of_a == element::bf16 ? do_mma<bf16_registers>
                             : of_a == element::s8 ? do_mma<s8_registers>
                                                   : do_mma<u8_s8_registers>;
    check_whole_warp("mma", at);
    meet(~0u, model, &argument, "mma", at);
}

/* ------------------------------------------------------------------ ldmatrix */

struct ldmatrix_argument {
    uint32_t *r;
    const uint16_t *row;
    site at;
};

static void do_ldmatrix_x4(void *const arguments[32], uint32_t) {
    const auto *first = static_cast<ldmatrix_argument *>(arguments[0]);
    const uint16_t *rows[LANES];
    for (int lane = 0; lane < LANES; lane++) {
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
        for (int m = 0; m < 4; m++) {
            const uint16_t *two = rows[8 * m + g] + 2 * q;
            if (checker)
                checker->accessed(lanes[lane], two, 4, access::read, first->at);
            r[m] = two[0] | (uint32_t)two[1] << 16;
        }
    }
}

void ldmatrix_x4(uint32_t r[4], const void *row, site at) {
    ldmatrix_argument argument = {r, static_cast<const uint16_t *>(row), at};
    check_whole_warp("ldmatrix", at);
    meet(~0u, do_ldmatrix_x4, &argument, "ldmatrix", at);
}

} // namespace emulator
