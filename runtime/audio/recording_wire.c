/* recording_wire.c - see recording_wire.h: the parent's side, which believes nothing. */
#include "runtime/audio/recording_wire.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define READABLE "wav, flac, ogg, opus or mp3"
#define SENSELESS "the decoder's answer makes no sense; the file may be an attack: do not use it"

size_t mill_wire_samples_max(int32_t sample_rate, double max_seconds) {
    double n = (double)sample_rate * max_seconds;
    return n >= MILL_WIRE_SAMPLES_MAX ? MILL_WIRE_SAMPLES_MAX : n > 0 ? (size_t)n : 0;
}

static bool head_is_right(const struct mill_wire_head *head) {
    return head->magic == MILL_WIRE_HEAD && head->format < MILL_RECORDING_FORMAT_COUNT &&
           head->sample_rate >= MILL_WIRE_RATE_MIN && head->sample_rate <= MILL_WIRE_RATE_MAX &&
           head->n_channels >= 1 && head->n_channels <= MILL_WIRE_CHANNELS_MAX;
}

size_t mill_wire_bytes_max(const uint8_t *data, size_t size, double max_seconds) {
    struct mill_wire_head head;
    if (size < sizeof head)
        return SIZE_MAX;
    memcpy(&head, data, sizeof head);
    if (head.magic == MILL_WIRE_TAIL)
        return sizeof(struct mill_wire_tail);
    if (!head_is_right(&head))
        return 0;
    return sizeof head + sizeof(struct mill_wire_tail) +
           sizeof(float) * mill_wire_samples_max(head.sample_rate, max_seconds);
}

/* The decoder's words for people: printable ASCII, without the dot at the end. */
static const char *readable(char text[static 104]) {
    text[103] = '\0';
    size_t n = strcspn(text, "\r\n");
    while (n > 0 && (text[n - 1] == '.' || text[n - 1] == ' '))
        n--;
    text[n] = '\0';
    for (size_t i = 0; i < n; i++)
        if (text[i] < ' ' || text[i] > '~')
            text[i] = '?';
    return n > 0 ? text : "no reason given";
}

static mill_status refuse(struct mill_wire_tail *tail, int32_t sample_rate, double max_seconds,
                          struct mill_error *err) {
    switch (tail->verdict) {
    case MILL_WIRE_NOT_AUDIO:
        return mill_fail(err, MILL_E_INPUT, "no sound file that can be read (%s); give %s",
                         readable(tail->detail), READABLE);
    case MILL_WIRE_BAD_RATE:
        return mill_fail(err, MILL_E_INPUT,
                         "a sample rate of %" PRId64 " Hz, and %d to %d can be read; convert it "
                         "to 16000 or more",
                         tail->number, MILL_WIRE_RATE_MIN, MILL_WIRE_RATE_MAX);
    case MILL_WIRE_BAD_CHANNELS:
        return mill_fail(err, MILL_E_INPUT,
                         "%" PRId64 " channels, and 1 to %d can be read; convert it to mono",
                         tail->number, MILL_WIRE_CHANNELS_MAX);
    case MILL_WIRE_EMPTY:
        return mill_fail(err, MILL_E_INPUT, "no sound in it; record it again");
    case MILL_WIRE_TOO_LONG:
        return mill_fail(err, MILL_E_INPUT,
                         "too long: more than %.0f s; cut out 3 to 30 s of clear speech",
                         (double)mill_wire_samples_max(sample_rate, max_seconds) / sample_rate);
    case MILL_WIRE_DAMAGED:
        return mill_fail(err, MILL_E_INPUT,
                         "damaged after %.2f s (%s); copy it again from where it came from",
                         (double)tail->number / sample_rate, readable(tail->detail));
    case MILL_WIRE_NOT_FINITE:
        return mill_fail(err, MILL_E_INPUT,
                         "a sample is not a finite number, at %.2f s; export it again",
                         (double)tail->number / sample_rate);
    case MILL_WIRE_NOT_LOCKED:
        return mill_fail(
            err, MILL_E_UNSUPPORTED,
            "not opened, because the decoder cannot be locked here (%s); a kernel with "
            "seccomp filters is needed",
            readable(tail->detail));
    default:
        return mill_fail(err, MILL_E_INPUT, SENSELESS);
    }
}

mill_status mill_wire_parse(struct mill_recording *out, uint8_t *data, size_t size,
                            double max_seconds, struct mill_error *err) {
    struct mill_wire_head head = {.sample_rate = 1};
    struct mill_wire_tail tail;
    *out = (struct mill_recording){0};
    if (size < sizeof tail || size > mill_wire_bytes_max(data, size, max_seconds))
        return mill_fail(err, MILL_E_INPUT, SENSELESS);
    memcpy(&tail, data + size - sizeof tail, sizeof tail);
    bool has_head = size >= sizeof head + sizeof tail;
    if (has_head)
        memcpy(&head, data, sizeof head);
    size_t bytes = has_head ? size - sizeof head - sizeof tail : 0;
    if (tail.magic != MILL_WIRE_TAIL || tail.n_samples != bytes / sizeof(float) ||
        bytes % sizeof(float) != 0)
        return mill_fail(err, MILL_E_INPUT, SENSELESS);
    if (tail.verdict != MILL_WIRE_COMPLETE)
        return refuse(&tail, head.sample_rate, max_seconds, err);
    if (tail.n_samples == 0)
        return mill_fail(err, MILL_E_INPUT, SENSELESS);
    float *samples = (float *)(void *)(data + sizeof head);
    for (size_t i = 0; i < tail.n_samples; i++)
        if (!isfinite(samples[i]))
            return mill_fail(err, MILL_E_INPUT, SENSELESS);
    *out = (struct mill_recording){.samples = samples,
                                   .n_samples = tail.n_samples,
                                   .sample_rate = head.sample_rate,
                                   .n_channels = head.n_channels,
                                   .format = (enum mill_recording_format)head.format};
    return MILL_OK;
}
