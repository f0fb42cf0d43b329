/* cpu.c - opening and closing the cpu backend, and its table.
 *
 * Device memory is host memory. Everything an operator needs beyond its arguments is reserved here,
 * so operators never allocate. */
#include "kernels/cpu/cpu.h"

#include "kernels/cpu/cpu_backend.h"
#include "kernels/host_device.h"
#include "runtime/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Best first. */
static const struct cpu_isa *choose_isa(const char *name, struct mill_error *err) {
    const struct cpu_isa *const all[] = {mill_cpu_isa_avx512_bf16(), mill_cpu_isa_avx512(),
                                         mill_cpu_isa_avx2()};
    bool known = false;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (name && strcmp(name, all[i]->name) != 0)
            continue;
        known = true;
        if (all[i]->supported())
            return all[i];
    }
    if (name)
        mill_fail(err, MILL_E_UNSUPPORTED, "instruction set '%s': %s", name,
                  known ? "this processor does not have it"
                        : "there are avx2, avx512 and avx512_bf16");
    else
        mill_fail(err, MILL_E_UNSUPPORTED,
                  "the cpu backend needs a processor with AVX2 and FMA; the reference backend runs "
                  "anywhere, slowly");
    return NULL;
}

static void backend_close(struct mill_backend *backend) {
    if (!backend)
        return;
    mill_pool_close(backend->pool);
    free(backend->prepared);
    free(backend->coded_rows);
    free(backend);
}

static mill_status backend_open(struct mill_backend **out,
                                const struct mill_backend_options *options,
                                struct mill_error *err) {
    *out = NULL;
    const struct cpu_isa *isa = choose_isa(options->isa, err);
    if (!isa)
        return MILL_E_UNSUPPORTED;
    struct mill_backend *backend = mill_alloc_array(1, sizeof *backend);
    if (!backend)
        return mill_fail(err, MILL_E_MEMORY, "no memory for the cpu backend");
    backend->isa = isa;
    backend->prepared = mill_alloc_aligned(PREPARED_BYTES);
    backend->coded_rows = mill_alloc_array(PREPARED_ROWS, sizeof *backend->coded_rows);
    mill_status status = MILL_OK;
    if (!backend->prepared || !backend->coded_rows)
        status = mill_fail(err, MILL_E_MEMORY, "no memory for the cpu backend");
    else
        status = mill_pool_open(&backend->pool, options->n_threads, err);
    if (status < 0) {
        backend_close(backend);
        return status;
    }
    int n = mill_pool_workers(backend->pool);
    snprintf(backend->description, sizeof backend->description, "%s, %d thread%s", isa->name, n,
             n == 1 ? "" : "s");
    *out = backend;
    return MILL_OK;
}

static const char *backend_describe(const struct mill_backend *backend) {
    return backend->description;
}

const struct mill_backend_ops *mill_cpu_ops(void) {
    static const struct mill_backend_ops ops = {
        .abi = MILL_BACKEND_ABI,
        .name = "cpu",
        .weight_layout = "panels64",
        .open = backend_open,
        .close = backend_close,
        .describe = backend_describe,
        .weight_bytes = mill_cpu_weight_bytes,
        .weight_pack = mill_cpu_weight_pack,
        MILL_HOST_DEVICE_SERVICES,
        .embed = mill_cpu_embed,
        .copy_rows = mill_cpu_copy_rows,
        .norm = mill_cpu_norm,
        .linear = mill_cpu_linear,
        .rope_append = mill_cpu_rope_append,
        .attn_paged = mill_cpu_attn_paged,
        .sample = mill_cpu_sample,
        .conv1d = mill_cpu_conv1d,
        .conv_transpose1d = mill_cpu_conv_transpose1d,
        .attn_dense = mill_cpu_attn_dense,
        .pool_mean = mill_cpu_pool_mean,
        .mix = mill_cpu_mix,
    };
    return &ops;
}
