/* normalise.h - Unicode normalisation form C by ICU, in the version the published tokenizer uses.
 *
 * The tokenizers package normalises with the data of Unicode 9: characters that came later are
 * inert there. ICU's newer data are filtered to the same set, which makes the two equal on every
 * character (compared exhaustively). Text that is in form C already, nearly all text, is found so
 * and not copied. The normaliser is immutable and shared; the scratch memory is one thread's. */
#ifndef MILL_TEXT_NORMALISE_H
#define MILL_TEXT_NORMALISE_H

#include "runtime/base/buffer.h"
#include "runtime/base/status.h"

#include <unicode/unorm2.h>
#include <unicode/uset.h>

struct mill_normaliser {
    USet *characters;       /* owned: those that Unicode 9 knows */
    UNormalizer2 *filtered; /* owned: refers to `characters` */
};

mill_status mill_normaliser_open(struct mill_normaliser *normaliser, struct mill_error *err);
void mill_normaliser_close(struct mill_normaliser *normaliser);

struct mill_normaliser_scratch {
    struct mill_buffer wide, ordered, normal; /* UTF-16 */
    struct mill_buffer text;                  /* UTF-8 */
};

void mill_normaliser_scratch_init(struct mill_normaliser_scratch *scratch);
void mill_normaliser_scratch_deinit(struct mill_normaliser_scratch *scratch);

/* The normal form of `size` bytes (at most 2^24) of valid UTF-8. *out is `text` itself or lies in
 * the scratch memory until the next call. */
mill_status mill_normalise(const struct mill_normaliser *normaliser,
                           struct mill_normaliser_scratch *scratch, const char *text, size_t size,
                           const char **out, size_t *out_size, struct mill_error *err);

#endif
