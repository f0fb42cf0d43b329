/* fuzz_json.c - the bytes as a configuration file in JSON. */
#include "tests/fuzz/fuzz_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    return fuzz_config(mill_json_parse, data, size);
}
