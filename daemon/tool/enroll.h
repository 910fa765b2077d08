/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `farshore enroll`: two sites come to trust each other in two commands. The inviting site makes an
 * authority, its certificate and its configuration where it has none yet; the joining one gets its
 * certificate signed over the one port and writes the mirror image. Blocks.
 */
#ifndef FARSHORE_TOOL_ENROLL_H
#define FARSHORE_TOOL_ENROLL_H

#include <stdio.h>

#include "farshore/enroll.h"

struct fs_enroll_arguments { /* borrowed; NULL: not given */
    const char *action;      /* "invite" or "join" */
    const char *token;       /* join */
    const char *site;        /* invite: who is to join */
    const char *as;          /* invite, without a configuration: what this site is called */
    const char *endpoint;    /* invite: where the other site reaches this one */
    const char *pools;       /* invite, without a configuration: "rbd:rbd,vms:copies" */
    const char *config;      /* the configuration to write */
    const char *socket;      /* of the daemon, where there is a configuration */
    bool json;
};

/* What is wrong with them, static text, or NULL. */
const char *fs_enroll_check(const struct fs_enroll_arguments *arguments);
/* Exit status of the tool. */
int fs_enroll(const struct fs_enroll_arguments *arguments);

/* --- enroll_config.c ------------------------------------------------------------------------- */

/* The configuration of a site that invites another; pools as "A:B,C:D". 0, or -EINVAL with err. */
int fs_enroll_config_inviting(FILE *out, const char *site, const char *peer, const char *pki,
                              const char *endpoint, const char *pools, struct fs_error *err);
/* The mirror image, at the site that joined. */
void fs_enroll_config_joined(FILE *out, const struct fs_enroll_token *token,
                             const struct fs_enroll_answer *answer, const char *pki);

/* --- enroll_place.c -------------------------------------------------------------------------- */

struct fs_enroll_place { /* where a configuration and what it needs are */
    const char *config;
    char pki[512]; /* the directory of keys and certificates beside it */
};

/* -EEXIST (config): somebody wrote a configuration there; the package's example counts as none. */
int fs_enroll_place_find(const char *config, struct fs_enroll_place *ret_place,
                         struct fs_error *err);
/* Writes PKI/NAME.SUFFIX, making the directory; the daemon's user may read it, and nobody else a
 * key. -EEXIST where there is one. */
int fs_enroll_place_put(const struct fs_enroll_place *place, const char *name, const char *suffix,
                        const char *text, struct fs_error *err);
/* Writes the configuration, once `farshored --check` has found nothing in it. */
int fs_enroll_place_configure(const struct fs_enroll_place *place, const char *text,
                              struct fs_error *err);
/* Everything in the directory belongs to the daemon's user, as the directory does. */
void fs_enroll_place_give_all(const struct fs_enroll_place *place);

#endif
