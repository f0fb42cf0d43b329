/* tls.h - certificate and key before they are served: libmicrohttpd only says that it cannot. */
#ifndef MILL_SERVER_TLS_H
#define MILL_SERVER_TLS_H

#include "runtime/base/buffer.h"

/* One file's path and content, with a final zero that is not counted. */
struct mill_pem {
    const char *path;
    const struct mill_buffer *content;
};

/* Whether these are a certificate and its key, in PEM and without a password: OK, or MILL_E_INPUT
 * that names the file at fault. */
mill_status mill_tls_check(const struct mill_pem *certificate, const struct mill_pem *key,
                           struct mill_error *err);

#endif
