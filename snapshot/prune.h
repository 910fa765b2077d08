/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removal of the snapshots of points at the source. By snapshot id where the record has one; of a
 * half-taken point by its exact name, which holds random digits. Never touches a snapshot whose
 * writer does not answer (that would kill the writer), nor any other snapshot. WORKER.
 */
#ifndef FARSHORE_SNAPSHOT_PRUNE_H
#define FARSHORE_SNAPSHOT_PRUNE_H

#include <jansson.h>

#include "farshore/record.h"
#include "snapshot/helper.h"
#include "snapshot/image.h"
#include "snapshot/site.h"
#include "snapshot/takepoint.h"

/* The name of the RBD group of ours through which a group's snapshots are taken. */
#define FS_RBD_GROUP_SIZE (sizeof("farshore.") + FS_UUID_TEXT)
char *fs_rbd_group_name(const struct fs_uuid *group, char ret_name[FS_RBD_GROUP_SIZE]);

/* The image is no member of that RBD group, whose pool that is, any more. */
int fs_prune_membership(struct fs_cluster *cluster, const struct fs_image *image,
                        const struct fs_image_ref *ref, const char *group, int64_t pool_id,
                        struct fs_error *err);

/*
 * 0: nothing of the point is left in the cluster (the record still has it). Otherwise some may
 * be: try again later. The removals run in the helper process, which is killed when one does not
 * return: librbd would go on to break the lock of a writer that has stopped meanwhile.
 */
int fs_prune_point(struct fs_helpers *helpers, const struct fs_record *record,
                   const struct fs_record_point *point, struct fs_error *err);

/*
 * The helper's side of it. request: {"remove": point id, "record": the record's JSON text}. Returns
 * a new reference, or NULL when out of memory: {"event": "done", "ok": true}, or a failure as
 * fs_takepoint's.
 */
json_t *fs_prune_serve(struct fs_cluster *cluster, const json_t *request,
                       fs_takepoint_hold_fn *hold);

/*
 * One volume's snapshots of a point, from an image that this process holds; then, once all its
 * volumes are done, what is left of the point's RBD group snapshot. For a site that is primary no
 * more, where no writer can be in the way.
 */
int fs_prune_held(const struct fs_image *image, const struct fs_record *record,
                  const struct fs_record_point *point, const struct fs_record_content *content,
                  struct fs_error *err);
int fs_prune_group_snapshot(struct fs_cluster *cluster, const struct fs_record *record,
                            const struct fs_record_point *point, struct fs_error *err);

/*
 * Remove snapshots of points of the record's term that no record knows (a record that was
 * restored from an older copy has forgotten them) from one volume. Whatever a record of any group
 * of this site names stays, and so does everything that is not a point's or a mark's exact name.
 */
int fs_prune_unknown(struct fs_site *site, const struct fs_record *record,
                     const struct fs_image_ref *volume, struct fs_error *err);

#endif
