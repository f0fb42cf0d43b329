/* stats.h - numbers of the engine that an operator watches: totals since start, and how things
 * stand now. Plain values, copied out by mill_engine_get_stats; part of the public interface. */
#ifndef MILL_ENGINE_STATS_H
#define MILL_ENGINE_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MILL_ENGINE_MAX_REPLICAS = 16 };

enum mill_replica_state {
    MILL_REPLICA_STARTING,
    MILL_REPLICA_READY,
    MILL_REPLICA_SLOW,   /* a step takes far longer than it did before: its requests went elsewhere,
                            and it is ready again when the step is back */
    MILL_REPLICA_FAILED, /* a device error: likewise, for good */
    MILL_REPLICA_STUCK   /* a step did not come back within stuck_s: as slow */
};

struct mill_replica_stats {
    enum mill_replica_state state;
    char device[64]; /* "cpu: avx512_bf16, 2 threads" */
    int32_t n_running, n_waiting;
    int32_t n_pages, n_free_pages;
    size_t weight_bytes, page_bytes,
        work_bytes;                       /* of its device; weights 0 where lent by another */
    uint64_t n_steps, n_tokens, n_frames; /* tokens run, of prompts and drawn; frames voiced */
    uint64_t n_shared_tokens; /* of prompts, not run as their pages were there already */
    double backlog_s;         /* estimated work it holds */
    double busy_s;            /* time in steps */
    double since_step_s;      /* since its last sign of life */
};

struct mill_engine_stats {
    int32_t n_replicas;
    struct mill_replica_stats replicas[MILL_ENGINE_MAX_REPLICAS];
    int32_t n_queued, n_running;
    double backlog_s;
    /* Totals since start. */
    uint64_t n_submitted, n_refused, n_completed, n_limited, n_cancelled, n_late, n_failed;
    uint64_t n_redraws, n_retries, n_preemptions; /* of what has ended */
    uint64_t n_prompt_tokens, n_tokens, n_frames;
    double audio_s, uptime_s;
    bool draining;
};

#endif
