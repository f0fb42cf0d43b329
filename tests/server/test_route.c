/* test_route.c - which row of a table answers what. */
#include "runtime/server/pages.h"
#include "runtime/server/route.h"

#include <ctype.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct mill_route table[] = {
    {"GET", "/", MILL_SCOPE_PUBLIC, MILL_BODY_NONE, NULL},
    {"GET", "/a", MILL_SCOPE_PUBLIC, MILL_BODY_NONE, NULL},
    {"POST", "/a", MILL_SCOPE_PUBLIC, MILL_BODY_NONE, NULL},
    {"GET", "/a/{x}", MILL_SCOPE_PUBLIC, MILL_BODY_NONE, NULL},
    {"GET", "/a/{x}/b", MILL_SCOPE_PUBLIC, MILL_BODY_NONE, NULL},
    {"DELETE", "/a/{x}", MILL_SCOPE_PUBLIC, MILL_BODY_NONE, NULL},
    {0},
};

static void check(const char *method, const char *path, int row, const char *wanted) {
    char param[MILL_CALL_PARAM_BYTES], allowed[64];
    int found = mill_route_find(table, method, path, param, allowed);
    if (found != row)
        fail_msg("%s %s: row %d, not %d", method, path, found, row);
    assert_string_equal(row == MILL_ROUTE_OTHER_METHOD ? allowed : param, wanted);
}

static void test_find(void **state) {
    (void)state;
    char longest[MILL_CALL_PARAM_BYTES + 8];
    check("GET", "/", 0, "");
    check("GET", "/a", 1, "");
    check("HEAD", "/a", 1, "");
    check("POST", "/a", 2, "");
    check("GET", "/a/voice_1", 3, "voice_1");
    check("GET", "/a/voice_1/b", 4, "voice_1");
    check("DELETE", "/a/v", 5, "v");
    check("PUT", "/a/v", MILL_ROUTE_OTHER_METHOD, "GET, DELETE");
    check("get", "/a", MILL_ROUTE_OTHER_METHOD, "GET, POST");
    static const char *const nowhere[] = {"",      "/b",     "/a/", "//a",     "/A",     "/a//b",
                                          "/a/b/", "/a/x/c", "/aa", "/a/x/b/", "/a/x/bb"};
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++)
        check("GET", nowhere[i], MILL_ROUTE_NONE, "");
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "/a/", 3);
    longest[3 + MILL_CALL_PARAM_BYTES - 1] = '\0';
    check("GET", longest, 3, longest + 3);
    longest[3 + MILL_CALL_PARAM_BYTES - 1] = 'x';
    longest[3 + MILL_CALL_PARAM_BYTES] = '\0';
    check("GET", longest, MILL_ROUTE_NONE, "");
}

/* Nothing is open to all that was not meant to be: the pages tell nothing of this server. */
static void test_scopes(void **state) {
    (void)state;
    for (int i = 0; mill_routes[i].method; i++) {
        const char *path = mill_routes[i].path;
        assert_int_equal(path[0], '/');
        if (mill_routes[i].scope == MILL_SCOPE_PUBLIC && strcmp(path, "/") != 0 &&
            strcmp(path, "/openapi.json") != 0 && strcmp(path, "/health") != 0 &&
            strcmp(path, "/ready") != 0)
            fail_msg("%s is open to all", path);
    }
}

/* The description has every route, with a scope where it wants one, and no other. */
static void test_description(void **state) {
    (void)state;
    const char *path, *method;
    json_t *item, *operation;
    size_t n_described = 0, n_routes = 0;
    json_t *root = json_loadb((const char *)mill_page_openapi, mill_page_openapi_bytes, 0, NULL);
    json_t *paths = json_object_get(root, "paths");
    assert_true(json_is_object(paths));
    for (; mill_routes[n_routes].method; n_routes++) {
        const struct mill_route *route = &mill_routes[n_routes];
        char low[16] = "";
        for (size_t i = 0; route->method[i]; i++)
            low[i] = (char)tolower((unsigned char)route->method[i]);
        operation = json_object_get(json_object_get(paths, route->path), low);
        if (!operation)
            fail_msg("docs/openapi.json lacks %s %s", route->method, route->path);
        bool is_open = json_object_get(operation, "security") != NULL; /* an empty list */
        assert_int_equal(is_open, route->scope == MILL_SCOPE_PUBLIC);
        bool has_body = json_object_get(operation, "requestBody") != NULL;
        assert_int_equal(has_body, route->body != MILL_BODY_NONE);
    }
    json_object_foreach(paths, path, item) {
        json_object_foreach(item, method, operation) n_described +=
            strcmp(method, "parameters") != 0;
    }
    assert_int_equal(n_described, n_routes);
    json_decref(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_find), cmocka_unit_test(test_scopes),
                                       cmocka_unit_test(test_description)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
