/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verification of points. The site that is secondary for a group does it: it holds all points, and
 * the digests that are kept with them. Another site asks it to, over the session. What was found
 * last is remembered in the cluster, at each site that asked. `verify.every` of the secondary's
 * policy proves the newest point in the background, one group at a time. LOOP only.
 */
#ifndef FARSHORE_DAEMON_VERIFIER_H
#define FARSHORE_DAEMON_VERIFIER_H

#include <jansson.h>

#include "daemon/state.h"
#include "farshore/verify.h"

struct fs_context;
struct fs_group;
struct fs_groups;
struct fs_verifier;

/* NULL when out of memory. */
struct fs_verifier *fs_verifier_new(struct fs_groups *groups);
/* Nothing may be under way. */
void fs_verifier_free(struct fs_verifier *verifier);

/* Start what is due; returns when it wants to be called again (boot clock). */
int64_t fs_verifier_run(struct fs_verifier *verifier);
/* Cancel everything that is under way, and start nothing until resume. */
void fs_verifier_stop(struct fs_verifier *verifier);
void fs_verifier_resume(struct fs_verifier *verifier);
/* Operations that have not ended yet. */
size_t fs_verifier_busy(const struct fs_verifier *verifier);

/*
 * An operator wants a point proved; zero: the newest one that both sites hold. Joins one of the
 * same point that is under way. 0, or -errno: refused, with err for the operator. *ret_serial is
 * what fs_verifier_finished counts up to when it has ended.
 */
int fs_verifier_ask(struct fs_verifier *verifier, struct fs_group *group,
                    const struct fs_uuid *point, uint64_t *ret_serial, struct fs_error *err);
/* Whether the one that ask began has ended; *ret_report (may be NULL) is then its outcome. */
bool fs_verifier_finished(const struct fs_verifier *verifier, const struct fs_uuid *group,
                          uint64_t serial, struct fs_verify_report *ret_report);
/* Whoever asked does not want it any more: it is cancelled, unless others want it. */
void fs_verifier_let_go(struct fs_verifier *verifier, const struct fs_uuid *group, uint64_t serial);

/* The "verify" object of the status document; a new reference. */
json_t *fs_verifier_status(const struct fs_verifier *verifier, const struct fs_group *group);
/* Differences that were found and still stand. */
void fs_verifier_add_verdict(const struct fs_verifier *verifier, const struct fs_group *group,
                             struct fs_verdict *verdict);

/* What a peer asks on a stream; as the session's events. */
void fs_verifier_asked(struct fs_verifier *verifier, const char *peer, struct fs_session *session,
                       uint32_t stream, const struct fs_verify *verify);
void fs_verifier_digest_open(struct fs_verifier *verifier, const char *peer,
                             struct fs_session *session, uint32_t stream,
                             const struct fs_digest_open *open);

#endif
