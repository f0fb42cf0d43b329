/* tokenizer_cache.c - see tokenizer_cache.h. The file: a header of 64 bytes, then the image. */
#include "runtime/text/tokenizer_cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct header {
    char magic[8];
    uint64_t key, image_bytes, image_hash;
    uint8_t zeros[32];
};
_Static_assert(sizeof(struct header) == 64, "the image behind it stays aligned");

static const char magic[8] = "MILLTOK";

/* Of the content of whatever of the tokenizer's files is there; which of them are read is the
 * tokenizer's business. */
static uint64_t make_key(const char *folder) {
    static const char *const names[] = {"tokenizer.json", "vocab.json", "merges.txt",
                                        "added_tokens.json"};
    uint64_t hash = XXH3_64bits(MILL_VERSION, sizeof MILL_VERSION);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = mill_path_join(folder, names[i]);
        struct mill_mapping file;
        if (path && mill_mapping_open(&file, path, NULL) == MILL_OK) {
            const uint64_t content[] = {i, file.size, XXH3_64bits(file.data, file.size)};
            hash = XXH3_64bits_withSeed(content, sizeof content, hash);
            mill_mapping_close(&file);
        }
        free(path);
    }
    return hash;
}

static bool open_cached(struct mill_cached_tokenizer *out, const char *path, uint64_t key) {
    struct header header;
    if (mill_mapping_open(&out->mapping, path, NULL) != MILL_OK)
        return false;
    const struct mill_mapping *m = &out->mapping;
    bool right = m->size >= sizeof header;
    if (right) {
        memcpy(&header, m->data, sizeof header);
        right = memcmp(header.magic, magic, sizeof magic) == 0 && header.key == key &&
                header.image_bytes == m->size - sizeof header &&
                header.image_hash == XXH3_64bits(m->data + sizeof header, header.image_bytes);
    }
    if (right && mill_tokenizer_map(&out->tokenizer, m->data + sizeof header,
                                    m->size - sizeof header, NULL) == MILL_OK)
        return true;
    mill_mapping_close(&out->mapping);
    out->tokenizer = NULL;
    return false;
}

static void store(const struct mill_tokenizer *tokenizer, const char *cache, const char *path,
                  uint64_t key) {
    size_t bytes;
    const void *image = mill_tokenizer_image(tokenizer, &bytes);
    struct header header = {
        .key = key, .image_bytes = bytes, .image_hash = XXH3_64bits(image, bytes)};
    memcpy(header.magic, magic, sizeof magic);
    struct mill_output output;
    mill_output_sweep(path);
    if (mill_folder_make(cache, NULL) != MILL_OK ||
        mill_output_open(&output, path, NULL) != MILL_OK)
        return;
    if (mill_output_write(&output, &header, sizeof header, NULL) == MILL_OK &&
        mill_output_write(&output, image, bytes, NULL) == MILL_OK)
        mill_output_commit(&output, NULL);
    mill_output_close(&output);
}

mill_status mill_cached_tokenizer_open(struct mill_cached_tokenizer *out, const char *folder,
                                       const char *cache, struct mill_error *err) {
    *out = (struct mill_cached_tokenizer){0};
    uint64_t key = cache ? make_key(folder) : 0;
    char *path = NULL;
    if (cache && asprintf(&path, "%s/tokenizer-%016" PRIx64 ".mill", cache, key) < 0)
        path = NULL;
    if (path && open_cached(out, path, key)) {
        free(path);
        return MILL_OK;
    }
    mill_status status = mill_tokenizer_open(&out->tokenizer, folder, err);
    if (status == MILL_OK && path)
        store(out->tokenizer, cache, path, key);
    free(path);
    return status;
}

void mill_cached_tokenizer_close(struct mill_cached_tokenizer *cached) {
    mill_tokenizer_close(cached->tokenizer);
    mill_mapping_close(&cached->mapping);
    cached->tokenizer = NULL;
}
