/* linear_i8.cu - linear layers with 8-bit weights on tensor cores: two exact integer products, of
 * the high and of the low bytes of x (linear_prepare.cu).
 *
 * A tile and a group of 64 inputs: 64 bytes an output, 128 a row; 128 FLOPs a row and output, done
 * twice. The tiles fit the 64 KB that a block of Turing can have. For sm_90a (rows x outputs,
 * threads: registers, shared memory at 896 inputs -> blocks a multiprocessor):
 *   few 8 x 8 and 8 x 16, 224: 64 and 72, 5 and 9 KB -> 4
 *   few 16 x 16, 224: 96, 18 KB -> 2
 *   32 x 32, 128: 82, 48 KB -> 4
 *   64 x 64, 128: 159, 48 KB -> 3
 *   128 x 64, 256: 153, 80 KB -> 1 */
#include "kernels/cuda/linear_few.h"
#include "kernels/cuda/linear_i8.h"
#include "kernels/cuda/linear_product.h"

const struct linear_kernel *mill_cuda_linear_i8(int32_t *n) {
    static constexpr struct linear_kernel kernels[] = {
        few_of<few_tile<kind_i8_rows, 1, 1, 1, 1, 14, 72>>(
            {1.03f, 0.58f, 2.40f, 0.89f, 0, 1.51f, 6}),
        few_of<few_tile<kind_i8_rows, 1, 2, 2, 1, 14, 72>>({3.22f, 0, 1.69f, 0.54f, 0, 0.91f, 3}),
        few_of<few_tile<kind_i8_rows, 2, 2, 2, 1, 16, 96>>({1.96f, 0, 3.25f, 2.33f, 0, 2.30f, 4}),
        kernel_of<linear_tile<kind_i8_rows, 2, 2, 2, 2, 1, 2, 4, 4>>(
            {3.92f, 1.50f, 0.83f, 0.79f, 2.54f, 0.27f, 4}),
        kernel_of<linear_tile<kind_i8_rows, 2, 4, 2, 4, 1, 2, 2, 2>>(
            {8.54f, 0.75f, 1.38f, 1.84f, 13.51f, 0.30f, 3}),
        kernel_of<linear_tile<kind_i8_rows, 4, 4, 2, 4, 1, 2, 2, 1>>(
            {5.43f, 2.02f, 2.62f, 1.02f, 8.98f, 0, 1}),
    };
    *n = sizeof kernels / sizeof *kernels;
    return kernels;
}
