/* device_data.h - what the emulator's tests share: arrays on the device with the host's copy, and
 * the three orders. */
#ifndef MILL_TESTS_EMULATOR_DEVICE_DATA_H
#define MILL_TESTS_EMULATOR_DEVICE_DATA_H

#include "tests/emulator/emulator.h"

#include <cuda_runtime_api.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <vector>

extern "C" {
#include <cmocka.h>
}

/* An array of device memory; frees itself. */
template <class T> struct device_data {
    T *data = nullptr;
    size_t n;

    explicit device_data(size_t n_) : n(n_) {
        assert_int_equal(cudaMalloc(&data, n * sizeof(T)), cudaSuccess);
    }
    explicit device_data(const std::vector<T> &from) : device_data(from.size()) {
        assert_int_equal(cudaMemcpy(data, from.data(), n * sizeof(T), cudaMemcpyHostToDevice),
                         cudaSuccess);
    }
    device_data(const device_data &) = delete;
    ~device_data() {
        cudaFree(data);
    }
    std::vector<T> read() const {
        std::vector<T> values(n);
        assert_int_equal(cudaMemcpy(values.data(), data, n * sizeof(T), cudaMemcpyDeviceToHost),
                         cudaSuccess);
        return values;
    }
};

/* Calls `body` in each order, and random with several seeds. */
template <class Body> void in_all_orders(Body body) {
    emulator_settings settings = emulator_defaults();
    settings.quiet = true;
    for (uint64_t i = 0; i < 5; i++) {
        settings.order = i < 2 ? (emulator_order)i : EMULATOR_RANDOM;
        settings.seed = i;
        emulator_configure(&settings);
        body();
    }
}

inline float uniform(uint32_t *random) {
    *random = *random * 1664525 + 1013904223;
    return (float)(*random >> 8) / (float)(1 << 23) - 1;
}

#endif
