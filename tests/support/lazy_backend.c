/* lazy_backend.c - see lazy_backend.h. A call is its arguments by value, with copies of the spans
 * they point to, and of the host memory that a copy has to have read when it returns. */
#include "tests/support/lazy_backend.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define OPERATORS(X)                                                                               \
    X(embed)                                                                                       \
    X(norm)                                                                                        \
    X(linear)                                                                                      \
    X(feed_forward)                                                                                \
    X(rope_append)                                                                                 \
    X(attn_paged)                                                                                  \
    X(sample)                                                                                      \
    X(mix)
#define SPAN_OPERATORS(X)                                                                          \
    X(copy_rows)                                                                                   \
    X(conv1d)                                                                                      \
    X(conv_transpose1d)                                                                            \
    X(residual_unit)                                                                               \
    X(attn_dense)                                                                                  \
    X(pool_mean)

struct copy {
    void *to;
    const void *from;
    size_t bytes;
};

enum kind {
    KIND_copy,
#define X(name) KIND_##name,
    OPERATORS(X) SPAN_OPERATORS(X)
#undef X
};

struct call {
    struct call *next;
    enum kind kind;
    union {
        struct copy copy;
#define X(name) struct mill_##name##_args name;
        OPERATORS(X) SPAN_OPERATORS(X)
#undef X
    } args;
    void *owned; /* spans, or what a copy reads; NULL = nothing */
    size_t owned_bytes;
};

/* First in, first out. */
struct calls {
    struct call *first, **end;
};

struct region {
    struct region *next;
    char *data;
    size_t bytes;
};

struct mill_backend {
    struct mill_backend *base;
    struct calls waiting;
    uint64_t n_put, n_run;
    struct mill_graph *recording; /* NULL = no */
    struct region *host;          /* host_alloc's */
    mill_status status;           /* of the first call that failed */
};

struct mill_event {
    uint64_t n_put; /* calls in front of it */
};

struct mill_graph {
    struct calls calls;
};

static const struct mill_backend_ops *base;
static atomic_long n_graphs;

/* ------------------------------------------------------------------ the queue */

static void append(struct calls *calls, struct call *call) {
    if (!calls->first)
        calls->end = &calls->first;
    *calls->end = call;
    calls->end = &call->next;
}

static struct call *take(struct calls *calls) {
    struct call *call = calls->first;
    calls->first = call->next;
    return call;
}

static void free_call(struct call *call) {
    free(call->owned);
    free(call);
}

static void free_calls(struct calls *calls) {
    while (calls->first)
        free_call(take(calls));
}

/* Where the call points to what it owns, point there. */
static void own(struct call *call) {
    switch (call->kind) {
    case KIND_copy:
        if (call->owned)
            call->args.copy.from = call->owned;
        break;
#define X(name)                                                                                    \
    case KIND_##name:                                                                              \
        call->args.name.spans = call->owned;                                                       \
        break;
        SPAN_OPERATORS(X)
#undef X
    default:
        break;
    }
}

static struct call *new_call(const struct call *model, const void *owned, size_t owned_bytes) {
    struct call *call = malloc(sizeof *call);
    *call = *model;
    call->next = NULL;
    call->owned = owned_bytes > 0 ? malloc(owned_bytes) : NULL;
    call->owned_bytes = owned_bytes;
    if (owned_bytes > 0)
        memcpy(call->owned, owned, owned_bytes);
    own(call);
    return call;
}

static mill_status put(struct mill_backend *b, const struct call *model, const void *owned,
                       size_t owned_bytes) {
    struct call *call = new_call(model, owned, owned_bytes);
    if (b->recording) {
        append(&b->recording->calls, call);
        return MILL_OK;
    }
    append(&b->waiting, call);
    b->n_put++;
    return MILL_OK;
}

static mill_status run(struct mill_backend *b, const struct call *call) {
    switch (call->kind) {
    case KIND_copy:
        return base->copy_within(b->base, call->args.copy.to, call->args.copy.from,
                                 call->args.copy.bytes);
#define X(name)                                                                                    \
    case KIND_##name:                                                                              \
        return base->name(b->base, &call->args.name);
        OPERATORS(X)
        SPAN_OPERATORS(X)
#undef X
    }
    return MILL_E_INPUT;
}

static mill_status run_until(struct mill_backend *b, uint64_t n) {
    assert(!b->recording);
    for (; b->n_run < n; b->n_run++) {
        struct call *call = take(&b->waiting);
        if (b->status == MILL_OK)
            b->status = run(b, call);
        free_call(call);
    }
    return b->status;
}

/* ------------------------------------------------------------------ operators */

#define X(name)                                                                                    \
    static mill_status put_##name(struct mill_backend *b, const struct mill_##name##_args *args) { \
        return put(b, &(struct call){.kind = KIND_##name, .args.name = *args}, NULL, 0);           \
    }
OPERATORS(X)
#undef X
#define X(name)                                                                                    \
    static mill_status put_##name(struct mill_backend *b, const struct mill_##name##_args *args) { \
        return put(b, &(struct call){.kind = KIND_##name, .args.name = *args}, args->spans,        \
                   (size_t)args->n_spans * sizeof *args->spans);                                   \
    }
SPAN_OPERATORS(X)
#undef X

/* ------------------------------------------------------------------ device services */

static mill_status open_lazy(struct mill_backend **out, const struct mill_backend_options *options,
                             struct mill_error *err) {
    struct mill_backend *b = calloc(1, sizeof *b);
    mill_status status = base->open(&b->base, options, err);
    if (status < 0)
        free(b);
    else
        *out = b;
    return status;
}

static void close_lazy(struct mill_backend *b) {
    free_calls(&b->waiting);
    base->close(b->base);
    free(b);
}

static const char *describe(const struct mill_backend *b) {
    return base->describe(b->base);
}

static void *alloc(struct mill_backend *b, size_t bytes) {
    return base->alloc(b->base, bytes);
}

static void free_device(struct mill_backend *b, void *memory) {
    run_until(b, b->n_put);
    base->free(b->base, memory);
}

static const void *upload(struct mill_backend *b, const void *host, size_t bytes) {
    return base->upload(b->base, host, bytes);
}

static void release(struct mill_backend *b, const void *device) {
    base->release(b->base, device);
}

static mill_status memory(struct mill_backend *b, size_t *free_bytes, size_t *total_bytes) {
    return base->memory(b->base, free_bytes, total_bytes);
}

static void *host_alloc(struct mill_backend *b, size_t bytes) {
    struct region *region = malloc(sizeof *region);
    *region =
        (struct region){.next = b->host, .data = base->host_alloc(b->base, bytes), .bytes = bytes};
    b->host = region;
    return region->data;
}

static void host_free(struct mill_backend *b, void *host) {
    run_until(b, b->n_put);
    for (struct region **link = &b->host; *link; link = &(*link)->next)
        if ((*link)->data == host) {
            struct region *region = *link;
            *link = region->next;
            free(region);
            break;
        }
    base->host_free(b->base, host);
}

static bool is_host_alloc(const struct mill_backend *b, const char *at) {
    for (const struct region *r = b->host; r; r = r->next)
        if (at >= r->data && at < r->data + r->bytes)
            return true;
    return false;
}

static mill_status copy_in(struct mill_backend *b, void *device, const void *host, size_t bytes) {
    const struct call call = {.kind = KIND_copy, .args.copy = {device, host, bytes}};
    return put(b, &call, host, is_host_alloc(b, host) ? 0 : bytes);
}

static mill_status copy_out(struct mill_backend *b, void *host, const void *device, size_t bytes) {
    return put(b, &(struct call){.kind = KIND_copy, .args.copy = {host, device, bytes}}, NULL, 0);
}

static mill_status synchronize(struct mill_backend *b) {
    return run_until(b, b->n_put);
}

static mill_status event_new(struct mill_backend *b, struct mill_event **out) {
    (void)b;
    *out = calloc(1, sizeof **out);
    return MILL_OK;
}

static void event_free(struct mill_backend *b, struct mill_event *event) {
    (void)b;
    free(event);
}

static mill_status event_record(struct mill_backend *b, struct mill_event *event) {
    event->n_put = b->n_put;
    return MILL_OK;
}

static mill_status event_wait(struct mill_backend *b, struct mill_event *event) {
    return run_until(b, event->n_put);
}

/* ------------------------------------------------------------------ graphs */

static mill_status graph_begin(struct mill_backend *b) {
    b->recording = calloc(1, sizeof *b->recording);
    return MILL_OK;
}

static mill_status graph_end(struct mill_backend *b, struct mill_graph **out) {
    *out = b->recording;
    b->recording = NULL;
    return MILL_OK;
}

static mill_status graph_launch(struct mill_backend *b, struct mill_graph *graph) {
    for (const struct call *call = graph->calls.first; call; call = call->next)
        put(b, call, call->owned, call->owned_bytes);
    n_graphs++;
    return MILL_OK;
}

static void graph_free(struct mill_backend *b, struct mill_graph *graph) {
    (void)b;
    free_calls(&graph->calls);
    free(graph);
}

/* ------------------------------------------------------------------ the table */

static struct mill_backend_ops table;

static void fill_table(void) {
    table = *base;
    table.asynchronous = true;
    table.failure = NULL;
    table.open = open_lazy;
    table.close = close_lazy;
#define SERVICE(name) table.name = name;
    SERVICE(describe)
    SERVICE(alloc)
    SERVICE(upload)
    SERVICE(release)
    SERVICE(memory)
    SERVICE(host_alloc)
    SERVICE(host_free)
    SERVICE(copy_in)
    SERVICE(copy_out)
    SERVICE(synchronize)
    SERVICE(event_new)
    SERVICE(event_free)
    SERVICE(event_record)
    SERVICE(event_wait)
    SERVICE(graph_begin)
    SERVICE(graph_end)
    SERVICE(graph_launch)
    SERVICE(graph_free)
#undef SERVICE
    table.free = free_device;
    table.copy_within = copy_out;
#define X(name) table.name = base->name ? put_##name : NULL;
    OPERATORS(X)
    SPAN_OPERATORS(X)
#undef X
}

const struct mill_backend_ops *lazy_backend_ops(const struct mill_backend_ops *ops) {
    if (!base) {
        base = ops;
        fill_table();
    }
    assert(base == ops);
    return &table;
}

long lazy_backend_graphs(void) {
    return n_graphs;
}
