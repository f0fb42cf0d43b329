/* pull_manifest.c - the published repository's files, and reading another list. See
 * pull_manifest.h. */
#include "tools/pull_manifest.h"

#include "runtime/base/memory.h"
#include "runtime/base/utf8.h"
#include "runtime/io/config.h"

#include <stdlib.h>
#include <string.h>

/* SparkAudio/Spark-TTS-0.5B without its pictures. A hash stands here only where it is known for
 * certain; the other files are checked by size alone, and the model card by nothing. Copies of the
 * language model with two different hashes and the same size are about, hence `also_seen`. */
static const struct mill_pull_file published_files[] = {
    {"README.md", 6467, false, NULL, NULL},
    {"config.yaml", 169, true, "49a07abffcdfb5358e91eda83b1f4f8068f54b0a4e1ef1ef6ac22d9a312a7ae3",
     NULL},
    {"LLM/config.json", 658, true,
     "a08401458b097cceb08bc40b26ec799b685ca44cebc7fa71c56721b6634e4ae8", NULL},
    {"LLM/tokenizer.json", 14129172, true,
     "9c8b057d6ca205a429cc3428b9fc815f0d6ee1d53106dd5e5b129ef9db2ff057", NULL},
    {"LLM/tokenizer_config.json", 2579652, true,
     "d4b4dff03ac7e25aa2873a429b80bf255b27a1aec2e6a9879bbbed113dbb7cf8", NULL},
    {"LLM/added_tokens.json", 508522, true,
     "3b2b3e1c3fd4e50a340e85e9b76c26ebc2bab0bf72f4c5bb88d085e3929930ac", NULL},
    {"LLM/special_tokens_map.json", 613, true,
     "76862e765266b85aa9459767e33cbaf13970f327a0e88d1c65846c2ddd3a1ecd", NULL},
    {"LLM/vocab.json", 2776833, true, NULL, NULL},
    {"LLM/merges.txt", 1671853, true, NULL, NULL},
    {"BiCodec/config.yaml", 1164, true,
     "744f4093ae2381a2eb44ea8c4a5268a8d1e581498e9bf0808c034d1b076429be", NULL},
    {"wav2vec2-large-xlsr-53/config.json", 1768, true,
     "48576e4a1b0f02c7770f57e236747169459db9a8b9a529bbd7a58bbbf52c45b5", NULL},
    {"wav2vec2-large-xlsr-53/preprocessor_config.json", 212, true,
     "a2254a5b58f72cd4de3632f8eee64f3f098b7c1402128d2f419e7d00ae13e335", NULL},
    {"BiCodec/model.safetensors", 625518756, true,
     "e9940cd48d4446e4340ced82d234bf5618350dd9f5db900ebe47a4fdb03867ec", NULL},
    {"LLM/model.safetensors", 2026568968, true,
     "54825baf0a2f6076eb3c78fa1d22a95aee225f59070a8b295f8169db860eb109", "97432243cbf413cf"},
    {"wav2vec2-large-xlsr-53/pytorch_model.bin", 1270000000, false,
     "314340227371a608f71adcd5f0de5933824fe77e55822aa4b24dba9c1c364dcb", NULL},
};

enum { MAX_MANIFEST_BYTES = 16 << 20, MAX_PATH_BYTES = 1024 };

/* A path from a list becomes a file name here: it must stay below the folder and be printable. */
static bool is_safe_path(const char *path) {
    size_t n = strlen(path);
    if (n == 0 || n > MAX_PATH_BYTES)
        return false;
    for (const char *part = path;;) {
        size_t length = strcspn(part, "/");
        if (length == 0 || strncmp(part, "..", length) == 0) /* "", "." and ".." */
            return false;
        if (!mill_utf8_is_printable(part, length) || memchr(part, '\\', length))
            return false;
        if (part[length] == '\0')
            return true;
        part += length + 1;
    }
}

static bool is_sha256(const char *text) {
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

static mill_status read_file(const json_t *entry, struct mill_pull_file *out,
                             struct mill_error *err) {
    int64_t bytes = 0;
    if (!json_is_object(entry))
        return mill_fail(err, MILL_E_INPUT, "not an object");
    MILL_TRY(mill_config_text(entry, "path", &out->path, err));
    MILL_TRY(mill_config_int(entry, "bytes", 0, INT64_MAX / 4096, &bytes, err));
    const json_t *hash = json_object_get(entry, "sha256");
    size_t n_keys = 2 + (hash != NULL);
    if (json_object_size(entry) != n_keys)
        return mill_fail(err, MILL_E_INPUT, "there are keys beside path, bytes and sha256");
    if (!is_safe_path(out->path))
        return mill_fail(err, MILL_E_INPUT,
                         "path '%.80s': must be relative, without '..', '//' and backslash",
                         out->path);
    out->bytes = (uint64_t)bytes;
    out->exact = true;
    if (!hash || json_is_null(hash))
        return MILL_OK;
    MILL_TRY(mill_config_text(entry, "sha256", &out->sha256, err));
    if (!is_sha256(out->sha256))
        return mill_fail(err, MILL_E_INPUT, "sha256: 64 lower-case hexadecimal digits are wanted");
    return MILL_OK;
}

mill_status mill_pull_manifest_open(struct mill_pull_manifest *manifest, const char *path,
                                    struct mill_error *err) {
    *manifest = (struct mill_pull_manifest){
        .files = published_files, .n_files = sizeof published_files / sizeof *published_files};
    if (!path)
        return MILL_OK;
    mill_status status = mill_json_open(&manifest->source, path, MAX_MANIFEST_BYTES, err);
    if (status < 0)
        return status;
    size_t n = json_array_size(manifest->source); /* 0 for what is not a list */
    if (n == 0)
        status = mill_fail(err, MILL_E_INPUT, "'%s': a list of files is wanted", path);
    else if (!(manifest->owned = mill_alloc_array(n, sizeof *manifest->owned)))
        status = mill_fail(err, MILL_E_MEMORY, "'%s': no memory for %zu files", path, n);
    for (size_t i = 0; i < n && status == MILL_OK; i++) {
        status = read_file(json_array_get(manifest->source, i), &manifest->owned[i], err);
        if (status < 0)
            mill_context(err, status, "'%s': file %zu of the list", path, i + 1);
    }
    manifest->files = manifest->owned;
    manifest->n_files = n;
    if (status < 0)
        mill_pull_manifest_close(manifest);
    return status;
}

void mill_pull_manifest_close(struct mill_pull_manifest *manifest) {
    json_decref(manifest->source);
    free(manifest->owned);
    *manifest = (struct mill_pull_manifest){0};
}
