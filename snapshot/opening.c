/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of an opening, and what a crash after each step leaves:
 *
 *   1. finish or give up what the record says was under way (commit.c)
 *   2. check term, role, base, pools and the images' ownership: nothing has changed yet
 *   3. store the record with the images that are to be made; make, hold and stamp them; hold the
 *      others. A hold that is not marked counts as a gap for whoever comes next
 *   4. where a hold is not proven, look for what somebody else wrote (tamper.c): refuse, or keep it
 *      aside; then store the incoming transfer with the positions that it starts from
 *   5. bring the images to the content that these positions promise: back to the base where that
 *      is in doubt; resize, label
 *   6. mark the holds: from here on the record may be believed; only now may their objects be
 *      written directly, since librbd has done all that it does to heads
 *
 * A crash before 6 leaves the next opening with unproven holds: it starts from the base again.
 *
 * What an image holds when it is opened is known when its hold is proven: the newest committed
 * point, overlaid with what was applied of the incoming one. So
 *   - the same point from the same base goes on from its positions;
 *   - another point from the newest committed one, in the same term, is laid over it from position
 *     0: whatever was applied of the abandoned point was written at the source after the base, so
 *     it is in the difference from the base to any later point;
 *   - in every other case the image is first taken back to the base (to nothing, where there is
 *     none): an older base, another term, the first copy of another point, a hold not proven.
 *
 * Where there is nothing to go back to (the base's snapshot was removed, the base does not have the
 * volume, the source holds none of our points any more) and the image holds something, the point is
 * its own base: the source finds the difference to what the images hold by digests, and no image
 * is taken back. Below a position an image then holds the point, beyond it anything.
 */
#include "snapshot/opening.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "farshore/fault.h"
#include "snapshot/admit.h"
#include "snapshot/captured_keep.h"
#include "snapshot/opening_join.h"
#include "snapshot/tamper.h"

void fs_targets_free(struct fs_site *site, struct fs_target *targets, size_t n_targets)
{
    for (size_t i = 0; targets && i < n_targets; i++) {
        fs_target_close(site->cluster, &targets[i]);
    }
    free(targets);
}

int fs_opening_no_memory(struct fs_opening *opening)
{
    return fs_error_set(&opening->err, FS_ERR_TRANSIENT, ENOMEM, "no memory to open a transfer");
}

/* --- the record ----------------------------------------------------------------------------- */

/* The record with what the offer says of the group; not stored. NULL: no memory. */
static struct fs_record *make_work(const struct fs_opening *opening)
{
    const struct fs_offer *offer = opening->offer;
    struct fs_record *work = opening->record ? fs_record_copy(opening->record) : fs_record_new();

    if (!work) {
        return NULL;
    }
    work->group = offer->group;
    work->role = FS_ROLE_SECONDARY;
    work->term = offer->term;
    work->peer_term = offer->term;
    work->peer_version = offer->record_version;
    work->joins = offer->joins;
    work->interval_ns = (int64_t)offer->interval_ns;
    snprintf(work->name, sizeof(work->name), "%s", offer->name);
    snprintf(work->policy, sizeof(work->policy), "%s", offer->policy);
    snprintf(work->peer, sizeof(work->peer), "%s", opening->admission->peer);
    return work;
}

int fs_opening_store(struct fs_opening *opening, struct fs_record *work)
{
    int rc = fs_state_store(opening->site->state, work, &opening->err);

    if (rc == 0) {
        struct fs_record *stored = fs_record_copy(work);

        if (!stored) {
            return fs_opening_no_memory(opening);
        }
        fs_record_free(opening->record);
        opening->record = stored;
        return 0;
    }

    /* Another daemon wrote, or the answer got lost: the next try needs what is there now. */
    struct fs_record *present = NULL;
    struct fs_error ignored = FS_ERROR_INIT;

    if (fs_state_load(opening->site->state, &work->group, &present, &ignored) == 0) {
        fs_record_free(opening->record);
        opening->record = present;
    }
    return rc;
}

static bool is_offered(const struct fs_offer *offer, const struct fs_uuid *volume)
{
    for (size_t i = 0; i < offer->n_volumes; i++) {
        if (fs_uuid_equal(&offer->volumes[i].volume.uuid, volume)) {
            return true;
        }
    }
    return false;
}

static int set_text(char **text, const char *value)
{
    char *copy = value ? strdup(value) : NULL;

    if (value && !copy) {
        return -ENOMEM;
    }
    free(*text);
    *text = copy;
    return 0;
}

/* What people see of the volumes, and who is a member. */
static int describe_volumes(struct fs_opening *opening, struct fs_record *work)
{
    const struct fs_offer *offer = opening->offer;

    for (size_t i = 0; i < work->n_volumes; i++) {
        work->volumes[i].gone = !is_offered(offer, &work->volumes[i].volume.uuid);
    }
    for (size_t i = 0; i < offer->n_volumes; i++) {
        const struct fs_offer_volume *offered = &offer->volumes[i];
        struct fs_record_volume *volume = fs_record_find_volume(work, &offered->volume.uuid);

        volume->volume.image = opening->targets[i].ref;
        snprintf(volume->peer_identity, sizeof(volume->peer_identity), "%s", offered->identity);
        snprintf(volume->volume.pvc, sizeof(volume->volume.pvc), "%s", offered->volume.pvc);
        snprintf(volume->volume.pvc_namespace, sizeof(volume->volume.pvc_namespace), "%s",
                 offered->volume.pvc_namespace);
        snprintf(volume->volume.vm, sizeof(volume->volume.vm), "%s", offered->volume.vm);
        if (set_text(&volume->volume.labels, offered->volume.labels) < 0) {
            return fs_opening_no_memory(opening);
        }
    }
    return 0;
}

/* --- the images ----------------------------------------------------------------------------- */

/* The record's entry of an offered volume; a new one gets its place from the pool map. */
static int place_volume(struct fs_opening *opening, struct fs_record *work,
                        const struct fs_offer_volume *offered,
                        const struct fs_record_volume **ret_volume)
{
    const struct fs_image_ref *source = &offered->volume.image;
    const char *pool, *ns;
    struct fs_volume fresh = {.uuid = offered->volume.uuid};
    const char *slash = source->ns[0] ? "/" : "";

    if (!fs_admit_place(opening->admission, source->pool, source->ns, &pool, &ns)) {
        return fs_refuse(&opening->refusal, FS_REFUSE_POOL_NOT_MAPPED, &opening->err, FS_ERR_CONFIG,
                         ENOENT,
                         "policy \"%s\" at the target does not say where volumes of pool %s%s%s "
                         "go: add `pools: {%s%s%s: POOL}` to it",
                         opening->offer->policy, source->pool, slash, source->ns, source->pool,
                         slash, source->ns);
    }
    *ret_volume = fs_record_find_volume(work, &offered->volume.uuid);
    if (*ret_volume) {
        return 0;
    }
    fresh.image.pool_id = rados_pool_lookup(fs_cluster_rados(opening->site->cluster), pool);
    if (fresh.image.pool_id < 0) {
        return fs_refuse(&opening->refusal, FS_REFUSE_POOL_NOT_MAPPED, &opening->err, FS_ERR_CONFIG,
                         ENOENT,
                         "there is no pool %s at the target: create it, or change `pools:` of "
                         "policy \"%s\"",
                         pool, opening->offer->policy);
    }
    snprintf(fresh.image.pool, sizeof(fresh.image.pool), "%s", pool);
    snprintf(fresh.image.ns, sizeof(fresh.image.ns), "%s", ns);
    snprintf(fresh.image.name, sizeof(fresh.image.name), "%s", source->name);
    *ret_volume = fs_record_add_volume(work, &fresh);
    return *ret_volume ? 0 : fs_opening_no_memory(opening);
}

/* Two source volumes with one name, from two pools that are mapped to one. */
static int check_distinct(struct fs_opening *opening, size_t index)
{
    const struct fs_image_ref *ref = &opening->targets[index].ref;
    char spec[FS_IMAGE_SPEC_SIZE];

    for (size_t i = 0; i < index; i++) {
        const struct fs_image_ref *other = &opening->targets[i].ref;

        if (other->pool_id == ref->pool_id && strcmp(other->ns, ref->ns) == 0 &&
            strcmp(other->name, ref->name) == 0) {
            return fs_refuse(&opening->refusal, FS_REFUSE_NOT_OWNED, &opening->err, FS_ERR_CONFIG,
                             EEXIST,
                             "two volumes of the group would both be image %s at the target: map "
                             "their pools to different ones",
                             fs_image_spec(ref, spec));
        }
    }
    return 0;
}

static int find_targets(struct fs_opening *opening, struct fs_record *work)
{
    const struct fs_offer *offer = opening->offer;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < offer->n_volumes; i++) {
        const struct fs_offer_volume *offered = &offer->volumes[i];
        const struct fs_record_volume *volume = NULL;
        bool known =
            opening->record && fs_record_find_volume(opening->record, &offered->volume.uuid);

        opening->targets[i].geometry = offered->geometry;
        rc = place_volume(opening, work, offered, &volume);
        if (rc == 0) {
            rc = fs_target_find(opening->site->cluster, work, volume, known,
                                opening->admission->adopt, &opening->targets[i], &opening->refusal,
                                &opening->err);
        }
        if (rc == 0) {
            rc = check_distinct(opening, i);
        }
    }
    return rc;
}

static int make_targets(struct fs_opening *opening, const struct fs_record *work)
{
    struct fs_cluster *cluster = opening->site->cluster;
    char spec[FS_IMAGE_SPEC_SIZE];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < opening->offer->n_volumes; i++) {
        struct fs_target *target = &opening->targets[i];

        if (target->image.handle) {
            rc = fs_target_hold(cluster, work, target, &opening->refusal, &opening->err);
            continue;
        }
        rc = fs_target_create(cluster, work, target, &opening->refusal, &opening->err);
        if (rc < 0 && opening->refusal == FS_REFUSE_NONE) {
            fs_error_context(&opening->err, "image %s", fs_image_spec(&target->ref, spec));
        }
    }
    return rc;
}

/* --- where to go on ------------------------------------------------------------------------- */

static bool same_term(const struct fs_term *a, const struct fs_term *b)
{
    return a->number == b->number && fs_uuid_equal(&a->site, &b->site);
}

/* The stored position of a volume, where the stored transfer is this one. */
static const struct fs_position *stored_position(const struct fs_record_incoming *incoming,
                                                 const struct fs_opening *opening,
                                                 const struct fs_target *target)
{
    if (!incoming->present || !fs_uuid_equal(&incoming->point.id, &opening->offer->point.id) ||
        !fs_uuid_equal(&incoming->base, &opening->plan.base)) {
        return NULL;
    }
    for (size_t i = 0; i < incoming->n_positions; i++) {
        if (fs_uuid_equal(&incoming->positions[i].volume, &target->volume) &&
            incoming->positions[i].position.offset <= target->geometry.size) {
            return &incoming->positions[i].position;
        }
    }
    return NULL;
}

/* May the point be laid over what the image holds, from position 0? */
static bool may_overlay(const struct fs_record *record, const struct fs_opening *opening,
                        const struct fs_record_point *base, const struct fs_target *target)
{
    const struct fs_record_incoming *incoming = &record->incoming;

    if (!base || base != fs_record_newest_committed(record) ||
        !fs_record_base_content(record, base, &target->volume, NULL)) {
        return false;
    }
    return !incoming->present || (fs_uuid_equal(&incoming->base, &base->point.id) &&
                                  same_term(&incoming->point.term, &opening->offer->point.term));
}

/* Fill positions, and say which images must go back to the base. record is the one before the
 * offer; base is in it. */
static void choose_positions(struct fs_opening *opening, const struct fs_record *record,
                             const struct fs_record_point *base, bool *restore)
{
    for (size_t i = 0; i < opening->offer->n_volumes; i++) {
        const struct fs_target *target = &opening->targets[i];
        const struct fs_position *stored = stored_position(&record->incoming, opening, target);

        restore[i] =
            !target->hold.proven || (!stored && !may_overlay(record, opening, base, target));
        opening->positions[i] = stored && target->hold.proven ? *stored : (struct fs_position){0};
    }
}

static bool by_digests(const struct fs_opening *opening)
{
    return fs_uuid_equal(&opening->plan.base, &opening->offer->point.id);
}

/* Nothing is taken back: what is not proven may hold anything. */
static void begin_by_digests(struct fs_opening *opening, const struct fs_record *record,
                             bool *restore)
{
    opening->plan.base = opening->offer->point.id;
    choose_positions(opening, record, NULL, restore);
    for (size_t i = 0; i < opening->offer->n_volumes; i++) {
        restore[i] = false;
    }
}

/* The same, or by digests where an image cannot be taken back. */
static int choose_start(struct fs_opening *opening, const struct fs_record *record,
                        const struct fs_record_point *base, bool *restore)
{
    char spec[FS_IMAGE_SPEC_SIZE];
    int rc = 0;

    if (by_digests(opening)) {
        begin_by_digests(opening, record, restore);
        return 0;
    }
    choose_positions(opening, record, base, restore);
    for (size_t i = 0; rc == 0 && opening->admission->compare && i < opening->offer->n_volumes;
         i++) {
        const struct fs_target *target = &opening->targets[i];
        bool restorable = true;

        if (restore[i]) {
            rc = fs_target_restorable(opening->site->cluster, record, target, base, &restorable,
                                      &opening->err);
        }
        if (rc < 0) {
            fs_error_context(&opening->err, "image %s", fs_image_spec(&target->ref, spec));
        } else if (!restorable) {
            begin_by_digests(opening, record, restore);
            break;
        }
    }
    return rc;
}

/* The size that the image has if what the record says of it is so; 0: it may have any. */
static uint64_t expected_size(const struct fs_opening *opening, const struct fs_record *record,
                              const struct fs_target *target)
{
    const struct fs_record_point *newest = fs_record_newest_committed(record);
    const struct fs_record_content *content =
        fs_record_base_content(record, newest, &target->volume, NULL);

    if (record->incoming.present) {
        return stored_position(&record->incoming, opening, target) ? target->geometry.size : 0;
    }
    return content ? content->geometry.size : 0;
}

/* librbd resizes an image for other clients in the process that has its lock: a daemon that died
 * after that had no time to say so. */
static int distrust_resized(struct fs_opening *opening, const struct fs_record *record)
{
    char spec[FS_IMAGE_SPEC_SIZE];

    for (size_t i = 0; i < opening->offer->n_volumes; i++) {
        struct fs_target *target = &opening->targets[i];
        uint64_t expected = expected_size(opening, record, target), size;
        int rc = rbd_get_size(target->image.handle, &size);

        if (rc < 0) {
            return fs_cluster_error(&opening->err, rc, "image %s: cannot read its size",
                                    fs_image_spec(&target->ref, spec));
        }
        target->hold.proven = target->hold.proven && (!expected || size == expected);
    }
    return 0;
}

/* No hold without proof may hide what somebody else wrote. */
static int check_tampering(struct fs_opening *opening, const struct fs_record *record)
{
    char spec[FS_IMAGE_SPEC_SIZE];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < opening->offer->n_volumes; i++) {
        const struct fs_target *target = &opening->targets[i];

        if (target->hold.proven) {
            continue;
        }
        rc = fs_tamper_check(opening->site->cluster, record, target, opening->admission->adopt,
                             &opening->refusal, &opening->err);
        if (rc < 0 && opening->refusal == FS_REFUSE_NONE) {
            fs_error_context(&opening->err, "image %s", fs_image_spec(&target->ref, spec));
        }
    }
    return rc;
}

static int set_incoming(struct fs_opening *opening, const struct fs_record *before,
                        const bool *restore, struct fs_record *work)
{
    size_t count = opening->offer->n_volumes;

    fs_record_clear_incoming(work);
    work->incoming.positions = calloc(count + 1, sizeof(*work->incoming.positions));
    if (!work->incoming.positions) {
        return fs_opening_no_memory(opening);
    }
    work->incoming.present = true;
    work->incoming.point = opening->offer->point;
    work->incoming.base = opening->plan.base;
    work->incoming.n_positions = count;
    for (size_t i = 0; i < count; i++) {
        work->incoming.positions[i].volume = opening->targets[i].volume;
        work->incoming.positions[i].position = opening->positions[i];
        /* Anything, until the image is taken back or the transfer is through? */
        bool anything = restore[i] || (by_digests(opening) && !opening->targets[i].hold.proven);

        work->incoming.positions[i].reach =
            anything ? INT64_MAX : fs_record_incoming_reach(before, &opening->targets[i].volume);
    }
    return 0;
}

/* Steps 5 and 6. */
static int prepare_targets(struct fs_opening *opening, const struct fs_record *before,
                           const struct fs_record_point *base, const bool *restore)
{
    static const struct fs_volume nothing;
    char spec[FS_IMAGE_SPEC_SIZE];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < opening->offer->n_volumes; i++) {
        struct fs_target *target = &opening->targets[i];
        const struct fs_volume *now = &opening->offer->volumes[i].volume;
        const struct fs_volume *old = &nothing;

        for (size_t j = 0; j < before->n_volumes; j++) {
            if (fs_uuid_equal(&before->volumes[j].volume.uuid, &target->volume)) {
                old = &before->volumes[j].volume;
            }
        }
        if (restore[i]) {
            rc = fs_target_restore(opening->site->cluster, before, target, base, &opening->err);
            fs_fault("open.restored");
        }
        if (rc == 0) {
            rc = fs_target_resize(target, &opening->err);
            fs_fault("open.resized");
        }
        if (rc == 0) {
            rc = fs_target_label(target, old, now, &opening->err);
        }
        if (rc == 0) {
            rc = fs_hold_mark(&target->image, &target->hold, &opening->err);
            fs_fault("open.marked");
        }
        if (rc == 0 && opening->site->options.object_io) {
            rc = fs_direct_start(&target->image, target->hold.header, &target->direct,
                                 &opening->err);
        }
        if (rc == 0 && restore[i]) { /* the base and nothing else; stored with the positions */
            opening->record->incoming.positions[i].reach = 0;
        }
        if (rc < 0) {
            fs_error_context(&opening->err, "image %s", fs_image_spec(&target->ref, spec));
        }
    }
    return rc;
}

/*
 * The opening failed. An image that was held with proof, and that needs no restoring, is still as
 * the record says, whether or not the last store arrived: keep the proof.
 */
static void keep_proofs(struct fs_opening *opening, const bool *restore)
{
    for (size_t i = 0; i < opening->offer->n_volumes; i++) {
        struct fs_target *target = &opening->targets[i];
        struct fs_error ignored = FS_ERROR_INIT;

        if (target->hold.proven && !target->hold.marked && !restore[i]) {
            fs_hold_mark(&target->image, &target->hold, &ignored);
        }
    }
}

/* --- all of it ------------------------------------------------------------------------------ */

static int apply_offer(struct fs_opening *opening, struct fs_record *work)
{
    bool restore[FS_VOLUMES_MAX] = {false};
    const struct fs_record_point *base = NULL;
    struct fs_record *before = NULL;
    bool create = false;
    int rc = find_targets(opening, work);

    for (size_t i = 0; i < opening->offer->n_volumes; i++) {
        create = create || !opening->targets[i].ref.image_id[0];
    }
    if (rc == 0) {
        rc = describe_volumes(opening, work);
    }
    if (rc == 0) {
        before = fs_record_copy(opening->record ? opening->record : work);
        rc = before ? 0 : fs_opening_no_memory(opening);
    }
    if (rc == 0 && create) {
        rc = fs_opening_store(opening, work);
        fs_fault("open.recorded");
    }
    if (rc == 0 && !same_term(&work->term, &before->term)) {
        rc = fs_opening_store(opening, work); /* before any stamp says so */
    }
    if (rc == 0) {
        rc = make_targets(opening, work);
    }
    if (rc == 0) {
        rc = describe_volumes(opening, work); /* the ids of the new images */
    }
    if (rc == 0) {
        rc = distrust_resized(opening, before);
    }
    if (rc == 0) {
        rc = check_tampering(opening, before);
    }
    if (rc == 0) {
        base = fs_record_find_point(before, &opening->plan.base);
        rc = choose_start(opening, before, base, restore);
    }
    if (rc == 0) {
        rc = set_incoming(opening, before, restore, work);
    }
    if (rc == 0) {
        rc = fs_opening_store(opening, work);
        fs_fault("open.stored");
    }
    if (rc == 0) {
        rc = prepare_targets(opening, before, base, restore);
    }
    if (rc < 0) {
        keep_proofs(opening, restore);
    }
    fs_record_free(before);
    return rc;
}

/* The point is here already: say so, and make sure that its lag is known. */
static int note_committed(struct fs_opening *opening, const struct fs_record_point *point)
{
    struct fs_record *record = opening->record;
    const struct fs_current current = {
        .group = record->group,
        .point = point->point.id,
        .current_until_ns = point->taken_ns,
    };

    opening->committed = true;
    if (point != fs_record_newest_committed(record) ||
        record->current_until_ns >= point->taken_ns) {
        return 0;
    }
    record->current_until_ns = point->taken_ns;
    return fs_state_note_current(opening->site->state, &current, 1, &opening->err);
}

/* They are kept in the record, and go to the image's metadata. */
static int check_labels(struct fs_opening *opening)
{
    const struct fs_offer *offer = opening->offer;

    for (size_t i = 0; i < offer->n_volumes; i++) {
        const char *text = offer->volumes[i].volume.labels;
        json_t *labels = text ? json_loads(text, 0, NULL) : NULL;
        bool valid = !text || json_is_object(labels);

        json_decref(labels);
        if (!valid) {
            return fs_refuse(&opening->refusal, FS_REFUSE_BROKEN, &opening->err, FS_ERR_PEER,
                             EPROTO, "the labels of a volume in the offer are no JSON object");
        }
    }
    return 0;
}

static int check_offer(struct fs_opening *opening)
{
    const struct fs_offer *offer = opening->offer;
    const struct fs_record_point *base = NULL;
    bool gone = false;
    int rc = fs_admit_base(opening->record, offer, &base, &gone, &opening->refusal, &opening->err);

    if (rc == 0 && gone && !opening->admission->compare) {
        rc =
            fs_refuse(&opening->refusal, FS_REFUSE_NO_BASE, &opening->err, FS_ERR_PERMANENT, ENOENT,
                      "group %s: this site has recovery points, the sender holds none of them any "
                      "more, and its Farshore cannot find the difference by digests: upgrade it",
                      offer->name);
    }
    if (rc == 0) {
        rc = check_labels(opening);
    }

    if (rc == 0 && (offer->n_volumes < 1 || offer->n_volumes > FS_VOLUMES_MAX)) {
        rc = fs_refuse(&opening->refusal, FS_REFUSE_BROKEN, &opening->err, FS_ERR_PEER, EPROTO,
                       "the offer has %zu volumes; 1 to %d are possible", offer->n_volumes,
                       FS_VOLUMES_MAX);
    }
    if (rc == 0) {
        int64_t now_ns = fs_clock_wall(opening->site->options.clock);
        int64_t age_ns =
            offer->taken_age_ns > (uint64_t)now_ns ? now_ns : (int64_t)offer->taken_age_ns;

        opening->plan = (struct fs_commit_plan){
            .point = offer->point,
            .flags = offer->flags,
            .taken_ns = now_ns - age_ns,
            .objects = offer->objects,
            .retain = opening->admission->retain,
        };
        if (base) {
            opening->plan.base = base->point.id;
        } else if (gone) {
            opening->plan.base = offer->point.id;
        }
    }
    return rc;
}

/* Another point has brought them, or an earlier transfer of this one. */
static int look_for_objects(struct fs_opening *opening)
{
    const struct fs_offer *offer = opening->offer;
    int rc = offer->objects.size == 0 ? 0
                                      : fs_captured_find(opening->site->state, &offer->group,
                                                         &offer->objects, &opening->err);

    opening->objects_wanted = rc == -ENOENT;
    return opening->objects_wanted ? 0 : rc;
}

static int run(struct fs_opening *opening)
{
    const struct fs_offer *offer = opening->offer;
    const struct fs_record_point *point = NULL;
    struct fs_record *work = NULL;
    int rc = fs_admit_term(opening->record, offer, &opening->refusal, &opening->err);

    if (rc == 0 && !opening->admission->adopt) {
        rc = fs_admit_seen(opening->record, offer, &opening->refusal, &opening->err);
    }
    if (rc == 0 && opening->record) {
        rc = fs_sink_recover(opening->site, opening->record, &opening->err);
        if (rc == 0) {
            point = fs_record_find_point(opening->record, &offer->point.id);
        }
    }
    if (rc == 0 && point && point->state == FS_POINT_COMMITTED) {
        return note_committed(opening, point);
    }
    if (rc == 0 && !opening->admission->adopt) {
        rc = fs_admit_version(opening->record, offer, &opening->refusal, &opening->err);
    }
    if (rc == 0) {
        rc = check_offer(opening);
    }
    if (rc == 0) {
        rc = fs_opening_join(opening);
    }
    if (rc == 0) {
        rc = fs_opening_check_seeds(opening);
    }
    if (rc == 0) {
        rc = look_for_objects(opening);
    }
    if (rc == 0) {
        work = make_work(opening);
        opening->targets = calloc(offer->n_volumes, sizeof(*opening->targets));
        opening->positions = calloc(offer->n_volumes, sizeof(*opening->positions));
        rc = work && opening->targets && opening->positions ? 0 : fs_opening_no_memory(opening);
    }
    if (rc == 0) {
        rc = apply_offer(opening, work);
    }
    fs_record_free(work);
    return rc;
}

static enum fs_refusal refusal_of(const struct fs_error *err)
{
    if (err->code == ENOSPC || err->code == EDQUOT) {
        return FS_REFUSE_NO_SPACE;
    }
    return err->class == FS_ERR_TRANSIENT ? FS_REFUSE_UNAVAILABLE : FS_REFUSE_BROKEN;
}

void fs_opening_run(struct fs_opening *opening)
{
    int rc = run(opening);

    if (rc == 0 && !opening->committed) {
        return;
    }
    fs_targets_free(opening->site, opening->targets, opening->offer->n_volumes);
    free(opening->positions);
    opening->targets = NULL;
    opening->positions = NULL;
    if (rc < 0 && opening->refusal == FS_REFUSE_NONE) {
        opening->refusal = refusal_of(&opening->err);
        fs_error_context(&opening->err, "group %s", opening->offer->name);
    }
}
