/* fuzz_torch.c - the bytes as a whole PyTorch file: mostly the zip directory. */
#include "tests/fuzz/fuzz_tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct mill_tensors *tensors;
    struct mill_error err;
    mill_status status = mill_torch_parse(&tensors, "f", data, size, &err);
    require_tensors(status, tensors, size, &err);
    return 0;
}
