/* speech_stream.c - see speech_stream.h. */
#include "runtime/server/speech_stream.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 1 << 22 };

static mill_status sink(void *context, uint64_t offset, const void *data, size_t size,
                        struct mill_error *err) {
    struct mill_speech_stream *stream = context;
    (void)offset; /* the encoder only goes forward here */
    return mill_buffer_append(stream->is_sse ? &stream->sound : &stream->bytes, data, size, err);
}

mill_status mill_speech_stream_init(struct mill_speech_stream *stream,
                                    const struct mill_audio_encoding *encoding, bool is_sse,
                                    struct mill_error *err) {
    *stream = (struct mill_speech_stream){.is_sse = is_sse};
    mill_buffer_init(&stream->sound, MAX_BYTES);
    mill_buffer_init(&stream->bytes, MAX_BYTES);
    const struct mill_audio_sink to = {.write = sink, .context = stream};
    return mill_audio_encoder_open(&stream->encoder, encoding, &to, err);
}

void mill_speech_stream_deinit(struct mill_speech_stream *stream) {
    mill_audio_encoder_close(stream->encoder);
    mill_buffer_deinit(&stream->sound);
    mill_buffer_deinit(&stream->bytes);
    stream->encoder = NULL;
}

/* What was encoded becomes an event. */
static mill_status flush(struct mill_speech_stream *stream, struct mill_error *err) {
    static const char head[] = "data: {\"type\":\"speech.audio.delta\",\"audio\":\"";
    struct mill_buffer *sound = &stream->sound, *bytes = &stream->bytes;
    if (sound->size == 0)
        return MILL_OK;
    MILL_TRY(mill_buffer_append(bytes, head, sizeof head - 1, err));
    MILL_TRY(mill_buffer_reserve(bytes, 4 * ((sound->size + 2) / 3) + 1, err));
    bytes->size += (size_t)EVP_EncodeBlock((unsigned char *)bytes->data + bytes->size,
                                           (const unsigned char *)sound->data, (int)sound->size);
    sound->size = 0;
    return mill_buffer_append(bytes, "\"}\n\n", 4, err);
}

mill_status mill_speech_stream_write(struct mill_speech_stream *stream, const float *samples,
                                     size_t n_samples, struct mill_error *err) {
    MILL_TRY(mill_audio_encoder_write(stream->encoder, samples, n_samples, err));
    return flush(stream, err);
}

mill_status mill_speech_stream_finish(struct mill_speech_stream *stream, int32_t n_input_tokens,
                                      int32_t n_output_tokens, struct mill_error *err) {
    MILL_TRY(mill_audio_encoder_finish(stream->encoder, err));
    if (!stream->is_sse)
        return MILL_OK;
    MILL_TRY(flush(stream, err));
    return mill_buffer_printf(
        &stream->bytes, err,
        "data: {\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":%d,"
        "\"output_tokens\":%d,\"total_tokens\":%d}}\n\n",
        n_input_tokens, n_output_tokens, n_input_tokens + n_output_tokens);
}

mill_status mill_speech_stream_fail(struct mill_speech_stream *stream,
                                    const struct mill_problem *problem, struct mill_error *err) {
    if (!stream->is_sse)
        return MILL_OK;
    json_t *event = mill_problem_envelope(problem);
    if (event)
        json_object_set_new(event, "type", json_string("speech.audio.error"));
    char *text = event ? json_dumps(event, JSON_COMPACT) : NULL;
    json_decref(event);
    mill_status status = text ? mill_buffer_printf(&stream->bytes, err, "data: %s\n\n", text)
                              : mill_fail(err, MILL_E_MEMORY, "no memory");
    free(text);
    return status;
}

size_t mill_speech_stream_pending(const struct mill_speech_stream *stream) {
    return stream->bytes.size - stream->n_read;
}

size_t mill_speech_stream_read(struct mill_speech_stream *stream, char *bytes, size_t capacity) {
    size_t n = mill_speech_stream_pending(stream);
    n = n < capacity ? n : capacity;
    if (n > 0)
        memcpy(bytes, stream->bytes.data + stream->n_read, n);
    stream->n_read += n;
    if (stream->n_read == stream->bytes.size)
        stream->n_read = stream->bytes.size = 0;
    return n;
}
