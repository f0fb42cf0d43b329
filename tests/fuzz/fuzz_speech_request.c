/* fuzz_speech_request.c - the bytes as the body of POST /v1/audio/speech: a refusal can be shown as
 * an error envelope, and what is taken keeps to its ranges. */
#include "runtime/server/wire_speech.h"
#include "tests/fuzz/fuzz.h"

enum { MAX_CHARS = 64 };

static void check_wish(const struct mill_speech_wish *w) {
    require(w->model && w->input && w->voice);
    require(w->input_bytes > 0 && w->input_bytes == strlen(w->input) &&
            w->input_bytes <= 4 * MAX_CHARS);
    require(w->speed >= 0.25 && w->speed <= 4);
    require(w->format < MILL_AUDIO_FORMAT_COUNT);
    require(w->labels.gender >= -1 && w->labels.gender <= 1);
    require(w->labels.pitch >= -1 && w->labels.pitch <= 4);
    require(w->labels.rate >= -1 && w->labels.rate <= 4);
    require(w->temperature >= -1 && w->temperature <= 100 && w->top_p >= -1 && w->top_p <= 1);
    require(w->top_k >= -1 && w->top_k <= 1000000 && w->redraws >= -1 && w->redraws <= 100);
    require(w->seed >= -1 && w->deadline_s >= 0 && w->deadline_s <= 86400);
    require(w->output_rate == 0 || (w->output_rate >= 8000 && w->output_rate <= 48000));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct mill_speech_wish wish;
    struct mill_problem problem;
    mill_status status =
        mill_wire_speech_read((const char *)data, size, MAX_CHARS, &wish, &problem);
    require((status == MILL_OK) == (problem.status == 0));
    if (status == MILL_OK) {
        check_wish(&wish);
        mill_speech_wish_deinit(&wish);
        return 0;
    }
    require(problem.status >= 400 && problem.message[0] != '\0' && problem.code != NULL);
    json_t *envelope = mill_problem_envelope(&problem);
    require(envelope != NULL);
    json_decref(envelope);
    return 0;
}
