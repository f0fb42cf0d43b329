/* block.cpp - runs a launch cluster by cluster: fibers are prepared, the scheduler passes control
 * round, and whatever goes wrong jumps back here, leaving the cluster's fibers as they stand. */
#include "tests/emulator/block.h"

#include "tests/emulator/fault.h"
#include "tests/emulator/hopper.h"
#include "tests/emulator/observer.h"
#include "tests/emulator/report.h"
#include "tests/emulator/shared.h"

#include <algorithm>
#include <numeric>
#include <stdarg.h>

namespace emulator {

thread *self;
cluster resident;
observer *checker;

static struct {
    fiber caller; /* the host thread that runs the launch */
    emulator_order order;
    uint64_t random;
    cudaError_t error; /* of the launch, so far */
    bool over;         /* given up */
} state;

emulator_order order_running() {
    return state.order;
}

const place *here() {
    return &self->place;
}

static uint32_t random_below(uint32_t n) {
    state.random ^= state.random << 13;
    state.random ^= state.random >> 7;
    state.random ^= state.random << 17;
    return (uint32_t)((state.random >> 32) * n >> 32);
}

/* ------------------------------------------------------------------ what went wrong */

static void note_error(cudaError_t error) {
    if (state.error == cudaSuccess)
        state.error = error;
}

/* Never returns to the running thread, nor to any other of the cluster. */
[[noreturn]] static void give_up() {
    state.over = true;
    fiber *from = &self->fiber;
    self = nullptr;
    fiber_leave(from, &state.caller);
}

void fail(cudaError_t error, site at, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    report_in_kernel(at, format, arguments);
    va_end(arguments);
    note_error(error);
    give_up();
}

void complain(cudaError_t error, site at, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    report_in_kernel(at, format, arguments);
    va_end(arguments);
    note_error(error);
}

[[noreturn]] static void fail_deadlock() {
    report_deadlock();
    note_error(cudaErrorLaunchTimeout);
    give_up();
}

/* ------------------------------------------------------------------ who runs next */

static const uint64_t never = 0; /* changes */
static const waiting for_nothing = {&never, 1}, for_ever = {&never, 0};

static bool can_run(unsigned index) {
    const waiting &w = resident.waiting[index];
    return *w.counter != w.seen;
}

/* The next thread that can run, the running one last; NULL when there is none. */
static thread *next_thread() {
    unsigned n = resident.n_threads, at = self->index;
    if (state.order == EMULATOR_RANDOM)
        at = random_below(n);
    for (unsigned i = 0; i < n; i++) {
        if (state.order == EMULATOR_REVERSE)
            at = at == 0 ? n - 1 : at - 1;
        else
            at = at + 1 == n ? 0 : at + 1;
        if (can_run(at))
            return &resident.threads[at];
    }
    return nullptr;
}

static void run_thread(thread *next) {
    thread *from = self;
    if (next == from)
        return;
    self = next;
    fiber_switch(&from->fiber, &next->fiber);
}

void wait_for_change(const uint64_t *counter, const char *what, site at) {
    resident.waiting[self->index] = {counter, *counter};
    self->waits_in = what;
    self->waits_at = at;
    resident.n_idle_yields = 0;
    thread *next = next_thread();
    while (!next && bulk_copy_land())
        next = next_thread();
    if (!next)
        fail_deadlock();
    run_thread(next);
    resident.waiting[self->index] = for_nothing;
}

/* A loop around a yield that nobody ends is no deadlock to the scheduler: it counts. */
void yield() {
    const uint64_t too_many = 20000000;
    if (++resident.n_idle_yields > too_many)
        fail(cudaErrorLaunchTimeout, nowhere, "waits in a loop for what never comes");
    run_thread(next_thread());
}

void launch_wait() {
    self->has_waited = resident.has_waited = true;
}

/* ------------------------------------------------------------------ threads */

/* Its shared memory is another's from now on. */
static void end_block(const block &b) {
    bulk_copies_end_block(b);
    shared_end_block(b);
    if (checker)
        checker->block_ends(b);
}

static void finish_thread() {
    self->finished = true;
    resident.waiting[self->index] = for_ever;
    resident.n_live--;
    resident.n_idle_yields = 0;
    warp_lane_finished();
    barriers_thread_finished();
    if (--self->block->n_live == 0)
        end_block(*self->block);
    thread *from = self;
    thread *next = next_thread();
    while (!next && resident.n_live > 0 && bulk_copy_land())
        next = next_thread();
    if (!next && resident.n_live > 0)
        fail_deadlock();
    self = next;
    fiber_leave(&from->fiber, next ? &next->fiber : &state.caller);
}

static void thread_main() {
    fiber_arrived(&self->fiber);
    resident.launch->call(*resident.launch);
    finish_thread();
}

/* Thread number `own` of a block. */
static void prepare_thread(block *b, unsigned own) {
    unsigned index = b->rank * resident.block_threads + own;
    thread *t = &resident.threads[index];
    const launch &l = *resident.launch;
    unsigned x = own % l.block.x, y = own / l.block.x % l.block.y;
    t->place = {{x, y, own / (l.block.x * l.block.y)}, b->index, l.block, l.grid};
    t->block = b;
    t->index = index;
    t->lane = own % LANES;
    t->warp = &resident.warps[index / LANES];
    t->finished = false;
    resident.waiting[index] = for_nothing;
    t->copies.clear();
    t->copy_group = 0;
    t->has_waited = false;
    fiber_prepare(&t->fiber, index, thread_main);
}

static void prepare_warp(unsigned index, unsigned n_threads) {
    warp *w = &resident.warps[index];
    unsigned lanes = std::min(n_threads, (unsigned)LANES);
    w->index = index;
    w->existing = lanes == LANES ? ~0u : (1u << lanes) - 1;
    w->finished = w->n_meetings = 0;
    for (meeting &m : w->meetings)
        m.arrived = 0;
}

static void prepare_block(block *b, unsigned rank, uint3 index) {
    unsigned n = resident.block_threads, n_warps = resident.n_warps / resident.n_blocks;
    b->rank = rank;
    b->n_live = n;
    b->index = index;
    for (barrier &of_block : b->barriers)
        of_block.arrived = of_block.counted = 0;
    for (unsigned w = 0; w < n_warps; w++)
        prepare_warp(rank * n_warps + w, n - w * LANES);
    for (unsigned i = 0; i < n; i++)
        prepare_thread(b, i);
}

/* Blocks of a cluster are beside each other in x. */
static void prepare_cluster(uint3 first) {
    resident.n_live = resident.n_threads;
    resident.n_idle_yields = 0;
    resident.barrier.arrived = resident.barrier.counted = 0;
    for (unsigned rank = 0; rank < resident.n_blocks; rank++)
        prepare_block(&resident.blocks[rank], rank, {first.x + rank, first.y, first.z});
}

/* ------------------------------------------------------------------ clusters */

static void run_cluster(uint3 first_block) {
    prepare_cluster(first_block);
    if (checker)
        checker->cluster_begins();
    shared_begin_cluster();
    mbarrier_begin_cluster();
    wgmma_begin_cluster();
    unsigned first = 0;
    if (state.order == EMULATOR_REVERSE)
        first = resident.n_threads - 1;
    if (state.order == EMULATOR_RANDOM)
        first = random_below(resident.n_threads);
    self = &resident.threads[first];
    fiber_switch(&state.caller, &self->fiber);
    self = nullptr;
    if (!state.over)
        wgmma_end_cluster();
}

/* Cluster number i of n in the order: forwards, backwards, or a random step round. */
struct cluster_order {
    uint64_t n, step, first;
};
static cluster_order order_clusters(uint64_t n) {
    if (state.order == EMULATOR_FORWARD)
        return {n, 1, 0};
    if (state.order == EMULATOR_REVERSE)
        return {n, n - 1, n - 1};
    uint64_t step = 1 + random_below((uint32_t)n);
    while (std::gcd(step, n) != 1)
        step++;
    return {n, step % n, random_below((uint32_t)n)};
}

cudaError_t launch_run(const launch &l, size_t most_shared_bytes,
                       const emulator_settings &settings) {
    state.order = settings.order;
    state.random = settings.seed * 0x9e3779b97f4a7c15 + 0x2545f4914f6cdd1d;
    state.error = cudaSuccess;
    state.over = false;
    state.caller = {};
    resident.launch = &l;
    resident.n_blocks = l.cluster;
    resident.block_threads = l.block.x * l.block.y * l.block.z;
    resident.n_threads = resident.n_blocks * resident.block_threads;
    resident.n_warps = resident.n_blocks * ((resident.block_threads + LANES - 1) / LANES);
    resident.has_waited = false;
    if (checker)
        checker->launch_begins(l);
    shared_begin_launch(l.shared_bytes, most_shared_bytes);
    fault_handler_install();
    uint64_t x = l.grid.x / l.cluster, xy = x * l.grid.y, n = xy * l.grid.z;
    cluster_order order = order_clusters(n);
    uint64_t at = order.first;
    for (uint64_t i = 0; i < n && !state.over; i++) {
        run_cluster({(unsigned)(at % x) * l.cluster, (unsigned)(at % xy / x), (unsigned)(at / xy)});
        at = (at + order.step) % n;
    }
    fault_handler_remove();
    for (unsigned i = 0; i < resident.n_threads && state.over; i++)
        fiber_forget_frames(&resident.threads[i].fiber);
    /* The launch behind it waits for it alone. */
    if (l.is_early && !resident.has_waited && !state.over)
        complain(cudaErrorLaunchFailure, nowhere,
                 "may begin early and ends without grid_wait: whoever waits for it has not waited "
                 "for those in front of it");
    resident.launch = nullptr;
    return state.error;
}

} // namespace emulator
