/* linear_f32.cu - linear layers with f32 weights, multiplied by fmaf.
 *
 * A tile and a group of 16 inputs: 64 bytes an output and a row; 32 FLOPs a row and output. Planned
 * for sm_90a (rows x outputs, threads: registers, shared memory at 896 inputs -> blocks a
 * multiprocessor):
 *   8 x 8, 256: 90, 36 KB -> 2
 *   8 x 32, 128: 128, 44 KB -> 4
 *   32 x 32, 128: 128, 32 KB -> 4 */
#include "kernels/cuda/linear_fmaf.h"
#include "kernels/cuda/linear_product.h"

const struct linear_kernel *mill_cuda_linear_f32(int32_t *n) {
    /* Paces by a few of test_operators' timings only. */
    static constexpr struct linear_kernel kernels[] = {
        kernel_of<linear_tile<kind_f32, 1, 1, 1, 1, 8, 1, 4, 2>>({4, 0, 1.2f, 0.2f, 5, 0, 2}),
        kernel_of<linear_tile<kind_f32, 1, 1, 1, 4, 4, 1, 4, 2>>({4, 0, 1, 2, 5, 0, 4}),
        kernel_of<linear_tile<kind_f32, 2, 2, 2, 2, 1, 2, 4, 2>>({4, 0, 1.5f, 1, 5, 0, 4}),
    };
    *n = sizeof kernels / sizeof *kernels;
    return kernels;
}
