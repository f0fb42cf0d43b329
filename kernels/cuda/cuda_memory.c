/* cuda_memory.c - device memory, counted; pinned host memory.
 *
 * Memory is taken once, at open, in a few large blocks, so each is CUDA's own. They are written
 * down with their sizes: that is how a limit is kept, and how nothing stays behind at close. */
#include "kernels/cuda/cuda_backend.h"

#include <stdio.h>
#include <stdlib.h>

struct cuda_block {
    void *data;
    size_t bytes;
};

/* Room to write down one more. */
static mill_status reserve_block(struct mill_backend *backend) {
    if (backend->n_blocks < backend->max_blocks)
        return MILL_OK;
    int32_t most = backend->max_blocks ? 2 * backend->max_blocks : 32;
    struct cuda_block *blocks = realloc(backend->blocks, (size_t)most * sizeof *blocks);
    if (!blocks)
        return MILL_E_MEMORY;
    backend->blocks = blocks;
    backend->max_blocks = most;
    return MILL_OK;
}

static mill_status take(struct mill_backend *backend, size_t bytes, void **out) {
    MILL_TRY(reserve_block(backend));
    size_t limit = backend->limit_bytes, used = backend->used_bytes;
    if (limit && (used > limit || bytes > limit - used)) {
        snprintf(backend->failure, sizeof backend->failure,
                 "%s: %zu bytes on top of %zu are more than the limit of %zu", backend->call, bytes,
                 used, limit);
        return MILL_E_MEMORY;
    }
    /* CUDA has no empty blocks. */
    MILL_TRY(mill_cuda_check(backend, cudaMalloc(out, bytes ? bytes : 1), backend->call));
    backend->blocks[backend->n_blocks++] = (struct cuda_block){*out, bytes};
    backend->used_bytes += bytes;
    return MILL_OK;
}

static void give_back(struct mill_backend *backend, const void *data) {
    for (int32_t i = 0; i < backend->n_blocks; i++)
        if (backend->blocks[i].data == data) {
            cudaFree(backend->blocks[i].data);
            backend->used_bytes -= backend->blocks[i].bytes;
            backend->blocks[i] = backend->blocks[--backend->n_blocks];
            return;
        }
}

void mill_cuda_free_all(struct mill_backend *backend) {
    while (backend->n_blocks > 0)
        give_back(backend, backend->blocks[backend->n_blocks - 1].data);
    free(backend->blocks);
}

void *mill_cuda_alloc(struct mill_backend *backend, size_t bytes) {
    void *device = NULL;
    mill_status status = mill_cuda_begin(backend, "alloc");
    if (status == MILL_OK)
        status = take(backend, bytes, &device);
    mill_cuda_end(backend, status);
    return device;
}

void mill_cuda_free(struct mill_backend *backend, void *device) {
    cudaSetDevice(backend->device);
    give_back(backend, device);
}

const void *mill_cuda_upload(struct mill_backend *backend, const void *host, size_t bytes) {
    void *device = NULL;
    mill_status status = mill_cuda_begin(backend, "upload");
    if (status == MILL_OK)
        status = take(backend, bytes, &device);
    if (status == MILL_OK)
        status = mill_cuda_check(
            backend, cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, backend->stream),
            backend->call);
    if (status == MILL_OK)
        status = mill_cuda_check(backend, cudaStreamSynchronize(backend->stream), backend->call);
    if (status < 0)
        give_back(backend, device);
    return mill_cuda_end(backend, status) < 0 ? NULL : device;
}

void mill_cuda_release(struct mill_backend *backend, const void *device) {
    cudaSetDevice(backend->device);
    give_back(backend, device);
}

mill_status mill_cuda_memory(struct mill_backend *backend, size_t *free_bytes,
                             size_t *total_bytes) {
    MILL_TRY(mill_cuda_begin(backend, "memory"));
    MILL_TRY(mill_cuda_check(backend, cudaMemGetInfo(free_bytes, total_bytes), backend->call));
    size_t limit = backend->limit_bytes, used = backend->used_bytes;
    if (limit && limit < *total_bytes)
        *total_bytes = limit;
    size_t left = used < limit ? limit - used : 0;
    if (limit && left < *free_bytes)
        *free_bytes = left;
    return MILL_OK;
}

void *mill_cuda_host_alloc(struct mill_backend *backend, size_t bytes) {
    void *host = NULL;
    mill_status status = mill_cuda_begin(backend, "host_alloc");
    if (status == MILL_OK)
        status = mill_cuda_check(backend, cudaMallocHost(&host, bytes ? bytes : 1), backend->call);
    return mill_cuda_end(backend, status) < 0 ? NULL : host;
}

void mill_cuda_host_free(struct mill_backend *backend, void *host) {
    cudaSetDevice(backend->device);
    if (host)
        cudaFreeHost(host);
}
