/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/follow.h"

#include <inttypes.h>
#include <stdio.h>

#include "daemon/operation_log.h"
#include "daemon/peer.h"
#include "daemon/terms.h"
#include "farshore/fault.h"
#include "farshore/log.h"

enum { STOP, FOLLOW };

/* --- may it be -------------------------------------------------------------------------------- */

/* What both need: a site that works, and a peer that says who it is now. */
static const char *refuse_common(const struct fs_group *group, char *text, size_t size)
{
    const struct fs_context *ctx = group->ctx;
    const struct fs_record *record = group->record;

    if (!ctx->operators) {
        (void)snprintf(text, size, "this site does not work now: %s", ctx->site_reason);
        return text;
    }
    if (group->operation) {
        (void)snprintf(text, size, "another operation on %s is under way: %s", record->name,
                       group->operation->kind->name);
        return text;
    }
    if (!fs_peers_session_with_terms(ctx->peers, record->peer)) {
        (void)snprintf(text, size, "there is no session with %s, and this needs both sites",
                       record->peer);
        return text;
    }
    return NULL;
}

bool fs_failback_is_done(const struct fs_group *group)
{
    return group->record->role == FS_ROLE_SECONDARY;
}

const char *fs_failback_refusal(const struct fs_group *group, char *text, size_t size)
{
    const struct fs_record *record = group->record;

    if (fs_group_is_split(group)) {
        (void)snprintf(text, size,
                       "both sites were promoted to term %" PRIu64
                       ": `farshore resync %s --from %s` gives up what this site has",
                       record->term.number, record->name, record->peer);
        return text;
    }
    if (record->role == FS_ROLE_PRIMARY) {
        (void)snprintf(text, size,
                       "this site is primary for %s: a failback is run at the site that was "
                       "primary before, once it has heard of the failover",
                       record->name);
        return text;
    }
    if (record->role != FS_ROLE_SUPERSEDED) {
        (void)snprintf(text, size, "%s is %s here, and only a superseded site can fail back",
                       record->name, fs_role_name(record->role));
        return text;
    }
    return refuse_common(group, text, size);
}

const char *fs_resync_refusal(const struct fs_group *group, const char *from, char *text,
                              size_t size)
{
    const struct fs_record *record = group->record;

    if (strcmp(from, record->peer) != 0) {
        (void)snprintf(text, size,
                       "the data of %s is to stay: the peer of %s is %s. A resync is run at the "
                       "site whose data is given up, --from the other one",
                       from, record->name, record->peer);
        return text;
    }
    if (record->role == FS_ROLE_PRIMARY && !fs_group_is_split(group)) {
        (void)snprintf(text, size,
                       "this site is primary for %s, and no other claims to be: a resync gives up "
                       "what a site has, so it is not done here",
                       record->name);
        return text;
    }
    if (record->role != FS_ROLE_PRIMARY && record->role != FS_ROLE_SUPERSEDED &&
        record->role != FS_ROLE_SECONDARY) {
        (void)snprintf(text, size, "%s is %s here", record->name, fs_role_name(record->role));
        return text;
    }
    return refuse_common(group, text, size);
}

/* --- steps ------------------------------------------------------------------------------------ */

static bool is_followed(const struct fs_group *group)
{
    const struct fs_record *record = group->record;

    return record->role == FS_ROLE_SECONDARY && !record->following.present &&
           (!group->operation->compare || fs_record_is_resync(record));
}

static void finish(struct fs_group *group, const char *kept)
{
    const struct fs_record *record = group->record;
    char text[300];

    group->heard_pending = false;
    (void)snprintf(text, sizeof(text), "secondary of %.100s in term %" PRIu64 "%s", record->peer,
                   record->term.number, kept);
    fs_terms_send_group(group);
    fs_operation_finish(group, false, text);
}

static void followed(void *arg, struct fs_record *record, size_t kept, const struct fs_error *err)
{
    struct fs_group *group = arg;

    if (!fs_operation_take_back(group, record, err)) {
        return;
    }
    fs_group_succeeded(group);
    fs_log(FS_EV_FOLLOWING, FS_S("group", record->name), FS_S("peer", record->peer),
           FS_U("term", record->term.number), FS_U("images_kept", kept));
    finish(group, kept > 0 ? "; what only this site had is in snapshots farshore.left.*" : "");
}

static void follow(struct fs_group *group)
{
    struct fs_context *ctx = group->ctx;
    struct fs_operation *operation = group->operation;
    const struct fs_record *known = group->record;
    struct fs_follow_request request = {.term = known->term, .compare = operation->compare};

    if (is_followed(group)) { /* the answer to the last store was lost */
        finish(group, "");
        return;
    }
    if (known->role != FS_ROLE_SECONDARY) {
        request.term = group->heard_pending ? group->heard : known->peer_term;
    }
    struct fs_record *record = fs_operation_hand_over(group);
    if (record) {
        ctx->operators->ops->follow(ctx->operators, record, &request, &operation->doing, followed,
                                    group);
    }
}

static const struct fs_operation_step steps[] = {
    [STOP] = {"waiting for what is under way to end", 20 * FS_SEC, fs_operation_run_stop, 0},
    [FOLLOW] = {"taking the images from their users", 30 * FS_SEC, follow, FS_STEP_SHOWS_DOING},
};

static const struct fs_operation_kind failback = {.name = "failback", .steps = steps};
static const struct fs_operation_kind resync = {.name = "resync", .steps = steps};

/* --- life ------------------------------------------------------------------------------------- */

uint64_t fs_follow_start(struct fs_group *group, bool compare, const char *who)
{
    struct fs_operation *operation = fs_operation_start(group, compare ? &resync : &failback, who);

    if (!operation) {
        return 0;
    }
    operation->compare = compare;
    return operation->serial;
}

void fs_follow_resume(struct fs_group *group)
{
    if (group->record->following.present) {
        (void)fs_operation_start(group, &failback, "");
    }
}
