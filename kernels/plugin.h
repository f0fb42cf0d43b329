/* plugin.h - what a backend that is a library of its own exports: one function, its table. The
 * library is opened by kernels/backend.c and stays open. */
#ifndef MILL_KERNELS_PLUGIN_H
#define MILL_KERNELS_PLUGIN_H

#include "kernels/backend.h"

#define MILL_BACKEND_PLUGIN "mill_backend_plugin" /* its name */
typedef const struct mill_backend_ops *mill_backend_plugin_function(void);

__attribute__((visibility("default"))) const struct mill_backend_ops *mill_backend_plugin(void);

#endif
