/* sha256.c - see sha256.h. */
#include "runtime/io/sha256.h"

#include "runtime/base/file.h"
#include "runtime/base/hex.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct mill_sha256 {
    EVP_MD_CTX *context;
};

mill_status mill_sha256_restart(struct mill_sha256 *hash, struct mill_error *err) {
    if (EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL) != 1)
        return mill_fail(err, MILL_E_UNSUPPORTED, "SHA-256: OpenSSL refuses to compute it");
    return MILL_OK;
}

mill_status mill_sha256_open(struct mill_sha256 **out, struct mill_error *err) {
    *out = NULL;
    struct mill_sha256 *hash = calloc(1, sizeof *hash);
    if (!hash || !(hash->context = EVP_MD_CTX_new())) {
        mill_sha256_close(hash);
        return mill_fail(err, MILL_E_MEMORY, "SHA-256: no memory");
    }
    mill_status status = mill_sha256_restart(hash, err);
    if (status < 0)
        mill_sha256_close(hash);
    else
        *out = hash;
    return status;
}

void mill_sha256_close(struct mill_sha256 *hash) {
    if (!hash)
        return;
    EVP_MD_CTX_free(hash->context);
    free(hash);
}

mill_status mill_sha256_add(struct mill_sha256 *hash, const void *data, size_t size,
                            struct mill_error *err) {
    if (EVP_DigestUpdate(hash->context, data, size) != 1)
        return mill_fail(err, MILL_E_UNSUPPORTED, "SHA-256: OpenSSL failed");
    return MILL_OK;
}

mill_status mill_sha256_finish(struct mill_sha256 *hash, char hex[MILL_SHA256_HEX_BYTES],
                               struct mill_error *err) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_DigestFinal_ex(hash->context, digest, &n) != 1 || n != 32)
        return mill_fail(err, MILL_E_UNSUPPORTED, "SHA-256: OpenSSL failed");
    mill_hex_print(hex, digest, n);
    return MILL_OK;
}

mill_status mill_sha256_bytes(const void *data, size_t size, char hex[MILL_SHA256_HEX_BYTES],
                              struct mill_error *err) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_Digest(data, size, digest, &n, EVP_sha256(), NULL) != 1 || n != 32)
        return mill_fail(err, MILL_E_UNSUPPORTED, "SHA-256: OpenSSL refuses to compute it");
    mill_hex_print(hex, digest, n);
    return MILL_OK;
}

static mill_status add_file(struct mill_sha256 *hash, int fd, const char *path,
                            struct mill_error *err) {
    for (;;) {
        char piece[1 << 16];
        ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mill_fail(err, MILL_E_IO, "'%s': %s", path, strerror(errno));
        if (n == 0)
            return MILL_OK;
        MILL_TRY(mill_sha256_add(hash, piece, (size_t)n, err));
    }
}

mill_status mill_sha256_file(const char *path, char hex[MILL_SHA256_HEX_BYTES],
                             struct mill_error *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return mill_fail(err, mill_open_failure(errno), "'%s': %s", path, strerror(errno));
    struct mill_sha256 *hash = NULL;
    mill_status status = mill_sha256_open(&hash, err);
    if (status == MILL_OK)
        status = add_file(hash, fd, path, err);
    if (status == MILL_OK)
        status = mill_sha256_finish(hash, hex, err);
    mill_sha256_close(hash);
    close(fd);
    return status;
}
