/* test_checker.cpp - the checker finds what is planted in defect_kernels.cu, names its line, in
 * every order; and has nothing to say of kernels without a fault. */
#include "tests/emulator/defect_kernels.h"
#include "tests/emulator/device_data.h"
#include "tests/emulator/sound_kernels.h"

#include <set>
#include <stdio.h>
#include <string.h>
#include <string>

/* ------------------------------------------------------------------ planted defects */

std::vector<defect_kernel> &defect_kernels() {
    static std::vector<defect_kernel> kernels;
    return kernels;
}

/* "defect_kernels.cu:12" of every line marked DEFECT in the kernel. */
static std::set<std::string> marked_lines(const defect_kernel &kernel) {
    std::string name = strrchr(kernel.file, '/') + 1;
    FILE *source = fopen((MILL_TEST_SOURCES "/" + name).c_str(), "r");
    assert_non_null(source);
    std::set<std::string> lines;
    char text[512];
    bool in_kernel = false;
    for (int number = 1; fgets(text, sizeof text, source); number++) {
        std::string line = text;
        if (line.rfind("DEFECT_", 0) == 0)
            in_kernel = line.find("(" + std::string(kernel.name) + ",") != std::string::npos;
        if (in_kernel && line.find("/* DEFECT */") != std::string::npos)
            lines.insert(name + ":" + std::to_string(number));
    }
    fclose(source);
    return lines;
}

static bool says_any(const std::string &text, const std::set<std::string> &words) {
    for (const std::string &word : words)
        if (text.find(word) != std::string::npos)
            return true;
    return false;
}

static std::string run_defect(const defect_kernel &kernel) {
    device_data<float> x(std::vector<float>(256, 1.5f)), y(256);
    device_data<unsigned> count(std::vector<unsigned>{0});
    bool reads_y = std::string(kernel.name) == "source_changes_under_copy";
    if (reads_y)
        assert_int_equal(cudaMemset(y.data, 0, 1024), cudaSuccess);
    emulator_reset();
    kernel.launch({y.data, x.data, count.data}, nullptr);
    if (cudaDeviceSynchronize() == cudaSuccess)
        return "";
    char text[8192];
    emulator_report(text, sizeof text);
    return text;
}

static void test_defects(void **) {
    int n_missed = 0;
    for (const defect_kernel &kernel : defect_kernels()) {
        std::set<std::string> lines = marked_lines(kernel);
        assert_true(lines.size() > 0);
        in_all_orders([&] {
            std::string text = run_defect(kernel);
            if (text.find(kernel.words) != std::string::npos && says_any(text, lines))
                return;
            n_missed++;
            print_error("%s: '%s' at %s expected, but: %s\n", kernel.name, kernel.words,
                        lines.begin()->c_str(), text.c_str());
        });
    }
    assert_true(defect_kernels().size() >= 56);
    assert_int_equal(n_missed, 0);
}

/* Addresses that stay no longer than a call. */
static void expect_report(const char *words) {
    char text[4096];
    assert_int_not_equal(cudaDeviceSynchronize(), cudaSuccess);
    assert_int_equal(emulator_report(text, sizeof text), 1);
    if (!strstr(text, words))
        fail_msg("the report does not say '%s': %s", words, text);
    emulator_reset();
}

static void test_wrong_pointers(void **) {
    emulator_reset();
    std::vector<int> host(64);
    launch_increment(host.data(), 64, nullptr);
    expect_report("which is host memory");
    int *freed;
    {
        device_data<int> data(std::vector<int>(64, 0));
        freed = data.data;
    }
    launch_increment(freed, 64, nullptr);
    expect_report("in a freed allocation of 256 bytes");
    int *pinned;
    assert_int_equal(cudaMallocHost(reinterpret_cast<void **>(&pinned), 4), cudaSuccess);
    assert_int_equal(cudaMemset(pinned, 0, 4), cudaErrorInvalidValue); /* no device memory */
    emulator_reset();
    launch_increment(pinned, 1, nullptr); /* allowed, but not written by the host's memory */
    expect_report("that nobody wrote");
    cudaFreeHost(pinned);
}

/* ------------------------------------------------------------------ no false alarms */

template <class Launch> static void expect_silence(const char *name, Launch launch) {
    in_all_orders([&] {
        emulator_reset();
        launch();
        cudaError_t error = cudaDeviceSynchronize();
        char text[4096];
        if (emulator_report(text, sizeof text) > 0 || error != cudaSuccess)
            fail_msg("%s: %s: %s", name, cudaGetErrorName(error), text);
    });
}

static void test_sound_kernels(void **) {
    device_data<uint16_t> a(std::vector<uint16_t>(200 * 136, 0x3f80)),
        b(std::vector<uint16_t>(130 * 136, 0x3f80));
    device_data<float> c(200 * 130), x(std::vector<float>(1024, 1)), y(1024);
    device_data<int> ints(std::vector<int>(1024, 1)), sums(64);
    device_data<int8_t> bytes(std::vector<int8_t>(512, 3));
    device_data<int32_t> products(128);
    device_data<unsigned> out(6);
    expect_silence("gemm",
                   [&] { launch_gemm_bf16(c.data, a.data, b.data, 200, 130, 136, nullptr); });
    expect_silence("mma",
                   [&] { launch_mma_s8(products.data, bytes.data, bytes.data, false, nullptr); });
    expect_silence("norm", [&] { launch_rms_norm(y.data, x.data, x.data, 3, 300, nullptr); });
    expect_silence("half warps",
                   [&] { launch_half_warp_sums(sums.data, ints.data, 1000, nullptr); });
    expect_silence("last block", [&] {
        device_data<unsigned> count(std::vector<unsigned>{0});
        launch_last_block_sum(y.data, c.data, count.data, x.data, 700, nullptr);
        cudaStreamSynchronize(nullptr);
    });
    expect_silence("named barriers",
                   [&] { launch_producer_consumer(y.data, x.data, 160, nullptr); });
    expect_silence("syncwarp", [&] { launch_warp_reverse(sums.data, ints.data, 64, nullptr); });
    expect_silence("flag", [&] { launch_spin_on_flag(sums.data, ints.data, nullptr); });
    expect_silence("votes", [&] { launch_votes(out.data, nullptr); });
    expect_silence("wgmma, stored",
                   [&] { launch_wgmma_stored(c.data, a.data, b.data, 256, nullptr); });
    expect_silence("wgmma, pipeline",
                   [&] { launch_wgmma_pipeline(c.data, a.data, b.data, 320, nullptr); });
    expect_silence("cluster", [&] { launch_cluster_sums(y.data, x.data, 5, 4, nullptr); });
    expect_silence("cluster, flag", [&] {
        device_data<unsigned> count(std::vector<unsigned>{0});
        launch_cluster_flag(sums.data, ints.data, count.data, nullptr);
        cudaStreamSynchronize(nullptr);
    });
    expect_silence("early", [&] { launch_early_sums(y.data, x.data, nullptr); });
    expect_silence("two launches", [&] {
        launch_increment(ints.data, 1000, nullptr);
        launch_increment(ints.data, 1000, nullptr);
    });
}

int main() {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defects),
        cmocka_unit_test(test_wrong_pointers),
        cmocka_unit_test(test_sound_kernels),
    };
    return cmocka_run_group_tests_name("checker", tests, nullptr, nullptr);
}
