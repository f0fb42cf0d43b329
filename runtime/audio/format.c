/* format.c - see format.h. */
#include "runtime/audio/format.h"

#include <string.h>
#include <strings.h>

static const struct {
    const char *name, *ending, *media_type;
} formats[] = {
#define X(name, text, ending, media_type) {text, ending, media_type},
    MILL_AUDIO_FORMAT_MAP(X)
#undef X
};

bool mill_audio_format_find(const char *name, enum mill_audio_format *out) {
    for (int i = 0; i < MILL_AUDIO_FORMAT_COUNT; i++)
        if (strcmp(name, formats[i].name) == 0) {
            *out = (enum mill_audio_format)i;
            return true;
        }
    return false;
}

bool mill_audio_format_of_path(const char *path, enum mill_audio_format *out) {
    const char *dot = strrchr(path, '.');
    if (!dot)
        return false;
    const char *ending = strcasecmp(dot, ".ogg") == 0   ? "opus"
                         : strcasecmp(dot, ".raw") == 0 ? "pcm"
                                                        : dot + 1;
    for (int i = 0; i < MILL_AUDIO_FORMAT_COUNT; i++) /* the first of an ending is its usual one */
        if (strcasecmp(ending, formats[i].ending) == 0) {
            *out = (enum mill_audio_format)i;
            return true;
        }
    return false;
}

const char *mill_audio_format_ending(enum mill_audio_format format) {
    return formats[format].ending;
}

const char *mill_audio_format_media_type(enum mill_audio_format format) {
    return formats[format].media_type;
}
