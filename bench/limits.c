/* limits.c - see limits.h. The best of several repetitions counts: a limit is what is possible, not
 * what is usual. */
#include "bench/limits.h"

#include "runtime/base/clock.h"
#include "runtime/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REGION_BYTES = 512 << 20, PIECES = 64, REPETITIONS = 5 };

struct region {
    const uint64_t *words;
    size_t n_words;
    uint64_t sum[PIECES];
};

static void read_piece(void *context, int piece, int worker) {
    (void)worker;
    struct region *region = context;
    size_t n = region->n_words / PIECES;
    const uint64_t *p = region->words + (size_t)piece * n;
    uint64_t sum[8] = {0};
    for (size_t i = 0; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++)
            sum[j] += p[i + (size_t)j];
    for (int j = 0; j < 8; j++)
        region->sum[piece] += sum[j]; /* kept, so that the reads are not optimised away */
}

double bench_read_bandwidth(struct mill_pool *pool) {
    uint64_t *words = mill_alloc_aligned(REGION_BYTES);
    if (!words)
        return 0;
    memset(words, 1, REGION_BYTES);
    struct region region = {.words = words, .n_words = REGION_BYTES / sizeof *words};
    double best = 0;
    for (int i = 0; i < REPETITIONS; i++) {
        double start = mill_clock_seconds();
        mill_pool_run(pool, read_piece, &region, PIECES);
        double rate = REGION_BYTES / (mill_clock_seconds() - start);
        best = rate > best ? rate : best;
    }
    free(words);
    return best;
}

#ifdef MILL_HAVE_ONEDNN
#include <dnnl.h>

enum { SIDE = 2048 };

/* Seconds of one SIDE x SIDE x SIDE product, or 0 when oneDNN refuses. */
static double time_matmul(dnnl_engine_t engine, dnnl_stream_t stream, dnnl_data_type_t type,
                          dnnl_data_type_t result) {
    const dnnl_dims_t dims = {SIDE, SIDE};
    dnnl_memory_desc_t in, weights, out;
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_desc_t description = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_memory_t memory[3] = {NULL, NULL, NULL};
    double best = 0;
    bool ok =
        !dnnl_memory_desc_init_by_tag(&in, 2, dims, type == dnnl_s8 ? dnnl_u8 : type, dnnl_ab) &&
        !dnnl_memory_desc_init_by_tag(&weights, 2, dims, type, dnnl_format_tag_any) &&
        !dnnl_memory_desc_init_by_tag(&out, 2, dims, result, dnnl_ab) &&
        !dnnl_matmul_desc_init(&matmul, &in, &weights, NULL, &out) &&
        !dnnl_primitive_desc_create(&description, &matmul, NULL, engine, NULL) &&
        !dnnl_primitive_create(&primitive, description);
    const dnnl_query_t queries[3] = {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md};
    for (int i = 0; ok && i < 3; i++) {
        const dnnl_memory_desc_t *md = dnnl_primitive_desc_query_md(description, queries[i], 0);
        ok = !dnnl_memory_create(&memory[i], md, engine, DNNL_MEMORY_ALLOCATE);
        void *data = NULL;
        if (ok && !dnnl_memory_get_data_handle(memory[i], &data))
            memset(data, 0, dnnl_memory_desc_get_size(md));
    }
    dnnl_exec_arg_t args[3] = {
        {DNNL_ARG_SRC, memory[0]}, {DNNL_ARG_WEIGHTS, memory[1]}, {DNNL_ARG_DST, memory[2]}};
    for (int i = 0; ok && i < REPETITIONS; i++) {
        double start = mill_clock_seconds();
        ok = !dnnl_primitive_execute(primitive, stream, 3, args) && !dnnl_stream_wait(stream);
        double seconds = mill_clock_seconds() - start;
        best = best == 0 || seconds < best ? seconds : best;
    }
    for (int i = 0; i < 3; i++)
        dnnl_memory_destroy(memory[i]);
    dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(description);
    return ok ? best : 0;
}

double bench_onednn_peak(enum mill_dtype dtype) {
    dnnl_data_type_t type = dtype == MILL_F32 ? dnnl_f32 : dtype == MILL_BF16 ? dnnl_bf16 : dnnl_s8;
    dnnl_engine_t engine = NULL;
    dnnl_stream_t stream = NULL;
    double seconds = 0;
    if (!dnnl_engine_create(&engine, dnnl_cpu, 0) &&
        !dnnl_stream_create(&stream, engine, dnnl_stream_default_flags))
        seconds = time_matmul(engine, stream, type, dtype == MILL_I8 ? dnnl_s32 : dnnl_f32);
    dnnl_stream_destroy(stream);
    dnnl_engine_destroy(engine);
    return seconds > 0 ? 2.0 * SIDE * SIDE * SIDE / seconds : 0;
}

void bench_onednn_version(char text[BENCH_VERSION_BYTES]) {
    const dnnl_version_t *version = dnnl_version();
    snprintf(text, BENCH_VERSION_BYTES, "%d.%d.%d", version->major, version->minor, version->patch);
}
#else
double bench_onednn_peak(enum mill_dtype dtype) {
    (void)dtype;
    return 0;
}

void bench_onednn_version(char text[BENCH_VERSION_BYTES]) {
    text[0] = '\0';
}
#endif
