/* memory_plan.h - what a replica takes of its device, worked out before anything is taken, and cut
 * to what the device has free.
 *
 * Nothing is computed twice: the parts of the model are opened on a device that only counts. On a
 * device of its own memory a replica gets as many places and pages as fit, up to what is wished;
 * where not even the least fits, one sentence says what is missing. The host's memory is not
 * planned with: it is shared, and grows where it is needed. Any thread. */
#ifndef MILL_ENGINE_MEMORY_PLAN_H
#define MILL_ENGINE_MEMORY_PLAN_H

#include "runtime/model/bicodec_stream.h"
#include "runtime/model/qwen2.h"

struct mill_memory_wish {
    const struct mill_backend_ops *ops;
    const struct mill_weights *weights; /* planned at least */
    size_t weight_bytes;                /* 0 where they are borrowed */
    size_t free_bytes;                  /* of the device; ignored where limited is false */
    bool limited;
    int32_t prompt_rows; /* of a step, beside a row for each that runs */
    int32_t page_tokens;
    int32_t max_running, cache_tokens, max_window, max_tokens; /* at most */
};

struct mill_memory_plan {
    struct mill_qwen2_options lm;
    struct mill_bicodec_streams_options streams;
    /* Bytes: on the device; work is all that is neither weights nor pages; on the host, pinned. */
    size_t weight_bytes, page_bytes, work_bytes, host_bytes;
};

mill_status mill_memory_plan(struct mill_memory_plan *plan, const struct mill_memory_wish *wish,
                             struct mill_error *err);

#endif
