/* linear_i8.cu - linear layers with 8-bit weights on tensor cores: two exact integer products, of
 * the high and of the low bytes of x (linear_prepare.cu).
 *
 * A tile and a group of 64 inputs: 64 bytes an output, 128 a row; 128 FLOPs a row and output, done
 * twice. The tiles for few rows fit the 64 KB that a block of Turing can have. Planned for sm_90a
 * (rows x outputs, threads: registers, shared memory at 896 inputs -> blocks a multiprocessor):
 *   8 x 8, 256: 100, 52 KB -> 2
 *   8 x 32, 128: 102, 56 KB -> 4
 *   16 x 32, 128: 112, 48 KB -> 4
 *   32 x 32, 128: 82, 48 KB -> 4
 *   64 x 64, 128: 159, 48 KB -> 3
 *   128 x 64, 256: 153, 80 KB -> 1 */
#include "kernels/cuda/linear_i8.h"
#include "kernels/cuda/linear_product.h"

const struct linear_kernel *mill_cuda_linear_i8(int32_t *n) {
    static constexpr struct linear_kernel kernels[] = {
        kernel_of<linear_tile<kind_i8_rows, 1, 1, 1, 1, 8, 1, 4, 2>>(),
        kernel_of<linear_tile<kind_i8_rows, 1, 1, 1, 4, 4, 1, 4, 4>>(),
        kernel_of<linear_tile<kind_i8_rows, 1, 2, 1, 4, 4, 1, 2, 3>>(),
        kernel_of<linear_tile<kind_i8_rows, 2, 2, 2, 2, 1, 2, 4, 4>>(),
        kernel_of<linear_tile<kind_i8_rows, 2, 4, 2, 4, 1, 2, 2, 2>>(),
        kernel_of<linear_tile<kind_i8_rows, 4, 4, 2, 4, 1, 2, 2, 1>>(),
    };
    *n = sizeof kernels / sizeof *kernels;
    return kernels;
}
