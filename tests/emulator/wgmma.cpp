/* wgmma.cpp - products of a warp group. Each warp computes its own 16 rows, so the four need not
 * meet; they must only have done the same when the cluster ends. Operands are read, and d is
 * written, at the wait: who touches them before sees, or makes, something else. */
#include "tests/emulator/hopper.h"
#include "tests/emulator/observer.h"
#include "tests/emulator/shared.h"

#include <hopper_models.h>

#include <vector>

namespace emulator {

enum { MOST_COLUMNS = 128 };

struct product {
    float *d[LANES]; /* each lane's [n / 2] */
    int n;
    uint32_t a[LANES][4];
    uint64_t b;
    bool first; /* sums begin from zero, whatever d is */
    uint32_t group;
    site at;
};

static struct {
    std::vector<product> pending[MAX_WARPS];
    uint32_t group[MAX_WARPS]; /* that is being filled */
    unsigned n_products[MAX_WARPS];
    site last[MAX_WARPS]; /* product's */
} state;

void wgmma_begin_cluster() {
    for (unsigned w = 0; w < resident.n_warps; w++) {
        state.pending[w].clear();
        state.group[w] = state.n_products[w] = 0;
    }
}

/* The first warp of its group of four. */
static unsigned first_of_group(unsigned w) {
    return w - w % (resident.n_warps / resident.n_blocks) % 4;
}

void wgmma_end_cluster() {
    for (unsigned w = 1; w < resident.n_warps; w++) {
        unsigned first = first_of_group(w);
        if (state.n_products[w] != state.n_products[first])
            complain(cudaErrorLaunchFailure,
                     state.last[state.n_products[w] > state.n_products[first] ? w : first],
                     "warp %u did %u products, warp %u did %u", w, state.n_products[w], first,
                     state.n_products[first]);
    }
}

/* ------------------------------------------------------------------ the operand b
 * Bits 0 to 13: address in the own block / 16; 16 to 29: bytes / 16 to the other 8 products. */

uint64_t wgmma_planes(const void *first, int plane_bytes, site at) {
    size_t address = (size_t)(static_cast<const char *>(first) - static_cast<char *>(shared_at(0)));
    if (address % 16 != 0 || address >= 1 << 18 || plane_bytes % 16 != 0 || plane_bytes >= 1 << 18)
        fail(cudaErrorMisalignedAddress, at, "wgmma_planes: no multiples of 16 in shared memory");
    return address >> 4 | (uint64_t)plane_bytes >> 4 << 16;
}

/* The piece of 8 elements from k on, k 0 or 8. */
static const uint16_t *piece_of(uint64_t operand, int row, int k) {
    size_t first = (size_t)(operand & 0x3fff) << 4, plane = (size_t)(operand >> 16 & 0x3fff) << 4;
    return static_cast<const uint16_t *>(shared_at(first + (k ? plane : 0) + 16 * (size_t)row));
}

static float to_float(uint16_t b) {
    uint32_t bits = (uint32_t)b << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Every piece of b is shared memory, and was meant for products to read. */
static void check_rows(const product &p) {
    for (int row = 0; row < p.n; row++)
        for (int k = 0; k < 16; k += 8) {
            const uint16_t *piece = piece_of(p.b, row, k);
            if (!shared_has(piece, 16))
                fail(cudaErrorIllegalAddress, p.at, "wgmma: row %d of b is not shared memory", row);
            if (checker)
                checker->async_read(piece, 16, p.at);
        }
}

/* ------------------------------------------------------------------ multiplying */

typedef double double4 __attribute__((vector_size(32)));
static double left[16][16];                 /* [row][k] */
static double4 right[16][MOST_COLUMNS / 4]; /* [k][column / 4][column % 4] */

static void read_operands(const product &p) {
    for (int row = 0; row < 16; row++)
        for (int k = 0; k < 16; k++) {
            uint32_t two = p.a[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2];
            left[row][k] = to_float((uint16_t)(two >> k % 2 * 16));
        }
    for (int k = 0; k < 16; k += 8)
        for (int column = 0; column < p.n; column++) {
            const uint16_t *piece = piece_of(p.b, column, k);
            for (int i = 0; i < 8; i++)
                right[k + i][column / 4][column % 4] = to_float(piece[i]);
        }
}

/* Eight columns of two rows: four sums, which need not wait for one another. This is where time
 * goes, and it touches the operands above alone: no work for a sanitizer. */
__attribute__((no_sanitize("address", "undefined"))) static void add_products(double4 sums[4],
                                                                              int row, int first) {
    double4 a = sums[0], b = sums[1], c = sums[2], d = sums[3];
    for (int k = 0; k < 16; k++) {
        double4 low = right[k][first / 4], high = right[k][first / 4 + 1];
        a += left[row][k] * low;
        b += left[row][k] * high;
        c += left[row + 8][k] * low;
        d += left[row + 8][k] * high;
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
}

/* Eight columns of rows `row` and `row` + 8: four lanes have two of each. */
static void perform_columns(const product &p, int row, int first) {
    float *d[4];
    for (int i = 0; i < 4; i++)
        d[i] = p.d[row * 4 + i] + first / 2;
    double4 sums[4] = {};
    if (!p.first) {
        sums[0] = double4{d[0][0], d[0][1], d[1][0], d[1][1]};
        sums[1] = double4{d[2][0], d[2][1], d[3][0], d[3][1]};
        sums[2] = double4{d[0][2], d[0][3], d[1][2], d[1][3]};
        sums[3] = double4{d[2][2], d[2][3], d[3][2], d[3][3]};
    }
    add_products(sums, row, first);
    for (int i = 0; i < 4; i++) {
        double4 above = sums[i / 2], below = sums[2 + i / 2];
        d[i][0] = (float)above[i % 2 * 2];
        d[i][1] = (float)above[i % 2 * 2 + 1];
        d[i][2] = (float)below[i % 2 * 2];
        d[i][3] = (float)below[i % 2 * 2 + 1];
    }
}

static void perform(const product &p) {
    if (checker)
        check_rows(p);
    read_operands(p);
    for (int row = 0; row < 8; row++)
        for (int first = 0; first < p.n; first += 8)
            perform_columns(p, row, first);
}

struct argument {
    float *d;
    int n;
    const uint32_t *a; /* [4] */
    uint64_t b;
    bool first;
    site at;
};

static void do_wgmma(void *const arguments[32], uint32_t) {
    const auto *first = static_cast<argument *>(arguments[0]);
    unsigned warp = self->warp->index;
    product p = {{}, first->n, {}, first->b, first->first, state.group[warp], first->at};
    for (int lane = 0; lane < LANES; lane++) {
        const auto *from = static_cast<argument *>(arguments[lane]);
        p.d[lane] = from->d;
        for (int i = 0; i < 4; i++)
            p.a[lane][i] = from->a[i];
    }
    check_rows(p);
    state.pending[warp].push_back(p);
    state.n_products[warp]++;
    state.last[warp] = first->at;
}

static void do_commit(void *const[32], uint32_t) {
    state.group[self->warp->index]++;
}

static void do_wait(void *const arguments[32], uint32_t) {
    unsigned warp = self->warp->index;
    std::vector<product> &pending = state.pending[warp];
    unsigned n_newest = *static_cast<unsigned *>(arguments[0]);
    size_t n = 0;
    while (n < pending.size() && pending[n].group + n_newest < state.group[warp])
        perform(pending[n++]);
    pending.erase(pending.begin(), pending.begin() + (ptrdiff_t)n);
}

static void meet_all(meeting_function function, void *argument, const char *what, site at) {
    unsigned own = self->index - self->block->rank * resident.block_threads;
    if (resident.block_threads < (own / LANES / 4 + 1) * 4 * LANES)
        fail(cudaErrorLaunchFailure, at, "%s: not in a group of four whole warps", what);
    meet(~0u, function, argument, what, at);
}

void wgmma(float *d, int n, const uint32_t a[4], uint64_t b, bool first, site at) {
    argument argument = {d, n, a, b, first, at};
    meet_all(do_wgmma, &argument, "wgmma_bf16", at);
}

void wgmma_commit(site at) {
    meet_all(do_commit, nullptr, "wgmma_commit", at);
}

void wgmma_wait(unsigned n_newest, site at) {
    meet_all(do_wait, &n_newest, "wgmma_wait", at);
}

} // namespace emulator
