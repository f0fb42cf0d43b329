/* test_shape.c - sizes from configuration files: written and read back, and hostile ones refused
 * with a line that names file and cause. */
#include "runtime/model/checkpoint_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FOLDER MILL_SCRATCH "/shape"

static void write_configs(const struct mill_shape *shape) {
    struct mill_error err = {0};
    assert_int_equal(mill_folder_make(FOLDER "/LLM", &err), MILL_OK);
    assert_int_equal(mill_folder_make(FOLDER "/BiCodec", &err), MILL_OK);
    unlink(FOLDER "/wav2vec2-large-xlsr-53/config.json");
    unlink(FOLDER "/wav2vec2-large-xlsr-53/preprocessor_config.json");
    rmdir(FOLDER "/wav2vec2-large-xlsr-53");
    if (shape->wav2vec2.n_convs)
        assert_int_equal(mill_folder_make(FOLDER "/wav2vec2-large-xlsr-53", &err), MILL_OK);
    if (mill_checkpoint_write_configs(FOLDER, shape, MILL_F32, &err) < 0)
        fail_msg("%s", err.text);
}

static void assert_round_trip(const struct mill_shape *shape) {
    struct mill_shape again;
    struct mill_error err = {0};
    write_configs(shape);
    if (mill_shape_read(&again, FOLDER, &err) < 0)
        fail_msg("%s", err.text);
    assert_memory_equal(&again.llm, &shape->llm, sizeof shape->llm);
    assert_memory_equal(&again.bicodec, &shape->bicodec, sizeof shape->bicodec);
    assert_int_equal(again.wav2vec2.n_convs, shape->wav2vec2.n_convs);
    assert_int_equal(again.wav2vec2.pos_groups, shape->wav2vec2.pos_groups);
    assert_true(again.reference_seconds == shape->reference_seconds);
    assert_int_equal(again.volume_normalize, shape->volume_normalize);
}

static void test_round_trip(void **state) {
    (void)state;
    struct mill_shape shape;
    mill_synth_shape(&shape, MILL_SYNTH_FULL);
    assert_round_trip(&shape);
    assert_int_equal(mill_shape_global_codes(&shape), 4096);
    mill_synth_shape(&shape, MILL_SYNTH_TINY);
    shape.wav2vec2 = (struct mill_wav2vec2_shape){0};
    assert_round_trip(&shape);
    shape.llm.head_dim = 32; /* a key of its own: 2 heads of 32 under a width of 128 */
    shape.llm.vocab = 4000;
    shape.bicodec.sample_rate = 24000;
    shape.bicodec.mel.f_max = 11000.5;
    shape.bicodec.hop = 600;
    shape.bicodec.generator.rates[2] = 5;
    shape.bicodec.generator.rates[3] = 3;
    shape.bicodec.generator.kernels[2] = 5;
    shape.bicodec.generator.kernels[3] = 9;
    shape.bicodec.quantizer.codebook_size = 1024;
    shape.bicodec.speaker.n_levels = 2;
    memset(shape.bicodec.speaker.levels, 0, sizeof shape.bicodec.speaker.levels);
    shape.bicodec.speaker.levels[0] = 7;
    shape.bicodec.speaker.levels[1] = 9;
    shape.bicodec.postnet.n_samplings = 4;
    shape.volume_normalize = 0;
    shape.reference_seconds = 4.5;
    assert_round_trip(&shape);
    assert_int_equal(mill_shape_global_codes(&shape), 63);
}

/* One text in one file replaced, and what the message must name. */
static const struct {
    const char *file, *from, *to, *names;
} hostile[] = {
    {"LLM/config.json", "\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false",
     "tie_word_embeddings"},
    {"LLM/config.json", "\"tie_word_embeddings\": true", "\"x\": 1", "tie_word_embeddings"},
    {"LLM/config.json", "\"use_cache\": true", "\"rope_scaling\": {\"factor\": 2}", "rope_scaling"},
    {"LLM/config.json", "\"silu\"", "\"gelu\"", "hidden_act"},
    {"LLM/config.json", "\"silu\"", "5", "hidden_act"},
    {"LLM/config.json", "\"qwen2\"", "\"llama\"", "model_type"},
    {"LLM/config.json", "\"use_sliding_window\": false", "\"use_sliding_window\": true",
     "use_sliding_window"},
    {"LLM/config.json", "\"num_attention_heads\": 2", "\"num_attention_heads\": 3",
     "num_attention_heads"},
    {"LLM/config.json", "\"num_key_value_heads\": 1", "\"num_key_value_heads\": 5",
     "num_key_value_heads"},
    {"LLM/config.json", "\"hidden_size\": 128", "\"hidden_size\": 0", "hidden_size"},
    {"LLM/config.json", "\"hidden_size\": 128", "\"hidden_size\": 1e3", "hidden_size"},
    {"LLM/config.json", "\"hidden_size\": 128", "\"hidden_size\": 2000000000", "hidden_size"},
    {"LLM/config.json", "\"hidden_size\": 128", "\"hidden_size\": 126, \"head_dim\": 63", "63"},
    {"LLM/config.json", "\"hidden_size\": 128", "\"head_dim\": 65536, \"hidden_size\": 128",
     "65536"},
    {"LLM/config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 99999999",
     "num_hidden_layers"},
    {"LLM/config.json", "\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": -1", "rms_norm_eps"},
    {"LLM/config.json", "\"vocab_size\": 166000", "\"vocab_size\": \"many\"", "vocab_size"},
    {"LLM/config.json", "{", "[", "config.json"},
    {"BiCodec/config.yaml", "audio_tokenizer:", "tokenizer:", "audio_tokenizer"},
    {"BiCodec/config.yaml", "sample_rate: 16000", "sample_rate: .nan", "nan"},
    {"BiCodec/config.yaml", "win_length: 640", "win_length: 2048", "win_length"},
    {"BiCodec/config.yaml", "mel_fmin: 10", "mel_fmin: .nan", "nan"},
    {"BiCodec/config.yaml", "mel_fmin: 10", "mel_fmin: 9000", "mel_fmin"},
    {"BiCodec/config.yaml", "mel_fmax: null", "mel_fmax: 8001", "mel_fmax"},
    {"BiCodec/config.yaml", "num_mels: 128", "num_mels: 80", "num_mels"},
    {"BiCodec/config.yaml", "sample_ratios: [1, 1]", "sample_ratios: [1, 2]", "sample_ratios"},
    {"BiCodec/config.yaml", "sample_ratios: [1, 1]", "sample_ratios: [1,1,1,1,1,1,1,1,1]",
     "sample_ratios"},
    {"BiCodec/config.yaml", "use_tanh_at_final: False", "use_tanh_at_final: True",
     "use_tanh_at_final"},
    {"BiCodec/config.yaml", "condition_dim: 64", "condition_dim: 63", "condition_dim"},
    {"BiCodec/config.yaml", "    condition_dim: 64\n", "", "condition_dim"},
    {"BiCodec/config.yaml", "use_l2_normlize: True", "use_l2_normlize: False", "use_l2_normlize"},
    {"BiCodec/config.yaml", "codebook_size: 8192", "codebook_size: 1", "codebook_size"},
    {"BiCodec/config.yaml", "codebook_dim: 8", "codebook_dim: 8.5", "codebook_dim"},
    {"BiCodec/config.yaml", "input_dim: 64", "input_dim: 32", "quantizer.input_dim"},
    {"BiCodec/config.yaml", "channels: 128", "channels: 120", "channels 120"},
    {"BiCodec/config.yaml", "[8, 5, 4, 2]", "[8, 5, 4]", "kernel_sizes"},
    {"BiCodec/config.yaml", "[8, 5, 4, 2]", "[]", "rates"},
    {"BiCodec/config.yaml", "[8, 5, 4, 2]", "[8, 5, 4, 0]", "rates"},
    {"BiCodec/config.yaml", "[8, 5, 4, 2]", "[16, 11, 8, 4]", "latent_hop_length"},
    {"BiCodec/config.yaml", "[16, 11, 8, 4]", "[16, 10, 8, 4]", "kernel_sizes"},
    {"BiCodec/config.yaml", "[16, 11, 8, 4]", "[16, 3, 8, 4]", "kernel_sizes"},
    {"BiCodec/config.yaml", "[4, 4, 4, 4, 4, 4]", "[1, 4]", "fsq_levels"},
    {"BiCodec/config.yaml", "[4, 4, 4, 4, 4, 4]", "[]", "fsq_levels"},
    {"BiCodec/config.yaml", "[4, 4, 4, 4, 4, 4]", "[65536, 65536, 65536, 65536, 65536]",
     "fsq_levels"},
    {"BiCodec/config.yaml", "fsq_num_quantizers: 1", "fsq_num_quantizers: 2", "fsq_num_quantizers"},
    {"BiCodec/config.yaml", "fsq_num_quantizers: 1",
     "fsq_num_quantizers: 1\n    ecapa_channels: 60", "ecapa_channels 60"},
    {"config.yaml", "sample_rate: 16000", "sample_rate: 24000", "sample_rate"},
    {"config.yaml", "latent_hop_length: 320", "latent_hop_length: 160", "latent_hop_length"},
    {"config.yaml", "volume_normalize: true", "volume_normalize: 3", "volume_normalize"},
    {"config.yaml", "ref_segment_duration: 6", "ref_segment_duration: -6", "ref_segment_duration"},
    {"wav2vec2-large-xlsr-53/config.json", "\"do_stable_layer_norm\": true",
     "\"do_stable_layer_norm\": false", "do_stable_layer_norm"},
    {"wav2vec2-large-xlsr-53/config.json", "\"feat_extract_norm\": \"layer\"",
     "\"feat_extract_norm\": \"group\"", "feat_extract_norm"},
    {"wav2vec2-large-xlsr-53/config.json", "[5, 2, 2, 2, 2, 2, 2]", "[5, 2]", "conv_stride"},
    {"wav2vec2-large-xlsr-53/config.json", "\"num_conv_pos_embedding_groups\": 4",
     "\"num_conv_pos_embedding_groups\": 5", "num_conv_pos_embedding_groups"},
};

/* The file with the first `from` replaced. */
static void spoil(const char *file, const char *from, const char *to) {
    struct mill_buffer old;
    struct mill_error err = {0};
    char path[512], text[8192];
    mill_buffer_init(&old, sizeof text);
    snprintf(path, sizeof path, "%s/%s", FOLDER, file);
    assert_int_equal(mill_file_read(path, &old, &err), MILL_OK);
    assert_int_equal(mill_buffer_append(&old, "", 1, &err), MILL_OK);
    const char *at = strstr(old.data, from);
    if (!at)
        fail_msg("%s has no %s", file, from);
    int size = snprintf(text, sizeof text, "%.*s%s%s", (int)(at - old.data), old.data, to,
                        at + strlen(from));
    assert_int_equal(mill_checkpoint_write_text(FOLDER, file, text, (size_t)size, &err), MILL_OK);
    mill_buffer_deinit(&old);
}

static void test_hostile(void **state) {
    (void)state;
    struct mill_shape tiny, found;
    mill_synth_shape(&tiny, MILL_SYNTH_TINY);
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        struct mill_error err = {0};
        write_configs(&tiny);
        spoil(hostile[i].file, hostile[i].from, hostile[i].to);
        memset(&found, 0x55, sizeof found);
        mill_status status = mill_shape_read(&found, FOLDER, &err);
        if (status != MILL_E_INPUT || !strstr(err.text, hostile[i].names) ||
            !strstr(err.text, "config."))
            fail_msg("%s with '%s': status %d, '%s'", hostile[i].file, hostile[i].to, status,
                     err.text);
        assert_int_equal(found.llm.hidden, 0x55555555); /* untouched */
    }
}

static void test_missing(void **state) {
    (void)state;
    struct mill_shape tiny, found;
    struct mill_error err = {0};
    mill_synth_shape(&tiny, MILL_SYNTH_TINY);
    assert_true(mill_shape_read(&found, MILL_SCRATCH "/no-such-folder", &err) < 0);
    assert_non_null(strstr(err.text, "no-such-folder"));
    write_configs(&tiny);
    unlink(FOLDER "/wav2vec2-large-xlsr-53/config.json");
    assert_true(mill_shape_read(&found, FOLDER, &err) < 0); /* the folder is there, its file not */
    assert_non_null(strstr(err.text, "wav2vec2-large-xlsr-53/config.json"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
