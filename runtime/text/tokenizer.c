/* tokenizer.c - opening a compiled image: everything in it is checked before anything is used.
 *
 * After a successful check no lookup can leave the image, no loop can fail to end and no id is out
 * of range, whatever the image's bytes. That a pair stands in the slot where it will be looked for
 * is not checked: misplaced, it is merely not found. */
#include "runtime/text/tokenizer.h"

#include "runtime/base/memory.h"
#include "runtime/text/tokenizer_image.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_id(const struct mill_image_header *header, int32_t id) {
    return id >= 0 && id < header->vocabulary_size;
}

/* Does a table of n elements at that offset lie in the image, aligned? */
static bool is_table(const struct mill_image_header *header, uint64_t at, uint64_t n,
                     size_t element_bytes) {
    return at % MILL_ALIGNMENT == 0 && at >= sizeof *header && at <= header->image_bytes &&
           n <= (header->image_bytes - at) / element_bytes;
}

static const char *check_header(const struct mill_image_header *header, size_t bytes) {
    if (memcmp(header->magic, "MILLBPE", 8) != 0)
        return "does not begin as one";
    if (header->version != MILL_IMAGE_VERSION || header->header_bytes != sizeof *header)
        return "is of another version";
    if (header->image_bytes != bytes)
        return "has another size than it says";
    if (header->vocabulary_size <= 0 || header->vocabulary_size > MILL_TOKEN_ID_LIMIT)
        return "has a vocabulary of impossible size";
    if (header->merge_slots_log2 < 1 || header->merge_slots_log2 > 24)
        return "has a merge table of impossible size";
    uint64_t n_members = 0;
    for (int i = 0; i < MILL_N_FAMILIES; i++) {
        if (header->family_n[i] <= 0 || header->family_n[i] > MILL_TOKEN_ID_LIMIT)
            return "has a token family of impossible size";
        n_members += (uint64_t)header->family_n[i];
    }
    if (!is_table(header, header->merges_at, (uint64_t)1 << header->merge_slots_log2,
                  sizeof(struct mill_merge)) ||
        !is_table(header, header->added_at, header->n_added, sizeof(struct mill_added_token)) ||
        !is_table(header, header->families_at, n_members, sizeof(int32_t)) ||
        !is_table(header, header->names_at, header->names_bytes, 1))
        return "has a table that is not inside it";
    for (int i = 0; i < 256; i++)
        if (!is_id(header, header->byte_ids[i]))
            return "has a byte's id out of range";
    for (int i = 0; i < MILL_N_MARKERS; i++)
        if (!is_id(header, header->markers[i]))
            return "has a control token's id out of range";
    return NULL;
}

static const char *check_merges(const struct mill_tokenizer *tokenizer) {
    const struct mill_image_header *header = tokenizer->header;
    size_t n_free = 0;
    for (size_t i = 0; i < (size_t)1 << header->merge_slots_log2; i++) {
        const struct mill_merge *merge = &tokenizer->merges[i];
        if (merge->left == MILL_NO_TOKEN)
            n_free++;
        else if (!is_id(header, merge->left) || !is_id(header, merge->right) ||
                 !is_id(header, merge->id) || merge->rank < 0)
            return "has a merge's id out of range";
    }
    return n_free == 0 ? "has a full merge table" : NULL;
}

static const char *check_added(const struct mill_tokenizer *tokenizer) {
    const struct mill_image_header *header = tokenizer->header;
    for (uint32_t i = 0; i < header->n_added; i++) {
        const struct mill_added_token *token = &tokenizer->added[i];
        if (token->name_bytes == 0 || token->name_bytes > MILL_ADDED_NAME_LIMIT ||
            token->name_at > header->names_bytes ||
            token->name_bytes > header->names_bytes - token->name_at || !is_id(header, token->id) ||
            (token->normalised != 0 && token->normalised != 1))
            return "has an added token out of range";
    }
    return NULL;
}

/* Point tokenizer->control at the header's markers and at the families' ids. */
static const char *bind_control_tokens(struct mill_tokenizer *tokenizer) {
    const struct mill_image_header *header = tokenizer->header;
    const int32_t *ids =
        (const int32_t *)(const void *)((const char *)header + header->families_at);
    struct mill_control_tokens *c = &tokenizer->control;
    int32_t *const markers[MILL_N_MARKERS] = {&c->im_end,
                                              &c->task_tts,
                                              &c->task_controllable_tts,
                                              &c->start_content,
                                              &c->end_content,
                                              &c->start_style_label,
                                              &c->end_style_label,
                                              &c->start_acoustic_token,
                                              &c->end_acoustic_token,
                                              &c->start_global_token,
                                              &c->end_global_token,
                                              &c->start_semantic_token};
    struct mill_token_family *const families[MILL_N_FAMILIES] = {
        &c->global,      &c->semantic,    &c->gender,     &c->pitch_label,
        &c->speed_label, &c->pitch_value, &c->speed_value};
    for (int i = 0; i < MILL_N_MARKERS; i++)
        *markers[i] = header->markers[i];
    for (int i = 0; i < MILL_N_FAMILIES; i++) {
        *families[i] = (struct mill_token_family){.ids = ids, .n = header->family_n[i]};
        for (int32_t k = 0; k < header->family_n[i]; k++)
            if (!is_id(header, ids[k]))
                return "has a control token's id out of range";
        ids += header->family_n[i];
    }
    return NULL;
}

static mill_status bind_image(struct mill_tokenizer *tokenizer, const void *image, size_t bytes,
                              struct mill_error *err) {
    const char *fault = NULL;
    const struct mill_image_header *header = image;
    if ((uintptr_t)image % sizeof(uint64_t) != 0)
        fault = "does not lie at a multiple of 8 bytes";
    else if (bytes < sizeof *header)
        fault = "is cut";
    else
        fault = check_header(header, bytes);
    if (!fault) {
        const char *base = image;
        tokenizer->header = header;
        tokenizer->merges = (const void *)(base + header->merges_at);
        tokenizer->added = (const void *)(base + header->added_at);
        tokenizer->names = base + header->names_at;
        fault = check_merges(tokenizer);
    }
    if (!fault)
        fault = check_added(tokenizer);
    if (!fault)
        fault = bind_control_tokens(tokenizer);
    return fault ? mill_fail(err, MILL_E_INPUT, "tokenizer image: it %s", fault) : MILL_OK;
}

mill_status mill_tokenizer_map(struct mill_tokenizer **out, const void *image, size_t bytes,
                               struct mill_error *err) {
    *out = NULL;
    struct mill_tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    if (!tokenizer)
        return mill_fail(err, MILL_E_MEMORY, "no memory for a tokenizer");
    mill_status status = bind_image(tokenizer, image, bytes, err);
    if (status == MILL_OK)
        status = mill_normaliser_open(&tokenizer->normaliser, err);
    if (status == MILL_OK)
        status = mill_pretokeniser_open(&tokenizer->pretokeniser, err);
    if (status < 0) {
        mill_tokenizer_close(tokenizer);
        return status;
    }
    *out = tokenizer;
    return MILL_OK;
}

mill_status mill_tokenizer_take_image(struct mill_tokenizer **out, void *image, size_t bytes,
                                      struct mill_error *err) {
    mill_status status = mill_tokenizer_map(out, image, bytes, err);
    if (status == MILL_OK)
        (*out)->owned = image;
    else
        free(image);
    return status;
}

void mill_tokenizer_close(struct mill_tokenizer *tokenizer) {
    if (!tokenizer)
        return;
    mill_normaliser_close(&tokenizer->normaliser);
    mill_pretokeniser_close(&tokenizer->pretokeniser);
    free(tokenizer->owned);
    free(tokenizer);
}

const void *mill_tokenizer_image(const struct mill_tokenizer *tokenizer, size_t *bytes) {
    *bytes = (size_t)tokenizer->header->image_bytes;
    return tokenizer->header;
}

const struct mill_control_tokens *
mill_tokenizer_control_tokens(const struct mill_tokenizer *tokenizer) {
    return &tokenizer->control;
}

int32_t mill_tokenizer_vocabulary_size(const struct mill_tokenizer *tokenizer) {
    return tokenizer->header->vocabulary_size;
}
