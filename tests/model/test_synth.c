/* test_synth.c - the recipe of synthetic weights against hashes of what its definition (NumPy)
 * computes, and a whole checkpoint written, read back and held against its tables. */
#include "runtime/model/checkpoint_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <xxhash.h>

/* XXH64 of the float32 bytes; a tensor for every rule of the recipe, and one over several pieces.
 * Made by: xxhash.xxh64(synth.tensor(name, shape, seed).tobytes()). */
static const struct {
    struct mill_tensor_spec spec;
    uint64_t seed, hash;
} recipe[] = {
    {{"model.embed_tokens.weight", 2, {50, 8}, 0}, 0ULL, 0x27c3f186f1cf8e95ULL},
    {{"model.layers.0.self_attn.q_proj.weight", 2, {24, 40}, 0}, 0ULL, 0x9d3244ff7f592e73ULL},
    {{"model.layers.0.self_attn.q_proj.weight", 2, {24, 40}, 0}, 7ULL, 0x26c51beec821331aULL},
    {{"model.layers.0.self_attn.q_proj.bias", 1, {24}, 0}, 0ULL, 0x91fe6249210a5d4dULL},
    {{"model.norm.weight", 1, {128}, 0}, 0ULL, 0x996af1ca8fc77897ULL},
    {{"encoder.encoder.convnext.1.gamma", 1, {48}, 0}, 0ULL, 0x52f4bc583bf02567ULL},
    {{"encoder.encoder.convnext.1.dwconv.weight", 3, {48, 1, 7}, 0}, 0ULL, 0x8cbb3407dfccb02bULL},
    {{"prenet.vocos_backbone.norm.scale.weight", 2, {48, 64}, 0}, 0ULL, 0xd4e54f2eb2dc13e4ULL},
    {{"prenet.vocos_backbone.norm.scale.bias", 1, {48}, 0}, 0ULL, 0xdff91be20d73070aULL},
    {{"prenet.vocos_backbone.norm.shift.weight", 2, {48, 64}, 0}, 0ULL, 0x4d801e5e019b4409ULL},
    {{"prenet.vocos_backbone.norm.shift.bias", 1, {48}, 0}, 0ULL, 0xbecefbeb016283a1ULL},
    {{"quantizer.codebook.weight", 2, {100, 8}, 0}, 0ULL, 0x3434022dce68d0e8ULL},
    {{"quantizer.cluster_size", 1, {33}, 0}, 0ULL, 0x52331babe6ee70faULL},
    {{"quantizer.in_project.weight_g", 3, {8, 1, 1}, 0}, 0ULL, 0xd96306387e2d4506ULL},
    {{"quantizer.in_project.weight_v", 3, {8, 64, 1}, 0}, 0ULL, 0xbaa2bb2b5cfe8a36ULL},
    {{"decoder.model.1.block.0.alpha", 3, {1, 128, 1}, 0}, 0ULL, 0xe413f7ee77703e8fULL},
    {{"decoder.model.1.block.1.weight_g", 3, {128, 1, 1}, 0}, 0ULL, 0x684a48a1ea278653ULL},
    {{"decoder.model.1.block.2.block.1.weight_g", 3, {64, 1, 1}, 0}, 0ULL, 0xe1841a304ca31cd2ULL},
    {{"decoder.model.1.block.2.block.3.weight_g", 3, {64, 1, 1}, 0}, 0ULL, 0xc2c307f42847a136ULL},
    {{"decoder.model.6.weight_g", 3, {1, 1, 1}, 0}, 0ULL, 0xfd60afc4a41cc354ULL},
    {{"decoder.model.6.weight_v", 3, {1, 8, 7}, 0}, 0ULL, 0xb1352259ccfa17dfULL},
    {{"speaker_encoder.speaker_encoder.layer1.bn.running_mean", 1, {512}, 0},
     0ULL,
     0xef835caa40247e12ULL},
    {{"speaker_encoder.speaker_encoder.layer1.bn.running_var", 1, {512}, 0},
     0ULL,
     0x76b23f6aa255a14fULL},
    {{"speaker_encoder.speaker_encoder.layer1.bn.num_batches_tracked", 0, {0}, 0},
     0ULL,
     0x1910622eccd956d5ULL},
    {{"speaker_encoder.perceiver_sampler.latents", 2, {32, 32}, 0}, 0ULL, 0x8c3a8d80a7cea4fbULL},
    {{"speaker_encoder.perceiver_sampler.norm.gamma", 1, {32}, 0}, 0ULL, 0xb13d6c6bb9c5af58ULL},
    {{"wav2vec2.encoder.pos_conv_embed.conv.weight_g", 3, {1, 1, 16}, 0},
     0ULL,
     0x8d4116e025e35f2eULL},
    {{"wav2vec2.encoder.layers.3.attention.q_proj.weight", 2, {64, 64}, 0},
     9223372036854775807ULL,
     0xf006d2d6862ee93cULL},
    {{"model.layers.1.mlp.up_proj.weight", 2, {500, 300}, 0}, 0ULL, 0xbf5895acbb28cbe4ULL},
};

static void test_recipe(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof recipe / sizeof recipe[0]; i++) {
        struct mill_synth_tensor tensor;
        size_t n = mill_tensor_spec_elements(&recipe[i].spec), half = n / 2;
        float *values = malloc(n * sizeof *values);
        assert_non_null(values);
        mill_synth_tensor_init(&tensor, &recipe[i].spec, recipe[i].seed);
        mill_synth_fill(&tensor, 0, half, values);
        mill_synth_fill(&tensor, half, n - half, values + half);
        if (XXH64(values, n * sizeof *values, 0) != recipe[i].hash)
            fail_msg("%s differs", recipe[i].spec.name);
        free(values);
    }
}

struct counts {
    int n_specs, n_speak, n_voice, n_transcript;
    size_t elements, speak_elements;
};

static struct counts count(const struct mill_shape *shape, enum mill_tensor_file file) {
    struct mill_tensor_table *table;
    assert_int_equal(mill_tensor_table_open(&table, shape, file, NULL), MILL_OK);
    struct counts c = {.n_specs = table->n_specs, .elements = mill_tensor_table_elements(table)};
    for (int32_t i = 0; i < table->n_specs; i++) {
        const struct mill_tensor_spec *spec = &table->specs[i];
        c.n_speak += (spec->uses & MILL_USE_SPEAK) != 0;
        c.n_voice += (spec->uses & MILL_USE_VOICE) != 0;
        c.n_transcript += (spec->uses & MILL_USE_TRANSCRIPT) != 0;
        c.speak_elements += spec->uses & MILL_USE_SPEAK ? mill_tensor_spec_elements(spec) : 0;
        assert_ptr_equal(mill_tensor_table_find(table, spec->name), spec);
    }
    assert_null(mill_tensor_table_find(table, "no.such.tensor"));
    mill_tensor_table_close(table);
    return c;
}

/* Numbers of the published files: tensors, elements, and what each job needs. */
static void test_published_tables(void **state) {
    (void)state;
    struct mill_shape shape;
    mill_synth_shape(&shape, MILL_SYNTH_FULL);
    struct counts llm = count(&shape, MILL_FILE_LLM);
    assert_int_equal(llm.n_specs, 290);
    assert_int_equal(llm.elements, 506634112);
    assert_int_equal(llm.n_speak, 290);
    struct counts bicodec = count(&shape, MILL_FILE_BICODEC);
    assert_int_equal(bicodec.n_specs, 840);
    assert_int_equal(bicodec.elements, 156354601);
    assert_int_equal(bicodec.n_speak, 319);
    assert_int_equal(bicodec.speak_elements, 385150856 / 4);
    assert_int_equal(bicodec.n_voice, 230 - 28); /* 28 batch norms count their batches */
    assert_int_equal(bicodec.n_transcript, 168);
    struct counts wav2vec2 = count(&shape, MILL_FILE_WAV2VEC2);
    assert_int_equal(wav2vec2.n_specs, 422 - 1); /* masked_spec_embed is of training */
    assert_int_equal(wav2vec2.elements, 315438720 - 1024);
    shape.wav2vec2.n_convs = 0;
    assert_int_equal(count(&shape, MILL_FILE_WAV2VEC2).n_specs, 0);
}

/* No size of this one is a published size. */
static void odd_shape(struct mill_shape *s) {
    mill_synth_shape(s, MILL_SYNTH_TINY);
    s->llm = (struct mill_llm_shape){48, 80, 3, 4, 2, 16, 4000, 512, 1e-5f, 10000.0f};
    s->bicodec.sample_rate = 24000;
    s->bicodec.hop = 48;
    s->bicodec.mel.hop = 240;
    s->bicodec.quantizer.codebook_size = 1024;
    s->bicodec.quantizer.codebook_dim = 6;
    s->bicodec.encoder.n_samplings = 1;
    s->bicodec.prenet.n_samplings = 3;
    s->bicodec.speaker.n_levels = 3;
    memcpy(s->bicodec.speaker.levels, (int32_t[MILL_MAX_LEVELS]){5, 3, 8},
           sizeof s->bicodec.speaker.levels);
    s->bicodec.speaker.n_tokens = 9;
    s->bicodec.generator.channels = 40;
    s->bicodec.generator.n_stages = 3;
    memcpy(s->bicodec.generator.rates, (int32_t[MILL_MAX_STAGES]){6, 4, 2},
           sizeof s->bicodec.generator.rates);
    memcpy(s->bicodec.generator.kernels, (int32_t[MILL_MAX_STAGES]){12, 4, 6},
           sizeof s->bicodec.generator.kernels);
    s->wav2vec2.n_layers = 2;
}

struct found {
    int n[MILL_TENSOR_PROBLEM_COUNT];
    char line[512]; /* the last one */
};

static bool note(void *context, enum mill_tensor_problem problem, const char *line) {
    struct found *found = context;
    found->n[problem]++;
    snprintf(found->line, sizeof found->line, "%s", line);
    return true;
}

enum { ALL_USES = MILL_USE_SPEAK | MILL_USE_VOICE | MILL_USE_TRANSCRIPT };

/* Every tensor of a written file has the recipe's values, rounded to the file's type. */
static void check_file(const char *folder, const struct mill_shape *shape,
                       enum mill_tensor_file part, enum mill_dtype dtype, uint64_t seed) {
    struct mill_tensor_table *table;
    struct mill_tensors *file;
    struct mill_error err = {0};
    char *path = mill_path_join(folder, mill_tensor_file_path(part));
    assert_int_equal(mill_tensor_table_open(&table, shape, part, &err), MILL_OK);
    mill_status status = part == MILL_FILE_WAV2VEC2 ? mill_torch_open(&file, path, &err)
                                                    : mill_safetensors_open(&file, path, &err);
    if (status < 0)
        fail_msg("%s", err.text);
    if (mill_tensor_table_check(table, file, ALL_USES, &err) < 0)
        fail_msg("%s", err.text);
    for (int32_t i = 0; i < table->n_specs; i++) {
        const struct mill_tensor_spec *spec = &table->specs[i];
        const struct mill_tensor_entry *entry = mill_tensors_find(file, spec->name);
        size_t n = mill_tensor_spec_elements(spec);
        struct mill_synth_tensor tensor;
        float *expected = malloc(n * sizeof *expected), *found = malloc(n * sizeof *found);
        assert_int_equal(entry->dtype, dtype);
        mill_synth_tensor_init(&tensor, spec, seed);
        mill_synth_fill(&tensor, 0, n, expected);
        for (size_t k = 0; k < n; k++) {
            if (dtype == MILL_BF16)
                expected[k] = mill_bf16_to_f32(mill_bf16_from_f32(expected[k]));
            if (dtype == MILL_F16)
                expected[k] = mill_f16_to_f32(mill_f16_from_f32(expected[k]));
        }
        mill_dtype_to_f32(entry->dtype, file->mapping.data + entry->offset, found, n);
        assert_memory_equal(found, expected, n * sizeof *found);
        free(expected);
        free(found);
    }
    mill_tensors_close(file);
    mill_tensor_table_close(table);
    free(path);
}

static void count_progress(void *context, size_t done_bytes, size_t all_bytes) {
    size_t *last = context;
    assert_true(done_bytes > *last && done_bytes <= all_bytes);
    *last = done_bytes;
}

static void write_and_check(const struct mill_shape *shape, enum mill_dtype dtype, uint64_t seed,
                            const char *folder) {
    size_t done = 0;
    struct mill_shape again;
    struct mill_error err = {0};
    struct mill_checkpoint_options options = {.seed = seed,
                                              .dtype = dtype,
                                              .label = "test",
                                              .without_tokenizer = true,
                                              .progress = {count_progress, &done}};
    if (mill_checkpoint_write(folder, shape, &options, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(done > 0);
    assert_true(mill_checkpoint_is_synthetic(folder));
    if (mill_shape_read(&again, folder, &err) < 0)
        fail_msg("%s", err.text);
    check_file(folder, &again, MILL_FILE_LLM, dtype, seed);
    check_file(folder, &again, MILL_FILE_BICODEC, dtype, seed);
    check_file(folder, &again, MILL_FILE_WAV2VEC2, dtype, seed);
}

static void test_write_odd(void **state) {
    (void)state;
    struct mill_shape shape;
    odd_shape(&shape);
    write_and_check(&shape, MILL_BF16, 3, MILL_SCRATCH "/synth-odd-bf16");
    write_and_check(&shape, MILL_F16, 4, MILL_SCRATCH "/synth-odd-f16");
    write_and_check(&shape, MILL_F32, 5, MILL_SCRATCH "/synth-odd-f32");
}

/* A file that is not what its table asks for, one defect at a time. */
static void test_check_finds_defects(void **state) {
    (void)state;
    struct mill_shape shape;
    struct mill_tensor_table *table;
    struct mill_tensors *file;
    struct mill_error err = {0};
    odd_shape(&shape);
    write_and_check(&shape, MILL_F32, 5, MILL_SCRATCH "/synth-defects");
    assert_int_equal(mill_tensor_table_open(&table, &shape, MILL_FILE_LLM, &err), MILL_OK);
    assert_int_equal(
        mill_safetensors_open(&file, MILL_SCRATCH "/synth-defects/LLM/model.safetensors", &err),
        MILL_OK);
    struct mill_tensor_entry *norm = &file->entries[file->n_entries - 1], kept = *norm;

    norm->shape[0] = 47;
    assert_int_equal(mill_tensor_table_check(table, file, ALL_USES, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "synth-defects/LLM/model.safetensors': tensor "
                                     "'model.norm.weight' has shape [47]"));
    assert_non_null(strstr(err.text, "[48]"));
    *norm = kept;
    norm->n_dims = 2;
    assert_int_equal(mill_tensor_table_check(table, file, 0, &err), MILL_E_INPUT);
    *norm = kept;
    norm->dtype = MILL_I32;
    assert_int_equal(mill_tensor_table_check(table, file, ALL_USES, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "I32"));
    assert_int_equal(mill_tensor_table_check(table, file, MILL_USE_VOICE, &err), MILL_OK);
    *norm = kept;
    file->n_entries--;
    assert_int_equal(mill_tensor_table_check(table, file, ALL_USES, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "'model.norm.weight' [48] is missing"));
    assert_int_equal(mill_tensor_table_check(table, file, MILL_USE_VOICE, &err), MILL_OK);
    file->n_entries++;
    struct found found = {{0}, ""};
    file->entries[0].name = "lm_head.weight";
    mill_tensor_table_compare(table, file, ALL_USES, note, &found);
    assert_int_equal(found.n[MILL_TENSOR_MISSING], 1);
    assert_int_equal(found.n[MILL_TENSOR_UNEXPECTED], 1);
    assert_non_null(strstr(found.line, "'lm_head.weight' is unexpected: a head of its own"));
    mill_tensors_close(file);
    mill_tensor_table_close(table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recipe),
        cmocka_unit_test(test_published_tables),
        cmocka_unit_test(test_write_odd),
        cmocka_unit_test(test_check_finds_defects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
