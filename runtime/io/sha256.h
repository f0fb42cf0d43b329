/* sha256.h - SHA-256 as 64 lower-case hexadecimal digits, of a file or of bytes as they come.
 *
 * The arithmetic is OpenSSL's (EVP). A hash is used by one thread at a time; different hashes are
 * independent. */
#ifndef MILL_IO_SHA256_H
#define MILL_IO_SHA256_H

#include "runtime/base/status.h"

#include <stddef.h>

enum { MILL_SHA256_HEX_BYTES = 65 }; /* the digits and the final zero */

mill_status mill_sha256_bytes(const void *data, size_t size, char hex[MILL_SHA256_HEX_BYTES],
                              struct mill_error *err);
/* Of a whole file, read once from front to back; messages name the path. */
mill_status mill_sha256_file(const char *path, char hex[MILL_SHA256_HEX_BYTES],
                             struct mill_error *err);

struct mill_sha256; /* a hash under way */

mill_status mill_sha256_open(struct mill_sha256 **out, struct mill_error *err);
void mill_sha256_close(struct mill_sha256 *hash);

/* Back to no bytes at all. */
mill_status mill_sha256_restart(struct mill_sha256 *hash, struct mill_error *err);
mill_status mill_sha256_add(struct mill_sha256 *hash, const void *data, size_t size,
                            struct mill_error *err);
/* The hash of everything added; restart before adding again. */
mill_status mill_sha256_finish(struct mill_sha256 *hash, char hex[MILL_SHA256_HEX_BYTES],
                               struct mill_error *err);

#endif
