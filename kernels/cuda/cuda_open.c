/* cuda_open.c - what cards there are, what a card must be, opening and closing one.
 *
 * Everything that can be missing - driver, card, memory - is said in one sentence with its remedy:
 * most machines that this runs on have no card, and that is no fault. */
#include "kernels/cuda/cuda_backend.h"
#include "runtime/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_CAPABILITY = 75 }; /* Turing: the oldest that CUDA 13 compiles for */

static int as_gigabytes(size_t bytes) {
    return (int)((bytes + 500000000) / 1000000000);
}

/* cudaGetDeviceCount gives one error for no driver and for an old one; the driver's version tells
 * them apart. */
static mill_status explain_no_device(cudaError_t error, struct mill_error *err) {
    int driver = 0, needed = CUDART_VERSION;
    cudaGetLastError();
    cudaDriverGetVersion(&driver);
    if (error == cudaErrorInsufficientDriver && driver == 0)
        return mill_fail(err, MILL_E_NOT_FOUND,
                         "no NVIDIA driver: install one (580 or newer; package nvidia-driver) to "
                         "use a GPU");
    if (error == cudaErrorInsufficientDriver)
        return mill_fail(err, MILL_E_UNSUPPORTED,
                         "the NVIDIA driver is too old: it has CUDA %d.%d, %d.%d is needed (driver "
                         "580 or newer)",
                         driver / 1000, driver % 1000 / 10, needed / 1000, needed % 1000 / 10);
    if (error == cudaErrorNoDevice || error == cudaSuccess)
        return mill_fail(err, MILL_E_NOT_FOUND,
                         "the NVIDIA driver sees no GPU: look at nvidia-smi, and at "
                         "CUDA_VISIBLE_DEVICES");
    return mill_fail(err, MILL_E_DEVICE, "the NVIDIA driver does not work: %s (%s)",
                     cudaGetErrorString(error), cudaGetErrorName(error));
}

int32_t mill_cuda_n_devices(struct mill_error *err) {
    int n = 0;
    cudaError_t error = cudaGetDeviceCount(&n);
    if (error == cudaSuccess && n > 0)
        return n;
    mill_status status = explain_no_device(error, err);
    return status == MILL_E_NOT_FOUND ? 0 : status;
}

static mill_status check_card(struct mill_backend *backend, const struct cudaDeviceProp *card,
                              struct mill_error *err) {
    backend->capability = 10 * card->major + card->minor;
    backend->n_processors = card->multiProcessorCount;
    backend->shared_bytes = backend->card_shared_bytes = (int32_t)card->sharedMemPerBlockOptin;
    backend->used_bytes =
        MILL_CUDA_CONTEXT_BYTES + (size_t)card->multiProcessorCount * MILL_CUDA_CONTEXT_BYTES_EACH;
    if (backend->capability < LEAST_CAPABILITY)
        return mill_fail(err, MILL_E_UNSUPPORTED,
                         "%s is too old: it has compute capability %d.%d, %d.%d (Turing) or newer "
                         "is needed",
                         card->name, card->major, card->minor, LEAST_CAPABILITY / 10,
                         LEAST_CAPABILITY % 10);
    return MILL_OK;
}

/* Tests see how a newer card does what an older one does. */
static mill_status pass_for(struct mill_backend *backend, const char *isa, struct mill_error *err) {
    static const struct {
        const char *name;
        int32_t capability, shared_bytes;
    } cards[] = {{"sm_75", 75, 64 << 10}, {"sm_80", 80, 163 << 10}, {"sm_86", 86, 99 << 10}};
    for (size_t i = 0; i < sizeof cards / sizeof *cards; i++) {
        if (strcmp(isa, cards[i].name) != 0 || backend->capability < cards[i].capability)
            continue;
        backend->capability = cards[i].capability;
        if (backend->shared_bytes > cards[i].shared_bytes)
            backend->shared_bytes = cards[i].shared_bytes;
        return MILL_OK;
    }
    return mill_fail(err, MILL_E_UNSUPPORTED,
                     "this card can pass for 'sm_75', 'sm_80' or 'sm_86', as far as it is newer, "
                     "not for '%s'",
                     isa);
}

static mill_status take_scratch(struct mill_backend *backend) {
    const size_t bytes = MILL_CUDA_ARRIVALS * sizeof *backend->arrived;
    backend->scratch = mill_cuda_alloc(backend, MILL_CUDA_SCRATCH_BYTES);
    backend->arrived = mill_cuda_alloc(backend, bytes);
    if (!backend->scratch || !backend->arrived)
        return MILL_E_MEMORY;
    return mill_cuda_check(backend, cudaMemsetAsync(backend->arrived, 0, bytes, backend->stream),
                           "open");
}

/* The card's context, the stream, the scratch memory. */
static mill_status take_card(struct mill_backend *backend, const struct cudaDeviceProp *card,
                             struct mill_error *err) {
    size_t free_bytes = 0, total_bytes = 0;
    mill_status status = mill_cuda_begin(backend, "open");
    if (status == MILL_OK)
        status = mill_cuda_check(
            backend, cudaStreamCreateWithFlags(&backend->stream, cudaStreamNonBlocking), "open");
    if (status == MILL_OK)
        status = mill_cuda_memory(backend, &free_bytes, &total_bytes);
    if (status == MILL_OK)
        status = take_scratch(backend);
    if (status == MILL_E_MEMORY)
        return mill_fail(err, status,
                         "%s has too little memory free, %zu MB: end what else uses it", card->name,
                         free_bytes / 1000000);
    if (status == MILL_OK && mill_cuda_probe(backend) < 0)
        return mill_fail(err, MILL_E_UNSUPPORTED,
                         "this build's kernels do not run on %s (compute capability %d.%d): %s",
                         card->name, card->major, card->minor, backend->failure);
    if (status < 0)
        return mill_fail(err, status, "%s cannot be used: %s", card->name, backend->failure);
    snprintf(backend->description, sizeof backend->description,
             "%.80s, compute capability %d.%d, %d GB", card->name, card->major, card->minor,
             as_gigabytes(total_bytes));
    return MILL_OK;
}

mill_status mill_cuda_open(struct mill_backend **out, const struct mill_backend_options *options,
                           struct mill_error *err) {
    *out = NULL;
    int32_t n = mill_cuda_n_devices(err);
    if (n <= 0)
        return n < 0 ? n : MILL_E_NOT_FOUND;
    if (options->device < 0 || options->device >= n)
        return mill_fail(err, MILL_E_INPUT, "there is no GPU %d: they are numbered 0 to %d",
                         options->device, n - 1);
    struct cudaDeviceProp card;
    cudaError_t error = cudaGetDeviceProperties(&card, options->device);
    if (error != cudaSuccess)
        return mill_fail(err, MILL_E_DEVICE, "GPU %d: %s", options->device,
                         cudaGetErrorString(error));
    struct mill_backend *backend = mill_alloc_array(1, sizeof *backend);
    if (!backend)
        return mill_fail(err, MILL_E_MEMORY, "no memory for the cuda backend");
    backend->device = options->device;
    backend->limit_bytes = options->memory_limit_bytes;
    mill_status status = check_card(backend, &card, err);
    if (status == MILL_OK && options->isa)
        status = pass_for(backend, options->isa, err);
    if (status == MILL_OK)
        status = take_card(backend, &card, err);
    if (status < 0) {
        mill_cuda_close(backend);
        return mill_context(err, status, "GPU %d", options->device);
    }
    *out = backend;
    return MILL_OK;
}

void mill_cuda_close(struct mill_backend *backend) {
    if (!backend)
        return;
    cudaSetDevice(backend->device);
    if (backend->stream)
        cudaStreamSynchronize(backend->stream);
    mill_cuda_free_all(backend);
    if (backend->stream)
        cudaStreamDestroy(backend->stream);
    cudaGetLastError(); /* a card that failed is closed all the same */
    free(backend);
}
