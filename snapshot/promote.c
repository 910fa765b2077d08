/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A promotion, step by step, and what a crash after each leaves:
 *
 *   1. the record: promoting, the raised term, the point   (before this file; from here on forward)
 *   2. every image of the point is held                     (dead locks, or parked ones)
 *   3. each gets the point's content and size               (as 2; the mark proves what is in it)
 *   4. each is stamped: primary, in the raised term         (a stamp of the record's own term)
 *   5. the record: primary                                  (locks and marks that nobody needs)
 *   6. each is let go of                                    (some of them)
 *   7. the record forgets the promotion
 *
 * Until 5 nobody else can write to an image, so 2 to 4 may be done again. From 5 on the images are
 * their users', and nothing but locks is touched any more: whoever finds a promotion beside the
 * role primary only lifts what a predecessor left.
 *
 * What an image holds is known under a proven hold (hold.c): the newest committed point, overlaid
 * by what the unfinished transfer had written. Where that cannot have touched the volume nothing is
 * looked at; where it can, what differs goes back (rewind.c); in every other case (an older point,
 * a hold without proof) librbd's own rollback does it, which errs in no case and takes longer. What
 * somebody else wrote is kept in a snapshot before (tamper.c).
 *
 * A site that was primary itself, and goes back to a point, says so in the record by `following`:
 * its images are their users' until 2, which waits until nobody has one open, and what they hold
 * beyond the newest point is kept as when a site yields (follow.c).
 */
#include "snapshot/promote.h"

#include <stdio.h>
#include <stdlib.h>

#include "farshore/fault.h"
#include "farshore/log.h"
#include "snapshot/follow.h"
#include "snapshot/rewind.h"
#include "snapshot/tamper.h"

struct promotion {
    struct fs_site *site;
    struct fs_record *record;
    const struct fs_record_point *point; /* borrowed from the record */
    struct fs_target *targets;           /* owned; one for each content of the point */
    struct fs_doing *doing;
    struct fs_error *err;
};

static void now_doing(const struct promotion *promotion, const char *what, size_t at)
{
    atomic_store(&promotion->doing->what, what);
    atomic_store(&promotion->doing->at, (unsigned)at);
    atomic_store(&promotion->doing->of, (unsigned)promotion->point->n_contents);
}

static int with_image(int rc, const struct fs_image_ref *ref, struct fs_error *err)
{
    char spec[FS_IMAGE_SPEC_SIZE];

    if (rc < 0) {
        fs_error_context(err, "image %s", fs_image_spec(ref, spec));
    }
    return rc;
}

/* --- the content ------------------------------------------------------------------------------ */

/* Can the unfinished transfer have written to the volume, or changed its size? */
static bool was_touched(const struct fs_record *record, const struct fs_uuid *volume)
{
    const struct fs_record_incoming *incoming = &record->incoming;

    for (size_t i = 0; incoming->present && i < incoming->n_positions; i++) {
        if (fs_uuid_equal(&incoming->positions[i].volume, volume)) {
            return true;
        }
    }
    return false;
}

/* Has the image, in between, been at no older point than the newest, so that a fast diff from
 * there tells everything? */
static bool is_simple(const struct promotion *promotion, const struct fs_target *target)
{
    const struct fs_record *record = promotion->record;

    return target->hold.proven && promotion->point == fs_record_newest_committed(record) &&
           (!record->incoming.present ||
            fs_uuid_equal(&record->incoming.base, &promotion->point->point.id));
}

static int rewind_target(const struct promotion *promotion, const struct fs_target *target)
{
    const struct fs_record_content *content =
        fs_record_find_content(promotion->point, &target->volume);
    struct fs_snap_list snaps = {0};
    int rc = fs_snap_list_load(&target->image, &snaps, promotion->err);
    struct fs_base base;

    if (rc == 0 && !fs_base_find(&snaps, content, &base)) {
        rc = fs_error_set(promotion->err, FS_ERR_PERMANENT, ENODATA,
                          "the snapshot of the recovery point was removed: give another one with "
                          "--point");
    }
    if (rc == 0) {
        rc = fs_rewind(promotion->site->cluster, target, &snaps, &base, true, promotion->err);
    }
    fs_snap_list_fini(&snaps);
    return rc;
}

/* Of a hold without proof: what may not be ours. */
static int keep_target(const struct promotion *promotion, const struct fs_target *target)
{
    struct fs_cluster *cluster = promotion->site->cluster;
    const struct fs_record *record = promotion->record;
    enum fs_refusal ignored = FS_REFUSE_NONE;
    struct fs_tampering found;
    char what[200];

    if (!record->following.present) {
        return fs_tamper_check(cluster, record, target, true, &ignored, promotion->err);
    }
    int rc = fs_tamper_compare(cluster, record, target, &found, promotion->err);

    if (rc == 0 && fs_tampering_any(&found)) {
        rc = fs_tamper_keep_once(cluster, record, target, &record->following.from,
                                 fs_tampering_text(&found, what, sizeof(what)), promotion->err);
    }
    return rc;
}

static int restore_target(const struct promotion *promotion, struct fs_target *target)
{
    struct fs_cluster *cluster = promotion->site->cluster;
    int rc = 0;

    if (is_simple(promotion, target)) {
        return was_touched(promotion->record, &target->volume) ? rewind_target(promotion, target)
                                                               : 0;
    }
    if (!target->hold.proven) {
        rc = keep_target(promotion, target);
    }
    return rc < 0 ? rc
                  : fs_target_restore(cluster, promotion->record, target, promotion->point,
                                      promotion->err);
}

/* --- the steps ---------------------------------------------------------------------------------
 */

static int open_targets(const struct promotion *promotion)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < promotion->point->n_contents; i++) {
        const struct fs_record_volume *volume =
            fs_record_find_volume(promotion->record, &promotion->point->contents[i].volume);

        now_doing(promotion, "taking the locks of the images", i);
        if (!volume) {
            return fs_error_set(promotion->err, FS_ERR_DATA, EINVAL,
                                "the record names a volume in a point that it does not know");
        }
        rc = fs_target_open(promotion->site->cluster, promotion->record, volume,
                            &promotion->targets[i], promotion->err);
        fs_fault("promote.held");
    }
    return rc;
}

static int restore_targets(const struct promotion *promotion)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < promotion->point->n_contents; i++) {
        struct fs_target *target = &promotion->targets[i];

        now_doing(promotion, "taking back what an unfinished transfer wrote", i);
        rc = restore_target(promotion, target);
        if (rc == 0) {
            rc = fs_hold_mark(&target->image, &target->hold, promotion->err);
        }
        rc = with_image(rc, &target->ref, promotion->err);
        fs_fault("promote.restored");
    }
    return rc;
}

static int stamp_targets(const struct promotion *promotion)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < promotion->point->n_contents; i++) {
        struct fs_target *target = &promotion->targets[i];

        now_doing(promotion, "stamping the images", i);
        rc = with_image(fs_target_stamp(promotion->record, target, FS_ROLE_PRIMARY, promotion->err),
                        &target->ref, promotion->err);
        fs_fault("promote.stamped");
    }
    return rc;
}

static int store_primary(struct promotion *promotion)
{
    struct fs_record *record = promotion->record;

    fs_record_become_primary(record);
    promotion->point = fs_record_find_point(record, &record->promotion.point); /* it has moved */
    return fs_state_store(promotion->site->state, promotion->record, promotion->err);
}

/* The lock goes with the close. */
static int release_targets(const struct promotion *promotion)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < promotion->point->n_contents; i++) {
        struct fs_target *target = &promotion->targets[i];

        now_doing(promotion, "letting go of the images", i);
        rc = with_image(fs_hold_release(&target->image, &target->hold, promotion->err),
                        &target->ref, promotion->err);
        if (rc == 0) {
            fs_image_close(&target->image);
            fs_fault("promote.released");
        }
    }
    return rc;
}

/* What a predecessor did not let go of. An image that is gone by now needs nothing. */
static int lift_locks(const struct promotion *promotion)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < promotion->point->n_contents; i++) {
        const struct fs_record_volume *volume =
            fs_record_find_volume(promotion->record, &promotion->point->contents[i].volume);
        const struct fs_image_ref *ref = &volume->volume.image;
        struct fs_error open_err = FS_ERROR_INIT;
        struct fs_image image;

        now_doing(promotion, "letting go of the images", i);
        rc = fs_image_open(promotion->site->cluster, ref, FS_IMAGE_WRITE_FULL, &image, &open_err);
        if (rc == 0) {
            rc = with_image(
                fs_hold_lift(promotion->site->cluster, &image, ref->image_id, promotion->err), ref,
                promotion->err);
            fs_image_close(&image);
            fs_fault("promote.lifted");
        } else if (rc == -ENOENT) {
            rc = 0;
        } else {
            *promotion->err = open_err;
        }
    }
    return rc;
}

static int forget_promotion(const struct promotion *promotion)
{
    promotion->record->promotion = (struct fs_record_promotion){0};
    fs_fault("promote.forget");

    int rc = fs_state_store(promotion->site->state, promotion->record, promotion->err);

    fs_fault("promote.done");
    return rc;
}

static int promote(struct promotion *promotion)
{
    int rc =
        promotion->record->following.present
            ? fs_unused_run(promotion->site, promotion->record, promotion->doing, promotion->err)
            : 0;

    if (rc == 0) {
        rc = open_targets(promotion);
    }
    if (rc == 0) {
        rc = restore_targets(promotion);
    }
    if (rc == 0) {
        rc = stamp_targets(promotion);
    }
    if (rc == 0) {
        fs_fault("promote.stored");
        rc = store_primary(promotion);
    }
    if (rc == 0) {
        fs_fault("promote.primary");
        rc = release_targets(promotion);
    }
    return rc;
}

/* What was held with proof nobody else has written to; the next try takes it to the point. */
static void keep_proof(struct fs_target *target)
{
    struct fs_error ignored = FS_ERROR_INIT;

    if (target->image.handle && target->hold.proven && !target->hold.marked) {
        (void)fs_hold_mark(&target->image, &target->hold, &ignored);
    }
}

/* What is stored counts, not how far we got in memory; where that cannot be read either, the site
 * reads all of its records anew. */
static void reload(const struct promotion *promotion)
{
    struct fs_record *stored = NULL, *record = promotion->record;
    struct fs_error failed = FS_ERROR_INIT;

    if (fs_state_load(promotion->site->state, &record->group, &stored, &failed) < 0) {
        promotion->err->class = FS_ERR_TRANSIENT;
        promotion->err->code = ESTALE;
        return;
    }
    struct fs_record now = *stored;

    *stored = *record;
    *record = now;
    fs_record_free(stored);
}

int fs_promote_run(struct fs_site *site, struct fs_record *record, struct fs_doing *doing,
                   struct fs_error *err)
{
    struct promotion promotion = {
        .site = site,
        .record = record,
        .point = fs_record_find_point(record, &record->promotion.point),
        .doing = doing,
        .err = err,
    };
    int rc;

    if (!promotion.point || promotion.point->state != FS_POINT_COMMITTED) {
        return fs_error_set(err, FS_ERR_DATA, EINVAL,
                            "the record of group %s is being promoted to a point that it does not "
                            "have",
                            record->name);
    }

    size_t n_targets = promotion.point->n_contents;

    promotion.targets = calloc(n_targets + 1, sizeof(*promotion.targets));
    if (!promotion.targets) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory to promote a group");
    }
    rc = record->role == FS_ROLE_PRIMARY ? lift_locks(&promotion) : promote(&promotion);
    if (rc == 0) {
        rc = forget_promotion(&promotion);
    }
    for (size_t i = 0; i < n_targets; i++) {
        keep_proof(&promotion.targets[i]);
        fs_target_close(site->cluster, &promotion.targets[i]); /* a failure: parked where marked */
    }
    free(promotion.targets);
    if (rc < 0) {
        fs_error_context(err, "group %s", record->name);
        reload(&promotion);
    }
    return rc;
}
