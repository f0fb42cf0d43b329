/* reference.h - the reference backend: every operator in plain scalar C, the definition the others
 * are tested against. */
#ifndef MILL_KERNELS_REFERENCE_H
#define MILL_KERNELS_REFERENCE_H

#include "kernels/backend.h"

const struct mill_backend_ops *mill_reference_ops(void);

#endif
