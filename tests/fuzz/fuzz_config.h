/* fuzz_config.h - what every reader of configuration files must bear: a message for each refusal,
 * and a value that can be looked into and written as JSON for what is accepted. */
#ifndef MILL_TESTS_FUZZ_CONFIG_H
#define MILL_TESTS_FUZZ_CONFIG_H

#include "runtime/io/config.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

typedef mill_status fuzz_config_parse(json_t **out, const char *name, const char *data, size_t size,
                                      struct mill_error *err);

static inline int fuzz_config(fuzz_config_parse *parse, const uint8_t *data, size_t size) {
    json_t *json;
    struct mill_error err;
    mill_status status = parse(&json, "f", (const char *)data, size, &err);
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

#endif
