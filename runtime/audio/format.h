/* format.h - the sound formats that are written: their names, endings, media types. */
#ifndef MILL_AUDIO_FORMAT_H
#define MILL_AUDIO_FORMAT_H

#include <stdbool.h>

/* name, name in options, ending of files, media type of a stream */
#define MILL_AUDIO_FORMAT_MAP(X)                                                                   \
    X(WAV16, "wav", "wav", "audio/wav")                                                            \
    X(WAV24, "wav24", "wav", "audio/wav")                                                          \
    X(WAV_FLOAT, "wavfloat", "wav", "audio/wav")                                                   \
    X(PCM, "pcm", "pcm", "audio/pcm")                                                              \
    X(FLAC, "flac", "flac", "audio/flac")                                                          \
    X(MP3, "mp3", "mp3", "audio/mpeg")                                                             \
    X(OPUS, "opus", "opus", "audio/ogg")                                                           \
    X(AAC, "aac", "aac", "audio/aac")                                                              \
    X(M4A, "m4a", "m4a", "audio/mp4")

enum mill_audio_format {
#define X(name, text, ending, media_type) MILL_AUDIO_##name,
    MILL_AUDIO_FORMAT_MAP(X)
#undef X
        MILL_AUDIO_FORMAT_COUNT
};
/* For messages: every option's name. */
#define MILL_AUDIO_FORMAT_NAMES "wav, wav24, wavfloat, pcm, flac, mp3, opus, aac and m4a"

/* The format of that option's name, or the one that a path's ending means (also .ogg = opus, .raw =
 * pcm); false when there is none. */
bool mill_audio_format_find(const char *name, enum mill_audio_format *out);
bool mill_audio_format_of_path(const char *path, enum mill_audio_format *out);

/* "mp3" without a dot; "audio/mpeg". */
const char *mill_audio_format_ending(enum mill_audio_format format);
const char *mill_audio_format_media_type(enum mill_audio_format format);

#endif
