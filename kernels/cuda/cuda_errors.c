/* cuda_errors.c - CUDA's errors as statuses with a text: "linear: an illegal memory access was
 * encountered (cudaErrorIllegalAddress)". An error of work that runs later comes to light in the
 * next call that looks; the text then names that call. */
#include "kernels/cuda/cuda_backend.h"

#include <stdio.h>

mill_status mill_cuda_begin(struct mill_backend *backend, const char *call) {
    backend->call = call;
    backend->failure[0] = '\0';
    return mill_cuda_check(backend, cudaSetDevice(backend->device), call);
}

mill_status mill_cuda_end(struct mill_backend *backend, mill_status status) {
    if (status >= 0)
        return status;
    backend->spoiled = true;
    if (!backend->failure[0])
        snprintf(backend->failure, sizeof backend->failure, "%s: %s", backend->call,
                 mill_status_text(status));
    return status;
}

mill_status mill_cuda_check(struct mill_backend *backend, cudaError_t error, const char *what) {
    if (error == cudaSuccess)
        return MILL_OK;
    cudaGetLastError(); /* CUDA keeps what a call returned; it is told here, once */
    backend->spoiled = true;
    snprintf(backend->failure, sizeof backend->failure, "%s: %s (%s)", what,
             cudaGetErrorString(error), cudaGetErrorName(error));
    return error == cudaErrorMemoryAllocation ? MILL_E_MEMORY : MILL_E_DEVICE;
}

mill_status mill_cuda_launched(struct mill_backend *backend, const char *what) {
    return mill_cuda_check(backend, cudaGetLastError(), what);
}

/* The attribute is the device's, not the backend's: all backends set the same, so none takes away
 * what another counts on. */
mill_status mill_cuda_allow_shared(struct mill_backend *backend, const void *kernel, size_t bytes) {
    if (bytes <= MILL_CUDA_PLAIN_SHARED_BYTES)
        return MILL_OK;
    for (int32_t i = 0; i < backend->n_large; i++)
        if (backend->large[i] == kernel)
            return MILL_OK;
    struct cudaFuncAttributes is;
    MILL_TRY(mill_cuda_check(backend, cudaFuncGetAttributes(&is, kernel), backend->call));
    MILL_TRY(
        mill_cuda_check(backend,
                        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                             backend->card_shared_bytes - (int)is.sharedSizeBytes),
                        backend->call));
    if (backend->n_large < MILL_CUDA_LARGE_KERNELS)
        backend->large[backend->n_large++] = kernel;
    return MILL_OK;
}
