/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL's reasons, told to people: which side has to change what. With TLS 1.3 a refusal of our
 * certificate arrives as an alert after our own handshake is done, on the first read.
 */
#include <openssl/err.h>
#include <openssl/sslerr.h>
#include <string.h>

#include "ship/tls_private.h"

static void explain_verify(long result, const char *address, struct fs_error *err)
{
    switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        fs_error_set(err, FS_ERR_CONFIG, EKEYEXPIRED,
                     "the certificate of %s has expired: renew it at that site", address);
        return;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        fs_error_set(err, FS_ERR_CONFIG, EKEYREJECTED,
                     "the certificate of %s is not valid yet: compare the clocks of both sites",
                     address);
        return;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        fs_error_set(err, FS_ERR_CONFIG, EKEYREJECTED,
                     "the certificate of %s is from an unknown CA: the file tls.ca of this site "
                     "must hold the CA that signed it",
                     address);
        return;
    case X509_V_ERR_INVALID_PURPOSE:
        fs_error_set(err, FS_ERR_CONFIG, EKEYREJECTED,
                     "the certificate of %s may not be used for this: it must allow both client "
                     "and server authentication",
                     address);
        return;
    default:
        fs_error_set(err, FS_ERR_CONFIG, EKEYREJECTED, "the certificate of %s is refused: %s",
                     address, X509_verify_cert_error_string(result));
    }
}

/* True where the reason is an alert of the peer about our certificate. */
static bool explain_alert(int reason, const char *address, struct fs_error *err)
{
    switch (reason) {
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
        fs_error_set(err, FS_ERR_CONFIG, EKEYREJECTED,
                     "%s does not know the CA of our certificate: the file tls.ca of that site "
                     "must hold the CA that signed it",
                     address);
        return true;
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
        fs_error_set(err, FS_ERR_CONFIG, EKEYEXPIRED,
                     "%s says that our certificate has expired: renew it, or compare the clocks",
                     address);
        return true;
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        fs_error_set(err, FS_ERR_CONFIG, EKEYREJECTED, "%s got no certificate from us", address);
        return true;
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
        fs_error_set(err, FS_ERR_CONFIG, EKEYREJECTED,
                     "%s refuses our certificate (%s): its log says why", address,
                     ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, reason)));
        return true;
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
        fs_error_set(err, FS_ERR_PEER, EPROTO,
                     "%s has no protocol in common with us: is it a Farshore of this version?",
                     address);
        return true;
    default:
        return false;
    }
}

static void explain_ssl(const SSL *ssl, const char *address, struct fs_error *err)
{
    int reason = ERR_GET_REASON(ERR_peek_error());
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        explain_verify(SSL_get_verify_result(ssl), address, err);
        return;
    }
    if (explain_alert(reason, address, err)) {
        return;
    }
    switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        fs_error_set(err, FS_ERR_CONFIG, EKEYREJECTED,
                     "%s showed no certificate: only peers with one are let in", address);
        return;
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
        fs_error_set(err, FS_ERR_TRANSIENT, ECONNRESET, "%s closed the connection", address);
        return;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_NO_APPLICATION_PROTOCOL:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
    case SSL_R_WRONG_SSL_VERSION:
        fs_error_set(err, FS_ERR_PEER, EPROTO,
                     "%s does not speak Farshore's protocol over TLS 1.3: is it a Farshore?",
                     address);
        return;
    default:
        fs_error_set(err, FS_ERR_PEER, EPROTO, "TLS with %s failed: %s", address,
                     reason == 0 ? "unknown reason" : ERR_reason_error_string(ERR_peek_error()));
    }
}

static void explain_lost(int code, const char *address, struct fs_error *err)
{
    fs_error_set(err, FS_ERR_TRANSIENT, code, "the connection to %s was lost: %s", address,
                 strerror(code));
}

void tls_explain_errno(const char *address, struct fs_error *err)
{
    explain_lost(errno, address, err);
}

void tls_explain(const SSL *ssl, int result, const char *address, struct fs_error *err)
{
    int code = errno;
    switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_SSL:
        explain_ssl(ssl, address, err);
        break;
    case SSL_ERROR_SYSCALL:
        if (code != 0) {
            explain_lost(code, address, err);
            break;
        }
        __attribute__((fallthrough));
    default: /* an orderly end */
        fs_error_set(err, FS_ERR_TRANSIENT, ECONNRESET, "%s closed the connection", address);
    }
    ERR_clear_error();
}
