/* teacher.c - the teacher's reading of a text: what flite's statistical voices (slt, rms, awb) say,
 * when, and with which spectrum, from which the training renders the sound (vocoder.py); or the
 * sound as flite makes it.
 *
 * Standard input has one job a line: ID VOICE STRETCH MORE TEXT, separated by tabs; STRETCH
 * multiplies all durations, MORE is "track" for the spectrum, "sound", or "none". Standard output
 * has one record for each, little-endian: int32 id, n_states, n_frames, n_channels, n_samples (0
 * where not asked for); n_states times {char phone[6], int8 part of the phone 0..2, int8 stress,
 * int32 end in frames, int32 syllable or -1, int32 chunk of the text or -1}; float32
 * f0_hz[n_frames], 0 = unvoiced; float32 mcep[n_frames, n_channels]; int16 samples[n_samples]. A
 * frame is 5 ms, 80 samples. One thread; a line that flite cannot read is left out. */
#include <flite/cst_cg.h>
#include <flite/flite.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

cst_voice *register_cmu_us_slt(const char *voxdir);
cst_voice *register_cmu_us_rms(const char *voxdir);
cst_voice *register_cmu_us_awb(const char *voxdir);

struct state {
    char phone[6];
    int8_t part, stress;
    int32_t end_frame, syllable, chunk;
};

/* What is wanted of a job beside states and pitch. */
struct wanted {
    bool track, sound;
};

/* flite renders as it synthesises; this ends the rendering at its first block where no sound is
 * wanted. */
static int go_on_rendering(const cst_wave *w, int start, int size, int last,
                           struct cst_audio_streaming_info_struct *asi) {
    (void)w, (void)start, (void)size, (void)last;
    const struct wanted *wanted = asi->userdata;
    return wanted->sound ? CST_AUDIO_STREAM_CONT : CST_AUDIO_STREAM_STOP;
}

/* Loaded at first use, never unloaded; NULL for an unknown name. */
static cst_voice *find_voice(const char *name, struct wanted *wanted) {
    static struct {
        const char *name;
        cst_voice *(*load)(const char *voxdir);
        cst_voice *voice;
    } voices[] = {{"slt", register_cmu_us_slt, NULL},
                  {"rms", register_cmu_us_rms, NULL},
                  {"awb", register_cmu_us_awb, NULL}};
    for (size_t i = 0; i < sizeof voices / sizeof voices[0]; i++) {
        if (strcmp(name, voices[i].name) != 0)
            continue;
        if (!voices[i].voice) {
            cst_audio_streaming_info *streaming = new_audio_streaming_info();
            streaming->min_buffsize = 1;
            streaming->asc = go_on_rendering;
            streaming->userdata = wanted;
            voices[i].voice = voices[i].load(NULL);
            feat_set(voices[i].voice->features, "streaming_info",
                     audio_streaming_info_val(streaming));
        }
        return voices[i].voice;
    }
    return NULL;
}

/* Number of the piece of text between spaces that a syllable belongs to. */
static int32_t chunk_of(const cst_item *syllable) {
    const cst_item *chunk = path_to_item(syllable, "parent.R:Token.parent");
    int32_t n = -1;
    for (; chunk; chunk = item_prev(chunk))
        n++;
    return n;
}

/* The states of the phones, three each; at most `capacity`. */
static int32_t collect_states(cst_utterance *utt, struct state *out, int32_t capacity) {
    int32_t n = 0, n_syllables = 0, chunk = -1;
    const cst_item *previous = NULL;
    for (cst_item *s = relation_head(utt_relation(utt, "Segment")); s && n + 3 <= capacity;
         s = item_next(s)) {
        const cst_item *in_syllable = item_as(s, "SylStructure");
        const cst_item *syllable = in_syllable ? item_parent(in_syllable) : NULL;
        if (syllable && !(previous && item_equal(syllable, previous))) {
            previous = syllable;
            n_syllables++;
            chunk = chunk_of(syllable);
        }
        int part = 0;
        for (cst_item *q = item_daughter(item_as(s, "segstate")); q; q = item_next(q), part++) {
            struct state *state = &out[n++];
            *state =
                (struct state){.part = (int8_t)(part < 3 ? part : 2), .syllable = -1, .chunk = -1};
            snprintf(state->phone, sizeof state->phone, "%s", item_feat_string(s, "name"));
            state->end_frame = (int32_t)(item_feat_float(q, "end") * 200.0f + 0.5f);
            if (syllable) {
                state->syllable = n_syllables - 1;
                state->chunk = chunk;
                state->stress = (int8_t)ffeature_int(syllable, "stress");
            }
            if (n == capacity)
                break;
        }
    }
    return n;
}

static int read_aloud(int32_t id, cst_voice *voice, float stretch, struct wanted wanted,
                      const char *text) {
    enum { CAPACITY = 4096 };
    static struct state states[CAPACITY];
    feat_set_float(voice->features, "duration_stretch", stretch);
    cst_utterance *utt = flite_synth_text(text, voice);
    if (!utt)
        return 0;
    cst_track *raw = val_track(utt_feat_val(utt, "param_track"));
    cst_cg_db *db = val_cg_db(utt_feat_val(utt, "cg_db"));
    cst_track *track = wanted.track && db->do_mlpg ? mlpg(raw, db) : NULL;
    const cst_track *from = track ? track : raw;
    int32_t n_states = collect_states(utt, states, CAPACITY);
    const cst_wave *wave = wanted.sound ? utt_wave(utt) : NULL;
    int32_t head[5] = {id, n_states, from->num_frames, wanted.track ? from->num_channels - 1 : 0,
                       wave ? wave->num_samples : 0};
    fwrite(head, sizeof head, 1, stdout);
    fwrite(states, sizeof states[0], (size_t)n_states, stdout);
    for (int i = 0; i < from->num_frames; i++)
        fwrite(&from->frames[i][0], sizeof(float), 1, stdout);
    for (int i = 0; wanted.track && i < from->num_frames; i++)
        fwrite(&from->frames[i][1], sizeof(float), (size_t)head[3], stdout);
    if (wave)
        fwrite(wave->samples, sizeof wave->samples[0], (size_t)wave->num_samples, stdout);
    if (track)
        delete_track(track);
    delete_utterance(utt);
    return ferror(stdout) ? -1 : 0;
}

int main(void) {
    char *line = NULL;
    size_t size = 0;
    struct wanted wanted;
    flite_init();
    for (ssize_t n; (n = getline(&line, &size, stdin)) > 0;) {
        line[strcspn(line, "\n")] = 0;
        char *rest = line, *field[5];
        int n_fields = 0;
        for (; n_fields < 5 && rest; n_fields++)
            field[n_fields] = n_fields < 4 ? strsep(&rest, "\t") : rest;
        cst_voice *voice = n_fields == 5 ? find_voice(field[1], &wanted) : NULL;
        if (!voice) {
            fprintf(stderr, "teacher: not a job: %s\n", line);
            return 1;
        }
        wanted = (struct wanted){strcmp(field[3], "track") == 0, strcmp(field[3], "sound") == 0};
        if (read_aloud((int32_t)strtol(field[0], NULL, 10), voice, strtof(field[2], NULL), wanted,
                       field[4]) < 0)
            return 1;
    }
    free(line);
    return fflush(stdout) == 0 ? 0 : 1;
}
