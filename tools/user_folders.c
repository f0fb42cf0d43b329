/* user_folders.c - see user_folders.h. */
#include "tools/user_folders.h"

#include "runtime/base/file.h"
#include "runtime/io/config.h"

#include <stdlib.h>
#include <string.h>

enum { CONFIG_BYTES = 1 << 16 };

/* A path below the folder that a variable names, or below one in the home folder; NULL when neither
 * is known. The specification wants relative paths ignored. */
static char *user_path(const char *variable, const char *in_home, const char *rest) {
    const char *folder = getenv(variable), *home = getenv("HOME");
    if (folder && folder[0] == '/')
        return mill_path_join(folder, rest);
    if (!home || home[0] != '/')
        return NULL;
    char *base = mill_path_join(home, in_home);
    char *path = base ? mill_path_join(base, rest) : NULL;
    free(base);
    return path;
}

char *mill_voices_folder(const char *option) {
    return option ? strdup(option) : user_path("XDG_DATA_HOME", ".local/share", "sparkmill/voices");
}

char *mill_state_folder(void) {
    return user_path("XDG_STATE_HOME", ".local/state", "sparkmill");
}

static mill_status read_values(struct mill_user_config *out, const json_t *root,
                               struct mill_error *err) {
    const char *key;
    json_t *value;
    if (!json_is_object(root))
        return mill_fail(err, MILL_E_INPUT, "lines of `key: value` are wanted");
    json_object_foreach((json_t *)(uintptr_t)root, key, value) {
        if (strcmp(key, "require_consent") != 0)
            return mill_fail(err, MILL_E_INPUT, "unknown key '%.64s'", key);
        if (!json_is_boolean(value))
            return mill_fail(err, MILL_E_INPUT, "'require_consent': true or false is wanted");
        out->require_consent = json_is_true(value);
    }
    return MILL_OK;
}

mill_status mill_user_config_read(struct mill_user_config *out, struct mill_error *err) {
    *out = (struct mill_user_config){.require_consent = true};
    char *path = user_path("XDG_CONFIG_HOME", ".config", "sparkmill/config.yaml");
    json_t *root = NULL;
    mill_status status = path ? mill_yaml_open(&root, path, CONFIG_BYTES, err) : MILL_E_NOT_FOUND;
    if (status == MILL_OK) {
        status = read_values(out, root, err);
        if (status < 0)
            mill_context(err, status, "'%s'", path);
        json_decref(root);
    } else if (status == MILL_E_NOT_FOUND) {
        status = MILL_OK;
    }
    free(path);
    return status;
}
