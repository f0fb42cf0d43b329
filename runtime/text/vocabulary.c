/* vocabulary.c - collecting tokens and merges; see vocabulary.h. Compiling is vocabulary_compile.c.
 */
#include "runtime/text/vocabulary.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { FIRST_SLOTS_LOG2 = 12 };
static const size_t MAX_NAMES_BYTES = (size_t)1 << 26;

mill_status mill_vocabulary_init(struct mill_vocabulary *vocabulary, struct mill_error *err) {
    *vocabulary = (struct mill_vocabulary){.slots_log2 = FIRST_SLOTS_LOG2};
    mill_buffer_init(&vocabulary->names, MAX_NAMES_BYTES);
    mill_buffer_init(&vocabulary->tokens, MILL_TOKEN_ID_LIMIT * sizeof(struct mill_named_token));
    mill_buffer_init(&vocabulary->merges, MILL_TOKEN_ID_LIMIT * sizeof(struct mill_merge));
    mill_buffer_init(&vocabulary->added, MILL_TOKEN_ID_LIMIT * sizeof(struct mill_added_token));
    vocabulary->slots = calloc((size_t)1 << FIRST_SLOTS_LOG2, sizeof *vocabulary->slots);
    vocabulary->used_ids = calloc(MILL_TOKEN_ID_LIMIT / 8, 1);
    if (vocabulary->slots && vocabulary->used_ids)
        return MILL_OK;
    mill_vocabulary_deinit(vocabulary);
    return mill_fail(err, MILL_E_MEMORY, "no memory for a vocabulary");
}

void mill_vocabulary_deinit(struct mill_vocabulary *vocabulary) {
    mill_buffer_deinit(&vocabulary->names);
    mill_buffer_deinit(&vocabulary->tokens);
    mill_buffer_deinit(&vocabulary->merges);
    mill_buffer_deinit(&vocabulary->added);
    free(vocabulary->slots);
    free(vocabulary->used_ids);
    *vocabulary = (struct mill_vocabulary){0};
}

static const struct mill_named_token *tokens_of(const struct mill_vocabulary *vocabulary) {
    return (const void *)vocabulary->tokens.data;
}

/* Where `name` stands or would stand in the slots; NULL after too many collisions. */
static uint32_t *find_slot(const struct mill_vocabulary *vocabulary, const char *name,
                           size_t name_bytes) {
    uint32_t mask = (1u << vocabulary->slots_log2) - 1;
    uint32_t i = (uint32_t)XXH3_64bits(name, name_bytes) & mask;
    for (int probes = 0; probes < MILL_MAX_PROBES; probes++, i = (i + 1) & mask) {
        uint32_t *slot = &vocabulary->slots[i];
        if (*slot == 0)
            return slot;
        const struct mill_named_token *token = &tokens_of(vocabulary)[*slot - 1];
        if (token->name_bytes == name_bytes &&
            memcmp(vocabulary->names.data + token->name_at, name, name_bytes) == 0)
            return slot;
    }
    return NULL;
}

int32_t mill_vocabulary_find(const struct mill_vocabulary *vocabulary, const char *name,
                             size_t name_bytes) {
    const uint32_t *slot = find_slot(vocabulary, name, name_bytes);
    return slot && *slot ? tokens_of(vocabulary)[*slot - 1].id : MILL_NO_TOKEN;
}

/* Keep the slots at most half full. */
static mill_status grow_slots(struct mill_vocabulary *vocabulary, struct mill_error *err) {
    uint32_t n_tokens = (uint32_t)(vocabulary->tokens.size / sizeof(struct mill_named_token));
    if (n_tokens < 1u << (vocabulary->slots_log2 - 1))
        return MILL_OK;
    uint32_t *old = vocabulary->slots;
    uint32_t *slots = calloc((size_t)2 << vocabulary->slots_log2, sizeof *slots);
    if (!slots)
        return mill_fail(err, MILL_E_MEMORY, "no memory for %u tokens", n_tokens);
    vocabulary->slots = slots;
    vocabulary->slots_log2++;
    free(old);
    for (uint32_t i = 0; i < n_tokens; i++) {
        const struct mill_named_token *token = &tokens_of(vocabulary)[i];
        uint32_t *slot =
            find_slot(vocabulary, vocabulary->names.data + token->name_at, token->name_bytes);
        if (!slot)
            return mill_fail(err, MILL_E_INPUT, "the tokens' names collide");
        *slot = i + 1;
    }
    return MILL_OK;
}

mill_status mill_vocabulary_add_token(struct mill_vocabulary *vocabulary, const char *name,
                                      size_t name_bytes, int64_t id, struct mill_error *err) {
    int shown = name_bytes < 80 ? (int)name_bytes : 80;
    if (name_bytes == 0)
        return mill_fail(err, MILL_E_INPUT, "a token without a name");
    if (id < 0 || id >= MILL_TOKEN_ID_LIMIT)
        return mill_fail(err, MILL_E_INPUT, "token '%.*s': id %lld is not in 0 .. %d", shown, name,
                         (long long)id, MILL_TOKEN_ID_LIMIT - 1);
    MILL_TRY(grow_slots(vocabulary, err));
    uint32_t *slot = find_slot(vocabulary, name, name_bytes);
    if (!slot)
        return mill_fail(err, MILL_E_INPUT, "token '%.*s': its name collides", shown, name);
    if (*slot)
        return mill_fail(err, MILL_E_INPUT, "token '%.*s' stands twice", shown, name);
    uint8_t *bits = &vocabulary->used_ids[id / 8], bit = (uint8_t)(1 << id % 8);
    if (*bits & bit)
        return mill_fail(err, MILL_E_INPUT, "token '%.*s': id %lld is another token's already",
                         shown, name, (long long)id);
    struct mill_named_token token = {.name_at = (uint32_t)vocabulary->names.size,
                                     .name_bytes = (uint32_t)name_bytes,
                                     .id = (int32_t)id};
    MILL_TRY(mill_buffer_append(&vocabulary->names, name, name_bytes, err));
    MILL_TRY(mill_buffer_append(&vocabulary->tokens, &token, sizeof token, err));
    *slot = (uint32_t)(vocabulary->tokens.size / sizeof token);
    *bits |= bit;
    if (id >= vocabulary->size)
        vocabulary->size = (int32_t)id + 1;
    return MILL_OK;
}

/* The id of a merge's part or whole. */
static mill_status require_token(const struct mill_vocabulary *vocabulary, const char *name,
                                 size_t name_bytes, int32_t *id, struct mill_error *err) {
    *id = mill_vocabulary_find(vocabulary, name, name_bytes);
    if (*id != MILL_NO_TOKEN)
        return MILL_OK;
    return mill_fail(err, MILL_E_INPUT, "'%.*s' is not a token",
                     name_bytes < 80 ? (int)name_bytes : 80, name);
}

mill_status mill_vocabulary_add_merge(struct mill_vocabulary *vocabulary, const char *left,
                                      size_t left_bytes, const char *right, size_t right_bytes,
                                      struct mill_error *err) {
    struct mill_merge merge = {.rank =
                                   (int32_t)(vocabulary->merges.size / sizeof(struct mill_merge))};
    MILL_TRY(require_token(vocabulary, left, left_bytes, &merge.left, err));
    MILL_TRY(require_token(vocabulary, right, right_bytes, &merge.right, err));
    /* The whole is put together behind the names and taken away again. */
    struct mill_buffer *names = &vocabulary->names;
    size_t before = names->size;
    mill_status status = mill_buffer_append(names, left, left_bytes, err);
    if (status == MILL_OK)
        status = mill_buffer_append(names, right, right_bytes, err);
    if (status == MILL_OK)
        status =
            require_token(vocabulary, names->data + before, names->size - before, &merge.id, err);
    names->size = before;
    MILL_TRY(status);
    return mill_buffer_append(&vocabulary->merges, &merge, sizeof merge, err);
}

/* A name that normalisation might change would have to be looked for in its changed form; no known
 * tokenizer has one. U+0300 begins with the byte 0xcc. */
static bool is_latin_name(const char *name, size_t name_bytes) {
    for (size_t i = 0; i < name_bytes; i++)
        if ((uint8_t)name[i] >= 0xcc)
            return false;
    return true;
}

mill_status mill_vocabulary_add_added(struct mill_vocabulary *vocabulary, const char *name,
                                      size_t name_bytes, int64_t id, bool normalised,
                                      struct mill_error *err) {
    int shown = name_bytes < 80 ? (int)name_bytes : 80;
    if (name_bytes > MILL_ADDED_NAME_LIMIT)
        return mill_fail(err, MILL_E_INPUT, "added token '%.*s...': more than %d bytes", shown,
                         name, MILL_ADDED_NAME_LIMIT);
    if (normalised && !is_latin_name(name, name_bytes))
        return mill_fail(err, MILL_E_INPUT,
                         "added token '%.*s': normalized, and beyond Latin letters", shown, name);
    if (name_bytes == 0 || mill_vocabulary_find(vocabulary, name, name_bytes) != id)
        MILL_TRY(mill_vocabulary_add_token(vocabulary, name, name_bytes, id, err));
    const uint32_t *slot = find_slot(vocabulary, name, name_bytes);
    const struct mill_named_token *token = &tokens_of(vocabulary)[*slot - 1];
    struct mill_added_token added = {.name_at = token->name_at,
                                     .name_bytes = token->name_bytes,
                                     .id = token->id,
                                     .normalised = normalised};
    return mill_buffer_append(&vocabulary->added, &added, sizeof added, err);
}

/* GPT-2's alphabet: printable bytes of Latin-1 stand for themselves, the others in rising order for
 * U+0100 and on. */
static bool is_printable(uint8_t byte) {
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte != 0xad);
}

size_t mill_byte_symbol(uint8_t byte, char symbol[2]) {
    unsigned code_point = byte;
    if (!is_printable(byte)) {
        code_point = 0x100;
        for (unsigned b = 0; b < byte; b++)
            code_point += !is_printable((uint8_t)b);
    }
    if (code_point < 0x80) {
        symbol[0] = (char)code_point;
        return 1;
    }
    symbol[0] = (char)(0xc0 | code_point >> 6);
    symbol[1] = (char)(0x80 | (code_point & 0x3f));
    return 2;
}

uint8_t mill_byte_in_order(int order) {
    for (int printable = 1; printable >= 0; printable--)
        for (int byte = 0; byte < 256; byte++)
            if (is_printable((uint8_t)byte) == printable && order-- == 0)
                return (uint8_t)byte;
    return 0;
}
