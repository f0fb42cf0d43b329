/* tls.c - see tls.h. OpenSSL's reasons stay in its queue, which is emptied: a person needs to know
 * which file is wrong. */
#include "runtime/server/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

/* Nobody is asked for one. */
static int no_password(char *out, int size, int rwflag, void *context) {
    (void)out, (void)size, (void)rwflag, (void)context;
    return -1;
}

static mill_status compare(X509 *certificate, EVP_PKEY *key, const struct mill_pem *from,
                           const struct mill_pem *key_from, struct mill_error *err) {
    if (!certificate)
        return mill_fail(err, MILL_E_INPUT, "'%s': no certificate in PEM", from->path);
    if (!key)
        return mill_fail(err, MILL_E_INPUT, "'%s': no private key in PEM, or it has a password",
                         key_from->path);
    if (X509_check_private_key(certificate, key) != 1)
        return mill_fail(err, MILL_E_INPUT, "'%s' is not the key of the first certificate in '%s'",
                         key_from->path, from->path);
    return MILL_OK;
}

mill_status mill_tls_check(const struct mill_pem *certificate, const struct mill_pem *key,
                           struct mill_error *err) {
    BIO *in = BIO_new_mem_buf(certificate->content->data, (int)certificate->content->size);
    BIO *key_in = BIO_new_mem_buf(key->content->data, (int)key->content->size);
    X509 *read = in ? PEM_read_bio_X509(in, NULL, no_password, NULL) : NULL;
    EVP_PKEY *key_read = key_in ? PEM_read_bio_PrivateKey(key_in, NULL, no_password, NULL) : NULL;
    mill_status status = in && key_in
                             ? compare(read, key_read, certificate, key, err)
                             : mill_fail(err, MILL_E_MEMORY, "no memory for a certificate");
    ERR_clear_error();
    EVP_PKEY_free(key_read);
    X509_free(read);
    BIO_free(key_in);
    BIO_free(in);
    return status;
}
