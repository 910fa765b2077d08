/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/drill.h"

#include <stdio.h>
#include <stdlib.h>

#include "daemon/commands.h"
#include "daemon/drill_schedule.h"
#include "daemon/operation_log.h"
#include "daemon/status.h"
#include "farshore/log.h"

#define RETRY_NS (5 * FS_SEC)

/* A request that a worker is busy with. */
struct request {
    struct fs_drills *drills;
    struct fs_call *call; /* NULL: the client has gone */
    struct fs_uuid group;
    bool ending;
    size_t left;       /* drills that are still being removed */
    size_t ended;      /* that were */
    char message[640]; /* the first failure */
    struct request *next;
};

struct fs_drills *fs_drills_new(struct fs_groups *groups)
{
    struct fs_drills *drills = calloc(1, sizeof(*drills));

    if (drills) {
        drills->groups = groups;
    }
    return drills;
}

void fs_drills_free(struct fs_drills *drills)
{
    if (!drills) {
        return;
    }
    while (drills->requests) {
        struct request *gone = drills->requests;
        drills->requests = gone->next;
        free(gone);
    }
    free(drills->list);
    free(drills);
}

/* --- the list --------------------------------------------------------------------------------- */

static struct fs_drill *find(const struct fs_drills *drills, const struct fs_uuid *id)
{
    for (size_t i = 0; i < drills->count; i++) {
        if (!drills->list[i].result && fs_uuid_equal(&drills->list[i].id, id)) {
            return &drills->list[i];
        }
    }
    return NULL;
}

const struct fs_drill *fs_drills_result(const struct fs_drills *drills, const struct fs_uuid *group)
{
    for (size_t i = 0; i < drills->count; i++) {
        if (drills->list[i].result && fs_uuid_equal(&drills->list[i].group, group)) {
            return &drills->list[i];
        }
    }
    return NULL;
}

void fs_drills_put(struct fs_drills *drills, const struct fs_drill *drill)
{
    struct fs_drill *known = drill->result
                                 ? (struct fs_drill *)fs_drills_result(drills, &drill->group)
                                 : find(drills, &drill->id);

    if (!known) {
        struct fs_drill *list =
            reallocarray(drills->list, drills->count + 1, sizeof(*drills->list));
        if (!list) {
            drills->loaded = false; /* read again when there is memory */
            return;
        }
        drills->list = list;
        known = &list[drills->count++];
    }
    *known = *drill;
}

void fs_drills_drop(struct fs_drills *drills, const struct fs_uuid *id)
{
    struct fs_drill *known = find(drills, id);

    if (known) {
        *known = drills->list[--drills->count];
    }
}

static void loaded(void *arg, const struct fs_drill *list, size_t count, const struct fs_error *err)
{
    struct fs_drills *drills = arg;
    struct fs_context *ctx = drills->groups->ctx;

    drills->loading = false;
    drills->groups->noting--;
    if (err && fs_error_is_set(err)) {
        drills->retry_ns = fs_context_boot(ctx) + RETRY_NS;
    } else {
        drills->loaded = true;
        drills->count = 0;
        for (size_t i = 0; i < count; i++) {
            fs_drills_put(drills, &list[i]);
        }
    }
    ctx->kick(ctx->hook_arg);
}

void fs_drills_run(struct fs_drills *drills)
{
    struct fs_context *ctx = drills->groups->ctx;

    fs_drill_schedule_run(drills);
    if (!ctx->operators || drills->loaded || drills->loading ||
        fs_context_boot(ctx) < drills->retry_ns) {
        return;
    }
    drills->loading = true;
    drills->groups->noting++;
    ctx->operators->ops->drills(ctx->operators, loaded, drills);
}

void fs_drills_stop(struct fs_drills *drills)
{
    drills->loaded = false; /* another daemon may change them */
}

/* --- requests --------------------------------------------------------------------------------- */

static struct request *request_new(struct fs_drills *drills, struct fs_call *call,
                                   const struct fs_group *group)
{
    struct request *request = calloc(1, sizeof(*request));

    if (!request) {
        fs_call_fail(call, FS_EXIT_FAILURE, "out of memory");
        return NULL;
    }
    request->drills = drills;
    request->call = call;
    request->group = group->record->group;
    request->next = drills->requests;
    drills->requests = request;
    drills->groups->noting++; /* a worker has it */
    return request;
}

static void request_free(struct request *request)
{
    struct request **at = &request->drills->requests;

    request->drills->groups->noting--;
    while (*at != request) {
        at = &(*at)->next;
    }
    *at = request->next;
    free(request);
}

void fs_drills_gone(struct fs_drills *drills, struct fs_call *call)
{
    for (struct request *request = drills->requests; request; request = request->next) {
        if (request->call == call) {
            request->call = NULL;
        }
    }
}

static void put_uuid(json_t *object, const char *key, const struct fs_uuid *uuid)
{
    char text[FS_UUID_TEXT];

    fs_uuid_format(uuid, text);
    (void)json_object_set_new(object, key, json_string(text));
}

static json_t *drill_json(const struct fs_drills *drills, const struct fs_drill *drill)
{
    int64_t age = fs_context_wall(drills->groups->ctx) - drill->created_ns;
    json_t *images = json_array();

    for (size_t i = 0; i < drill->n_images; i++) {
        char spec[FS_IMAGE_SPEC_SIZE];
        json_array_append_new(
            images, json_pack("{s:o, s:o}", "image",
                              fs_status_text(fs_image_spec(&drill->images[i].clone, spec)), "of",
                              fs_status_text(drill->images[i].parent)));
    }
    json_t *object = json_pack("{s:s, s:f, s:f, s:s, s:b, s:o}", "point", drill->point_name,
                               "created_timestamp", (double)drill->created_ns / (double)FS_SEC,
                               "age_seconds", age > 0 ? (double)age / (double)FS_SEC : 0.0, "who",
                               drill->who, "ready", drill->ready, "images", images);
    if (object) {
        put_uuid(object, "id", &drill->id);
        if (drill->exit_status != FS_DRILL_NO_EXIT) {
            (void)json_object_set_new(object, "exit_status", json_integer(drill->exit_status));
        }
    }
    return object;
}

json_t *fs_drills_status(const struct fs_drills *drills, const struct fs_group *group)
{
    json_t *array = json_array();

    for (size_t i = 0; i < drills->count; i++) {
        if (!drills->list[i].result &&
            fs_uuid_equal(&drills->list[i].group, &group->record->group)) {
            json_array_append_new(array, drill_json(drills, &drills->list[i]));
        }
    }
    return array;
}

json_t *fs_drills_last(const struct fs_drills *drills, const struct fs_group *group)
{
    const struct fs_drill *last = fs_drills_result(drills, &group->record->group);

    return last ? json_pack("{s:s, s:f, s:i}", "point", last->point_name, "ended_timestamp",
                            (double)last->noted_ns / (double)FS_SEC, "exit_status",
                            last->exit_status)
                : NULL;
}

static void log_drill(const struct request *request, const char *step, const struct fs_drill *drill,
                      const char *detail)
{
    struct fs_group *group = fs_groups_find_uuid(request->drills->groups, &request->group);
    char text[800];

    (void)snprintf(text, sizeof(text), "drill of %s%s%s", drill->point_name, *detail ? ": " : "",
                   detail);
    if (group) {
        fs_operation_log(group, step, &drill->id, drill->who, text);
    }
}

/* --- making one ------------------------------------------------------------------------------- */

static void made(void *arg, const struct fs_drill *drill, const struct fs_error *err)
{
    struct request *request = arg;
    struct fs_drills *drills = request->drills;
    struct fs_call *call = request->call;
    bool failed = err && fs_error_is_set(err);

    log_drill(request, failed ? "failed" : "done", drill, failed ? err->message : "");
    if (failed) {
        drills->loaded = false; /* what could not be removed again is listed */
    } else {
        fs_drills_put(drills, drill);
    }
    request_free(request);
    if (!call) {
        return;
    }
    if (failed) {
        fs_call_fail(call, FS_EXIT_FAILURE, "%s", err->message);
    } else {
        fs_call_finish(
            call, FS_EXIT_OK,
            json_pack("{s:i, s:o}", "schema_version", 1, "drill", drill_json(drills, drill)));
    }
}

static void make(struct fs_drills *drills, struct fs_call *call, struct fs_group *group,
                 const struct fs_record_point *point)
{
    struct fs_context *ctx = drills->groups->ctx;
    struct request *request = request_new(drills, call, group);
    struct fs_drill drill = {
        .group = group->record->group,
        .point = point->point.id,
        .created_ns = fs_context_wall(ctx),
        .exit_status = FS_DRILL_NO_EXIT,
    };

    if (!request) {
        return;
    }
    fs_uuid_random(&drill.id);
    (void)fs_point_snap_name(&point->point, drill.point_name);
    (void)fs_call_who(call, drill.who);
    log_drill(request, "begun", &drill, "");
    ctx->operators->ops->drill(ctx->operators, group->record, &drill, made, request);
}

/* --- ending them ------------------------------------------------------------------------------ */

static void ended(void *arg, const struct fs_drill *drill, const struct fs_error *err)
{
    struct request *request = arg;
    struct fs_drills *drills = request->drills;
    bool failed = err && fs_error_is_set(err);

    log_drill(request, failed ? "failed" : "ended", drill, failed ? err->message : "");
    if (failed) {
        if (!request->message[0]) {
            (void)snprintf(request->message, sizeof(request->message), "%s", err->message);
        }
    } else {
        request->ended++;
        fs_drills_drop(drills, &drill->id);
    }
    if (--request->left > 0) {
        return;
    }
    if (request->call && request->message[0]) {
        fs_call_fail(request->call, request->ended > 0 ? FS_EXIT_FAILURE : FS_EXIT_REFUSED, "%s",
                     request->message);
    } else if (request->call) {
        fs_call_finish(
            request->call, FS_EXIT_OK,
            json_pack("{s:i, s:I}", "schema_version", 1, "ended", (json_int_t)request->ended));
    }
    request_free(request);
}

static void end_all(struct fs_drills *drills, struct fs_call *call, const struct fs_group *group)
{
    struct fs_context *ctx = drills->groups->ctx;
    for (const struct request *other = drills->requests; other; other = other->next) {
        if (other->ending && fs_uuid_equal(&other->group, &group->record->group)) {
            fs_call_fail(call, FS_EXIT_REFUSED, "the drills of %s are being removed already",
                         group->record->name);
            return;
        }
    }
    struct request *request = request_new(drills, call, group);
    if (!request) {
        return;
    }
    request->ending = true;
    for (size_t i = 0; i < drills->count; i++) {
        if (!drills->list[i].result &&
            fs_uuid_equal(&drills->list[i].group, &group->record->group)) {
            request->left++;
            ctx->operators->ops->end_drill(ctx->operators, &drills->list[i], ended, request);
        }
    }
    if (request->left == 0) {
        request_free(request);
        fs_call_fail(call, FS_EXIT_REFUSED, "there is no drill of %s here", group->record->name);
    }
}

/* --- the test's end ----------------------------------------------------------------------------
 */

static void noted(void *arg, const struct fs_drill *drill, const struct fs_error *err)
{
    struct request *request = arg;
    struct fs_drills *drills = request->drills;
    struct fs_call *call = request->call;
    bool failed = err && fs_error_is_set(err);
    char text[80];

    (void)snprintf(text, sizeof(text), "its test ended with %d", drill->exit_status);
    log_drill(request, "test", drill, failed ? err->message : text);
    if (!failed) {
        struct fs_drill result = *drill;
        result.result = true;
        fs_drills_put(drills, &result);
    }
    if (!failed && find(drills, &drill->id)) {
        fs_drills_put(drills, drill);
    }
    request_free(request);
    if (call && failed) {
        fs_call_fail(call, FS_EXIT_FAILURE, "%s", err->message);
    } else if (call) {
        fs_call_finish(
            call, drill->exit_status == 0 ? FS_EXIT_OK : FS_EXIT_FOUND,
            json_pack("{s:i, s:o}", "schema_version", 1, "drill", drill_json(drills, drill)));
    }
}

static void note(struct fs_drills *drills, struct fs_call *call, const struct fs_group *group,
                 const char *id_text, int exit_status)
{
    struct fs_context *ctx = drills->groups->ctx;
    struct fs_uuid id;
    struct fs_drill *known = fs_uuid_parse(id_text, &id) == 0 ? find(drills, &id) : NULL;

    if (!known) {
        fs_call_fail(call, FS_EXIT_REFUSED, "there is no drill %.64s here", id_text);
        return;
    }
    struct request *request = request_new(drills, call, group);
    struct fs_drill drill = *known;
    drill.exit_status = exit_status;
    drill.noted_ns = fs_context_wall(ctx);
    if (request) {
        ctx->operators->ops->note_drill(ctx->operators, &drill, noted, request);
    }
}

/* --- the command ------------------------------------------------------------------------------ */

static const struct fs_record_point *find_point(const struct fs_group *group, const char *text)
{
    const struct fs_record *record = group->record;
    struct fs_uuid id;

    if (!text) {
        return fs_record_newest_committed(record);
    }
    for (size_t i = 0; fs_commands_find_point(group, text, &id) && i < record->n_points; i++) {
        if (record->points[i].state == FS_POINT_COMMITTED &&
            fs_uuid_equal(&record->points[i].point.id, &id)) {
            return &record->points[i];
        }
    }
    return NULL;
}

void fs_drills_command(struct fs_drills *drills, struct fs_call *call, const json_t *request,
                       struct fs_group *group)
{
    const struct fs_context *ctx = drills->groups->ctx;
    const char *text = json_string_value(json_object_get(request, "point"));
    const char *id = json_string_value(json_object_get(request, "note"));

    if (!ctx->operators || drills->groups->stopping || !drills->loaded) {
        fs_call_fail(call, FS_EXIT_REFUSED, "this site does not work now: %s",
                     ctx->operators ? "it has just begun to" : ctx->site_reason);
        return;
    }
    if (json_is_true(json_object_get(request, "end"))) {
        end_all(drills, call, group);
        return;
    }
    if (id) {
        note(drills, call, group, id, (int)json_integer_value(json_object_get(request, "exit")));
        return;
    }
    const struct fs_record_point *point = find_point(group, text);
    if (!point) {
        fs_call_fail(call, FS_EXIT_REFUSED, "this site holds no recovery point%s%.100s of %s",
                     text ? " " : "", text ? text : "", group->record->name);
        return;
    }
    make(drills, call, group, point);
}
