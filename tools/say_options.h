/* say_options.h - what `sparkmill say` was asked for: options read, checked and made whole, before
 * anything is opened. */
#ifndef MILL_TOOLS_SAY_OPTIONS_H
#define MILL_TOOLS_SAY_OPTIONS_H

#include "runtime/audio/writer.h"
#include "tools/demo_voice.h"

struct mill_say_options {
    /* As given: borrowed from the command line, NULL where not given. */
    const char *text, *file, *model, *voice, *voices, *output, *format_name, *precision, *devices;
    const char *gender_name, *pitch_name, *speed_name, *save_voice, *dictionary;
    double pitch_hz, speed_syllables; /* -1 = not given, as the next four */
    double temperature, top_p;
    long long seed, top_k;
    double max_seconds, speed_factor;
    bool ssml, unrestricted, no_cache, no_disclosure;
    /* What follows from it. */
    int gender, pitch, speed; /* numbers of the labels */
    enum mill_audio_format format;
    bool to_pipe;
    char demo_voice[MILL_DEMO_VOICE_BYTES]; /* where no model was given */
};

/* MILL_GO_ON, or the exit status after --help or saying what is wrong. */
int mill_say_options_read(struct mill_say_options *out, int argc, char **argv);

#endif
