/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates for sites without a PKI of their own: the site with the authority answers joining
 * and renewing sites on the one port, and every site renews its own certificate in good time, for
 * the key that it has. A certificate of any other authority is its operator's business. LOOP only.
 */
#ifndef FARSHORE_DAEMON_ENROLMENT_H
#define FARSHORE_DAEMON_ENROLMENT_H

#include <jansson.h>

#include "farshore/enroll.h"

struct fs_call;
struct fs_config;
struct fs_config_peer;
struct fs_daemon;

struct fs_enrolment { /* part of the daemon; zeroed at first */
    struct fs_enroll_server *server;
    bool asking;         /* a worker asks the inviting site for a new certificate */
    int64_t renew_at_ns; /* boot: next look at our own certificate */
};

int fs_enrolment_start(struct fs_daemon *daemon, struct fs_error *err);
void fs_enrolment_stop(struct fs_daemon *daemon);
/* tls was loaded as config says: does this site have the authority? Then others may ask. */
void fs_enrolment_open(const struct fs_config *config, struct fs_tls *tls);
/* renewal.c: renews our own certificate where it is time to; returns when it wants to be called
 * again (boot clock). */
int64_t fs_enrolment_run(struct fs_daemon *daemon, int64_t now_ns);
/* The peer whose certificate has that name; NULL: none. */
const struct fs_config_peer *fs_enrolment_peer(const struct fs_config *config, const char *site);
/* The request `enroll`: make an invitation. */
void fs_enrolment_command(struct fs_daemon *daemon, struct fs_call *call, const json_t *request);

#endif
