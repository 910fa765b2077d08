/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durable state: omap objects in RADOS namespace "farshore" of the state pool, written by guarded
 * compound operations (compare the version, then write), with op timeouts and FULL_TRY.
 *
 *   site             omap: format, uuid, name, lease (JSON: key, instance, renewals), and one key
 *                    "instance.<address>" for each live client instance of the lease holder
 *   groups           omap: <group uuid> -> name (an index; an entry without a record is harmless)
 *   group.<uuid>     omap: version (decimal), record (JSON of farshore/record.h)
 *   current          omap: <group uuid> -> "<point id> <wall ns>"
 *
 * WORKER; thread-safe.
 */
#ifndef FARSHORE_SNAPSHOT_STATE_H
#define FARSHORE_SNAPSHOT_STATE_H

#include "farshore/site.h"
#include "snapshot/cluster.h"

struct fs_state;

int fs_state_open(struct fs_cluster *cluster, const char *pool, struct fs_state **ret_state,
                  struct fs_error *err);
void fs_state_close(struct fs_state *state);

/*
 * Store a record, guarded by record->version; on success record->version is the new one. -ESTALE
 * where someone else wrote in between (or our lease is known to be lost). version 0 creates.
 */
int fs_state_store(struct fs_state *state, struct fs_record *record, struct fs_error *err);
int fs_state_load(struct fs_state *state, const struct fs_uuid *group,
                  struct fs_record **ret_record, struct fs_error *err);
int fs_state_load_all(struct fs_state *state, struct fs_record ***ret_records, size_t *ret_count,
                      fs_site_bad_record_fn *bad, void *arg, struct fs_error *err);
int fs_state_note_current(struct fs_state *state, const struct fs_current *entries, size_t count,
                          struct fs_error *err);

/* A client instance of ours that a successor must blocklist: recorded before it does anything. */
int fs_state_add_instance(struct fs_state *state, const char *address, struct fs_error *err);
int fs_state_remove_instance(struct fs_state *state, const char *address, struct fs_error *err);

#endif
