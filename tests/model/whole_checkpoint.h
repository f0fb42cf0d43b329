/* whole_checkpoint.h - a checkpoint folder of any sizes that an engine opens: the files of the
 * published layout with synthetic weights, and a tokenizer with a vocabulary to fit. */
#ifndef MILL_TESTS_WHOLE_CHECKPOINT_H
#define MILL_TESTS_WHOLE_CHECKPOINT_H

#include "runtime/model/checkpoint_write.h"

/* The control tokens are the last ids of the shape's vocabulary, a family as large as the shape
 * wants it, so nothing stands where it is published. Asserts through cmocka. */
void whole_checkpoint_write(const char *folder, const struct mill_shape *shape,
                            enum mill_dtype dtype);

/* With as little work as can be that every backend takes and every part of the model has some of:
 * for the emulator, to which a thread of a kernel is half a microsecond. */
void whole_checkpoint_write_small(const char *folder);

#endif
