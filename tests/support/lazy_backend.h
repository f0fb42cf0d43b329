/* lazy_backend.h - another backend made asynchronous, as late as can be: a call is put in a queue
 * and nothing runs before somebody waits for it.
 *
 * So whoever reads a result, or writes over host memory that a copy still has to read, before the
 * wait that allows it, is found out, every time. Graphs are lists of calls. One table for the whole
 * program, since a table has no place for more. */
#ifndef MILL_TESTS_SUPPORT_LAZY_BACKEND_H
#define MILL_TESTS_SUPPORT_LAZY_BACKEND_H

#include "kernels/backend.h"

/* `base`, which computes when its call comes: the same one in every call of this. */
const struct mill_backend_ops *lazy_backend_ops(const struct mill_backend_ops *base);
/* Graphs launched so far, by all. */
long lazy_backend_graphs(void);

#endif
