/* observer.h - what the emulator tells the checker: every access that is not an instruction of the
 * kernel's own code, and everything that orders accesses. NULL where there is no checker. */
#ifndef MILL_TESTS_EMULATOR_OBSERVER_H
#define MILL_TESTS_EMULATOR_OBSERVER_H

#include "tests/emulator/block.h"
#include "tests/emulator/memory.h"

namespace emulator {

enum class access { read, write, atomic };
/* What the running thread has done is seen by the block, by the device, by copies and products that
 * run on their own. */
enum class fence_scope { block, device, async };

struct observer {
    virtual ~observer() = default;

    virtual void launch_begins(const launch &) = 0;
    virtual void cluster_begins() = 0;
    /* Its last thread has finished. */
    virtual void block_ends(const block &) = 0;
    /* This shared memory is a block's from now on, and not written. */
    virtual void shared_begins(const void *at, size_t bytes) = 0;

    /* By the running thread, which waits until barrier_held. */
    virtual void barrier_arrived(unsigned number) = 0; /* no two of a cluster have the same */
    virtual void barrier_held(unsigned number) = 0;
    virtual void warp_synced(uint32_t mask) = 0;
    virtual void fenced(fence_scope) = 0;
    virtual void atomic_done(const void *at) = 0;
    virtual void mbarrier_initialised(const uint64_t *barrier, site) = 0;
    virtual void mbarrier_used(const void *barrier, site) = 0; /* in any way */
    virtual void mbarrier_arrived(const void *barrier, site) = 0;
    virtual void mbarrier_held(const void *barrier) = 0;
    virtual void mbarrier_waited(const void *barrier) = 0;

    /* By a thread that need not be the running one. */
    virtual void accessed(const thread &, const void *at, size_t bytes, access, site) = 0;
    /* Between the two nobody may touch the bytes. */
    virtual void copy_issued(const pending_copy &) = 0;
    virtual void copy_performed(const pending_copy &) = 0;
    virtual void bulk_issued(const pending_copy &) = 0;
    virtual void bulk_landed(const pending_copy &, const void *barrier) = 0;
    /* By a product that runs on its own, for the running thread. */
    virtual void async_read(const void *at, size_t bytes, site) = 0;

    /* Outside kernels. */
    virtual void host_wrote(const void *at, size_t bytes) = 0;
    virtual void host_copied(const void *to, const void *from, size_t bytes) = 0;
    virtual void forgotten(const allocation &) = 0;
};

extern observer *checker;

} // namespace emulator

#endif
