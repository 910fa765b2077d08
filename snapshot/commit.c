/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A point's states in a secondary's record, each stored before the step that it allows:
 *
 *   (incoming)   being applied; no entry among the points
 *   COMMITTING   everything is applied and flushed; snapshots are being taken. The incoming
 *                transfer stays in the record, for the case that the commit must be given up
 *   COMMITTED    every snapshot exists, and its id is here: a recovery point
 *   TAKING       not a point any more: let go by retention, or given up. Snapshots may exist
 *
 * The store that makes a point COMMITTED also makes those that retention lets go TAKING, so a
 * point that is listed always has all its snapshots. Before COMMITTING is stored, no snapshot of
 * the point's name may exist; one that is found afterwards was therefore taken by the commit.
 */
#include "snapshot/commit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "farshore/fault.h"
#include "farshore/log.h"
#include "snapshot/admit.h"
#include "snapshot/captured_keep.h"
#include "snapshot/prune.h"

/* The open target of a volume, or NULL. */
static struct fs_target *find_target(struct fs_target *targets, size_t n_targets,
                                     const struct fs_uuid *volume)
{
    for (size_t i = 0; i < n_targets; i++) {
        if (targets[i].image.handle && fs_uuid_equal(&targets[i].volume, volume)) {
            return &targets[i];
        }
    }
    return NULL;
}

/* The id of the user snapshot of that name, 0 where there is none. */
static int find_snap(const struct fs_target *target, const char *name, uint64_t *ret_id,
                     struct fs_error *err)
{
    struct fs_snap_list snaps = {0};
    int rc = fs_snap_list_load(&target->image, &snaps, err);
    const struct fs_snap *snap = rc == 0 ? fs_snap_list_find_user(&snaps, name) : NULL;

    *ret_id = snap ? snap->id : 0;
    fs_snap_list_fini(&snaps);
    return rc;
}

static int with_image(int rc, const struct fs_target *target, struct fs_error *err)
{
    char spec[FS_IMAGE_SPEC_SIZE];

    if (rc < 0) {
        fs_error_context(err, "image %s", fs_image_spec(&target->ref, spec));
    }
    return rc;
}

/* --- letting points go ---------------------------------------------------------------------- */

/* All snapshots of one point. An image that was deleted has none. */
static int remove_snapshots(struct fs_site *site, struct fs_record *record,
                            const struct fs_record_point *point, struct fs_target *targets,
                            size_t n_targets, struct fs_error *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < point->n_contents; i++) {
        const struct fs_record_content *content = &point->contents[i];
        struct fs_record_volume *volume = fs_record_find_volume(record, &content->volume);
        struct fs_target *target = find_target(targets, n_targets, &content->volume);
        struct fs_target other = {0};
        struct fs_error open_err = FS_ERROR_INIT;

        if (!target && volume && volume->volume.image.image_id[0]) {
            rc = fs_target_open(site->cluster, record, volume, &other, &open_err);
            if (rc == 0) {
                target = &other;
            } else if (rc == -ENOENT) {
                rc = 0;
            } else {
                *err = open_err;
            }
        }
        if (rc == 0 && target) {
            rc =
                with_image(fs_prune_held(&target->image, record, point, content, err), target, err);
        }
        if (other.image.handle) {
            if (rc == 0 && other.hold.proven) { /* its head was not touched */
                rc = fs_hold_mark(&other.image, &other.hold, err);
            }
            fs_target_close(site->cluster, &other);
        }
    }
    return rc == 0 ? fs_prune_group_snapshot(site->cluster, record, point, err) : rc;
}

/* A volume that had joined and is in no point may be the group's again that it was: then what is
 * left of it here goes once that group lets it. */
static bool may_wait(const struct fs_record *record, const struct fs_record_point *point)
{
    for (size_t i = 0; i < point->n_contents; i++) {
        if (fs_record_is_joining(record, &point->contents[i].volume)) {
            return true;
        }
    }
    return false;
}

/* Remove the snapshots of the points that are TAKING, then the points. One store, if any. */
static int drop_points(struct fs_site *site, struct fs_record *record, struct fs_target *targets,
                       size_t n_targets, struct fs_error *err)
{
    bool dropped = false, carried = false;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < record->n_points;) {
        const struct fs_point_id point = record->points[i].point;
        bool carries = record->points[i].objects.size > 0;
        struct fs_error held = FS_ERROR_INIT;

        /* One that is being digested goes the next time. */
        if (record->points[i].state != FS_POINT_TAKING || fs_holds_has(&site->holds, &point.id) ||
            fs_holds_has(&site->drills, &point.id)) {
            i++;
            continue;
        }
        rc = remove_snapshots(site, record, &record->points[i], targets, n_targets, &held);
        if (rc < 0 && may_wait(record, &record->points[i])) {
            fs_log(FS_EV_PRUNE_FAILED, FS_S("group", record->name), FS_E(&held));
            rc = 0;
            i++;
            continue;
        }
        if (rc < 0) {
            *err = held;
        }
        if (rc == 0) {
            rc = fs_digest_unkeep(site->state, &record->group, &point.id, err);
        }
        if (rc == 0) {
            fs_fault("retain.gone");
            fs_record_remove_point(record, &point.id);
            dropped = true;
            carried = carried || carries;
            fs_log(FS_EV_POINT_REMOVED, FS_S("group", record->name), FS_U("seq", point.seq));
        }
    }
    if (rc == 0 && carried) {
        rc = fs_captured_sweep(site->state, record, err);
    }
    if (dropped) {
        int stored = fs_state_store(site->state, record, err);

        fs_fault("retain.stored");
        rc = rc < 0 ? rc : stored;
    }
    return rc;
}

/* --- committing ----------------------------------------------------------------------------- */

static int check_before(struct fs_site *site, const struct fs_target *targets, size_t n_targets,
                        const struct fs_commit_plan *plan, struct fs_error *err)
{
    char name[FS_SNAP_NAME_SIZE];
    uint64_t id;
    int rc = 0;

    fs_point_snap_name(&plan->point, name);
    for (size_t i = 0; rc == 0 && i < n_targets; i++) {
        rc = rbd_flush(targets[i].image.handle);
        if (rc < 0) {
            fs_cluster_error(err, rc, "cannot flush");
        }
        if (rc == 0) {
            rc = fs_hold_check(site->cluster, &targets[i].image, &targets[i].hold, err);
        }
        if (rc == 0) {
            rc = find_snap(&targets[i], name, &id, err);
        }
        if (rc == 0 && id) {
            rc = fs_error_set(err, FS_ERR_CONFIG, EEXIST,
                              "there is a snapshot %s that no record knows: remove it with "
                              "`rbd snap rm`",
                              name);
        }
        rc = with_image(rc, &targets[i], err);
    }
    return rc;
}

/* "Taken" never goes back within a group, whatever the clocks say. */
static int64_t not_before_newest(const struct fs_record *record, int64_t taken_ns)
{
    const struct fs_record_point *newest = fs_record_newest_committed(record);

    return newest && newest->taken_ns > taken_ns ? newest->taken_ns : taken_ns;
}

static int begin(struct fs_site *site, struct fs_record *record, const struct fs_target *targets,
                 size_t n_targets, const struct fs_commit_plan *plan, struct fs_error *err)
{
    int64_t taken_ns = not_before_newest(record, plan->taken_ns);
    struct fs_record_point *point = fs_record_add_point(record, n_targets);
    int rc;

    if (!point) {
        return fs_error_set(err, FS_ERR_TRANSIENT, errno == E2BIG ? E2BIG : ENOMEM,
                            "no room for another point: %zu of %d are kept; lower `retain`",
                            record->n_points, FS_POINTS_MAX);
    }
    point->point = plan->point;
    point->state = FS_POINT_COMMITTING;
    point->flags = plan->flags;
    point->taken_ns = taken_ns;
    point->bytes = plan->bytes;
    point->objects = plan->objects;
    for (size_t i = 0; i < n_targets; i++) {
        point->contents[i].volume = targets[i].volume;
        point->contents[i].geometry = targets[i].geometry;
        point->contents[i].chain = plan->finals[i].chain;
    }
    rc = fs_state_store(site->state, record, err);
    if (rc < 0) {
        fs_record_remove_point(record, &plan->point.id);
    }
    return rc;
}

/* Take the snapshot of one volume, or find the one that was taken before a crash. */
static int take_snap(const struct fs_target *target, const struct fs_point_id *point,
                     struct fs_record_content *content, struct fs_error *err)
{
    char name[FS_SNAP_NAME_SIZE];
    int rc = rbd_snap_create(target->image.handle, fs_point_snap_name(point, name));

    if (rc < 0 && rc != -EEXIST) {
        return fs_cluster_error(err, rc, "cannot take snapshot %s", name);
    }
    rc = find_snap(target, name, &content->snap_id, err);
    if (rc == 0 && !content->snap_id) {
        rc = fs_error_set(err, FS_ERR_TRANSIENT, ENOENT,
                          "snapshot %s was removed as soon as it was taken", name);
    }
    content->mark_id = content->snap_id;
    return rc;
}

/* The contents of two records change places. */
static void swap_records(struct fs_record *a, struct fs_record *b)
{
    struct fs_record c = *a;

    *a = *b;
    *b = c;
}

/* A point that somebody runs a drill of stays one, whatever retention says. */
static void keep_drilled(struct fs_site *site, struct fs_record *record,
                         const struct fs_record *before)
{
    for (size_t i = 0; i < record->n_points && i < before->n_points; i++) {
        if (before->points[i].state == FS_POINT_COMMITTED &&
            fs_holds_has(&site->drills, &record->points[i].point.id)) {
            record->points[i].state = FS_POINT_COMMITTED;
        }
    }
}

/* Every snapshot exists: make it a recovery point. On failure the record is as it was. */
static int finish(struct fs_site *site, struct fs_record *record, const struct fs_uuid *id,
                  const struct fs_uuid *base, const struct fs_retention *retain,
                  struct fs_error *err)
{
    struct fs_record *before = fs_record_copy(record);
    struct fs_record_point *point = fs_record_find_point(record, id);
    struct fs_current current = {
        .group = record->group,
        .point = *id,
        .current_until_ns = point->taken_ns,
    };
    int rc;

    if (!before) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory for the record");
    }
    point->state = FS_POINT_COMMITTED;
    fs_record_end_seeds(record, point);
    fs_record_clear_incoming(record);
    if (retain) {
        fs_retention_let_go(retain, record, base);
        keep_drilled(site, record, before);
    }
    fs_record_drop_stale_seeds(record);
    rc = fs_state_store(site->state, record, err);
    if (rc < 0) {
        swap_records(record, before);
    }
    fs_record_free(before);
    if (rc < 0) {
        return rc;
    }
    fs_fault("commit.committed");
    record->current_until_ns = current.current_until_ns;
    rc = fs_state_note_current(site->state, &current, 1, err);
    fs_fault("commit.noted");
    return rc;
}

/*
 * A point of which somebody removed a snapshot is none any more. It was listed so long because
 * there was nothing better: that is about to change.
 */
static int let_go_of_broken(struct fs_record *record, const struct fs_target *targets,
                            size_t n_targets, struct fs_error *err)
{
    char name[FS_SNAP_NAME_SIZE], spec[FS_IMAGE_SPEC_SIZE];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < n_targets; i++) {
        struct fs_snap_list snaps = {0};

        rc = with_image(fs_snap_list_load(&targets[i].image, &snaps, err), &targets[i], err);
        for (size_t j = 0; rc == 0 && j < record->n_points; j++) {
            struct fs_record_point *point = &record->points[j];
            const struct fs_record_content *content =
                fs_record_find_content(point, &targets[i].volume);

            if (point->state == FS_POINT_COMMITTED && content &&
                !fs_snap_list_find(&snaps, content->snap_id)) {
                point->state = FS_POINT_TAKING;
                fs_log(FS_EV_POINT_LOST, FS_S("group", record->name), FS_U("seq", point->point.seq),
                       FS_S("image", fs_image_spec(&targets[i].ref, spec)),
                       FS_S("snapshot", fs_point_snap_name(&point->point, name)));
            }
        }
        fs_snap_list_fini(&snaps);
    }
    return rc;
}

/* Something of the records or of the snapshots was gone. */
static bool is_rebase(const struct fs_commit_plan *plan)
{
    return fs_uuid_equal(&plan->base, &plan->point.id);
}

static bool is_known(const struct fs_record *record, const struct fs_uuid *volume, uint64_t snap_id)
{
    for (size_t i = 0; i < record->n_points; i++) {
        const struct fs_record_content *content =
            fs_record_find_content(&record->points[i], volume);

        if (content && content->snap_id == snap_id) {
            return true;
        }
    }
    return false;
}

/* What records that were lost have left: it may be a recovery point that somebody wants yet, so it
 * is named and not removed. */
static void tell_unknown(const struct fs_record *record, const struct fs_target *target)
{
    char spec[FS_IMAGE_SPEC_SIZE];
    struct fs_snap_list snaps = {0};
    struct fs_error ignored = FS_ERROR_INIT;

    fs_snap_list_load(&target->image, &snaps, &ignored);
    for (size_t i = 0; i < snaps.count; i++) {
        const struct fs_snap *snap = &snaps.snaps[i];
        uint64_t term, seq;

        if (sscanf(snap->name, "farshore.%" SCNu64 ".%" SCNu64 ".", &term, &seq) == 2 &&
            !is_known(record, &target->volume, snap->id)) {
            fs_log(FS_EV_SNAPSHOT_UNKNOWN, FS_S("group", record->name),
                   FS_S("image", fs_image_spec(&target->ref, spec)), FS_S("snapshot", snap->name));
        }
    }
    fs_snap_list_fini(&snaps);
}

int fs_commit_point(struct fs_site *site, struct fs_record *record, struct fs_target *targets,
                    size_t n_targets, const struct fs_commit_plan *plan, struct fs_error *err)
{
    struct fs_error drop_err = FS_ERROR_INIT;
    int rc;

    fs_fault("commit.begin");
    rc = check_before(site, targets, n_targets, plan, err);
    if (rc == 0) {
        fs_fault("commit.flushed");
        rc = begin(site, record, targets, n_targets, plan, err);
    }
    if (rc < 0) {
        return rc;
    }
    fs_fault("commit.committing");

    struct fs_record_point *point = fs_record_find_point(record, &plan->point.id);

    for (size_t i = 0; rc == 0 && i < n_targets; i++) {
        rc = with_image(take_snap(&targets[i], &plan->point, &point->contents[i], err), &targets[i],
                        err);
        fs_fault("commit.snapshot");
    }
    if (rc == 0) {
        fs_fault("commit.snapshots");
        rc = let_go_of_broken(record, targets, n_targets, err);
    }
    if (rc == 0) {
        rc = finish(site, record, &plan->point.id, &plan->base, &plan->retain, err);
    }
    for (size_t i = 0; rc == 0 && i < n_targets && is_rebase(plan); i++) {
        tell_unknown(record, &targets[i]);
    }
    /* The point is safe; what could not be dropped is tried again by the next offer. */
    if (rc == 0 && drop_points(site, record, targets, n_targets, &drop_err) < 0) {
        fs_log(FS_EV_PRUNE_FAILED, FS_S("group", record->name), FS_E(&drop_err));
    }
    return rc;
}

/* --- after a crash -------------------------------------------------------------------------- */

static struct fs_record_point *find_state(struct fs_record *record, enum fs_point_state state)
{
    for (size_t i = 0; i < record->n_points; i++) {
        if (record->points[i].state == state) {
            return &record->points[i];
        }
    }
    return NULL;
}

/* An image may have been written by others before its snapshot was taken: apply it again. */
static int give_up(struct fs_site *site, struct fs_record *record, struct fs_record_point *point,
                   struct fs_error *err)
{
    point->state = FS_POINT_TAKING;
    for (size_t i = 0; i < record->incoming.n_positions; i++) {
        record->incoming.positions[i].position = (struct fs_position){0};
        record->incoming.positions[i].reach = INT64_MAX; /* all of it was written */
    }
    return fs_state_store(site->state, record, err);
}

/* Open what the point is on; *ret_believed: everything without a snapshot is as we left it. */
static int reopen(struct fs_site *site, struct fs_record *record, struct fs_record_point *point,
                  struct fs_target *targets, bool *ret_believed, struct fs_error *err)
{
    char name[FS_SNAP_NAME_SIZE];
    int rc = 0;

    *ret_believed = true;
    fs_point_snap_name(&point->point, name);
    for (size_t i = 0; rc == 0 && i < point->n_contents; i++) {
        struct fs_record_content *content = &point->contents[i];
        struct fs_record_volume *volume = fs_record_find_volume(record, &content->volume);

        if (!volume) {
            return fs_error_set(err, FS_ERR_DATA, EINVAL,
                                "the record names a volume in a point that it does not know");
        }
        rc = fs_target_open(site->cluster, record, volume, &targets[i], err);
        if (rc == -ENOENT) { /* deleted: this point can never be whole */
            *err = FS_ERROR_INIT;
            *ret_believed = false;
            rc = 0;
            continue;
        }
        if (rc == 0) {
            rc = with_image(find_snap(&targets[i], name, &content->snap_id, err), &targets[i], err);
            content->mark_id = content->snap_id;
        }
        if (rc == 0 && !content->snap_id && !targets[i].hold.proven) {
            *ret_believed = false;
        }
    }
    return rc;
}

static int recover_point(struct fs_site *site, struct fs_record *record,
                         struct fs_record_point *point, struct fs_error *err)
{
    size_t n_targets = point->n_contents;
    struct fs_target *targets = calloc(n_targets + 1, sizeof(*targets));
    const struct fs_uuid id = point->point.id;
    bool believed = false;
    int rc;

    if (!targets) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory to finish a commit");
    }
    fs_fault("recover.begin");
    rc = reopen(site, record, point, targets, &believed, err);
    for (size_t i = 0; rc == 0 && believed && i < n_targets; i++) {
        if (!point->contents[i].snap_id) {
            rc = with_image(take_snap(&targets[i], &point->point, &point->contents[i], err),
                            &targets[i], err);
            fs_fault("recover.snapshot");
        }
    }
    if (rc == 0) {
        rc = believed ? finish(site, record, &id, NULL, NULL, err)
                      : give_up(site, record, point, err);
        fs_fault("recover.finished");
    }
    for (size_t i = 0; i < n_targets; i++) {
        /* Proven: the head is as it was found. After giving up, only those are to be believed. */
        if (rc == 0 && targets[i].hold.proven) {
            rc = with_image(fs_hold_mark(&targets[i].image, &targets[i].hold, err), &targets[i],
                            err);
        }
        fs_target_close(site->cluster, &targets[i]);
    }
    free(targets);
    return rc;
}

int fs_sink_recover(struct fs_site *site, struct fs_record *record, struct fs_error *err)
{
    struct fs_record_point *point;
    int rc = 0;

    if (record->role != FS_ROLE_SECONDARY) {
        return 0;
    }
    point = find_state(record, FS_POINT_COMMITTING);
    if (point) {
        rc = recover_point(site, record, point, err);
    }
    if (rc == 0) {
        rc = drop_points(site, record, NULL, 0, err);
    }
    if (rc < 0) { /* what is stored counts, not how far we got in memory */
        struct fs_record *stored = NULL;
        struct fs_error ignored = FS_ERROR_INIT;

        fs_error_context(err, "group %s", record->name);
        if (fs_state_load(site->state, &record->group, &stored, &ignored) == 0) {
            swap_records(record, stored);
            fs_record_free(stored);
        }
    }
    return rc;
}
