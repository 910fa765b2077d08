/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/fence_peer.h"

#include <inttypes.h>
#include <stdio.h>

#include "daemon/fence.h"
#include "daemon/peer.h"

/* Asked again so often: the session may have been another one. */
#define AGAIN_NS (5 * FS_SEC)
/* Longer than a peer needs that can do it. */
#define ANSWER_NS (75 * FS_SEC)

static struct fs_session *session_with(const struct fs_context *ctx, const char *peer)
{
    struct fs_session *session = fs_peers_session(ctx->peers, peer);

    return session && (fs_session_peer(session)->features & FS_FEATURE_FENCE) ? session : NULL;
}

/* --- asking ----------------------------------------------------------------------------------- */

static void send_want(const struct fs_group *group, struct fs_session *session, uint64_t number)
{
    struct fs_fence_want want = {
        .group = group->record->group,
        .term = {.number = number, .site = group->ctx->site_uuid},
    };
    struct fs_buf buf = FS_BUF_INIT;

    (void)snprintf(want.who, sizeof(want.who), "%s", group->operation->who);
    size_t start = fs_frame_begin(&buf, FS_FRAME_FENCE_WANT, 0, 0);
    fs_fence_want_encode(&want, &buf);
    fs_frame_finish(&buf, start);
    fs_session_send(session, &buf);
    fs_buf_fini(&buf);
}

enum fs_fence_answer fs_fence_peer_ask(struct fs_group *group, uint64_t number, char *text,
                                       size_t size)
{
    struct fs_peer_fence *asked = &group->operation->peer_fence;
    const char *peer = group->record->peer;
    struct fs_session *session = session_with(group->ctx, peer);
    int64_t now = fs_context_boot(group->ctx);

    if (asked->answered) {
        (void)snprintf(text, size, "%s", asked->message);
        return asked->outcome == FS_FENCE_OUT ? FS_FENCE_FENCED : FS_FENCE_IMPOSSIBLE;
    }
    if (!session) {
        (void)snprintf(text, size, "%s is not connected", peer);
        return FS_FENCE_IMPOSSIBLE;
    }
    if (asked->began_ns == 0) {
        asked->began_ns = now;
        asked->number = number;
    }
    if (now - asked->began_ns > ANSWER_NS) {
        (void)snprintf(text, size, "%s has not done it within %" PRId64 " s", peer,
                       ANSWER_NS / FS_SEC);
        return FS_FENCE_IMPOSSIBLE;
    }
    if (asked->sent_ns == 0 || now - asked->sent_ns >= AGAIN_NS) {
        asked->sent_ns = now;
        send_want(group, session, number);
    }
    return FS_FENCE_WAIT;
}

void fs_fence_peer_done(struct fs_groups *groups, const char *peer,
                        const struct fs_fence_done *done)
{
    const struct fs_group *group = fs_groups_find_uuid(groups, &done->group);

    if (!group || strcmp(group->record->peer, peer) != 0 || !group->operation) {
        return;
    }
    struct fs_peer_fence *asked = &group->operation->peer_fence;
    if (asked->began_ns > 0 && asked->number == done->number && !asked->answered) {
        asked->answered = true;
        asked->outcome = done->outcome;
        (void)snprintf(asked->message, sizeof(asked->message), "%s: %.400s", peer, done->message);
        group->operation->retry_ns = 0;
        groups->ctx->kick(groups->ctx->hook_arg);
    }
}

/* --- answering -------------------------------------------------------------------------------- */

static void answer(const struct fs_context *ctx, const char *peer, const struct fs_uuid *group,
                   uint64_t number, enum fs_fence_outcome outcome, const char *message)
{
    struct fs_session *session = session_with(ctx, peer);
    struct fs_fence_done done = {.group = *group, .number = number, .outcome = outcome};
    struct fs_buf buf = FS_BUF_INIT;

    if (!session) {
        return; /* asked again in the next one */
    }
    (void)snprintf(done.message, sizeof(done.message), "%.500s", message);
    size_t start = fs_frame_begin(&buf, FS_FRAME_FENCE_DONE, 0, 0);
    fs_fence_done_encode(&done, &buf);
    fs_frame_finish(&buf, start);
    fs_session_send(session, &buf);
    fs_buf_fini(&buf);
}

/* NULL, or why not. */
static const char *refusal(const struct fs_group *group, const char *peer,
                           const struct fs_fence_want *want, char *text, size_t size)
{
    if (!group || strcmp(group->record->peer, peer) != 0) {
        (void)snprintf(text, size, "it has no such group");
        return text;
    }
    if (want->term.number <= group->record->term.number) {
        (void)snprintf(text, size,
                       "it is in term %" PRIu64 " itself, and nobody is fenced for a term that is "
                       "not higher",
                       group->record->term.number);
        return text;
    }
    return fs_fence_is_running(group) ? NULL : fs_fence_refusal(group, text, size);
}

void fs_fence_peer_wanted(struct fs_groups *groups, const char *peer,
                          const struct fs_fence_want *want)
{
    struct fs_group *group = fs_groups_find_uuid(groups, &want->group);
    char text[640], who[FS_WHO_SIZE];

    if (group && group->asked.pending && group->asked.number == want->term.number) {
        return; /* at it */
    }
    if (refusal(group, peer, want, text, sizeof(text))) {
        answer(groups->ctx, peer, &want->group, want->term.number, FS_FENCE_REFUSED, text);
        return;
    }
    (void)snprintf(who, sizeof(who), "%.40s at %.16s", want->who[0] ? want->who : "?", peer);
    uint64_t serial =
        fs_fence_is_running(group) ? group->operation->serial : fs_fence_start(group, who);
    if (serial > 0) {
        group->asked =
            (struct fs_group_asked){.pending = true, .number = want->term.number, .serial = serial};
    }
}

static void answer_due(struct fs_group *group)
{
    const struct fs_operation_result *result = fs_operation_result(group, group->asked.serial);

    if (result) {
        group->asked.pending = false;
        answer(group->ctx, group->record->peer, &group->record->group, group->asked.number,
               result->failed ? FS_FENCE_FAILED : FS_FENCE_OUT, result->message);
    }
}

/* The failover that superseded this site was told to fence. */
static void fence_users(struct fs_group *group, int64_t now)
{
    const struct fs_record *record = group->record;

    if (!record->fence_users) { /* it is done, or needless: the next one has its own tries */
        group->fence_ns = 0;
        group->fence_tries = 0;
        return;
    }
    if (record->role == FS_ROLE_SUPERSEDED && !group->operation && !group->heard_pending &&
        group->phase == FS_PHASE_IDLE && now >= group->retry_ns && now >= group->fence_ns) {
        (void)fs_fence_start(group, record->peer);
    }
}

void fs_fence_peer_run(struct fs_groups *groups)
{
    int64_t now = fs_context_boot(groups->ctx);

    for (size_t i = 0; groups->ctx->operators && i < groups->count; i++) {
        struct fs_group *group = groups->list[i];

        if (group->asked.pending) {
            answer_due(group);
        }
        fence_users(group, now);
    }
}
