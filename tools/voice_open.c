/* voice_open.c - see voice_open.h. */
#include "tools/voice_open.h"

#include "runtime/base/file.h"

#include <string.h>
#include <unistd.h>

static bool ends_in(const char *path, const char *ending) {
    const char *dot = strrchr(path, '.');
    return dot && strcmp(dot, ending) == 0;
}

static bool is_file(const char *wanted) {
    return strchr(wanted, '/') || ends_in(wanted, ".voice") || ends_in(wanted, ".json");
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

static mill_status check_replaced(const char *path, struct mill_error *err) {
    struct mill_voice there;
    if (ends_in(path, ".voice"))
        return MILL_OK;
    if (!ends_in(path, ".json"))
        return mill_fail(err, MILL_E_INPUT, "'%s': a voice's file is called NAME.voice", path);
    if (access(path, F_OK) != 0)
        return MILL_OK;
    mill_status status = mill_voice_read(&there, path, NULL, err);
    mill_voice_deinit(&there);
    return status == MILL_OK ? MILL_OK : mill_context(err, status, "not replaced");
}

mill_status mill_voice_check_output(const char *path, struct mill_error *err) {
    struct mill_output output;
    MILL_TRY(check_replaced(path, err));
    MILL_TRY(mill_output_open(&output, path, err));
    mill_output_close(&output);
    return MILL_OK;
}
