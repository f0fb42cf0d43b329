/* kept.h - the sound of a passage's segments on the disk, for the run that goes on where another
 * one was killed.
 *
 *     book.mp3.part/<64 digits>     a segment: header, the voice that it created, samples, hash
 *
 * The name is the hash of everything that the sound depends on, so what was asked for differently
 * is not found. A file appears whole or not at all (base/file.h), and is used only after its own
 * hash was found right: one that a power cut damaged is as good as none, so nobody waits for the
 * disk. One process at a time has the folder; what is in it and not called as a segment is left
 * alone. One thread. */
#ifndef MILL_PASSAGE_KEPT_H
#define MILL_PASSAGE_KEPT_H

#include "runtime/base/file.h"
#include "runtime/io/sha256.h"

struct mill_kept;

/* What became of a segment's request, as it stands in the file; its fields, but for n_voice, as in
 * mill_request_result. */
struct mill_kept_outcome {
    uint32_t end, findings, n_frames, n_redraws, exact;
    uint32_t n_voice; /* global tokens: those of a voice that it created, or 0 */
    uint64_t seed, n_samples;
};
/* That, and the sound. */
struct mill_kept_sound {
    struct mill_kept_outcome of;
    const int32_t *voice; /* borrowed */
    const float *samples; /* borrowed */
};

/* Makes the folder where it is not there, and removes what a killed process left half. */
mill_status mill_kept_open(struct mill_kept **out, const char *folder, struct mill_error *err);
/* Removes the folder when nothing is in it. NULL is fine. */
void mill_kept_close(struct mill_kept *kept);

/* Whether there is a segment of that name. */
bool mill_kept_has(const struct mill_kept *kept, const char key[MILL_SHA256_HEX_BYTES]);
/* The sound points into the mapping, which is the caller's to close. MILL_AGAIN: there is none. */
mill_status mill_kept_find(const struct mill_kept *kept, const char key[MILL_SHA256_HEX_BYTES],
                           struct mill_mapping *mapping, struct mill_kept_sound *out,
                           struct mill_error *err);
mill_status mill_kept_put(struct mill_kept *kept, const char key[MILL_SHA256_HEX_BYTES],
                          const struct mill_kept_sound *sound, struct mill_error *err);
/* Removes all segments. */
void mill_kept_clear(struct mill_kept *kept);

#endif
