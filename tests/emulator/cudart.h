/* cudart.h - what the files of the miniature run-time API share: the one lock, injected faults, and
 * streams as queues.
 *
 * Nothing that is enqueued runs until somebody synchronises with it, or polls for it: a host that
 * forgets to wait reads old data, every time. */
#ifndef MILL_TESTS_EMULATOR_CUDART_H
#define MILL_TESTS_EMULATOR_CUDART_H

#include "tests/emulator/block.h"
#include "tests/emulator/emulator.h"

#include <cuda_runtime.h>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace emulator {

/* A call of the API: holds the lock, counts, and has the error that was asked for, if any. */
struct api_call {
    std::lock_guard<std::mutex> lock;
    cudaError_t error;

    api_call(); /* of a kind that no fault names */
    explicit api_call(emulator_call kind);
    /* The call's result, which cudaGetLastError sees too. */
    cudaError_t done(cudaError_t result);
};

/* Of all that follows: under the lock. */

const emulator_settings &settings();
int current_device(); /* the calling thread's */

/* A point in a stream's order. */
struct record {
    CUstream_st *stream;
    bool done;
};

struct operation {
    std::function<cudaError_t()> run; /* may be empty */
    std::shared_ptr<record> after;    /* has to be done before */
    std::shared_ptr<record> mark;     /* is done behind it */
};

using operations = std::vector<std::function<cudaError_t()>>;

struct capture {
    cudaStreamCaptureMode mode;
    operations captured;
    bool invalid;
    std::shared_ptr<launch_chain> chain; /* NULL: what came last was no launch */
};

} // namespace emulator

struct CUstream_st {
    int device;
    bool blocking; /* ordered with the default stream */
    std::deque<emulator::operation> queue;
    std::unique_ptr<emulator::capture> capture;
    std::shared_ptr<emulator::launch_chain> chain; /* as a capture's */
};
struct CUevent_st {
    int device;
    std::shared_ptr<emulator::record> last; /* NULL: never recorded */
};
struct CUgraph_st {
    emulator::operations operations;
};
struct CUgraphExec_st {
    std::shared_ptr<const emulator::operations> operations;
};

namespace emulator {

/* NULL stands for the current device's default stream; NULL comes back for what is no stream. */
CUstream_st *stream_find(cudaStream_t);
/* Appends to the stream, or to the graph it is captured into. */
cudaError_t stream_enqueue(CUstream_st *, std::function<cudaError_t()>);
/* Runs what the streams of a device have. */
cudaError_t device_run(int device);
/* True, and the capture is spoiled, when the calling thread must not do what waits or allocates. */
bool capture_forbids();

} // namespace emulator

#endif
