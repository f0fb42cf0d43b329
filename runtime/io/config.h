/* config.h - small configuration files (JSON, YAML) as checked JSON values, one way to read both.
 *
 * JSON is read by jansson with duplicate keys refused; YAML by libyaml into the same values
 * (mappings, sequences, and plain scalars by YAML's core schema: null, true/false in any of YAML's
 * spellings, integers, floats, else text), without anchors, tags or several documents. Getters name
 * the key in their message and check type and range; they never guess. Values are jansson's,
 * reference-counted. */
#ifndef MILL_IO_CONFIG_H
#define MILL_IO_CONFIG_H

#include "runtime/base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *out is owned by the caller (json_decref). At most `maximum` bytes are read. */
mill_status mill_json_open(json_t **out, const char *path, size_t maximum, struct mill_error *err);
mill_status mill_yaml_open(json_t **out, const char *path, size_t maximum, struct mill_error *err);
/* `name` is the path that messages name; NULL where the caller says what it is. */
mill_status mill_json_parse(json_t **out, const char *name, const char *data, size_t size,
                            struct mill_error *err);
mill_status mill_yaml_parse(json_t **out, const char *name, const char *data, size_t size,
                            struct mill_error *err);

/* Behind all that read JSON, and bounded in the memory that its values may take. Where the text is
 * none, *out is NULL and *cause says why. */
mill_status mill_json_load(json_t **out, const char *data, size_t size, json_error_t *cause,
                           struct mill_error *err);

/* Did jansson want for memory on this thread since it was last asked? It does not always say so:
 * characters and members may be missing from what it made. */
bool mill_json_ran_short(void);

/* A member of an object that must be there, of that type and in [low, high]. Text is borrowed. */
mill_status mill_config_int(const json_t *object, const char *key, int64_t low, int64_t high,
                            int64_t *out, struct mill_error *err);
mill_status mill_config_number(const json_t *object, const char *key, double low, double high,
                               double *out, struct mill_error *err);
mill_status mill_config_text(const json_t *object, const char *key, const char **out,
                             struct mill_error *err);
mill_status mill_config_object(const json_t *object, const char *key, const json_t **out,
                               struct mill_error *err);
/* The first member of an object that is not among `names`, which end with NULL; NULL when all are.
 * Borrowed. */
const char *mill_config_find_unknown(const json_t *object, const char *const *names);
/* A list of whole numbers, each in [low, high]; at most `capacity`, their number in *n. */
mill_status mill_config_ints(const json_t *object, const char *key, int64_t low, int64_t high,
                             int32_t *out, int32_t capacity, int32_t *n, struct mill_error *err);

#endif
