/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our own certificate, where an authority of ours signed it: renewed in its last third, for the key
 * that it has, so that nothing but one file changes, and that at once. The site of the authority
 * signs for itself; another one asks it, at the endpoints that it dials anyway.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/daemon.h"
#include "farshore/file.h"
#include "farshore/log.h"

#define LOOK_EVERY_NS (3600 * FS_SEC)
#define RETRY_NS      (900 * FS_SEC)
#define RENEW_DAYS    30
#define ASK_TIMEOUT_S 3 /* for each step: less than a stop may take */

struct renewal { /* one question at the inviting site */
    struct fs_job job;
    struct fs_daemon *daemon;
    struct fs_enroll_identity identity; /* strings owned */
    struct fs_enroll_question question;
    char inviter[FS_NAME_SIZE];
    size_t n_endpoints;
    char *endpoints[FS_ENROLL_ENDPOINTS_MAX]; /* owned */
    char *cert;                               /* that we got; owned */
    struct fs_error err;
};

static void renewal_free(struct renewal *renewal)
{
    free((char *)renewal->identity.cert);
    free((char *)renewal->identity.key);
    free((char *)renewal->identity.ca);
    for (size_t i = 0; i < renewal->n_endpoints; i++) {
        free(renewal->endpoints[i]);
    }
    free(renewal->cert);
    free(renewal);
}

/* What we were given is put in place only where it is good. */
static int install(struct fs_daemon *daemon, const char *cert, struct fs_error *err)
{
    const struct fs_config *config = daemon->config;
    char *key = NULL, *ca = NULL;
    int rc = fs_file_read(config->tls_key, FS_PKI_TEXT_MAX, &key, err);

    if (rc == 0) {
        rc = fs_file_read(config->tls_ca, FS_PKI_TEXT_MAX, &ca, err);
    }
    if (rc == 0) {
        rc = fs_pki_check(cert, key, ca, config->site, err);
    }
    if (rc == 0) {
        rc = fs_file_replace(config->tls_cert, cert, 0644, err);
    }
    fs_pki_free_key(key);
    free(ca);
    return rc;
}

static void renewed(struct fs_daemon *daemon, const char *by, const char *cert,
                    struct fs_error *err)
{
    if (!fs_error_is_set(err) && install(daemon, cert, err) == 0) {
        daemon->certificates.check_at_ns = 0; /* it is taken up as any that somebody puts there */
        fs_log(FS_EV_CERTIFICATE_RENEWED, FS_S("file", daemon->config->tls_cert), FS_S("by", by));
    } else {
        daemon->enrolment.renew_at_ns = fs_context_boot(&daemon->ctx) + RETRY_NS;
        fs_log(FS_EV_CERTIFICATE_NOT_RENEWED, FS_S("file", daemon->config->tls_cert), FS_E(err));
    }
}

static void run_renewal(struct fs_job *job)
{
    struct renewal *renewal = (struct renewal *)job;
    struct fs_enroll_answer *answer = calloc(1, sizeof(*answer));
    int rc = -ENOMEM;

    for (size_t i = 0; answer && rc < 0 && i < renewal->n_endpoints; i++) {
        renewal->err = FS_ERROR_INIT;
        rc = fs_enroll_ask(renewal->endpoints[i], renewal->inviter, NULL, &renewal->identity,
                           &renewal->question, ASK_TIMEOUT_S, answer, &renewal->err);
    }
    if (rc == 0) {
        renewal->cert = strdup(answer->cert);
        fs_enroll_answer_fini(answer);
    }
    if (!renewal->cert) {
        (void)fs_error_set(&renewal->err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    free(answer);
}

static void renewal_done(struct fs_job *job)
{
    struct renewal *renewal = (struct renewal *)job;
    struct fs_daemon *daemon = renewal->daemon;

    daemon->enrolment.asking = false;
    renewed(daemon, renewal->inviter, renewal->cert, &renewal->err);
    renewal_free(renewal);
}

static int make_request(const struct fs_config *config, char *ret_request, size_t size,
                        struct fs_error *err)
{
    char *key = NULL, *request = NULL;
    int rc = fs_file_read(config->tls_key, FS_PKI_TEXT_MAX, &key, err);

    if (rc == 0) {
        rc = fs_pki_request(key, config->site, &request, err);
    }
    if (rc == 0) {
        (void)snprintf(ret_request, size, "%s", request);
    }
    fs_pki_free_key(key);
    free(request);
    return rc;
}

static bool is_whole(const struct renewal *renewal)
{
    bool whole = renewal->identity.cert && renewal->identity.key && renewal->identity.ca;

    for (size_t i = 0; i < renewal->n_endpoints; i++) {
        whole = whole && renewal->endpoints[i];
    }
    return whole;
}

static int ask(struct fs_daemon *daemon, const char *inviter, struct fs_error *err)
{
    const struct fs_config *config = daemon->config;
    const struct fs_config_peer *peer = fs_enrolment_peer(config, inviter);

    if (!peer || peer->n_endpoints == 0) {
        return fs_error_set(err, FS_ERR_CONFIG, ENOENT,
                            "site %s has the authority, and the configuration names no endpoint of "
                            "it to dial: add one, or put a new certificate at %s",
                            inviter, config->tls_cert);
    }
    struct renewal *renewal = calloc(1, sizeof(*renewal));
    if (!renewal) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    renewal->job = (struct fs_job){.run = run_renewal, .done = renewal_done};
    renewal->daemon = daemon;
    renewal->identity = (struct fs_enroll_identity){
        strdup(config->tls_cert), strdup(config->tls_key), strdup(config->tls_ca)};
    (void)snprintf(renewal->inviter, sizeof(renewal->inviter), "%s", inviter);
    (void)snprintf(renewal->question.site, sizeof(renewal->question.site), "%s", config->site);
    while (renewal->n_endpoints < peer->n_endpoints &&
           renewal->n_endpoints < FS_ENROLL_ENDPOINTS_MAX) {
        renewal->endpoints[renewal->n_endpoints] = strdup(peer->endpoints[renewal->n_endpoints]);
        renewal->n_endpoints++;
    }
    int rc = is_whole(renewal) ? make_request(config, renewal->question.request,
                                              sizeof(renewal->question.request), err)
                               : fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    if (rc < 0) {
        renewal_free(renewal);
        return rc;
    }
    daemon->enrolment.asking = true;
    fs_pool_submit(daemon->blocking, &renewal->job);
    return 0;
}

static int sign_own(struct fs_daemon *daemon, const struct fs_enroll_authority *found,
                    char **ret_cert, struct fs_error *err)
{
    const struct fs_config *config = daemon->config;
    char request[4096], *ca = NULL, *key = NULL;
    int rc = make_request(config, request, sizeof(request), err);

    if (rc == 0) {
        rc = fs_file_read(found->ca, FS_PKI_TEXT_MAX, &ca, err);
    }
    if (rc == 0) {
        rc = fs_file_read(found->key, FS_PKI_TEXT_MAX, &key, err);
    }
    if (rc == 0) {
        rc = fs_pki_sign(ca, key, request, config->site, FS_PKI_SITE_DAYS, ret_cert, err);
    }
    fs_pki_free_key(key);
    free(ca);
    return rc;
}

static void renew(struct fs_daemon *daemon, const char *issuer)
{
    struct fs_enroll_authority found;
    struct fs_error err = FS_ERROR_INIT, ignored = FS_ERROR_INIT;
    char *cert = NULL;

    if (fs_enroll_authority_find(daemon->config->tls_ca, &found, &ignored) == 0) {
        (void)sign_own(daemon, &found, &cert, &err);
        renewed(daemon, daemon->config->site, cert, &err);
        free(cert);
    } else if (ask(daemon, issuer, &err) < 0) {
        renewed(daemon, issuer, NULL, &err);
    }
}

/* In the last third of its life, or the last 30 days. */
static bool is_due(const struct fs_pki_life *life, int64_t now_s)
{
    int64_t third = (life->until_s - life->from_s) / 3, month = (int64_t)RENEW_DAYS * 86400;

    return life->until_s - now_s < (third > month ? third : month);
}

int64_t fs_enrolment_run(struct fs_daemon *daemon, int64_t now_ns)
{
    struct fs_enrolment *enrolment = &daemon->enrolment;
    struct fs_error ignored = FS_ERROR_INIT;
    struct fs_pki_life life;
    char *cert;

    if (now_ns < enrolment->renew_at_ns || enrolment->asking) {
        return enrolment->asking ? INT64_MAX : enrolment->renew_at_ns;
    }
    enrolment->renew_at_ns = now_ns + LOOK_EVERY_NS;
    /* What is wrong with the file is said where it is loaded. */
    if (fs_file_read(daemon->config->tls_cert, FS_PKI_TEXT_MAX, &cert, &ignored) == 0) {
        if (fs_pki_life(cert, &life, &ignored) == 0 && life.issuer[0] &&
            is_due(&life, fs_context_wall(&daemon->ctx) / FS_SEC)) {
            renew(daemon, life.issuer);
        }
        free(cert);
    }
    return enrolment->renew_at_ns;
}
