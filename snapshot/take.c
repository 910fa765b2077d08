/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of a take, and what a crash after each step leaves behind:
 *   half-taken points of the record are removed     (they stay in the record until they are gone)
 *   nothing changed? then no more
 *   stamps                                          (harmless: they say what is so)
 *   unknown snapshots are removed, once per start   (what is left goes at the next one)
 *   the Kubernetes objects are stored               (no point names them: they go with another's)
 *   record: the point, TAKING, its seq used up      (half-taken)
 *   others are quiesced, where it was only prepared (the record says so, and a restart thaws them)
 *   the helper takes the snapshots                  (half-taken)
 *   record: the point, COMPLETE, with snapshot ids  (a point that was not offered yet)
 */
#include "snapshot/take.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "farshore/fault.h"
#include "farshore/log.h"
#include "snapshot/captured_keep.h"
#include "snapshot/image.h"
#include "snapshot/probe.h"
#include "snapshot/prune.h"
#include "snapshot/stamp.h"
#include "snapshot/unchanged.h"

/* A present volume of the record, opened read-only for the length of the take. */
struct volume {
    struct fs_record_volume *known; /* borrowed from the record */
    struct fs_image image;
    struct fs_snap_list snaps;
    struct fs_geometry geometry;
    bool was_ours; /* stamped as this group's before this take */
};

struct take {
    const struct fs_take_job *job;
    struct fs_record *record;
    struct fs_take_result *result;
    struct fs_error *err; /* the result's */
    size_t n_volumes;
    struct volume volumes[FS_VOLUMES_MAX];
};

static int no_memory(struct fs_error *err)
{
    return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory to take a point");
}

/* --- volumes -------------------------------------------------------------------------------- */

static int read_geometry(const struct fs_image *image, struct fs_geometry *ret_geometry,
                         struct fs_error *err)
{
    rbd_image_info_t info;
    int rc = rbd_stat(image->handle, &info, sizeof(info));

    if (rc == 0) {
        rc = rbd_get_stripe_unit(image->handle, &ret_geometry->stripe_unit);
    }
    if (rc == 0) {
        rc = rbd_get_stripe_count(image->handle, &ret_geometry->stripe_count);
    }
    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot read its geometry");
    }
    ret_geometry->size = info.size;
    ret_geometry->order = (uint8_t)info.order;
    return 0;
}

static int open_volume(struct take *take, struct fs_record_volume *known)
{
    struct volume *volume = &take->volumes[take->n_volumes];
    struct fs_image_ref *ref = &known->volume.image;
    struct fs_error open_err = FS_ERROR_INIT;
    char spec[FS_IMAGE_SPEC_SIZE];
    int rc = fs_image_open(take->job->site->cluster, ref, FS_IMAGE_READ, &volume->image, &open_err);

    if (rc == -ENOENT) { /* its id is there no more: the image was deleted */
        known->gone = true;
        return 0;
    }
    if (rc < 0) {
        *take->err = open_err;
        return rc;
    }
    volume->known = known;
    take->n_volumes++;
    rc = fs_image_refresh_name(&volume->image, ref, take->err);
    if (rc == 0) {
        rc = fs_snap_list_load(&volume->image, &volume->snaps, take->err);
    }
    if (rc == 0) {
        rc = read_geometry(&volume->image, &volume->geometry, take->err);
    }
    if (rc < 0) {
        fs_error_context(take->err, "image %s", fs_image_spec(ref, spec));
    }
    return rc;
}

static int open_volumes(struct take *take)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < take->record->n_volumes; i++) {
        struct fs_record_volume *known = &take->record->volumes[i];

        if (known->gone) {
            continue;
        }
        if (take->n_volumes == FS_VOLUMES_MAX) {
            return fs_error_set(take->err, FS_ERR_CONFIG, E2BIG,
                                "the group has more than %d volumes; split it with group_by",
                                FS_VOLUMES_MAX);
        }
        rc = open_volume(take, known);
    }
    if (rc == 0 && take->n_volumes == 0) {
        rc = fs_error_set(take->err, FS_ERR_CONFIG, ENOENT,
                          "none of the group's images exists any more");
    }
    return rc;
}

static void close_volumes(struct take *take)
{
    for (size_t i = 0; i < take->n_volumes; i++) {
        fs_snap_list_fini(&take->volumes[i].snaps);
        fs_image_close(&take->volumes[i].image);
    }
}

/* --- a record that is older than what was done ------------------------------------------------ */

/* The name of a point's snapshot, whatever kind it is; "" where it has none or is gone. */
static void point_name(const struct volume *volume, const struct fs_snap *snap,
                       char ret_name[FS_SNAP_NAME_SIZE])
{
    rbd_snap_group_namespace_t group;

    snprintf(ret_name, FS_SNAP_NAME_SIZE, "%s", snap->name);
    if (snap->type == RBD_SNAP_NAMESPACE_TYPE_GROUP) {
        ret_name[0] = '\0';
        if (rbd_snap_get_group_namespace(volume->image.handle, snap->id, &group, sizeof(group)) ==
            0) {
            snprintf(ret_name, FS_SNAP_NAME_SIZE, "%.*s", FS_SNAP_NAME_SIZE - 1,
                     group.group_snap_name);
            rbd_snap_group_namespace_cleanup(&group, sizeof(group));
        }
    }
}

static bool is_stamped(const struct take *take, const struct volume *volume)
{
    struct fs_error ignored = FS_ERROR_INIT;
    struct fs_stamp stamp;

    return fs_stamp_read(volume->image.handle, volume->known->volume.image.image_id, &stamp,
                         &ignored) == 0 &&
           fs_uuid_equal(&stamp.group, &take->record->group);
}

/*
 * A seq is used up in the record before its first snapshot exists. So a snapshot with a number that
 * the record has not given out yet, on an image that is the group's by its own stamp (a copy brings
 * snapshots along, too), tells that the record was lost or restored. Nothing may be removed then:
 * it may be the base.
 */
static int check_record_is_current(struct take *take)
{
    const struct fs_record *record = take->record;

    for (size_t i = 0; i < take->n_volumes; i++) {
        const struct volume *volume = &take->volumes[i];
        bool stamped = is_stamped(take, volume);

        for (size_t k = 0; stamped && k < volume->snaps.count; k++) {
            char name[FS_SNAP_NAME_SIZE], spec[FS_IMAGE_SPEC_SIZE];
            uint64_t term, seq;

            point_name(volume, &volume->snaps.snaps[k], name);
            if (sscanf(name, "farshore.%" SCNu64 ".%" SCNu64 ".", &term, &seq) != 2 ||
                term != record->term.number || seq < record->next_seq) {
                continue;
            }
            take->result->reason = FS_TAKE_RECORD_LOST;
            return fs_error_set(
                take->err, FS_ERR_DATA, EBADFD,
                "image %s has snapshot %s, the group's record has given out "
                "numbers below %" PRIu64 " only: the records of this site were lost "
                "or restored from an older state; no point is taken and nothing is "
                "removed",
                fs_image_spec(&volume->known->volume.image, spec), name, record->next_seq);
        }
    }
    return 0;
}

/* --- objects ---------------------------------------------------------------------------------- */

static int keep_objects(const struct take *take)
{
    const struct fs_take_job *job = take->job;

    return job->packed.length == 0
               ? 0
               : fs_captured_keep(job->site->state, &take->record->group, &job->objects,
                                  job->packed.data, job->packed.length, take->err);
}

/* What is left goes when the next point does. */
static void sweep_objects(struct fs_site *site, const struct fs_record *record)
{
    struct fs_error err = FS_ERROR_INIT;

    if (fs_captured_sweep(site->state, record, &err) < 0) {
        fs_log(FS_EV_PRUNE_FAILED, FS_S("group", record->name), FS_E(&err));
    }
}

/* --- half-taken and unknown ------------------------------------------------------------------ */

static int prune_half_taken(struct take *take)
{
    struct fs_record *record = take->record;
    bool changed = false, carried = false;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < record->n_points;) {
        struct fs_uuid id = record->points[i].point.id;
        bool carries = record->points[i].objects.size > 0;

        if (record->points[i].state != FS_POINT_TAKING) {
            i++;
            continue;
        }
        rc = fs_prune_point(take->job->helpers, record, &record->points[i], take->err);
        if (rc == 0) {
            fs_fault("take.pruned");
            fs_record_remove_point(record, &id);
            changed = true;
            carried = carried || carries;
        }
    }
    if (carried) {
        sweep_objects(take->job->site, record);
    }
    if (changed) {
        struct fs_error err = FS_ERROR_INIT;
        int stored = fs_state_store(take->job->site->state, record, &err);

        if (rc == 0 && stored < 0) {
            *take->err = err;
            rc = stored;
        }
    }
    return rc;
}

/*
 * Only of images that were this group's before: whose snapshots another one holds is not ours to
 * say. A failure is only logged: the next sweep tries again.
 */
static void prune_unknown(const struct take *take)
{
    for (size_t i = 0; take->job->sweep && i < take->n_volumes; i++) {
        if (!take->volumes[i].was_ours) {
            continue;
        }

        const struct fs_image_ref *ref = &take->volumes[i].known->volume.image;
        struct fs_error err = FS_ERROR_INIT;

        if (fs_prune_unknown(take->job->site, take->record, ref, &err) < 0) {
            fs_log(FS_EV_PRUNE_FAILED, FS_S("group", take->record->name), FS_S("image", ref->name),
                   FS_E(&err));
        }
    }
}

/* --- unchanged ------------------------------------------------------------------------------ */

static int check_unchanged(struct take *take, bool *ret_unchanged)
{
    struct fs_record *record = take->record;
    const struct fs_record_point *base = fs_record_find_point(record, &take->job->base);
    bool unchanged = !take->job->force && base && base->n_contents == take->n_volumes &&
                     fs_captured_same(&base->objects, &take->job->objects);

    for (size_t i = 0; i < take->n_volumes; i++) {
        const struct volume *volume = &take->volumes[i];
        const struct fs_image_ref *ref = &volume->known->volume.image;
        const struct fs_record_content *content =
            base ? fs_record_find_content(base, &volume->known->volume.uuid) : NULL;
        char slow[64], spec[FS_IMAGE_SPEC_SIZE];
        bool same;
        int rc =
            fs_unchanged_check(take->job->site->cluster, ref, &volume->image, &volume->snaps,
                               unchanged ? content : NULL, &same, slow, sizeof(slow), take->err);

        if (rc < 0) {
            fs_error_context(take->err, "image %s", fs_image_spec(ref, spec));
            return rc;
        }
        if (slow[0] != '\0' && take->result->slow_reason[0] == '\0') {
            snprintf(take->result->slow_reason, sizeof(take->result->slow_reason), "%s: %.*s", slow,
                     (int)(sizeof(take->result->slow_reason) - sizeof(slow) - 3),
                     fs_image_spec(ref, spec));
        }
        unchanged = unchanged && content && same;
    }
    *ret_unchanged = unchanged;
    return 0;
}

/* --- stamps --------------------------------------------------------------------------------- */

static int stamp_volume(const struct take *take, struct volume *volume)
{
    const struct fs_record *record = take->record;
    const struct fs_image_ref *ref = &volume->known->volume.image;
    struct fs_stamp wanted = {.group = record->group,
                              .volume = volume->known->volume.uuid,
                              .term = record->term,
                              .role = FS_ROLE_PRIMARY,
                              .joins = record->joins};
    struct fs_error read_err = FS_ERROR_INIT;
    struct fs_stamp found;
    struct fs_image image;
    int rc = fs_stamp_read(volume->image.handle, ref->image_id, &found, &read_err);

    if (rc < 0 && rc != -ENOENT) {
        *take->err = read_err;
        return rc;
    }
    if (rc == 0) {
        bool joined = !fs_uuid_equal(&found.group, &wanted.group) &&
                      fs_uuid_equal(&found.volume, &wanted.volume) &&
                      (fs_record_find_seed(record, &wanted.volume) ||
                       fs_uuid_equal(&found.group, &record->joins));

        if ((!joined && !fs_uuid_equal(&found.group, &wanted.group)) ||
            found.role != FS_ROLE_PRIMARY) {
            return fs_error_set(take->err, FS_ERR_CONFIG, EPERM,
                                "it is stamped as %s of another group or role; a point of it is "
                                "not taken",
                                fs_role_name(found.role));
        }
        if (!joined && (found.term.number > wanted.term.number ||
                        fs_term_clashes(&found.term, &wanted.term))) {
            take->result->reason = FS_TAKE_RECORD_LOST;
            return fs_error_set(take->err, FS_ERR_DATA, EBADFD,
                                "it is stamped with term %" PRIu64
                                ", the group's record knows term "
                                "%" PRIu64 ": the records of this site were lost or restored from "
                                "an older state; no point is taken",
                                found.term.number, wanted.term.number);
        }
        if (!joined && fs_uuid_equal(&found.volume, &wanted.volume) &&
            fs_term_same(&found.term, &wanted.term)) {
            volume->was_ours = true;
            return 0;
        }
    }
    /* Metadata is written under the exclusive lock, which is asked of a writer. */
    rc = fs_probe_owner(take->job->site->cluster, volume->image.ioctx, ref, take->err);
    if (rc < 0) {
        take->result->reason = rc == -EHOSTDOWN ? FS_TAKE_WRITER_SILENT : FS_TAKE_REASON_NONE;
        return rc;
    }
    rc = fs_image_open(take->job->site->cluster, ref, FS_IMAGE_WRITE, &image, take->err);
    if (rc == 0) {
        rc = fs_stamp_write(image.handle, ref->image_id, &wanted, take->err);
        fs_image_close(&image);
        fs_fault("take.stamped");
    }
    return rc;
}

static int stamp_volumes(struct take *take)
{
    for (size_t i = 0; i < take->n_volumes; i++) {
        char spec[FS_IMAGE_SPEC_SIZE];
        int rc = stamp_volume(take, &take->volumes[i]);

        if (rc < 0) {
            fs_error_context(take->err, "image %s",
                             fs_image_spec(&take->volumes[i].known->volume.image, spec));
            return rc;
        }
    }
    return 0;
}

/* --- the point ------------------------------------------------------------------------------ */

/* Is there a user snapshot that is none of the record's points? */
static bool has_foreign_snapshot(const struct fs_record *record, const struct volume *volume)
{
    for (size_t i = 0; i < volume->snaps.count; i++) {
        const struct fs_snap *snap = &volume->snaps.snaps[i];
        bool ours = snap->type != RBD_SNAP_NAMESPACE_TYPE_USER;

        for (size_t j = 0; !ours && j < record->n_points; j++) {
            const struct fs_record_content *content =
                fs_record_find_content(&record->points[j], &volume->known->volume.uuid);

            ours = content && (content->snap_id == snap->id || content->mark_id == snap->id);
        }
        if (!ours) {
            return true;
        }
    }
    return false;
}

/* Use up a seq and store the point before anything of it exists. */
static int begin_point(struct take *take, struct fs_uuid *ret_id)
{
    struct fs_record *record = take->record;
    struct fs_record_point *point;

    if (record->n_points >= FS_POINTS_MAX) {
        return fs_error_set(take->err, FS_ERR_PERMANENT, E2BIG,
                            "the group has %d points already; older ones could not be removed",
                            FS_POINTS_MAX);
    }
    point = fs_record_add_point(record, take->n_volumes);
    if (!point) {
        return no_memory(take->err);
    }
    if (record->next_seq == 0) {
        record->next_seq = 1;
    }
    fs_uuid_random(&point->point.id);
    point->point.term = record->term;
    point->point.seq = record->next_seq++;
    point->state = FS_POINT_TAKING;
    point->objects = take->job->objects;
    point->flags = take->job->volume_missing ? FS_POINT_VOLUME_MISSING : 0;
    *ret_id = point->point.id;
    for (size_t i = 0; i < take->n_volumes; i++) {
        const struct volume *volume = &take->volumes[i];

        point->contents[i] =
            (struct fs_record_content){.volume = volume->known->volume.uuid,
                                       .geometry = volume->geometry,
                                       .older_snapshot = has_foreign_snapshot(record, volume)};
    }
    if (take->n_volumes > 1) { /* the helper says later whether it was one */
        const struct fs_image_ref *first = &take->volumes[0].known->volume.image;

        point->group_snapshot = true;
        snprintf(point->group_pool, sizeof(point->group_pool), "%s", first->pool);
        snprintf(point->group_ns, sizeof(point->group_ns), "%s", first->ns);
    }
    return fs_state_store(take->job->site->state, record, take->err);
}

static json_t *make_request(const struct take *take, const struct fs_record_point *point)
{
    char group[FS_RBD_GROUP_SIZE], snap[FS_SNAP_NAME_SIZE], mark[FS_SNAP_NAME_SIZE];
    json_t *volumes = json_array();

    for (size_t i = 0; i < point->n_contents; i++) {
        const struct fs_image_ref *ref =
            &fs_record_find_volume(take->record, &point->contents[i].volume)->volume.image;

        json_array_append_new(volumes, json_pack("{s:I, s:s, s:s, s:s, s:s}", "pool_id",
                                                 (json_int_t)ref->pool_id, "pool", ref->pool, "ns",
                                                 ref->ns, "id", ref->image_id, "name", ref->name));
    }
    return json_pack(
        "{s:s, s:s, s:s, s:b, s:b, s:b, s:o}", "group",
        fs_rbd_group_name(&take->record->group, group), "snap",
        fs_point_snap_name(&point->point, snap), "mark", fs_point_mark_name(&point->point, mark),
        "refuse_not_one_instant", take->job->refuse_not_one_instant, "refuse_unquiesced",
        take->job->refuse_unquiesced, "skip_hooks", take->job->skip_hooks, "volumes", volumes);
}

/* A point's instant never decreases within a group, whatever the wall clock does. */
static int64_t never_before(const struct fs_record *record, int64_t taken_ns)
{
    for (size_t i = 0; i < record->n_points; i++) {
        if (record->points[i].taken_ns > taken_ns) {
            taken_ns = record->points[i].taken_ns;
        }
    }
    return taken_ns;
}

static int read_answer(struct take *take, const json_t *answer, struct fs_record_point *point)
{
    json_int_t pause_ns, age_ns, snap_id, mark_id, size;
    int group_snapshot, not_one_instant, hooks_failed;
    json_t *contents;

    if (json_unpack((json_t *)answer, "{s:b, s:b, s:b, s:I, s:I, s:o}", "group_snapshot",
                    &group_snapshot, "not_one_instant", &not_one_instant, "hooks_failed",
                    &hooks_failed, "pause_ns", &pause_ns, "age_ns", &age_ns, "contents",
                    &contents) != 0 ||
        json_array_size(contents) != point->n_contents) {
        return fs_error_set(take->err, FS_ERR_BUG, EPROTO, "the helper's answer cannot be read");
    }
    for (size_t i = 0; i < point->n_contents; i++) {
        if (json_unpack(json_array_get(contents, i), "{s:I, s:I, s:I}", "snap_id", &snap_id,
                        "mark_id", &mark_id, "size", &size) != 0) {
            return fs_error_set(take->err, FS_ERR_BUG, EPROTO,
                                "the helper's answer cannot be read");
        }
        point->contents[i].snap_id = (uint64_t)snap_id;
        point->contents[i].mark_id = (uint64_t)mark_id;
        point->contents[i].geometry.size = (uint64_t)size;
    }
    point->group_snapshot = group_snapshot;
    if (!group_snapshot) {
        point->group_pool[0] = point->group_ns[0] = '\0';
    }
    point->flags |= not_one_instant ? FS_POINT_NOT_ONE_INSTANT : 0;
    if (!hooks_failed && !take->job->skip_hooks &&
        fs_clock_boot(take->job->site->options.clock) < take->job->application_until_ns) {
        point->flags |= FS_POINT_APPLICATION;
    }
    point->taken_ns =
        never_before(take->record, fs_clock_wall(take->job->site->options.clock) - (int64_t)age_ns);
    take->result->pause_ns = (int64_t)pause_ns;
    return 0;
}

static int ask_helper(struct take *take, struct fs_record_point *point)
{
    json_t *request = make_request(take, point), *answer = NULL;
    int rc;

    if (!request) {
        return no_memory(take->err);
    }
    rc = fs_helpers_take(take->job->helpers, request, take->job->bound_ns, &answer,
                         &take->result->reason, take->err);
    json_decref(request);
    if (rc == 0) {
        rc = read_answer(take, answer, point);
        json_decref(answer);
    }
    return rc;
}

/* What cannot be removed now stays in the record as half-taken. */
static void drop_point(struct take *take, const struct fs_uuid *id)
{
    struct fs_error err = FS_ERROR_INIT;
    struct fs_record_point *point = fs_record_find_point(take->record, id);
    int rc;

    point->state = FS_POINT_TAKING;
    rc = fs_prune_point(take->job->helpers, take->record, point, &err);
    if (rc == 0) {
        bool carries = point->objects.size > 0;

        fs_record_remove_point(take->record, id);
        if (carries) {
            sweep_objects(take->job->site, take->record);
        }
        rc = fs_state_store(take->job->site->state, take->record, &err);
    }
    if (rc < 0) {
        fs_log(FS_EV_PRUNE_FAILED, FS_S("group", take->record->name), FS_E(&err));
    }
}

static int snapshot_point(struct take *take, struct fs_record_point *point)
{
    struct fs_uuid id = point->point.id;
    int rc = ask_helper(take, point);

    if (rc == 0) {
        fs_fault("take.answered");
        point->state = FS_POINT_COMPLETE;
        rc = fs_state_store(take->job->site->state, take->record, take->err);
    }
    if (rc == 0) {
        fs_fault("take.complete");
    }
    if (rc < 0) {
        drop_point(take, &id);
    }
    return rc;
}

/* A store that failed may have happened: if the point is there it is TAKING. */
static int take_point(struct take *take)
{
    struct fs_uuid id;
    int rc = begin_point(take, &id);

    if (rc == 0) {
        fs_fault("take.seq");
        if (!take->job->prepare) {
            rc = snapshot_point(take, fs_record_find_point(take->record, &id));
        }
    }
    return rc;
}

static int run(struct take *take)
{
    bool unchanged = false;
    int rc = open_volumes(take);

    if (rc == 0) {
        rc = check_record_is_current(take);
    }
    if (rc == 0) {
        rc = prune_half_taken(take);
    }
    if (rc == 0) {
        rc = check_unchanged(take, &unchanged);
    }
    if (rc < 0) {
        if (rc == -EHOSTDOWN) {
            take->result->reason = FS_TAKE_WRITER_SILENT;
        }
        return rc;
    }
    if (unchanged) {
        take->result->outcome = FS_TAKE_UNCHANGED;
        return 0;
    }
    rc = stamp_volumes(take);
    if (rc == 0) {
        prune_unknown(take);
        rc = keep_objects(take);
    }
    if (rc == 0) {
        rc = take_point(take);
    }
    if (rc == 0) {
        take->result->outcome = take->job->prepare ? FS_TAKE_PREPARED : FS_TAKE_POINT;
    }
    return rc;
}

static int snapshot_prepared(struct take *take)
{
    struct fs_record *record = take->record;
    struct fs_record_point *point =
        record->n_points > 0 ? &record->points[record->n_points - 1] : NULL;

    if (!point || point->state != FS_POINT_TAKING) {
        return fs_error_set(take->err, FS_ERR_BUG, EINVAL, "no point was prepared");
    }
    int rc = snapshot_point(take, point);
    if (rc == 0) {
        take->result->outcome = FS_TAKE_POINT;
    }
    return rc;
}

static void run_job(const struct fs_take_job *job, int (*steps)(struct take *take),
                    struct fs_take_result *ret_result)
{
    struct take *take = calloc(1, sizeof(*take));

    ret_result->outcome = FS_TAKE_FAILED;
    if (!take) {
        no_memory(&ret_result->err);
        return;
    }
    take->job = job;
    take->record = job->record;
    take->result = ret_result;
    take->err = &ret_result->err;
    steps(take);
    close_volumes(take);
    free(take);
}

void fs_take_snapshot_run(const struct fs_take_job *job, struct fs_take_result *ret_result)
{
    run_job(job, snapshot_prepared, ret_result);
}

void fs_take_run(const struct fs_take_job *job, struct fs_take_result *ret_result)
{
    run_job(job, run, ret_result);
}

/* --- settle --------------------------------------------------------------------------------- */

/* Whether any was removed. */
static bool prune_older(struct fs_site *site, struct fs_helpers *helpers, struct fs_record *record,
                        uint64_t seq)
{
    bool changed = false, carried = false;

    for (size_t i = 0; i < record->n_points;) {
        struct fs_uuid id = record->points[i].point.id;
        bool carries = record->points[i].objects.size > 0;
        struct fs_error err = FS_ERROR_INIT;
        char name[FS_SNAP_NAME_SIZE];
        int rc;

        /* One that is being digested goes the next time. */
        if (record->points[i].point.seq >= seq || record->points[i].state == FS_POINT_SEED ||
            fs_record_needs_point(record, &id) || fs_holds_has(&site->holds, &id) ||
            fs_holds_has(&site->drills, &id)) {
            i++;
            continue;
        }
        fs_point_snap_name(&record->points[i].point, name);
        rc = fs_prune_point(helpers, record, &record->points[i], &err);
        if (rc < 0) {
            fs_log(FS_EV_PRUNE_FAILED, FS_S("group", record->name), FS_S("snapshot", name),
                   FS_E(&err));
            i++;
            continue;
        }
        fs_log(FS_EV_POINT_REMOVED, FS_S("group", record->name), FS_S("snapshot", name));
        fs_fault("settle.gone");
        fs_record_remove_point(record, &id);
        changed = true;
        carried = carried || carries;
    }
    if (carried) {
        sweep_objects(site, record);
    }
    return changed;
}

int fs_settle_run(struct fs_site *site, struct fs_helpers *helpers, struct fs_record *record,
                  const struct fs_uuid *committed, const struct fs_digest *agreed, size_t n_agreed,
                  int64_t current_until_ns, struct fs_error *err)
{
    fs_record_drop_stale_seeds(record);

    struct fs_record_point *point = fs_record_find_point(record, committed);
    int rc;

    if (!point || point->n_contents != n_agreed || point->state == FS_POINT_TAKING) {
        return fs_error_set(err, FS_ERR_BUG, EINVAL, "a point was settled that was not taken");
    }
    point->state = FS_POINT_COMMITTED;
    fs_record_end_seeds(record, point);
    for (size_t i = 0; i < n_agreed; i++) {
        point->contents[i].chain = agreed[i];
    }
    record->current_until_ns = current_until_ns;

    uint64_t seq = point->point.seq;

    rc = fs_state_store(site->state, record, err);
    if (rc == 0) {
        struct fs_current current = {
            .group = record->group, .point = *committed, .current_until_ns = current_until_ns};

        fs_fault("settle.committed");
        rc = fs_state_note_current(site->state, &current, 1, err);
    }
    if (rc == 0) {
        fs_fault("settle.noted");
        if (prune_older(site, helpers, record, seq)) {
            rc = fs_state_store(site->state, record, err);
            fs_fault("settle.stored");
        }
    }
    return rc;
}
