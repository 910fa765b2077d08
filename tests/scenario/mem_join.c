/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes that join a group, at its target. */
#include <stdlib.h>

#include "tests/scenario/mem_private.h"

bool mem_join(struct mem_store *store, const struct fs_admission *admission,
              struct fs_record *record, struct fs_error *err)
{
    for (size_t i = 0; i < admission->n_joining; i++) {
        if (fs_record_join(record, admission->joining[i]) < 0) {
            abort();
        }
        const struct fs_image_ref *ref = &admission->joining[i]->volumes[0].volume.image;
        mem_store_find_ref(store, ref)->owner = record->group;
    }
    return admission->n_joining == 0 ||
           (mem_record_store(store, record, err) == 0 && !mem_pass(store, "join.taken_over"));
}

bool mem_same_seeds(struct fs_record *record, const struct fs_offer *offer,
                    const struct fs_uuid *base_id)
{
    const struct fs_record_point *base = fs_record_find_point(record, base_id);
    for (size_t v = 0; base && v < offer->n_volumes; v++) {
        const struct fs_uuid *volume = &offer->volumes[v].volume.uuid;
        const struct fs_record_point *seed = fs_record_find_seed(record, volume);
        const struct fs_uuid none = {0};
        if (!fs_record_find_content(base, volume) &&
            !fs_uuid_equal(seed ? &seed->point.id : &none, &offer->volumes[v].seed)) {
            return false;
        }
    }
    return true;
}
