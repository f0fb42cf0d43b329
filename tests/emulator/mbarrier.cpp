/* mbarrier.cpp - mbarriers, and bulk copies, which arrive at them. The state of a barrier is the
 * emulator's; the 8 bytes in shared memory are only its name. A copy lands as late as can be, when
 * nothing else can run, or in the reverse order at once; one to several blocks is one to each. */
#include "tests/emulator/hopper.h"
#include "tests/emulator/observer.h"
#include "tests/emulator/shared.h"

#include <hopper_models.h>

#include <deque>
#include <map>

namespace emulator {

struct mbarrier {
    int n_arrivals; /* a phase has */
    int n_missing;  /* arrivals, in this phase */
    int n_bytes;    /* expected, less those that are there */
    int parity;     /* of this phase */
    uint64_t n_held;
    unsigned maker; /* thread */
    bool is_fenced; /* by its maker, for copies */
};

struct bulk {
    pending_copy copy;
    const uint64_t *barrier;
};

static struct {
    std::map<const uint64_t *, mbarrier> barriers;
    std::deque<bulk> copies; /* in flight */
} state;

void mbarrier_begin_cluster() {
    state.barriers.clear();
    state.copies.clear();
}

static mbarrier *find(const uint64_t *barrier, const char *what, site at) {
    auto found = state.barriers.find(barrier);
    if (found == state.barriers.end())
        fail(cudaErrorLaunchFailure, at, "%s: the barrier was not initialised", what);
    if (checker)
        checker->mbarrier_used(barrier, at);
    return &found->second;
}

static void end_phase(const uint64_t *name, mbarrier *b) {
    if (b->n_missing > 0 || b->n_bytes != 0)
        return;
    b->n_missing = b->n_arrivals;
    b->parity ^= 1;
    b->n_held++;
    if (checker)
        checker->mbarrier_held(name);
}

void mbarrier_init(const uint64_t *barrier, int n_arrivals, site at) {
    if ((uintptr_t)barrier % sizeof *barrier != 0 || !shared_has(barrier, sizeof *barrier))
        fail(cudaErrorIllegalAddress, at, "mbarrier_init: not 8 aligned bytes of shared memory");
    if (checker)
        checker->mbarrier_initialised(barrier, at);
    state.barriers[barrier] = {n_arrivals, n_arrivals, 0, 0, 0, self->index, false};
}

void fence_barrier_init() {
    for (auto &named : state.barriers)
        named.second.is_fenced |= named.second.maker == self->index;
}

static void arrive(const uint64_t *barrier, int expected_bytes, const char *what, site at) {
    mbarrier *b = find(barrier, what, at);
    if (b->n_missing == 0)
        fail(cudaErrorLaunchFailure, at, "%s: more than %d arrivals in a phase", what,
             b->n_arrivals);
    if (checker)
        checker->mbarrier_arrived(barrier, at);
    b->n_bytes += expected_bytes;
    b->n_missing--;
    end_phase(barrier, b);
}

void mbarrier_arrive(const uint64_t *barrier, int expected_bytes, site at) {
    arrive(barrier, expected_bytes, "mbarrier_arrive", at);
}

/* Some blocks of the cluster, as bits. */
static void check_blocks(unsigned blocks, const char *what, site at) {
    if (blocks == 0 || blocks >> resident.n_blocks)
        fail(cudaErrorLaunchFailure, at, "%s: blocks %#x of a cluster that has %u", what, blocks,
             resident.n_blocks);
    for (unsigned rank = 0; rank < resident.n_blocks; rank++) {
        const block &b = resident.blocks[rank];
        if (blocks >> rank & 1 && b.n_live == 0)
            fail(cudaErrorLaunchFailure, at,
                 "%s: block (%u, %u, %u) has ended and has not waited for it", what, b.index.x,
                 b.index.y, b.index.z);
    }
}

void mbarrier_arrive_at(const uint64_t *barrier, int block, site at) {
    const char *what = "mbarrier_arrive_at";
    check_blocks((unsigned)block < MAX_BLOCKS ? 1u << block : 0, what, at);
    arrive(static_cast<uint64_t *>(shared_of(barrier, (unsigned)block)), 0, what, at);
}

void mbarrier_wait(const uint64_t *barrier, int parity, site at) {
    mbarrier *b = find(barrier, "mbarrier_wait", at);
    while (b->parity == parity)
        wait_for_change(&b->n_held, "mbarrier_wait", at);
    if (checker)
        checker->mbarrier_waited(barrier);
}

std::string mbarrier_describe(const uint64_t *counter) {
    for (const auto &named : state.barriers)
        if (&named.second.n_held == counter)
            return ", whose phase misses " + std::to_string(named.second.n_missing) + " of " +
                   std::to_string(named.second.n_arrivals) + " arrivals and " +
                   std::to_string(named.second.n_bytes) + " bytes";
    return "";
}

/* ------------------------------------------------------------------ bulk copies */

static void land(const bulk &done) {
    memcpy(done.copy.to, done.copy.from, done.copy.bytes);
    if (checker)
        checker->bulk_landed(done.copy, done.barrier);
    mbarrier *b = &state.barriers[done.barrier];
    b->n_bytes -= (int)done.copy.bytes;
    end_phase(done.barrier, b);
}

bool bulk_copy_land() {
    if (state.copies.empty())
        return false;
    bulk oldest = state.copies.front();
    state.copies.pop_front();
    land(oldest);
    return true;
}

void bulk_copies_end_block(const block &b) {
    for (const bulk &c : state.copies)
        if (&shared_owner(c.copy.to) == &b)
            fail(cudaErrorLaunchFailure, c.copy.at,
                 "the block ends and has not waited for a bulk copy to it");
}

/* To one block. */
static void copy_to(void *shared, const void *global, int bytes, const uint64_t *barrier, site at) {
    if (!find(barrier, "bulk_copy", at)->is_fenced)
        fail(cudaErrorLaunchFailure, at, "bulk_copy: its barrier has had no fence_barrier_init");
    size_t n = (size_t)bytes;
    if ((uintptr_t)shared % 16 != 0 || (uintptr_t)global % 16 != 0 || bytes <= 0 || bytes % 16 != 0)
        fail(cudaErrorMisalignedAddress, at, "bulk_copy of %d bytes: not in multiples of 16",
             bytes);
    if (!shared_has(shared, n))
        fail(cudaErrorIllegalAddress, at,
             "bulk_copy of %d bytes: not to one piece of shared memory", bytes);
    if (!memory_has(global, n)) {
        char where[128];
        memory_describe(global, where, sizeof where);
        fail(cudaErrorIllegalAddress, at, "bulk_copy of %d bytes from %s", bytes, where);
    }
    pending_copy copy = {static_cast<char *>(shared),
                         static_cast<const char *>(global),
                         (uint32_t)bytes,
                         true,
                         0,
                         at};
    if (checker)
        checker->bulk_issued(copy);
    state.copies.push_back({copy, barrier});
    if (order_running() == EMULATOR_REVERSE)
        bulk_copy_land();
}

void bulk_copy(void *shared, const void *global, int bytes, const uint64_t *barrier,
               unsigned blocks, site at) {
    check_blocks(blocks, "bulk_copy", at);
    for (unsigned rank = 0; rank < resident.n_blocks; rank++)
        if (blocks >> rank & 1)
            copy_to(shared_of(shared, rank), global, bytes,
                    static_cast<uint64_t *>(shared_of(barrier, rank)), at);
}

unsigned block_of_cluster() {
    return 1u << self->block->rank;
}

void fence_async() {
    if (checker)
        checker->fenced(fence_scope::async);
}

} // namespace emulator
