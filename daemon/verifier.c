/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "daemon/verifier_private.h"

#include "farshore/log.h"

#define REPORT_EVERY_NS (1 * FS_SEC)

struct task *verify_task_find(const struct fs_verifier *verifier, const struct fs_uuid *group)
{
    for (struct task *task = verifier->tasks; task; task = task->next) {
        if (fs_uuid_equal(&task->group, group)) {
            return task;
        }
    }
    return NULL;
}

struct task *verify_task_get(struct fs_verifier *verifier, const struct fs_uuid *group)
{
    struct task *task = verify_task_find(verifier, group);

    if (!task) {
        task = calloc(1, sizeof(*task));
        if (!task) {
            return NULL;
        }
        task->verifier = verifier;
        task->group = *group;
        task->next = verifier->tasks;
        verifier->tasks = task;
        for (size_t i = 0; i < VERIFY_WATCHERS_MAX; i++) {
            task->watchers[i].task = task;
        }
    }
    return task;
}

void verify_kick(const struct fs_verifier *verifier)
{
    verifier->ctx->kick(verifier->ctx->hook_arg);
}

/* --- the background --------------------------------------------------------------------------- */

/* When the group is due; INT64_MAX: not now. */
static int64_t due_ns(struct task *task, const struct fs_group *group, int64_t now)
{
    const struct fs_config_policy *policy = fs_group_policy(group);
    const struct fs_context *ctx = task->verifier->ctx;

    if (group->record->role != FS_ROLE_SECONDARY || group->let_go || task->running || !policy ||
        policy->verify_every_ns <= 0 || !fs_record_newest_committed(group->record) ||
        !fs_peers_session(ctx->peers, group->record->peer)) {
        return INT64_MAX;
    }
    if (task->seen_ns == 0) {
        task->seen_ns = now;
    }
    int64_t due =
        task->note.last.ended_ns
            ? task->ended_ns + policy->verify_every_ns
            : task->seen_ns + fs_schedule_stagger_ns(&task->group, policy->verify_every_ns);
    return due > task->retry_ns ? due : task->retry_ns;
}

static int64_t run_background(struct fs_verifier *verifier, int64_t now)
{
    int64_t next = INT64_MAX;

    for (const struct task *task = verifier->tasks; task; task = task->next) {
        if (task->running && task->background) {
            return INT64_MAX; /* one at a time; its end kicks */
        }
    }
    for (size_t i = 0; i < verifier->groups->count; i++) {
        struct fs_group *group = verifier->groups->list[i];
        struct task *task = verify_task_get(verifier, &group->record->group);
        int64_t due = task ? due_ns(task, group, now) : INT64_MAX;
        struct fs_error err = FS_ERROR_INIT;

        if (due <= now && verify_begin_here(task, group, &(struct fs_uuid){0}, &err) == 0) {
            task->background = true;
            return INT64_MAX;
        }
        next = due > now && due < next ? due : next;
    }
    return next;
}

static void loaded(void *arg, const struct fs_digest_note *notes, size_t count,
                   const struct fs_error *err)
{
    struct fs_verifier *verifier = arg;
    const struct fs_context *ctx = verifier->ctx;

    verifier->noting--;
    if (err && fs_error_is_set(err)) {
        fs_log(FS_EV_VERIFY_FAILED, FS_S("reason", "former outcomes cannot be read"), FS_E(err));
    }
    for (size_t i = 0; i < count; i++) {
        struct task *task = verify_task_get(verifier, &notes[i].group);
        struct fs_verify_note note;

        if (task && !task->running && fs_verify_note_decode(notes[i].text, &note) == 0) {
            int64_t age = fs_context_wall(ctx) - note.last.ended_ns;
            task->note = note;
            task->ended_ns = fs_context_boot(ctx) - (age > 0 ? age : 0);
        }
    }
    verify_kick(verifier);
}

int64_t fs_verifier_run(struct fs_verifier *verifier)
{
    struct fs_digester *digester = verifier->ctx->digester;
    int64_t now = fs_context_boot(verifier->ctx);
    int64_t next = INT64_MAX;

    if (digester && !verifier->loaded && !verifier->stopping) {
        verifier->loaded = true;
        verifier->noting++;
        digester->ops->notes(digester, loaded, verifier);
    }
    for (struct task *task = verifier->tasks; task; task = task->next) {
        if (!task->running) {
            continue;
        }
        if (now >= task->report_ns) {
            task->report_ns = now + REPORT_EVERY_NS;
            verify_task_tell(task, false);
        }
        next = task->report_ns < next ? task->report_ns : next;
        if (task->prover) {
            fs_prover_tick(task->prover);
        }
        if (task->prover && fs_prover_deadline(task->prover) < next) {
            next = fs_prover_deadline(task->prover);
        }
    }
    struct answering *following;
    for (struct answering *at = verifier->answerings; at; at = following) {
        following = at->next;
        int64_t deadline = fs_answerer_deadline(at->answerer);
        next = deadline < next ? deadline : next;
        fs_answerer_tick(at->answerer);
    }
    if (digester && !verifier->stopping && verifier->noting == 0) {
        int64_t due = run_background(verifier, now);
        next = due < next ? due : next;
    }
    return next;
}

/* --- life ------------------------------------------------------------------------------------- */

struct fs_verifier *fs_verifier_new(struct fs_groups *groups)
{
    struct fs_verifier *verifier = calloc(1, sizeof(*verifier));

    if (verifier) {
        verifier->groups = groups;
        verifier->ctx = groups->ctx;
    }
    return verifier;
}

void fs_verifier_free(struct fs_verifier *verifier)
{
    if (!verifier) {
        return;
    }
    while (verifier->tasks) {
        struct task *task = verifier->tasks;
        verifier->tasks = task->next;
        free(task);
    }
    free(verifier);
}

void fs_verifier_stop(struct fs_verifier *verifier)
{
    struct answering *following;

    verifier->stopping = true;
    verifier->loaded = false;
    for (struct task *task = verifier->tasks; task; task = task->next) {
        verify_task_cancel(task);
    }
    for (struct answering *at = verifier->answerings; at; at = following) {
        following = at->next;
        fs_answerer_cancel(at->answerer);
    }
}

void fs_verifier_resume(struct fs_verifier *verifier)
{
    verifier->stopping = false;
}

size_t fs_verifier_busy(const struct fs_verifier *verifier)
{
    size_t busy = verifier->noting + verifier->n_answerings;

    for (const struct task *task = verifier->tasks; task; task = task->next) {
        busy += task->running;
    }
    return busy;
}
