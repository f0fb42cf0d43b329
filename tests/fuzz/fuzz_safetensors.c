/* fuzz_safetensors.c - the bytes as a file, and once more with the header's length made right:
 * mutations of the header change it and would else end at the first check. */
#include "tests/fuzz/fuzz_tensors.h"

#include <stdlib.h>

static void parse(const uint8_t *data, size_t size) {
    struct mill_tensors *tensors;
    struct mill_error err;
    mill_status status = mill_safetensors_parse(&tensors, "f", data, size, &err);
    require_tensors(status, tensors, size, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    parse(data, size);
    const uint8_t *end = size > 8 ? memrchr(data + 8, '}', size - 8) : NULL;
    uint8_t *copy = end ? malloc(size) : NULL;
    if (copy) {
        uint64_t length = (uint64_t)(end + 1 - (data + 8));
        memcpy(copy, data, size);
        memcpy(copy, &length, sizeof length);
        parse(copy, size);
        free(copy);
    }
    return 0;
}
