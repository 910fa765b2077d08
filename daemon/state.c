/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/state.h"

#include <stdio.h>

const char *fs_state_name(enum fs_group_state state)
{
    static const char *const names[] = {
#define FS_GROUP_STATE_NAME(constant, name) [constant] = (name),
        FS_GROUP_STATES(FS_GROUP_STATE_NAME)
#undef FS_GROUP_STATE_NAME
    };

    return (unsigned)state < FS_STATE_COUNT ? names[state] : "error";
}

void fs_verdict_add(struct fs_verdict *verdict, enum fs_group_state state, const char *hint,
                    const char *format, ...)
{
    if (state <= verdict->state) {
        return;
    }
    va_list args;
    va_start(args, format);
    verdict->state = state;
    (void)vsnprintf(verdict->reason, sizeof(verdict->reason), format, args);
    va_end(args);
    (void)snprintf(verdict->hint, sizeof(verdict->hint), "%s", hint ? hint : "");
}

void fs_verdict_merge(struct fs_verdict *verdict, const struct fs_verdict *other)
{
    if (other->state > verdict->state) {
        *verdict = *other;
    }
}

/* A row says what one cause means; the error's own message is the reason. */
struct meaning {
    enum fs_group_state state;
    const char *label;
    const char *hint;
};

static const char *apply(const struct meaning *meaning, const struct fs_error *err,
                         struct fs_verdict *ret_verdict)
{
    *ret_verdict = FS_VERDICT_OK;
    fs_verdict_add(ret_verdict, meaning->state, meaning->hint, "%s",
                   err && err->message[0] ? err->message : meaning->label);
    return meaning->label;
}

const char *fs_verdict_of_take(enum fs_take_reason reason, const struct fs_error *err,
                               struct fs_verdict *ret_verdict)
{
    static const struct meaning meanings[] = {
        [FS_TAKE_WRITER_SILENT] = {FS_STATE_WRITER_SILENT, "writer_silent",
                                   "a snapshot would have this writer blocklisted: continue or end "
                                   "the process that holds the volume's lock"},
        [FS_TAKE_NOT_ONE_INSTANT] = {FS_STATE_NOT_ONE_INSTANT, "not_one_instant",
                                     "enable exclusive-lock on every volume of the group and keep "
                                     "them in one namespace, or set not_one_instant: mark"},
        [FS_TAKE_BOUND_PASSED] = {FS_STATE_ERROR, "bound_passed",
                                  "it is tried again; raise snapshot_timeout if the writers may be "
                                  "held for longer"},
        [FS_TAKE_FOREIGN_GROUP] = {FS_STATE_ERROR, "foreign_group",
                                   "take the image out of that RBD group: rbd group image remove"},
        [FS_TAKE_RECORD_LOST] = {FS_STATE_RECORD_LOST, "record_lost",
                                 "restore the newest state pool of this site"},
    };

    if (reason == FS_TAKE_REASON_NONE || (size_t)reason >= sizeof(meanings) / sizeof(meanings[0])) {
        return fs_verdict_of_error(err, ret_verdict);
    }
    return apply(&meanings[reason], err, ret_verdict);
}

const char *fs_verdict_of_refusal(enum fs_refusal refusal, const struct fs_error *err,
                                  struct fs_verdict *ret_verdict)
{
    static const struct meaning meanings[] = {
        [FS_REFUSE_UNKNOWN_POLICY] = {FS_STATE_ERROR, "unknown_policy",
                                      "add the policy to the configuration of the peer and reload "
                                      "it there"},
        [FS_REFUSE_POOL_NOT_MAPPED] = {FS_STATE_ERROR, "pool_not_mapped",
                                       "add the pool to the policy's pools at the peer and reload "
                                       "it there"},
        [FS_REFUSE_NOT_OWNED] = {FS_STATE_ERROR, "not_owned",
                                 "rename or remove the image of that name at the peer"},
        [FS_REFUSE_STALE_TERM] = {FS_STATE_SUPERSEDED, "stale_term",
                                  "the peer was promoted since: nothing is shipped from here"},
        [FS_REFUSE_SPLIT_BRAIN] =
            {FS_STATE_SPLIT_BRAIN, "split_brain",
             "farshore resync GROUP --from SITE, at the site whose data is given "
             "up, makes it the secondary of the other"},
        [FS_REFUSE_NOT_SECONDARY] = {FS_STATE_ERROR, "not_secondary",
                                     "see `farshore status` at the peer"},
        [FS_REFUSE_NO_BASE] =
            {FS_STATE_DIVERGED, "no_base",
             "farshore resync GROUP --from SITE, at the site whose data is given up, "
             "ships what differs; nothing is lost meanwhile"},
        [FS_REFUSE_NO_SPACE] = {FS_STATE_NO_SPACE, "no_space",
                                "make room in the pool at the peer; it goes on by itself"},
        [FS_REFUSE_BUSY] = {FS_STATE_SYNCING, "busy", NULL},
        [FS_REFUSE_UNAVAILABLE] = {FS_STATE_CLUSTER_DOWN, "peer_unavailable",
                                   "look at the peer's Ceph cluster; it goes on by itself"},
        [FS_REFUSE_DIGEST] = {FS_STATE_ERROR, "digest_mismatch",
                              "the point was not committed; if it comes again, check the hosts' "
                              "memory and the clusters' health"},
        [FS_REFUSE_BROKEN] = {FS_STATE_ERROR, "refused", "see the log of the peer"},
        [FS_REFUSE_TAMPERED] = {FS_STATE_TAMPERED, "tampered",
                                "farshore adopt GROUP at the secondary site keeps aside what was "
                                "written there and goes on"},
        [FS_REFUSE_SUPERSEDED] = {FS_STATE_DEGRADED, "peer_superseded",
                                  "farshore failback GROUP at the peer makes it a secondary again; "
                                  "until then the volumes are not protected"},
        [FS_REFUSE_RECORD_LOST] = {FS_STATE_RECORD_LOST, "record_lost",
                                   "restore the newest state pool of the site that lost it; or "
                                   "farshore adopt GROUP at the secondary site goes on without"},
        [FS_REFUSE_FOREIGN] = {FS_STATE_ERROR, FS_LABEL_FOREIGN,
                               "rename or remove that image; or farshore adopt GROUP at the "
                               "secondary site makes it the replica, and ships what differs"},
        [FS_REFUSE_TRIMMING] = {FS_STATE_DEGRADED, "trimming",
                                "look at snaptrim in `ceph -s` of the peer; it goes on by itself"},
    };

    if (refusal == FS_REFUSE_NONE || (size_t)refusal >= sizeof(meanings) / sizeof(meanings[0])) {
        return fs_verdict_of_error(err, ret_verdict);
    }
    return apply(&meanings[refusal], err, ret_verdict);
}

const char *fs_verdict_of_error(const struct fs_error *err, struct fs_verdict *ret_verdict)
{
    struct meaning meaning = {FS_STATE_ERROR, fs_error_class_name(err->class), "see the log"};

    if (err->code == ENOSPC || err->code == EDQUOT) {
        meaning = (struct meaning){FS_STATE_NO_SPACE, "no_space",
                                   "make room in the cluster; it goes on by itself"};
    } else if (err->class == FS_ERR_TRANSIENT &&
               (err->code == ETIMEDOUT || err->code == ENOTCONN || err->code == ESHUTDOWN)) {
        meaning.state = FS_STATE_CLUSTER_DOWN;
        meaning.hint = "look at the Ceph cluster: `ceph -s`; it goes on by itself";
    } else if (err->class == FS_ERR_TRANSIENT) {
        meaning.hint = "it is tried again by itself";
    } else if (err->class == FS_ERR_BUG) {
        meaning.hint = "please report it, with the log";
    }
    return apply(&meaning, err, ret_verdict);
}
