/* cuda_table.c - the backend's table, and the one symbol that the library exports. */
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/weights.h"
#include "kernels/plugin.h"

#ifndef MILL_CUDA_NAME
#define MILL_CUDA_NAME "cuda" /* the emulator's build has another */
#endif

/* Operators as the table wants them: on the right device, with a text for what fails. */
#define OPERATORS(X)                                                                               \
    X(embed)                                                                                       \
    X(copy_rows)                                                                                   \
    X(norm)                                                                                        \
    X(linear)                                                                                      \
    X(feed_forward)                                                                                \
    X(rope_append)                                                                                 \
    X(attn_paged)                                                                                  \
    X(sample)                                                                                      \
    X(conv1d)                                                                                      \
    X(conv_transpose1d)                                                                            \
    X(residual_unit)                                                                               \
    X(mix)

#define X(name)                                                                                    \
    static mill_status run_##name(struct mill_backend *backend,                                    \
                                  const struct mill_##name##_args *args) {                         \
        MILL_TRY(mill_cuda_begin(backend, #name));                                                 \
        return mill_cuda_end(backend, mill_cuda_##name(backend, args));                            \
    }
OPERATORS(X)
#undef X

static const char *describe(const struct mill_backend *backend) {
    return backend->description;
}

static const char *failure(const struct mill_backend *backend) {
    return backend->failure;
}

const struct mill_backend_ops *mill_backend_plugin(void) {
    static const struct mill_backend_ops ops = {.abi = MILL_BACKEND_ABI,
                                                .name = MILL_CUDA_NAME,
                                                .weight_layout = MILL_CUDA_WEIGHT_LAYOUT,
                                                .asynchronous = true,
                                                .n_devices = mill_cuda_n_devices,
                                                .open = mill_cuda_open,
                                                .close = mill_cuda_close,
                                                .describe = describe,
                                                .failure = failure,
                                                .weight_bytes = mill_cuda_weight_bytes,
                                                .weight_pack = mill_cuda_weight_pack,
                                                .alloc = mill_cuda_alloc,
                                                .free = mill_cuda_free,
                                                .upload = mill_cuda_upload,
                                                .release = mill_cuda_release,
                                                .memory = mill_cuda_memory,
                                                .host_alloc = mill_cuda_host_alloc,
                                                .host_free = mill_cuda_host_free,
                                                .copy_in = mill_cuda_copy_in,
                                                .copy_out = mill_cuda_copy_out,
                                                .copy_within = mill_cuda_copy_within,
                                                .synchronize = mill_cuda_synchronize,
                                                .event_new = mill_cuda_event_new,
                                                .event_free = mill_cuda_event_free,
                                                .event_record = mill_cuda_event_record,
                                                .event_wait = mill_cuda_event_wait,
                                                .graph_begin = mill_cuda_graph_begin,
                                                .graph_end = mill_cuda_graph_end,
                                                .graph_launch = mill_cuda_graph_launch,
                                                .graph_free = mill_cuda_graph_free,
#define X(name) .name = run_##name,
                                                OPERATORS(X)
#undef X
    };
    return &ops;
}
