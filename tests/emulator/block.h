/* block.h - the one cluster of blocks that is resident, mostly of a single block: its threads,
 * warps and barriers, and who runs next.
 *
 * Clusters run one after another, threads of their blocks as fibers of the host thread that
 * synchronises, under the one lock of cudart.h. Threads and warps are numbered through all blocks
 * of the cluster. A thread that must wait names a counter that has to change; the scheduler goes
 * round from there to the next thread that can run. When there is none although some are left, the
 * cluster is in a deadlock. */
#ifndef MILL_TESTS_EMULATOR_BLOCK_H
#define MILL_TESTS_EMULATOR_BLOCK_H

#include "tests/emulator/emulator.h"
#include "tests/emulator/fiber.h"

#include <cuda_runtime.h>

#include <vector>

namespace emulator {

enum {
    LANES = 32,
    MAX_THREADS = MAX_FIBERS, /* of a cluster */
    MAX_WARPS = MAX_THREADS / LANES,
    MAX_BLOCKS = 8,                            /* of a cluster */
    N_BARRIERS = 16,                           /* of a block */
    CLUSTER_BARRIER = MAX_BLOCKS * N_BARRIERS, /* a number beyond those of all blocks */
};

/* Lanes of `mask` on their way to one warp operation; free when nobody arrived. */
struct meeting {
    uint32_t mask, arrived;
    meeting_function function;
    const char *what;
    site at;
    void *arguments[LANES];
    uint64_t n_held; /* changes when all have met */
};

struct warp {
    unsigned index;              /* in the cluster */
    uint32_t existing, finished; /* lanes */
    meeting meetings[LANES];     /* disjoint masks at most */
    unsigned n_meetings;         /* that wait for lanes */
};

struct barrier {
    unsigned arrived, wanted;
    site first;                     /* where the first came from, in this phase */
    unsigned counted, last_counted; /* predicates, of this phase and of the last one */
    uint64_t n_held;
};

struct pending_copy {
    char *to;
    const char *from;
    uint32_t bytes;
    bool valid;
    uint32_t group;
    site at;
};

/* One of the cluster. */
struct block {
    unsigned rank;   /* in the cluster */
    unsigned n_live; /* threads */
    uint3 index;     /* blockIdx */
    struct barrier barriers[N_BARRIERS];
};

/* What a thread waits for: it can run when *counter is not `seen`. Apart from the thread, since the
 * scheduler looks at those of many at every switch. */
struct waiting {
    const uint64_t *counter;
    uint64_t seen;
};

struct thread {
    struct place place;
    struct fiber fiber;
    struct block *block;
    struct warp *warp;
    unsigned index, lane; /* index: in the cluster */
    bool finished;
    const char *waits_in;
    site waits_at;
    std::vector<pending_copy> copies;
    uint32_t copy_group; /* the one that is being filled */
    bool has_waited;     /* for the launches in front */
};

/* Launches in a stream or graph each of which may begin while those in front of it in the chain
 * still run. */
struct launch_chain {
    uint32_t first_block; /* of the first launch, by the checker's count */
};

struct cluster {
    const struct launch *launch;
    unsigned n_blocks, block_threads;    /* of each */
    unsigned n_threads, n_live, n_warps; /* of all */
    struct block blocks[MAX_BLOCKS];
    struct thread threads[MAX_THREADS];
    struct waiting waiting[MAX_THREADS];
    struct warp warps[MAX_WARPS];
    struct barrier barrier; /* of all threads */
    uint64_t n_idle_yields; /* since anything else happened */
    bool has_waited;        /* a thread of the launch has, for those in front */
};

extern thread *self; /* the running one; NULL outside kernels */
extern cluster resident;
emulator_order order_running();

/* Runs all blocks of a launch; what went wrong is reported and its error returned. */
cudaError_t launch_run(const launch &, size_t most_shared_bytes, const emulator_settings &);

/* Lets others run until *counter is not what it is now. */
void wait_for_change(const uint64_t *counter, const char *what, site);

/* Ends the launch: the running thread did what a kernel must not do. */
[[noreturn]] void fail(cudaError_t, site, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same without ending it, for what is found behind the fact. */
void complain(cudaError_t, site, const char *format, ...) __attribute__((format(printf, 3, 4)));
const site nowhere = {nullptr, 0, 0};

/* The running thread is about to end: an error where others wait for it. */
void barriers_thread_finished();
void warp_lane_finished();

} // namespace emulator

#endif
