/* backend.c - finds a backend's table by name: those that are part of the program, and those that
 * are libraries of their own, so that the program starts where what they need is missing.
 *
 * A library lies beside what this code is part of (the program, or libsparkmill.so), or in the
 * folder `sparkmill` of the libraries. Once open it stays open: its table and its threads may be in
 * use. No state; any thread. */
#include "kernels/backend.h"

#include "kernels/cpu/cpu.h"
#include "kernels/plugin.h"
#include "kernels/reference/reference.h"
#include "runtime/base/file.h"

#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The folder of the program or library that this code is in; false where it cannot be told. */
static bool own_folder(char folder[PATH_MAX]) {
    Dl_info info;
    struct link_map *map = NULL;
    if (!dladdr1((const void *)own_folder, &info, (void **)&map, RTLD_DL_LINKMAP) || !map)
        return false;
    if (map->l_name[0] == '\0') { /* the program itself */
        if (!mill_path_beside_program(folder, PATH_MAX, ""))
            return false;
    } else {
        snprintf(folder, PATH_MAX, "%s", map->l_name);
    }
    char *name = strrchr(folder, '/');
    if (folder[0] != '/' || !name)
        return false;
    *name = '\0';
    return true;
}

/* Where the library of this backend is. */
static bool find_library(char path[PATH_MAX], const char *name) {
    static const char *const places[] = {"", "/sparkmill", "/../" MILL_LIBRARY_FOLDER "/sparkmill"};
    char folder[PATH_MAX];
    if (!own_folder(folder))
        return false;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        int n = snprintf(path, PATH_MAX, "%s%s/libsparkmill-%s.so", folder, places[i], name);
        if (n < PATH_MAX && access(path, F_OK) == 0)
            return true;
    }
    return false;
}

static const struct mill_backend_ops *open_library(const char *name, struct mill_error *err) {
    char path[PATH_MAX];
    if (!find_library(path, name)) {
        mill_fail(err, MILL_E_NOT_FOUND,
                  "backend '%s': this build has none (no libsparkmill-%s.so beside the program)",
                  name, name);
        return NULL;
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        mill_fail(err, MILL_E_UNSUPPORTED, "backend '%s': %s", name, dlerror());
        return NULL;
    }
    mill_backend_plugin_function *plugin = NULL;
    *(void **)&plugin = dlsym(library, MILL_BACKEND_PLUGIN);
    const struct mill_backend_ops *ops = plugin ? plugin() : NULL;
    if (!ops || ops->abi != MILL_BACKEND_ABI || strcmp(ops->name, name) != 0) {
        mill_fail(err, MILL_E_UNSUPPORTED,
                  "backend '%s': '%s' is of another version than the program: install both from "
                  "the same build",
                  name, path);
        return NULL;
    }
    return ops;
}

const struct mill_backend_ops *mill_backend_find(const char *name, struct mill_error *err) {
    const struct mill_backend_ops *const tables[] = {mill_cpu_ops(), mill_reference_ops()};
    static const char *const libraries[] = {"cuda", "emulator", "emulator-checked"};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (strcmp(name, tables[i]->name) == 0)
            return tables[i];
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++)
        if (strcmp(name, libraries[i]) == 0)
            return open_library(name, err);
    mill_fail(err, MILL_E_NOT_FOUND, "backend '%s': there are 'cpu', 'cuda' and 'reference'", name);
    return NULL;
}

const char *mill_backend_failure(const struct mill_backend_ops *ops,
                                 const struct mill_backend *backend, mill_status status) {
    const char *text = ops->failure ? ops->failure(backend) : "";
    return text[0] ? text : mill_status_text(status);
}

mill_status mill_feed_forward(const struct mill_backend_ops *ops, struct mill_backend *backend,
                              const struct mill_feed_forward_args *args) {
    if (ops->feed_forward)
        return ops->feed_forward(backend, args);
    MILL_TRY(ops->linear(backend, &args->up));
    return ops->linear(backend, &args->down);
}
