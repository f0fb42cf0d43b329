/* test_emulator.cpp - kernels without a fault give the right results in every order, and what is
 * wrong with a kernel or a call is told. */
#include "tests/emulator/device_data.h"
#include "tests/emulator/faulty_kernels.h"
#include "tests/emulator/sound_kernels.h"

#include "kernels/cuda/hopper.h"

#include <math.h>
#include <string>

/* ------------------------------------------------------------------ results in every order */

static void check_gemm(int m, int n, int k) {
    uint32_t random = 1;
    std::vector<uint16_t> a((size_t)(m * k)), b((size_t)(n * k));
    for (uint16_t &value : a)
        value = f32_to_bf16(uniform(&random));
    for (uint16_t &value : b)
        value = f32_to_bf16(uniform(&random));
    device_data<uint16_t> device_a(a), device_b(b);
    device_data<float> device_c((size_t)(m * n));
    launch_gemm_bf16(device_c.data, device_a.data, device_b.data, m, n, k, nullptr);
    std::vector<float> c = device_c.read();
    for (int row = 0; row < m; row++)
        for (int column = 0; column < n; column++) {
            double sum = 0;
            for (int i = 0; i < k; i++)
                sum += (double)bf16_to_f32(a[(size_t)(row * k + i)]) *
                       bf16_to_f32(b[(size_t)(column * k + i)]);
            assert_true(fabs(c[(size_t)(row * n + column)] - sum) <= 1e-5);
        }
}

static void test_gemm(void **) {
    in_all_orders([] {
        check_gemm(64, 64, 32);
        check_gemm(70, 130, 136); /* five steps, the last one and the tiles cut off */
    });
}

template <class A> static void check_mma_s8() {
    uint32_t random = 2;
    std::vector<A> a(16 * 32);
    std::vector<int8_t> b(8 * 32);
    for (A &value : a)
        value = (A)(int)(256 * uniform(&random));
    for (int8_t &value : b)
        value = (int8_t)(128 * uniform(&random));
    device_data<A> device_a(a);
    device_data<int8_t> device_b(b);
    device_data<int32_t> device_d(16 * 8);
    launch_mma_s8(device_d.data, device_a.data, device_b.data, (A)-1 > 0, nullptr);
    std::vector<int32_t> d = device_d.read();
    for (size_t row = 0; row < 16; row++)
        for (size_t column = 0; column < 8; column++) {
            int32_t sum = 0;
            for (size_t i = 0; i < 32; i++)
                sum += a[row * 32 + i] * b[column * 32 + i];
            assert_int_equal(d[row * 8 + column], sum);
        }
}

static void test_mma_s8(void **) {
    in_all_orders([] {
        check_mma_s8<int8_t>();
        check_mma_s8<uint8_t>();
    });
}

static void test_rms_norm(void **) {
    const size_t rows = 3, columns = 300;
    uint32_t random = 3;
    std::vector<float> x(rows * columns), gain(columns);
    for (float &value : x)
        value = uniform(&random);
    for (float &value : gain)
        value = uniform(&random);
    in_all_orders([&] {
        device_data<float> device_x(x), device_gain(gain), device_y(x.size());
        launch_rms_norm(device_y.data, device_x.data, device_gain.data, rows, columns, nullptr);
        std::vector<float> y = device_y.read();
        for (size_t row = 0; row < rows; row++) {
            double sum = 0;
            for (size_t i = 0; i < columns; i++)
                sum += (double)x[row * columns + i] * x[row * columns + i];
            for (size_t i = 0; i < columns; i++) {
                double expected = x[row * columns + i] / sqrt(sum / columns + 1e-6) * gain[i];
                assert_true(fabs(y[row * columns + i] - expected) <= 1e-6);
            }
        }
    });
}

static void test_half_warps(void **) {
    std::vector<int> x(200);
    for (size_t i = 0; i < x.size(); i++)
        x[i] = (int)(i * i);
    in_all_orders([&] {
        device_data<int> device_x(x), sums(13);
        launch_half_warp_sums(sums.data, device_x.data, (int)x.size(), nullptr);
        std::vector<int> actual = sums.read();
        for (size_t group = 0; group < 13; group++) {
            int sum = 0;
            for (size_t i = 16 * group; i < 16 * (group + 1) && i < x.size(); i++)
                sum += x[i];
            assert_int_equal(actual[group], sum);
        }
    });
}

static void test_last_block(void **) {
    std::vector<float> x(700, 0.5f);
    in_all_orders([&] {
        device_data<float> device_x(x), parts(6), total(1);
        device_data<unsigned> count(std::vector<unsigned>{0});
        launch_last_block_sum(total.data, parts.data, count.data, device_x.data, (int)x.size(),
                              nullptr);
        assert_true(total.read()[0] == 350);
    });
}

static void test_named_barriers(void **) {
    std::vector<float> x(160);
    for (size_t i = 0; i < x.size(); i++)
        x[i] = (float)i;
    in_all_orders([&] {
        device_data<float> device_x(x), y(x.size());
        launch_producer_consumer(y.data, device_x.data, (int)x.size(), nullptr);
        std::vector<float> actual = y.read();
        for (size_t i = 0; i < x.size(); i++)
            assert_true(actual[i] == 2 * x[i] + 1);
    });
}

static void test_warp_exchange(void **) {
    in_all_orders([] {
        device_data<int> x(std::vector<int>(64, 7)), y(64), one(1);
        launch_warp_reverse(y.data, x.data, 64, nullptr);
        assert_true(y.read() == std::vector<int>(64, 7));
        launch_spin_on_flag(one.data, x.data, nullptr);
        assert_int_equal(one.read()[0], 8);
    });
}

/* Pieces of 8 columns, those of successive rows side by side. */
static std::vector<uint16_t> as_planes(const std::vector<uint16_t> &matrix, size_t rows, size_t k) {
    std::vector<uint16_t> planes(rows * k);
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0; i < k; i++)
            planes[(i / 8 * rows + row) * 8 + i % 8] = matrix[row * k + i];
    return planes;
}

static void test_wgmma(void **) {
    const size_t m = 64, n = 32, k = 320; /* five stages */
    uint32_t random = 4;
    std::vector<uint16_t> a(m * k), b(n * k);
    for (uint16_t &value : a)
        value = f32_to_bf16(uniform(&random));
    for (uint16_t &value : b)
        value = f32_to_bf16(uniform(&random));
    in_all_orders([&] {
        device_data<uint16_t> rows_a(a), rows_b(b), planes_b(as_planes(b, n, k));
        device_data<float> stored(m * n), piped(m * n);
        launch_wgmma_stored(stored.data, rows_a.data, rows_b.data, k, nullptr);
        launch_wgmma_pipeline(piped.data, rows_a.data, planes_b.data, k, nullptr);
        std::vector<float> first = stored.read(), second = piped.read();
        for (size_t i = 0; i < m * n; i++) {
            double sum = 0;
            for (size_t p = 0; p < k; p++)
                sum += (double)bf16_to_f32(a[i / n * k + p]) * bf16_to_f32(b[i % n * k + p]);
            assert_true(fabs(first[i] - sum) <= 1e-5);
            assert_true(second[i] == first[i]);
        }
    });
}

static void test_clusters(void **) {
    const size_t n = 64;
    const int n_steps = 5, n_blocks = 6;
    std::vector<float> x(n_steps * n);
    for (size_t i = 0; i < x.size(); i++)
        x[i] = (float)(i * i % 97);
    in_all_orders([&] {
        device_data<float> in(x), out(n_blocks * n);
        launch_cluster_sums(out.data, in.data, n_steps, n_blocks, nullptr);
        std::vector<float> y = out.read();
        for (size_t i = 0; i < y.size(); i++) {
            float sum = 0;
            for (size_t step = 0; step < n_steps; step++)
                sum += x[step * n + i % n];
            assert_true(y[i] == sum);
        }
        launch_cluster_sums(out.data, in.data, n_steps, n_blocks - 1, nullptr);
        assert_int_equal(cudaGetLastError(), cudaErrorInvalidClusterSize);
        device_data<unsigned> count(std::vector<unsigned>{0});
        device_data<int> seven(std::vector<int>{7}), two(2);
        launch_cluster_flag(two.data, seven.data, count.data, nullptr);
        assert_true(two.read() == std::vector<int>({7, 8}));
    });
}

static void test_votes(void **) {
    in_all_orders([] {
        device_data<unsigned> out(3);
        launch_votes(out.data, nullptr);
        std::vector<unsigned> expected = {0xaaaaaaaa, 1, 0};
        assert_true(out.read() == expected);
    });
}

/* ------------------------------------------------------------------ what is wrong is told */

/* The launch fails with this error, and the report says all of `words`. */
template <class Launch>
static void expect_failure(cudaError_t error, std::vector<std::string> words, Launch launch) {
    in_all_orders([&] {
        emulator_reset();
        launch();
        assert_int_equal(cudaGetLastError(), cudaSuccess);
        assert_int_equal(cudaDeviceSynchronize(), error);
        assert_int_equal(cudaGetLastError(), error);
        assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
        char text[4096];
        assert_true(emulator_report(text, sizeof text) > 0);
        for (const std::string &word : words)
            if (!strstr(text, word.c_str()))
                fail_msg("the report does not say '%s': %s", word.c_str(), text);
    });
}

static void test_barrier_failures(void **) {
    device_data<int> y(64);
    auto on_y = [&](void (*launch)(int *, cudaStream_t)) {
        return [&y, launch] { launch(y.data, nullptr); };
    };
    expect_failure(cudaErrorLaunchFailure, {"another __syncthreads", "faulty_kernels.cu:"},
                   on_y(launch_two_barriers));
    expect_failure(cudaErrorLaunchFailure, {"__syncthreads"}, on_y(launch_early_return));
    expect_failure(cudaErrorLaunchTimeout,
                   {"deadlock", "32 threads (0 to 31) wait in barrier_sync",
                    "faulty_kernels.cu:", "32 threads (32 to 63) wait in __syncthreads"},
                   on_y(launch_barrier_deadlock));
    expect_failure(cudaErrorLaunchTimeout, {"never comes"}, on_y(launch_endless_spin));
    expect_failure(cudaErrorLaunchFailure, {"early_without_wait", "ends without grid_wait"},
                   on_y(launch_early_without_wait));
}

static void test_warp_failures(void **) {
    device_data<int> y(64);
    auto on_y = [&](void (*launch)(int *, cudaStream_t)) {
        return [&y, launch] { launch(y.data, nullptr); };
    };
    expect_failure(cudaErrorLaunchFailure, {"not in the mask", "__shfl_sync"},
                   on_y(launch_shuffle_outside_mask));
    expect_failure(cudaErrorLaunchFailure, {"is not in its mask", "__ballot_sync"},
                   on_y(launch_vote_without_own_lane));
    expect_failure(cudaErrorLaunchFailure, {"from the kernel"}, on_y(launch_lane_returns));
    expect_failure(cudaErrorLaunchFailure, {"meets lanes that wait in"},
                   on_y(launch_different_operations));
}

static void test_memory_failures(void **) {
    device_data<int> y(64);
    auto on_y = [&](void (*launch)(int *, cudaStream_t)) {
        return [&y, launch] { launch(y.data, nullptr); };
    };
    expect_failure(cudaErrorIllegalAddress, {"past the end of an allocation of 256"},
                   on_y(launch_far_write));
    expect_failure(cudaErrorIllegalAddress, {"behind an allocation of 260 bytes", "near_write"},
                   [] {
                       static device_data<int> odd(65);
                       launch_near_write(odd.data + 65, nullptr);
                   });
    expect_failure(cudaErrorIllegalAddress, {"behind 'few'"}, on_y(launch_shared_overrun));
    expect_failure(cudaErrorMisalignedAddress, {"ldmatrix", "misaligned"},
                   on_y(launch_misaligned_rows));
    expect_failure(cudaErrorLaunchFailure, {"divides by zero"}, on_y(launch_division_by_zero));
}

int main() {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_mma_s8),
        cmocka_unit_test(test_rms_norm),
        cmocka_unit_test(test_half_warps),
        cmocka_unit_test(test_last_block),
        cmocka_unit_test(test_named_barriers),
        cmocka_unit_test(test_warp_exchange),
        cmocka_unit_test(test_votes),
        cmocka_unit_test(test_wgmma),
        cmocka_unit_test(test_clusters),
        cmocka_unit_test(test_barrier_failures),
        cmocka_unit_test(test_warp_failures),
        cmocka_unit_test(test_memory_failures),
    };
    return cmocka_run_group_tests_name("emulator", tests, nullptr, nullptr);
}
