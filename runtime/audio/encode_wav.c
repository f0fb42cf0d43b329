/* encode_wav.c - wav and raw samples. A header is written with unknown lengths first; where the
 * sink can go back, it is written again with the lengths. */
#include "runtime/audio/encode_parts.h"

#include <string.h>

enum {
    WAV_LIST_MAX = 20 + MILL_AUDIO_COMMENT_BYTES, /* "LIST", "INFO", "ICMT" and the text */
    WAV_HEADER_MAX = 58 + WAV_LIST_MAX
};

static uint8_t *put_bytes(uint8_t *at, uint32_t value, int n_bytes) {
    for (int i = 0; i < n_bytes; i++)
        *at++ = (uint8_t)(value >> 8 * i);
    return at;
}

static uint8_t *put_tag(uint8_t *at, const char *tag) {
    memcpy(at, tag, 4);
    return at + 4;
}

/* Bytes of the comment's text in its chunk: its final zero belongs to it, and lengths are even. */
static uint32_t comment_bytes(const struct mill_audio_encoder *e) {
    return e->comment[0] ? (uint32_t)(strlen(e->comment) + 2) & ~1u : 0;
}

/* A LIST chunk of type INFO that holds the comment. It stands before the samples, since a pipe
 * cannot say where these will end. */
static uint8_t *put_comment(uint8_t *at, const struct mill_audio_encoder *e) {
    uint32_t bytes = comment_bytes(e);
    if (bytes == 0)
        return at;
    at = put_bytes(put_tag(at, "LIST"), 12 + bytes, 4);
    at = put_bytes(put_tag(put_tag(at, "INFO"), "ICMT"), bytes, 4);
    memset(at, 0, bytes);
    memcpy(at, e->comment, strlen(e->comment));
    return at + bytes;
}

static uint32_t bytes_a_sample(enum mill_audio_format format) {
    return format == MILL_AUDIO_WAV_FLOAT ? 4 : format == MILL_AUDIO_WAV24 ? 3 : 2;
}

/* RIFF, WAVE, "fmt " and, for float samples, the "fact" chunk that the format asks for, then the
 * comment and the head of "data". data_bytes UINT64_MAX, or more than 32 bits can say, gives
 * unknown sizes. */
static size_t make_header(const struct mill_audio_encoder *e, uint64_t data_bytes,
                          uint8_t header[WAV_HEADER_MAX]) {
    bool is_float = e->format == MILL_AUDIO_WAV_FLOAT;
    uint32_t bytes = bytes_a_sample(e->format), rate = (uint32_t)e->rate;
    uint32_t list = comment_bytes(e) ? 20 + comment_bytes(e) : 0;
    uint32_t before = (is_float ? 50 : 36) + list; /* bytes between the RIFF size and the samples */
    bool known = data_bytes < UINT32_MAX - before - 1;
    uint8_t *at = put_tag(header, "RIFF");
    at = put_bytes(at, known ? (uint32_t)(before + data_bytes + (data_bytes & 1)) : UINT32_MAX, 4);
    at = put_tag(put_tag(at, "WAVE"), "fmt ");
    at = put_bytes(at, is_float ? 18 : 16, 4);
    at = put_bytes(at, is_float ? 3 : 1, 2); /* IEEE float or PCM */
    at = put_bytes(at, 1, 2);                /* channels */
    at = put_bytes(at, rate, 4);
    at = put_bytes(at, rate * bytes, 4);
    at = put_bytes(at, bytes, 2);
    at = put_bytes(at, 8 * bytes, 2);
    if (is_float) {
        at = put_bytes(at, 0, 2); /* no extension */
        at = put_bytes(put_tag(at, "fact"), 4, 4);
        at = put_bytes(at, known ? (uint32_t)(data_bytes / bytes) : UINT32_MAX, 4);
    }
    at = put_comment(at, e);
    at = put_bytes(put_tag(at, "data"), known ? (uint32_t)data_bytes : UINT32_MAX, 4);
    return (size_t)(at - header);
}

mill_status mill_wav_start(struct mill_audio_encoder *e) {
    uint8_t header[WAV_HEADER_MAX];
    return e->format == MILL_AUDIO_PCM
               ? MILL_OK
               : mill_encode_put(e, 0, header, make_header(e, UINT64_MAX, header));
}

mill_status mill_wav_write(struct mill_audio_encoder *e, const float *samples, size_t n) {
    uint8_t bytes[MILL_ENCODE_PIECE * 4], *at = bytes;
    for (size_t i = 0; i < n; i++) {
        if (e->format == MILL_AUDIO_WAV24) {
            at = put_bytes(at, (uint32_t)mill_encode_integer(samples[i], 24), 3);
        } else if (e->format == MILL_AUDIO_WAV_FLOAT) {
            uint32_t bits;
            memcpy(&bits, &samples[i], sizeof bits);
            at = put_bytes(at, bits, 4);
        } else {
            at = put_bytes(at, (uint32_t)mill_encode_integer(samples[i], 16), 2);
        }
    }
    MILL_TRY(mill_encode_put(e, e->end, bytes, (size_t)(at - bytes)));
    e->data_bytes += (uint64_t)(at - bytes);
    return MILL_OK;
}

/* RIFF chunks have even lengths. A pipe's header has left with unknown sizes: nothing to do there.
 */
mill_status mill_wav_finish(struct mill_audio_encoder *e) {
    if (!e->sink.can_seek)
        return MILL_OK;
    if (e->data_bytes & 1)
        MILL_TRY(mill_encode_put(e, e->end, "", 1));
    uint8_t header[WAV_HEADER_MAX];
    return mill_encode_put(e, 0, header, make_header(e, e->data_bytes, header));
}
