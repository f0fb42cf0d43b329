/* wgmma.cpp - products of a warp group. Each warp computes its own 16 rows, so the four need not
 * meet; they must only have done the same when the block ends. Operands are read, and d is written,
 * at the wait: who touches them before sees, or makes, something else. */
#include "tests/emulator/hopper.h"
#include "tests/emulator/observer.h"
#include "tests/emulator/shared.h"

#include <hopper_models.h>

#include <vector>

namespace emulator {

enum { MOST_COLUMNS = 192 };

struct product {
    float *d[LANES]; /* each lane's [n / 2] */
    int n;
    uint64_t a, b;
    uint32_t group;
    site at;
    bool in_registers; /* A: not `a`, but of each lane */
    bool first;        /* sums begin from zero, whatever d is */
    uint32_t registers[LANES][4];
};

static struct {
    std::vector<product> pending[MAX_WARPS];
    uint32_t group[MAX_WARPS]; /* that is being filled */
    unsigned n_products[MAX_WARPS];
    site last[MAX_WARPS]; /* product's */
} state;

void wgmma_begin_block() {
    for (unsigned w = 0; w < resident.n_warps; w++) {
        state.pending[w].clear();
        state.group[w] = state.n_products[w] = 0;
    }
}

void wgmma_end_block() {
    for (unsigned w = 1; w < resident.n_warps; w++) {
        unsigned first = w / 4 * 4;
        if (state.n_products[w] != state.n_products[first])
            complain(cudaErrorLaunchFailure,
                     state.last[state.n_products[w] > state.n_products[first] ? w : first],
                     "warp %u did %u products, warp %u did %u", w, state.n_products[w], first,
                     state.n_products[first]);
    }
}

/* ------------------------------------------------------------------ operands
 * Bits 0 to 13: address in shared memory / 16; 16 to 29, without swizzle: bytes / 16 to the other 8
 * products; 32 to 45: bytes / 16 from eight rows to the next; 62 and 63: 1 for the swizzle, 0 for
 * none. */

static uint64_t encode(size_t address, size_t plane_bytes, size_t eight_rows, uint64_t swizzled) {
    return address >> 4 | (uint64_t)(plane_bytes >> 4) << 16 | (uint64_t)(eight_rows >> 4) << 32 |
           swizzled << 62;
}

uint64_t wgmma_operand(const void *tile, int k, site at) {
    size_t address = shared_offset(tile);
    if (address % 1024 != 0 || address >= 1 << 18)
        fail(cudaErrorMisalignedAddress, at, "wgmma_operand: no multiple of 1024 in shared memory");
    return encode(address + 2 * (size_t)k, 16, 1024, 1);
}

uint64_t wgmma_planes(const void *first, int plane_bytes, site at) {
    size_t address = shared_offset(first);
    if (address % 16 != 0 || address >= 1 << 18 || plane_bytes % 16 != 0 || plane_bytes >= 1 << 18)
        fail(cudaErrorMisalignedAddress, at, "wgmma_planes: no multiples of 16 in shared memory");
    return encode(address, (size_t)plane_bytes, 128, 0);
}

/* The piece of 8 elements from k on, k 0 or 8. As swizzled, address bits 4 to 6 are changed by bits
 * 7 to 9. */
static const uint16_t *piece_of(uint64_t operand, int row, int k) {
    size_t first = (size_t)(operand & 0x3fff) << 4, plane = (size_t)(operand >> 16 & 0x3fff) << 4;
    size_t eight_rows = (size_t)(operand >> 32 & 0x3fff) << 4;
    size_t at = first + (size_t)(row / 8) * eight_rows + (k ? plane : 0);
    at += (size_t)(row % 8) * (eight_rows / 8);
    return static_cast<const uint16_t *>(shared_at(operand >> 62 ? at ^ (at >> 3 & 0x70) : at));
}

static float to_float(uint16_t b) {
    uint32_t bits = (uint32_t)b << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Every piece of n rows is shared memory, and was meant for products to read. */
static void check_rows(const product &p, uint64_t operand, int first, int n) {
    for (int row = first; row < first + n; row++)
        for (int k = 0; k < 16; k += 8) {
            const uint16_t *piece = piece_of(operand, row, k);
            if (!shared_has(piece, 16))
                fail(cudaErrorIllegalAddress, p.at,
                     "wgmma: an operand's row %d is not shared memory", row);
            if (checker)
                checker->async_read(piece, 16, p.at);
        }
}

static int first_row() {
    return (int)(self->warp->index % 4) * 16;
}

static void check_operands(const product &p) {
    if (!p.in_registers)
        check_rows(p, p.a, first_row(), 16);
    check_rows(p, p.b, 0, p.n);
}

/* ------------------------------------------------------------------ multiplying */

typedef double double4 __attribute__((vector_size(32)));
static double left[16][16];                 /* [row][k] */
static double4 right[16][MOST_COLUMNS / 4]; /* [k][column / 4][column % 4] */

/* A of the warp's 16 rows, two elements a register. */
static void read_left(const product &p) {
    for (int row = 0; row < 16; row++)
        for (int k = 0; k < 16; k++) {
            uint32_t two = p.registers[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2];
            left[row][k] = p.in_registers
                               ? to_float((uint16_t)(two >> k % 2 * 16))
                               : to_float(piece_of(p.a, first_row() + row, k / 8 * 8)[k % 8]);
        }
}

static void read_operands(const product &p) {
    read_left(p);
    for (int k = 0; k < 16; k += 8) {
        for (int column = 0; column < p.n; column++) {
            const uint16_t *piece = piece_of(p.b, column, k);
            for (int i = 0; i < 8; i++)
                right[k + i][column / 4][column % 4] = to_float(piece[i]);
        }
    }
}

/* Eight columns of a row: four lanes have two each. */
static void perform_columns(const product &p, int row, int first) {
    float *d[4];
    for (int i = 0; i < 4; i++)
        d[i] = p.d[row % 8 * 4 + i] + first / 2 + row / 8 * 2;
    for (int i = 0; i < 4 && p.first; i++)
        d[i][0] = d[i][1] = 0;
    double4 low = {d[0][0], d[0][1], d[1][0], d[1][1]};
    double4 high = {d[2][0], d[2][1], d[3][0], d[3][1]};
    for (int k = 0; k < 16; k++) {
        low += left[row][k] * right[k][first / 4];
        high += left[row][k] * right[k][first / 4 + 1];
    }
    for (int i = 0; i < 4; i++) {
        d[i / 2][i % 2] = (float)low[i];
        d[2 + i / 2][i % 2] = (float)high[i];
    }
}

static void perform(const product &p) {
    if (checker)
        check_operands(p);
    read_operands(p);
    for (int row = 0; row < 16; row++)
        for (int first = 0; first < p.n; first += 8)
            perform_columns(p, row, first);
}

struct argument {
    float *d;
    int n;
    uint64_t a, b;
    unsigned n_newest;
    site at;
    const uint32_t *registers; /* [4], or NULL */
    bool first_product;
};

static void do_wgmma(void *const arguments[32], uint32_t) {
    const auto *first = static_cast<argument *>(arguments[0]);
    unsigned warp = self->warp->index;
    product p = {{},
                 first->n,
                 first->a,
                 first->b,
                 state.group[warp],
                 first->at,
                 first->registers != nullptr,
                 first->first_product,
                 {}};
    for (int lane = 0; lane < LANES; lane++) {
        const auto *from = static_cast<argument *>(arguments[lane]);
        p.d[lane] = from->d;
        for (int i = 0; i < 4 && from->registers; i++)
            p.registers[lane][i] = from->registers[i];
    }
    check_operands(p);
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
    uint32_t n_newest = static_cast<argument *>(arguments[0])->n_newest;
    size_t n = 0;
    while (n < pending.size() && pending[n].group + n_newest < state.group[warp])
        perform(pending[n++]);
    pending.erase(pending.begin(), pending.begin() + (ptrdiff_t)n);
}

static void meet_all(meeting_function function, argument *a, const char *what, site at) {
    if (resident.n_threads < (self->warp->index / 4 + 1) * 4 * LANES)
        fail(cudaErrorLaunchFailure, at, "%s: not in a group of four whole warps", what);
    meet(~0u, function, a, what, at);
}

void wgmma(float *d, int n, uint64_t a, uint64_t b, site at) {
    argument argument = {d, n, a, b, 0, at, nullptr, false};
    meet_all(do_wgmma, &argument, "wgmma_bf16", at);
}

void wgmma_registers(float *d, int n, const uint32_t a[4], uint64_t b, bool first, site at) {
    argument argument = {d, n, 0, b, 0, at, a, first};
    meet_all(do_wgmma, &argument, "wgmma_bf16", at);
}

void wgmma_commit(site at) {
    meet_all(do_commit, nullptr, "wgmma_commit", at);
}

void wgmma_wait(unsigned n_newest, site at) {
    argument argument = {nullptr, 0, 0, 0, n_newest, at, nullptr, false};
    meet_all(do_wait, &argument, "wgmma_wait", at);
}

} // namespace emulator
