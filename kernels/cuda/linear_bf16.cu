/* linear_bf16.cu - linear layers with bf16 weights.
 *
 * On tensor cores few rows of x come as f32 and are normed and rounded between shared memory and
 * registers; many, and all before sm_80, have been rounded before.
 *
 * A tile and a group of 32 inputs: 64 bytes an output, 128 (f32) or 64 a row; 64 FLOPs a row and
 * output. Planned for sm_90a (rows x outputs, threads: registers, shared memory at 896 inputs ->
 * blocks a multiprocessor, by which of them):
 *   8 x 8, 256: 96, 50 KB -> 2 (registers); 48 KB of copies on their way
 *   8 x 32, 128: 110, 52 KB -> 4 (shared)
 *   16 x 32, 128: 108, 72 KB -> 3 (shared)
 *   32 x 32, 128: 96 or 90, 48 or 32 KB -> 4 (shared, registers)
 *   64 x 64, 128: 200 or 164, 96 or 64 KB -> 2
 *   128 x 128, 256: 204, 96 KB -> 1; one segment of 1,024 inputs
 *   128 x 64, 256: 160, 96 KB -> 1; more
 * fmaf: 8 x 8 and 8 x 32 as above, 32 x 32, 128. */
#include "kernels/cuda/linear_bf16.h"
#include "kernels/cuda/linear_fmaf.h"
#include "kernels/cuda/linear_product.h"

const struct linear_kernel *mill_cuda_linear_bf16(int32_t *n) {
    static constexpr struct linear_kernel kernels[] = {
        kernel_of<linear_tile<kind_bf16, 1, 1, 1, 1, 8, 1, 8, 2>>(),
        kernel_of<linear_tile<kind_bf16, 1, 1, 1, 4, 4, 1, 4, 4>>(),
        kernel_of<linear_tile<kind_bf16, 1, 2, 1, 4, 4, 1, 4, 3>>(),
        kernel_of<linear_tile<kind_bf16, 2, 2, 2, 2, 1, 2, 4, 4>>(),
        kernel_of<linear_tile<kind_bf16, 2, 4, 2, 4, 1, 2, 4, 2>>(),
        kernel_of<linear_tile<kind_bf16_rows, 2, 2, 2, 2, 1, 2, 4, 4>>(),
        kernel_of<linear_tile<kind_bf16_rows, 2, 4, 2, 4, 1, 2, 4, 2>>(),
        kernel_of<linear_tile<kind_bf16_rows, 4, 4, 2, 8, 1, 2, 3, 1, false>>(),
        kernel_of<linear_tile<kind_bf16_rows, 4, 4, 2, 4, 1, 2, 4, 1>>(),
        kernel_of<linear_tile<kind_bf16_fmaf, 1, 1, 1, 1, 8, 1, 4, 2>>(),
        kernel_of<linear_tile<kind_bf16_fmaf, 1, 1, 1, 4, 4, 1, 4, 2>>(),
        kernel_of<linear_tile<kind_bf16_fmaf, 2, 2, 2, 2, 1, 2, 4, 2>>(),
    };
    *n = sizeof kernels / sizeof *kernels;
    return kernels;
}
