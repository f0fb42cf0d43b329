/* voice.c - see voice.h: names, times, hashes and what is allowed. The file is read in voice_read.c
 * and written in voice_write.c. No state. */
#include "runtime/voice/voice.h"

#include "runtime/base/buffer.h"
#include "runtime/io/sha256.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { HASHED_BYTES = 1 << 16, CANONICAL_DIGITS = 9 };

void mill_voice_deinit(struct mill_voice *voice) {
    free(voice->global);
    free(voice->semantic);
    json_decref(voice->source);
    *voice = (struct mill_voice){0};
}

/* ------------------------------------------------------------------ names and times */

static bool is_name_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), n_end = strlen(end);
    return n >= n_end && strcmp(text + n - n_end, end) == 0;
}

mill_status mill_voice_check_name(const char *name, struct mill_error *err) {
    size_t n = strlen(name);
    bool good = n >= 1 && n < MILL_VOICE_NAME_BYTES && name[0] != '.' &&
                !ends_with(name, ".voice") && !ends_with(name, ".json");
    for (size_t i = 0; good && i < n; i++)
        good = is_name_character(name[i]);
    if (good)
        return MILL_OK;
    return mill_fail(err, MILL_E_INPUT,
                     "this is no name for a voice: 1 to %d of A-Z a-z 0-9 . _ - are wanted, not "
                     "beginning with a dot, not ending in .voice or .json",
                     MILL_VOICE_NAME_BYTES - 1);
}

void mill_voice_name_from_path(char name[MILL_VOICE_NAME_BYTES], const char *path) {
    const char *slash = strrchr(path, '/');
    const char *start = slash ? slash + 1 : path;
    const char *dot = strrchr(start, '.');
    size_t size = dot && dot > start ? (size_t)(dot - start) : strlen(start);
    if (size > MILL_VOICE_NAME_BYTES - 1)
        size = MILL_VOICE_NAME_BYTES - 1;
    for (size_t i = 0; i < size; i++)
        name[i] = is_name_character(start[i]) ? start[i] : '_';
    name[size] = '\0';
    if (mill_voice_check_name(name, NULL) < 0)
        snprintf(name, MILL_VOICE_NAME_BYTES, "voice");
}

void mill_voice_now(char text[MILL_VOICE_TIME_BYTES]) {
    mill_voice_print_time((int64_t)time(NULL), text);
}

void mill_voice_print_time(int64_t time_s, char text[MILL_VOICE_TIME_BYTES]) {
    time_t time = (time_t)time_s;
    struct tm utc;
    gmtime_r(&time, &utc);
    strftime(text, MILL_VOICE_TIME_BYTES, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

static int two_digits(const char *at) {
    return 10 * (at[0] - '0') + (at[1] - '0');
}

bool mill_voice_time_is_valid(const char *text) {
    static const char form[] = "0000-00-00T00:00:00Z";
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (strlen(text) != sizeof form - 1)
        return false;
    for (size_t i = 0; i < sizeof form - 1; i++)
        if (form[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
            return false;
    int year = 100 * two_digits(text) + two_digits(text + 2), month = two_digits(text + 5);
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month >= 1 && month <= 12 && two_digits(text + 8) >= 1 &&
           two_digits(text + 8) <= days[month - 1] + (month == 2 && leap) &&
           two_digits(text + 11) < 24 && two_digits(text + 14) < 60 && two_digits(text + 17) < 60;
}

/* ------------------------------------------------------------------ hashes */

/* An id is the first digits of a text's hash. */
static mill_status make_id(char id[MILL_VOICE_ID_BYTES], const struct mill_buffer *text,
                           struct mill_error *err) {
    char hex[MILL_SHA256_HEX_BYTES];
    MILL_TRY(mill_sha256_bytes(text->data, text->size, hex, err));
    memcpy(id, hex, MILL_VOICE_ID_BYTES - 1);
    id[MILL_VOICE_ID_BYTES - 1] = '\0';
    return MILL_OK;
}

mill_status mill_voice_checksum(char hex[MILL_VOICE_HASH_BYTES], const json_t *root,
                                struct mill_error *err) {
    json_t *bare = json_copy((json_t *)(uintptr_t)root); /* shallow; the original stays whole */
    if (bare)
        json_object_del(bare, "checksum");
    char *text = bare ? json_dumps(bare, JSON_COMPACT | JSON_SORT_KEYS |
                                             JSON_REAL_PRECISION(CANONICAL_DIGITS))
                      : NULL;
    json_decref(bare);
    if (!text)
        return mill_fail(err, MILL_E_MEMORY, "no memory for the checksum");
    mill_status status = mill_sha256_bytes(text, strlen(text), hex, err);
    free(text);
    return status;
}

static mill_status describe_model(struct mill_buffer *text, const struct mill_shape *shape,
                                  const char *name, struct mill_error *err) {
    MILL_TRY(mill_buffer_printf(text, err, "sparkmill-model\n%s\n%" PRId32 "\n%" PRId32 "\n", name,
                                shape->bicodec.quantizer.codebook_size,
                                shape->bicodec.speaker.n_tokens));
    for (int32_t i = 0; i < shape->bicodec.speaker.n_levels; i++)
        MILL_TRY(mill_buffer_printf(text, err, "%" PRId32 " ", shape->bicodec.speaker.levels[i]));
    return MILL_OK;
}

mill_status mill_voice_model_init(struct mill_voice_model *out, const struct mill_shape *shape,
                                  const char *name, struct mill_error *err) {
    *out = (struct mill_voice_model){.n_global = shape->bicodec.speaker.n_tokens,
                                     .n_global_codes = mill_shape_global_codes(shape),
                                     .n_semantic_codes = shape->bicodec.quantizer.codebook_size};
    struct mill_buffer text;
    mill_buffer_init(&text, HASHED_BYTES);
    mill_status status = describe_model(&text, shape, name, err);
    if (status == MILL_OK)
        status = make_id(out->id, &text, err);
    mill_buffer_deinit(&text);
    return status;
}

static mill_status describe_tokens(struct mill_buffer *text, const struct mill_voice *voice,
                                   struct mill_error *err) {
    MILL_TRY(mill_buffer_printf(text, err, "sparkmill-voice\n%s\n", voice->model));
    for (int32_t i = 0; i < voice->n_global; i++)
        MILL_TRY(mill_buffer_printf(text, err, "%" PRId32 " ", voice->global[i]));
    return MILL_OK;
}

mill_status mill_voice_id(char id[MILL_VOICE_ID_BYTES], const struct mill_voice *voice,
                          struct mill_error *err) {
    struct mill_buffer text;
    mill_buffer_init(&text, HASHED_BYTES);
    mill_status status = describe_tokens(&text, voice, err);
    if (status == MILL_OK)
        status = make_id(id, &text, err);
    mill_buffer_deinit(&text);
    return status;
}

mill_status mill_voice_consent_id(char id[MILL_VOICE_ID_BYTES], const struct mill_voice *voice,
                                  struct mill_error *err) {
    snprintf(id, MILL_VOICE_ID_BYTES, "none");
    if (!voice->consent.statement)
        return MILL_OK;
    const char *who = voice->consent.who, *purpose = voice->consent.purpose;
    struct mill_buffer text;
    mill_buffer_init(&text, HASHED_BYTES);
    mill_status status =
        mill_buffer_printf(&text, err, "sparkmill-consent\n%s\n%s\n%s\n%s\n", voice->consent.when,
                           who ? who : "", purpose ? purpose : "", voice->consent.statement);
    if (status == MILL_OK)
        status = make_id(id, &text, err);
    mill_buffer_deinit(&text);
    return status;
}

/* ------------------------------------------------------------------ permission */

mill_status mill_voice_check_revoked(const struct mill_voice *voice, struct mill_error *err) {
    if (!voice->revoked.when)
        return MILL_OK;
    return mill_fail(err, MILL_E_INPUT, "voice '%s' was revoked at %s and may not be used%s%.200s",
                     voice->name, voice->revoked.when, voice->revoked.why[0] ? ": " : "",
                     voice->revoked.why);
}
