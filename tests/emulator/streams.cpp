/* streams.cpp - streams, events, and launches into them. An event is a mark in one queue that
 * another queue, or the host, can wait for; waiting runs the queue up to the mark. A kernel that
 * fails makes the waiting call fail and empties its queue. */
#include "tests/emulator/block.h"
#include "tests/emulator/cudart.h"
#include "tests/emulator/memory.h"
#include "tests/emulator/report.h"
#include "tests/emulator/shared.h"

#include <map>
#include <set>

namespace emulator {

static struct {
    std::set<CUstream_st *> streams;
    std::set<CUevent_st *> events;
    std::map<int, CUstream_st> defaults;              /* by device */
    std::map<const void *, size_t> most_shared_bytes; /* by kernel: cudaFuncSetAttribute */
} state;

CUstream_st *stream_find(cudaStream_t stream) {
    if (stream)
        return state.streams.count(stream) ? stream : nullptr;
    CUstream_st &own = state.defaults[current_device()];
    own.device = current_device();
    own.blocking = true;
    return &own;
}

static CUevent_st *event_find(cudaEvent_t event) {
    return state.events.count(event) ? event : nullptr;
}

/* ------------------------------------------------------------------ running */

/* While something runs. */
struct open_memory {
    open_memory() {
        memory_open();
    }
    ~open_memory() {
        memory_close();
    }
};

static void drop_queue(CUstream_st *stream) {
    for (operation &o : stream->queue)
        if (o.mark)
            o.mark->done = true;
    stream->queue.clear();
}

static cudaError_t run_one(CUstream_st *stream, const open_memory &open);

static cudaError_t run_until(const record &r, const open_memory &open) {
    cudaError_t error = cudaSuccess;
    while (!r.done && error == cudaSuccess)
        error = run_one(r.stream, open);
    return error;
}

static cudaError_t run_one(CUstream_st *stream, const open_memory &open) {
    operation o = std::move(stream->queue.front());
    stream->queue.pop_front();
    cudaError_t error = o.after ? run_until(*o.after, open) : cudaSuccess;
    if (error == cudaSuccess && o.run)
        error = o.run();
    if (o.mark)
        o.mark->done = true;
    if (error != cudaSuccess)
        drop_queue(stream);
    return error;
}

static cudaError_t run_all(CUstream_st *stream, const open_memory &open) {
    cudaError_t error = cudaSuccess;
    while (!stream->queue.empty() && error == cudaSuccess)
        error = run_one(stream, open);
    return error;
}

cudaError_t device_run(int device) {
    open_memory open;
    cudaError_t error = run_all(&state.defaults[device], open);
    for (CUstream_st *s : state.streams)
        if (s->device == device && error == cudaSuccess)
            error = run_all(s, open);
    return error;
}

/* ------------------------------------------------------------------ enqueuing */

static std::shared_ptr<record> add_mark(CUstream_st *stream) {
    auto mark = std::make_shared<record>(record{stream, false});
    stream->queue.push_back({nullptr, nullptr, mark});
    return mark;
}

static void add_order(CUstream_st *earlier, CUstream_st *later) {
    if (!earlier->queue.empty())
        later->queue.push_back({nullptr, add_mark(earlier), nullptr});
}

/* What is in the default stream is ordered with every blocking stream of its device. */
static void order_with_default(CUstream_st *stream) {
    CUstream_st *own = &state.defaults[stream->device];
    if (stream != own && stream->blocking)
        add_order(own, stream);
    if (stream == own)
        for (CUstream_st *other : state.streams)
            if (other->blocking && other->device == stream->device)
                add_order(other, stream);
}

static std::shared_ptr<launch_chain> &last_chain(CUstream_st *stream) {
    return stream->capture ? stream->capture->chain : stream->chain;
}

cudaError_t stream_enqueue(CUstream_st *stream, std::function<cudaError_t()> run) {
    last_chain(stream) = nullptr;
    if (stream->capture) {
        if (stream->capture->invalid)
            return cudaErrorStreamCaptureInvalidated;
        stream->capture->captured.push_back(std::move(run));
        return cudaSuccess;
    }
    order_with_default(stream);
    stream->queue.push_back({std::move(run), nullptr, nullptr});
    return cudaSuccess;
}

bool capture_forbids() {
    for (CUstream_st *s : state.streams)
        if (s->capture && s->capture->mode == cudaStreamCaptureModeGlobal) {
            s->capture->invalid = true;
            return true;
        }
    return false;
}

/* ------------------------------------------------------------------ launches */

static size_t most_dynamic_bytes(const void *kernel) {
    auto asked = state.most_shared_bytes.find(kernel);
    return asked == state.most_shared_bytes.end() ? shared_default_bytes : asked->second;
}

static cudaError_t check_launch(const launch &l) {
    uint64_t threads = (uint64_t)l.block.x * l.block.y * l.block.z;
    uint64_t most_x = 0x7fffffff, most_yz = 65535;
    if (threads == 0 || threads > MAX_THREADS || l.block.z > 64 || l.grid.x == 0 || l.grid.y == 0 ||
        l.grid.z == 0 || l.grid.x > most_x || l.grid.y > most_yz || l.grid.z > most_yz)
        return cudaErrorInvalidConfiguration;
    /* What the emulator asks beyond: whole warps, and no more threads than a block can have. */
    if (l.cluster == 0 || l.cluster > MAX_BLOCKS || l.grid.x % l.cluster != 0 ||
        l.cluster > (unsigned)settings().n_multiprocessors ||
        (l.cluster > 1 && (threads % LANES != 0 || l.cluster * threads > MAX_THREADS)))
        return cudaErrorInvalidClusterSize;
    return l.shared_bytes <= most_dynamic_bytes(l.function) ? cudaSuccess : cudaErrorInvalidValue;
}

static cudaError_t run_launch(const launch &l) {
    bool asked = state.most_shared_bytes.count(l.function) > 0;
    cudaError_t error = launch_run(l, asked ? shared_most_bytes : shared_default_bytes, settings());
    if (!memory_check_red_zones()) {
        report("... by kernel %s, or by one in front of it", l.kernel);
        error = error == cudaSuccess ? cudaErrorIllegalAddress : error;
    }
    return error;
}

void launch_enqueue(const launch &given, cudaStream_t handle) {
    api_call call(EMULATOR_LAUNCH);
    CUstream_st *stream = stream_find(handle);
    cudaError_t error = call.error;
    if (error == cudaSuccess && (!stream || stream->device != current_device()))
        error = cudaErrorInvalidResourceHandle;
    if (error == cudaSuccess)
        error = check_launch(given);
    if (error != cudaSuccess) {
        call.done(error);
        return;
    }
    auto *first = static_cast<const char *>(given.arguments);
    std::vector<char> arguments(first, first + given.argument_bytes);
    std::shared_ptr<launch_chain> chain = last_chain(stream);
    const bool is_chained = given.is_early && chain;
    if (!is_chained)
        chain = std::make_shared<launch_chain>();
    call.done(stream_enqueue(
        stream, [l = given, arguments = std::move(arguments), chain, is_chained]() mutable {
            l.arguments = arguments.data();
            l.chain = chain.get();
            l.is_chained = is_chained;
            return run_launch(l);
        }));
    last_chain(stream) = chain;
}

} // namespace emulator

using namespace emulator;

extern "C" {

/* A kernel's own shared memory is not known before it runs. */
cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *out, const void *) {
    api_call call(EMULATOR_ATTRIBUTE);
    if (call.error != cudaSuccess)
        return call.error;
    *out = {0};
    return call.done(cudaSuccess);
}

cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value) {
    api_call call(EMULATOR_ATTRIBUTE);
    if (call.error != cudaSuccess)
        return call.error;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize)
        return call.done(cudaSuccess);
    if (value < 0 || (size_t)value > shared_most_bytes)
        return call.done(cudaErrorInvalidValue);
    state.most_shared_bytes[kernel] = (size_t)value;
    return call.done(cudaSuccess);
}

/* ------------------------------------------------------------------ streams */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags) {
    api_call call;
    if (call.error != cudaSuccess)
        return call.error;
    *out =
        new CUstream_st{current_device(), !(flags & cudaStreamNonBlocking), {}, nullptr, nullptr};
    state.streams.insert(*out);
    return call.done(cudaSuccess);
}

cudaError_t cudaStreamCreate(cudaStream_t *out) {
    return cudaStreamCreateWithFlags(out, cudaStreamDefault);
}

/* Work that nobody waited for is lost. */
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    api_call call;
    if (!state.streams.erase(stream))
        return call.done(cudaErrorInvalidResourceHandle);
    drop_queue(stream);
    delete stream;
    return call.done(call.error);
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
    api_call call(EMULATOR_SYNCHRONIZE);
    CUstream_st *stream = stream_find(handle);
    if (call.error != cudaSuccess)
        return call.error;
    if (!stream)
        return call.done(cudaErrorInvalidResourceHandle);
    if (stream->capture) {
        stream->capture->invalid = true;
        return call.done(cudaErrorStreamCaptureUnsupported);
    }
    stream->chain = nullptr;
    return call.done(run_all(stream, open_memory()));
}

/* Each query lets one operation run, so that a host that polls gets on. */
cudaError_t cudaStreamQuery(cudaStream_t handle) {
    api_call call(EMULATOR_SYNCHRONIZE);
    CUstream_st *stream = stream_find(handle);
    if (call.error != cudaSuccess)
        return call.error;
    if (!stream)
        return call.done(cudaErrorInvalidResourceHandle);
    if (stream->queue.empty())
        return cudaSuccess;
    cudaError_t error = run_one(stream, open_memory());
    return error == cudaSuccess ? cudaErrorNotReady : call.done(error);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t handle_event, unsigned) {
    api_call call(EMULATOR_EVENT);
    CUstream_st *stream = stream_find(handle);
    CUevent_st *event = event_find(handle_event);
    if (call.error != cudaSuccess)
        return call.error;
    if (!stream || !event)
        return call.done(cudaErrorInvalidResourceHandle);
    if (stream->capture)
        return call.done(cudaErrorStreamCaptureIsolation);
    if (event->last && !event->last->done)
        stream->queue.push_back({nullptr, event->last, nullptr});
    return call.done(cudaSuccess);
}

/* ------------------------------------------------------------------ events */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned) {
    api_call call(EMULATOR_EVENT);
    if (call.error != cudaSuccess)
        return call.error;
    *out = new CUevent_st{current_device(), nullptr};
    state.events.insert(*out);
    return call.done(cudaSuccess);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    api_call call;
    if (!state.events.erase(event))
        return call.done(cudaErrorInvalidResourceHandle);
    delete event;
    return call.done(call.error);
}

cudaError_t cudaEventRecord(cudaEvent_t handle_event, cudaStream_t handle) {
    api_call call(EMULATOR_EVENT);
    CUstream_st *stream = stream_find(handle);
    CUevent_st *event = event_find(handle_event);
    if (call.error != cudaSuccess)
        return call.error;
    if (!stream || !event || stream->device != event->device)
        return call.done(cudaErrorInvalidResourceHandle);
    if (stream->capture)
        return call.done(cudaErrorNotSupported); /* forks of a capture are not modelled */
    order_with_default(stream);
    event->last = add_mark(stream);
    return call.done(cudaSuccess);
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle_event) {
    api_call call(EMULATOR_EVENT);
    CUevent_st *event = event_find(handle_event);
    if (call.error != cudaSuccess)
        return call.error;
    if (!event)
        return call.done(cudaErrorInvalidResourceHandle);
    return call.done(event->last ? run_until(*event->last, open_memory()) : cudaSuccess);
}

cudaError_t cudaEventQuery(cudaEvent_t handle_event) {
    api_call call(EMULATOR_EVENT);
    CUevent_st *event = event_find(handle_event);
    if (call.error != cudaSuccess)
        return call.error;
    if (!event)
        return call.done(cudaErrorInvalidResourceHandle);
    if (!event->last || event->last->done)
        return cudaSuccess;
    cudaError_t error = run_one(event->last->stream, open_memory());
    return error == cudaSuccess ? cudaErrorNotReady : call.done(error);
}

/* ------------------------------------------------------------------ graphs */

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
    api_call call(EMULATOR_GRAPH);
    if (call.error != cudaSuccess)
        return call.error;
    CUstream_st *stream = handle ? stream_find(handle) : nullptr; /* not the default stream */
    if (!stream || stream->capture)
        return call.done(cudaErrorStreamCaptureUnsupported);
    stream->capture.reset(new capture{mode, {}, false, nullptr});
    return call.done(cudaSuccess);
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t *out) {
    api_call call(EMULATOR_GRAPH);
    CUstream_st *stream = stream_find(handle);
    *out = nullptr;
    if (!stream || !stream->capture)
        return call.done(cudaErrorInvalidValue);
    std::unique_ptr<capture> captured = std::move(stream->capture);
    if (call.error != cudaSuccess)
        return call.error;
    if (captured->invalid)
        return call.done(cudaErrorStreamCaptureInvalidated);
    *out = new CUgraph_st{std::move(captured->captured)};
    return call.done(cudaSuccess);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long) {
    api_call call(EMULATOR_GRAPH);
    if (call.error != cudaSuccess)
        return call.error;
    *out = new CUgraphExec_st{std::make_shared<const operations>(graph->operations)};
    return call.done(cudaSuccess);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t handle) {
    api_call call(EMULATOR_GRAPH);
    CUstream_st *stream = stream_find(handle);
    if (call.error != cudaSuccess)
        return call.error;
    if (!stream)
        return call.done(cudaErrorInvalidResourceHandle);
    return call.done(stream_enqueue(stream, [all = graph->operations] {
        cudaError_t error = cudaSuccess;
        for (size_t i = 0; i < all->size() && error == cudaSuccess; i++)
            error = (*all)[i]();
        return error;
    }));
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
    api_call call;
    delete graph;
    return call.done(call.error);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    api_call call;
    delete graph;
    return call.done(call.error);
}

} // extern "C"
