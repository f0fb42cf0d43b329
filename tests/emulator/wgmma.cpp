/* wgmma.cpp - products of a warp group. Each warp computes its own 16 rows, so the four need not
 * meet; they must only have done the same when the block ends. Operands are read, and d is written,
 * at the wait: who touches them before sees, or makes, something else. */
#include "tests/emulator/hopper.h"
#include "tests/emulator/observer.h"
#include "tests/emulator/shared.h"

#include <hopper_models.h>

#include <vector>

namespace emulator {

struct product {
    float *d[LANES]; /* each lane's [n / 2] */
    int n;
    uint64_t a, b;
    uint32_t group;
    site at;
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
 * Bits 0 to 13: address in shared memory / 16; the rest is the same for all. */

uint64_t wgmma_operand(const void *tile, int k, site at) {
    size_t address = shared_offset(tile);
    if (address % 1024 != 0 || address >= 1 << 18)
        fail(cudaErrorMisalignedAddress, at, "wgmma_operand: no multiple of 1024 in shared memory");
    return (address + 2 * (size_t)k) >> 4;
}

/* Element k of a row, as swizzled: address bits 4 to 6 are changed by bits 7 to 9. */
static const uint16_t *element(uint64_t operand, int row, int k) {
    size_t address = ((size_t)operand << 4) + (size_t)row * 128 + (size_t)k * 2;
    return static_cast<const uint16_t *>(shared_at(address ^ (address >> 3 & 0x70)));
}

static float to_float(uint16_t b) {
    uint32_t bits = (uint32_t)b << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Pieces of 16 bytes hold 8 elements. */
static void check_rows(const product &p, uint64_t operand, int first, int n) {
    for (int row = first; row < first + n; row++)
        for (int k = 0; k < 16; k += 8) {
            const uint16_t *piece = element(operand, row, k);
            if (!shared_has(piece, 16))
                fail(cudaErrorIllegalAddress, p.at,
                     "wgmma: an operand's row %d is not shared memory", row);
            if (checker)
                checker->async_read(piece, 16, p.at);
        }
}

static void check_operands(const product &p) {
    check_rows(p, p.a, (int)(self->warp->index % 4) * 16, 16);
    check_rows(p, p.b, 0, p.n);
}

/* ------------------------------------------------------------------ multiplying */

static void perform(const product &p) {
    check_operands(p);
    int first = (int)(self->warp->index % 4) * 16;
    for (int lane = 0; lane < LANES; lane++)
        for (int i = 0; i < p.n / 2; i++) {
            int row = first + lane / 4 + 8 * (i >> 1 & 1);
            int column = 8 * (i / 4) + 2 * (lane % 4) + (i & 1);
            double sum = p.d[lane][i];
            for (int k = 0; k < 16; k++)
                sum += (double)to_float(*element(p.a, row, k)) * to_float(*element(p.b, column, k));
            p.d[lane][i] = (float)sum;
        }
}

struct argument {
    float *d;
    int n;
    uint64_t a, b;
    unsigned n_newest;
    site at;
};

static void do_wgmma(void *const arguments[32], uint32_t) {
    const auto *first = static_cast<argument *>(arguments[0]);
    unsigned warp = self->warp->index;
    product p = {{}, first->n, first->a, first->b, state.group[warp], first->at};
    for (int lane = 0; lane < LANES; lane++)
        p.d[lane] = static_cast<argument *>(arguments[lane])->d;
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
    argument argument = {d, n, a, b, 0, at};
    meet_all(do_wgmma, &argument, "wgmma_bf16", at);
}

void wgmma_commit(site at) {
    meet_all(do_commit, nullptr, "wgmma_commit", at);
}

void wgmma_wait(unsigned n_newest, site at) {
    argument argument = {nullptr, 0, 0, 0, n_newest, at};
    meet_all(do_wait, &argument, "wgmma_wait", at);
}

} // namespace emulator
