/* batch_answer.c - see batch_answer.h. */
#include "runtime/server/batch_answer.h"

#include "runtime/io/config.h"
#include "runtime/io/sha256.h"
#include "runtime/jobs/store_types.h"

#include <stdlib.h>

static char *print_line(const char *custom_id, int status, json_t *taken_body) {
    char id[MILL_JOB_ID_BYTES], request[MILL_JOB_ID_BYTES];
    if (mill_job_make_id("batch_req_", id, NULL) < 0 ||
        mill_job_make_id("req_", request, NULL) < 0) {
        json_decref(taken_body);
        return NULL;
    }
    json_t *root = json_pack("{s:s, s:s, s:{s:i, s:s, s:o}, s:n}", "id", id, "custom_id", custom_id,
                             "response", "status_code", status, "request_id", request, "body",
                             taken_body, "error");
    char *line = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(root);
    if (mill_json_ran_short()) { /* something may be missing */
        free(line);
        line = NULL;
    }
    return line;
}

char *mill_batch_answer_sound(const char *custom_id, const char *file,
                              enum mill_audio_format format, const struct mill_mapping *sound,
                              double seconds, const struct mill_request_result *result) {
    char hex[MILL_SHA256_HEX_BYTES];
    mill_json_ran_short();
    if (mill_sha256_bytes(sound->data, sound->size, hex, NULL) < 0)
        return NULL;
    json_t *usage = json_pack("{s:i, s:i, s:i}", "input_tokens", result->n_prompt, "output_tokens",
                              result->n_draws, "total_tokens", result->n_prompt + result->n_draws);
    return print_line(
        custom_id, 200,
        json_pack("{s:s, s:s, s:s, s:I, s:f, s:s, s:o}", "object", "audio.speech", "file_id", file,
                  "content_type", mill_audio_format_media_type(format), "bytes",
                  (json_int_t)sound->size, "seconds", seconds, "sha256", hex, "usage", usage));
}

char *mill_batch_answer_refusal(const char *custom_id, const struct mill_problem *problem) {
    mill_json_ran_short();
    return print_line(custom_id, problem->status, mill_problem_envelope(problem));
}
