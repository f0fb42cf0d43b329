/* barrier.cpp - barriers of a block: 0 is __syncthreads, of all its threads; 1 to 15 are of as many
 * as the call says. And that of a cluster. */
#include "tests/emulator/observer.h"

namespace emulator {

static bool same_site(const site &a, const site &b) {
    return a.file == b.file && a.line == b.line && a.serial == b.serial;
}

/* Of all threads of a block or cluster, of which so many are left; in one place. */
static void check_all(const barrier &b, unsigned n_threads, unsigned n_live, const char *what,
                      site at) {
    if (n_live < n_threads)
        fail(cudaErrorLaunchFailure, at, "%s of %u threads where %u have returned from the kernel",
             what, n_threads, n_threads - n_live);
    if (b.arrived > 0 && !same_site(b.first, at))
        fail(cudaErrorLaunchFailure, at, "meets threads that wait at another %s, %s:%d", what,
             b.first.file, b.first.line);
}

static void check_some(const barrier &b, unsigned number, unsigned count, site at) {
    if (count == 0 || count % LANES != 0 || count > resident.block_threads)
        fail(cudaErrorLaunchFailure, at, "barrier %u for %u threads: not whole warps of the block",
             number, count);
    if (b.arrived > 0 && b.wanted != count)
        fail(cudaErrorLaunchFailure, at, "barrier %u for %u threads, at %s:%d it is for %u", number,
             count, b.first.file, b.first.line, b.wanted);
}

/* True when the running thread is the last and has released the others. `id`: the checker's. */
static bool arrive(barrier &b, unsigned id, unsigned count, bool predicate, site at) {
    if (b.arrived == 0) {
        b.first = at;
        b.wanted = count;
        b.counted = 0;
    }
    b.counted += predicate;
    if (checker)
        checker->barrier_arrived(id);
    if (++b.arrived < b.wanted)
        return false;
    b.last_counted = b.counted;
    b.arrived = 0;
    b.n_held++;
    if (checker)
        checker->barrier_held(id);
    return true;
}

static bool arrive_in_block(unsigned number, unsigned count, bool predicate, site at) {
    if (number >= N_BARRIERS)
        fail(cudaErrorLaunchFailure, at, "barrier %u: there are %d", number, N_BARRIERS);
    block *own = self->block;
    barrier &b = own->barriers[number];
    if (number == 0) {
        count = resident.block_threads;
        check_all(b, count, own->n_live, "__syncthreads", at);
    } else {
        check_some(b, number, count, at);
    }
    return arrive(b, own->rank * N_BARRIERS + number, count, predicate, at);
}

void barrier_wait(unsigned number, unsigned count, const char *what, site at) {
    if (!arrive_in_block(number, count, false, at))
        wait_for_change(&self->block->barriers[number].n_held, what, at);
}

int barrier_count(int predicate, site at) {
    barrier &b = self->block->barriers[0];
    if (!arrive_in_block(0, 0, predicate != 0, at))
        wait_for_change(&b.n_held, "__syncthreads_count", at);
    return (int)b.last_counted;
}

void cluster_wait(site at) {
    barrier &b = resident.barrier;
    check_all(b, resident.n_threads, resident.n_live, "cluster_sync", at);
    if (!arrive(b, CLUSTER_BARRIER, resident.n_threads, false, at))
        wait_for_change(&b.n_held, "cluster_sync", at);
}

static void check_finished(const barrier &b, const char *what) {
    if (b.arrived > 0)
        fail(cudaErrorLaunchFailure, nowhere,
             "returns from the kernel while %u threads wait at %s, %s:%d", b.arrived, what,
             b.first.file, b.first.line);
}

void barriers_thread_finished() {
    check_finished(self->block->barriers[0], "__syncthreads");
    check_finished(resident.barrier, "cluster_sync");
}

} // namespace emulator
