/* bare.h - the model's parts on a device without an engine around them: how long steps, prompts and
 * sound take when nobody plans, judges or delivers. What an engine gives stands beside it. */
#ifndef MILL_BENCH_BARE_H
#define MILL_BENCH_BARE_H

#include "runtime/engine/model.h"
#include "runtime/model/qwen2.h"

enum { BENCH_BARE_MAX_BATCH = 64 };

/* The caller's storage, zeroed; close takes whatever came to be. */
struct bench_bare {
    struct mill_model model;
    struct mill_device device;
    struct mill_qwen2 *lm;
    int32_t pages_a_sequence;
    int32_t *pages; /* [max_batch][pages_a_sequence] */
};
/* For steps of up to max_batch sequences of up to max_tokens each, and up to max_rows rows. */
mill_status bench_bare_open(struct bench_bare *bare, const struct mill_device_options *options,
                            int32_t max_batch, int32_t max_tokens, int32_t max_rows,
                            struct mill_error *err);
void bench_bare_close(struct bench_bare *bare);

/* Best and median of several times, seconds. */
struct bench_times {
    double best, median;
};
struct bench_times bench_times_of(double *seconds, int n);

/* One step of n sequences with `rows` rows each behind `cached` tokens; a draw after each. */
mill_status bench_bare_step(struct bench_bare *bare, int32_t n, int32_t rows, int32_t cached,
                            struct mill_error *err);
/* Write to every page of so many cached tokens of n sequences, before steps behind them are timed:
 * memory that nobody has written to is one and the same page of zeros, which is always in the
 * cache. */
mill_status bench_bare_fill(struct bench_bare *bare, int32_t n, int32_t cached,
                            struct mill_error *err);
/* A call that gives each of n streams n_frames frames more. */
mill_status bench_bare_time_streams(struct bench_bare *bare, int32_t n, int32_t n_frames,
                                    struct bench_times *times, size_t *bytes_of_a_stream,
                                    struct mill_error *err);

/* Frames a second of n utterances at once, each of so many prompt tokens, draws (frames, and the
 * tokens of a voice that is created) and frames: decode steps, prompts and sound, one behind the
 * other, at what they usually take. */
mill_status bench_bare_frames_per_s(struct bench_bare *bare, int32_t n, int32_t n_prompt,
                                    int32_t n_draws, int32_t n_frames, double *frames_per_s,
                                    struct mill_error *err);

#endif
