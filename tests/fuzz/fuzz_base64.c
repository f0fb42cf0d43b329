/* fuzz_base64.c - the bytes as base64; what OpenSSL encodes of them comes back. */
#include "runtime/server/base64.h"
#include "tests/fuzz/fuzz.h"

#include <openssl/evp.h>
#include <stdlib.h>

static void check(const char *text, size_t size, const uint8_t *wanted, size_t n_wanted) {
    struct mill_error err;
    char *bytes;
    size_t n;
    mill_status status = mill_base64_decode(text, size, &bytes, &n, &err);
    require_message(status, &err);
    require((status == MILL_OK) == (n > 0) && (n > 0) == (bytes != NULL) && n <= size);
    if (wanted)
        require(n == n_wanted && (n == 0 || memcmp(bytes, wanted, n) == 0));
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(4 * ((size + 2) / 3) + 1);
    require(text != NULL);
    check((const char *)data, size, NULL, 0);
    check(text, (size_t)EVP_EncodeBlock((unsigned char *)text, data, (int)size), data, size);
    free(text);
    return 0;
}
