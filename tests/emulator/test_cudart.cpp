/* test_cudart.cpp - the miniature run-time API: what runs when, who waits for whom, graphs, memory
 * and its limits, and calls that are made to fail. */
#include "tests/emulator/device_data.h"
#include "tests/emulator/sound_kernels.h"

#include <errno.h>
#include <string.h>
#include <string>
#include <unistd.h>

#define assert_cuda(call) assert_int_equal(call, cudaSuccess)

static int setup(void **) {
    emulator_settings settings = emulator_defaults();
    settings.quiet = true;
    emulator_configure(&settings);
    emulator_reset();
    return 0;
}

/* Pinned host memory of n ints, and a stream of its own. */
struct rig {
    int *pinned = nullptr;
    cudaStream_t stream = nullptr;
    device_data<int> y;

    explicit rig(int n) : y(std::vector<int>((size_t)n, 1)) {
        assert_cuda(cudaMallocHost(reinterpret_cast<void **>(&pinned), (size_t)n * sizeof(int)));
        assert_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
        pinned[0] = -7;
    }
    ~rig() {
        cudaStreamDestroy(stream);
        cudaFreeHost(pinned);
    }
    void copy_out() {
        assert_cuda(cudaMemcpyAsync(pinned, y.data, sizeof(int), cudaMemcpyDeviceToHost, stream));
    }
};

static void test_nothing_runs_before_somebody_waits(void **) {
    rig r(1);
    launch_increment(r.y.data, 1, r.stream);
    r.copy_out();
    assert_int_equal(r.pinned[0], -7); /* a forgotten cudaStreamSynchronize sees old data */
    assert_cuda(cudaStreamSynchronize(r.stream));
    assert_int_equal(r.pinned[0], 2);
    assert_cuda(cudaStreamQuery(r.stream));
}

static void test_polling_makes_progress(void **) {
    rig r(1);
    launch_increment(r.y.data, 1, r.stream);
    r.copy_out();
    int n_polls = 0;
    while (cudaStreamQuery(r.stream) == cudaErrorNotReady)
        n_polls++;
    assert_int_equal(n_polls, 2);
    assert_int_equal(r.pinned[0], 2);
    assert_cuda(cudaGetLastError()); /* "not ready" is none */
}

static void test_pageable_is_staged_pinned_is_not(void **) {
    rig r(1);
    int pageable = 10;
    assert_cuda(
        cudaMemcpyAsync(r.y.data, &pageable, sizeof(int), cudaMemcpyHostToDevice, r.stream));
    pageable = 20;
    r.copy_out();
    assert_cuda(cudaStreamSynchronize(r.stream));
    assert_int_equal(r.pinned[0], 10);
    assert_cuda(cudaMemcpyAsync(r.y.data, r.pinned, sizeof(int), cudaMemcpyHostToDevice, r.stream));
    r.pinned[0] = 30; /* too early */
    assert_cuda(cudaStreamSynchronize(r.stream));
    assert_int_equal(r.y.read()[0], 30);
}

static void test_events_order_streams(void **) {
    rig first(1), second(1);
    cudaEvent_t half, end;
    assert_cuda(cudaEventCreateWithFlags(&half, cudaEventDisableTiming));
    assert_cuda(cudaEventCreateWithFlags(&end, cudaEventDisableTiming));
    launch_increment(first.y.data, 1, first.stream);
    assert_cuda(cudaEventRecord(half, first.stream));
    launch_increment(first.y.data, 1, first.stream);
    assert_cuda(cudaStreamWaitEvent(second.stream, half, 0));
    assert_cuda(cudaMemcpyAsync(second.pinned, first.y.data, sizeof(int), cudaMemcpyDeviceToHost,
                                second.stream));
    assert_cuda(cudaEventRecord(end, second.stream));
    assert_int_equal(cudaEventQuery(end), cudaErrorNotReady);
    assert_cuda(cudaEventSynchronize(end));
    assert_int_equal(second.pinned[0], 2); /* the first launch, and no more than was asked for */
    assert_int_equal(cudaStreamQuery(first.stream), cudaErrorNotReady);
    assert_cuda(cudaEventDestroy(half));
    assert_cuda(cudaEventDestroy(end));
    assert_int_equal(cudaEventSynchronize(end), cudaErrorInvalidResourceHandle);
}

static void test_default_stream_is_ordered(void **) {
    device_data<int> y(std::vector<int>{1});
    cudaStream_t blocking;
    assert_cuda(cudaStreamCreate(&blocking));
    launch_increment(y.data, 1, blocking);
    assert_int_equal(y.read()[0], 2); /* the default stream waited for the other */
    rig r(1);
    launch_increment(r.y.data, 1, r.stream);
    assert_int_equal(r.y.read()[0], 1); /* not for one that does not block */
    assert_cuda(cudaStreamDestroy(blocking));
}

static void test_graph(void **) {
    rig r(100);
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    assert_cuda(cudaStreamBeginCapture(r.stream, cudaStreamCaptureModeThreadLocal));
    launch_increment(r.y.data, 100, r.stream);
    launch_increment(r.y.data, 1, r.stream);
    r.copy_out();
    assert_cuda(cudaStreamEndCapture(r.stream, &graph));
    assert_cuda(cudaStreamSynchronize(r.stream));
    assert_int_equal(r.pinned[0], -7); /* captured, not run */
    assert_cuda(cudaGraphInstantiate(&executable, graph, 0));
    assert_cuda(cudaGraphDestroy(graph));
    for (int i = 1; i <= 3; i++) {
        assert_cuda(cudaGraphLaunch(executable, r.stream));
        assert_cuda(cudaStreamSynchronize(r.stream));
        assert_int_equal(r.pinned[0], 1 + 2 * i);
    }
    assert_int_equal(r.y.read()[99], 4);
    assert_cuda(cudaGraphExecDestroy(executable));
}

static void test_capture_refuses(void **) {
    rig r(1);
    cudaGraph_t graph;
    int pageable = 0;
    assert_cuda(cudaStreamBeginCapture(r.stream, cudaStreamCaptureModeThreadLocal));
    assert_int_equal(
        cudaMemcpyAsync(r.y.data, &pageable, sizeof(int), cudaMemcpyHostToDevice, r.stream),
        cudaErrorStreamCaptureUnsupported);
    assert_int_equal(cudaStreamSynchronize(r.stream), cudaErrorStreamCaptureUnsupported);
    assert_int_equal(cudaStreamEndCapture(r.stream, &graph), cudaErrorStreamCaptureInvalidated);
    assert_null(graph);
    assert_cuda(cudaStreamBeginCapture(r.stream, cudaStreamCaptureModeGlobal));
    int *more;
    assert_int_equal(cudaMalloc(&more, 4), cudaErrorStreamCaptureUnsupported);
    assert_int_equal(cudaStreamEndCapture(r.stream, &graph), cudaErrorStreamCaptureInvalidated);
}

static void test_launch_limits(void **) {
    device_data<float> y(1);
    launch_rms_norm(y.data, y.data, y.data, 0, 1, nullptr); /* no blocks */
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidConfiguration);
    launch_rms_norm(y.data, y.data, y.data, 1, 12289, nullptr); /* 48 KiB and 4 bytes */
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidValue);
    assert_cuda(cudaGetLastError());
}

static void test_device_memory_is_bounded(void **) {
    emulator_settings settings = emulator_defaults();
    settings.quiet = true;
    settings.device_bytes = 1000;
    emulator_configure(&settings);
    size_t in_use = emulator_bytes_in_use();
    assert_int_equal(in_use, 0); /* of all tests before this one, too */
    size_t free_bytes, total_bytes;
    {
        device_data<char> most(900);
        char *more;
        assert_int_equal(cudaMalloc(&more, 101), cudaErrorMemoryAllocation);
        assert_null(more);
        assert_cuda(cudaMemGetInfo(&free_bytes, &total_bytes));
        assert_int_equal(free_bytes, 100);
        assert_int_equal(total_bytes, 1000);
    }
    assert_cuda(cudaMemGetInfo(&free_bytes, &total_bytes));
    assert_int_equal(free_bytes, 1000);
}

static void expect_report(const char *words) {
    char text[4096];
    assert_int_equal(emulator_report(text, sizeof text), 1);
    if (!strstr(text, words))
        fail_msg("the report does not say '%s': %s", words, text);
    emulator_reset();
}

static void test_wrong_copies_are_told(void **) {
    rig r(4);
    int host[8] = {};
    assert_int_equal(cudaMemcpy(r.y.data, host, 20, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    expect_report("a copy of 20 bytes: its destination");
    assert_int_equal(cudaMemcpy(host, host, 4, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
    expect_report("its source should be device memory");
    assert_int_equal(cudaFree(r.y.data + 1), cudaErrorInvalidValue);
    expect_report("was not allocated");
    int *freed;
    assert_cuda(cudaMalloc(&freed, 4));
    assert_cuda(cudaFree(freed));
    assert_int_equal(cudaMemset(freed, 0, 4), cudaErrorInvalidValue);
    expect_report("in a freed allocation of 4 bytes");
}

/* The host's own accesses fault; asked of the kernel, which answers in place of a signal. */
static void test_host_cannot_touch_device_memory(void **) {
    rig r(1);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], r.y.data, sizeof(int)), -1);
    assert_int_equal(errno, EFAULT);
    launch_increment(r.y.data, 1, r.stream);
    assert_cuda(cudaStreamSynchronize(r.stream));
    assert_int_equal(write(ends[1], r.y.data, sizeof(int)), -1);
    assert_int_equal(write(ends[1], r.pinned, sizeof(int)), sizeof(int));
    close(ends[0]);
    close(ends[1]);
}

static void test_faults(void **) {
    rig r(1);
    int *more;
    emulator_fault(EMULATOR_ALLOCATION, 2, cudaErrorMemoryAllocation, false);
    assert_cuda(cudaMalloc(&more, 4));
    assert_cuda(cudaFree(more));
    assert_int_equal(cudaMalloc(&more, 4), cudaErrorMemoryAllocation);
    assert_int_equal(cudaGetLastError(), cudaErrorMemoryAllocation);
    emulator_fault(EMULATOR_LAUNCH, 1, cudaErrorLaunchOutOfResources, false);
    launch_increment(r.y.data, 1, r.stream);
    assert_int_equal(cudaGetLastError(), cudaErrorLaunchOutOfResources);
    launch_increment(r.y.data, 1, r.stream);
    assert_cuda(cudaGetLastError());
    emulator_fault(EMULATOR_SYNCHRONIZE, 1, cudaErrorECCUncorrectable, true);
    assert_int_equal(cudaStreamSynchronize(r.stream), cudaErrorECCUncorrectable);
    int device;
    assert_int_equal(cudaSetDevice(0), cudaErrorECCUncorrectable); /* for ever */
    assert_int_equal(cudaMalloc(&more, 4), cudaErrorECCUncorrectable);
    emulator_reset();
    assert_cuda(cudaSetDevice(0));
    assert_cuda(cudaGetDevice(&device));
    assert_cuda(cudaStreamSynchronize(r.stream));
    assert_int_equal(r.y.read()[0], 2);
}

static void test_devices(void **) {
    emulator_settings settings = emulator_defaults();
    settings.n_devices = 0;
    emulator_configure(&settings);
    int count = 5;
    assert_int_equal(cudaGetDeviceCount(&count), cudaErrorNoDevice);
    assert_int_equal(count, 5);
    settings.n_devices = 2;
    settings.capability = 75;
    emulator_configure(&settings);
    assert_cuda(cudaGetDeviceCount(&count));
    assert_int_equal(count, 2);
    assert_int_equal(cudaSetDevice(2), cudaErrorInvalidDevice);
    cudaDeviceProp properties;
    assert_cuda(cudaGetDeviceProperties(&properties, 1));
    assert_int_equal(properties.major, 7);
    assert_int_equal(properties.minor, 5);
    rig r(1);
    assert_cuda(cudaSetDevice(1));
    launch_increment(r.y.data, 1, r.stream); /* a stream of the other device */
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidResourceHandle);
    assert_cuda(cudaSetDevice(0));
    assert_string_equal(cudaGetErrorName(cudaErrorNotReady), "cudaErrorNotReady");
}

int main() {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nothing_runs_before_somebody_waits, setup),
        cmocka_unit_test_setup(test_polling_makes_progress, setup),
        cmocka_unit_test_setup(test_pageable_is_staged_pinned_is_not, setup),
        cmocka_unit_test_setup(test_events_order_streams, setup),
        cmocka_unit_test_setup(test_default_stream_is_ordered, setup),
        cmocka_unit_test_setup(test_graph, setup),
        cmocka_unit_test_setup(test_capture_refuses, setup),
        cmocka_unit_test_setup(test_launch_limits, setup),
        cmocka_unit_test_setup(test_device_memory_is_bounded, setup),
        cmocka_unit_test_setup(test_wrong_copies_are_told, setup),
        cmocka_unit_test_setup(test_host_cannot_touch_device_memory, setup),
        cmocka_unit_test_setup(test_faults, setup),
        cmocka_unit_test_setup(test_devices, setup),
    };
    return cmocka_run_group_tests_name("cudart", tests, nullptr, nullptr);
}
