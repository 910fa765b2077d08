/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "daemon/verifier_private.h"

/* As for provers, see verifier_task.c. */
#define ANSWERERS_MAX 4

static void drop_watcher(struct watcher *watcher)
{
    watcher->session = NULL;
    if (!verify_task_is_wanted(watcher->task)) {
        verify_task_cancel(watcher->task);
    }
}

static int watcher_frame(void *arg, const struct fs_frame *frame, struct fs_error *err)
{
    struct watcher *watcher = arg;

    if (frame->type != FS_FRAME_ABORT) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO, "protocol error: %s after VERIFY",
                            fs_frame_type_name(frame->type));
    }
    fs_session_detach(watcher->session, watcher->stream);
    drop_watcher(watcher);
    return 0;
}

static void watcher_lost(void *arg, const struct fs_error *err)
{
    (void)err;
    drop_watcher(arg);
}

static const struct fs_stream_events watcher_events = {.frame = watcher_frame,
                                                       .lost = watcher_lost};

/* The group that a peer speaks of; NULL with a reason. */
static struct fs_group *group_of_peer(const struct fs_verifier *verifier, const char *peer,
                                      const struct fs_uuid *uuid, struct fs_error *err)
{
    struct fs_group *group = fs_groups_find_uuid(verifier->groups, uuid);

    if (!group || strcmp(group->record->peer, peer) != 0) {
        (void)verify_refused(err, "%s has no such group with %s", verifier->ctx->config->site,
                             peer);
        return NULL;
    }
    return group;
}

void fs_verifier_asked(struct fs_verifier *verifier, const char *peer, struct fs_session *session,
                       uint32_t stream, const struct fs_verify *verify)
{
    struct fs_error err = FS_ERROR_INIT;
    struct fs_group *group = group_of_peer(verifier, peer, &verify->group, &err);
    struct watcher *watcher = NULL;
    struct task *task = NULL;

    if (group && verify_begin_or_join(verifier, group, &verify->point, true, &task, &err) == 0) {
        for (size_t i = 0; i < VERIFY_WATCHERS_MAX && !watcher; i++) {
            watcher = task->watchers[i].session ? NULL : &task->watchers[i];
        }
    }
    if (watcher) {
        watcher->stream = stream;
        watcher->session =
            fs_session_attach(session, stream, &watcher_events, watcher) ? session : NULL;
        verify_kick(verifier);
        return;
    }
    (void)verify_refused(&err, "too many ask for the same verification");
    fs_refuse_offer(session, stream, FS_REFUSE_BROKEN, err.message);
}

static void answered(void *arg, struct fs_answerer *answerer)
{
    struct answering *answering = arg;
    struct answering **at = &answering->verifier->answerings;

    (void)answerer;
    while (*at != answering) {
        at = &(*at)->next;
    }
    *at = answering->next;
    answering->verifier->n_answerings--;
    verify_kick(answering->verifier);
    free(answering);
}

void fs_verifier_digest_open(struct fs_verifier *verifier, const char *peer,
                             struct fs_session *session, uint32_t stream,
                             const struct fs_digest_open *open)
{
    const struct fs_context *ctx = verifier->ctx;
    const struct fs_answerer_options options = {
        .digester = ctx->digester, .session = session, .clock = ctx->clock};
    struct fs_error err = FS_ERROR_INIT;
    const struct fs_group *group = group_of_peer(verifier, peer, &open->group, &err);

    if (!group) {
        fs_refuse_offer(session, stream, FS_REFUSE_BROKEN, err.message);
        return;
    }
    if (verifier->stopping || !ctx->digester || verifier->n_answerings >= ANSWERERS_MAX) {
        fs_refuse_offer(session, stream, FS_REFUSE_BUSY,
                        ctx->digester ? "too many verifications at once: try again later"
                                      : "the Ceph cluster is away");
        return;
    }
    struct answering *answering = calloc(1, sizeof(*answering));
    if (answering) {
        answering->verifier = verifier;
        answering->answerer =
            fs_answerer_start(&options, stream, group->record, open, answered, answering);
    }
    if (!answering || !answering->answerer) {
        free(answering);
        fs_refuse_offer(session, stream, FS_REFUSE_BUSY, "out of memory");
        return;
    }
    answering->next = verifier->answerings;
    verifier->answerings = answering;
    verifier->n_answerings++;
}
