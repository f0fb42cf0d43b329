/* plot.h - the figures of a bench as pictures (SVG): throughput against batch, latency against
 * load. Composed into a buffer; nothing is composed where there are fewer than two points. */
#ifndef MILL_BENCH_PLOT_H
#define MILL_BENCH_PLOT_H

#include "bench/result.h"
#include "runtime/base/buffer.h"

/* Frames a second against utterances at once, with the spread, beside what paper predicts. */
mill_status bench_plot_throughput(const struct bench_result *result, struct mill_buffer *out,
                                  struct mill_error *err);
/* Seconds until the first sound, three percentiles, against requests a second of the open loop;
 * against utterances at once where there was none. */
mill_status bench_plot_latency(const struct bench_result *result, struct mill_buffer *out,
                               struct mill_error *err);

#endif
