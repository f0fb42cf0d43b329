/* linear_bf16.cu - linear layers with bf16 weights.
 *
 * On tensor cores up to 16 rows of x come as f32 and are normed and rounded by the block; more, and
 * all before sm_80, have been rounded before. From some 16 rows on sm_90 goes by warp groups where
 * that is faster.
 *
 * A tile and a group of 32 inputs: 64 bytes an output and a row; 64 FLOPs a row and output.
 * Measured on an H200: products.csv of bench/results, docs/kernels.md. For sm_90a (rows x outputs,
 * threads: registers, shared memory at 896 inputs and all rows -> blocks a multiprocessor, by which
 * of them): few 8 x 8 and 8 x 16, 224: 72, 17 and 19 KB -> 4 (registers) few 16 x 8 and 16 x 16,
 * 224: 106 and 126, 33 and 37 KB -> 2 (registers) 32 x 32, 128: 90, 32 KB -> 4 (registers) 64 x 64,
 * 128: 164, 64 KB -> 2 128 x 128, 256: 204, 96 KB -> 1; one segment of 1,024 inputs 128 x 64, 256:
 * 160, 96 KB -> 1; more wide 32 x 64, 128: 198, 33 KB -> 2 (registers) wide 32, 64 and 96 x 128,
 * 256: 166, 229 and 247; 33, 65 and 97 KB -> 1 fmaf: 8 x 8 and 8 x 32 as those of f32, 32 x 32,
 * 128. */
#include "kernels/cuda/linear_bf16.h"
#include "kernels/cuda/linear_few.h"
#include "kernels/cuda/linear_fmaf.h"
#include "kernels/cuda/linear_product.h"
#include "kernels/cuda/linear_wide.h"

const struct linear_kernel *mill_cuda_linear_bf16(int32_t *n) {
    static constexpr struct linear_kernel kernels[] = {
        few_of<few_tile<kind_bf16, 1, 1, true, 14, 2>>({1.05f, 0.77f, 1.22f, 1.94f, 0, 1.32f, 2}),
        few_of<few_tile<kind_bf16, 1, 1, true, 20, 1>>({1.15f, 0, 2.06f, 1.30f, 0, 1.32f, 1}),
        few_of<few_tile<kind_bf16, 1, 2, false, 14, 2>>({1.28f, 0, 1.91f, 1.87f, 0, 1.46f, 2}),
        few_of<few_tile<kind_bf16, 2, 1, true, 16, 1>>({1.61f, 0.15f, 1.01f, 3.58f, 0, 0, 1}),
        few_of<few_tile<kind_bf16, 2, 2, false, 16, 1>>({0, 1.77f, 1.26f, 6.52f, 0, 1.16f, 2}),
        kernel_of<linear_tile<kind_bf16_rows, 2, 2, 2, 2, 1, 2, 4, 4>>(
            {2.68f, 2.71f, 0.62f, 1.19f, 4.64f, 0, 6}),
        kernel_of<linear_tile<kind_bf16_rows, 2, 4, 2, 4, 1, 2, 4, 2>>(
            {4.51f, 0, 1.28f, 1.83f, 6.16f, 0, 4}),
        kernel_of<linear_tile<kind_bf16_rows, 4, 4, 2, 8, 1, 2, 3, 1, false>>(
            {6.15f, 0, 2.33f, 0.98f, 0, 0, 1}),
        kernel_of<linear_tile<kind_bf16_rows, 4, 4, 2, 4, 1, 2, 4, 1>>(
            {4.59f, 0.04f, 1.58f, 0.63f, 5.60f, 0, 1}),
        /* Predicted, not measured. */
        wide_of<wide_tile<1, 32, 8, true>>({5.0f, 0.8f, 0.15f, 0.3f, 2.5f, 0, 1}),
        wide_of<wide_tile<1, 64, 8, true>>({5.0f, 0.9f, 0.25f, 0.4f, 2.5f, 0, 1}),
        wide_of<wide_tile<2, 64, 8, true>>({5.0f, 0.9f, 0.45f, 0.5f, 2.5f, 0, 1}),
        wide_of<wide_tile<2, 128, 6, true>>({5.0f, 1.2f, 0.7f, 0.7f, 3.0f, 0, 1}),
        wide_of<wide_tile<2, 192, 5, false>>({5.0f, 1.6f, 1.0f, 0.8f, 3.5f, 0, 1}),
        /* As those of f32: not measured. */
        kernel_of<linear_tile<kind_bf16_fmaf, 1, 1, 1, 1, 8, 1, 4, 2>>({4, 0, 1.2f, 0.2f, 5, 0, 2}),
        kernel_of<linear_tile<kind_bf16_fmaf, 1, 1, 1, 4, 4, 1, 4, 2>>({4, 0, 1, 2, 5, 0, 4}),
        kernel_of<linear_tile<kind_bf16_fmaf, 2, 2, 2, 2, 1, 2, 4, 2>>({4, 0, 1.5f, 1, 5, 0, 4}),
    };
    *n = sizeof kernels / sizeof *kernels;
    return kernels;
}
