/* wire_speech.c - see wire_speech.h. jansson bounds depth and checks UTF-8, refuses duplicate keys
 * and numbers that are not finite. */
#include "runtime/server/wire_speech.h"

#include "runtime/io/config.h"
#include "runtime/voice/voice_labels.h"

#include <math.h>
#include <string.h>

enum {
    OPENAI_PCM_RATE = 24000,
    MAX_INSTRUCTION_CHARS = 4096,
    MAX_NAME_BYTES = 256,
    MAX_LANGUAGE_CHARS = 35,
    MAX_REST_MS = 60000,
    MAX_DICTIONARY_CHARS = 16384
};
#define MAX_SEED 9007199254740992.0 /* 2^53: what every JSON reader keeps exactly */

static int refuse(struct mill_problem *problem, const char *field, const char *what) {
    mill_problem_set(problem, 400, "invalid_value", field, "%s: %s", field, what);
    return -1;
}

/* The functions below return false, with *problem filled in, for what is not acceptable. */

static const char *const our_fields[] = {
    "seed",         "temperature", "top_k",       "top_p",    "gender",     "pitch",
    "rate",         "priority",    "redraws",     "language", "clause_ms",  "sentence_ms",
    "paragraph_ms", "deadline_ms", "sample_rate", "ssml",     "dictionary", NULL};

static bool is_ours(const char *name) {
    int i = 0;
    while (our_fields[i] && strcmp(our_fields[i], name) != 0)
        i++;
    return our_fields[i];
}

static bool check_keys(const json_t *object, const char *const *names, const char *in,
                       struct mill_problem *problem) {
    const char *unknown = mill_config_find_unknown(object, names);
    if (unknown)
        mill_problem_set(
            problem, 400, "unknown_parameter", unknown, "%sthere is no field '%.40s'%s", in,
            unknown, names != our_fields && is_ours(unknown) ? ": it is one of \"sparkmill\"" : "");
    return !unknown;
}

static size_t count_chars(const char *text) {
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

/* A text of 1 to `most` characters; NULL stays where the field is not there. */
static bool take_text(const json_t *object, const char *key, size_t most, const char **out,
                      struct mill_problem *problem) {
    const json_t *value = json_object_get(object, key);
    if (!value)
        return true;
    if (!json_is_string(value) || json_string_length(value) == 0)
        return !refuse(problem, key, "a text is wanted");
    size_t n = count_chars(json_string_value(value));
    if (n > most) {
        mill_problem_set(problem, 400, "string_above_max_length", key,
                         "%s: %zu characters, at most %zu are taken", key, n, most);
        return false;
    }
    *out = json_string_value(value);
    return true;
}

static bool take_number(const json_t *object, const char *key, double low, double high, bool whole,
                        double *out, struct mill_problem *problem) {
    const json_t *value = json_object_get(object, key);
    if (!value)
        return true;
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= low && number <= high) ||
        (whole && number != floor(number))) {
        mill_problem_set(problem, 400, "invalid_value", key,
                         "%s: a %s from %.16g to %.16g is wanted", key,
                         whole ? "whole number" : "number", low, high);
        return false;
    }
    *out = number;
    return true;
}

static bool take_switch(const json_t *object, const char *key, bool *out,
                        struct mill_problem *problem) {
    const json_t *value = json_object_get(object, key);
    if (value && !json_is_boolean(value))
        return !refuse(problem, key, "true or false is wanted");
    *out = json_is_true(value);
    return true;
}

/* The number of the word among `words`; *out stays where the field is not there. */
static bool take_word(const json_t *object, const char *key, const char *const *words, int n,
                      int *out, struct mill_problem *problem) {
    const json_t *value = json_object_get(object, key);
    if (!value)
        return true;
    for (int i = 0; json_is_string(value) && i < n; i++)
        if (strcmp(words[i], json_string_value(value)) == 0) {
            *out = i;
            return true;
        }
    char list[128] = "one of ";
    for (int i = 0; i < n; i++) {
        strncat(list, words[i], sizeof list - strlen(list) - 1);
        strncat(list, i + 1 < n ? ", " : " is wanted", sizeof list - strlen(list) - 1);
    }
    return !refuse(problem, key, list);
}

/* ------------------------------------------------------------------ ours */

static bool take_labels(const json_t *ours, struct mill_labels *labels,
                        struct mill_problem *problem) {
    return take_word(ours, "gender", mill_gender_names, MILL_GENDERS, &labels->gender, problem) &&
           take_word(ours, "pitch", mill_level_names, MILL_LEVELS, &labels->pitch, problem) &&
           take_word(ours, "rate", mill_level_names, MILL_LEVELS, &labels->rate, problem);
}

static bool take_ours(const json_t *root, struct mill_speech_wish *wish,
                      struct mill_problem *problem) {
    const json_t *ours = json_object_get(root, "sparkmill");
    if (!ours)
        return true;
    if (!json_is_object(ours))
        return !refuse(problem, "sparkmill", "an object is wanted");
    double seed = -1, top_k = -1, redraws = -1, priority = -1e9, deadline_ms = 0, rate = 0;
    double clause_ms = -1, sentence_ms = -1, paragraph_ms = -1;
    if (!check_keys(ours, our_fields, "sparkmill: ", problem) ||
        !take_number(ours, "seed", 0, MAX_SEED, true, &seed, problem) ||
        !take_number(ours, "temperature", 0, 100, false, &wish->temperature, problem) ||
        !take_number(ours, "top_k", 0, 1000000, true, &top_k, problem) ||
        !take_number(ours, "top_p", 1e-6, 1, false, &wish->top_p, problem) ||
        !take_number(ours, "redraws", 0, 100, true, &redraws, problem) ||
        !take_number(ours, "priority", -2, 2, true, &priority, problem) ||
        !take_number(ours, "deadline_ms", 1, 86400000, true, &deadline_ms, problem) ||
        !take_number(ours, "clause_ms", 0, MAX_REST_MS, true, &clause_ms, problem) ||
        !take_number(ours, "sentence_ms", 0, MAX_REST_MS, true, &sentence_ms, problem) ||
        !take_number(ours, "paragraph_ms", 0, MAX_REST_MS, true, &paragraph_ms, problem) ||
        !take_switch(ours, "ssml", &wish->is_markup, problem) ||
        !take_text(ours, "dictionary", MAX_DICTIONARY_CHARS, &wish->dictionary, problem) ||
        !take_text(ours, "language", MAX_LANGUAGE_CHARS, &wish->language, problem) ||
        !take_number(ours, "sample_rate", 8000, 48000, true, &rate, problem) ||
        !take_labels(ours, &wish->labels, problem))
        return false;
    if (wish->temperature > 0 && wish->temperature < 0.01)
        return !refuse(problem, "temperature", "0, or 0.01 and more");
    wish->seed = (int64_t)seed;
    wish->top_k = (int64_t)top_k;
    wish->redraws = (int64_t)redraws;
    wish->priority = priority < -2 ? INT64_MIN : (int64_t)priority;
    wish->deadline_s = 1e-3 * deadline_ms;
    wish->clause_ms = (int32_t)clause_ms;
    wish->sentence_ms = (int32_t)sentence_ms;
    wish->paragraph_ms = (int32_t)paragraph_ms;
    wish->output_rate = (int32_t)rate;
    return true;
}

/* ------------------------------------------------------------------ OpenAI's */

/* A name, or {"id": name}. */
static bool take_voice(const json_t *root, const char **out, struct mill_problem *problem) {
    const json_t *value = json_object_get(root, "voice");
    if (json_is_object(value) && json_object_size(value) == 1 && json_object_get(value, "id")) {
        if (!take_text(value, "id", MAX_NAME_BYTES, out, problem))
            return false;
    } else if (json_is_object(value)) {
        return !refuse(problem, "voice", "a name, or an object with an id, is wanted");
    }
    return *out || take_text(root, "voice", MAX_NAME_BYTES, out, problem);
}

static bool take_format(const json_t *root, struct mill_speech_wish *wish,
                        struct mill_problem *problem) {
    static const char *const names[] = {"mp3", "opus", "aac", "flac", "wav", "pcm"};
    static const char *const streams[] = {"audio", "sse"};
    int format = 0, stream = 0;
    if (!take_word(root, "response_format", names, 6, &format, problem) ||
        !take_word(root, "stream_format", streams, 2, &stream, problem))
        return false;
    wish->is_sse = stream == 1;
    return mill_audio_format_find(names[format], &wish->format);
}

/* What the words say goes behind what the labels say; both may not say different things. */
static bool take_instructions(const json_t *root, struct mill_speech_wish *wish,
                              struct mill_problem *problem) {
    struct mill_error err;
    struct mill_labels said;
    const char *text = NULL;
    const json_t *value = json_object_get(root, "instructions");
    if (value && json_is_string(value) && json_string_length(value) == 0)
        return true;
    if (!take_text(root, "instructions", MAX_INSTRUCTION_CHARS, &text, problem) || !text)
        return !problem->status;
    if (mill_instructions_read(text, &said, &err) < 0)
        return !refuse(problem, "instructions", err.text);
    int *ours[] = {&wish->labels.gender, &wish->labels.pitch, &wish->labels.rate};
    const int words[] = {said.gender, said.pitch, said.rate};
    for (int i = 0; i < 3; i++) {
        if (words[i] >= 0 && *ours[i] >= 0 && words[i] != *ours[i])
            return !refuse(problem, "instructions", "they contradict what \"sparkmill\" says");
        *ours[i] = words[i] >= 0 ? words[i] : *ours[i];
    }
    return true;
}

static bool read_root(const json_t *root, size_t max_chars, struct mill_speech_wish *wish,
                      struct mill_problem *problem) {
    static const char *const names[] = {"model",         "input",           "voice",
                                        "instructions",  "response_format", "speed",
                                        "stream_format", "sparkmill",       NULL};
    if (!check_keys(root, names, "", problem) ||
        !take_text(root, "model", MAX_NAME_BYTES, &wish->model, problem) ||
        !take_text(root, "input", max_chars, &wish->input, problem) ||
        !take_voice(root, &wish->voice, problem) || !take_format(root, wish, problem) ||
        !take_number(root, "speed", 0.25, 4, false, &wish->speed, problem) ||
        !take_ours(root, wish, problem) || !take_instructions(root, wish, problem))
        return false;
    const char *missing = !wish->model   ? "model"
                          : !wish->input ? "input"
                          : !wish->voice ? "voice"
                                         : NULL;
    if (missing) {
        mill_problem_set(problem, 400, "missing_required_parameter", missing, "%s: is wanted",
                         missing);
        return false;
    }
    wish->input_bytes = strlen(wish->input);
    if (wish->output_rate == 0 && wish->format == MILL_AUDIO_PCM)
        wish->output_rate = OPENAI_PCM_RATE; /* it has no place to say so */
    return true;
}

mill_status mill_wire_speech_take(json_t *taken, size_t max_chars, struct mill_speech_wish *out,
                                  struct mill_problem *problem) {
    *problem = (struct mill_problem){0};
    *out = (struct mill_speech_wish){.source = taken,
                                     .speed = 1,
                                     .labels = {-1, -1, -1},
                                     .temperature = -1,
                                     .top_p = -1,
                                     .top_k = -1,
                                     .seed = -1,
                                     .redraws = -1,
                                     .clause_ms = -1,
                                     .sentence_ms = -1,
                                     .paragraph_ms = -1,
                                     .priority = INT64_MIN};
    mill_status status = MILL_E_INPUT;
    if (mill_json_ran_short()) { /* fields may be missing */
        status = MILL_E_MEMORY;
        mill_problem_of_status(problem, status, NULL);
    } else if (read_root(taken, max_chars, out, problem)) {
        return MILL_OK;
    }
    mill_speech_wish_deinit(out);
    return status;
}

mill_status mill_wire_speech_read(const char *data, size_t size, size_t max_chars,
                                  struct mill_speech_wish *out, struct mill_problem *problem) {
    json_t *root;
    *out = (struct mill_speech_wish){0};
    MILL_TRY(mill_problem_read_json(&root, data, size, problem));
    return mill_wire_speech_take(root, max_chars, out, problem);
}

void mill_speech_wish_deinit(struct mill_speech_wish *wish) {
    json_decref(wish->source);
    wish->source = NULL;
}
