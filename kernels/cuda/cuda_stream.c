/* cuda_stream.c - copies, events and graphs: what takes its turn in the backend's stream. */
#include "kernels/cuda/cuda_backend.h"
#include "runtime/base/memory.h"

#include <stdlib.h>

struct mill_event {
    cudaEvent_t event;
};

struct mill_graph {
    cudaGraphExec_t runnable;
};

/* ------------------------------------------------------------------ copies */

/* CUDA stages what lies in pageable memory before the call returns. */
static mill_status copy(struct mill_backend *backend, const char *call, void *to, const void *from,
                        size_t bytes, enum cudaMemcpyKind kind) {
    MILL_TRY(mill_cuda_begin(backend, call));
    return bytes == 0 ? MILL_OK
                      : mill_cuda_check(
                            backend, cudaMemcpyAsync(to, from, bytes, kind, backend->stream), call);
}

mill_status mill_cuda_copy_in(struct mill_backend *backend, void *device, const void *host,
                              size_t bytes) {
    return copy(backend, "copy_in", device, host, bytes, cudaMemcpyHostToDevice);
}

mill_status mill_cuda_copy_out(struct mill_backend *backend, void *host, const void *device,
                               size_t bytes) {
    return copy(backend, "copy_out", host, device, bytes, cudaMemcpyDeviceToHost);
}

mill_status mill_cuda_copy_within(struct mill_backend *backend, void *to, const void *from,
                                  size_t bytes) {
    return copy(backend, "copy_within", to, from, bytes, cudaMemcpyDeviceToDevice);
}

mill_status mill_cuda_synchronize(struct mill_backend *backend) {
    MILL_TRY(mill_cuda_begin(backend, "synchronize"));
    return mill_cuda_check(backend, cudaStreamSynchronize(backend->stream), backend->call);
}

/* ------------------------------------------------------------------ events */

mill_status mill_cuda_event_new(struct mill_backend *backend, struct mill_event **out) {
    *out = NULL;
    MILL_TRY(mill_cuda_begin(backend, "event_new"));
    struct mill_event *event = mill_alloc_array(1, sizeof *event);
    if (!event)
        return mill_cuda_end(backend, MILL_E_MEMORY);
    mill_status status = mill_cuda_check(
        backend, cudaEventCreateWithFlags(&event->event, cudaEventDisableTiming), backend->call);
    if (status < 0) {
        free(event);
        return status;
    }
    *out = event;
    return MILL_OK;
}

void mill_cuda_event_free(struct mill_backend *backend, struct mill_event *event) {
    if (!event)
        return;
    cudaSetDevice(backend->device);
    cudaEventDestroy(event->event);
    free(event);
}

mill_status mill_cuda_event_record(struct mill_backend *backend, struct mill_event *event) {
    MILL_TRY(mill_cuda_begin(backend, "event_record"));
    return mill_cuda_check(backend, cudaEventRecord(event->event, backend->stream), backend->call);
}

mill_status mill_cuda_event_wait(struct mill_backend *backend, struct mill_event *event) {
    MILL_TRY(mill_cuda_begin(backend, "event_wait"));
    return mill_cuda_check(backend, cudaEventSynchronize(event->event), backend->call);
}

/* ------------------------------------------------------------------ graphs */

/* Thread-local: what other replicas' threads do meanwhile is their own affair. */
mill_status mill_cuda_graph_begin(struct mill_backend *backend) {
    MILL_TRY(mill_cuda_begin(backend, "graph_begin"));
    backend->spoiled = false;
    return mill_cuda_check(
        backend, cudaStreamBeginCapture(backend->stream, cudaStreamCaptureModeThreadLocal),
        backend->call);
}

mill_status mill_cuda_graph_end(struct mill_backend *backend, struct mill_graph **out) {
    cudaGraph_t recorded = NULL;
    bool spoiled = backend->spoiled;
    *out = NULL;
    MILL_TRY(mill_cuda_begin(backend, "graph_end"));
    MILL_TRY(
        mill_cuda_check(backend, cudaStreamEndCapture(backend->stream, &recorded), backend->call));
    struct mill_graph *graph = mill_alloc_array(1, sizeof *graph);
    mill_status status = !graph ? MILL_E_MEMORY : spoiled ? MILL_E_DEVICE : MILL_OK;
    if (status == MILL_OK)
        status = mill_cuda_check(backend, cudaGraphInstantiate(&graph->runnable, recorded, 0),
                                 backend->call);
    cudaGraphDestroy(recorded);
    if (status < 0) {
        free(graph);
        return mill_cuda_end(backend, status);
    }
    *out = graph;
    return MILL_OK;
}

mill_status mill_cuda_graph_launch(struct mill_backend *backend, struct mill_graph *graph) {
    MILL_TRY(mill_cuda_begin(backend, "graph_launch"));
    return mill_cuda_check(backend, cudaGraphLaunch(graph->runnable, backend->stream),
                           backend->call);
}

void mill_cuda_graph_free(struct mill_backend *backend, struct mill_graph *graph) {
    if (!graph)
        return;
    cudaSetDevice(backend->device);
    cudaGraphExecDestroy(graph->runnable);
    free(graph);
}
