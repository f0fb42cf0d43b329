/* block.cpp - runs a launch block by block: fibers are prepared, the scheduler passes control
 * round, and whatever goes wrong jumps back here, leaving the block's fibers as they stand. */
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
block resident;
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

/* Never returns to the running thread, nor to any other of the block. */
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

static bool can_run(const thread *t) {
    return !t->finished && (!t->waits_for || *t->waits_for != t->seen);
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
        if (can_run(&resident.threads[at]))
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
    self->waits_for = counter;
    self->seen = *counter;
    self->waits_in = what;
    self->waits_at = at;
    resident.n_idle_yields = 0;
    thread *next = next_thread();
    while (!next && bulk_copy_land())
        next = next_thread();
    if (!next)
        fail_deadlock();
    run_thread(next);
    self->waits_for = nullptr;
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

static void finish_thread() {
    self->finished = true;
    resident.n_live--;
    resident.n_idle_yields = 0;
    warp_lane_finished();
    barriers_thread_finished();
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

static void prepare_thread(unsigned index, uint3 block_index) {
    thread *t = &resident.threads[index];
    const launch &l = *resident.launch;
    unsigned x = index % l.block.x, y = index / l.block.x % l.block.y;
    t->place = {{x, y, index / (l.block.x * l.block.y)}, block_index, l.block, l.grid};
    t->index = index;
    t->lane = index % LANES;
    t->warp = &resident.warps[index / LANES];
    t->finished = false;
    t->waits_for = nullptr;
    t->copies.clear();
    t->copy_group = 0;
    t->has_waited = false;
    fiber_prepare(&t->fiber, index, thread_main);
}

static void prepare_block(uint3 block_index) {
    unsigned n = resident.n_threads;
    resident.n_live = n;
    resident.n_warps = (n + LANES - 1) / LANES;
    resident.n_idle_yields = 0;
    for (unsigned w = 0; w < resident.n_warps; w++) {
        unsigned lanes = std::min(n - w * LANES, (unsigned)LANES);
        resident.warps[w].index = w;
        resident.warps[w].existing = lanes == LANES ? ~0u : (1u << lanes) - 1;
        resident.warps[w].finished = 0;
        for (meeting &m : resident.warps[w].meetings)
            m.arrived = 0;
    }
    for (barrier &b : resident.barriers)
        b.arrived = b.counted = 0;
    for (unsigned i = 0; i < n; i++)
        prepare_thread(i, block_index);
}

/* ------------------------------------------------------------------ blocks */

static void run_block(uint3 block_index) {
    prepare_block(block_index);
    if (checker)
        checker->block_begins();
    shared_begin_block();
    mbarrier_begin_block();
    wgmma_begin_block();
    unsigned first = 0;
    if (state.order == EMULATOR_REVERSE)
        first = resident.n_threads - 1;
    if (state.order == EMULATOR_RANDOM)
        first = random_below(resident.n_threads);
    self = &resident.threads[first];
    fiber_switch(&state.caller, &self->fiber);
    self = nullptr;
    if (state.over)
        return;
    shared_end_block();
    wgmma_end_block();
}

/* Block number i of n in the order: forwards, backwards, or a random step round. */
struct block_order {
    uint64_t n, step, first;
};
static block_order order_blocks(uint64_t n) {
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
    resident.n_threads = l.block.x * l.block.y * l.block.z;
    resident.has_waited = false;
    if (checker)
        checker->launch_begins(l);
    shared_begin_launch(l.shared_bytes, most_shared_bytes);
    fault_handler_install();
    uint64_t n = (uint64_t)l.grid.x * l.grid.y * l.grid.z;
    block_order order = order_blocks(n);
    uint64_t at = order.first;
    for (uint64_t i = 0; i < n && !state.over; i++) {
        uint64_t xy = (uint64_t)l.grid.x * l.grid.y;
        run_block({(unsigned)(at % l.grid.x), (unsigned)(at % xy / l.grid.x), (unsigned)(at / xy)});
        at = (at + order.step) % n;
    }
    fault_handler_remove();
    /* The launch behind it waits for it alone. */
    if (l.is_early && !resident.has_waited && !state.over)
        complain(cudaErrorLaunchFailure, nowhere,
                 "may begin early and ends without grid_wait: whoever waits for it has not waited "
                 "for those in front of it");
    resident.launch = nullptr;
    return state.error;
}

} // namespace emulator
