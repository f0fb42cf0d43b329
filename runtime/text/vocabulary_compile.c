/* vocabulary_compile.c - from the collected parts to the flat image of tokenizer_image.h. */
#include "runtime/base/memory.h"
#include "runtime/text/vocabulary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const mill_control_markers[MILL_N_MARKERS] = {"im_end",
                                                          "task_tts",
                                                          "task_controllable_tts",
                                                          "start_content",
                                                          "end_content",
                                                          "start_style_label",
                                                          "end_style_label",
                                                          "start_acoustic_token",
                                                          "end_acoustic_token",
                                                          "start_global_token",
                                                          "end_global_token",
                                                          "start_semantic_token"};

const char *const mill_control_families[MILL_N_FAMILIES] = {
    "bicodec_global", "bicodec_semantic", "gender",     "pitch_label",
    "speed_label",    "pitch_value",      "speed_value"};

static size_t count_merges(const struct mill_vocabulary *vocabulary) {
    return vocabulary->merges.size / sizeof(struct mill_merge);
}
static size_t count_added(const struct mill_vocabulary *vocabulary) {
    return vocabulary->added.size / sizeof(struct mill_added_token);
}
static const struct mill_added_token *added_of(const struct mill_vocabulary *vocabulary) {
    return (const void *)vocabulary->added.data;
}

/* The id of the added token <|name|>; MILL_NO_TOKEN when there is none. */
static int32_t find_control_token(const struct mill_vocabulary *vocabulary, const char *name) {
    char full[MILL_ADDED_NAME_LIMIT];
    int n = snprintf(full, sizeof full, "<|%s|>", name);
    return mill_vocabulary_find(vocabulary, full, (size_t)n);
}

/* The members of a family there are, whatever their numbers: what a family without holes would
 * have. */
static int32_t count_members(const struct mill_vocabulary *vocabulary, const char *family) {
    char prefix[MILL_ADDED_NAME_LIMIT];
    size_t n = (size_t)snprintf(prefix, sizeof prefix, "<|%s_", family);
    int32_t n_members = 0;
    for (size_t i = 0; i < count_added(vocabulary); i++) {
        const struct mill_added_token *token = &added_of(vocabulary)[i];
        const char *name = vocabulary->names.data + token->name_at;
        if (token->name_bytes < n + 3 || memcmp(name, prefix, n) != 0 ||
            memcmp(name + token->name_bytes - 2, "|>", 2) != 0)
            continue;
        size_t n_digits = 0;
        while (n + n_digits < token->name_bytes - 2 && name[n + n_digits] >= '0' &&
               name[n + n_digits] <= '9')
            n_digits++;
        n_members += n + n_digits == token->name_bytes - 2;
    }
    return n_members;
}

static mill_status fill_markers(const struct mill_vocabulary *vocabulary,
                                struct mill_image_header *header, struct mill_error *err) {
    for (int i = 0; i < MILL_N_MARKERS; i++) {
        header->markers[i] = find_control_token(vocabulary, mill_control_markers[i]);
        if (header->markers[i] == MILL_NO_TOKEN)
            return mill_fail(err, MILL_E_INPUT, "the token <|%s|> is missing",
                             mill_control_markers[i]);
    }
    return MILL_OK;
}

static mill_status fill_families(const struct mill_vocabulary *vocabulary,
                                 const struct mill_image_header *header, int32_t *ids,
                                 struct mill_error *err) {
    for (int i = 0; i < MILL_N_FAMILIES; i++)
        for (int32_t k = 0; k < header->family_n[i]; k++) {
            char name[MILL_ADDED_NAME_LIMIT];
            snprintf(name, sizeof name, "%s_%d", mill_control_families[i], k);
            *ids = find_control_token(vocabulary, name);
            if (*ids++ == MILL_NO_TOKEN)
                return mill_fail(err, MILL_E_INPUT, "the token <|%s|> is missing", name);
        }
    return MILL_OK;
}

static mill_status fill_bytes(const struct mill_vocabulary *vocabulary,
                              struct mill_image_header *header, struct mill_error *err) {
    for (int byte = 0; byte < 256; byte++) {
        char symbol[2];
        size_t n = mill_byte_symbol((uint8_t)byte, symbol);
        header->byte_ids[byte] = mill_vocabulary_find(vocabulary, symbol, n);
        if (header->byte_ids[byte] == MILL_NO_TOKEN)
            return mill_fail(err, MILL_E_INPUT, "no token stands for the byte 0x%02x", byte);
    }
    return MILL_OK;
}

static mill_status fill_merges(const struct mill_vocabulary *vocabulary, uint32_t slots_log2,
                               struct mill_merge *slots, struct mill_error *err) {
    const struct mill_merge *merges = (const void *)vocabulary->merges.data;
    uint32_t mask = (1u << slots_log2) - 1;
    for (uint32_t i = 0; i <= mask; i++)
        slots[i] = (struct mill_merge){.left = MILL_NO_TOKEN};
    for (size_t i = 0; i < count_merges(vocabulary); i++) {
        uint32_t at = mill_merge_slot(slots_log2, merges[i].left, merges[i].right);
        int probes = 0;
        for (; slots[at].left != MILL_NO_TOKEN; at = (at + 1) & mask) {
            if (slots[at].left == merges[i].left && slots[at].right == merges[i].right)
                return mill_fail(err, MILL_E_INPUT, "merge %zu repeats merge %d", i,
                                 slots[at].rank);
            if (++probes == MILL_MAX_PROBES)
                return mill_fail(err, MILL_E_INPUT, "merge %zu: the merges collide", i);
        }
        slots[at] = merges[i];
    }
    return MILL_OK;
}

static int compare_added(const void *a, const void *b, void *context) {
    const struct mill_added_token *x = a, *y = b;
    const char *names = context;
    uint32_t n = x->name_bytes < y->name_bytes ? x->name_bytes : y->name_bytes;
    int order = memcmp(names + x->name_at, names + y->name_at, n);
    return order ? order : (x->name_bytes > y->name_bytes) - (x->name_bytes < y->name_bytes);
}

/* The added tokens sorted by name, their names packed. */
static mill_status fill_added(const struct mill_vocabulary *vocabulary,
                              struct mill_added_token *added, char *names, struct mill_error *err) {
    size_t n = count_added(vocabulary);
    if (n == 0)
        return MILL_OK;
    memcpy(added, vocabulary->added.data, vocabulary->added.size);
    qsort_r(added, n, sizeof *added, compare_added, vocabulary->names.data);
    uint32_t used = 0;
    for (size_t i = 0; i < n; i++) {
        const char *name = vocabulary->names.data + added[i].name_at;
        if (i > 0 && added[i].id == added[i - 1].id)
            return mill_fail(err, MILL_E_INPUT, "added token '%.*s' stands twice",
                             (int)added[i].name_bytes, name);
        memcpy(names + used, name, added[i].name_bytes);
        added[i].name_at = used;
        used += added[i].name_bytes;
    }
    return MILL_OK;
}

/* Sizes and offsets of everything. */
static void lay_out(const struct mill_vocabulary *vocabulary, struct mill_image_header *header) {
    *header = (struct mill_image_header){.magic = "MILLBPE",
                                         .version = MILL_IMAGE_VERSION,
                                         .header_bytes = sizeof *header,
                                         .merge_slots_log2 = 4,
                                         .n_added = (uint32_t)count_added(vocabulary),
                                         .vocabulary_size = vocabulary->size};
    while (((size_t)1 << header->merge_slots_log2) < count_merges(vocabulary) * 3 / 2 + 1)
        header->merge_slots_log2++;
    size_t n_members = 0;
    for (int i = 0; i < MILL_N_FAMILIES; i++) {
        int32_t n = count_members(vocabulary, mill_control_families[i]);
        header->family_n[i] = n > 0 ? n : 1; /* the missing member 0 is reported later */
        n_members += (size_t)header->family_n[i];
    }
    for (size_t i = 0; i < count_added(vocabulary); i++)
        header->names_bytes += added_of(vocabulary)[i].name_bytes;
    header->merges_at = mill_align_size(sizeof *header);
    header->added_at = mill_align_size(header->merges_at +
                                       (sizeof(struct mill_merge) << header->merge_slots_log2));
    header->families_at =
        mill_align_size(header->added_at + header->n_added * sizeof(struct mill_added_token));
    header->names_at = mill_align_size(header->families_at + n_members * sizeof(int32_t));
    header->image_bytes = header->names_at + header->names_bytes;
}

mill_status mill_vocabulary_compile(const struct mill_vocabulary *vocabulary,
                                    struct mill_tokenizer **out, struct mill_error *err) {
    *out = NULL;
    struct mill_image_header header;
    lay_out(vocabulary, &header);
    char *image = calloc(1, (size_t)header.image_bytes);
    if (!image)
        return mill_fail(err, MILL_E_MEMORY, "no memory for a tokenizer of %zu bytes",
                         (size_t)header.image_bytes);
    mill_status status = fill_bytes(vocabulary, &header, err);
    if (status == MILL_OK)
        status = fill_markers(vocabulary, &header, err);
    if (status == MILL_OK)
        status = fill_families(vocabulary, &header, (void *)(image + header.families_at), err);
    if (status == MILL_OK)
        status = fill_merges(vocabulary, header.merge_slots_log2,
                             (void *)(image + header.merges_at), err);
    if (status == MILL_OK)
        status =
            fill_added(vocabulary, (void *)(image + header.added_at), image + header.names_at, err);
    if (status < 0) {
        free(image);
        return status;
    }
    memcpy(image, &header, sizeof header);
    return mill_tokenizer_take_image(out, image, (size_t)header.image_bytes, err);
}
