/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/objects_command.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/commands.h"
#include "daemon/kube/kinds.h"
#include "daemon/kube/run.h"
#include "daemon/kube/strip.h"
#include "daemon/operation_question.h"
#include "daemon/status.h"

struct look {
    struct question *question; /* knows whether the client is still there */
    struct fs_groups *groups;
    struct fs_uuid group, point;
    bool secrets;
    json_t *document; /* of the point */
};

static void look_free(struct look *look)
{
    look->groups->noting--;
    fs_question_free(look->question);
    json_decref(look->document);
    free(look);
}

/* --- what differs ----------------------------------------------------------------------------- */

static bool same_text(const json_t *a, const json_t *b, const char *key)
{
    return strcmp(fs_kube_text(a, key), fs_kube_text(b, key)) == 0;
}

/* The one of the same kind and name, or NULL. */
static const json_t *find_same(const json_t *objects, const json_t *object)
{
    const json_t *metadata = json_object_get(object, "metadata"), *other;
    size_t i;

    json_array_foreach((json_t *)objects, i, other)
    {
        const json_t *its = json_object_get(other, "metadata");

        if (same_text(object, other, "apiVersion") && same_text(object, other, "kind") &&
            same_text(metadata, its, "namespace") && same_text(metadata, its, "name")) {
            return other;
        }
    }
    return NULL;
}

static void append(json_t *list, const json_t *object, const char *here, bool secrets)
{
    const json_t *metadata = json_object_get(object, "metadata");
    json_t *shown = json_deep_copy(object);

    if (!secrets) {
        fs_kube_mask(shown);
    }
    (void)json_array_append_new(
        list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "api_version",
                        fs_kube_text(object, "apiVersion"), "kind", fs_kube_text(object, "kind"),
                        "namespace", fs_kube_text(metadata, "namespace"), "name",
                        fs_kube_text(metadata, "name"), "here", here, "object", shown));
}

/* live: the document of this site's objects, or NULL where they are not known. */
static json_t *compare(const json_t *document, const json_t *live, bool secrets)
{
    const json_t *carried = json_object_get(document, "objects");
    const json_t *present = json_object_get(live, "objects"), *object;
    json_t *list = json_array();
    size_t i;

    json_array_foreach((json_t *)carried, i, object)
    {
        const json_t *other = find_same(present, object);
        bool asked = other || fs_kube_kind_known(fs_kube_text(object, "kind"));
        const char *here = !live || !asked             ? "unknown"
                           : !other                    ? "absent"
                           : json_equal(object, other) ? "same"
                                                       : "differs";
        append(list, object, here, secrets);
    }
    json_array_foreach((json_t *)present, i, object)
    {
        if (!find_same(carried, object)) {
            append(list, object, "not in the point", secrets);
        }
    }
    return list;
}

static void answer(struct look *look, const json_t *live, const char *reason)
{
    struct fs_call *call = look->question->call;
    const struct fs_group *group = fs_groups_find_uuid(look->groups, &look->group);
    const struct fs_record_point *point =
        group ? fs_record_find_point(group->record, &look->point) : NULL;

    if (call && !point) {
        fs_call_fail(call, FS_EXIT_FAILURE, "the point is gone");
    } else if (call) {
        json_t *missing = json_object_get(look->document, "missing");
        fs_call_finish(call, FS_EXIT_OK,
                       json_pack("{s:i, s:o, s:o, s:o, s:O, s:s}", "schema_version", 1, "group",
                                 fs_status_text(group->record->name), "point",
                                 fs_status_point(point), "objects",
                                 compare(look->document, live, look->secrets), "missing", missing,
                                 "reason", reason));
    }
    look_free(look);
}

/* --- its course ------------------------------------------------------------------------------- */

static void captured(void *arg, const char *text, const struct fs_error *err)
{
    const char *wrong = NULL;
    json_t *live = text ? fs_kube_document_load(text, strlen(text), &wrong) : NULL;

    answer(arg, live, live ? "" : text ? "out of memory" : err->message);
    json_decref(live);
}

/* {"kind", "name"} of all that the point carries: this site may not know the group by its label. */
static json_t *names_of(const json_t *document)
{
    json_t *names = json_array(), *object;
    size_t i;

    json_array_foreach(json_object_get(document, "objects"), i, object)
    {
        (void)json_array_append_new(
            names, json_pack("{s:s, s:s}", "kind", fs_kube_text(object, "kind"), "name",
                             fs_kube_text(json_object_get(object, "metadata"), "name")));
    }
    return names;
}

static void loaded(void *arg, json_t *document, const struct fs_error *err)
{
    struct look *look = arg;
    const struct fs_group *group = fs_groups_find_uuid(look->groups, &look->group);

    if (!document || !group) {
        if (look->question->call) {
            fs_call_fail(look->question->call, FS_EXIT_FAILURE, "%s",
                         document ? "the group is gone" : err->message);
        }
        look_free(look);
        return;
    }
    look->document = json_incref(document);
    struct fs_capturer *capturer = group->ctx->capturer;
    const struct fs_config_policy *policy = fs_group_policy(group);
    json_t *names = names_of(document);
    bool asked =
        capturer && capturer->capture(capturer, group->record, policy ? policy->group_by : NULL,
                                      names, captured, look);
    json_decref(names);
    if (!asked) {
        answer(look, NULL, "this site has no Kubernetes API that it could compare with");
    }
}

static const struct fs_record_point *choose(const struct fs_group *group, const char *text)
{
    struct fs_uuid id;

    if (text) {
        return fs_commands_find_point(group, text, &id) ? fs_record_find_point(group->record, &id)
                                                        : NULL;
    }
    for (size_t i = group->record->n_points; i-- > 0;) {
        const struct fs_record_point *point = &group->record->points[i];

        if (point->state == FS_POINT_COMMITTED && point->objects.size > 0) {
            return point;
        }
    }
    return NULL;
}

void fs_objects_command(struct fs_operation_commands *commands, struct fs_call *call,
                        const json_t *request, const struct fs_group *group)
{
    const char *text = json_string_value(json_object_get(request, "point"));
    const struct fs_record_point *point = choose(group, text);
    struct fs_error err = FS_ERROR_INIT;
    struct look *look;

    if (!point) {
        fs_call_fail(call, FS_EXIT_REFUSED,
                     text ? "%s has no point %.80s: `farshore points` lists them"
                          : "no point of %s carries Kubernetes objects: `farshore status` says why",
                     group->record->name, text);
        return;
    }
    if (group->ctx->groups->stopping) {
        fs_call_fail(call, FS_EXIT_FAILURE, "the daemon is stopping");
        return;
    }
    struct question *question = fs_question_new(commands, call, NULL, 0);
    look = question ? calloc(1, sizeof(*look)) : NULL;
    if (!look) {
        if (question) {
            fs_call_fail(call, FS_EXIT_FAILURE, "out of memory");
            fs_question_free(question);
        }
        return;
    }
    *look = (struct look){
        .question = question,
        .groups = group->ctx->groups,
        .group = group->record->group,
        .point = point->point.id,
        .secrets = json_is_true(json_object_get(request, "secrets")),
    };
    question->group = look->group;
    look->groups->noting++;
    if (fs_capture_load(group, &look->point, loaded, look, &err) < 0) {
        fs_call_fail(call, FS_EXIT_REFUSED, "%s", err.message);
        look_free(look);
    }
}
