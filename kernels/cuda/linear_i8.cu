/* linear_i8.cu - linear layers with 8-bit weights on tensor cores: two exact integer products, of
 * the high and of the low bytes of x (linear_prepare.cu).
 *
 * A tile and a group of 64 inputs: 64 bytes an output, 128 a row; 128 FLOPs a row and output, done
 * twice. The tiles fit the 64 KB that a block of Turing can have. For sm_90a (rows x outputs,
 * threads: registers, shared memory at 896 inputs -> blocks a multiprocessor):
 *   few 8 x 8 and 8 x 16, 224: 60 and 70, 4 and 7 KB -> 4
 *   few 16 x 8 and 16 x 16, 224: 78 and 86, 7 and 14 KB -> 3
 *   32 x 32, 128: 82, 48 KB -> 4
 *   64 x 64, 128: 159, 48 KB -> 3
 *   128 x 64, 256: 153, 80 KB -> 1 */
#include "kernels/cuda/linear_few.h"
#include "kernels/cuda/linear_i8.h"
#include "kernels/cuda/linear_product.h"

const struct linear_kernel *mill_cuda_linear_i8(int32_t *n) {
    static constexpr struct linear_kernel kernels[] = {
        few_of<few_tile<kind_i8_rows, 1, 1, true, 14, 2>>({2.11f, 0, 2.09f, 0.70f, 0, 1.20f, 6}),
        few_of<few_tile<kind_i8_rows, 1, 2, false, 14, 2>>({2.61f, 0, 1.96f, 0.16f, 0, 1.24f, 3}),
        few_of<few_tile<kind_i8_rows, 2, 1, true, 16, 1>>({2.64f, 0, 1.86f, 0.39f, 0, 0.88f, 3}),
        few_of<few_tile<kind_i8_rows, 2, 2, false, 16, 1>>({2.28f, 0, 2.40f, 1.26f, 0, 1.05f, 4}),
        kernel_of<linear_tile<kind_i8_rows, 2, 2, 2, 2, 1, 2, 4, 4>>(
            {4.00f, 2.01f, 0.63f, 1.01f, 2.75f, 0, 4}),
        kernel_of<linear_tile<kind_i8_rows, 2, 4, 2, 4, 1, 2, 2, 2>>(
            {7.92f, 0.39f, 1.51f, 2.71f, 4.97f, 0, 3}),
        kernel_of<linear_tile<kind_i8_rows, 4, 4, 2, 4, 1, 2, 2, 1>>(
            {4.89f, 2.82f, 2.62f, 1.21f, 3.89f, 0, 1}),
    };
    *n = sizeof kernels / sizeof *kernels;
    return kernels;
}
