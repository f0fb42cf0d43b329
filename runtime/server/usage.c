/* usage.c - see usage.h: {"day": days since 1970, "audio_s": {"NAME": seconds, ...}}. */
#include "runtime/server/usage.h"

#include "runtime/base/file.h"
#include "runtime/io/config.h"

#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES = 1 << 24 };

static mill_status restore(struct mill_usage *usage, const json_t *root, struct mill_error *err) {
    int64_t day;
    const json_t *all;
    const char *name;
    json_t *value;
    MILL_TRY(mill_config_int(root, "day", 0, INT32_MAX, &day, err));
    MILL_TRY(mill_config_object(root, "audio_s", &all, err));
    json_object_foreach((json_t *)(uintptr_t)all, name, value) {
        if (!json_is_number(value) || !(json_number_value(value) >= 0))
            return mill_fail(err, MILL_E_INPUT, "'%.64s': seconds are wanted", name);
    }
    if (day != mill_clients_today())
        return MILL_OK;
    json_object_foreach((json_t *)(uintptr_t)all, name, value) {
        mill_clients_restore(usage->clients, name, json_number_value(value));
        usage->kept_s += json_number_value(value);
    }
    return MILL_OK;
}

mill_status mill_usage_open(struct mill_usage *usage, struct mill_clients *clients,
                            const char *folder, struct mill_error *err) {
    json_t *root;
    *usage = (struct mill_usage){.clients = clients, .path = mill_path_join(folder, "usage.json")};
    if (!usage->path)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    mill_status status = mill_json_open(&root, usage->path, FILE_BYTES, err);
    if (status == MILL_E_NOT_FOUND)
        return MILL_OK;
    if (status == MILL_OK)
        status = restore(usage, root, err);
    json_decref(root);
    return status < 0 ? mill_context(err, status, "'%s'", usage->path) : MILL_OK;
}

void mill_usage_close(struct mill_usage *usage) {
    free(usage->path);
    *usage = (struct mill_usage){0};
}

/* The file's text, in new memory, and the sum of what it says; NULL when memory is short. */
static char *compose(const struct mill_usage *usage, double *sum_s) {
    struct mill_client_usage client;
    mill_json_ran_short();
    json_t *all = json_object();
    *sum_s = 0;
    for (size_t i = 0; mill_clients_usage(usage->clients, i, &client); i++) {
        if (client.today_s > 0)
            json_object_set_new(all, client.name, json_real(client.today_s));
        *sum_s += client.today_s;
    }
    json_t *root = json_pack("{s:I, s:o}", "day", (json_int_t)mill_clients_today(), "audio_s", all);
    char *text = root ? json_dumps(root, JSON_REAL_PRECISION(15) | JSON_INDENT(1)) : NULL;
    json_decref(root);
    if (!mill_json_ran_short())
        return text;
    free(text);
    return NULL;
}

mill_status mill_usage_keep(struct mill_usage *usage, struct mill_error *err) {
    double sum_s;
    if (!usage->clients)
        return MILL_OK;
    char *text = compose(usage, &sum_s);
    mill_status status = text ? MILL_OK : mill_fail(err, MILL_E_MEMORY, "no memory");
    if (status == MILL_OK && sum_s != usage->kept_s) {
        status = mill_file_write(usage->path, text, strlen(text), err);
        if (status == MILL_OK)
            usage->kept_s = sum_s;
    }
    free(text);
    return status;
}
