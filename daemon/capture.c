/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/group.h"
#include "daemon/kube/strip.h"
#include "daemon/peer.h"
#include "daemon/status.h"
#include "farshore/log.h"

/* The newest point that is there and carries some. */
static const struct fs_record_point *newest_with_objects(const struct fs_record *record)
{
    for (size_t i = record->n_points; i-- > 0;) {
        if (record->points[i].state >= FS_POINT_COMPLETE && record->points[i].objects.size > 0) {
            return &record->points[i];
        }
    }
    return NULL;
}

static void set_reason(struct fs_group *group, const char *reason)
{
    struct fs_capture *capture = &group->capture;

    if (reason[0] && strcmp(capture->reason, reason) != 0) {
        fs_log(FS_EV_OBJECTS_STALE, FS_S("group", group->record->name), FS_S("reason", reason));
    }
    (void)snprintf(capture->reason, sizeof(capture->reason), "%s", reason);
}

/* What they are is not known: what they were. */
static void carry_known(struct fs_group *group, const struct fs_error *err)
{
    const struct fs_record_point *known = newest_with_objects(group->record);

    group->capture.objects = (struct fs_captured){0};
    if (known) {
        group->capture.objects = known->objects;
        group->capture.objects.stale = true;
    }
    set_reason(group, err->message);
}

static int carry(struct fs_group *group, const char *text, struct fs_error *err)
{
    const struct fs_record_point *known = newest_with_objects(group->record);
    struct fs_capture *capture = &group->capture;
    size_t length = strlen(text);

    fs_captured_name(text, length, &capture->objects);
    if (known && fs_captured_same(&known->objects, &capture->objects)) {
        return 0;
    }
    return fs_captured_pack(text, length, &capture->packed, err);
}

static void captured(void *arg, const char *text, const struct fs_error *err)
{
    struct fs_group *group = arg;
    struct fs_error own = FS_ERROR_INIT;

    if (group->ctx->groups->stopping) {
        group->capture.then(group); /* takes no point, so nothing is stale */
        return;
    }
    if (!text) {
        carry_known(group, err);
    } else if (carry(group, text, &own) < 0) {
        carry_known(group, &own);
    } else {
        set_reason(group, "");
    }
    group->capture.then(group);
}

static bool is_wanted(const struct fs_group *group)
{
    const struct fs_config_policy *policy = fs_group_policy(group);

    return group->ctx->capturer && policy && !policy->no_objects &&
           fs_uuid_is_zero(&group->record->joins);
}

/* To one that does not, a point with other objects would be offered again and again as news. */
static bool peer_takes_them(const struct fs_group *group)
{
    const struct fs_session *session = fs_peers_session(group->ctx->peers, group->record->peer);

    return session && (fs_session_peer(session)->features & FS_FEATURE_OBJECTS);
}

bool fs_capture_start(struct fs_group *group, void (*then)(struct fs_group *group))
{
    struct fs_capturer *capturer = group->ctx->capturer;

    group->capture.objects = (struct fs_captured){0};
    group->capture.then = then;
    if (is_wanted(group) && !peer_takes_them(group)) {
        set_reason(group, "the peer is an older Farshore, which takes no Kubernetes objects: "
                          "install this version there");
        return false;
    }
    if (is_wanted(group) &&
        capturer->capture(capturer, group->record, fs_group_policy(group)->group_by, NULL, captured,
                          group)) {
        return true;
    }
    set_reason(group, "");
    return false;
}

void fs_capture_end(struct fs_group *group)
{
    fs_buf_fini(&group->capture.packed);
}

json_t *fs_capture_status(const struct fs_group *group)
{
    const struct fs_record_point *newest = fs_record_newest_committed(group->record);
    bool carries = newest && newest->objects.size > 0;

    if (!carries && !group->capture.reason[0]) {
        return NULL;
    }
    const char *state = !carries ? "none" : newest->objects.stale ? "stale" : "captured";
    return json_pack("{s:s, s:o}", "state", state, "reason", fs_status_text(group->capture.reason));
}

/* --- what a point carries --------------------------------------------------------------------- */

struct loading {
    struct fs_captured objects;
    fs_capture_load_fn *done;
    void *arg;
};

static json_t *unpack(const struct fs_captured *objects, const struct fs_buf *packed,
                      struct fs_error *err)
{
    struct fs_buf text;
    const char *wrong = NULL;

    if (fs_captured_unpack(objects, packed->data, packed->length, &text, err) < 0) {
        return NULL;
    }
    json_t *document = fs_kube_document_load((const char *)text.data, text.length, &wrong);
    if (!document) {
        (void)fs_error_set(err, FS_ERR_DATA, EINVAL,
                           "the point's Kubernetes objects cannot be read: %s",
                           wrong ? wrong : "out of memory");
    }
    fs_buf_fini(&text);
    return document;
}

static void loaded(void *arg, const struct fs_buf *packed, const struct fs_error *err)
{
    struct loading *loading = arg;
    struct fs_error own = FS_ERROR_INIT;

    if (err && fs_error_is_set(err)) {
        loading->done(loading->arg, NULL, err);
    } else {
        json_t *document = unpack(&loading->objects, packed, &own);
        loading->done(loading->arg, document, document ? NULL : &own);
        json_decref(document);
    }
    free(loading);
}

int fs_capture_load(const struct fs_group *group, const struct fs_uuid *point,
                    fs_capture_load_fn *done, void *arg, struct fs_error *err)
{
    const struct fs_record_point *found = fs_record_find_point(group->record, point);
    struct fs_source *source = group->ctx->source;

    if (!found || found->objects.size == 0) {
        return fs_error_set(err, FS_ERR_PERMANENT, ENOENT, "%s",
                            found ? "this point carries no Kubernetes objects"
                                  : "there is no such point");
    }
    struct loading *loading = source ? calloc(1, sizeof(*loading)) : NULL;
    if (!loading) {
        return fs_error_set(err, FS_ERR_TRANSIENT, EAGAIN, "%s",
                            source ? "out of memory" : group->ctx->site_reason);
    }
    *loading = (struct loading){.objects = found->objects, .done = done, .arg = arg};
    source->ops->objects(source, &group->record->group, &found->objects, loaded, loading);
    return 0;
}
