/* weights.h - the order in which the CUDA backend keeps weights, for kernels and for packing.
 *
 * A brick is 8 outputs by 64 bytes of inputs (16 f32, 32 bf16, 64 i8), an output's bytes side by
 * side: 512 bytes, which a warp takes in one step, 16 bytes a lane. Lane 4g + q then holds chunk q
 * of output g, and that is a fragment of a matrix product without any exchange, provided that both
 * sides number a chunk's inputs alike: chunk q is products 2q, 2q + 1 and 2q + 8, 2q + 9 (i8: 4q ..
 * 4q + 3 and 4q + 16 .. 4q + 19) of one instruction, then of the next. An image is
 *
 *     [outputs / 8][taps][groups of 64 bytes of a tap's inputs] bricks,
 *
 * so that 8 outputs are one run through memory. Outputs are padded to whole bricks and inputs to
 * whole groups, with zeros. Behind an i8 image stand n_out float32 scales. */
#ifndef MILL_KERNELS_CUDA_WEIGHTS_H
#define MILL_KERNELS_CUDA_WEIGHTS_H

#include "kernels/backend.h"

#ifdef __CUDACC__
#define MILL_HOST_DEVICE __host__ __device__
#else
#define MILL_HOST_DEVICE
#endif

#define MILL_CUDA_WEIGHT_LAYOUT "bricks_8x64"

enum {
    BRICK_OUTS = 8,
    BRICK_ROW_BYTES = 64,                            /* of an output */
    BRICK_BYTES = BRICK_OUTS * BRICK_ROW_BYTES,      /* 512 */
    CHUNK_BYTES = 16,                                /* of a lane */
    BRICK_CHUNKS = BRICK_BYTES / CHUNK_BYTES,        /* 32 */
    BRICK_ROW_CHUNKS = BRICK_ROW_BYTES / CHUNK_BYTES /* 4 */
};

/* Bytes of an input. */
static MILL_HOST_DEVICE inline int32_t weight_input_bytes(enum mill_dtype dtype) {
    return dtype == MILL_F32 ? 4 : dtype == MILL_BF16 ? 2 : 1;
}

/* Groups of 64 bytes that a tap's inputs take. */
static MILL_HOST_DEVICE inline int32_t weight_groups(const struct mill_weight_shape *shape) {
    int32_t inputs = BRICK_ROW_BYTES / weight_input_bytes(shape->dtype);
    return (shape->n_in + inputs - 1) / inputs;
}

/* Bricks before the one of output `out`, a tap and a group. */
static MILL_HOST_DEVICE inline int64_t weight_brick_at(const struct mill_weight_shape *shape,
                                                       int32_t out, int32_t tap, int32_t group) {
    int64_t tap_row = (int64_t)(out / BRICK_OUTS) * shape->n_taps + tap;
    return tap_row * weight_groups(shape) + group;
}

/* Chunks of 16 bytes before the one of output `out` that holds chunk `chunk` of a tap's inputs. */
static MILL_HOST_DEVICE inline int64_t weight_chunk_at(const struct mill_weight_shape *shape,
                                                       int32_t out, int32_t tap, int32_t chunk) {
    int64_t brick = weight_brick_at(shape, out, tap, chunk / BRICK_ROW_CHUNKS);
    return brick * BRICK_CHUNKS + out % BRICK_OUTS * BRICK_ROW_CHUNKS + chunk % BRICK_ROW_CHUNKS;
}

/* Where the scales of an i8 image are: bytes from its begin, a multiple of 512. */
static MILL_HOST_DEVICE inline int64_t weight_scales_at(const struct mill_weight_shape *shape) {
    return weight_brick_at(shape, shape->n_out + BRICK_OUTS - 1, 0, 0) * BRICK_BYTES;
}

#ifdef __cplusplus
extern "C" {
#endif
/* Host functions of the backend's table. */
size_t mill_cuda_weight_bytes(const struct mill_weight_shape *shape);
void mill_cuda_weight_pack(const struct mill_weight_shape *shape, int32_t first_out, int32_t n_rows,
                           const float *rows, void *image);
#ifdef __cplusplus
}
#endif

#endif
