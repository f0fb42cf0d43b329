/* routes_console.c - the console: one page, console/index.html, which the build puts into the
 * program (console_page.c). The page asks the other routes, with the key that is typed into it. */
#include "runtime/server/server_state.h"

#include "runtime/server/console_page.h"

void mill_route_console(struct mill_call *call) {
    /* Nothing from elsewhere, in no frame of another page. */
    mill_call_add_header(call, "Content-Security-Policy",
                         "default-src 'none'; script-src 'unsafe-inline'; style-src "
                         "'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; "
                         "form-action 'none'; frame-ancestors 'none'");
    mill_call_add_header(call, "Cache-Control", "no-cache");
    mill_call_reply(call, 200, "text/html; charset=utf-8", mill_console_page,
                    mill_console_page_bytes);
}
