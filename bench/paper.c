/* paper.c - see paper.h. */
#include "bench/paper.h"

#include "kernels/backend.h"

#include <math.h>

static double lm_weights(const struct mill_llm_shape *s, double head_rows) {
    double q = (double)s->n_heads * s->head_dim, kv = (double)s->n_kv_heads * s->head_dim;
    double layer = s->hidden * (2 * q + 2 * kv) + 3.0 * s->hidden * s->intermediate;
    return s->n_layers * layer + head_rows * s->hidden;
}

/* Multiply-adds of a decoded frame: prenet and wave generator. */
static double decoder_products(const struct mill_bicodec_shape *s) {
    const struct mill_vocos_shape *p = &s->prenet;
    double block = 7.0 * p->dim + 2.0 * p->dim * p->intermediate;
    double sum = (double)p->input * p->dim + (double)p->dim * p->output +
                 p->n_samplings * (7.0 * p->dim * p->dim + 2 * block) + 7.0 * p->dim * p->dim +
                 p->n_layers * block + 7.0 * s->generator.input * s->generator.channels;
    double rows = 1, c = s->generator.channels;
    for (int32_t i = 0; i < s->generator.n_stages; i++) {
        sum += rows * c * (c / 2) * s->generator.kernels[i]; /* an input row meets every tap once */
        rows *= s->generator.rates[i];
        c /= 2;
        sum += rows * 3 * (7 * c * c + c * c);
    }
    return sum + rows * 7 * c;
}

struct bench_paper_model bench_paper_model_of(const struct mill_shape *shape,
                                              enum mill_dtype weights, enum mill_dtype kv,
                                              int32_t head_rows) {
    const struct mill_llm_shape *s = &shape->llm;
    const struct mill_kv_pages token = {
        .dtype = kv, .n_heads = s->n_kv_heads, .page_tokens = 1, .head_dim = s->head_dim};
    double n_weights = lm_weights(s, head_rows);
    return (struct bench_paper_model){.weight_bytes = n_weights * (double)mill_dtype_bytes(weights),
                                      .token_flop = 2 * n_weights,
                                      .kv_bytes = (double)s->n_layers *
                                                  (double)mill_kv_page_elements(&token) *
                                                  (double)mill_dtype_bytes(kv),
                                      .kv_flop = 4.0 * s->n_layers * s->n_heads * s->head_dim,
                                      .frame_flop = 2 * decoder_products(&shape->bicodec)};
}

double bench_paper_step_s(const struct bench_paper_model *model,
                          const struct bench_paper_device *device, double batch, double context) {
    double flop = batch * (model->token_flop + context * model->kv_flop);
    double reading = model->weight_bytes / device->bytes_per_s;
    double keys = batch * context * model->kv_bytes / device->bytes_per_s;
    return fmax(reading, flop / device->lm_flop_per_s) + keys;
}

double bench_paper_frames_per_s(const struct bench_paper_model *model,
                                const struct bench_paper_device *device, double batch,
                                double context) {
    double frame_s = model->frame_flop / device->decoder_flop_per_s;
    return batch / (bench_paper_step_s(model, device, batch, context) + batch * frame_s);
}
