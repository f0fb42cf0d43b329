/* barrier.cpp - barriers of a block: 0 is __syncthreads, of all its threads; 1 to 15 are of as many
 * as the call says. */
#include "tests/emulator/observer.h"

namespace emulator {

static bool same_site(const site &a, const site &b) {
    return a.file == b.file && a.line == b.line && a.serial == b.serial;
}

static void check_arrival(const barrier &b, unsigned number, unsigned count, site at) {
    if (number >= N_BARRIERS)
        fail(cudaErrorLaunchFailure, at, "barrier %u: there are %d", number, N_BARRIERS);
    if (number == 0 && resident.n_live < resident.n_threads)
        fail(cudaErrorLaunchFailure, at,
             "__syncthreads of %u threads where %u have returned from the kernel",
             resident.n_threads, resident.n_threads - resident.n_live);
    if (number != 0 && (count == 0 || count % LANES != 0 || count > resident.n_threads))
        fail(cudaErrorLaunchFailure, at, "barrier %u for %u threads: not whole warps of the block",
             number, count);
    if (b.arrived > 0 && number == 0 && !same_site(b.first, at))
        fail(cudaErrorLaunchFailure, at, "meets threads that wait at another __syncthreads, %s:%d",
             b.first.file, b.first.line);
    if (b.arrived > 0 && b.wanted != count)
        fail(cudaErrorLaunchFailure, at, "barrier %u for %u threads, at %s:%d it is for %u", number,
             count, b.first.file, b.first.line, b.wanted);
}

/* True when the running thread is the last and has released the others. */
static bool arrive(unsigned number, unsigned count, bool predicate, site at) {
    if (number == 0)
        count = resident.n_threads;
    check_arrival(resident.barriers[number % N_BARRIERS], number, count, at);
    barrier &b = resident.barriers[number];
    if (b.arrived == 0) {
        b.first = at;
        b.wanted = count;
        b.counted = 0;
    }
    b.counted += predicate;
    if (checker)
        checker->barrier_arrived(number);
    if (++b.arrived < b.wanted)
        return false;
    b.last_counted = b.counted;
    b.arrived = 0;
    b.n_held++;
    if (checker)
        checker->barrier_held(number);
    return true;
}

void barrier_wait(unsigned number, unsigned count, const char *what, site at) {
    if (!arrive(number, count, false, at))
        wait_for_change(&resident.barriers[number].n_held, what, at);
}

int barrier_count(int predicate, site at) {
    barrier &b = resident.barriers[0];
    if (!arrive(0, 0, predicate != 0, at))
        wait_for_change(&b.n_held, "__syncthreads_count", at);
    return (int)b.last_counted;
}

void barriers_thread_finished() {
    const barrier &b = resident.barriers[0];
    if (b.arrived > 0)
        fail(cudaErrorLaunchFailure, nowhere,
             "returns from the kernel while %u threads wait at __syncthreads, %s:%d", b.arrived,
             b.first.file, b.first.line);
}

} // namespace emulator
