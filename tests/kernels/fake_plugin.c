/* fake_plugin.c - a backend library of a version that is not ours. */
#include "kernels/plugin.h"

const struct mill_backend_ops *mill_backend_plugin(void) {
    static const struct mill_backend_ops ops = {.abi = MILL_BACKEND_ABI + 1, .name = "cuda"};
    return &ops;
}
