/* routes_console.c - files in the program (pages.h): the console, one page, which asks the other
 * routes with the key that is typed into it; and their description for programs. */
#include "runtime/server/server_state.h"

#include "runtime/server/pages.h"

void mill_route_console(struct mill_call *call) {
    /* Nothing from elsewhere, in no frame of another page. */
    mill_call_add_header(call, "Content-Security-Policy",
                         "default-src 'none'; script-src 'unsafe-inline'; style-src "
                         "'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; "
                         "form-action 'none'; frame-ancestors 'none'");
    mill_call_add_header(call, "Cache-Control", "no-cache");
    mill_call_reply(call, 200, "text/html; charset=utf-8", mill_page_console,
                    mill_page_console_bytes);
}

void mill_route_openapi(struct mill_call *call) {
    mill_call_add_header(call, "Cache-Control", "no-cache");
    mill_call_reply(call, 200, "application/json", mill_page_openapi, mill_page_openapi_bytes);
}
