/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of an item that is a PVC of the group: what it is bound to if it is there, and the PV
 * and the PVC that are made for the group's image.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/kube/bring_private.h"
#include "daemon/kube/manifest.h"
#include "daemon/kube/run.h"

/* The PV that the PVC is bound to. */
static void holder_read(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct fs_kube_bring *bring = arg;
    struct item *item = fs_bring_current(bring);
    const char *name = fs_kube_text(json_object_get(item->live, "spec"), "volumeName");
    char own[FS_KUBE_VOLUME_NAME_SIZE], message[400];

    bring->call = NULL;
    if (err && status != 404) {
        fs_bring_give_up(bring, status, err);
        return;
    }
    bring->trouble_ns = 0;
    if (!err && fs_kube_leads_to(answer, item->volume)) {
        fs_bring_next(bring, "kept", "");
    } else if (strcmp(name, fs_kube_volume_name(item->volume, own)) == 0) {
        fs_bring_enter(bring, CLASS);
    } else {
        (void)snprintf(message, sizeof(message),
                       "a PVC of that name is bound to %.100s, which is not %.60s/%.100s: delete "
                       "it, if nothing needs it",
                       name, fs_kube_text(item->volume, "pool"),
                       fs_kube_text(item->volume, "image"));
        item->again = true;
        fs_bring_next(bring, "conflict", message);
    }
}

void fs_bring_read_holder(struct fs_kube_bring *bring)
{
    const char *name =
        fs_kube_text(json_object_get(fs_bring_current(bring)->live, "spec"), "volumeName");
    struct fs_buf path = FS_BUF_INIT;

    fs_buf_printf(&path, "/api/v1/persistentvolumes");
    fs_bring_put_name(&path, name);
    fs_buf_put_u8(&path, 0);
    fs_bring_ask(bring, "GET", (const char *)path.data, NULL, NULL, holder_read);
    fs_buf_fini(&path);
}

static void class_read(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct fs_kube_bring *bring = arg;

    bring->call = NULL;
    if (err) {
        fs_bring_give_up(bring, status, err);
        return;
    }
    bring->trouble_ns = 0;
    json_decref(bring->class);
    bring->class = json_incref(answer);
    fs_bring_enter(bring, VOLUME);
}

void fs_bring_read_class(struct fs_kube_bring *bring)
{
    struct item *item = fs_bring_current(bring);
    const char *name = fs_kube_class_name(bring->classes, item->object);
    struct fs_buf path = FS_BUF_INIT;

    if (!name) {
        item->again = true;
        fs_bring_next(bring, "failed",
                      "which StorageClass it is to have is not known: give \"*\" in "
                      "discovery.storage_classes");
        return;
    }
    fs_buf_printf(&path, "/apis/storage.k8s.io/v1/storageclasses");
    fs_bring_put_name(&path, name);
    fs_buf_put_u8(&path, 0);
    fs_bring_ask(bring, "GET", (const char *)path.data, NULL, NULL, class_read);
    fs_buf_fini(&path);
}

/* The PVC as it is to be takes the place of the captured one. */
void fs_bring_write_claim(struct fs_kube_bring *bring)
{
    struct item *item = fs_bring_current(bring);
    json_t *claim = fs_kube_make_claim(item->volume, item->object, bring->class);

    if (!claim) {
        fs_bring_later(bring, FS_BRING_RETRY_NS);
        return;
    }
    fs_bring_say(bring, "applying ", "");
    fs_bring_apply(bring, claim, false, fs_bring_written);
    json_decref(claim);
}

static void released(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct fs_kube_bring *bring = arg;

    (void)answer;
    bring->call = NULL;
    if (err) {
        fs_bring_give_up(bring, status, err);
    } else {
        fs_bring_enter(bring, WRITE);
    }
}

/* It was bound to a PVC that is not there any more, and would wait for that one for ever. */
void fs_bring_release(struct fs_kube_bring *bring)
{
    json_t *patch = json_pack("{s:{s:{s:n, s:n}}}", "spec", "claimRef", "uid", "resourceVersion");

    fs_bring_ask_object(bring, "PATCH", bring->pending, NULL, "?fieldManager=" FS_KUBE_MANAGER,
                        patch, FS_KUBE_MERGE_PATCH, released);
    json_decref(patch);
}

static void volume_written(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct fs_kube_bring *bring = arg;

    bring->call = NULL;
    if (err) {
        fs_bring_give_up(bring, status, err);
        return;
    }
    bring->trouble_ns = 0;
    json_decref(bring->pending);
    bring->pending = json_incref(answer);
    const json_t *claim = json_object_get(json_object_get(answer, "spec"), "claimRef");
    bool stale = !fs_bring_current(bring)->live && *fs_kube_text(claim, "uid");
    fs_bring_enter(bring, stale && !bring->check ? RELEASE : WRITE);
}

void fs_bring_write_volume(struct fs_kube_bring *bring)
{
    struct item *item = fs_bring_current(bring);
    struct fs_error err = FS_ERROR_INIT;
    json_t *volume =
        fs_kube_make_volume(item->volume, item->object, item->captured, bring->class, &err);

    if (!volume) {
        item->again = true;
        fs_bring_next(bring, "failed", err.message);
        return;
    }
    fs_bring_say(bring, "applying the volume of ", "");
    fs_bring_apply(bring, volume, false, volume_written);
    json_decref(volume);
}
