/* fuzz_yaml.c - the bytes as a configuration file in YAML; what is accepted must be writable as
 * JSON. */
#include "runtime/io/config.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_t *json;
    struct mill_error err;
    mill_status status = mill_yaml_parse(&json, "f", (const char *)data, size, &err);
    require_message(status, &err);
    require((status == MILL_OK) == (json != NULL));
    if (json) {
        char *text = json_dumps(json, JSON_ENCODE_ANY);
        require(text != NULL);
        free(text);
        int64_t value;
        int32_t list[4], n;
        (void)mill_config_int(json, "a", -5, 5, &value, &err);
        (void)mill_config_ints(json, "a", -5, 5, list, 4, &n, &err);
        json_decref(json);
    }
    return 0;
}
