/* kernels.h - how fast the model's steps run here, each figure beside the limit measured in the
 * same run: decode steps, a prompt, the decoder's windows and streams. One line of CSV a figure on
 * standard output, the same as a table on standard error. */
#ifndef MILL_BENCH_KERNELS_H
#define MILL_BENCH_KERNELS_H

#include "runtime/engine/model.h"

mill_status bench_kernels_run(const struct mill_device_options *options, struct mill_error *err);

#endif
