/* cloner.h - from a recording's file to a voice's tokens, for whoever has a file and a model's
 * folder: read and judged, prepared, encoded. Between the two a caller may tell what was found.
 *
 * One thread; seconds of work, and memory as in cloning.h only while it is done. */
#ifndef MILL_VOICE_CLONER_H
#define MILL_VOICE_CLONER_H

#include "runtime/audio/recording_check.h"
#include "runtime/audio/recording_prepare.h"
#include "runtime/voice/voice.h"

struct mill_clone_source {
    const char *path; /* NULL = these bytes of a file */
    const void *bytes;
    size_t size;
    const char *transcript; /* NULL = the timbre only */
    bool keep_silence;      /* use silence at both ends too */
};

struct mill_clone_findings {
    bool judged; /* the rest is filled in: also when it was refused */
    enum mill_recording_format format;
    struct mill_recording_report report;
};

/* Samples to encode. MILL_E_INPUT with advice for what would not make a voice. */
mill_status mill_clone_prepare(const struct mill_clone_source *source,
                               const struct mill_shape *shape, struct mill_prepared *out,
                               struct mill_clone_findings *findings, struct mill_error *err);

struct mill_cloner {
    const char *folder;            /* the checkpoint */
    const char *backend;           /* NULL = cpu */
    const char *precision, *cache; /* NULL = what suits it, none */
    int32_t n_threads;             /* 0 = one per processor */
};
/* The voice gets its global tokens and, where there is a transcript, semantic ones. */
mill_status mill_clone_encode(const struct mill_cloner *cloner, const struct mill_shape *shape,
                              const struct mill_prepared *wave, struct mill_voice *voice,
                              struct mill_error *err);

#endif
