/* SPDX-License-Identifier: Apache-2.0 */
/* How a record changes its role. */
#include "farshore/record.h"

bool fs_term_same(const struct fs_term *a, const struct fs_term *b)
{
    return a->number == b->number && fs_uuid_equal(&a->site, &b->site);
}

bool fs_term_clashes(const struct fs_term *a, const struct fs_term *b)
{
    return a->number == b->number && !fs_uuid_equal(&a->site, &b->site);
}

void fs_record_raise_term(struct fs_record *record, const struct fs_uuid *site)
{
    uint64_t highest = record->term.number;

    if (record->peer_term.number > highest) {
        highest = record->peer_term.number;
    }
    if (record->grant.present && record->grant.term.number > highest) {
        highest = record->grant.term.number;
    }
    record->term = (struct fs_term){.number = highest + 1, .site = *site};
    record->fence = false; /* that was said of the former one */
}

/* The order of points is their seq, in whichever term they were taken. */
static void raise_seq(struct fs_record *record)
{
    uint64_t highest = record->incoming.present ? record->incoming.point.seq : 0;

    for (size_t i = 0; i < record->n_points; i++) {
        if (record->points[i].point.seq > highest) {
            highest = record->points[i].point.seq;
        }
    }
    if (record->next_seq <= highest) {
        record->next_seq = highest + 1;
    }
}

void fs_record_become_primary(struct fs_record *record)
{
    raise_seq(record);
    if (fs_record_find_point(record, &record->promotion.point)) {
        fs_record_unjoin(record, true);
    }
    const struct fs_record_point *point = fs_record_find_point(record, &record->promotion.point);

    record->role = FS_ROLE_PRIMARY;
    record->following = (struct fs_record_following){0};
    record->grant = (struct fs_record_grant){0};
    fs_record_clear_incoming(record);
    for (size_t i = 0; point && i < record->n_volumes; i++) {
        record->volumes[i].gone = !fs_record_find_content(point, &record->volumes[i].volume.uuid);
    }
}

void fs_record_become_secondary(struct fs_record *record, const struct fs_term *term)
{
    bool was = record->role == FS_ROLE_SECONDARY; /* then its points and what it received stay */

    record->following = (struct fs_record_following){.present = true, .from = record->term};
    record->promotion = (struct fs_record_promotion){0};
    record->grant = (struct fs_record_grant){0};
    record->fence = record->fence_users = false; /* it has no users any more */
    record->bring_up = (struct fs_record_bring_up){0};
    record->role = FS_ROLE_SECONDARY;
    record->term = *term;
    record->peer_term = *term;
    record->peer_version = 0;
    record->paused = false;
    if (was) {
        return;
    }
    fs_record_clear_incoming(record);
    fs_record_unjoin(record, false);
    for (size_t i = 0; i < record->n_points; i++) {
        if (record->points[i].state != FS_POINT_COMMITTED &&
            record->points[i].state != FS_POINT_SEED) {
            record->points[i].state = FS_POINT_TAKING;
        }
    }
}

bool fs_record_needs_point(const struct fs_record *record, const struct fs_uuid *point)
{
    return record->bring_up.present && fs_uuid_equal(&record->bring_up.point, point);
}

bool fs_record_is_resync(const struct fs_record *record)
{
    return record->incoming.present &&
           fs_uuid_equal(&record->incoming.base, &record->incoming.point.id);
}
