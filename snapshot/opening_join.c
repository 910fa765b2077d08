/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/opening_join.h"

#include "farshore/fault.h"
#include "snapshot/admit.h"

int fs_opening_join(struct fs_opening *opening)
{
    const struct fs_admission *admission = opening->admission;
    struct fs_record *work;
    int rc = 0;

    if (admission->n_joining == 0 || !opening->record) {
        return 0;
    }
    work = fs_record_copy(opening->record);
    for (size_t i = 0; work && rc == 0 && i < admission->n_joining; i++) {
        rc = fs_record_join(work, admission->joining[i]);
    }
    if (!work || rc < 0) {
        rc = rc == 0 || rc == -ENOMEM
                 ? fs_opening_no_memory(opening)
                 : fs_error_set(&opening->err, FS_ERR_PERMANENT, -rc,
                                "no room for a volume that joins it: it has %zu volumes and %zu "
                                "points already",
                                opening->record->n_volumes, opening->record->n_points);
    }
    if (rc == 0) {
        rc = fs_opening_store(opening, work);
        fs_fault("join.taken_over");
    }
    fs_record_free(work);
    return rc;
}

/* Do both sites start a volume that the base does not have from the same content? */
static bool same_seeds(const struct fs_opening *opening)
{
    const struct fs_record_point *base = fs_record_find_point(opening->record, &opening->plan.base);

    for (size_t i = 0; i < opening->offer->n_volumes; i++) {
        const struct fs_offer_volume *offered = &opening->offer->volumes[i];
        const struct fs_uuid *volume = &offered->volume.uuid;
        const struct fs_record_point *seed = fs_record_find_seed(opening->record, volume);
        bool in_base = base && fs_record_find_content(base, volume);
        bool same =
            seed ? fs_uuid_equal(&seed->point.id, &offered->seed) : fs_uuid_is_zero(&offered->seed);

        if (!in_base && !same) {
            return false;
        }
    }
    return true;
}

int fs_opening_check_seeds(struct fs_opening *opening)
{
    bool resync = opening->record && fs_record_is_resync(opening->record); /* of one that joined */

    if (!opening->record ||
        (!resync && (fs_uuid_is_zero(&opening->plan.base) || same_seeds(opening)))) {
        return 0;
    }
    if (!opening->admission->compare) {
        return fs_refuse(&opening->refusal, FS_REFUSE_NO_BASE, &opening->err, FS_ERR_PERMANENT,
                         ENOENT,
                         "group %s: a volume that has just joined it starts from another point "
                         "here than at the sender, whose Farshore cannot find the difference by "
                         "digests: upgrade it",
                         opening->offer->name);
    }
    opening->plan.base = opening->offer->point.id;
    return 0;
}
