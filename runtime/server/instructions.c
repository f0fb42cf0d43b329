/* instructions.c - see instructions.h.
 *
 * Words are adjectives of a level, nouns of what has one, or both at once ("slowly"). An adjective
 * waits for its noun ("a very low pitch"), a noun for its adjective ("pitch: very low"). */
#include "runtime/server/instructions.h"

#include "runtime/voice/voice_labels.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

enum meaning { FILLER, VERY, LEVEL, PITCH, RATE, GENDER, PITCH_LEVEL, RATE_LEVEL, VOICE };

static const struct word {
    const char *text;
    enum meaning meaning;
    int value; /* a level of 1, 2, 3, or a gender */
} words[] = {
    {"very", VERY, 0},          {"extremely", VERY, 0},
    {"low", LEVEL, 1},          {"lower", LEVEL, 1},
    {"moderate", LEVEL, 2},     {"medium", LEVEL, 2},
    {"normal", LEVEL, 2},       {"average", LEVEL, 2},
    {"high", LEVEL, 3},         {"higher", LEVEL, 3},
    {"pitch", PITCH, 0},        {"pitched", PITCH, 0},
    {"deep", PITCH_LEVEL, 1},   {"deeper", PITCH_LEVEL, 1},
    {"speed", RATE, 0},         {"pace", RATE, 0},
    {"rate", RATE, 0},          {"tempo", RATE, 0},
    {"slow", RATE_LEVEL, 1},    {"slower", RATE_LEVEL, 1},
    {"slowly", RATE_LEVEL, 1},  {"fast", RATE_LEVEL, 3},
    {"faster", RATE_LEVEL, 3},  {"quick", RATE_LEVEL, 3},
    {"quickly", RATE_LEVEL, 3}, {"rapid", RATE_LEVEL, 3},
    {"rapidly", RATE_LEVEL, 3}, {"female", GENDER, 0},
    {"woman", GENDER, 0},       {"feminine", GENDER, 0},
    {"male", GENDER, 1},        {"man", GENDER, 1},
    {"masculine", GENDER, 1},   {"voice", VOICE, 0},
    {"gender", FILLER, 0},      {"a", FILLER, 0},
    {"an", FILLER, 0},          {"and", FILLER, 0},
    {"at", FILLER, 0},          {"in", FILLER, 0},
    {"it", FILLER, 0},          {"of", FILLER, 0},
    {"please", FILLER, 0},      {"read", FILLER, 0},
    {"s", FILLER, 0}, /* "a woman's voice" */
    {"say", FILLER, 0},         {"speak", FILLER, 0},
    {"speaking", FILLER, 0},    {"talk", FILLER, 0},
    {"the", FILLER, 0},         {"this", FILLER, 0},
    {"use", FILLER, 0},         {"with", FILLER, 0},
};

struct reader {
    struct mill_labels labels;
    int level;  /* that waits for its noun; -1 = none */
    int *noun;  /* that waits for its level */
    bool very;  /* stands before what comes */
    bool clash; /* one thing was said in two ways */
};

static void assign(struct reader *r, int *field, int value) {
    r->clash = r->clash || (*field >= 0 && *field != value);
    *field = value;
}

/* 1 and 3 become 0 and 4 behind "very". */
static int take_level(struct reader *r, int level) {
    if (r->very)
        level = level == 1 ? 0 : level == 3 ? 4 : level;
    r->very = false;
    return level;
}

/* "a slow pace" has said it all, by an adjective that needs no noun. */
static void take_noun(struct reader *r, int *field) {
    if (r->level >= 0)
        assign(r, field, r->level);
    else if (*field < 0)
        r->noun = field;
    r->level = -1;
}

/* False when the words so far make no sense. */
static bool take_word(struct reader *r, const struct word *word) {
    int *field;
    switch (word->meaning) {
    case FILLER:
        return true;
    case VERY:
        r->very = true;
        return true;
    case LEVEL:
        if (r->level >= 0)
            return false;
        r->level = take_level(r, word->value);
        if (r->noun)
            assign(r, r->noun, r->level);
        r->level = r->noun ? -1 : r->level;
        r->noun = NULL;
        return true;
    case PITCH:
    case RATE:
        if (r->noun || r->very)
            return false;
        take_noun(r, word->meaning == PITCH ? &r->labels.pitch : &r->labels.rate);
        return true;
    case VOICE: /* "a low voice" */
        if (r->level >= 0)
            take_noun(r, &r->labels.pitch);
        return true;
    case GENDER: /* "a low male voice": the level still waits */
        assign(r, &r->labels.gender, word->value);
        return !r->very;
    case PITCH_LEVEL:
    case RATE_LEVEL:
        field = word->meaning == PITCH_LEVEL ? &r->labels.pitch : &r->labels.rate;
        if (r->level >= 0 || (r->noun && r->noun != field))
            return false;
        r->noun = NULL; /* "pace: slow" */
        assign(r, field, take_level(r, word->value));
        return true;
    }
    return false;
}

static const struct word *find_word(const char *text, size_t size) {
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i].text) == size && strncasecmp(words[i].text, text, size) == 0)
            return &words[i];
    return NULL;
}

static bool is_part_of_word(char c) {
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

static mill_status fail(struct mill_error *err, const char *what, int n, const char *text) {
    return mill_fail(
        err, MILL_E_INPUT,
        "%s '%.*s': this model has a gender (female, male), pitch and speed (very low, "
        "low, moderate, high, very high), and nothing else",
        what, n > 60 ? 60 : n, text);
}

mill_status mill_instructions_read(const char *text, struct mill_labels *out,
                                   struct mill_error *err) {
    struct reader r = {.labels = {-1, -1, -1}, .level = -1};
    const char *at = text;
    while (*at) {
        if (!is_part_of_word(*at)) {
            if (!strchr(" \t\r\n.,;:!-_'\"", *at))
                return fail(err, "not understood:", 1, at);
            at++;
            continue;
        }
        size_t n = 0;
        while (is_part_of_word(at[n]))
            n++;
        const struct word *word = find_word(at, n);
        if (!word || !take_word(&r, word))
            return fail(err, "not understood:", (int)n, at);
        at += n;
    }
    if (r.level >= 0 || r.noun || r.very)
        return fail(err, "unfinished:", (int)strlen(text), text);
    if (r.clash)
        return fail(err, "two wishes that exclude each other:", (int)strlen(text), text);
    *out = r.labels;
    return MILL_OK;
}

/* ------------------------------------------------------------------ references */

/* "pitch:high" or "speed:low", up to a comma. */
static bool take_label(const char *text, size_t size, struct mill_labels *labels) {
    bool is_pitch = strncmp(text, "pitch:", 6) == 0;
    if (size < 6 || (!is_pitch && strncmp(text, "speed:", 6) != 0))
        return false;
    for (int i = 0; i < MILL_LEVELS; i++) {
        const char *name = mill_level_names[i];
        if (strlen(name) == size - 6 && memcmp(name, text + 6, size - 6) == 0) {
            *(is_pitch ? &labels->pitch : &labels->rate) = i;
            return true;
        }
    }
    return false;
}

mill_status mill_voice_reference_read(const char *text, char name[MILL_VOICE_REFERENCE_BYTES],
                                      struct mill_labels *out, struct mill_error *err) {
    size_t n = strcspn(text, ",");
    *out = (struct mill_labels){-1, -1, -1};
    if (n == 0 || n >= MILL_VOICE_REFERENCE_BYTES)
        return mill_fail(err, MILL_E_INPUT, "voice '%.64s': a name is wanted", text);
    memcpy(name, text, n);
    name[n] = '\0';
    for (text += n; *text == ','; text += n) {
        text++;
        n = strcspn(text, ",");
        if (!take_label(text, n, out))
            return mill_fail(err, MILL_E_INPUT,
                             "voice '%s': '%.*s' is neither pitch:LEVEL nor speed:LEVEL", name,
                             (int)(n < 40 ? n : 40), text);
    }
    return MILL_OK;
}
