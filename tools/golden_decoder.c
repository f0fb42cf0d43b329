/* golden_decoder.c - golden_check's group "decode": tokens to d-vector, z_q, prenet and wave.
 *
 * The whole utterance is decoded in windows, which give the samples of the whole. Golden z_q and
 * prenet are [channels, frames], ours [frames, channels]. One thread. */
#include "runtime/base/memory.h"
#include "tools/golden_check.h"

#include <stdlib.h>

/* One item: its tokens and our answers. */
struct case_data {
    struct golden_array global, semantic;
    float *wave, *z_q, *prenet, *d_vector;
};

static void case_deinit(struct case_data *c) {
    free(c->global.data);
    free(c->semantic.data);
    free(c->wave);
    free(c->z_q);
    free(c->prenet);
    free(c->d_vector);
}

static mill_status case_init(struct case_data *c, struct golden_run *run, const char *item,
                             struct mill_error *err) {
    const struct mill_bicodec_shape *shape = &run->model.shape.bicodec;
    *c = (struct case_data){0};
    MILL_TRY(golden_folder_read(&run->folder, item, "semantic", MILL_I32, 1, &c->semantic, err));
    MILL_TRY(golden_folder_read(&run->folder, item, "global", MILL_I32, 1, &c->global, err));
    if (c->global.n != (size_t)shape->speaker.n_tokens || c->semantic.n > INT32_MAX)
        return mill_fail(err, MILL_E_INPUT, "%s: %zu global tokens; the model takes %d", item,
                         c->global.n, shape->speaker.n_tokens);
    c->wave = mill_alloc_array(c->semantic.n * (size_t)shape->hop, sizeof(float));
    c->z_q = mill_alloc_array(c->semantic.n * (size_t)shape->quantizer.input, sizeof(float));
    c->prenet = mill_alloc_array(c->semantic.n * (size_t)shape->speaker.output, sizeof(float));
    c->d_vector = mill_alloc_array((size_t)shape->speaker.output, sizeof(float));
    if (!c->wave || !c->z_q || !c->prenet || !c->d_vector)
        return mill_fail(err, MILL_E_MEMORY, "%s: no memory", item);
    return MILL_OK;
}

static mill_status decode(struct case_data *c, struct golden_run *run, struct mill_error *err) {
    const struct mill_bicodec_shape *shape = &run->model.shape.bicodec;
    int32_t n = (int32_t)c->semantic.n;
    struct mill_bicodec_decoder *decoder = run->decoder;
    struct mill_bicodec_voice *voice;
    MILL_TRY(mill_bicodec_voice_open(&voice, decoder, c->global.data, err));
    mill_status status = MILL_OK;
    for (int32_t first = 0; first < n && status >= 0; first += GOLDEN_WINDOW_FRAMES) {
        struct mill_bicodec_window window = {
            .voice = voice,
            .semantic = c->semantic.data,
            .n_semantic = n,
            .finished = true,
            .first = first,
            .end = n - first < GOLDEN_WINDOW_FRAMES ? n : first + GOLDEN_WINDOW_FRAMES,
            .wave = c->wave + (ptrdiff_t)first * shape->hop,
            .z_q = c->z_q + (ptrdiff_t)first * shape->quantizer.input,
            .prenet = c->prenet + (ptrdiff_t)first * shape->speaker.output,
            .d_vector = c->d_vector};
        status = mill_bicodec_decode(decoder, &window, err);
    }
    mill_bicodec_voice_close(voice);
    return status;
}

/* Compare ours, [rows, columns], with golden [columns, rows], or with a vector where rows is 1 and
 * `n_dims` too. An array that the folder lacks is left out. */
static mill_status compare(struct golden_run *run, const char *item, const char *leaf,
                           int32_t n_dims, const float *ours, size_t rows, size_t columns,
                           struct mill_error *err) {
    if (!golden_folder_has(&run->folder, item, leaf))
        return MILL_OK;
    struct golden_array golden;
    MILL_TRY(golden_folder_read(&run->folder, item, leaf, MILL_F32, n_dims, &golden, err));
    float *turned = mill_alloc_array(rows * columns, sizeof *turned);
    mill_status status = MILL_OK;
    if (!turned)
        status = mill_fail(err, MILL_E_MEMORY, "%s: no memory", item);
    else if (golden.shape[0] != (int64_t)columns ||
             (n_dims == 2 && golden.shape[1] != (int64_t)rows))
        status = mill_fail(err, MILL_E_INPUT,
                           "%s.%s: its shape is not that of %zu channels and %zu frames", item,
                           leaf, columns, rows);
    for (size_t i = 0; status >= 0 && i < rows * columns; i++)
        turned[i % columns * rows + i / columns] = ours[i];
    if (status >= 0)
        status = golden_check_snr(run, item, leaf, &golden, turned, err);
    free(turned);
    free(golden.data);
    return status;
}

static mill_status check_item(struct golden_run *run, const char *item, struct mill_error *err) {
    const struct mill_bicodec_shape *shape = &run->model.shape.bicodec;
    size_t d = (size_t)shape->speaker.output;
    struct case_data c;
    mill_status status = case_init(&c, run, item, err);
    if (status >= 0)
        status = decode(&c, run, err);
    if (status >= 0)
        status = compare(run, item, "d_vector", 1, c.d_vector, 1, d, err);
    if (status >= 0)
        status =
            compare(run, item, "z_q", 2, c.z_q, c.semantic.n, (size_t)shape->quantizer.input, err);
    if (status >= 0)
        status = compare(run, item, "prenet", 2, c.prenet, c.semantic.n, d, err);
    if (status >= 0)
        status = compare(run, item, "wave", 1, c.wave, 1, c.semantic.n * (size_t)shape->hop, err);
    case_deinit(&c);
    return status;
}

mill_status golden_check_decoder(struct golden_run *run, struct mill_error *err) {
    char item[GOLDEN_NAME];
    for (int at = 0; golden_folder_next(&run->folder, &at, "decode", "semantic", item);)
        MILL_TRY(check_item(run, item, err));
    return MILL_OK;
}
