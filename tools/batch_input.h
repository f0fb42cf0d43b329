/* batch_input.h - what `sparkmill batch` is to speak: JSON Lines, one object a line, all read and
 * checked before anything begins.
 *
 *   {"id": "ch01-007", "text": "It was late.", "voice": "anna.json", "seed": 7}
 *
 * Keys: id and text; ssml (true: the text is markup), dictionary (lines `written = spoken`); voice
 * (a file's path or a name in the registry) or gender, pitch, speed, pitch_hz and speed_syllables;
 * seed, temperature, top_k, top_p, max_seconds, redraws, priority. An id names a file, so it is 1
 * to 100 of A-Z a-z 0-9 . _ -, not beginning with a dot or a dash, and stands once. */
#ifndef MILL_TOOLS_BATCH_INPUT_H
#define MILL_TOOLS_BATCH_INPUT_H

#include "runtime/io/sha256.h"
#include "runtime/passage/passage.h"
#include "runtime/voice/registry.h"

#include <jansson.h>

struct mill_batch_item {
    json_t *object; /* owned */
    const char *id; /* the object's */
    size_t line;
    size_t text_bytes;
    char key[MILL_SHA256_HEX_BYTES]; /* of everything that its sound depends on */
    bool done;                       /* nothing is to be done */
};

struct mill_batch_input {
    struct mill_batch_item *items; /* owned: [n_items], in the order of the file */
    size_t n_items;
};

struct mill_batch_sizes {
    const struct mill_voice_model *voice_model;
    const struct mill_registry *registry;
    double frames_per_second;
    const char *common; /* what every key depends on: model, precision, format, version */
};

/* `path` "-" is standard input. Messages name the line. */
mill_status mill_batch_input_read(struct mill_batch_input *out, const char *path,
                                  const struct mill_batch_sizes *sizes, struct mill_error *err);
void mill_batch_input_deinit(struct mill_batch_input *input);

/* An item as a passage, and what that borrows from. It stays where it is until deinit. */
struct mill_batch_wish {
    struct mill_passage_options options;
    const struct mill_batch_sizes *sizes;
    struct mill_voice voice, named; /* the line's; the one that its markup named last */
    struct mill_dictionary *dictionary;
};
mill_status mill_batch_wish_init(struct mill_batch_wish *wish, const struct mill_batch_item *item,
                                 const struct mill_batch_sizes *sizes, struct mill_error *err);
void mill_batch_wish_deinit(struct mill_batch_wish *wish);

#endif
