/* linear_bf16.cu - linear layers with bf16 weights.
 *
 * On tensor cores few rows of x come as f32 and are normed and rounded by the block; more, and all
 * before sm_80, have been rounded before. Many rows go by warp groups on sm_90: of the others only
 * few rows are faster there, and now and then a tile; these are for sm_80.
 *
 * A tile and a group of 32 inputs: 64 bytes an output and a row; 64 FLOPs a row and output.
 * Measured on an H200: products.csv of bench/results, docs/kernels.md. For sm_90a (rows x outputs,
 * threads: registers, shared memory at 896 inputs and all rows -> blocks a multiprocessor, by which
 * of them):
 *   few 8 x 8, 128: 64, 23 KB of one row, 40 of 8; for many inputs 84, 94 KB of 4,864 and one row
 *   few 8 x 16, 224: 72, 23 KB -> 4 (registers)
 *   few 8 x 40, 224: 88, 49 KB of one row, 73 of 8 -> 2 and others (registers)
 *   few 16 x 16, 224: 96, 43 KB -> 2 (registers)
 *   32 x 32, 128: 92, 32 KB -> 5 (registers)
 *   64 x 64, 128: 164, 64 KB -> 3
 *   128 x 128, 256: 204, 96 KB -> 1; one segment of 1,024 inputs
 *   128 x 64, 256: 160, 96 KB -> 1; more
 *   wide 32 and 64 x 64, 256: 119 and 153, 106 and 138 KB -> 1 (warp groups that wait)
 *   wide 64 and 128 x 128, 384: 240 of those that multiply, 212 KB -> 1
 *   wide 256 x 128 and 128 x 256, two blocks of 384: the same
 *   fmaf: 8 x 8 and 8 x 32 as those of f32, 32 x 32, 128. */
#include "kernels/cuda/linear_bf16.h"
#include "kernels/cuda/linear_few.h"
#include "kernels/cuda/linear_fmaf.h"
#include "kernels/cuda/linear_product.h"
#include "kernels/cuda/linear_wide.h"

const struct linear_kernel *mill_cuda_linear_bf16(int32_t *n) {
    static constexpr struct linear_kernel kernels[] = {
        /* Predicted: the first two share a multiprocessor with other launches, the second for many
         * inputs; 8 x 40 is one wave of blocks for gate-up and the head. */
        few_of<few_tile<kind_bf16, 1, 1, 0, 2, 4, 64>>({1.2f, 0.9f, 0.2f, 0.65f, 0, 0.6f, 2}),
        few_of<few_tile<kind_bf16, 1, 1, 0, 5, 4, 84>>({1.6f, 1, 0.1f, 0.65f, 0, 0.6f, 1}),
        few_of<few_tile<kind_bf16, 1, 5, 2, 1, 7, 88>>({1.6f, 0, 4.2f, 1, 0, 1, 2}),
        few_of<few_tile<kind_bf16, 1, 2, 2, 1, 14, 72>>({1.61f, 0.07f, 1.95f, 1.31f, 0, 1.64f, 2}),
        few_of<few_tile<kind_bf16, 2, 2, 2, 1, 16, 96>>({0.06f, 1.83f, 1.26f, 6.56f, 0, 0.97f, 2}),
        kernel_of<linear_tile<kind_bf16_rows, 2, 2, 2, 2, 1, 2, 4, 4>>(
            {3.54f, 1.94f, 0.66f, 1.09f, 3.07f, 0, 6}),
        kernel_of<linear_tile<kind_bf16_rows, 2, 4, 2, 4, 1, 2, 4, 2>>(
            {3.96f, 0, 1.45f, 1.85f, 5.86f, 0, 4}),
        kernel_of<linear_tile<kind_bf16_rows, 4, 4, 2, 8, 1, 2, 3, 1, false>>(
            {6.79f, 0, 1.84f, 1.07f, 0, 0, 1}),
        kernel_of<linear_tile<kind_bf16_rows, 4, 4, 2, 4, 1, 2, 4, 1>>(
            {4.44f, 0.75f, 1.61f, 0.53f, 6.09f, 0, 1}),
        /* Predicted, since what was measured has changed: docs/kernels.md, "Many rows". */
        wide_of<wide_tile<1, 32, 8>>({3.44f, 0.69f, 0.20f, 0.46f, 1.50f, 0.94f, 1}),
        wide_of<wide_tile<1, 64, 8>>({3.92f, 0.69f, 0.25f, 0.40f, 1.79f, 0.91f, 1}),
        wide_of<wide_tile<2, 64, 8>>({3.74f, 1.37f, 0.39f, 0.88f, 1.45f, 0.71f, 1}),
        wide_of<wide_tile<2, 128, 6>>({4.32f, 2.18f, 0.67f, 0.99f, 5.87f, 0, 1}),
        /* Pairs of these blocks, of whose pace nothing is measured either: a full card's stages by
         * the bytes of L2, three quarters; 0.4 for beginning together. */
        wide_of<wide_tile<2, 128, 6, 2, 1>>({4.72f, 2.18f, 0.67f, 0.58f, 5.87f, 0, 1}),
        wide_of<wide_tile<2, 128, 6, 1, 2>>({4.72f, 2.18f, 0.67f, 0.58f, 5.87f, 0, 1}),
        /* As those of f32: not measured. */
        kernel_of<linear_tile<kind_bf16_fmaf, 1, 1, 1, 1, 8, 1, 4, 2>>({4, 0, 1.2f, 0.2f, 5, 0, 2}),
        kernel_of<linear_tile<kind_bf16_fmaf, 1, 1, 1, 4, 4, 1, 4, 2>>({4, 0, 1, 2, 5, 0, 4}),
        kernel_of<linear_tile<kind_bf16_fmaf, 2, 2, 2, 2, 1, 2, 4, 2>>({4, 0, 1.5f, 1, 5, 0, 4}),
    };
    *n = sizeof kernels / sizeof *kernels;
    return kernels;
}
