/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/quiescer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/hook.h"
#include "daemon/kube/api.h"
#include "daemon/kube_source.h"

/* --- the command ----------------------------------------------------------------------------- */

static void command_ended(void *arg, const struct fs_error *err)
{
    fs_quiesce_answered(arg, err ? FS_QUIESCE_FAILED : FS_QUIESCE_DONE, err);
}

/* A command that the policy has no more cannot be told to thaw. */
static void run_command(struct fs_group *group, bool thaw, int64_t limit_ns)
{
    if (!fs_hook_start_quiesce(group, group->quiesce.command, thaw, limit_ns, command_ended,
                               group)) {
        fs_quiesce_answered(group, FS_QUIESCE_NOTHING, NULL);
    }
}

/* --- virtual machines ------------------------------------------------------------------------ */

/* The API knows the kind of object, and there is none of that name, or none that runs. Without
 * KubeVirt the answer is no Status. */
static bool does_not_run(int status, const json_t *answer)
{
    const char *message = json_string_value(json_object_get(answer, "message"));
    const char *reason = json_string_value(json_object_get(answer, "reason"));

    return (status == 404 && reason && strcmp(reason, "NotFound") == 0) ||
           (status == 409 && message && strstr(message, "not running"));
}

static void guest_answered(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct fs_error told = FS_ERROR_INIT;

    if (!err) {
        fs_quiesce_answered(arg, FS_QUIESCE_DONE, NULL);
    } else if (does_not_run(status, answer)) {
        fs_quiesce_answered(arg, FS_QUIESCE_NOTHING, NULL);
    } else {
        told = *err;
        if (status == 403) {
            fs_error_context(&told, "docs/kubernetes/rbac.yaml has the rights");
        }
        fs_quiesce_answered(arg, FS_QUIESCE_FAILED, &told);
    }
}

/* Owned by the caller; NULL when out of memory. */
static char *guest_path(const struct fs_quiesce_target *target, const char *verb)
{
    char *namespace = fs_kube_escape(target->namespace), *vm = fs_kube_escape(target->vm);
    char *path = NULL;

    if (namespace && vm &&
        asprintf(&path,
                 "/apis/subresources.kubevirt.io/v1/namespaces/%s/virtualmachineinstances/%s/%s",
                 namespace, vm, verb) < 0) {
        path = NULL;
    }
    free(namespace);
    free(vm);
    return path;
}

static void ask_guest(struct fs_group *group, const struct fs_quiesce_target *target, bool thaw,
                      int64_t limit_ns, const json_t *body)
{
    struct fs_kube_api *api = fs_kube_source_api(group->ctx->kubernetes);
    char *path = guest_path(target, thaw ? "unfreeze" : "freeze");
    const struct fs_kube_api_request request = {.method = "PUT",
                                                .path = path,
                                                .body = body,
                                                .timeout_ns = limit_ns,
                                                .done = guest_answered,
                                                .arg = group};
    struct fs_error err = FS_ERROR_INIT;

    if (!api && thaw) { /* a reload took the source away; it thaws by itself */
        fs_quiesce_answered(group, FS_QUIESCE_NOTHING, NULL);
    } else if (!api || !path || !fs_kube_api_start(api, &request)) {
        (void)fs_error_set(&err, FS_ERR_TRANSIENT, ENOMEM, "%s",
                           api ? "out of memory" : "Kubernetes is no source any more");
        fs_quiesce_answered(group, FS_QUIESCE_FAILED, &err);
    }
    free(path);
}

static void freeze_guest(struct fs_group *group, const struct fs_quiesce_target *target,
                         int64_t limit_ns, int64_t frozen_ns)
{
    char duration[32];

    /* Rounded up: it must not thaw before we think so. */
    (void)snprintf(duration, sizeof(duration), "%" PRId64 "s", (frozen_ns + FS_SEC - 1) / FS_SEC);
    json_t *body = json_pack("{s:s}", "unfreezeTimeout", duration);
    ask_guest(group, target, false, limit_ns, body);
    json_decref(body);
}

/* --- both ------------------------------------------------------------------------------------ */

static void freeze(struct fs_group *group, const struct fs_quiesce_target *target, int64_t limit_ns,
                   int64_t frozen_ns)
{
    if (target->kind == FS_QUIESCE_GUEST) {
        freeze_guest(group, target, limit_ns, frozen_ns);
    } else {
        run_command(group, false, limit_ns);
    }
}

static void thaw(struct fs_group *group, const struct fs_quiesce_target *target, int64_t limit_ns)
{
    if (target->kind == FS_QUIESCE_GUEST) {
        ask_guest(group, target, true, limit_ns, NULL);
    } else {
        run_command(group, true, limit_ns);
    }
}

const struct fs_quiescer fs_quiescer = {.freeze = freeze, .thaw = thaw};
