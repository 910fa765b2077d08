/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A site that was primary for a group yields to the other one, step by step, and what a crash after
 * each leaves:
 *
 *   1. nobody has an image open; every one is held      (dead locks)
 *   2. what an image holds beyond the newest recovery
 *      point is kept in a snapshot farshore.left.*       (such snapshots; nothing is kept twice)
 *   3. the record: secondary in the other's term, and
 *      following                                         (from here on forward; as 2)
 *   4. each is stamped as secondary, and marked          (as 3; the mark proves what is in it)
 *   5. the record forgets that it is following           (dead locks, with marks)
 *   6. each is parked
 *
 * Up to 3 nothing has changed but for a snapshot too many. Nothing is taken back here, and no data
 * travels: the record then says of each image what it may hold beside its newest point (all of it
 * where something was kept aside, nothing else), and the next transfer takes it from there as after
 * any crash (opening.c): back to the base, exactly, then the difference. Where an operator said so
 * (a resync), the transfer is its own base: the difference is found by digests.
 *
 * An image that a relocation has parked holds just the newest point, so there is nothing to keep.
 */
#include "snapshot/follow.h"

#include <stdio.h>
#include <stdlib.h>

#include "farshore/fault.h"
#include "snapshot/stamp.h"
#include "snapshot/tamper.h"

struct members {
    struct fs_site *site;
    struct fs_record *record;
    size_t count;
    struct fs_target *targets; /* owned; FS_VOLUMES_MAX */
    bool promoted; /* a promotion did not end: what an image proves to hold may be its point */
    struct fs_doing *doing;
    struct fs_error *err;
};

static void now_doing(const struct members *members, const char *what, size_t at)
{
    atomic_store(&members->doing->what, what);
    atomic_store(&members->doing->at, (unsigned)at);
    atomic_store(&members->doing->of, (unsigned)members->record->n_volumes);
}

static int with_image(int rc, const struct fs_image_ref *ref, struct fs_error *err)
{
    char spec[FS_IMAGE_SPEC_SIZE];

    if (rc < 0) {
        fs_error_context(err, "image %s", fs_image_spec(ref, spec));
    }
    return rc;
}

/* --- the images --------------------------------------------------------------------------------
 */

static int check_unused(const struct members *members, const struct fs_image_ref *ref)
{
    struct fs_error open_err = FS_ERROR_INIT;
    struct fs_image image;
    int rc = fs_image_open(members->site->cluster, ref, FS_IMAGE_WRITE_FULL, &image, &open_err);

    if (rc == -ENOENT) { /* it was deleted: nobody uses it */
        return 0;
    }
    if (rc < 0) {
        *members->err = open_err;
        return rc;
    }
    rc = with_image(fs_hold_check_unused(members->site->cluster, &image, members->err), ref,
                    members->err);
    fs_image_close(&image);
    return rc;
}

static int check_all_unused(const struct members *members)
{
    const struct fs_record *record = members->record;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < record->n_volumes; i++) {
        now_doing(members, "looking who uses the images", i);
        if (!record->volumes[i].gone) {
            rc = check_unused(members, &record->volumes[i].volume.image);
        }
    }
    return rc;
}

/* A volume that joined while the other site could not be reached: in no point, and not stamped yet.
 * It was never Farshore's, and stays its users'. */
static bool was_never_ours(const struct members *members, const struct fs_record_volume *volume)
{
    const struct fs_record *record = members->record;
    const struct fs_image_ref *ref = &volume->volume.image;
    struct fs_error ignored = FS_ERROR_INIT;
    struct fs_image image;
    struct fs_stamp stamp;

    for (size_t i = 0; i < record->n_points; i++) {
        if (fs_record_find_content(&record->points[i], &volume->volume.uuid)) {
            return false;
        }
    }
    if (fs_image_open(members->site->cluster, ref, FS_IMAGE_READ, &image, &ignored) < 0) {
        return false;
    }
    int rc = fs_stamp_read(image.handle, ref->image_id, &stamp, &ignored);

    fs_image_close(&image);
    return rc == -ENOENT;
}

static int hold_all(struct members *members)
{
    struct fs_record *record = members->record;
    int rc = check_all_unused(members);

    members->targets = calloc(FS_VOLUMES_MAX, sizeof(*members->targets));
    if (!members->targets) {
        return fs_error_set(members->err, FS_ERR_TRANSIENT, ENOMEM,
                            "no memory for a group's images");
    }
    for (size_t i = 0; rc == 0 && i < record->n_volumes; i++) {
        struct fs_record_volume *volume = &record->volumes[i];
        struct fs_error open_err = FS_ERROR_INIT;

        volume->gone = volume->gone || was_never_ours(members, volume);
        if (volume->gone) {
            continue;
        }
        now_doing(members, "taking the locks of the images", i);
        rc = fs_target_open(members->site->cluster, record, volume,
                            &members->targets[members->count], &open_err);
        if (rc == 0) {
            members->count++;
        } else if (rc == -ENOENT) {
            volume->gone = true;
            rc = 0;
        } else {
            *members->err = open_err;
        }
    }
    return rc;
}

/* Parks those that are marked; lets go of the others. */
static void let_go(struct members *members)
{
    for (size_t i = 0; members->targets && i < members->count; i++) {
        fs_target_close(members->site->cluster, &members->targets[i]);
    }
    free(members->targets);
}

/* What is stored counts, not how far we got in memory; where that cannot be read either, the site
 * reads all of its records anew. */
static void reload(const struct members *members)
{
    struct fs_record *stored = NULL, *record = members->record;
    struct fs_error failed = FS_ERROR_INIT;

    if (fs_state_load(members->site->state, &record->group, &stored, &failed) < 0) {
        members->err->class = FS_ERR_TRANSIENT;
        members->err->code = ESTALE;
        return;
    }
    struct fs_record now = *stored;

    *stored = *record;
    *record = now;
    fs_record_free(stored);
}

static int finish(struct members *members, int rc)
{
    let_go(members);
    if (rc < 0) {
        fs_error_context(members->err, "group %s", members->record->name);
        reload(members);
    }
    return rc;
}

/* --- following ---------------------------------------------------------------------------------
 */

/* reaches: of each target, how far it may hold anything; not 0 where something was kept aside. */
static int keep_targets(const struct members *members, uint64_t *reaches, size_t *ret_kept)
{
    const struct fs_record *record = members->record;
    struct fs_tampering found;
    char what[200];
    int rc = 0;

    *ret_kept = 0;
    for (size_t i = 0; rc == 0 && i < members->count; i++) {
        const struct fs_target *target = &members->targets[i];

        now_doing(members, "keeping aside what only this site has", i);
        reaches[i] = fs_record_incoming_reach(record, &target->volume);
        if (!target->hold.proven || members->promoted) {
            rc = fs_tamper_compare(members->site->cluster, record, target, &found, members->err);
            if (rc == 0 && fs_tampering_any(&found)) {
                reaches[i] = INT64_MAX;
                rc = fs_tamper_keep_once(
                    members->site->cluster, record, target, &record->following.from,
                    fs_tampering_text(&found, what, sizeof(what)), members->err);
            }
        }
        *ret_kept += reaches[i] > 0;
        rc = with_image(rc, &target->ref, members->err);
    }
    return rc;
}

/* As after a transfer of which nothing can be believed. */
static int set_incoming(const struct members *members, const uint64_t *reaches, bool compare)
{
    struct fs_record_incoming *incoming = &members->record->incoming;
    bool needed = compare;

    for (size_t i = 0; i < members->count; i++) {
        needed = needed || reaches[i] > 0;
    }
    fs_record_clear_incoming(members->record);
    if (!needed) {
        return 0;
    }
    incoming->positions = calloc(members->count + 1, sizeof(*incoming->positions));
    if (!incoming->positions) {
        return fs_error_set(members->err, FS_ERR_TRANSIENT, ENOMEM, "no memory for the record");
    }
    incoming->present = true;
    incoming->n_positions = members->count;
    incoming->point.term = members->record->following.from;
    fs_uuid_random(&incoming->point.id);
    if (compare) {
        incoming->base = incoming->point.id;
    }
    for (size_t i = 0; i < members->count; i++) {
        incoming->positions[i].volume = members->targets[i].volume;
        incoming->positions[i].reach = reaches[i];
    }
    return 0;
}

static int stamp_targets(const struct members *members)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < members->count; i++) {
        struct fs_target *target = &members->targets[i];

        now_doing(members, "stamping the images", i);
        rc = fs_target_stamp(members->record, target, FS_ROLE_SECONDARY, members->err);
        fs_fault("follow.stamped");
        if (rc == 0) {
            rc = fs_hold_mark(&target->image, &target->hold, members->err);
            fs_fault("follow.marked");
        }
        rc = with_image(rc, &target->ref, members->err);
    }
    return rc;
}

int fs_follow_run(struct fs_site *site, struct fs_record *record,
                  const struct fs_follow_request *request, struct fs_doing *doing, size_t *ret_kept,
                  struct fs_error *err)
{
    struct members members = {.site = site,
                              .record = record,
                              .promoted = record->promotion.present,
                              .doing = doing,
                              .err = err};
    uint64_t reaches[FS_VOLUMES_MAX] = {0};
    bool compare = request->compare || (record->following.present && fs_record_is_resync(record));
    int rc;

    if (!record->following.present) {
        fs_record_become_secondary(record, &request->term);
    }
    rc = hold_all(&members);
    if (rc == 0) {
        fs_fault("follow.held");
        rc = keep_targets(&members, reaches, ret_kept);
    }
    if (rc == 0) {
        rc = set_incoming(&members, reaches, compare);
    }
    if (rc == 0) {
        fs_fault("follow.store");
        rc = fs_state_store(site->state, record, err);
    }
    if (rc == 0) {
        fs_fault("follow.stored");
        rc = stamp_targets(&members);
    }
    if (rc == 0) {
        record->following = (struct fs_record_following){0};
        rc = fs_state_store(site->state, record, err);
        fs_fault("follow.done");
    }
    return finish(&members, rc);
}

/* --- being demoted -----------------------------------------------------------------------------
 */

/* Every member is in the newest point, and holds what it holds there. */
static int prove_target(const struct members *members, struct fs_target *target)
{
    const struct fs_record_point *newest = fs_record_newest_committed(members->record);
    struct fs_tampering found;
    char what[200];
    int rc;

    if (!newest || !fs_record_find_content(newest, &target->volume)) {
        return fs_error_set(members->err, FS_ERR_PERMANENT, ENODATA,
                            "the newest recovery point does not have it");
    }
    rc = fs_tamper_compare(members->site->cluster, members->record, target, &found, members->err);
    if (rc == 0 && fs_tampering_any(&found)) {
        return fs_error_set(members->err, FS_ERR_PERMANENT, EUCLEAN,
                            "it was written to since the last point was taken (%s): something "
                            "still uses it",
                            fs_tampering_text(&found, what, sizeof(what)));
    }
    return rc == 0 ? fs_hold_mark(&target->image, &target->hold, members->err) : rc;
}

int fs_demote_run(struct fs_site *site, struct fs_record *record, struct fs_doing *doing,
                  struct fs_error *err)
{
    struct members members = {.site = site, .record = record, .doing = doing, .err = err};
    int rc = hold_all(&members);

    if (rc == 0) {
        fs_fault("demote.held");
    }
    for (size_t i = 0; rc == 0 && i < members.count; i++) {
        now_doing(&members, "comparing the images with the last point", i);
        rc = with_image(prove_target(&members, &members.targets[i]), &members.targets[i].ref, err);
        fs_fault("demote.marked");
    }
    for (size_t i = 0; rc == 0 && i < members.count; i++) {
        struct fs_target *target = &members.targets[i];

        rc = with_image(fs_hold_park(site->cluster, &target->image, &target->hold, err),
                        &target->ref, err);
    }
    return finish(&members, rc);
}

int fs_unused_run(struct fs_site *site, const struct fs_record *record, struct fs_doing *doing,
                  struct fs_error *err)
{
    const struct members members = {
        .site = site, .record = (struct fs_record *)record, .doing = doing, .err = err};

    return check_all_unused(&members);
}
