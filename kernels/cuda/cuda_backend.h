/* cuda_backend.h - what the files of the cuda backend share: the backend itself, its errors, the
 * operators. Private to kernels/cuda.
 *
 * Host code that launches nothing is C; kernels and their launchers are .cu files, which see CUDA
 * through kernels/cuda/device.h. All of it is compiled twice: against CUDA, and against the
 * emulator of tests/emulator, as a backend of its own name.
 *
 * All work of a backend goes to one stream. The thread that calls may not be the one that opened:
 * every entry of the table makes the device current first (mill_cuda_begin). */
#ifndef MILL_KERNELS_CUDA_BACKEND_H
#define MILL_KERNELS_CUDA_BACKEND_H

#include "kernels/backend.h"

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /* Memory of an operator beyond its arguments, in use from its first launch to its last:
     * quantised rows, partial sums. Larger work goes in blocks of rows. */
    MILL_CUDA_SCRATCH_BYTES = 64 << 20,
    MILL_CUDA_ARRIVALS = 1024, /* counters of blocks that work on one thing: arrival.h */
    /* Shared memory of a kernel: what is fixed when it is compiled, and alignment behind it; and
     * what a launch can add to that without asking, 48 KB in all. */
    MILL_CUDA_STATIC_SHARED_BYTES = 1024,
    MILL_CUDA_PLAIN_SHARED_BYTES = (48 << 10) - MILL_CUDA_STATIC_SHARED_BYTES,
    MILL_CUDA_SETTINGS = 96, /* of kernels, that are remembered */
    /* What CUDA itself takes, context, code and queues: so much, and so much for each
     * multiprocessor. An estimate, not measured; counts towards a limit. */
    MILL_CUDA_CONTEXT_BYTES = 96 << 20,
    MILL_CUDA_CONTEXT_BYTES_EACH = 3 << 20,
};

struct cuda_setting {
    const void *kernel;
    enum cudaFuncAttribute attribute;
};

struct mill_backend {
    cudaStream_t stream;
    int32_t device, capability; /* which card; 10 * major + minor */
    int32_t n_processors;       /* multiprocessors */
    int32_t shared_bytes;       /* shared memory that a block can have */
    int32_t card_shared_bytes;  /* the same, of the card itself where it passes for another */
    char *scratch;              /* [MILL_CUDA_SCRATCH_BYTES], device, 256-byte aligned */
    int32_t *arrived;           /* [MILL_CUDA_ARRIVALS], device, zeros between launches */

    struct cuda_block *blocks; /* what alloc and upload gave: cuda_memory.c */
    int32_t n_blocks, max_blocks;
    size_t used_bytes, limit_bytes; /* used: CUDA itself and blocks; limit 0 = none */

    struct cuda_setting set[MILL_CUDA_SETTINGS]; /* what kernels have been told: cuda_errors.c */
    int32_t n_set;

    bool spoiled;     /* a call failed since graph_begin */
    const char *call; /* the entry that runs, for `failure` */
    char failure[256];
    char description[160];
};

/* ---- cuda_errors.c */

/* At the head of an entry of the table: the device is current, nothing has failed. */
mill_status mill_cuda_begin(struct mill_backend *backend, const char *call);
/* At its end: what failed has a text. */
mill_status mill_cuda_end(struct mill_backend *backend, mill_status status);
/* MILL_OK, or a failure of `what`, which becomes the text. */
mill_status mill_cuda_check(struct mill_backend *backend, cudaError_t error, const char *what);
/* Behind an operator's launches: whether they are on their way. */
mill_status mill_cuda_launched(struct mill_backend *backend, const char *what);
/* Before a launch: the kernel may have so much dynamic shared memory. The first time that this is
 * more than any kernel may have, it is given all there is. */
mill_status mill_cuda_allow_shared(struct mill_backend *backend, const void *kernel, size_t bytes);
/* Before a launch of a kernel that begins beside others, or others beside it: all memory of a
 * multiprocessor that can be shared memory is, so that no block waits for it to be divided anew. */
mill_status mill_cuda_prefer_shared(struct mill_backend *backend, const void *kernel);

/* ---- cuda_open.c */

int32_t mill_cuda_n_devices(struct mill_error *err);
mill_status mill_cuda_open(struct mill_backend **out, const struct mill_backend_options *options,
                           struct mill_error *err);
void mill_cuda_close(struct mill_backend *backend);

/* ---- probe.cu */

mill_status mill_cuda_probe(struct mill_backend *backend);

/* ---- cuda_memory.c */

void mill_cuda_free_all(struct mill_backend *backend);

void *mill_cuda_alloc(struct mill_backend *backend, size_t bytes);
void mill_cuda_free(struct mill_backend *backend, void *device);
const void *mill_cuda_upload(struct mill_backend *backend, const void *host, size_t bytes);
void mill_cuda_release(struct mill_backend *backend, const void *device);
mill_status mill_cuda_memory(struct mill_backend *backend, size_t *free_bytes, size_t *total_bytes);
void *mill_cuda_host_alloc(struct mill_backend *backend, size_t bytes);
void mill_cuda_host_free(struct mill_backend *backend, void *host);

/* ---- cuda_stream.c */

mill_status mill_cuda_copy_in(struct mill_backend *backend, void *device, const void *host,
                              size_t bytes);
mill_status mill_cuda_copy_out(struct mill_backend *backend, void *host, const void *device,
                               size_t bytes);
mill_status mill_cuda_copy_within(struct mill_backend *backend, void *to, const void *from,
                                  size_t bytes);
mill_status mill_cuda_synchronize(struct mill_backend *backend);
mill_status mill_cuda_event_new(struct mill_backend *backend, struct mill_event **out);
void mill_cuda_event_free(struct mill_backend *backend, struct mill_event *event);
mill_status mill_cuda_event_record(struct mill_backend *backend, struct mill_event *event);
mill_status mill_cuda_event_wait(struct mill_backend *backend, struct mill_event *event);
mill_status mill_cuda_graph_begin(struct mill_backend *backend);
mill_status mill_cuda_graph_end(struct mill_backend *backend, struct mill_graph **out);
mill_status mill_cuda_graph_launch(struct mill_backend *backend, struct mill_graph *graph);
void mill_cuda_graph_free(struct mill_backend *backend, struct mill_graph *graph);

/* ---- the operators, a file each */

mill_status mill_cuda_embed(struct mill_backend *, const struct mill_embed_args *);
mill_status mill_cuda_copy_rows(struct mill_backend *, const struct mill_copy_rows_args *);
mill_status mill_cuda_norm(struct mill_backend *, const struct mill_norm_args *);
mill_status mill_cuda_linear(struct mill_backend *, const struct mill_linear_args *);
mill_status mill_cuda_feed_forward(struct mill_backend *, const struct mill_feed_forward_args *);
mill_status mill_cuda_rope_append(struct mill_backend *, const struct mill_rope_append_args *);
mill_status mill_cuda_attn_paged(struct mill_backend *, const struct mill_attn_paged_args *);
/* Of attn_paged, one row a sequence with rope and append before it: where one launch does it. */
bool mill_cuda_attn_decode_fits(const struct mill_backend *, const struct mill_attn_paged_args *);
mill_status mill_cuda_attn_decode(struct mill_backend *, const struct mill_attn_paged_args *);
mill_status mill_cuda_sample(struct mill_backend *, const struct mill_sample_args *);
mill_status mill_cuda_conv1d(struct mill_backend *, const struct mill_conv1d_args *);
mill_status mill_cuda_conv_transpose1d(struct mill_backend *,
                                       const struct mill_conv_transpose1d_args *);
mill_status mill_cuda_residual_unit(struct mill_backend *, const struct mill_residual_unit_args *);
mill_status mill_cuda_mix(struct mill_backend *, const struct mill_mix_args *);

#ifdef __cplusplus
}
#endif

#endif
