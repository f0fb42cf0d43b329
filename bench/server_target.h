/* server_target.h - a server that speaks OpenAI's words as something to put a load on: ours, or
 * another one, to compare with.
 *
 * Of its interface only POST /v1/audio/speech with response_format "pcm" is used (16-bit samples,
 * read as they come), with no field that OpenAI does not have, unless it is asked for. Nothing is
 * sent again, whatever the answer. */
#ifndef MILL_BENCH_SERVER_TARGET_H
#define MILL_BENCH_SERVER_TARGET_H

#include "bench/load.h"

struct bench_server_options {
    const char *url; /* http://HOST:PORT, with or without /v1 */
    const char *model, *voice;
    const char *key;     /* NULL = none */
    const char *fields;  /* a JSON object: further fields of each request; NULL = none */
    int32_t sample_rate; /* of pcm; 0 = as its media type says, else OpenAI's 24,000 */
};

struct bench_server;

/* Has one sentence spoken, to know that it works and how; what the server answers instead is in the
 * error. Options are borrowed until close. */
mill_status bench_server_open(struct bench_server **out, const struct bench_server_options *options,
                              struct mill_error *err);
/* No load may run. NULL is fine. */
void bench_server_close(struct bench_server *server);

struct bench_target bench_server_target_of(struct bench_server *server);

#endif
