/* batch_answer.h - a line of a batch's results: OpenAI's, with our body. Pure functions. */
#ifndef MILL_SERVER_BATCH_ANSWER_H
#define MILL_SERVER_BATCH_ANSWER_H

#include "runtime/audio/format.h"
#include "runtime/base/file.h"
#include "runtime/engine/result.h"
#include "runtime/server/problem.h"

/* {"id", "custom_id", "response": {"status_code", "request_id", "body"}, "error"}, in the caller's
 * memory; NULL when that is short. A sound's body says which file it is: its bytes would make
 * results hundreds of times as long as what people look for in them. */
char *mill_batch_answer_sound(const char *custom_id, const char *file,
                              enum mill_audio_format format, const struct mill_mapping *sound,
                              double seconds, const struct mill_request_result *result);
char *mill_batch_answer_refusal(const char *custom_id, const struct mill_problem *problem);

#endif
