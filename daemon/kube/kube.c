/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/kube/kube.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/kube/catalogue.h"
#include "daemon/kube/objects.h"
#include "daemon/kube/reflector.h"

#define PAGE_DEFAULT 200u
/* Changes that come together are looked at together: a new VM is a dozen of them. */
#define SETTLE_MS 500

struct fs_kube {
    struct event_base *base;
    char *kubeconfig; /* NULL: in-cluster */
    const char *service_account;
    void (*changed)(void *arg);
    void *arg;
    struct fs_kube_http *http;
    struct event *settle;
    struct fs_kube_reflector **claims; /* one for each selector */
    size_t n_claims;
    struct fs_kube_reflector *volumes, *vms;
    json_t *images; /* NULL: to be made anew */
};

static int get_access(void *arg, struct fs_kube_access *ret_access, struct fs_error *err)
{
    const struct fs_kube *kube = arg;

    return kube->kubeconfig ? fs_kube_access_load(kube->kubeconfig, ret_access, err)
                            : fs_kube_access_in_cluster(kube->service_account, ret_access, err);
}

static void settle_cb(evutil_socket_t fd, short what, void *arg)
{
    const struct fs_kube *kube = arg;

    (void)fd;
    (void)what;
    kube->changed(kube->arg);
}

static void something_changed(void *arg)
{
    struct fs_kube *kube = arg;

    json_decref(kube->images);
    kube->images = NULL;
    const struct timeval settle = {.tv_usec = SETTLE_MS * 1000};

    if (!evtimer_pending(kube->settle, NULL)) {
        (void)evtimer_add(kube->settle, &settle);
    }
}

/* --- life ------------------------------------------------------------------------------------ */

static bool start_reflectors(struct fs_kube *kube, const struct fs_kube_options *options)
{
    struct fs_kube_reflector_options reflector = {
        .base = kube->base,
        .http = kube->http,
        .rights = "rbac.yaml",
        .page = options->page ? options->page : PAGE_DEFAULT,
        .access = get_access,
        .changed = something_changed,
        .arg = kube,
    };

    reflector.path = "/api/v1/persistentvolumeclaims";
    reflector.what = "persistent volume claims";
    reflector.reduce = fs_kube_reduce_claim;
    for (size_t i = 0; i < options->n_selectors; i++) {
        reflector.selector = options->selectors[i];
        kube->claims[i] = fs_kube_reflector_new(&reflector);
        if (!kube->claims[i]) {
            return false;
        }
        kube->n_claims++;
    }
    reflector.selector = NULL;
    reflector.path = "/api/v1/persistentvolumes";
    reflector.what = "persistent volumes";
    reflector.reduce = fs_kube_reduce_volume;
    kube->volumes = fs_kube_reflector_new(&reflector);
    reflector.path = "/apis/kubevirt.io/v1/virtualmachines";
    reflector.what = "virtual machines";
    reflector.reduce = fs_kube_reduce_vm;
    reflector.optional = true;
    kube->vms = fs_kube_reflector_new(&reflector);
    return kube->volumes && kube->vms;
}

struct fs_kube *fs_kube_new(const struct fs_kube_options *options)
{
    struct fs_kube *kube = calloc(1, sizeof(*kube));

    if (!kube) {
        return NULL;
    }
    kube->base = options->base;
    kube->service_account =
        options->service_account ? options->service_account : FS_KUBE_SERVICE_ACCOUNT;
    kube->changed = options->changed;
    kube->arg = options->arg;
    kube->kubeconfig = options->kubeconfig ? strdup(options->kubeconfig) : NULL;
    kube->http = fs_kube_http_new(options->base);
    kube->settle = evtimer_new(options->base, settle_cb, kube);
    kube->claims = calloc(options->n_selectors + 1, sizeof(struct fs_kube_reflector *));
    if ((options->kubeconfig && !kube->kubeconfig) || !kube->http || !kube->settle ||
        !kube->claims || !start_reflectors(kube, options)) {
        fs_kube_free(kube);
        return NULL;
    }
    return kube;
}

void fs_kube_free(struct fs_kube *kube)
{
    if (!kube) {
        return;
    }
    for (size_t i = 0; i < kube->n_claims; i++) {
        fs_kube_reflector_free(kube->claims[i]);
    }
    free(kube->claims);
    fs_kube_reflector_free(kube->volumes);
    fs_kube_reflector_free(kube->vms);
    fs_kube_http_free(kube->http);
    if (kube->settle) {
        event_free(kube->settle);
    }
    json_decref(kube->images);
    free(kube->kubeconfig);
    free(kube);
}

/* --- what is known --------------------------------------------------------------------------- */

bool fs_kube_is_whole(const struct fs_kube *kube)
{
    for (size_t i = 0; i < kube->n_claims; i++) {
        if (!fs_kube_reflector_is_whole(kube->claims[i])) {
            return false;
        }
    }
    return fs_kube_reflector_is_whole(kube->volumes) && fs_kube_reflector_is_whole(kube->vms);
}

int fs_kube_claims(const struct fs_kube *kube, const char *cluster_id, struct fs_claims *ret_claims)
{
    const json_t **claims = calloc(kube->n_claims + 1, sizeof(*claims));
    int rc = -EAGAIN;

    *ret_claims = (struct fs_claims){0};
    if (!claims) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < kube->n_claims; i++) {
        claims[i] = fs_kube_reflector_items(kube->claims[i]);
    }
    if (fs_kube_is_whole(kube)) {
        const struct fs_kube_objects objects = {
            .claims = claims,
            .n_claims = kube->n_claims,
            .volumes = fs_kube_reflector_items(kube->volumes),
            .vms = fs_kube_reflector_items(kube->vms),
            .cluster_id = cluster_id,
        };
        rc = fs_kube_catalogue(&objects, ret_claims);
    }
    free(claims);
    return rc;
}

const json_t *fs_kube_volumes(struct fs_kube *kube, const char *cluster_id)
{
    const struct fs_kube_objects objects = {.volumes = fs_kube_reflector_items(kube->volumes),
                                            .cluster_id = cluster_id};

    if (!kube->images && fs_kube_is_whole(kube)) {
        kube->images = fs_kube_images(&objects);
    }
    return kube->images;
}

static void look_for_trouble(const struct fs_kube_reflector *reflector, const char **trouble,
                             int64_t *since_ns)
{
    int64_t since = 0;
    const char *its = fs_kube_reflector_trouble(reflector, &since);

    if (its && (!*trouble || since < *since_ns)) {
        *trouble = its;
        *since_ns = since;
    }
}

const char *fs_kube_trouble(const struct fs_kube *kube, int64_t *ret_since_ns)
{
    const char *trouble = NULL;

    look_for_trouble(kube->volumes, &trouble, ret_since_ns);
    look_for_trouble(kube->vms, &trouble, ret_since_ns);
    for (size_t i = 0; i < kube->n_claims; i++) {
        look_for_trouble(kube->claims[i], &trouble, ret_since_ns);
    }
    return trouble;
}
