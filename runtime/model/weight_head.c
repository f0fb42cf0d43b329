/* weight_head.c - which token ids the head's rows stand for (weight_layout.h).
 *
 * Every legal set is a run of rows that begins at a multiple of MILL_PACK_ROWS, ids ascending, so
 * that a set's logits are one `linear` over a range of outputs. */
#include "runtime/model/weight_layout.h"

#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

static const char *const set_names[MILL_LEGAL_COUNT] = {"semantic", "global", "pitch value",
                                                        "speed value", "whole vocabulary"};

static int compare_ids(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static mill_status check_families(const struct mill_shape *shape,
                                  const struct mill_control_tokens *tokens,
                                  struct mill_error *err) {
    int32_t codes = mill_shape_global_codes(shape);
    if (tokens->semantic.n != shape->bicodec.quantizer.codebook_size)
        return mill_fail(err, MILL_E_INPUT,
                         "the tokenizer has %d semantic tokens, BiCodec's codebook has %d entries",
                         tokens->semantic.n, shape->bicodec.quantizer.codebook_size);
    if (tokens->global.n != codes)
        return mill_fail(err, MILL_E_INPUT,
                         "the tokenizer has %d global tokens, BiCodec's levels make %d",
                         tokens->global.n, codes);
    return MILL_OK;
}

static int32_t next_set_row(const struct mill_legal_rows *set) {
    int32_t end = set->first_row + set->n_rows;
    return (end + MILL_PACK_ROWS - 1) / MILL_PACK_ROWS * MILL_PACK_ROWS;
}

/* Sort a set's ids and check them. */
static mill_status finish_set(int32_t *ids, int32_t n, int32_t vocab, const char *name,
                              struct mill_error *err) {
    qsort(ids, (size_t)n, sizeof *ids, compare_ids);
    for (int32_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= vocab || (i > 0 && ids[i] == ids[i - 1]))
            return mill_fail(err, MILL_E_INPUT,
                             "the tokenizer's %s tokens: id %d is %s the vocabulary of %d rows",
                             name, ids[i], i > 0 && ids[i] == ids[i - 1] ? "twice in" : "outside",
                             vocab);
    return MILL_OK;
}

mill_status mill_weight_layout_head(struct mill_lm_weights *lm, int32_t **row_ids,
                                    const struct mill_shape *shape,
                                    const struct mill_control_tokens *tokens, bool full_head,
                                    struct mill_error *err) {
    *row_ids = NULL;
    MILL_TRY(check_families(shape, tokens, err));
    const struct mill_token_family *families[MILL_LEGAL_COUNT] = {
        &tokens->semantic, &tokens->global, &tokens->pitch_value, &tokens->speed_value, NULL};
    int32_t end = 0;
    for (int i = 0; i < MILL_LEGAL_COUNT; i++) {
        struct mill_legal_rows *set = &lm->legal[i];
        set->n_rows = families[i] ? families[i]->n : full_head ? shape->llm.vocab : 0;
        set->n_rows += i == MILL_LEGAL_SEMANTIC; /* im_end */
        set->first_row = i == 0 ? 0 : next_set_row(&lm->legal[i - 1]);
        if (set->n_rows > 0)
            end = set->first_row + set->n_rows;
    }
    int32_t *ids = mill_alloc_array((size_t)end, sizeof *ids);
    if (!ids)
        return mill_fail(err, MILL_E_MEMORY, "no memory for %d token ids", end);
    *row_ids = ids;
    memset(ids, 0xff, (size_t)end * sizeof *ids); /* -1: the rows between the sets */
    for (int i = 0; i < MILL_LEGAL_COUNT; i++) {
        struct mill_legal_rows *set = &lm->legal[i];
        if (set->n_rows == 0)
            continue;
        int32_t *to = ids + set->first_row;
        set->ids = to;
        if (i == MILL_LEGAL_SEMANTIC)
            *to++ = tokens->im_end;
        for (int32_t k = 0; !families[i] && k < set->n_rows; k++)
            to[k] = k;
        if (families[i] && families[i]->n > 0)
            memcpy(to, families[i]->ids, (size_t)families[i]->n * sizeof *to);
        MILL_TRY(
            finish_set(ids + set->first_row, set->n_rows, shape->llm.vocab, set_names[i], err));
    }
    lm->head.shape.n_out = end;
    return MILL_OK;
}
