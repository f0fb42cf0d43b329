/* emulated.c - see emulated.h. */
#include "tests/support/emulated.h"

#include "kernels/backend.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

static struct emulated found;

static void find(void *library, const char *name, void *function) {
    *(void **)function = dlsym(library, name);
    if (!*(void **)function) {
        fprintf(stderr, "the emulator's library has no %s\n", name);
        abort();
    }
}

const struct emulated *emulated(void) {
    return emulated_as("emulator");
}

const struct emulated *emulated_as(const char *backend) {
    struct mill_error err = {""};
    const struct mill_backend_ops *ops = mill_backend_find(backend, &err);
    Dl_info info;
    void *library = NULL;
    if (ops && dladdr(ops, &info))
        library = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    if (!library) {
        fprintf(stderr, "no emulator: %s\n", err.text);
        abort();
    }
    find(library, "emulator_defaults", &found.defaults);
    find(library, "emulator_configure", &found.configure);
    find(library, "emulator_fault", &found.fault);
    find(library, "emulator_n_calls", &found.n_calls);
    find(library, "emulator_report", &found.report);
    find(library, "emulator_reset", &found.reset);
    find(library, "emulator_bytes_in_use", &found.bytes_in_use);
    return &found;
}
