/* fuzz_yaml.c - the bytes as a configuration file in YAML. */
#include "tests/fuzz/fuzz_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    return fuzz_config(mill_yaml_parse, data, size);
}
