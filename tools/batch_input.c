/* batch_input.c - see batch_input.h. */
#include "tools/batch_input.h"

#include "runtime/base/file.h"
#include "runtime/base/memory.h"
#include "runtime/io/config.h"
#include "runtime/text/prompt.h"
#include "runtime/text/script.h"
#include "runtime/voice/voice_labels.h"
#include "runtime/voice/voice_use.h"
#include "tools/voice_open.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_INPUT_BYTES = 1 << 30, MAX_ITEMS = 1 << 24, MAX_ID = 100 };

/* It becomes the name of a file. */
static bool is_id(const char *id) {
    size_t n = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    return n >= 1 && n <= MAX_ID && id[n] == '\0' && id[0] != '.' && id[0] != '-';
}

/* ------------------------------------------------------------------ one object */

static mill_status check_keys(const json_t *object, struct mill_error *err) {
    static const char *const known[] = {"id",         "text",     "voice",       "gender",
                                        "pitch",      "speed",    "pitch_hz",    "speed_syllables",
                                        "seed",       "top_k",    "temperature", "top_p",
                                        "redraws",    "priority", "max_seconds", "ssml",
                                        "dictionary", NULL};
    const char *unknown = mill_config_find_unknown(object, known);
    return unknown ? mill_fail(err, MILL_E_INPUT, "unknown key '%.64s'", unknown) : MILL_OK;
}

static mill_status take_int(const json_t *object, const char *key, int64_t low, int64_t high,
                            int64_t *out, struct mill_error *err) {
    return json_object_get(object, key) ? mill_config_int(object, key, low, high, out, err)
                                        : MILL_OK;
}

static mill_status take_number(const json_t *object, const char *key, double low, double high,
                               double *out, struct mill_error *err) {
    return json_object_get(object, key) ? mill_config_number(object, key, low, high, out, err)
                                        : MILL_OK;
}

static mill_status take_label(const json_t *object, const char *key, int (*find)(const char *),
                              const char *labels, int32_t *out, struct mill_error *err) {
    const char *name;
    if (!json_object_get(object, key))
        return MILL_OK;
    MILL_TRY(mill_config_text(object, key, &name, err));
    *out = find(name);
    return *out >= 0 ? MILL_OK
                     : mill_fail(err, MILL_E_INPUT, "%s '%.40s': there are %s", key, name, labels);
}

static mill_status take_creation(const json_t *object, struct mill_engine_request *wish,
                                 struct mill_error *err) {
    double pitch_hz = -1;
    int64_t syllables = -1;
    MILL_TRY(
        take_label(object, "gender", mill_gender_find, MILL_GENDER_LABELS, &wish->gender, err));
    MILL_TRY(take_label(object, "pitch", mill_level_find, MILL_LEVEL_LABELS, &wish->pitch, err));
    MILL_TRY(take_label(object, "speed", mill_level_find, MILL_LEVEL_LABELS, &wish->speed, err));
    MILL_TRY(take_number(object, "pitch_hz", 1, 2000, &pitch_hz, err));
    MILL_TRY(take_int(object, "speed_syllables", 0, 100, &syllables, err));
    if ((pitch_hz < 0) != (syllables < 0))
        return mill_fail(err, MILL_E_INPUT, "pitch_hz and speed_syllables: both or neither");
    wish->pitch_value = pitch_hz < 0 ? -1 : mill_pitch_value_from_hz(pitch_hz);
    wish->speed_value = (int32_t)syllables;
    return MILL_OK;
}

static mill_status take_voice(const json_t *object, const struct mill_batch_sizes *sizes,
                              struct mill_engine_request *wish, struct mill_voice *voice,
                              struct mill_error *err) {
    static const char *const others[] = {"gender", "pitch", "speed", "pitch_hz", "speed_syllables"};
    const char *path;
    if (!json_object_get(object, "voice"))
        return take_creation(object, wish, err);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (json_object_get(object, others[i]))
            return mill_fail(err, MILL_E_INPUT, "voice gives a voice and %s creates one: not both",
                             others[i]);
    MILL_TRY(mill_config_text(object, "voice", &path, err));
    MILL_TRY(mill_voice_open(voice, path, sizes->registry, sizes->voice_model, err));
    mill_voice_use(voice, wish);
    mill_voice_use_sampling(voice, wish);
    return MILL_OK;
}

static mill_status take_parameters(const json_t *object, const struct mill_batch_sizes *sizes,
                                   struct mill_engine_request *wish, struct mill_error *err) {
    int64_t seed = (int64_t)wish->seed, top_k = wish->top_k, redraws = wish->max_redraws;
    int64_t priority = 0;
    double temperature = (double)wish->temperature, top_p = (double)wish->top_p, seconds = 60;
    MILL_TRY(take_int(object, "seed", 0, INT64_C(9007199254740992), &seed, err));
    MILL_TRY(take_int(object, "top_k", 0, 1000000, &top_k, err));
    MILL_TRY(take_int(object, "redraws", 0, 100, &redraws, err));
    MILL_TRY(take_int(object, "priority", -2, 2, &priority, err));
    MILL_TRY(take_number(object, "temperature", 0, 100, &temperature, err));
    MILL_TRY(take_number(object, "top_p", 1e-6, 1, &top_p, err));
    MILL_TRY(take_number(object, "max_seconds", 0.1, 3600, &seconds, err));
    if (temperature > 0 && temperature < 0.01)
        return mill_fail(err, MILL_E_INPUT, "temperature: 0, or 0.01 and more");
    wish->seed = (uint64_t)seed;
    wish->top_k = (int32_t)top_k;
    wish->max_redraws = (int32_t)redraws;
    wish->priority = (int32_t)priority;
    wish->temperature = (float)temperature;
    wish->top_p = (float)top_p;
    wish->max_frames = (int32_t)fmax(1, rint(seconds * sizes->frames_per_second));
    return MILL_OK;
}

/* A voice that markup names. */
static mill_status find_voice(void *context, const char *name, struct mill_engine_request *request,
                              struct mill_error *err) {
    struct mill_batch_wish *wish = context;
    mill_voice_deinit(&wish->named);
    MILL_TRY(
        mill_voice_open(&wish->named, name, wish->sizes->registry, wish->sizes->voice_model, err));
    mill_voice_use(&wish->named, request);
    return MILL_OK;
}

static mill_status take_text(const json_t *object, struct mill_batch_wish *wish,
                             struct mill_error *err) {
    struct mill_passage_options *o = &wish->options;
    const json_t *ssml = json_object_get(object, "ssml");
    const char *dictionary;
    MILL_TRY(mill_config_text(object, "text", &o->text, err));
    o->text_bytes = strlen(o->text);
    if (o->text_bytes == 0)
        return mill_fail(err, MILL_E_INPUT, "the text is empty");
    if (ssml && !json_is_boolean(ssml))
        return mill_fail(err, MILL_E_INPUT, "ssml: true or false is wanted");
    o->markup = json_is_true(ssml);
    if (!json_object_get(object, "dictionary"))
        return MILL_OK;
    MILL_TRY(mill_config_text(object, "dictionary", &dictionary, err));
    MILL_TRY(mill_dictionary_parse(&wish->dictionary, "of the line", dictionary, strlen(dictionary),
                                   err));
    o->dictionary = wish->dictionary;
    return MILL_OK;
}

mill_status mill_batch_wish_init(struct mill_batch_wish *wish, const struct mill_batch_item *item,
                                 const struct mill_batch_sizes *sizes, struct mill_error *err) {
    *wish = (struct mill_batch_wish){.sizes = sizes};
    mill_passage_options_init(&wish->options);
    wish->options.find_voice = find_voice;
    wish->options.context = wish;
    mill_status status = take_text(item->object, wish, err);
    if (status == MILL_OK)
        status = take_voice(item->object, sizes, &wish->options.wish, &wish->voice, err);
    if (status == MILL_OK) /* what the line says goes before what the voice says */
        status = take_parameters(item->object, sizes, &wish->options.wish, err);
    if (status < 0) {
        mill_batch_wish_deinit(wish);
        return mill_context(err, status, "line %zu", item->line);
    }
    return MILL_OK;
}

void mill_batch_wish_deinit(struct mill_batch_wish *wish) {
    mill_voice_deinit(&wish->voice);
    mill_voice_deinit(&wish->named);
    mill_dictionary_close(wish->dictionary);
    wish->dictionary = NULL;
}

/* ------------------------------------------------------------------ its key */

/* Voices that markup names, which shows too that it can be understood. */
static mill_status describe_named(struct mill_buffer *text, struct mill_batch_wish *wish,
                                  struct mill_error *err) {
    const struct mill_passage_options *o = &wish->options;
    struct mill_script script;
    MILL_TRY(mill_script_from_markup(&script, o->text, o->text_bytes, o->dictionary, err));
    mill_status status = MILL_OK;
    for (int32_t i = 0; i < script.n_voices && status == MILL_OK; i++) {
        struct mill_engine_request request = o->wish;
        status = find_voice(wish, mill_script_voice(&script, i), &request, err);
        if (status == MILL_OK)
            status = mill_passage_describe(text, &request, err);
    }
    mill_script_deinit(&script);
    return status;
}

/* Every value that the sound depends on, in words that cannot be read in two ways. */
static mill_status describe(struct mill_buffer *text, struct mill_batch_wish *wish,
                            const char *dictionary, struct mill_error *err) {
    const struct mill_passage_options *o = &wish->options;
    MILL_TRY(mill_buffer_printf(text, err, "%s\n", wish->sizes->common));
    MILL_TRY(mill_passage_describe(text, &o->wish, err));
    MILL_TRY(mill_buffer_printf(text, err, "\n%zu\n", o->text_bytes));
    MILL_TRY(mill_buffer_append(text, o->text, o->text_bytes, err));
    if (dictionary)
        MILL_TRY(
            mill_buffer_printf(text, err, "\ndictionary %zu\n%s", strlen(dictionary), dictionary));
    if (!o->markup)
        return MILL_OK;
    MILL_TRY(mill_buffer_printf(text, err, "\nssml"));
    return describe_named(text, wish, err);
}

static mill_status make_key(struct mill_batch_item *item, const struct mill_batch_sizes *sizes,
                            struct mill_error *err) {
    struct mill_batch_wish wish;
    struct mill_buffer text;
    MILL_TRY(mill_batch_wish_init(&wish, item, sizes, err));
    item->text_bytes = wish.options.text_bytes;
    mill_buffer_init(&text, MAX_INPUT_BYTES);
    mill_status status =
        describe(&text, &wish, json_string_value(json_object_get(item->object, "dictionary")), err);
    if (status < 0)
        mill_context(err, status, "line %zu", item->line);
    if (status == MILL_OK)
        status = mill_sha256_bytes(text.data, text.size, item->key, err);
    mill_buffer_deinit(&text);
    mill_batch_wish_deinit(&wish);
    return status;
}

/* ------------------------------------------------------------------ the file */

static mill_status read_item(struct mill_batch_item *item, const char *line, size_t size,
                             const struct mill_batch_sizes *sizes, struct mill_error *err) {
    mill_status status = mill_json_parse(&item->object, NULL, line, size, err);
    if (status == MILL_OK)
        status = json_is_object(item->object) ? check_keys(item->object, err)
                                              : mill_fail(err, MILL_E_INPUT, "not a JSON object");
    if (status == MILL_OK)
        status = mill_config_text(item->object, "id", &item->id, err);
    if (status == MILL_OK && !is_id(item->id))
        status = mill_fail(err, MILL_E_INPUT,
                           "id '%.40s': 1 to %d of A-Z a-z 0-9 . _ - are wanted, not beginning "
                           "with a dot or a dash, since it names a file",
                           item->id, MAX_ID);
    if (status < 0)
        return mill_context(err, status, "line %zu", item->line);
    return make_key(item, sizes, err);
}

static int by_id(const void *a, const void *b) {
    const struct mill_batch_item *const *x = a, *const *y = b;
    return strcmp((*x)->id, (*y)->id);
}

static mill_status check_unique(const struct mill_batch_input *input, struct mill_error *err) {
    const struct mill_batch_item **sorted =
        mill_alloc_array(input->n_items, sizeof(struct mill_batch_item *));
    if (!sorted)
        return mill_fail(err, MILL_E_MEMORY, "no memory for %zu items", input->n_items);
    for (size_t i = 0; i < input->n_items; i++)
        sorted[i] = &input->items[i];
    qsort(sorted, input->n_items, sizeof *sorted, by_id);
    mill_status status = MILL_OK;
    for (size_t i = 1; i < input->n_items && status == MILL_OK; i++)
        if (strcmp(sorted[i - 1]->id, sorted[i]->id) == 0)
            status = mill_fail(err, MILL_E_INPUT, "lines %zu and %zu: both have the id '%s'",
                               sorted[i - 1]->line, sorted[i]->line, sorted[i]->id);
    free(sorted);
    return status;
}

static mill_status read_lines(struct mill_batch_input *input, const struct mill_buffer *text,
                              const struct mill_batch_sizes *sizes, struct mill_error *err) {
    size_t n_lines = 1;
    for (size_t i = 0; i < text->size; i++)
        n_lines += text->data[i] == '\n';
    if (n_lines > MAX_ITEMS)
        return mill_fail(err, MILL_E_INPUT, "more than %d lines", MAX_ITEMS);
    input->items = mill_alloc_array(n_lines, sizeof *input->items);
    if (!input->items)
        return mill_fail(err, MILL_E_MEMORY, "no memory for %zu lines", n_lines);
    size_t at = 0;
    for (size_t line = 1; at < text->size; line++) {
        const char *start = text->data + at, *end = memchr(start, '\n', text->size - at);
        size_t size = end ? (size_t)(end - start) : text->size - at;
        at += size + 1;
        if (strspn(start, " \t\r") >= size)
            continue;
        struct mill_batch_item *item = &input->items[input->n_items++];
        item->line = line;
        MILL_TRY(read_item(item, start, size, sizes, err));
    }
    return check_unique(input, err);
}

mill_status mill_batch_input_read(struct mill_batch_input *out, const char *path,
                                  const struct mill_batch_sizes *sizes, struct mill_error *err) {
    *out = (struct mill_batch_input){0};
    struct mill_buffer text;
    mill_buffer_init(&text, MAX_INPUT_BYTES);
    mill_status status = mill_file_read(path, &text, err);
    if (status == MILL_OK)
        status = mill_buffer_append(&text, "\n", 2, err); /* a last line, and a terminator */
    if (status == MILL_OK) {
        text.size--;
        status = read_lines(out, &text, sizes, err);
        if (status < 0)
            mill_context(err, status, "'%s'", path);
    }
    mill_buffer_deinit(&text);
    if (status < 0)
        mill_batch_input_deinit(out);
    return status;
}

void mill_batch_input_deinit(struct mill_batch_input *input) {
    for (size_t i = 0; i < input->n_items; i++)
        json_decref(input->items[i].object);
    free(input->items);
    *input = (struct mill_batch_input){0};
}
