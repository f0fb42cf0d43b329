/* reference.c - the reference backend's table and its device services: the "device" is this
 * process's memory, so copies are memcpy and uploads are the region itself.
 *
 * The backend owns the row buffers that its operators work in; the caller owns all else. One thread
 * calls it. */
#include "kernels/reference/reference.h"

#include "kernels/reference/internal.h"
#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

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

static void *reference_alloc(struct mill_backend *b, size_t bytes) {
    (void)b;
    return mill_alloc_aligned(bytes);
}

static void reference_free(struct mill_backend *b, void *device) {
    (void)b;
    free(device);
}

static const void *reference_upload(struct mill_backend *b, const void *host, size_t bytes) {
    (void)b;
    (void)bytes;
    return host;
}

static void reference_release(struct mill_backend *b, const void *device) {
    (void)b;
    (void)device; /* upload made nothing */
}

static mill_status reference_copy(struct mill_backend *b, void *to, const void *from,
                                  size_t bytes) {
    (void)b;
    if (bytes == 0)
        return MILL_OK;
    if (!to || !from)
        return MILL_E_INPUT;
    memmove(to, from, bytes);
    return MILL_OK;
}

static mill_status reference_synchronize(struct mill_backend *b) {
    (void)b; /* operators are done when they return */
    return MILL_OK;
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
        .alloc = reference_alloc,
        .free = reference_free,
        .upload = reference_upload,
        .release = reference_release,
        .copy_in = reference_copy,
        .copy_out = reference_copy,
        .synchronize = reference_synchronize,
        .embed = mill_reference_embed,
        .norm = mill_reference_norm,
        .linear = mill_reference_linear,
        .glu = mill_reference_glu,
        .rope_append = mill_reference_rope_append,
        .attn_paged = mill_reference_attn_paged,
        .sample = mill_reference_sample,
        .conv1d = mill_reference_conv1d,
        .conv_transpose1d = mill_reference_conv_transpose1d,
        .attn_dense = mill_reference_attn_dense,
        .pool_mean = mill_reference_pool_mean,
        .mix = mill_reference_mix,
    };
    return &ops;
}
