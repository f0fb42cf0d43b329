/* checker_observer.cpp - what the emulator tells the checker: passes accesses to the judge, and
 * what orders them to the clocks. */
#include "tests/emulator/checker.h"
#include "tests/emulator/checker_blocks.h"
#include "tests/emulator/checker_clocks.h"
#include "tests/emulator/checker_places.h"
#include "tests/emulator/checker_readers.h"
#include "tests/emulator/shared.h"

#include <map>
#include <string.h>

namespace emulator {

struct mbarrier_clocks {
    cell initialised;
    knowledge arrived;         /* in all phases so far */
    knowledge held;            /* in those that have ended */
    uint32_t lanes[MAX_WARPS]; /* that have arrived in this phase */
};

struct checker_observer final : observer {
    std::map<const void *, mbarrier_clocks> mbarriers; /* of this cluster */

    void launch_begins(const launch &l) override {
        checker_begin_launch();
        blocks_begin_launch(l);
    }
    void cluster_begins() override {
        blocks_begin_cluster();
        clocks_begin_cluster();
        readers_begin_cluster();
        mbarriers.clear();
    }
    void block_ends(const block &b) override {
        uint32_t place;
        if (clocks_reached_unseen(b.rank, &place))
            complain(cudaErrorLaunchFailure, nowhere,
                     "the block ends and has not waited for what is done to its memory at %s",
                     place_describe(place).c_str());
    }
    void shared_begins(const void *at, size_t bytes) override {
        shadow_begin_shared(at, bytes);
    }

    void barrier_arrived(unsigned number) override {
        clocks_barrier_arrived(number);
    }
    void barrier_held(unsigned number) override {
        clocks_barrier_held(number);
    }
    void warp_synced(uint32_t mask) override {
        clocks_warp_synced(mask);
    }
    void fenced(fence_scope scope) override {
        blocks_fence(scope);
    }
    void atomic_done(const void *at) override {
        blocks_atomic(at);
    }
    void mbarrier_initialised(const uint64_t *barrier, site from) override {
        accessed(*self, barrier, sizeof *barrier, access::write, from);
        mbarriers[barrier] = {*shadow_find(barrier, 1), {}, {}, {}};
    }
    void mbarrier_used(const void *barrier, site from) override {
        checker_judge(mbarriers[barrier].initialised, barrier, access::write, place_of_site(from));
    }
    void mbarrier_arrived(const void *barrier, site from) override {
        mbarrier_clocks &b = mbarriers[barrier];
        const block &owner = shared_owner(barrier);
        unsigned warp = self->warp->index;
        uint32_t &lanes = b.lanes[warp];
        lanes |= 1u << self->lane;
        knowledge released = clocks_release(lanes);
        knowledge_join(&b.arrived, released);
        if (&owner != self->block)
            clocks_reached(owner.rank, warp, released.seen[warp], place_of_site(from));
    }
    void mbarrier_held(const void *barrier) override {
        mbarrier_clocks &b = mbarriers[barrier];
        b.held = b.arrived;
        memset(b.lanes, 0, sizeof b.lanes);
    }
    void mbarrier_waited(const void *barrier) override {
        clocks_acquire(mbarriers[barrier].held);
    }

    void accessed(const thread &t, const void *at, size_t bytes, access kind, site from) override {
        checker_check(t, at, bytes, kind, place_of_site(from));
    }
    void async_read(const void *at, size_t bytes, site from) override {
        accessed(*self, at, bytes, access::read, from);
        checker_fenced(at, bytes, access::read, place_of_site(from));
    }
    void copy_issued(const pending_copy &c) override {
        if (c.valid)
            accessed(*self, c.from, c.bytes, access::read, c.at);
        checker_copy(c, stamp::IN_FLIGHT);
    }
    void bulk_issued(const pending_copy &c) override {
        checker_fenced(c.from, c.bytes, access::read, place_of_site(c.at));
        checker_fenced(c.to, c.bytes, access::write, place_of_site(c.at));
        copy_issued(c);
    }
    void copy_performed(const pending_copy &c) override {
        if (c.valid)
            accessed(*self, c.from, c.bytes, access::read, c.at);
        cell *cells = shadow_find(c.to, c.bytes);
        for (uint32_t i = 0; cells && i < c.bytes; i++)
            cells[i].written.bits &= ~stamp::IN_FLIGHT;
        checker_copy(c, 0);
    }
    void bulk_landed(const pending_copy &c, const void *barrier) override {
        if (resident.n_threads > COPY_THREAD)
            fail(cudaErrorLaunchFailure, c.at, "a cluster with bulk copies of %u threads",
                 resident.n_threads);
        uint32_t time = clocks_copy_landed(&mbarriers[barrier].arrived);
        clocks_reached(shared_owner(barrier).rank, COPY_WARP, time + 1, place_of_site(c.at));
        cell *cells = shadow_find(c.to, c.bytes);
        for (uint32_t i = 0; cells && i < c.bytes; i++)
            cells[i].written = stamp::make(blocks_serial(), COPY_THREAD, time, 0);
    }

    void host_wrote(const void *at, size_t bytes) override {
        cell *cells = shadow_find(at, bytes);
        for (size_t i = 0; cells && i < bytes; i++)
            cells[i] = {stamp::of_host(), {0}, 0, 0};
    }
    void host_copied(const void *to, const void *from, size_t bytes) override {
        const allocation *memory = memory_find(from);
        const bool is_device = memory && memory->kind == memory_kind::device;
        cell *cells = shadow_find(to, bytes);
        cell *origins = is_device ? shadow_find(from, bytes) : nullptr; /* the host's are unseen */
        for (size_t i = 0; cells && i < bytes; i++) {
            bool written = !origins || !origins[i].written.nobody();
            cells[i] = {written ? stamp::of_host() : stamp{0}, {0}, 0, 0};
        }
    }
    void forgotten(const allocation &a) override {
        shadow_forget(a);
    }
};

static checker_observer the_checker;

void checker_install() {
    checker = &the_checker;
}

} // namespace emulator
