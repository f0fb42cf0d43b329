/* checkpoint_fixture.c - see checkpoint_fixture.h. */
#include "tests/model/checkpoint_fixture.h"

#include "runtime/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { PIECE = 1 << 16 };

void fixture_small_shape(struct mill_shape *out) {
    mill_synth_shape(out, MILL_SYNTH_TINY);
    out->llm = (struct mill_llm_shape){.hidden = 32,
                                       .intermediate = 48,
                                       .n_layers = 2,
                                       .n_heads = 4,
                                       .n_kv_heads = 2,
                                       .head_dim = 8,
                                       .vocab = 400,
                                       .max_positions = 512,
                                       .norm_eps = 1e-6f,
                                       .rope_theta = 10000.0f};
    out->bicodec.sample_rate = 600;
    out->bicodec.hop = 6;
    out->bicodec.prenet = (struct mill_vocos_shape){.input = 10,
                                                    .dim = 16,
                                                    .intermediate = 20,
                                                    .n_layers = 2,
                                                    .output = 12,
                                                    .n_samplings = 1,
                                                    .condition = 12};
    out->bicodec.quantizer.input = 10;
    out->bicodec.quantizer.codebook_size = 90;
    out->bicodec.quantizer.codebook_dim = 3;
    out->bicodec.speaker.output = 12;
    out->bicodec.speaker.latent = 4;
    out->bicodec.speaker.n_tokens = 5;
    out->bicodec.speaker.n_levels = 3;
    out->bicodec.speaker.levels[0] = 5;
    out->bicodec.speaker.levels[1] = 3;
    out->bicodec.speaker.levels[2] = 4;
    out->bicodec.generator.input = 12;
    out->bicodec.generator.channels = 16;
    out->bicodec.generator.n_stages = 2;
    out->bicodec.generator.rates[0] = 3;
    out->bicodec.generator.rates[1] = 2;
    out->bicodec.generator.kernels[0] = 5;
    out->bicodec.generator.kernels[1] = 4;
    out->wav2vec2.n_convs = 0;
}

static size_t spec_bytes(const struct mill_tensor_spec *spec, enum mill_dtype dtype) {
    return mill_tensor_spec_elements(spec) * mill_dtype_bytes(dtype);
}

static void write_header(FILE *file, const struct mill_tensor_table *table, enum mill_dtype dtype) {
    struct mill_buffer text;
    mill_buffer_init(&text, 1 << 20);
    size_t at = 0;
    for (int32_t i = 0; i < table->n_specs; i++) {
        const struct mill_tensor_spec *spec = &table->specs[i];
        if (!(spec->uses & MILL_USE_SPEAK))
            continue;
        size_t end = at + spec_bytes(spec, dtype);
        assert_int_equal(mill_buffer_printf(&text, NULL, "%c\"%s\":{\"dtype\":\"%s\",\"shape\":[",
                                            text.size ? ',' : '{', spec->name,
                                            mill_dtype_name(dtype)),
                         MILL_OK);
        for (int32_t d = 0; d < spec->n_dims; d++)
            assert_int_equal(
                mill_buffer_printf(&text, NULL, "%s%lld", d ? "," : "", (long long)spec->shape[d]),
                MILL_OK);
        assert_int_equal(mill_buffer_printf(&text, NULL, "],\"data_offsets\":[%zu,%zu]}", at, end),
                         MILL_OK);
        at = end;
    }
    assert_int_equal(mill_buffer_append(&text, "}", 1, NULL), MILL_OK);
    while (text.size % 8)
        assert_int_equal(mill_buffer_append(&text, " ", 1, NULL), MILL_OK);
    uint64_t size = text.size;
    assert_int_equal(fwrite(&size, sizeof size, 1, file), 1);
    assert_int_equal(fwrite(text.data, 1, text.size, file), text.size);
    mill_buffer_deinit(&text);
}

static void store(enum mill_dtype dtype, const float *from, size_t n, void *to) {
    for (size_t i = 0; i < n; i++) {
        if (dtype == MILL_F64)
            ((double *)to)[i] = (double)from[i];
        else if (dtype == MILL_F32)
            ((float *)to)[i] = from[i];
        else
            ((uint16_t *)to)[i] =
                dtype == MILL_BF16 ? mill_bf16_from_f32(from[i]) : mill_f16_from_f32(from[i]);
    }
}

static void write_file(const char *folder, const struct mill_shape *shape,
                       enum mill_tensor_file kind, enum mill_dtype dtype) {
    struct mill_tensor_table *table;
    assert_int_equal(mill_tensor_table_open(&table, shape, kind, NULL), MILL_OK);
    char *path = mill_path_join(folder, mill_tensor_file_path(kind)), *last;
    assert_non_null(path);
    last = strrchr(path, '/');
    *last = '\0';
    assert_int_equal(mill_folder_make(path, NULL), MILL_OK);
    *last = '/';
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    write_header(file, table, dtype);
    float *values = mill_alloc_array(PIECE, sizeof *values);
    void *stored = mill_alloc_array(PIECE, sizeof(double));
    assert_non_null(values);
    assert_non_null(stored);
    for (int32_t i = 0; i < table->n_specs; i++) {
        const struct mill_tensor_spec *spec = &table->specs[i];
        size_t n = spec->uses & MILL_USE_SPEAK ? mill_tensor_spec_elements(spec) : 0;
        struct mill_synth_tensor tensor;
        mill_synth_tensor_init(&tensor, spec, 0);
        for (size_t first = 0; first < n; first += PIECE) {
            size_t count = n - first < PIECE ? n - first : PIECE;
            mill_synth_fill(&tensor, first, count, values);
            store(dtype, values, count, stored);
            assert_int_equal(fwrite(stored, mill_dtype_bytes(dtype), count, file), count);
        }
    }
    assert_int_equal(fclose(file), 0);
    free(values);
    free(stored);
    free(path);
    mill_tensor_table_close(table);
}

void fixture_write(const char *folder, const struct mill_shape *shape, enum mill_dtype dtype) {
    write_file(folder, shape, MILL_FILE_LLM, dtype);
    write_file(folder, shape, MILL_FILE_BICODEC, dtype);
}

static struct mill_token_family family(int32_t **at, int32_t first, int32_t n) {
    struct mill_token_family out = {*at, n};
    for (int32_t i = 0; i < n; i++)
        *(*at)++ = first + i;
    return out;
}

void fixture_tokens_init(struct fixture_tokens *out, const struct mill_shape *shape, int32_t im_end,
                         int32_t global, int32_t semantic, int32_t pitch, int32_t speed) {
    int32_t n_semantic = shape->bicodec.quantizer.codebook_size;
    int32_t n_global = mill_shape_global_codes(shape);
    size_t n = (size_t)(n_semantic + n_global + FIXTURE_PITCHES + FIXTURE_SPEEDS);
    *out = (struct fixture_tokens){.ids = mill_alloc_array(n, sizeof(int32_t))};
    assert_non_null(out->ids);
    int32_t *at = out->ids;
    out->tokens.im_end = im_end;
    out->tokens.global = family(&at, global, n_global);
    out->tokens.semantic = family(&at, semantic, n_semantic);
    out->tokens.pitch_value = family(&at, pitch, FIXTURE_PITCHES);
    out->tokens.speed_value = family(&at, speed, FIXTURE_SPEEDS);
}

void fixture_tokens_deinit(struct fixture_tokens *tokens) {
    free(tokens->ids);
}

mill_status fixture_open_weights(struct mill_weights **out, const char *folder,
                                 const struct mill_shape *shape,
                                 const struct mill_control_tokens *tokens,
                                 const struct mill_backend_ops *ops, struct mill_backend *backend,
                                 const struct mill_weights_options *options,
                                 struct mill_error *err) {
    MILL_TRY(mill_weights_plan(out, folder, shape, tokens, ops, options, err));
    mill_status status = mill_weights_load(*out, backend, NULL, err);
    if (status < 0) {
        mill_weights_close(*out);
        *out = NULL;
    }
    return status;
}
