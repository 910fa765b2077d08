/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/fence.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/operation_log.h"
#include "daemon/status.h"
#include "daemon/workload.h"
#include "farshore/fault.h"
#include "farshore/log.h"

#define RETRY_NS      (5 * FS_SEC)
#define HALT_AGAIN_NS (30 * FS_SEC) /* and twice as long each time, but not for ever */
#define HALT_DOUBLED  5

struct fs_fences {
    struct fs_groups *groups;
    size_t count;
    struct fs_fence *list; /* owned; as the cluster has them */
    bool loaded, loading;
    int64_t retry_ns; /* boot: of the loading */
};

struct fs_fences *fs_fences_new(struct fs_groups *groups)
{
    struct fs_fences *fences = calloc(1, sizeof(*fences));

    if (fences) {
        fences->groups = groups;
    }
    return fences;
}

void fs_fences_free(struct fs_fences *fences)
{
    if (fences) {
        free(fences->list);
        free(fences);
    }
}

/* --- the list --------------------------------------------------------------------------------- */

static void loaded(void *arg, const struct fs_fence *list, size_t count, bool all_seen,
                   const struct fs_error *err)
{
    struct fs_fences *fences = arg;
    struct fs_context *ctx = fences->groups->ctx;
    struct fs_fence *copy = NULL;

    (void)all_seen;
    fences->loading = false;
    fences->groups->noting--;
    if (!(err && fs_error_is_set(err))) {
        copy = calloc(count + 1, sizeof(*copy));
    }
    if (copy) {
        for (size_t i = 0; i < count; i++) {
            copy[i] = list[i];
        }
        free(fences->list);
        fences->list = copy;
        fences->count = count;
        fences->loaded = true;
    } else {
        fences->retry_ns = fs_context_boot(ctx) + RETRY_NS;
    }
    ctx->kick(ctx->hook_arg);
}

void fs_fences_run(struct fs_fences *fences)
{
    struct fs_context *ctx = fences->groups->ctx;

    if (!ctx->operators || fences->loaded || fences->loading || fences->groups->stopping ||
        fs_context_boot(ctx) < fences->retry_ns) {
        return;
    }
    fences->loading = true;
    fences->groups->noting++;
    ctx->operators->ops->fences(ctx->operators, loaded, fences);
}

void fs_fences_stop(struct fs_fences *fences)
{
    fences->loaded = false; /* another daemon may change them */
}

bool fs_fences_loaded(const struct fs_fences *fences)
{
    return fences->loaded;
}

size_t fs_fence_count(const struct fs_fences *fences, const struct fs_group *group)
{
    size_t count = 0;

    for (size_t i = 0; i < fences->count; i++) {
        count += fs_uuid_equal(&fences->list[i].group, &group->record->group);
    }
    return count;
}

static json_t *fence_json(const struct fs_fence *fence)
{
    return json_pack(
        "{s:o, s:s, s:s, s:o, s:o, s:f, s:s, s:b}", "site", fs_status_text(fence->site), "client",
        fence->client, "address", fence->address, "images", fs_status_text(fence->images), "others",
        fs_status_text(fence->others), "since_timestamp", (double)fence->since_ns / (double)FS_SEC,
        "who", fence->who, "proven", fence->proven);
}

json_t *fs_fences_json(const struct fs_fence *list, size_t count)
{
    json_t *array = json_array();

    for (size_t i = 0; i < count; i++) {
        json_array_append_new(array, fence_json(&list[i]));
    }
    return array;
}

json_t *fs_fences_status(const struct fs_fences *fences, const struct fs_group *group)
{
    json_t *array = json_array();

    for (size_t i = 0; i < fences->count; i++) {
        if (fs_uuid_equal(&fences->list[i].group, &group->record->group)) {
            json_array_append_new(array, fence_json(&fences->list[i]));
        }
    }
    return array;
}

/* --- may it be -------------------------------------------------------------------------------- */

const char *fs_fence_refusal(const struct fs_group *group, char *text, size_t size)
{
    const struct fs_record *record = group->record;
    const struct fs_context *ctx = group->ctx;

    if (!ctx->operators || ctx->groups->stopping) {
        (void)snprintf(text, size, "this site does not work now: %s", ctx->site_reason);
    } else if (group->operation) {
        (void)snprintf(text, size, "an operation on %s is under way", record->name);
    } else if (record->role != FS_ROLE_PRIMARY && record->role != FS_ROLE_SUPERSEDED &&
               record->role != FS_ROLE_DEMOTED) {
        (void)snprintf(text, size,
                       "this site is %s for %s: its volumes here have no users, and those of the "
                       "other site are fenced there",
                       fs_role_name(record->role), record->name);
    } else {
        return NULL;
    }
    return text;
}

static void set_reach(const struct fs_group *group, struct fs_fence_reach *ret_reach)
{
    const struct fs_config *config = group->ctx->config;
    const struct fs_config_peer *peer = fs_config_find_peer(config, group->record->peer);

    (void)snprintf(ret_reach->site, sizeof(ret_reach->site), "%s", group->record->peer);
    if (peer && peer->fence_conf) {
        (void)snprintf(ret_reach->conf, sizeof(ret_reach->conf), "%s", peer->fence_conf);
        (void)snprintf(ret_reach->user, sizeof(ret_reach->user), "%s", peer->fence_user);
    }
}

/* "fsid/pool id/ns/image id" */
static bool parse_identity(const char *identity, char ret_fsid[FS_UUID_TEXT],
                           struct fs_image_ref *ret_ref)
{
    char text[FS_NAME_SIZE], *rest = text;

    (void)snprintf(text, sizeof(text), "%s", identity);
    const char *fsid = strsep(&rest, "/"), *pool = strsep(&rest, "/");
    const char *ns = strsep(&rest, "/"), *id = rest;
    char *end = NULL;

    if (!id || !*id || strlen(fsid) >= FS_UUID_TEXT || strlen(ns) >= sizeof(ret_ref->ns) ||
        strlen(id) >= sizeof(ret_ref->image_id)) {
        return false;
    }
    *ret_ref = (struct fs_image_ref){.pool_id = strtoll(pool, &end, 10)};
    (void)snprintf(ret_fsid, FS_UUID_TEXT, "%s", fsid);
    (void)snprintf(ret_ref->ns, sizeof(ret_ref->ns), "%s", ns);
    (void)snprintf(ret_ref->image_id, sizeof(ret_ref->image_id), "%s", id);
    return end && *end == '\0' && ret_ref->pool_id >= 0;
}

bool fs_fence_order_other(const struct fs_group *group, const char *who,
                          struct fs_fence_order *ret_order)
{
    const struct fs_record *record = group->record;

    *ret_order = (struct fs_fence_order){.group = record->group, .at_other = true};
    (void)snprintf(ret_order->site, sizeof(ret_order->site), "%s", record->peer);
    (void)snprintf(ret_order->who, sizeof(ret_order->who), "%s", who);
    set_reach(group, &ret_order->other);
    for (size_t i = 0; i < record->n_volumes; i++) {
        char fsid[FS_UUID_TEXT];

        if (record->volumes[i].gone) {
            continue;
        }
        if (!parse_identity(record->volumes[i].peer_identity, fsid,
                            &ret_order->images[ret_order->n_images]) ||
            (ret_order->n_images > 0 && strcmp(fsid, ret_order->fsid) != 0)) {
            return false;
        }
        (void)snprintf(ret_order->fsid, sizeof(ret_order->fsid), "%s", fsid);
        ret_order->n_images++;
    }
    return ret_order->n_images > 0 && ret_order->other.conf[0];
}

void fs_fence_order(const struct fs_group *group, const char *who, struct fs_fence_order *ret_order)
{
    const struct fs_record *record = group->record;

    *ret_order = (struct fs_fence_order){.group = record->group};
    set_reach(group, &ret_order->other);
    (void)snprintf(ret_order->site, sizeof(ret_order->site), "%s", group->ctx->config->site);
    (void)snprintf(ret_order->who, sizeof(ret_order->who), "%s", who);
    for (size_t i = 0; i < record->n_volumes; i++) {
        if (!record->volumes[i].gone) {
            ret_order->images[ret_order->n_images++] = record->volumes[i].volume.image;
        }
    }
}

/* --- the operations --------------------------------------------------------------------------- */

/* Back from the worker: true where it went well. */
static bool take_back(struct fs_group *group, const struct fs_error *err)
{
    struct fs_groups *groups = group->ctx->groups;

    groups->noting--;
    groups->fences->loaded = false;
    group->operation->working = false;
    group->ctx->kick(group->ctx->hook_arg);
    if (err && fs_error_is_set(err)) {
        fs_operation_failed(group, err);
        return false;
    }
    return true;
}

void fs_fence_log_each(struct fs_group *group, const char *step, const struct fs_fence *list,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct fs_fence *fence = &list[i];
        char text[1400];

        (void)snprintf(text, sizeof(text), "%s at %s, of %s%s%s", fence->client, fence->address,
                       fence->images, fence->others[0] ? "; it served also " : "", fence->others);
        fs_log(FS_EV_CLIENT_FENCED, FS_S("group", group->record->name), FS_S("step", step),
               FS_S("site", fence->site), FS_S("client", fence->client),
               FS_S("address", fence->address), FS_S("images", fence->images),
               FS_S("others", fence->others[0] ? fence->others : NULL));
        fs_operation_log(group, step, &group->operation->id, group->operation->who, text);
    }
}

enum { STOP, FENCE, HALT, STORE };

static void fenced(void *arg, const struct fs_fence *list, size_t count, bool all_seen,
                   const struct fs_error *err)
{
    struct fs_group *group = arg;

    (void)all_seen;
    if (take_back(group, err)) {
        fs_fence_log_each(group, "fenced", list, count);
        group->operation->fenced = count;
        fs_operation_enter(group, HALT);
    }
}

/* An API that is away, or refuses everybody while it starts, is asked again later. In between a
 * failback may begin, which makes it needless. */
static void halt_later(struct fs_group *group, const struct fs_error *err)
{
    char text[600];

    group->fence_ns = fs_context_boot(group->ctx) + (HALT_AGAIN_NS << group->fence_tries);
    if (group->fence_tries < HALT_DOUBLED) {
        group->fence_tries++;
    }
    (void)snprintf(text, sizeof(text),
                   "what uses the volumes is fenced, and not stopped: %.400s; it is tried again",
                   err->message);
    fs_operation_finish(group, true, text);
}

/* A machine that does not stop is for people, to whom it is told. */
static void halted(void *arg, const json_t *report, bool pending, const struct fs_error *err)
{
    struct fs_group *group = arg;
    struct fs_operation *operation = group->operation;

    (void)pending;
    operation->working = false;
    group->ctx->kick(group->ctx->hook_arg);
    /* All but a machine that did not stop. */
    if (err && !(err->class == FS_ERR_PERMANENT && err->code == ETIMEDOUT)) {
        halt_later(group, err);
        return;
    }
    if (err || json_array_size(report) > 0) {
        fs_operation_log(group, "workload", &operation->id, operation->who,
                         err ? err->message : "what uses the volumes is stopped");
    }
    fs_operation_enter(group, STORE);
}

/* Where a failover of the peer's ordered it: a machine that is wanted would be started again, as
 * another client. */
static void halt(struct fs_group *group)
{
    if (group->record->fence_users && fs_workload_stop(group, halted, group)) {
        group->operation->working = true;
    } else {
        fs_operation_enter(group, STORE);
    }
}

static void finish_fenced(struct fs_group *group)
{
    size_t count = group->operation->fenced;
    char text[200];

    (void)snprintf(text, sizeof(text),
                   count == 0 ? "nobody is on the volumes"
                              : "%zu client%s out, until farshore unfence",
                   count, count == 1 ? " is" : "s are");
    fs_operation_finish(group, false, text);
}

static void stored(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct fs_group *group = arg;

    if (err && fs_error_is_set(err)) {
        fs_record_free(record); /* the same is stored again, and is known by that */
        (void)fs_operation_take_back(group, NULL, err);
        return;
    }
    (void)fs_operation_take_back(group, record, NULL);
    fs_group_succeeded(group);
    finish_fenced(group);
}

/* Where a failover of the peer's ordered it: that it is done. */
static void store(struct fs_group *group)
{
    if (!group->record->fence_users) {
        finish_fenced(group);
        return;
    }
    struct fs_record *record = fs_operation_hand_over(group);
    if (record) {
        record->fence_users = false;
        fs_fault("supersede.fenced");
        group->ctx->source->ops->store(group->ctx->source, record, stored, group);
    }
}

static void fence(struct fs_group *group)
{
    struct fs_operation *operation = group->operation;
    struct fs_operator *operators = group->ctx->operators;
    struct fs_fence_order *order = calloc(1, sizeof(*order)); /* too large for the stack */

    if (!order) {
        return; /* tried again */
    }
    fs_fence_order(group, operation->who, order);
    operation->working = true;
    group->ctx->groups->noting++;
    operators->ops->fence(operators, order, &operation->doing, fenced, group);
    free(order);
}

static void unfenced(void *arg, const struct fs_fence *list, size_t count, bool all_seen,
                     const struct fs_error *err)
{
    struct fs_group *group = arg;
    char text[100];

    (void)all_seen;
    if (take_back(group, err)) {
        fs_fence_log_each(group, "unfenced", list, count);
        (void)snprintf(text, sizeof(text), "%zu client%s let in again", count,
                       count == 1 ? " is" : "s are");
        fs_operation_finish(group, false, text);
    }
}

static void unfence(struct fs_group *group)
{
    struct fs_operation *operation = group->operation;
    struct fs_operator *operators = group->ctx->operators;
    struct fs_fence_order *order = calloc(1, sizeof(*order));

    if (!order) {
        return;
    }
    fs_fence_order(group, operation->who, order);
    operation->working = true;
    group->ctx->groups->noting++;
    operators->ops->unfence(operators, order, unfenced, group);
    free(order);
}

static const struct fs_operation_step fence_steps[] = {
    [STOP] = {"waiting for what is under way to end", 20 * FS_SEC, fs_operation_run_stop, 0},
    [FENCE] = {"fencing clients", 30 * FS_SEC, fence, FS_STEP_SHOWS_DOING},
    [HALT] = {"stopping what uses the volumes", 30 * FS_SEC, halt, 0},
    [STORE] = {"storing that they are fenced", 20 * FS_SEC, store, 0},
};

static const struct fs_operation_step unfence_steps[] = {
    {"letting clients in again", 20 * FS_SEC, unfence, 0},
};

static const struct fs_operation_kind fence_kind = {.name = "fence", .steps = fence_steps};
static const struct fs_operation_kind unfence_kind = {.name = "unfence", .steps = unfence_steps};

bool fs_fence_is_running(const struct fs_group *group)
{
    return group->operation && group->operation->kind == &fence_kind;
}

static uint64_t start(struct fs_group *group, const struct fs_operation_kind *kind, const char *who)
{
    const struct fs_operation *operation = fs_operation_start(group, kind, who);

    return operation ? operation->serial : 0;
}

uint64_t fs_fence_start(struct fs_group *group, const char *who)
{
    return start(group, &fence_kind, who);
}

uint64_t fs_unfence_start(struct fs_group *group, const char *who)
{
    return start(group, &unfence_kind, who);
}
