/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/kube_source.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/groups.h"
#include "daemon/kube/kube.h"
#include "daemon/kube/rights.h"
#include "daemon/kube_announce.h"
#include "daemon/kube_capture.h"
#include "daemon/status.h"
#include "farshore/log.h"

enum told { TOLD_NOTHING, TOLD_UP, TOLD_DOWN };

struct fs_kube_source {
    struct fs_context *ctx;
    struct event_base *base;
    void (*changed)(void *arg);
    void *arg;
    struct fs_kube_api *api;
    struct fs_kube_capture *capture;
    struct fs_kube_announce *announce;
    struct fs_kube_rights *rights; /* NULL: no such source, or out of memory */
    struct fs_kube *kube;          /* NULL: no such source, or out of memory */
    char *made_from;               /* kubeconfig and selectors that kube has */
    enum told told;
    int64_t up_ns; /* wall: since when it has been up */
};

static void tell(struct fs_kube_source *source)
{
    int64_t since_ns = 0;
    const char *trouble = fs_kube_trouble(source->kube, &since_ns);

    if (trouble && source->told != TOLD_DOWN) {
        source->told = TOLD_DOWN;
        fs_log(FS_EV_KUBERNETES_DOWN, FS_S("reason", trouble));
    } else if (!trouble && source->told != TOLD_UP && fs_kube_is_whole(source->kube)) {
        source->told = TOLD_UP;
        source->up_ns = fs_context_wall(source->ctx);
        fs_log(FS_EV_KUBERNETES_UP, {0});
    }
}

/* What docs/kubernetes/rbac.yaml gives, and a sign of an account that was not made for us. */
static const struct fs_kube_right reading[] = {
    {.verb = "list", .group = "", .resource = "persistentvolumeclaims"},
    {.verb = "watch", .group = "", .resource = "persistentvolumeclaims"},
    {.verb = "list", .group = "", .resource = "persistentvolumes"},
    {.verb = "watch", .group = "", .resource = "persistentvolumes"},
    {.verb = "list", .group = "kubevirt.io", .resource = "virtualmachines"},
    {.verb = "watch", .group = "kubevirt.io", .resource = "virtualmachines"},
    {.verb = "get", .group = "", .resource = "secrets", .when = FS_KUBE_RIGHT_NEEDLESS},
};

/* All of rbac-events.yaml. */
static const struct fs_kube_right telling[] = {
    {.verb = "create", .group = "", .resource = "events", .when = FS_KUBE_RIGHT_FOR_EVENTS},
    {.verb = "patch", .group = "", .resource = "events", .when = FS_KUBE_RIGHT_FOR_EVENTS},
    {.verb = "get",
     .group = "",
     .resource = "persistentvolumeclaims",
     .when = FS_KUBE_RIGHT_FOR_EVENTS},
    {.verb = "patch",
     .group = "",
     .resource = "persistentvolumeclaims",
     .when = FS_KUBE_RIGHT_FOR_EVENTS},
    {.verb = "get",
     .group = "kubevirt.io",
     .resource = "virtualmachines",
     .when = FS_KUBE_RIGHT_FOR_EVENTS},
    {.verb = "patch",
     .group = "kubevirt.io",
     .resource = "virtualmachines",
     .when = FS_KUBE_RIGHT_FOR_EVENTS},
};

/* Of rbac-workloads.yaml what no relocation can do without. */
static const struct fs_kube_right moving[] = {
    {.verb = "patch", .group = "", .resource = "persistentvolumes"},
    {.verb = "patch", .group = "", .resource = "persistentvolumeclaims"},
    {.verb = "get", .group = "storage.k8s.io", .resource = "storageclasses"},
    {.verb = "patch", .group = "kubevirt.io", .resource = "virtualmachines"},
    {.verb = "get", .group = "kubevirt.io", .resource = "virtualmachineinstances"},
    {.verb = "update",
     .group = "subresources.kubevirt.io",
     .resource = "virtualmachines",
     .subresource = "start"},
    {.verb = "patch", .group = "apps", .resource = "deployments"},
    {.verb = "patch", .group = "apps", .resource = "statefulsets"},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define RIGHTS_MAX   (COUNT(reading) + COUNT(telling) + COUNT(moving))

static struct fs_kube_rights *make_rights(const struct fs_kube_source *source)
{
    const struct fs_config_source *config = source->ctx->config->kubernetes;
    struct fs_kube_right rights[RIGHTS_MAX];
    size_t n = COUNT(reading);

    memcpy(rights, reading, sizeof(reading));
    if (config->events) {
        memcpy(rights + n, telling, sizeof(telling));
        n += COUNT(telling);
    }
    if (config->workloads) {
        memcpy(rights + n, moving, sizeof(moving));
        n += COUNT(moving);
    }
    return fs_kube_rights_new(source->base, source->api, rights, n);
}

static void kube_changed(void *arg)
{
    struct fs_kube_source *source = arg;

    tell(source);
    source->changed(source->arg);
}

/* --- life ------------------------------------------------------------------------------------ */

/* What the client is made from, as one text to compare: NULL without the source. */
static char *describe(const struct fs_config *config)
{
    json_t *array = json_array();
    char *text = NULL;

    if (config->kubernetes) {
        const char *path = config->kubernetes->kubeconfig;
        json_array_append_new(array, json_string(path ? path : ""));
        json_array_append_new(array, json_boolean(config->kubernetes->workloads));
        json_array_append_new(array, json_boolean(config->kubernetes->events));
        for (size_t i = 0; i < config->n_policies; i++) {
            const char *select = config->policies[i].select_text;
            if (select) {
                json_array_append_new(array, json_string(select));
            }
        }
        text = json_dumps(array, JSON_COMPACT);
    }
    json_decref(array);
    return text;
}

static struct fs_kube *make(struct fs_kube_source *source)
{
    const struct fs_config *config = source->ctx->config;
    const char **selectors = calloc(config->n_policies + 1, sizeof(*selectors));
    struct fs_kube_options options = {
        .base = source->base,
        .kubeconfig = config->kubernetes->kubeconfig,
        .selectors = selectors,
        .changed = kube_changed,
        .arg = source,
    };

    for (size_t i = 0; selectors && i < config->n_policies; i++) {
        if (config->policies[i].select_text) {
            selectors[options.n_selectors++] = config->policies[i].select_text;
        }
    }
    struct fs_kube *kube = selectors ? fs_kube_new(&options) : NULL;
    free(selectors);
    return kube;
}

void fs_kube_source_reconfigure(struct fs_kube_source *source)
{
    char *text = describe(source->ctx->config);

    fs_kube_capture_configure(source->capture, source->ctx->config);
    fs_kube_announce_reconfigure(source->announce);
    if (source->made_from && text && source->kube && strcmp(source->made_from, text) == 0) {
        free(text);
        return;
    }
    if (source->ctx->config->kubernetes) {
        (void)fs_kube_api_use(source->api, source->ctx->config->kubernetes->kubeconfig);
    }
    fs_kube_free(source->kube);
    fs_kube_rights_free(source->rights);
    free(source->made_from);
    source->made_from = text;
    source->told = TOLD_NOTHING;
    source->kube = source->ctx->config->kubernetes ? make(source) : NULL;
    if (source->kube) {
        source->rights = make_rights(source);
    } else {
        source->rights = NULL;
    }
}

struct fs_kube_source *fs_kube_source_new(struct fs_context *ctx, struct event_base *base,
                                          void (*changed)(void *arg), void *arg)
{
    struct fs_kube_source *source = calloc(1, sizeof(*source));

    if (!source) {
        return NULL;
    }
    *source = (struct fs_kube_source){.ctx = ctx, .base = base, .changed = changed, .arg = arg};
    source->api = fs_kube_api_new(base, NULL, NULL);
    source->capture = source->api ? fs_kube_capture_new(base, source->api) : NULL;
    source->announce = source->api ? fs_kube_announce_new(ctx, base, source->api) : NULL;
    bool good = source->capture && source->announce;
    if (good) {
        fs_kube_source_reconfigure(source);
    }
    if (!good || (ctx->config->kubernetes && !source->kube)) {
        fs_kube_source_free(source);
        return NULL;
    }
    return source;
}

void fs_kube_source_free(struct fs_kube_source *source)
{
    if (source) {
        fs_kube_free(source->kube);
        fs_kube_rights_free(source->rights);
        fs_kube_capture_free(source->capture);
        fs_kube_announce_free(source->announce);
        fs_kube_api_free(source->api);
        free(source->made_from);
        free(source);
    }
}

struct fs_capturer *fs_kube_source_capturer(const struct fs_kube_source *source)
{
    return fs_kube_capture_capturer(source->capture);
}

struct fs_announcer *fs_kube_source_announcer(const struct fs_kube_source *source)
{
    return fs_kube_announce_announcer(source->announce);
}

struct fs_kube_api *fs_kube_source_api(const struct fs_kube_source *source)
{
    return source && source->ctx->config->kubernetes ? source->api : NULL;
}

/* --- claims ---------------------------------------------------------------------------------- */

/* A volume that came from a PVC: its labels say so, and what its group is called. */
static int remember(const struct fs_volume *volume, struct fs_claims *claims)
{
    struct fs_claim *claim = &claims->list[claims->count];

    if (!volume->labels || !volume->pvc[0]) {
        return 0;
    }
    claims->count++;
    claim->ns = strdup(volume->pvc_namespace);
    claim->name = strdup(volume->pvc);
    claim->labels = strdup(volume->labels);
    claim->pool = strdup(volume->image.pool);
    claim->rados_ns = strdup(volume->image.ns);
    claim->image = strdup(volume->image.name);
    if (volume->vm[0]) {
        claim->vm = strdup(volume->vm);
        claim->app = strdup(volume->vm);
    }
    return claim->ns && claim->name && claim->labels && claim->pool && claim->rados_ns &&
                   claim->image && (!volume->vm[0] || (claim->vm && claim->app))
               ? 0
               : -ENOMEM;
}

static int remember_all(const struct fs_groups *groups, struct fs_claims *claims)
{
    size_t room = 1;
    int rc = 0;

    for (size_t i = 0; i < groups->count; i++) {
        room += groups->list[i]->record->n_volumes;
    }
    claims->list = calloc(room, sizeof(*claims->list));
    if (!claims->list) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < groups->count; i++) {
        const struct fs_record *record = groups->list[i]->record;
        for (size_t k = 0; k < record->n_volumes && rc == 0; k++) {
            /* What was let go of, and given up its points, stays so. */
            if (record->role == FS_ROLE_PRIMARY && record->n_points > 0 &&
                !record->volumes[k].gone) {
                rc = remember(&record->volumes[k].volume, claims);
            }
        }
    }
    return rc;
}

const char *fs_kube_source_cluster_id(const struct fs_context *ctx)
{
    const char *configured = ctx->config->kubernetes ? ctx->config->kubernetes->cluster_id : NULL;

    return configured ? configured : ctx->fsid;
}

int fs_kube_source_claims(const struct fs_kube_source *source, struct fs_claims *ret_claims)
{
    const struct fs_context *ctx = source->ctx;
    int64_t since_ns;
    int rc;

    *ret_claims = (struct fs_claims){0};
    if (!source->kube) {
        return -EAGAIN;
    }
    if (fs_kube_is_whole(source->kube)) {
        rc = fs_kube_claims(source->kube, fs_kube_source_cluster_id(ctx), ret_claims);
    } else if (fs_kube_trouble(source->kube, &since_ns)) {
        rc = remember_all(ctx->groups, ret_claims);
    } else {
        return -EAGAIN;
    }
    ret_claims->only = !ctx->config->discover_images;
    if (rc < 0) {
        fs_claims_fini(ret_claims);
    }
    return rc;
}

/* --- status ---------------------------------------------------------------------------------- */

json_t *fs_kube_source_volume(const struct fs_kube_source *source, const struct fs_image_ref *image)
{
    char spec[FS_IMAGE_SPEC_SIZE];

    if (!source || !source->kube) {
        return NULL;
    }
    const json_t *volumes = fs_kube_volumes(source->kube, fs_kube_source_cluster_id(source->ctx));
    return json_incref(json_object_get(volumes, fs_image_spec(image, spec)));
}

json_t *fs_kube_source_status(const struct fs_kube_source *source)
{
    int64_t since_ns = 0;

    if (!source || !source->kube) {
        return NULL;
    }
    const char *trouble = fs_kube_trouble(source->kube, &since_ns);
    bool up = !trouble && source->told == TOLD_UP;
    json_t *status = json_pack("{s:s, s:s}", "state",
                               trouble ? "down"
                               : up    ? "up"
                                       : "connecting",
                               "reason", "");
    if (trouble) {
        (void)json_object_set_new(status, "reason", fs_status_text(trouble));
    }
    const json_t *known = source->rights ? fs_kube_rights_known(source->rights) : NULL;
    if (known) {
        (void)json_object_set_new(status, "rights", json_deep_copy(known));
    }
    if (trouble || up) {
        since_ns = trouble ? since_ns : source->up_ns;
        (void)json_object_set_new(status, "since_timestamp",
                                  json_real((double)since_ns / (double)FS_SEC));
    }
    return status;
}
