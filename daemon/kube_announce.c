/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/kube_announce.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/kube/events.h"
#include "daemon/status.h"
#include "farshore/log.h"

struct fs_kube_announce {
    struct fs_announcer announcer; /* first */
    struct fs_context *ctx;
    struct fs_kube_events *events;
};

/* Every PVC, and every virtual machine once. */
struct subjects {
    struct fs_kube_subject list[2 * FS_VOLUMES_MAX];
    size_t count;
};

static bool is_on(const struct fs_kube_announce *announce)
{
    const struct fs_config_source *source = announce->ctx->config->kubernetes;

    return source && source->events;
}

static bool has(const struct subjects *subjects, const struct fs_kube_subject *subject)
{
    for (size_t i = 0; i < subjects->count; i++) {
        const struct fs_kube_subject *other = &subjects->list[i];
        if (other->kind == subject->kind && strcmp(other->ns, subject->ns) == 0 &&
            strcmp(other->name, subject->name) == 0) {
            return true;
        }
    }
    return false;
}

static void add(struct subjects *subjects, enum fs_kube_subject_kind kind, const char *ns,
                const char *name)
{
    const struct fs_kube_subject subject = {kind, ns, name};

    if (*ns && *name && !has(subjects, &subject)) {
        subjects->list[subjects->count++] = subject;
    }
}

static void find_subjects(const struct fs_volume *const *volumes, size_t n_volumes,
                          struct subjects *ret_subjects)
{
    ret_subjects->count = 0;
    for (size_t i = 0; i < n_volumes && i < FS_VOLUMES_MAX; i++) {
        const struct fs_volume *volume = volumes[i];
        add(ret_subjects, FS_KUBE_SUBJECT_CLAIM, volume->pvc_namespace, volume->pvc);
        add(ret_subjects, FS_KUBE_SUBJECT_VM, volume->pvc_namespace, volume->vm);
    }
}

static bool say(struct fs_announcer *announcer, const struct fs_volume *const *volumes,
                size_t n_volumes, const struct fs_announcement *what)
{
    struct fs_kube_announce *announce = (struct fs_kube_announce *)announcer; /* first member */
    struct subjects subjects;

    if (!is_on(announce)) {
        return true; /* it is not wanted */
    }
    find_subjects(volumes, n_volumes, &subjects);
    json_t *message = fs_kube_events_can_say(announce->events, subjects.count)
                          ? fs_status_text(what->message)
                          : NULL;
    if (!message) {
        return false;
    }
    const struct fs_kube_event event = {
        .reason = what->reason,
        .warning = what->warning,
        .message = json_string_value(message),
        .site = announce->ctx->config->site,
        .happened_ns = fs_context_wall(announce->ctx),
    };
    for (size_t i = 0; i < subjects.count; i++) {
        fs_kube_events_say(announce->events, &subjects.list[i], &event);
    }
    json_decref(message);
    return true;
}

static bool note(struct fs_announcer *announcer, const struct fs_volume *const *volumes,
                 size_t n_volumes, int64_t taken_ns)
{
    struct fs_kube_announce *announce = (struct fs_kube_announce *)announcer; /* first member */
    struct subjects subjects;

    if (!is_on(announce)) {
        return false;
    }
    find_subjects(volumes, n_volumes, &subjects);
    if (!fs_kube_events_can_note(announce->events, subjects.count)) {
        return false;
    }
    for (size_t i = 0; i < subjects.count; i++) {
        fs_kube_events_note(announce->events, &subjects.list[i], taken_ns);
    }
    return true;
}

static void trouble(void *arg, const struct fs_error *err)
{
    const char *hint = err->code == EACCES
                           ? "protection goes on; docs/kubernetes/rbac-events.yaml has the "
                             "rights, and `events: false` in the source does without"
                           : "protection goes on";

    (void)arg;
    fs_log(FS_EV_EVENTS_LOST, FS_E(err), FS_S("hint", hint));
}

static void lost(void *arg)
{
    struct fs_kube_announce *announce = arg;

    announce->announcer.lost++;
}

/* --- life ------------------------------------------------------------------------------------- */

void fs_kube_announce_reconfigure(struct fs_kube_announce *announce)
{
    fs_kube_events_try_all(announce->events);
    if (!is_on(announce)) {
        fs_kube_events_clear(announce->events);
    }
}

struct fs_kube_announce *fs_kube_announce_new(struct fs_context *ctx, struct event_base *base,
                                              struct fs_kube_api *api)
{
    struct fs_kube_announce *announce = calloc(1, sizeof(*announce));
    const struct fs_kube_events_options options = {
        .base = base, .api = api, .trouble = trouble, .lost = lost, .arg = announce};

    if (announce) {
        announce->announcer = (struct fs_announcer){.say = say, .note = note};
        announce->ctx = ctx;
        announce->events = fs_kube_events_new(&options);
    }
    if (announce && !announce->events) {
        free(announce);
        announce = NULL;
    }
    return announce;
}

void fs_kube_announce_free(struct fs_kube_announce *announce)
{
    if (announce) {
        fs_kube_events_free(announce->events);
        free(announce);
    }
}

struct fs_announcer *fs_kube_announce_announcer(struct fs_kube_announce *announce)
{
    return &announce->announcer;
}
