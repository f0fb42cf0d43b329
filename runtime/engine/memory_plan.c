/* memory_plan.c - see memory_plan.h. */
#include "runtime/engine/memory_plan.h"

#include "runtime/base/memory.h"

#include <stdlib.h>

enum {
    LEAST_TOKENS = 4096,      /* of pages: an utterance of a minute with its voice's recording; */
    LEAST_TOKENS_EACH = 512,  /* ten seconds for each place, or more places are of no use */
    LEAST_WINDOW = 16,        /* frames */
    RESERVE_BYTES = 64 << 20, /* stays free: kernels are loaded when they first run */
    ALLOCATION = 512,         /* devices give memory in multiples of it */
};

/* ------------------------------------------------------------------ the device that counts */

struct mill_backend {
    size_t device_bytes, host_bytes;
};

struct mill_event {
    char nothing;
};

/* An address that nobody looks at: opening only carves. */
static void *count_alloc(struct mill_backend *backend, size_t bytes) {
    backend->device_bytes += (bytes + ALLOCATION - 1) / ALLOCATION * ALLOCATION;
    return (void *)(uintptr_t)ALLOCATION;
}

static void count_free(struct mill_backend *backend, void *device) {
    (void)backend;
    (void)device;
}

static void *count_host_alloc(struct mill_backend *backend, size_t bytes) {
    backend->host_bytes += bytes;
    return mill_alloc_aligned(bytes);
}

static void count_host_free(struct mill_backend *backend, void *host) {
    (void)backend;
    free(host);
}

static mill_status no_copy(struct mill_backend *backend, void *device, const void *host,
                           size_t bytes) {
    (void)backend;
    (void)device;
    (void)host;
    (void)bytes;
    return MILL_OK;
}

static mill_status no_wait(struct mill_backend *backend) {
    (void)backend;
    return MILL_OK;
}

static mill_status event_new(struct mill_backend *backend, struct mill_event **out) {
    (void)backend;
    *out = mill_alloc_array(1, sizeof **out);
    return *out ? MILL_OK : MILL_E_MEMORY;
}

static void event_free(struct mill_backend *backend, struct mill_event *event) {
    (void)backend;
    free(event);
}

static struct mill_backend_ops counting_ops(const struct mill_backend_ops *ops) {
    return (struct mill_backend_ops){.abi = ops->abi,
                                     .name = ops->name,
                                     .weight_layout = ops->weight_layout,
                                     .asynchronous = ops->asynchronous,
                                     .weight_bytes = ops->weight_bytes,
                                     .alloc = count_alloc,
                                     .free = count_free,
                                     .host_alloc = count_host_alloc,
                                     .host_free = count_host_free,
                                     .copy_in = no_copy,
                                     .synchronize = no_wait,
                                     .event_new = event_new,
                                     .event_free = event_free};
}

/* Open and close what the plan's options say, and see what it took. */
static mill_status count(const struct mill_memory_plan *plan, const struct mill_memory_wish *wish,
                         struct mill_backend *counted, struct mill_error *err) {
    const struct mill_backend_ops ops = counting_ops(wish->ops);
    struct mill_qwen2 *lm = NULL;
    struct mill_bicodec_streams *streams = NULL;
    *counted = (struct mill_backend){0};
    mill_status status = mill_qwen2_open(&lm, &ops, counted, &wish->weights->lm, &plan->lm, err);
    if (status == MILL_OK)
        status = mill_bicodec_streams_open(&streams, &ops, counted, &wish->weights->decoder,
                                           &plan->streams, err);
    mill_bicodec_streams_close(streams);
    mill_qwen2_close(lm);
    return status;
}

/* ------------------------------------------------------------------ fitting in */

static int32_t pages_for(int32_t n_tokens, int32_t page_tokens) {
    return (n_tokens + page_tokens - 1) / page_tokens;
}

/* Options and bytes for so many places, frames and pages. */
static mill_status measure(struct mill_memory_plan *plan, const struct mill_memory_wish *wish,
                           int32_t max_running, int32_t max_window, int32_t n_pages,
                           struct mill_error *err) {
    int32_t longest = pages_for(wish->max_tokens, wish->page_tokens);
    struct mill_backend one, two;
    plan->lm = (struct mill_qwen2_options){.max_rows = wish->prompt_rows + max_running,
                                           .max_sequences = max_running,
                                           .max_pages = longest < n_pages ? longest : n_pages,
                                           .page_tokens = wish->page_tokens};
    plan->streams = (struct mill_bicodec_streams_options){
        .n_streams = 2 * max_running, .max_pieces = max_running, .max_frames = max_window};
    plan->lm.n_pages = 1;
    MILL_TRY(count(plan, wish, &one, err));
    plan->lm.n_pages = 1 + ALLOCATION; /* so that rounding does not hide a page's size */
    MILL_TRY(count(plan, wish, &two, err));
    size_t a_page = (two.device_bytes - one.device_bytes) / ALLOCATION;
    plan->lm.n_pages = n_pages;
    plan->weight_bytes = wish->weight_bytes;
    plan->page_bytes = a_page * (size_t)n_pages;
    plan->work_bytes = one.device_bytes - a_page;
    plan->host_bytes = one.host_bytes;
    return MILL_OK;
}

static size_t bytes_of(const struct mill_memory_plan *plan) {
    return plan->weight_bytes + plan->page_bytes + plan->work_bytes;
}

static mill_status too_small(const struct mill_memory_plan *least,
                             const struct mill_memory_wish *wish, struct mill_error *err) {
    bool small = wish->weights->precision == MILL_PRECISION_INT8;
    return mill_fail(err, MILL_E_MEMORY,
                     "%.2f GB of memory are free, and %.2f GB of weights with %.2f GB to work in "
                     "are the least: %s--devices cpu does without",
                     1e-9 * (double)wish->free_bytes, 1e-9 * (double)least->weight_bytes,
                     1e-9 * (double)(bytes_of(least) - least->weight_bytes + RESERVE_BYTES),
                     small ? "" : "--precision int8 has smaller ones, ");
}

/* Without which so many places are not worth having. */
static int32_t least_pages(const struct mill_memory_wish *wish, int32_t max_running) {
    int64_t n = wish->max_tokens < LEAST_TOKENS ? wish->max_tokens : LEAST_TOKENS;
    int64_t each = (int64_t)max_running * LEAST_TOKENS_EACH;
    n = n > each ? n : each;
    return pages_for(n < wish->cache_tokens ? (int32_t)n : wish->cache_tokens, wish->page_tokens);
}

mill_status mill_memory_plan(struct mill_memory_plan *plan, const struct mill_memory_wish *wish,
                             struct mill_error *err) {
    int32_t running = wish->max_running, window = wish->max_window, least;
    int32_t wanted = pages_for(wish->cache_tokens, wish->page_tokens);
    if (!wish->limited)
        return measure(plan, wish, running, window, wanted, err);
    size_t room = wish->free_bytes > RESERVE_BYTES ? wish->free_bytes - RESERVE_BYTES : 0;
    for (;;) {
        least = least_pages(wish, running);
        MILL_TRY(measure(plan, wish, running, window, least, err));
        if (bytes_of(plan) <= room)
            break;
        if (running == 1 && window <= LEAST_WINDOW)
            return too_small(plan, wish, err);
        running = running > 1 ? running / 2 : 1;
        window = window > 2 * LEAST_WINDOW ? window / 2 : LEAST_WINDOW;
        window = window < running ? running : window;
    }
    size_t a_page = plan->page_bytes / (size_t)least;
    size_t more = a_page ? (room - bytes_of(plan)) / a_page : 0;
    int32_t n_pages = more < (size_t)(wanted - least) ? least + (int32_t)more : wanted;
    return measure(plan, wish, running, window, n_pages, err);
}
