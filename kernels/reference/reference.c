/* reference.c - the reference backend's table; its device is this process's memory.
 *
 * The backend owns the row buffers that its operators work in; the caller owns all else. One thread
 * calls it. */
#include "kernels/reference/reference.h"

#include "kernels/host_device.h"
#include "kernels/reference/internal.h"
#include "runtime/base/memory.h"

#include <stdlib.h>

static mill_status reference_open(struct mill_backend **out,
                                  const struct mill_backend_options *options,
                                  struct mill_error *err) {
    (void)options; /* one thread, no instruction sets to choose from */
    *out = mill_alloc_array(1, sizeof **out);
    if (!*out)
        return mill_fail(err, MILL_E_MEMORY, "backend 'reference': no memory for its buffers");
    return MILL_OK;
}

static void reference_close(struct mill_backend *b) {
    free(b);
}

static const char *reference_describe(const struct mill_backend *b) {
    (void)b;
    return "reference, scalar C, 1 thread";
}

const struct mill_backend_ops *mill_reference_ops(void) {
    static const struct mill_backend_ops ops = {
        .abi = MILL_BACKEND_ABI,
        .name = "reference",
        .weight_layout = "rows",
        .open = reference_open,
        .close = reference_close,
        .describe = reference_describe,
        .weight_bytes = mill_reference_weight_bytes,
        .weight_pack = mill_reference_weight_pack,
        MILL_HOST_DEVICE_SERVICES,
        .embed = mill_reference_embed,
        .copy_rows = mill_reference_copy_rows,
        .norm = mill_reference_norm,
        .linear = mill_reference_linear,
        .rope_append = mill_reference_rope_append,
        .attn_paged = mill_reference_attn_paged,
        .sample = mill_reference_sample,
        .conv1d = mill_reference_conv1d,
        .conv_transpose1d = mill_reference_conv_transpose1d,
        .residual_unit = mill_reference_residual_unit,
        .attn_dense = mill_reference_attn_dense,
        .pool_mean = mill_reference_pool_mean,
        .mix = mill_reference_mix,
    };
    return &ops;
}
