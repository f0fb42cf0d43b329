/* model_stamp.h - what a checkpoint is, as its files' sizes and times tell it: for keys of what was
 * made with it, which another checkpoint must not find. */
#ifndef MILL_TOOLS_MODEL_STAMP_H
#define MILL_TOOLS_MODEL_STAMP_H

#include "runtime/base/buffer.h"
#include "runtime/engine/engine.h"

/* This program's version, the precision that the engine has by now, and the files of its model. */
mill_status mill_model_stamp(struct mill_buffer *out, const struct mill_engine *engine,
                             const char *model, struct mill_error *err);

#endif
