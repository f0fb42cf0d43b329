/* route.c - see route.h. A walk over the table: it is short, and a comparison takes nanoseconds. */
#include "runtime/server/route.h"

#include <stdio.h>
#include <string.h>

/* Does `path` fit `pattern`? */
static bool fits(const char *pattern, const char *path, char param[MILL_CALL_PARAM_BYTES]) {
    param[0] = '\0';
    while (*pattern && *pattern != '{') {
        if (*pattern != *path)
            return false;
        pattern++;
        path++;
    }
    if (*pattern == '\0')
        return *path == '\0';
    const char *behind = strchr(pattern, '}') + 1;
    size_t n = strcspn(path, "/");
    if (n == 0 || n >= MILL_CALL_PARAM_BYTES || strcmp(path + n, behind) != 0)
        return false;
    memcpy(param, path, n);
    param[n] = '\0';
    return true;
}

static void add_allowed(char allowed[64], const char *method) {
    size_t n = strlen(allowed);
    if (!strstr(allowed, method))
        snprintf(allowed + n, 64 - n, "%s%s", n ? ", " : "", method);
}

int mill_route_find(const struct mill_route *routes, const char *method, const char *path,
                    char param[MILL_CALL_PARAM_BYTES], char allowed[64]) {
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    allowed[0] = '\0';
    for (int i = 0; routes[i].method; i++) {
        if (!fits(routes[i].path, path, param))
            continue;
        if (strcmp(routes[i].method, wanted) == 0)
            return i;
        add_allowed(allowed, routes[i].method);
    }
    param[0] = '\0';
    return allowed[0] ? MILL_ROUTE_OTHER_METHOD : MILL_ROUTE_NONE;
}
