/* attn_decode.cu - rope_append and attention in one launch, for steps of one row a sequence. The
 * work of a block is attn_decode.h's.
 *
 * Bytes: keys and values of a sequence once, 256 a position and kv head (bf16, head of 64), or 136
 * (8-bit codes and their scales). Planned for an H200: one sequence of 400, 2.6 us behind the
 * launch in front, since pages are asked for before that has ended; 256 of them, 15 us, four fifths
 * of memory's speed. */
#include "kernels/cuda/attn_decode.h"
#include "kernels/cuda/cuda_backend.h"

/* Block x: sequence, y: kv head and chunk of its query heads, z: part. `partials` and `arrived` are
 * for sequences of several parts: [x * y][max_splits] and [x * y]. */
template <class T, int D, bool PARTS>
__global__ void __launch_bounds__(32 * ATTN_DECODE_WARPS, 2)
    attn_decode_rows(const struct mill_attn_paged_args a, const struct mill_attn_plan plan,
                     float *partials, int32_t *arrived) {
    typedef attn_decode<T, D, PARTS> decode;
    CU_DYN_SHARED(typename decode::shared_memory, shared);
    attn_decode_job job =
        find_decode_job(a, plan, (int32_t)blockIdx.x, (int32_t)blockIdx.y, (int32_t)blockIdx.z);
    typename decode::splits::octets at =
        decode::splits::locate(a, job, job.part * ATTN_DECODE_WARPS + (int32_t)(threadIdx.x / 32));
    int32_t place = (int32_t)(blockIdx.x * gridDim.y + blockIdx.y);
    if (job.part >= job.n_parts)
        return; /* part 0 waits: who waits for this launch has waited for those before */
    decode::run(a, job, at, shared, partials + (int64_t)place * plan.max_splits * decode::PARTIAL,
                arrived + place, [] {
                    grid_start_next(); /* its weights shall not come before these pages */
                    grid_wait();
                });
}

/* ------------------------------------------------------------------ launch */

template <class T, int D, bool PARTS>
static mill_status launch(struct mill_backend *backend, const struct mill_attn_paged_args *args,
                          const struct mill_attn_plan *plan) {
    dim3 grid((uint32_t)plan->n_tiles, (uint32_t)(args->kv.n_heads * plan->n_chunks),
              (uint32_t)plan->n_parts);
    static_assert(sizeof(attn_decode_shared<T, D, PARTS>) <= MILL_CUDA_PLAIN_SHARED_BYTES, "");
    MILL_TRY(mill_cuda_prefer_shared(
        backend, reinterpret_cast<const void *>(attn_decode_rows<T, D, PARTS>)));
    CU_LAUNCH_EARLY((attn_decode_rows<T, D, PARTS>), grid, dim3(32 * ATTN_DECODE_WARPS),
                    sizeof(attn_decode_shared<T, D, PARTS>), backend, *args, *plan,
                    reinterpret_cast<float *>(backend->scratch), backend->arrived);
    return mill_cuda_launched(backend, "attn_decode");
}

template <class T, int D>
static mill_status launch_planned(struct mill_backend *backend,
                                  const struct mill_attn_paged_args *args) {
    const struct mill_attn_shape shape = mill_cuda_attn_shape(backend, args);
    struct mill_attn_plan plan;
    mill_cuda_attn_plan_decode(&shape, &plan);
    return plan.n_parts > 1 ? launch<T, D, true>(backend, args, &plan)
                            : launch<T, D, false>(backend, args, &plan);
}

bool mill_cuda_attn_decode_fits(const struct mill_backend *backend,
                                const struct mill_attn_paged_args *args) {
    return backend->capability >= 80 && args->kv.dtype != MILL_F32 && args->kv.page_tokens % 8 == 0;
}

mill_status mill_cuda_attn_decode(struct mill_backend *backend,
                                  const struct mill_attn_paged_args *args) {
    bool codes = args->kv.dtype == MILL_I8;
    if (args->kv.head_dim == 32)
        return codes ? launch_planned<int8_t, 32>(backend, args)
                     : launch_planned<uint16_t, 32>(backend, args);
    return codes ? launch_planned<int8_t, 64>(backend, args)
                 : launch_planned<uint16_t, 64>(backend, args);
}
