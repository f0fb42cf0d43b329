/* cpu.h - the cpu backend: AVX2, AVX-512 and AVX-512 with bf16 and int8 dot products, chosen when
 * it is opened. */
#ifndef MILL_KERNELS_CPU_H
#define MILL_KERNELS_CPU_H

#include "kernels/backend.h"

const struct mill_backend_ops *mill_cpu_ops(void);

#endif
