/* runtime.cpp - devices, errors, memory and copies of the miniature run-time API, and the tests'
 * switches of emulator.h. */
#include "tests/emulator/cudart.h"
#include "tests/emulator/memory.h"
#include "tests/emulator/observer.h"
#include "tests/emulator/poison.h"
#include "tests/emulator/report.h"
#include "tests/emulator/shared.h"

#include <algorithm>
#include <stdio.h>
#include <string>

namespace emulator {

static struct {
    std::mutex lock;
    emulator_settings settings = emulator_defaults();
    uint64_t n_calls[EMULATOR_N_CALLS];
    struct {
        uint64_t at; /* the number of the call */
        cudaError_t error;
        bool sticky;
    } faults[EMULATOR_N_CALLS];
    cudaError_t sticky; /* the error of every call from now on */
} state;

static thread_local cudaError_t last_error = cudaSuccess;
static thread_local int device_of_thread = 0;

api_call::api_call() : lock(state.lock), error(state.sticky) {
}

api_call::api_call(emulator_call kind) : lock(state.lock), error(state.sticky) {
    auto &fault = state.faults[kind];
    if (++state.n_calls[kind] == fault.at && fault.error != cudaSuccess) {
        error = error == cudaSuccess ? fault.error : error;
        if (fault.sticky)
            state.sticky = fault.error;
    }
    if (error != cudaSuccess)
        last_error = error;
}

cudaError_t api_call::done(cudaError_t result) {
    if (result != cudaSuccess)
        last_error = result;
    return result;
}

const emulator_settings &settings() {
    return state.settings;
}

int current_device() {
    return device_of_thread;
}

/* ------------------------------------------------------------------ copies */

/* Device memory is checked where the call is made; host memory cannot be. */
static bool check_side(const void *at, size_t bytes, bool device, const char *side) {
    const allocation *a = memory_find(at);
    bool is_device = a && a->kind == memory_kind::device;
    if (is_device == device && (!a || memory_has(at, bytes)))
        return true;
    char where[128];
    memory_describe(at, where, sizeof where);
    report("a copy of %zu bytes: its %s should be %s memory: %p, %s", bytes, side,
           device ? "device" : "host", at, where);
    return false;
}

static cudaError_t enqueue_copy(CUstream_st *stream, void *to, const void *from, size_t bytes,
                                cudaMemcpyKind kind) {
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (bytes == 0)
        return cudaSuccess;
    if (!check_side(to, bytes, to_device, "destination") ||
        !check_side(from, bytes, from_device, "source"))
        return cudaErrorInvalidValue;
    if (to_device && !from_device && !memory_find(from)) { /* pageable: staged now */
        if (stream->capture)
            return cudaErrorStreamCaptureUnsupported;
        std::string staged(static_cast<const char *>(from), bytes);
        return stream_enqueue(stream, [to, staged = std::move(staged)] {
            memcpy(to, staged.data(), staged.size());
            if (checker)
                checker->host_wrote(to, staged.size());
            return cudaSuccess;
        });
    }
    return stream_enqueue(stream, [to, from, bytes] {
        memmove(to, from, bytes);
        if (checker && memory_find(to))
            checker->host_copied(to, from, bytes);
        return cudaSuccess;
    });
}

static cudaMemcpyKind resolve(cudaMemcpyKind kind, const void *to, const void *from) {
    if (kind != cudaMemcpyDefault)
        return kind;
    const allocation *a = memory_find(from), *b = memory_find(to);
    bool from_device = a && a->kind == memory_kind::device;
    bool to_device = b && b->kind == memory_kind::device;
    return from_device ? (to_device ? cudaMemcpyDeviceToDevice : cudaMemcpyDeviceToHost)
                       : (to_device ? cudaMemcpyHostToDevice : cudaMemcpyHostToHost);
}

static cudaError_t enqueue_fill(CUstream_st *stream, void *to, int value, size_t bytes) {
    if (bytes == 0)
        return cudaSuccess;
    if (!check_side(to, bytes, true, "destination"))
        return cudaErrorInvalidValue;
    return stream_enqueue(stream, [to, value, bytes] {
        memset(to, value, bytes);
        if (checker)
            checker->host_wrote(to, bytes);
        return cudaSuccess;
    });
}

static cudaError_t allocate(void **out, size_t bytes, memory_kind kind) {
    api_call call(EMULATOR_ALLOCATION);
    *out = nullptr;
    if (call.error != cudaSuccess)
        return call.error;
    if (capture_forbids())
        return call.done(cudaErrorStreamCaptureUnsupported);
    if (bytes == 0)
        return call.done(cudaSuccess);
    *out = memory_allocate(bytes, kind, current_device(), state.settings.device_bytes);
    return call.done(*out ? cudaSuccess : cudaErrorMemoryAllocation);
}

static cudaError_t release(void *at, memory_kind kind) {
    api_call call;
    if (!at)
        return call.done(call.error);
    if (capture_forbids())
        return call.done(cudaErrorStreamCaptureUnsupported);
    /* Freeing waits for the device. */
    cudaError_t error = call.error == cudaSuccess ? device_run(current_device()) : call.error;
    if (!memory_free(at, kind)) {
        report("%p is freed, but was not allocated, or was freed before", at);
        error = cudaErrorInvalidValue;
    }
    return call.done(error);
}

} // namespace emulator

using namespace emulator;

extern "C" {

/* ------------------------------------------------------------------ devices */

cudaError_t cudaDriverGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count) {
    api_call call;
    if (state.settings.n_devices == 0)
        return call.done(cudaErrorNoDevice); /* *count stays as it was */
    *count = state.settings.n_devices;
    return call.done(call.error);
}

cudaError_t cudaGetDevice(int *device) {
    *device = device_of_thread;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
    api_call call;
    if (device < 0 || device >= state.settings.n_devices)
        return call.done(cudaErrorInvalidDevice);
    device_of_thread = device;
    return call.done(call.error);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int device) {
    api_call call;
    const emulator_settings &s = state.settings;
    if (device < 0 || device >= s.n_devices)
        return call.done(cudaErrorInvalidDevice);
    *out = {};
    snprintf(out->name, sizeof out->name, "emulator");
    out->sharedMemPerBlockOptin = shared_most_bytes;
    out->major = s.capability / 10;
    out->minor = s.capability % 10;
    out->multiProcessorCount = s.n_multiprocessors;
    return call.done(call.error);
}

cudaError_t cudaDeviceSynchronize(void) {
    api_call call(EMULATOR_SYNCHRONIZE);
    if (call.error != cudaSuccess)
        return call.error;
    if (capture_forbids())
        return call.done(cudaErrorStreamCaptureUnsupported);
    return call.done(device_run(current_device()));
}

/* ------------------------------------------------------------------ errors */

#define NAME_CASE(name, value, text)                                                               \
    case name:                                                                                     \
        return #name;
#define TEXT_CASE(name, value, text)                                                               \
    case name:                                                                                     \
        return text;

const char *cudaGetErrorName(cudaError_t error) {
    switch (error) { EMULATOR_ERRORS(NAME_CASE) }
    return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error) {
    switch (error) { EMULATOR_ERRORS(TEXT_CASE) }
    return "unrecognized error code";
}

cudaError_t cudaGetLastError(void) {
    cudaError_t error = last_error;
    api_call call;
    last_error = call.error;
    return error;
}

/* ------------------------------------------------------------------ memory */

cudaError_t cudaMalloc(void **device, size_t bytes) {
    return allocate(device, bytes, memory_kind::device);
}

cudaError_t cudaFree(void *device) {
    return release(device, memory_kind::device);
}

cudaError_t cudaMallocHost(void **host, size_t bytes) {
    return allocate(host, bytes, memory_kind::pinned);
}

cudaError_t cudaFreeHost(void *host) {
    return release(host, memory_kind::pinned);
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes) {
    api_call call;
    size_t used = memory_bytes_in_use(current_device());
    *total_bytes = state.settings.device_bytes;
    *free_bytes = *total_bytes > used ? *total_bytes - used : 0;
    return call.done(call.error);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t handle) {
    api_call call(EMULATOR_COPY);
    if (call.error != cudaSuccess)
        return call.error;
    CUstream_st *stream = stream_find(handle);
    if (!stream)
        return call.done(cudaErrorInvalidResourceHandle);
    return call.done(enqueue_copy(stream, to, from, bytes, resolve(kind, to, from)));
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
    cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
    return error == cudaSuccess ? cudaStreamSynchronize(nullptr) : error;
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t handle) {
    api_call call(EMULATOR_COPY);
    if (call.error != cudaSuccess)
        return call.error;
    CUstream_st *stream = stream_find(handle);
    if (!stream)
        return call.done(cudaErrorInvalidResourceHandle);
    return call.done(enqueue_fill(stream, to, value, bytes));
}

cudaError_t cudaMemset(void *to, int value, size_t bytes) {
    cudaError_t error = cudaMemsetAsync(to, value, bytes, nullptr);
    return error == cudaSuccess ? cudaStreamSynchronize(nullptr) : error;
}

/* ------------------------------------------------------------------ the tests' switches */

emulator_settings emulator_defaults(void) {
    return {1, (size_t)8 << 30, 90, 8, EMULATOR_FORWARD, 1, false};
}

void emulator_configure(const emulator_settings *settings) {
    api_call call;
    state.settings = *settings;
    report_set_quiet(settings->quiet);
}

void emulator_fault(emulator_call kind, uint64_t n, int error, bool sticky) {
    api_call call;
    state.faults[kind] = {state.n_calls[kind] + n, (cudaError_t)error, sticky};
}

uint64_t emulator_n_calls(emulator_call kind) {
    api_call call;
    return state.n_calls[kind];
}

int emulator_report(char *text, size_t capacity) {
    api_call call;
    return report_read(text, capacity);
}

void emulator_reset(void) {
    api_call call;
    for (int kind = 0; kind < EMULATOR_N_CALLS; kind++) {
        state.n_calls[kind] = 0;
        state.faults[kind] = {};
    }
    state.sticky = cudaSuccess;
    last_error = cudaSuccess;
    report_reset();
}

size_t emulator_bytes_in_use(void) {
    api_call call;
    return memory_bytes_in_use(-1);
}

} // extern "C"
