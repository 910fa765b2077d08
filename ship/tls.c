/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ship/tls_private.h"

/* ALPN: the length and the name. A later protocol that cannot say hello to this one gets another.
 */
static const unsigned char alpn[] = "\x0a"
                                    "farshore/1";
#define ALPN_LENGTH (sizeof(alpn) - 1)
const unsigned char tls_enroll_alpn[TLS_ENROLL_ALPN_LENGTH + 1] = "\x11"
                                                                  "farshore-enroll/1";

static const unsigned char lane_alpn[] = "\x0f"
                                         "farshore-lane/1";
#define LANE_ALPN_LENGTH (sizeof(lane_alpn) - 1)

struct fs_tls {
    unsigned refs;
    SSL_CTX *server;
    SSL_CTX *client;
    X509 *enroll_ca;   /* NULL: no connections for enrolment */
    int64_t not_after; /* seconds since the epoch */
};

/* --- loading -------------------------------------------------------------------------------- */

/* Never ask on a terminal. */
static int no_password(char *buffer, int size, int writing, void *arg)
{
    (void)buffer, (void)size, (void)writing, (void)arg;
    return -1;
}

static int check_readable(const char *what, const char *path, struct fs_error *err)
{
    if (access(path, R_OK) < 0) {
        return fs_error_set(err, FS_ERR_CONFIG, errno, "%s: cannot read %s: %s", what, path,
                            strerror(errno));
    }
    return 0;
}

static int bad_file(const char *what, const char *path, const char *problem, struct fs_error *err)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return fs_error_set(err, FS_ERR_CONFIG, EINVAL, "%s: %s %s%s%s%s", what, path, problem,
                        reason == NULL ? "" : " (", reason == NULL ? "" : reason,
                        reason == NULL ? "" : ")");
}

static int load_files(SSL_CTX *ctx, const char *cert, const char *key, const char *ca,
                      struct fs_error *err)
{
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1) {
        return bad_file("tls.cert", cert, "is not a certificate in PEM form", err);
    }
    ERR_clear_error();
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
        bool mismatch = ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH ||
                        ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_TYPE_MISMATCH;
        return bad_file("tls.key", key,
                        mismatch ? "is not the key of the certificate in tls.cert"
                                 : "is not a private key in PEM form without a password",
                        err);
    }
    if (SSL_CTX_check_private_key(ctx) != 1) {
        return bad_file("tls.key", key, "is not the key of the certificate in tls.cert", err);
    }
    ERR_clear_error();
    if (SSL_CTX_load_verify_file(ctx, ca) != 1) {
        return bad_file("tls.ca", ca, "holds no CA certificate in PEM form", err);
    }
    return 0;
}

static int select_alpn(SSL *ssl, const unsigned char **ret_out, unsigned char *ret_length,
                       const unsigned char *in, unsigned length, void *arg)
{
    const struct fs_tls *tls = arg;
    unsigned char *out;
    if (SSL_select_next_proto(&out, ret_length, alpn, ALPN_LENGTH, in, length) ==
            OPENSSL_NPN_NEGOTIATED ||
        SSL_select_next_proto(&out, ret_length, lane_alpn, LANE_ALPN_LENGTH, in, length) ==
            OPENSSL_NPN_NEGOTIATED) {
        *ret_out = out;
        return SSL_TLSEXT_ERR_OK;
    }
    if (tls->enroll_ca == NULL ||
        SSL_select_next_proto(&out, ret_length, tls_enroll_alpn, TLS_ENROLL_ALPN_LENGTH, in,
                              length) != OPENSSL_NPN_NEGOTIATED ||
        SSL_add1_chain_cert(ssl, tls->enroll_ca) != 1) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    /* This comes before our request for a certificate: one that is shown has to be good still. */
    SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    *ret_out = out;
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *new_context(const SSL_METHOD *method, struct fs_tls *tls)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (ctx == NULL) {
        return NULL;
    }
    static const unsigned char context[] = "farshore";
    SSL_CTX_set_default_passwd_cb(ctx, no_password);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* A record with its header in one system call. Not several: before each record OpenSSL moves
     * all that it has read ahead to the start of its buffer. */
    SSL_CTX_set_read_ahead(ctx, 1);
    bool ok = SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
              SSL_CTX_set_num_tickets(ctx, 0) == 1 &&
              SSL_CTX_set_session_id_context(ctx, context, sizeof(context) - 1) == 1 &&
              SSL_CTX_set_alpn_protos(ctx, alpn, ALPN_LENGTH) == 0;
    if (!ok) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, tls);
    return ctx;
}

static int check_validity(const SSL_CTX *ctx, const char *path, int64_t *ret_not_after,
                          struct fs_error *err)
{
    const X509 *cert = SSL_CTX_get0_certificate(ctx);
    struct tm tm = {0};
    if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1) {
        return fs_error_set(err, FS_ERR_CONFIG, EINVAL, "tls.cert: %s has no valid end date", path);
    }
    *ret_not_after = timegm(&tm);
    char date[32];
    strftime(date, sizeof(date), "%Y-%m-%d %H:%M UTC", &tm);
    if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0) {
        return fs_error_set(err, FS_ERR_CONFIG, EKEYEXPIRED,
                            "tls.cert: %s expired on %s: renew the certificate", path, date);
    }
    if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0) {
        return fs_error_set(err, FS_ERR_CONFIG, EKEYREJECTED,
                            "tls.cert: %s is not valid yet: check this machine's clock", path);
    }
    return 0;
}

/* OpenSSL writes to sockets by write(2): a peer that hangs up must not kill the program. */
static void ignore_sigpipe(void)
{
    struct sigaction action;
    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL) {
        action.sa_handler = SIG_IGN;
        sigaction(SIGPIPE, &action, NULL);
    }
}

int fs_tls_new(const char *cert, const char *key, const char *ca, struct fs_tls **ret_tls,
               struct fs_error *err)
{
    *ret_tls = NULL;
    int r = check_readable("tls.cert", cert, err);
    if (r == 0) {
        r = check_readable("tls.key", key, err);
    }
    if (r == 0) {
        r = check_readable("tls.ca", ca, err);
    }
    if (r < 0) {
        return r;
    }
    struct fs_tls *tls = calloc(1, sizeof(*tls));
    if (tls == NULL) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    tls->refs = 1;
    tls->server = new_context(TLS_server_method(), tls);
    tls->client = new_context(TLS_client_method(), tls);
    if (tls->server == NULL || tls->client == NULL) {
        r = fs_error_set(err, FS_ERR_PERMANENT, ENOTSUP, "OpenSSL offers no TLS 1.3: %s",
                         ERR_reason_error_string(ERR_peek_last_error()));
    }
    if (r == 0) {
        r = load_files(tls->server, cert, key, ca, err);
    }
    if (r == 0) {
        r = load_files(tls->client, cert, key, ca, err);
    }
    if (r == 0) {
        r = check_validity(tls->server, cert, &tls->not_after, err);
    }
    ERR_clear_error();
    if (r < 0) {
        fs_tls_unref(tls);
        return r;
    }
    ignore_sigpipe();
    *ret_tls = tls;
    return 0;
}

struct fs_tls *fs_tls_ref(struct fs_tls *tls)
{
    tls->refs++;
    return tls;
}

void fs_tls_unref(struct fs_tls *tls)
{
    if (tls == NULL || --tls->refs > 0) {
        return;
    }
    SSL_CTX_free(tls->server);
    SSL_CTX_free(tls->client);
    X509_free(tls->enroll_ca);
    free(tls);
}

int fs_tls_allow_enroll(struct fs_tls *tls, const char *ca, struct fs_error *err)
{
    BIO *file = BIO_new_file(ca, "r");
    X509 *cert = file == NULL ? NULL : PEM_read_bio_X509(file, NULL, no_password, NULL);
    BIO_free(file);
    if (cert == NULL) {
        int r = bad_file("tls.ca", ca, "holds no CA certificate in PEM form", err);
        ERR_clear_error();
        return r;
    }
    X509_free(tls->enroll_ca);
    tls->enroll_ca = cert;
    return 0;
}

int64_t fs_tls_not_after(const struct fs_tls *tls)
{
    return tls->not_after;
}

/* --- connections ---------------------------------------------------------------------------- */

SSL *tls_new_ssl(struct fs_tls *tls, int fd, enum tls_role role)
{
    SSL *ssl = SSL_new(role == TLS_SERVER ? tls->server : tls->client);
    if (ssl == NULL) {
        return NULL;
    }
    if (SSL_set_fd(ssl, fd) != 1 ||
        (role == TLS_LANE && SSL_set_alpn_protos(ssl, lane_alpn, LANE_ALPN_LENGTH) != 0)) {
        SSL_free(ssl);
        return NULL;
    }
    if (role == TLS_SERVER) {
        SSL_set_accept_state(ssl);
    } else {
        SSL_set_connect_state(ssl);
    }
    return ssl;
}

/* alpn with the byte of its length. */
static bool agreed_on(const SSL *ssl, const unsigned char *wanted)
{
    const unsigned char *name;
    unsigned length;
    SSL_get0_alpn_selected(ssl, &name, &length);
    return length == wanted[0] && memcmp(name, wanted + 1, length) == 0;
}

bool tls_alpn_agreed(const SSL *ssl, enum tls_role role)
{
    if (role == TLS_SERVER) {
        return agreed_on(ssl, alpn) || tls_is_lane(ssl) || tls_enrolls(ssl);
    }
    return agreed_on(ssl, role == TLS_LANE ? lane_alpn : alpn);
}

bool tls_enrolls(const SSL *ssl)
{
    return agreed_on(ssl, tls_enroll_alpn);
}

bool tls_is_lane(const SSL *ssl)
{
    return agreed_on(ssl, lane_alpn);
}

bool tls_peer_key(const SSL *ssl, uint8_t ret_hash[32])
{
    X509 *cert = SSL_get0_peer_certificate(ssl);
    unsigned char *der = NULL;
    int length = cert == NULL ? -1 : i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    if (length <= 0) {
        return false;
    }
    bool ok = EVP_Digest(der, (size_t)length, ret_hash, NULL, EVP_sha256(), NULL) == 1;
    OPENSSL_free(der);
    return ok;
}

bool tls_peer_is(const SSL *ssl, const char *name)
{
    X509 *cert = SSL_get0_peer_certificate(ssl);
    /* To OpenSSL a leading dot means any name below. */
    if (cert == NULL || name[0] == '\0' || name[0] == '.') {
        return false;
    }
    return X509_check_host(cert, name, 0, X509_CHECK_FLAG_NO_WILDCARDS, NULL) == 1;
}
