/* encode.c - see encode.h: checks, the way from the samples' rate to the sound's, and bytes into
 * the sink. What the bytes are is encode_wav.c and encode_libav.c. */
#include "runtime/audio/encode_parts.h"

#include "runtime/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int32_t mill_encode_integer(float x, int bits) {
    return (int32_t)lrint((double)mill_encode_clamp(x) * (double)((1 << (bits - 1)) - 1));
}

mill_status mill_encode_put(struct mill_audio_encoder *e, uint64_t offset, const void *data,
                            size_t size) {
    if (e->status < 0 || size == 0)
        return e->status;
    e->status = e->sink.write(e->sink.context, offset, data, size, &e->failure);
    if (e->status == MILL_OK && offset + size > e->end)
        e->end = offset + size;
    return e->status;
}

/* The sink's failure goes before `status`, which is only what a library made of it. */
static mill_status result_of(const struct mill_audio_encoder *e, mill_status status,
                             struct mill_error *err) {
    if (e->status == MILL_OK)
        return status;
    if (err)
        *err = e->failure;
    return e->status;
}

static bool is_wav(enum mill_audio_format format) {
    return format <= MILL_AUDIO_PCM;
}

/* ------------------------------------------------------------------ open, close */

static mill_status check(const struct mill_audio_encoding *encoding,
                         const struct mill_audio_sink *sink, struct mill_error *err) {
    enum { RATE_MAX = 384000 };
    if (encoding->comment && strlen(encoding->comment) >= MILL_AUDIO_COMMENT_BYTES)
        return mill_fail(err, MILL_E_INPUT, "a comment of %zu bytes: at most %d can be written",
                         strlen(encoding->comment), MILL_AUDIO_COMMENT_BYTES - 1);
    if (encoding->sample_rate < 1 || encoding->sample_rate > RATE_MAX ||
        encoding->output_rate < 0 || encoding->output_rate > RATE_MAX)
        return mill_fail(err, MILL_E_INPUT, "sample rates of %d and %d: 1 to %d can be written",
                         encoding->sample_rate, encoding->output_rate, RATE_MAX);
    if (encoding->format == MILL_AUDIO_M4A && !sink->can_seek)
        return mill_fail(err, MILL_E_INPUT,
                         "m4a cannot be written into a pipe: use a file, or aac");
    return MILL_OK;
}

static mill_status set_rate(struct mill_audio_encoder *e,
                            const struct mill_audio_encoding *encoding, struct mill_error *err) {
    int32_t wanted = encoding->output_rate ? encoding->output_rate : encoding->sample_rate;
    e->rate = is_wav(e->format) ? wanted : mill_libav_rate(e->format, wanted);
    if (encoding->output_rate && e->rate != wanted)
        return mill_fail(err, MILL_E_INPUT, "%s has no %d samples a second; it has %d",
                         mill_audio_format_ending(e->format), wanted, e->rate);
    return e->rate == encoding->sample_rate
               ? MILL_OK
               : mill_resampler_open(&e->resampler, encoding->sample_rate, e->rate, err);
}

static mill_status start(struct mill_audio_encoder *e, const struct mill_audio_encoding *encoding,
                         struct mill_error *err) {
    MILL_TRY(set_rate(e, encoding, err));
    return result_of(e, is_wav(e->format) ? mill_wav_start(e) : mill_libav_start(e, err), err);
}

mill_status mill_audio_encoder_open(struct mill_audio_encoder **out,
                                    const struct mill_audio_encoding *encoding,
                                    const struct mill_audio_sink *sink, struct mill_error *err) {
    *out = NULL;
    MILL_TRY(check(encoding, sink, err));
    struct mill_audio_encoder *e = mill_alloc_array(1, sizeof *e);
    if (!e)
        return mill_fail(err, MILL_E_MEMORY, "audio encoder: no memory");
    e->format = encoding->format;
    e->sink = *sink;
    if (encoding->comment)
        memcpy(e->comment, encoding->comment, strlen(encoding->comment) + 1);
    mill_status status = start(e, encoding, err);
    if (status < 0)
        mill_audio_encoder_close(e);
    else
        *out = e;
    return status;
}

void mill_audio_encoder_close(struct mill_audio_encoder *encoder) {
    if (!encoder)
        return;
    mill_resampler_close(encoder->resampler);
    mill_libav_close(encoder->libav);
    free(encoder);
}

/* ------------------------------------------------------------------ samples */

static mill_status encode(struct mill_audio_encoder *e, const float *samples, size_t n,
                          struct mill_error *err) {
    mill_status status =
        e->libav ? mill_libav_write(e, samples, n, err) : mill_wav_write(e, samples, n);
    return result_of(e, status, err);
}

/* `samples` NULL: the end, the resampler gives what it still holds. */
static mill_status encode_resampled(struct mill_audio_encoder *e, const float *samples, size_t n,
                                    struct mill_error *err) {
    float piece[MILL_ENCODE_PIECE];
    size_t n_used, n_made;
    do {
        MILL_TRY(mill_resampler_run(e->resampler, samples, n, &n_used, piece, MILL_ENCODE_PIECE,
                                    &n_made, err));
        MILL_TRY(encode(e, piece, n_made, err));
        samples = samples ? samples + n_used : NULL;
        n -= n_used;
    } while (n > 0 || n_made > 0);
    return MILL_OK;
}

mill_status mill_audio_encoder_write(struct mill_audio_encoder *encoder, const float *samples,
                                     size_t n_samples, struct mill_error *err) {
    float piece[MILL_ENCODE_PIECE];
    MILL_TRY(result_of(encoder, MILL_OK, err));
    while (n_samples > 0) {
        size_t n = n_samples < MILL_ENCODE_PIECE ? n_samples : MILL_ENCODE_PIECE;
        for (size_t i = 0; i < n; i++)
            piece[i] = mill_encode_clamp(samples[i]);
        MILL_TRY(encoder->resampler ? encode_resampled(encoder, piece, n, err)
                                    : encode(encoder, piece, n, err));
        samples += n;
        n_samples -= n;
    }
    return MILL_OK;
}

mill_status mill_audio_encoder_finish(struct mill_audio_encoder *encoder, struct mill_error *err) {
    MILL_TRY(result_of(encoder, MILL_OK, err));
    if (encoder->resampler)
        MILL_TRY(encode_resampled(encoder, NULL, 0, err));
    mill_status status = encoder->libav                      ? mill_libav_finish(encoder, err)
                         : encoder->format == MILL_AUDIO_PCM ? MILL_OK
                                                             : mill_wav_finish(encoder);
    return result_of(encoder, status, err);
}
