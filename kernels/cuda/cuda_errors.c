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

/* Whether this was set before; from now on it was. More than can be remembered is set again. */
static bool is_set(struct mill_backend *backend, const void *kernel,
                   enum cudaFuncAttribute attribute) {
    for (int32_t i = 0; i < backend->n_set; i++)
        if (backend->set[i].kernel == kernel && backend->set[i].attribute == attribute)
            return true;
    if (backend->n_set < MILL_CUDA_SETTINGS)
        backend->set[backend->n_set++] = (struct cuda_setting){kernel, attribute};
    return false;
}

/* An attribute is the device's, not the backend's: all backends set the same, so none takes away
 * what another counts on. */
mill_status mill_cuda_allow_shared(struct mill_backend *backend, const void *kernel, size_t bytes) {
    enum cudaFuncAttribute attribute = cudaFuncAttributeMaxDynamicSharedMemorySize;
    /* Not where the driver, too, may count what it keeps of each block. */
    bool is_plain = bytes + MILL_CUDA_STATIC_SHARED_BYTES <= MILL_CUDA_PLAIN_SHARED_BYTES;
    if (is_plain || is_set(backend, kernel, attribute))
        return MILL_OK;
    struct cudaFuncAttributes is;
    MILL_TRY(mill_cuda_check(backend, cudaFuncGetAttributes(&is, kernel), backend->call));
    int most = backend->card_shared_bytes - (int)is.sharedSizeBytes;
    return mill_cuda_check(backend, cudaFuncSetAttribute(kernel, attribute, most), backend->call);
}

mill_status mill_cuda_prefer_shared(struct mill_backend *backend, const void *kernel) {
    enum cudaFuncAttribute attribute = cudaFuncAttributePreferredSharedMemoryCarveout;
    if (backend->capability < 90 || is_set(backend, kernel, attribute))
        return MILL_OK;
    return mill_cuda_check(backend, cudaFuncSetAttribute(kernel, attribute, 100), backend->call);
}
