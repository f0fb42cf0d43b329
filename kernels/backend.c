/* backend.c - finds a backend's table by name. */
#include "kernels/backend.h"

#include "kernels/cpu/cpu.h"
#include "kernels/reference/reference.h"

#include <string.h>

const struct mill_backend_ops *mill_backend_find(const char *name, struct mill_error *err) {
    const struct mill_backend_ops *const tables[] = {mill_cpu_ops(), mill_reference_ops()};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (strcmp(name, tables[i]->name) == 0)
            return tables[i];
    mill_fail(err, MILL_E_NOT_FOUND, "backend '%s': there are 'cpu' and 'reference'", name);
    return NULL;
}

const char *mill_backend_failure(const struct mill_backend_ops *ops,
                                 const struct mill_backend *backend, mill_status status) {
    const char *text = ops->failure ? ops->failure(backend) : "";
    return text[0] ? text : mill_status_text(status);
}
