/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A relocation at the other site, which is to become primary: whether it could, and the promotion
 * by a grant. Why a "no" is final, and everything else "later", is in relocate.c.
 */
#include <inttypes.h>
#include <stdio.h>

#include "daemon/failover.h"
#include "daemon/relocate.h"
#include "daemon/relocate_look.h"
#include "daemon/terms.h"

void fs_relocate_answer(struct fs_session *session, const struct fs_move *move,
                        enum fs_move_outcome outcome, const char *message)
{
    struct fs_move_answer reply = {
        .group = move->group, .what = move->what, .number = move->number, .outcome = outcome};
    struct fs_buf buf = FS_BUF_INIT;

    (void)snprintf(reply.message, sizeof(reply.message), "%s", message);
    size_t start = fs_frame_begin(&buf, FS_FRAME_MOVE_ANSWER, 0, 0);
    fs_move_answer_encode(&reply, &buf);
    fs_frame_finish(&buf, start);
    fs_session_send(session, &buf);
    fs_buf_fini(&buf);
}

/* What cannot change as long as the asker is in that term; text says it. */
static bool never(const struct fs_group *group, const char *peer, const struct fs_move *move,
                  char *text, size_t size)
{
    const struct fs_record *record = group->record;
    const struct fs_record_point *newest = fs_record_newest_committed(record);
    const char *site = group->ctx->config->site;

    if (record->role != FS_ROLE_SECONDARY || strcmp(record->peer, peer) != 0) {
        (void)snprintf(text, size, "%.200s is %s at %.60s, with peer %.60s", record->name,
                       fs_role_name(record->role), site, record->peer);
        return true;
    }
    if (!fs_term_same(&record->term, &move->term)) {
        (void)snprintf(text, size, "%.60s knows term %" PRIu64 " for %.200s, not term %" PRIu64,
                       site, record->term.number, record->name, move->term.number);
        return true;
    }
    if (!newest ||
        (move->what == FS_MOVE_GRANT && !fs_uuid_equal(&newest->point.id, &move->point))) {
        (void)snprintf(text, size, "%.60s does not have the last point of %.200s as its newest",
                       site, record->name);
        return true;
    }
    return false;
}

static bool not_now(const struct fs_group *group, char *text, size_t size)
{
    const struct fs_context *ctx = group->ctx;

    if (!ctx->operators || ctx->groups->stopping) {
        (void)snprintf(text, size, "%.60s does not work now: %.300s", ctx->config->site,
                       ctx->site_reason);
        return true;
    }
    if (group->operation || group->record->following.present) {
        (void)snprintf(text, size, "another operation on %.200s is under way at %.60s",
                       group->record->name, ctx->config->site);
        return true;
    }
    if (!fs_group_policy(group)) {
        (void)snprintf(text, size, "%.60s has no policy %.200s: add it to its farshored.yaml",
                       ctx->config->site, group->record->policy);
        return true;
    }
    return false;
}

/* It is so already, or will be: TERMS say it. */
static bool is_taken(const struct fs_group *group, const struct fs_move *move)
{
    const struct fs_record *record = group->record;

    return move->what == FS_MOVE_GRANT && record->term.number >= move->number &&
           fs_uuid_equal(&record->term.site, &group->ctx->site_uuid);
}

void fs_relocate_asked(struct fs_groups *groups, const char *peer, struct fs_session *session,
                       const struct fs_move *move)
{
    struct fs_group *group = fs_groups_find_uuid(groups, &move->group);
    char text[512], who[FS_WHO_SIZE];

    if (move->what >= FS_MOVE_LOOK) {
        fs_relocate_look_asked(groups, peer, session, move);
    } else if (!group) {
        fs_relocate_answer(session, move, FS_MOVE_LATER, "the group is not known there yet");
    } else if (is_taken(group, move)) {
        fs_terms_send_group(group);
    } else if (never(group, peer, move, text, sizeof(text))) {
        fs_relocate_answer(session, move, FS_MOVE_NO, text);
    } else if (not_now(group, text, sizeof(text))) {
        fs_relocate_answer(session, move, FS_MOVE_LATER, text);
    } else if (move->what == FS_MOVE_CHECK) {
        fs_relocate_answer(session, move, FS_MOVE_YES, "");
    } else {
        (void)snprintf(who, sizeof(who), "relocation from %.40s", peer);
        if (fs_failover_start(group, &move->point, FS_FENCE_NONE, who)) {
            group->operation->result.handed_over = true;
        }
    }
}
