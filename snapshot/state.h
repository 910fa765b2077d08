/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durable state: omap objects in RADOS namespace "farshore" of the state pool, written by guarded
 * compound operations (compare the version, then write), with op timeouts and FULL_TRY.
 *
 *   site             omap: format, uuid, name, holder (a random token), lease (JSON: key, instance,
 *                    renewals, lease_ms), and one key "instance.<address>" for each live client
 *                    instance of the holder
 *   groups           omap: <group uuid> -> name at its creation (an index for people and listings;
 *                    an entry without a record is harmless)
 *   group.<uuid>     omap: version (decimal), record (JSON of farshore/record.h), writer (a nonce
 *                    of the write, by which a write whose answer was lost is known again)
 *   current          omap: <group uuid> -> "<point id> <wall ns>"
 *
 * WORKER; thread-safe.
 */
#ifndef FARSHORE_SNAPSHOT_STATE_H
#define FARSHORE_SNAPSHOT_STATE_H

#include "farshore/site.h"
#include "snapshot/cluster.h"

struct fs_state;

/* The longest record that is stored or loaded; more groups than this are not listed. */
#define FS_STATE_RECORD_MAX (32u << 20)
#define FS_STATE_GROUPS_MAX 65536u

/* Opens the pool's namespace and proves that it can be written. -errno. */
int fs_state_open(struct fs_cluster *cluster, const char *pool, struct fs_state **ret_state,
                  struct fs_error *err);
void fs_state_close(struct fs_state *state); /* NULL is allowed */

/*
 * Store a record, guarded by record->version; on success record->version is the new one. -ESTALE
 * where someone else wrote in between (or our lease is known to be lost). version 0 creates.
 * After -ETIMEDOUT the record may or may not be stored; calling again with it finds out, and never
 * takes the earlier try for someone else's.
 */
int fs_state_store(struct fs_state *state, struct fs_record *record, struct fs_error *err);
/* *ret_record is the caller's. -ENOENT, -EINVAL (garbage), -EPROTONOSUPPORT (newer format). */
int fs_state_load(struct fs_state *state, const struct fs_uuid *group,
                  struct fs_record **ret_record, struct fs_error *err);
/* As fs_site_load. A cluster that does not answer fails the whole. */
int fs_state_load_all(struct fs_state *state, struct fs_record ***ret_records, size_t *ret_count,
                      fs_site_bad_record_fn *bad, void *arg, struct fs_error *err);
/*
 * Remove the stored record, guarded as fs_state_store, and what is noted of the group beside it;
 * also 0 where it is gone already.
 */
int fs_state_remove(struct fs_state *state, const struct fs_record *record, struct fs_error *err);
/* One write for all entries. */
int fs_state_note_current(struct fs_state *state, const struct fs_current *entries, size_t count,
                          struct fs_error *err);

/*
 * A client instance of ours that a successor must blocklist: recorded before it does anything.
 * -ESTALE where the lease is not ours any more: then it must not do anything either. Remove it
 * when it has ended in order or is blocklisted; both may be repeated.
 */
int fs_state_add_instance(struct fs_state *state, const char *address, struct fs_error *err);
int fs_state_remove_instance(struct fs_state *state, const char *address, struct fs_error *err);

/* --- for this directory ---------------------------------------------------------------------- */

#define FS_STATE_NAMESPACE "farshore"
#define FS_STATE_SITE      "site"
#define FS_STATE_GROUPS    "groups"
#define FS_STATE_CURRENT   "current"
#define FS_STATE_DRILLS    "drills"
#define FS_STATE_FENCES    "fences"
#define FS_STATE_VERIFY    "verify"
#define FS_STATE_INSTANCE  "instance."

/* The name of a group's object. */
#define FS_STATE_OBJECT_SIZE (FS_UUID_TEXT + 8)
void fs_state_object(const struct fs_uuid *group, char ret_name[FS_STATE_OBJECT_SIZE]);
/* The name of the object with the log of its operations (snapshot/history.h). */
#define FS_STATE_HISTORY_SIZE (FS_UUID_TEXT + 8)
char *fs_state_history(const struct fs_uuid *group, char ret_name[FS_STATE_HISTORY_SIZE]);
const char *fs_state_pool(const struct fs_state *state);

/* Borrowed: pool and namespace of the objects. */
rados_ioctx_t fs_state_ioctx(struct fs_state *state);
/* The token under which the site is held, "" for nobody's; guards fs_state_add_instance. */
void fs_state_set_holder(struct fs_state *state, const char *holder);
/* While lost, whatever writes fails with -ESTALE without asking the cluster. */
void fs_state_set_lost(struct fs_state *state, bool lost);

/* Text of an entry of `current`: 0 or -EINVAL. Pure. */
int fs_state_parse_current(const char *text, struct fs_uuid *ret_point, int64_t *ret_until_ns);
/* A version as stored: decimal, above 0, canonical: 0 or -EINVAL. Pure. */
int fs_state_parse_version(const char *text, uint64_t *ret_version);

#endif
