/* voice_open.c - see voice_open.h. */
#include "tools/voice_open.h"

#include <string.h>
#include <unistd.h>

static bool is_file(const char *wanted) {
    const char *dot = strrchr(wanted, '.');
    return strchr(wanted, '/') ||
           (dot && (strcmp(dot, ".voice") == 0 || strcmp(dot, ".json") == 0));
}

mill_status mill_voice_check_registry(const struct mill_registry *registry,
                                      struct mill_error *err) {
    if (registry->folder)
        return MILL_OK;
    return mill_fail(err, MILL_E_INPUT,
                     "where are voices kept? Neither XDG_DATA_HOME nor HOME is set: say it with "
                     "--voices DIR");
}

mill_status mill_voice_check_allowed(const struct mill_registry *registry,
                                     const struct mill_voice *voice, struct mill_error *err) {
    return registry->folder ? mill_registry_check(registry, voice, err)
                            : mill_voice_check_revoked(voice, err);
}

mill_status mill_voice_look(struct mill_voice *out, const char *wanted,
                            const struct mill_registry *registry,
                            const struct mill_voice_model *model, struct mill_error *err) {
    if (is_file(wanted))
        return mill_voice_read(out, wanted, model, err);
    *out = (struct mill_voice){0};
    MILL_TRY(mill_voice_check_registry(registry, err));
    mill_status status = mill_registry_get(registry, wanted, model, out, err);
    if (status == MILL_E_NOT_FOUND && access(wanted, F_OK) == 0)
        mill_fail(err, status,
                  "there is no voice '%s' in '%s'; for the file of that name say './%s'", wanted,
                  registry->folder, wanted);
    return status;
}

mill_status mill_voice_open(struct mill_voice *out, const char *wanted,
                            const struct mill_registry *registry,
                            const struct mill_voice_model *model, struct mill_error *err) {
    MILL_TRY(mill_voice_look(out, wanted, registry, model, err));
    mill_status status = mill_voice_check_allowed(registry, out, err);
    if (status < 0)
        mill_voice_deinit(out);
    return status;
}
