/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The asking end, which blocks: it is the tool, or a worker of the daemon. By an invitation only
 * the authority of its pin counts, and no other that this machine may know.
 */
#include <fcntl.h>
#include <netdb.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ship/enroll_private.h"
#include "ship/tls_private.h"

struct asking {
    const char *endpoint;
    const uint8_t *pin;
    unsigned timeout_s;
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

/* --- the connection -------------------------------------------------------------------------- */

static bool connects(int fd, const struct addrinfo *to, unsigned timeout_s)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    struct timeval timeout = {.tv_sec = timeout_s};
    int code = 0;
    socklen_t length = sizeof(code);

    if (connect(fd, to->ai_addr, to->ai_addrlen) < 0 && errno != EINPROGRESS) {
        return false;
    }
    int n = poll(&ready, 1, (int)timeout_s * 1000);
    if (n <= 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length) < 0 || code != 0) {
        errno = n == 0 ? ETIMEDOUT : code ? code : errno;
        return false;
    }
    /* From here on it blocks, for so long at most. */
    return fcntl(fd, F_SETFL, 0) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0;
}

static int dial(struct asking *asking, struct fs_error *err)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char host[TLS_HOST_SIZE], port[TLS_PORT_SIZE];
    struct addrinfo *list;
    int code = 0;
    int rc = tls_address_split(asking->endpoint, host, port, err);

    if (rc < 0) {
        return rc;
    }
    rc = getaddrinfo(host, port, &hints, &list);
    if (rc != 0) {
        return fs_error_set(err, FS_ERR_TRANSIENT, EHOSTUNREACH, "%s: %s", asking->endpoint,
                            gai_strerror(rc));
    }
    for (const struct addrinfo *to = list; to && asking->fd < 0; to = to->ai_next) {
        asking->fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (asking->fd >= 0 && !connects(asking->fd, to, asking->timeout_s)) {
            code = errno;
            (void)close(asking->fd);
            asking->fd = -1;
        }
    }
    freeaddrinfo(list);
    if (asking->fd < 0) {
        return fs_error_set(err, FS_ERR_TRANSIENT, code ? code : EIO, "cannot connect to %s: %s",
                            asking->endpoint, strerror(code ? code : EIO));
    }
    return 0;
}

/* --- who the other end is -------------------------------------------------------------------- */

/* The one of the certificates that were sent whose fingerprint is the pin. */
static X509 *pinned(const STACK_OF(X509) * sent, const uint8_t *pin)
{
    uint8_t hash[FS_PKI_HASH];

    for (int i = 0; i < sk_X509_num(sent); i++) {
        X509 *cert = sk_X509_value(sent, i);
        if (X509_digest(cert, EVP_sha256(), hash, NULL) == 1 &&
            memcmp(hash, pin, sizeof(hash)) == 0) {
            return cert;
        }
    }
    return NULL;
}

/* In place of OpenSSL's verification: the same, with the pinned authority as the only one. */
static int verify_by_pin(X509_STORE_CTX *given, void *arg)
{
    X509 *ca = pinned(X509_STORE_CTX_get0_untrusted(given), arg);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    bool ok = ca && store && ctx && X509_STORE_add_cert(store, ca) == 1 &&
              X509_STORE_CTX_init(ctx, store, X509_STORE_CTX_get0_cert(given), NULL) == 1 &&
              X509_STORE_CTX_set_default(ctx, "ssl_server") == 1 && X509_verify_cert(ctx) == 1;

    X509_STORE_CTX_set_error(given, ok    ? X509_V_OK
                                    : !ca ? X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN
                                          : X509_STORE_CTX_get_error(ctx));
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    return ok;
}

static int failed(struct asking *asking, int result, struct fs_error *err)
{
    if (asking->pin && SSL_get_verify_result(asking->ssl) == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN) {
        ERR_clear_error();
        return fs_error_set(err, FS_ERR_CONFIG, EACCES,
                            "%s does not show the authority that the token names: it is another "
                            "site, or somebody stands in between",
                            asking->endpoint);
    }
    tls_explain(asking->ssl, result, asking->endpoint, err);
    ERR_clear_error();
    return err->code ? -err->code : -EIO;
}

static int set_identity(struct asking *asking, const struct fs_enroll_identity *identity,
                        struct fs_error *err)
{
    SSL_CTX *ctx = asking->ctx;

    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (asking->pin) {
        SSL_CTX_set_cert_verify_callback(ctx, verify_by_pin, (void *)asking->pin);
        return 0;
    }
    if (SSL_CTX_use_certificate_chain_file(ctx, identity->cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, identity->key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_load_verify_file(ctx, identity->ca) != 1) {
        ERR_clear_error();
        return fs_error_set(err, FS_ERR_CONFIG, EINVAL, "%s, %s or %s cannot be used",
                            identity->cert, identity->key, identity->ca);
    }
    return 0;
}

static int shake_hands(struct asking *asking, const char *site,
                       const struct fs_enroll_identity *identity, struct fs_error *err)
{
    asking->ctx = SSL_CTX_new(TLS_client_method());
    if (!asking->ctx || SSL_CTX_set_min_proto_version(asking->ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_alpn_protos(asking->ctx, tls_enroll_alpn, TLS_ENROLL_ALPN_LENGTH) != 0) {
        return fs_error_set(err, FS_ERR_PERMANENT, ENOTSUP, "OpenSSL offers no TLS 1.3");
    }
    int rc = set_identity(asking, identity, err);
    if (rc < 0) {
        return rc;
    }
    asking->ssl = SSL_new(asking->ctx);
    if (!asking->ssl || SSL_set_fd(asking->ssl, asking->fd) != 1) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    ERR_clear_error();
    errno = 0;
    int result = SSL_connect(asking->ssl);
    if (result != 1) {
        return failed(asking, result, err);
    }
    if (!tls_enrolls(asking->ssl)) {
        return fs_error_set(err, FS_ERR_CONFIG, EPROTO,
                            "%s does not take part in an enrolment: is an invitation open there?",
                            asking->endpoint);
    }
    if (!tls_peer_is(asking->ssl, site)) {
        return fs_error_set(err, FS_ERR_CONFIG, EACCES,
                            "%s is not site %s: its certificate is of "
                            "another one",
                            asking->endpoint, site);
    }
    return 0;
}

/* --- question and answer --------------------------------------------------------------------- */

static int write_all(struct asking *asking, const struct fs_buf *buf, struct fs_error *err)
{
    size_t written;

    ERR_clear_error();
    errno = 0;
    int result = SSL_write_ex(asking->ssl, buf->data, buf->length, &written);
    return result == 1 ? 0 : failed(asking, result, err);
}

static int read_exactly(struct asking *asking, uint8_t *ret_bytes, size_t length,
                        struct fs_error *err)
{
    size_t at = 0, n;

    while (at < length) {
        ERR_clear_error();
        errno = 0;
        int result = SSL_read_ex(asking->ssl, ret_bytes + at, length - at, &n);
        if (result != 1) {
            if (errno == EAGAIN) {
                return fs_error_set(err, FS_ERR_TRANSIENT, ETIMEDOUT, "%s does not answer",
                                    asking->endpoint);
            }
            return failed(asking, result, err);
        }
        at += n;
    }
    return 0;
}

static int converse(struct asking *asking, const struct fs_enroll_question *question,
                    struct fs_enroll_answer *ret_answer, struct fs_error *err)
{
    char *text = fs_enroll_question_encode(question);
    struct fs_buf buf = FS_BUF_INIT;
    uint8_t head[sizeof(uint32_t)];

    if (text) {
        fs_buf_put_u32(&buf, (uint32_t)strlen(text));
        fs_buf_put(&buf, text, strlen(text));
        OPENSSL_cleanse(text, strlen(text));
    }
    bool ok = text && !buf.failed;
    free(text);
    int rc = ok ? write_all(asking, &buf, err)
                : fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    fs_buf_fini(&buf);
    if (rc == 0) {
        rc = read_exactly(asking, head, sizeof(head), err);
        if (rc < 0 && rc != -ETIMEDOUT &&
            asking->pin) { /* it listens to nobody who is not expected */
            *err = FS_ERROR_INIT;
            rc = fs_error_set(err, FS_ERR_CONFIG, EACCES,
                              "%s lets nobody join now: the token was used, its time is over, or a "
                              "newer one was made; `farshore enroll invite` makes another",
                              asking->endpoint);
        }
    }
    if (rc < 0) {
        return rc;
    }
    struct fs_cursor cursor = fs_cursor_of(head, sizeof(head));
    uint32_t length = fs_cursor_get_u32(&cursor);
    uint8_t *bytes = length <= FS_ENROLL_MESSAGE_MAX ? malloc(length + 1) : NULL;
    if (!bytes) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO,
                            "%s answers with %u bytes, which is no answer", asking->endpoint,
                            length);
    }
    rc = read_exactly(asking, bytes, length, err);
    if (rc == 0) {
        rc = fs_enroll_answer_decode((const char *)bytes, length, ret_answer, err);
    }
    free(bytes);
    return rc;
}

int fs_enroll_ask(const char *endpoint, const char *site, const uint8_t *pin,
                  const struct fs_enroll_identity *identity,
                  const struct fs_enroll_question *question, unsigned timeout_s,
                  struct fs_enroll_answer *ret_answer, struct fs_error *err)
{
    struct asking asking = {.endpoint = endpoint, .pin = pin, .timeout_s = timeout_s, .fd = -1};
    int rc = dial(&asking, err);

    if (rc == 0) {
        rc = shake_hands(&asking, site, identity, err);
    }
    if (rc == 0) {
        rc = converse(&asking, question, ret_answer, err);
    }
    if (rc == 0 && ret_answer->refusal[0]) {
        rc = fs_error_set(err, FS_ERR_CONFIG, EACCES, "%s refuses: %s", site, ret_answer->refusal);
    } else if (rc == 0 && strcmp(ret_answer->site, site) != 0) {
        fs_enroll_answer_fini(ret_answer);
        rc = fs_error_set(err, FS_ERR_PEER, EPROTO, "%s answers as site %.64s", endpoint,
                          ret_answer->site);
    }
    SSL_free(asking.ssl);
    SSL_CTX_free(asking.ctx);
    if (asking.fd >= 0) {
        (void)close(asking.fd);
    }
    return rc;
}
