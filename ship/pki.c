/* SPDX-License-Identifier: Apache-2.0 */
#include "farshore/pki.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define AUTHORITY_DAYS (20 * 365)
/* Clocks of two sites may differ by so much. */
#define EARLY_S     3600
#define DAY_S       86400L
#define SERIAL_BITS 127
#define CN_MAX      64 /* X.520 */

/* What OpenSSL's library frees, at the end of a scope. */
#define CLEANUP(type, name, release)                                                               \
    static void name(type **object)                                                                \
    {                                                                                              \
        release(*object);                                                                          \
    }
CLEANUP(X509, free_cert, X509_free)
CLEANUP(X509_REQ, free_request, X509_REQ_free)
CLEANUP(EVP_PKEY, free_pkey, EVP_PKEY_free)
CLEANUP(BIO, free_bio, BIO_free_all)
CLEANUP(X509_STORE, free_store, X509_STORE_free)
CLEANUP(X509_STORE_CTX, free_store_ctx, X509_STORE_CTX_free)
CLEANUP(BIGNUM, free_number, BN_free)
#define AUTO(release) __attribute__((cleanup(release)))

static int failed(struct fs_error *err, const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    fs_error_set(err, FS_ERR_PERMANENT, EINVAL, "%s%s%s%s", what, reason ? " (" : "",
                 reason ? reason : "", reason ? ")" : "");
    ERR_clear_error();
    return -EINVAL;
}

void fs_pki_hash(const void *bytes, size_t length, uint8_t ret_hash[FS_PKI_HASH])
{
    if (EVP_Digest(bytes, length, ret_hash, NULL, EVP_sha256(), NULL) != 1) {
        memset(ret_hash, 0, FS_PKI_HASH); /* out of memory: equals nobody's */
    }
}

bool fs_pki_random(void *bytes, size_t length)
{
    return RAND_bytes(bytes, (int)length) == 1;
}

void fs_pki_free_key(char *key)
{
    if (key) {
        OPENSSL_cleanse(key, strlen(key));
    }
    free(key);
}

/* --- PEM ------------------------------------------------------------------------------------- */

static int no_password(char *buffer, int size, int writing, void *arg)
{
    (void)buffer, (void)size, (void)writing, (void)arg;
    return -1;
}

static BIO *reader(const char *text)
{
    size_t length = strnlen(text, FS_PKI_TEXT_MAX + 1);

    return length > FS_PKI_TEXT_MAX ? NULL : BIO_new_mem_buf(text, (int)length);
}

static X509 *read_cert(const char *text)
{
    AUTO(free_bio) BIO *bio = reader(text);
    return bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;
}

static EVP_PKEY *read_key(const char *text)
{
    AUTO(free_bio) BIO *bio = reader(text);
    return bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
}

static X509_REQ *read_request(const char *text)
{
    AUTO(free_bio) BIO *bio = reader(text);
    return bio ? PEM_read_bio_X509_REQ(bio, NULL, no_password, NULL) : NULL;
}

/* What was written to bio; NULL when out of memory. */
static char *text_of(BIO *bio)
{
    char *data;
    long length = BIO_get_mem_data(bio, &data);
    char *text = length > 0 ? malloc((size_t)length + 1) : NULL;

    if (text) {
        memcpy(text, data, (size_t)length);
        text[length] = '\0';
    }
    return text;
}

static char *write_key(EVP_PKEY *key)
{
    /* Secure memory: wiped when it is freed. */
    AUTO(free_bio) BIO *bio = BIO_new(BIO_s_secmem());
    bool ok = bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
    return ok ? text_of(bio) : NULL;
}

static char *write_cert(X509 *cert)
{
    AUTO(free_bio) BIO *bio = BIO_new(BIO_s_mem());
    return bio && PEM_write_bio_X509(bio, cert) == 1 ? text_of(bio) : NULL;
}

/* --- making ---------------------------------------------------------------------------------- */

int fs_pki_new_key(char **ret_key, struct fs_error *err)
{
    AUTO(free_pkey) EVP_PKEY *key = EVP_EC_gen("P-256");

    *ret_key = key ? write_key(key) : NULL;
    return *ret_key ? 0 : failed(err, "no key could be made");
}

static bool add_name(X509_NAME *name, const char *field, const char *value)
{
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)value, -1,
                                      -1, 0) == 1;
}

int fs_pki_request(const char *key, const char *site, char **ret_request, struct fs_error *err)
{
    AUTO(free_pkey) EVP_PKEY *pkey = read_key(key);
    AUTO(free_request) X509_REQ *request = X509_REQ_new();
    AUTO(free_bio) BIO *bio = BIO_new(BIO_s_mem());

    *ret_request = NULL;
    if (pkey && request && bio && X509_REQ_set_version(request, X509_REQ_VERSION_1) == 1 &&
        add_name(X509_REQ_get_subject_name(request), "CN", site) &&
        X509_REQ_set_pubkey(request, pkey) == 1 && X509_REQ_sign(request, pkey, EVP_sha256()) > 0 &&
        PEM_write_bio_X509_REQ(bio, request) == 1) {
        *ret_request = text_of(bio);
    }
    return *ret_request ? 0 : failed(err, "no certificate request could be made");
}

static bool set_serial(X509 *cert)
{
    AUTO(free_number) BIGNUM *number = BN_new();

    return number && BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
           BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
}

static bool set_life(X509 *cert, unsigned days)
{
    return X509_gmtime_adj(X509_getm_notBefore(cert), -EARLY_S) &&
           X509_gmtime_adj(X509_getm_notAfter(cert), (long)days * DAY_S);
}

static bool extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = extension && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok;
}

static bool fill_authority(X509 *cert, EVP_PKEY *key, const char *site)
{
    X509_NAME *name = X509_get_subject_name(cert);

    return X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
           set_life(cert, AUTHORITY_DAYS) && add_name(name, "O", FS_PKI_ORGANIZATION) &&
           add_name(name, "CN", site) && X509_set_issuer_name(cert, name) == 1 &&
           X509_set_pubkey(cert, key) == 1 &&
           extend(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
           extend(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
           extend(cert, cert, NID_subject_key_identifier, "hash");
}

int fs_pki_new_authority(const char *site, char **ret_key, char **ret_cert, struct fs_error *err)
{
    AUTO(free_pkey) EVP_PKEY *key = EVP_EC_gen("P-256");
    AUTO(free_cert) X509 *cert = X509_new();

    *ret_key = *ret_cert = NULL;
    if (!key || !cert || !fill_authority(cert, key, site) ||
        X509_sign(cert, key, EVP_sha256()) <= 0) {
        return failed(err, "no authority could be made");
    }
    *ret_key = write_key(key);
    *ret_cert = write_cert(cert);
    if (!*ret_key || !*ret_cert) {
        fs_pki_free_key(*ret_key);
        free(*ret_cert);
        *ret_key = *ret_cert = NULL;
        return failed(err, "no authority could be made");
    }
    return 0;
}

/* No certificate may outlive the authority. */
static bool end_with(X509 *cert, const X509 *ca)
{
    if (ASN1_TIME_compare(X509_get0_notAfter(cert), X509_get0_notAfter(ca)) <= 0) {
        return true;
    }
    return X509_set1_notAfter(cert, X509_get0_notAfter(ca)) == 1;
}

/* The site's name is the only thing that is put into an extension as a text. */
static bool is_dns_name(const char *site)
{
    return *site && *site != '.' && strlen(site) <= CN_MAX &&
           strspn(site, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") ==
               strlen(site);
}

static bool fill_site(X509 *cert, X509 *ca, EVP_PKEY *public_key, const char *site, unsigned days)
{
    char names[FS_NAME_SIZE + 8] = "DNS:";

    strncat(names, site, FS_NAME_SIZE - 1);
    return X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
           set_life(cert, days) && end_with(cert, ca) &&
           add_name(X509_get_subject_name(cert), "CN", site) &&
           X509_set_issuer_name(cert, X509_get_subject_name(ca)) == 1 &&
           X509_set_pubkey(cert, public_key) == 1 &&
           extend(cert, ca, NID_basic_constraints, "critical,CA:FALSE") &&
           extend(cert, ca, NID_key_usage, "critical,digitalSignature") &&
           extend(cert, ca, NID_ext_key_usage, "serverAuth,clientAuth") &&
           extend(cert, ca, NID_subject_alt_name, names) &&
           extend(cert, ca, NID_subject_key_identifier, "hash") &&
           extend(cert, ca, NID_authority_key_identifier, "keyid:always");
}

int fs_pki_sign(const char *ca_cert, const char *ca_key, const char *request, const char *site,
                unsigned days, char **ret_cert, struct fs_error *err)
{
    AUTO(free_cert) X509 *ca = read_cert(ca_cert);
    AUTO(free_pkey) EVP_PKEY *key = read_key(ca_key);
    AUTO(free_request) X509_REQ *asked = read_request(request);
    AUTO(free_cert) X509 *cert = X509_new();
    EVP_PKEY *public_key = asked ? X509_REQ_get0_pubkey(asked) : NULL;

    *ret_cert = NULL;
    if (!is_dns_name(site)) {
        return fs_error_set(
            err, FS_ERR_CONFIG, EINVAL,
            "\"%s\" cannot be the name of a site in a certificate: letters, digits, "
            "dots and hyphens can",
            site);
    }
    if (!public_key || EVP_PKEY_get_security_bits(public_key) < 112 ||
        X509_REQ_verify(asked, public_key) != 1) {
        return failed(err, "the certificate request is none, or not signed by its key");
    }
    if (!ca || !key || X509_check_private_key(ca, key) != 1) {
        return failed(err, "the authority's certificate and key do not belong together");
    }
    if (cert && fill_site(cert, ca, public_key, site, days) &&
        X509_sign(cert, key, EVP_sha256()) > 0) {
        *ret_cert = write_cert(cert);
    }
    return *ret_cert ? 0 : failed(err, "the certificate could not be signed");
}

/* --- looking --------------------------------------------------------------------------------- */

int fs_pki_check(const char *cert, const char *key, const char *ca_cert, const char *site,
                 struct fs_error *err)
{
    AUTO(free_cert) X509 *ours = read_cert(cert);
    AUTO(free_cert) X509 *ca = read_cert(ca_cert);
    AUTO(free_pkey) EVP_PKEY *pkey = read_key(key);
    AUTO(free_store) X509_STORE *store = X509_STORE_new();
    AUTO(free_store_ctx) X509_STORE_CTX *ctx = X509_STORE_CTX_new();

    if (!ours || !ca || !pkey || !store || !ctx) {
        return failed(err, "a certificate, or its key, is not in PEM form");
    }
    if (X509_check_private_key(ours, pkey) != 1) {
        return failed(err, "the certificate is not of this key");
    }
    if (X509_check_host(ours, site, 0, X509_CHECK_FLAG_NO_WILDCARDS, NULL) != 1) {
        return failed(err, "the certificate is not of this site");
    }
    if (X509_STORE_add_cert(store, ca) != 1 || X509_STORE_CTX_init(ctx, store, ours, NULL) != 1 ||
        X509_verify_cert(ctx) != 1) {
        ERR_clear_error();
        return fs_error_set(err, FS_ERR_PERMANENT, EINVAL, "the certificate is not good: %s",
                            X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    }
    return 0;
}

int fs_pki_fingerprint(const char *cert, uint8_t ret_hash[FS_PKI_HASH], struct fs_error *err)
{
    AUTO(free_cert) X509 *x509 = read_cert(cert);

    if (!x509 || X509_digest(x509, EVP_sha256(), ret_hash, NULL) != 1) {
        return failed(err, "the authority is not a certificate in PEM form");
    }
    return 0;
}

int fs_pki_request_key(const char *request, uint8_t ret_hash[FS_PKI_HASH], struct fs_error *err)
{
    AUTO(free_request) X509_REQ *asked = read_request(request);
    unsigned char *der = NULL;
    int length = asked ? i2d_X509_PUBKEY(X509_REQ_get_X509_PUBKEY(asked), &der) : -1;

    if (length <= 0) {
        return failed(err, "the certificate request is none");
    }
    fs_pki_hash(der, (size_t)length, ret_hash);
    OPENSSL_free(der);
    return 0;
}

static bool get_time(const ASN1_TIME *time, int64_t *ret_s)
{
    struct tm tm = {0};

    if (ASN1_TIME_to_tm(time, &tm) != 1) {
        return false;
    }
    *ret_s = timegm(&tm);
    return true;
}

int fs_pki_life(const char *cert, struct fs_pki_life *ret_life, struct fs_error *err)
{
    AUTO(free_cert) X509 *x509 = read_cert(cert);
    char organization[sizeof(FS_PKI_ORGANIZATION) + 1] = "";

    *ret_life = (struct fs_pki_life){0};
    if (!x509 || !get_time(X509_get0_notBefore(x509), &ret_life->from_s) ||
        !get_time(X509_get0_notAfter(x509), &ret_life->until_s)) {
        return failed(err, "it is not a certificate in PEM form");
    }
    X509_NAME *issuer = X509_get_issuer_name(x509);
    (void)X509_NAME_get_text_by_NID(issuer, NID_organizationName, organization,
                                    sizeof(organization));
    if (strcmp(organization, FS_PKI_ORGANIZATION) == 0) {
        (void)X509_NAME_get_text_by_NID(issuer, NID_commonName, ret_life->issuer,
                                        sizeof(ret_life->issuer));
    }
    return 0;
}
