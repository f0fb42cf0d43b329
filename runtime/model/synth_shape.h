/* synth_shape.h - the sizes of synthetic checkpoints, published ones among them: known without a
 * folder, so that a bench of a bare card and tests of plans can stand on them too. Any thread. */
#ifndef MILL_MODEL_SYNTH_SHAPE_H
#define MILL_MODEL_SYNTH_SHAPE_H

#include "runtime/model/shape.h"

/* The two configurations that golden data exist for: `full` has every published size, `tiny` the
 * same structure with small widths. */
enum mill_synth_config { MILL_SYNTH_TINY, MILL_SYNTH_FULL, MILL_SYNTH_CONFIG_COUNT };
const char *mill_synth_config_name(enum mill_synth_config config);
void mill_synth_shape(struct mill_shape *out, enum mill_synth_config config);

#endif
