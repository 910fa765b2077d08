/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enrolment: how a site gets a certificate of another site's authority. docs/security.md has the
 * reasoning, farshore-protocol(5) the bytes.
 *
 * One question and one answer on a TLS connection of its own ALPN to the port between the sites,
 * each a JSON text behind its length (u32, little endian). Who asks is known by the secret of an
 * invitation, which is good once, or, to renew, by the certificate that it has.
 */
#ifndef FARSHORE_ENROLL_H
#define FARSHORE_ENROLL_H

#include "farshore/pki.h"
#include "farshore/tls.h"

#define FS_ENROLL_ENDPOINTS_MAX 8
#define FS_ENROLL_POLICIES_MAX  64
#define FS_ENROLL_POOLS_MAX     64
#define FS_ENROLL_MESSAGE_MAX   65536u
#define FS_ENROLL_SECRET        32
#define FS_ENROLL_TOKEN_MAX     4096

/* --- the token (enroll_token.c) -------------------------------------------------------------- */

struct fs_enroll_token {
    char site[FS_NAME_SIZE];    /* who is invited */
    char inviter[FS_NAME_SIZE]; /* whose certificate the other end shows */
    size_t n_endpoints;
    char endpoints[FS_ENROLL_ENDPOINTS_MAX][FS_NAME_SIZE]; /* host:port */
    uint8_t ca[FS_PKI_HASH]; /* fingerprint of the authority that signed that certificate */
    uint8_t secret[FS_ENROLL_SECRET];
    int64_t until_s; /* since the epoch */
};

/* A line of text that fits into a mail; for free(). NULL when out of memory. */
char *fs_enroll_token_encode(const struct fs_enroll_token *token);
/* -EINVAL (config) for what is no token, or not a whole one. Says nothing of its time. */
int fs_enroll_token_decode(const char *text, struct fs_enroll_token *ret_token,
                           struct fs_error *err);

/* --- messages (enroll_message.c) ------------------------------------------------------------- */

struct fs_enroll_question {
    char site[FS_NAME_SIZE];
    bool invited; /* secret is given; else the connection shows the certificate to renew */
    uint8_t secret[FS_ENROLL_SECRET];
    char request[4096]; /* PKCS#10 in PEM form */
};

struct fs_enroll_policy {
    char name[FS_NAME_SIZE];
    unsigned interval_s; /* 0: the answering site takes no points for it */
    unsigned latest, hourly, daily, weekly;
    size_t n_pools;
    struct {
        char source[2 * FS_POOL_SIZE], target[2 * FS_POOL_SIZE]; /* POOL[/NAMESPACE] */
    } pools[FS_ENROLL_POOLS_MAX];
};

struct fs_enroll_answer {
    char refusal[512];              /* "", or why not, and then nothing else is there */
    char site[FS_NAME_SIZE];        /* who answers */
    char cert[FS_PKI_TEXT_MAX / 2]; /* PEM */
    char ca[FS_PKI_TEXT_MAX / 2];
    size_t n_policies;
    struct fs_enroll_policy *policies; /* owned */
};

/* JSON texts, for free(); NULL when out of memory. */
char *fs_enroll_question_encode(const struct fs_enroll_question *question);
char *fs_enroll_answer_encode(const struct fs_enroll_answer *answer);
/* -EPROTO (peer) with err, and then nothing is to be freed. */
int fs_enroll_question_decode(const char *text, size_t length,
                              struct fs_enroll_question *ret_question, struct fs_error *err);
int fs_enroll_answer_decode(const char *text, size_t length, struct fs_enroll_answer *ret_answer,
                            struct fs_error *err);
void fs_enroll_answer_fini(struct fs_enroll_answer *answer);

/* --- the inviting site's files (enroll_invitation.c) ------------------------------------------ */

/* The authority of a site: its key lies beside its certificate, as ca.key beside ca.crt. */
struct fs_enroll_authority {
    char directory[512]; /* of both */
    char ca[544], key[544];
};

/* ca is the path of the certificate (tls.ca). -ENOENT (config): no key of an authority lies beside
 * it, which is so where an operator has a PKI of their own, and at every site but the inviting. */
int fs_enroll_authority_find(const char *ca, struct fs_enroll_authority *ret_authority,
                             struct fs_error *err);

/*
 * Invite: makes the secret, keeps its hash as a file until it was used or its time is over, and
 * fills token's ca, secret and until_s. Earlier invitations of the same site are withdrawn.
 */
int fs_enroll_invite(const struct fs_enroll_authority *authority, int64_t now_s, unsigned ttl_s,
                     struct fs_enroll_token *token, struct fs_error *err);
/*
 * Use an invitation up: 0 once for each, durably. -EACCES (peer): there is none with that secret
 * for that site, it was used, or its time is over.
 */
int fs_enroll_use(const struct fs_enroll_authority *authority, int64_t now_s, const char *site,
                  const uint8_t secret[FS_ENROLL_SECRET], struct fs_error *err);
/* Is there any that could be used? */
bool fs_enroll_is_invited(const struct fs_enroll_authority *authority, int64_t now_s);

/* --- answering (enroll_server.c) -------------------------------------------------------------- */

struct fs_enroll_server;

struct fs_enroll_server_options {
    struct event_base *base;
    const struct fs_clock *clock;
    /* Our authority; -errno with err where this site has none. */
    int (*authority)(void *arg, struct fs_enroll_authority *ret_authority, struct fs_error *err);
    /* That site has proved that it may ask: is it a peer of ours? Fills answer's site and policies,
     * or refusal. */
    void (*consent)(void *arg, const char *site, struct fs_enroll_answer *answer);
    /* A certificate was given (err is not set), or why not; for the log. */
    void (*told)(void *arg, const char *site, const char *address, bool renewed,
                 const struct fs_error *err);
    void *arg;
};

/* NULL when out of memory. LOOP, as all of it. */
struct fs_enroll_server *fs_enroll_server_new(const struct fs_enroll_server_options *options);
/* Connections that are open are closed. */
void fs_enroll_server_free(struct fs_enroll_server *server);
/* fs_tls_accepted_fn; arg is the server. */
void fs_enroll_server_accept(void *arg, struct fs_transport *transport);

/* --- asking (enroll_client.c) ----------------------------------------------------------------- */

struct fs_enroll_identity { /* to renew: files, as of tls in the configuration */
    const char *cert, *key, *ca;
};

/*
 * Ask at an endpoint, and wait for the answer, timeout_s at most for each step. The other end must
 * be site. By an invitation: pin is the fingerprint of its authority; to renew, pin is NULL and
 * identity says who we are. A refusal is -EACCES (config) with its text. Blocks; WORKER or the
 * tool.
 */
int fs_enroll_ask(const char *endpoint, const char *site, const uint8_t *pin,
                  const struct fs_enroll_identity *identity,
                  const struct fs_enroll_question *question, unsigned timeout_s,
                  struct fs_enroll_answer *ret_answer, struct fs_error *err);

#endif
