/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hold that is not proven (hold.c) leaves open who wrote last. What may be in the image by our
 * own doing is known from the record:
 *
 *   - the newest committed point that has the volume;
 *   - over it, while a transfer is incoming, anything below what that transfer has reached: its
 *     position, or what an abandoned one before it had reached (fs_record_incoming.reach). What was
 *     written is flushed and its position stored before an image is parked, so a parked image holds
 *     nothing beyond it.
 *
 * Everything else that differs from the newest point was written by somebody else, and stops the
 * group. Only contents count: a diff also names what was written again with the same bytes, and
 * holes.
 *
 * After a crash in the middle of a transfer there may be a little more than the stored position.
 * The successor proves its hold by the crashed daemon's mark; if it dies too, before it has set its
 * own, the third one finds either the lock of the second, which it has fenced itself: then all of
 * it is ours; or no lock at all, but the mark. Then nobody can tell any more whose bytes those are:
 * they are kept in a snapshot, and the transfer goes on without an operator. The same where the
 * newest point's own snapshot was removed: there is nothing to compare with.
 */
#include "snapshot/tamper.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "farshore/fault.h"
#include "farshore/log.h"
#include "farshore/operator.h"
#include "snapshot/admit.h"
#include "snapshot/base.h"
#include "snapshot/diff.h"

#define CHUNK   (1u << 20)
#define BLOCK   512u /* what differs is told in these */
#define EXTENTS 256

/* The two sides of the comparison, read through handles of their own: setting the target's to a
 * snapshot would give up its lock. */
struct comparison {
    struct fs_image head, then; /* then.handle NULL: nothing, all zeroes */
    uint64_t size, then_size;
    uint8_t *now_bytes, *then_bytes; /* CHUNK each */
    struct fs_tampering *found;
};

static void add_block(struct fs_tampering *found, uint64_t offset, uint64_t length)
{
    size_t n = found->n_ranges;

    if (n > 0 && found->ranges[n - 1].offset + found->ranges[n - 1].length == offset) {
        found->ranges[n - 1].length += length;
    } else if (n < FS_TAMPER_RANGES) {
        found->ranges[n].offset = offset;
        found->ranges[n].length = length;
        found->n_ranges++;
    } else {
        found->more = true;
    }
}

static int read_side(rbd_image_t handle, uint64_t size, uint64_t offset, size_t length,
                     uint8_t *bytes, struct fs_error *err)
{
    size_t there = offset >= size ? 0 : size - offset < length ? (size_t)(size - offset) : length;
    ssize_t rc = there && handle ? rbd_read(handle, offset, there, (char *)bytes) : 0;

    if (rc < 0) {
        return fs_cluster_error(err, (int)rc, "cannot read %zu bytes at %" PRIu64, there, offset);
    }
    memset(bytes + rc, 0, length - (size_t)rc);
    return 0;
}

static int compare_range(struct comparison *comparison, uint64_t offset, uint64_t length,
                         struct fs_error *err)
{
    int rc = 0;

    while (rc == 0 && length > 0 && !comparison->found->more) {
        size_t step = length < CHUNK ? (size_t)length : CHUNK;

        rc = read_side(comparison->head.handle, comparison->size, offset, step,
                       comparison->now_bytes, err);
        if (rc == 0) {
            rc = read_side(comparison->then.handle, comparison->then_size, offset, step,
                           comparison->then_bytes, err);
        }
        for (size_t at = 0; rc == 0 && at < step; at += BLOCK) {
            size_t block = step - at < BLOCK ? step - at : BLOCK;

            if (memcmp(comparison->now_bytes + at, comparison->then_bytes + at, block) != 0) {
                add_block(comparison->found, offset + at, block);
            }
        }
        offset += step;
        length -= step;
    }
    return rc;
}

/* Everything that the diff names from `explained` on. */
static int compare_from(struct comparison *comparison, const struct fs_snap_list *snaps,
                        const struct fs_snap *from, uint64_t explained, struct fs_error *err)
{
    struct fs_extent extents[EXTENTS];
    struct fs_diff diff;
    char why[128];
    bool fast = false;
    size_t count;
    int rc = fs_image_fast_diff_valid(&comparison->head, snaps, from ? from->id : 0, 0, &fast, why,
                                      sizeof(why), err);

    if (rc == 0) {
        rc = fs_diff_init(&diff, comparison->head.handle, from ? from->name : NULL,
                          comparison->size, fast, err);
    }
    if (rc < 0) {
        return rc;
    }
    for (uint64_t at = explained; rc == 0 && at < comparison->size && !comparison->found->more;) {
        rc = fs_diff_list(&diff, at, extents, EXTENTS, &count, &at, err);
        for (size_t i = 0; rc == 0 && i < count; i++) {
            rc = compare_range(comparison, extents[i].offset, extents[i].length, err);
        }
    }
    fs_diff_fini(&diff);
    return rc;
}

static int open_sides(struct fs_cluster *cluster, const struct fs_target *target,
                      const struct fs_snap *snap, struct comparison *comparison,
                      struct fs_error *err)
{
    int rc = fs_image_open(cluster, &target->ref, FS_IMAGE_READ, &comparison->head, err);

    if (rc == 0 && snap) {
        rc = fs_image_open(cluster, &target->ref, FS_IMAGE_READ, &comparison->then, err);
    }
    if (rc == 0 && snap) {
        rc = rbd_snap_set_by_id(comparison->then.handle, snap->id);
        if (rc < 0) {
            fs_cluster_error(err, rc, "cannot look at snapshot %" PRIu64, snap->id);
        }
    }
    if (rc == 0) {
        rc = rbd_get_size(comparison->head.handle, &comparison->size);
        if (rc < 0) {
            fs_cluster_error(err, rc, "cannot read the image's size");
        }
    }
    if (rc == 0) {
        comparison->then_size = snap ? snap->size : 0;
        comparison->now_bytes = malloc(CHUNK);
        comparison->then_bytes = malloc(CHUNK);
        if (!comparison->now_bytes || !comparison->then_bytes) {
            rc = fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory to compare an image");
        }
    }
    return rc;
}

/* Compare the head with the base (NULL: with nothing) from `explained` on. */
static int find_tampering(struct fs_cluster *cluster, const struct fs_target *target,
                          const struct fs_snap_list *snaps, const struct fs_base *base,
                          uint64_t explained, struct fs_tampering *ret_found, struct fs_error *err)
{
    struct comparison comparison = {.found = ret_found};
    const struct fs_snap *snap = base ? base->content : NULL;
    int rc = open_sides(cluster, target, snap, &comparison, err);

    *ret_found = (struct fs_tampering){0};
    if (rc == 0) {
        ret_found->size = comparison.size;
        ret_found->expected_size = snap ? snap->size : comparison.size;
        rc = compare_from(&comparison, snaps, base ? base->from : NULL, explained, err);
    }
    fs_image_close(&comparison.then);
    fs_image_close(&comparison.head);
    free(comparison.now_bytes);
    free(comparison.then_bytes);
    return rc;
}

char *fs_tampering_text(const struct fs_tampering *tampering, char *text, size_t size)
{
    size_t length = 0;

    text[0] = '\0';
    if (tampering->size != tampering->expected_size) {
        length =
            (size_t)snprintf(text, size, "its size is %" PRIu64 " instead of %" PRIu64 " bytes",
                             tampering->size, tampering->expected_size);
    }
    for (size_t i = 0; i < tampering->n_ranges && length < size; i++) {
        length += (size_t)snprintf(text + length, size - length, "%s%" PRIu64 " bytes at %" PRIu64,
                                   length ? ", " : "", tampering->ranges[i].length,
                                   tampering->ranges[i].offset);
    }
    if (tampering->more && length < size) {
        snprintf(text + length, size - length, " and more");
    }
    return text;
}

/* --- keeping it aside ------------------------------------------------------------------------ */

/* The left snapshot of the term with the highest number, and that; NULL and 0: there is none. */
static const struct fs_snap *find_left(const struct fs_snap_list *snaps, const struct fs_term *term,
                                       uint64_t *ret_number)
{
    const struct fs_snap *found = NULL;

    *ret_number = 0;
    for (size_t i = 0; i < snaps->count; i++) {
        uint64_t of_term, number;

        if (sscanf(snaps->snaps[i].name, FS_LEFT_PREFIX "%" SCNu64 ".%" SCNu64, &of_term,
                   &number) == 2 &&
            of_term == term->number && number > *ret_number) {
            *ret_number = number;
            found = &snaps->snaps[i];
        }
    }
    return found;
}

int fs_tamper_keep(const struct fs_target *target, const struct fs_term *term,
                   char ret_name[FS_SNAP_NAME_SIZE], struct fs_error *err)
{
    struct fs_snap_list snaps = {0};
    uint64_t highest = 0;
    int rc = fs_snap_list_load(&target->image, &snaps, err);

    if (rc < 0) {
        return rc;
    }
    find_left(&snaps, term, &highest);
    fs_snap_list_fini(&snaps);
    snprintf(ret_name, FS_SNAP_NAME_SIZE, FS_LEFT_PREFIX "%" PRIu64 ".%" PRIu64, term->number,
             highest + 1);
    rc = rbd_snap_create(target->image.handle, ret_name);
    return rc < 0 ? fs_cluster_error(err, rc, "cannot take snapshot %s", ret_name) : 0;
}

/* --- the verdict ----------------------------------------------------------------------------- */

static int refuse_tampered(const struct fs_record *record, const struct fs_target *target,
                           const struct fs_record_point *newest, const struct fs_tampering *found,
                           enum fs_refusal *refusal, struct fs_error *err)
{
    char spec[FS_IMAGE_SPEC_SIZE], what[200];

    return fs_refuse(
        refusal, FS_REFUSE_TAMPERED, err, FS_ERR_DATA, EKEYREJECTED,
        "image %.120s at the target was changed by somebody else since point %" PRIu64
        ": %s. Nothing is applied and nothing was discarded; `farshore adopt %.100s` "
        "at the target keeps it in a snapshot " FS_LEFT_PREFIX "%" PRIu64 ".*, takes the "
        "image back to that point and goes on",
        fs_image_spec(&target->ref, spec), newest ? newest->point.seq : 0,
        fs_tampering_text(found, what, sizeof(what)), record->name, record->term.number);
}

/* Keep the head aside and say so. */
static int keep_head(const struct fs_record *record, const struct fs_target *target,
                     const struct fs_term *term, const char *what, struct fs_error *err)
{
    char name[FS_SNAP_NAME_SIZE], spec[FS_IMAGE_SPEC_SIZE];
    int rc = fs_tamper_keep(target, term, name, err);

    if (rc == 0) {
        fs_fault("left.kept");
        fs_log(FS_EV_LEFT_KEPT, FS_S("group", record->name),
               FS_S("image", fs_image_spec(&target->ref, spec)), FS_S("snapshot", name),
               FS_S("what", what));
    }
    return rc;
}

bool fs_tampering_any(const struct fs_tampering *found)
{
    return found->n_ranges > 0 || found->more || found->size != found->expected_size;
}

/* Keep what the image holds, once. */
static int keep_once(struct fs_cluster *cluster, const struct fs_record *record,
                     const struct fs_target *target, const struct fs_snap_list *snaps,
                     const struct fs_term *term, const char *what, struct fs_error *err)
{
    uint64_t number;
    const struct fs_snap *left = find_left(snaps, term, &number);
    const struct fs_base base = {.content = left, .from = left};
    struct fs_tampering since = {.more = true};
    int rc = left ? find_tampering(cluster, target, snaps, &base, 0, &since, err) : 0;

    return rc == 0 && fs_tampering_any(&since) ? keep_head(record, target, term, what, err) : rc;
}

/* The newest committed point that has the volume, or its seed, or NULL. */
static const struct fs_record_point *newest_with(const struct fs_record *record,
                                                 const struct fs_uuid *volume)
{
    for (size_t i = record->n_points; i > 0; i--) {
        const struct fs_record_point *point = &record->points[i - 1];

        if (point->state == FS_POINT_COMMITTED && fs_record_find_content(point, volume)) {
            return point;
        }
    }
    return fs_record_find_seed(record, volume);
}

int fs_tamper_check(struct fs_cluster *cluster, const struct fs_record *record,
                    const struct fs_target *target, bool adopt, enum fs_refusal *refusal,
                    struct fs_error *err)
{
    const struct fs_record_point *newest = newest_with(record, &target->volume);
    const struct fs_record_content *content =
        newest ? fs_record_find_content(newest, &target->volume) : NULL;
    struct fs_snap_list snaps = {0};
    struct fs_tampering found = {0};
    struct fs_base base;
    char what[200];
    int rc;

    if (target->hold.fenced) {
        return 0;
    }
    rc = fs_snap_list_load(&target->image, &snaps, err);
    if (rc == 0) {
        bool known = fs_base_find(&snaps, content, &base);

        rc = content && !known
                 /* Nobody can tell what the image should hold. */
                 ? keep_once(cluster, record, target, &snaps, &record->term,
                             "the snapshot of its newest recovery point was removed", err)
                 : find_tampering(cluster, target, &snaps, known ? &base : NULL,
                                  fs_record_incoming_reach(record, &target->volume), &found, err);
    }
    fs_snap_list_fini(&snaps);
    if (rc < 0) {
        return rc;
    }
    if (record->incoming.present) { /* it resizes, too */
        found.expected_size = found.size;
    }
    if (!fs_tampering_any(&found)) {
        return 0;
    }
    if (!adopt && !target->hold.crashed) {
        return refuse_tampered(record, target, newest, &found, refusal, err);
    }
    return keep_head(record, target, &record->term, fs_tampering_text(&found, what, sizeof(what)),
                     err);
}

int fs_tamper_compare(struct fs_cluster *cluster, const struct fs_record *record,
                      const struct fs_target *target, struct fs_tampering *ret_found,
                      struct fs_error *err)
{
    const struct fs_record_point *newest = newest_with(record, &target->volume);
    const struct fs_record_content *content =
        newest ? fs_record_find_content(newest, &target->volume) : NULL;
    struct fs_snap_list snaps = {0};
    struct fs_base base;
    int rc = fs_snap_list_load(&target->image, &snaps, err);

    *ret_found = (struct fs_tampering){0};
    if (rc == 0) {
        bool known = fs_base_find(&snaps, content, &base);

        ret_found->more = content && !known;
        if (!ret_found->more) {
            rc = find_tampering(cluster, target, &snaps, known ? &base : NULL, 0, ret_found, err);
        }
    }
    fs_snap_list_fini(&snaps);
    return rc;
}

int fs_tamper_keep_once(struct fs_cluster *cluster, const struct fs_record *record,
                        const struct fs_target *target, const struct fs_term *term,
                        const char *what, struct fs_error *err)
{
    struct fs_snap_list snaps = {0};
    int rc = fs_snap_list_load(&target->image, &snaps, err);

    if (rc == 0) {
        rc = keep_once(cluster, record, target, &snaps, term, what, err);
    }
    fs_snap_list_fini(&snaps);
    return rc;
}
