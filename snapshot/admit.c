/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/admit.h"

#include <inttypes.h>
#include <stdio.h>

int fs_refuse(enum fs_refusal *refusal, enum fs_refusal reason, struct fs_error *err,
              enum fs_error_class class, int code, const char *format, ...)
{
    char message[sizeof(err->message)];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (*refusal == FS_REFUSE_NONE) {
        *refusal = reason;
    }
    return fs_error_set(err, class, code, "%s", message);
}

int fs_admit_term(const struct fs_record *record, const struct fs_offer *offer,
                  enum fs_refusal *refusal, struct fs_error *err)
{
    if (!record) {
        return 0;
    }
    if (offer->term.number < record->term.number) {
        return fs_refuse(refusal, FS_REFUSE_STALE_TERM, err, FS_ERR_PEER, EPERM,
                         "group %s: the offer is of term %" PRIu64 ", this site knows term %" PRIu64
                         ": the sender was superseded; `farshore status %s` at this site shows "
                         "which site is primary",
                         record->name, offer->term.number, record->term.number, record->name);
    }
    if (offer->term.number == record->term.number &&
        !fs_uuid_equal(&offer->term.site, &record->term.site)) {
        return fs_refuse(refusal, FS_REFUSE_SPLIT_BRAIN, err, FS_ERR_PEER, EEXIST,
                         "group %s: both sites were promoted to term %" PRIu64
                         " (split brain): nothing is applied; decide which site's data is to stay "
                         "and stop the workload at the other",
                         record->name, record->term.number);
    }
    if (record->role != FS_ROLE_SECONDARY) {
        return fs_refuse(refusal, FS_REFUSE_NOT_SECONDARY, err, FS_ERR_PEER, EPERM,
                         "group %s is %s at this site and takes no points; only a secondary does",
                         record->name, fs_role_name(record->role));
    }
    return 0;
}

static bool same_term(const struct fs_term *a, const struct fs_term *b)
{
    return a->number == b->number && fs_uuid_equal(&a->site, &b->site);
}

int fs_admit_version(const struct fs_record *record, const struct fs_offer *offer,
                     enum fs_refusal *refusal, struct fs_error *err)
{
    const struct fs_record_point *newest = record ? fs_record_newest_committed(record) : NULL;

    if (!record || !same_term(&record->peer_term, &offer->term)) {
        return 0;
    }
    if (offer->record_version < record->peer_version) {
        return fs_refuse(refusal, FS_REFUSE_RECORD_LOST, err, FS_ERR_DATA, EBADFD,
                         "group %s: the sender's record has version %" PRIu64
                         ", this site has seen version %" PRIu64
                         ": its records were lost or restored from an older state",
                         record->name, offer->record_version, record->peer_version);
    }
    if (newest && same_term(&newest->point.term, &offer->point.term) &&
        offer->point.seq <= newest->point.seq) {
        return fs_refuse(refusal, FS_REFUSE_RECORD_LOST, err, FS_ERR_DATA, EBADFD,
                         "group %s: the sender offers point %" PRIu64
                         ", this site has point %" PRIu64
                         " already: its records were lost or restored from an older state",
                         record->name, offer->point.seq, newest->point.seq);
    }
    return 0;
}

int fs_admit_seen(const struct fs_record *record, const struct fs_offer *offer,
                  enum fs_refusal *refusal, struct fs_error *err)
{
    uint64_t version = record ? record->version : 0;

    if (offer->peer_version <= version) {
        return 0;
    }
    return fs_refuse(refusal, FS_REFUSE_RECORD_LOST, err, FS_ERR_DATA, EBADFD,
                     "group %s: the sender has seen version %" PRIu64 " of the target's record, "
                     "%s%" PRIu64 ": the records of the target were lost or restored from an older "
                     "state; nothing is applied",
                     offer->name, offer->peer_version,
                     record ? "which is at version " : "which there is none of: version ", version);
}

bool fs_admit_place(const struct fs_admission *admission, const char *pool, const char *ns,
                    const char **ret_pool, const char **ret_ns)
{
    for (size_t i = 0; i < admission->n_pools; i++) {
        const struct fs_pool_map *map = &admission->pools[i];

        if (strcmp(map->source_pool, pool) == 0 && strcmp(map->source_ns, ns) == 0) {
            *ret_pool = map->target_pool;
            *ret_ns = map->target_ns;
            return true;
        }
    }
    for (size_t i = 0; i < admission->n_pools; i++) {
        const struct fs_pool_map *map = &admission->pools[i];

        if (strcmp(map->target_pool, pool) == 0 && strcmp(map->target_ns, ns) == 0) {
            *ret_pool = map->source_pool;
            *ret_ns = map->source_ns;
            return true;
        }
    }
    return false;
}

static bool is_held(const struct fs_offer *offer, const struct fs_uuid *id)
{
    for (size_t i = 0; i < offer->n_held; i++) {
        if (fs_uuid_equal(&offer->held[i], id)) {
            return true;
        }
    }
    return false;
}

int fs_admit_base(const struct fs_record *record, const struct fs_offer *offer,
                  const struct fs_record_point **ret_base, bool *ret_gone, enum fs_refusal *refusal,
                  struct fs_error *err)
{
    const struct fs_record_point *base = NULL, *newest = NULL;

    for (size_t i = 0; record && i < record->n_points; i++) {
        const struct fs_record_point *point = &record->points[i];

        if (point->state != FS_POINT_COMMITTED) {
            continue;
        }
        newest = point;
        if (is_held(offer, &point->point.id) && (!base || point->point.seq >= base->point.seq)) {
            base = point;
        }
    }
    bool resync = record && fs_record_is_resync(record);
    *ret_base = resync ? NULL : base;
    *ret_gone = resync || (newest && !base);
    if (*ret_gone && !resync && !same_term(&newest->point.term, &offer->term)) {
        return fs_refuse(
            refusal, FS_REFUSE_NO_BASE, err, FS_ERR_PERMANENT, ENOENT,
            "group %s: this site has recovery points of term %" PRIu64 ", the sender "
            "holds none of them and is in term %" PRIu64 ": the sites' histories have "
            "parted, and nothing is applied by itself. This site's points stay usable. "
            "`farshore resync %.100s --from %.100s` at this site ships what differs",
            record->name, newest->point.term.number, offer->term.number, record->name,
            record->peer);
    }
    return 0;
}
