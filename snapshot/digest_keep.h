/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What verification leaves in the state namespace:
 *
 *   digest.<group uuid>.<point uuid>
 *              omap: "<volume uuid>.<16 hex digits of from>" -> one batch (u64 next, u32 count,
 * then offset u64 and digest u64 for each entry; little endian), and "proved" once both sites were
 * found to hold the same; removed with the point verify     omap: <group uuid> -> text of the
 * newest result, the daemon's
 *
 * And the points that are held while somebody digests them. WORKER but for the holds, which are of
 * ANY thread.
 */
#ifndef FARSHORE_SNAPSHOT_DIGEST_KEEP_H
#define FARSHORE_SNAPSHOT_DIGEST_KEEP_H

#include <pthread.h>

#include "farshore/digest.h"
#include "snapshot/state.h"

int fs_digest_keep(struct fs_state *state, const struct fs_uuid *group, const struct fs_uuid *point,
                   const struct fs_uuid *volume, uint64_t from, const struct fs_digest_list *list,
                   struct fs_error *err);
int fs_digest_prove(struct fs_state *state, const struct fs_uuid *group,
                    const struct fs_uuid *point, struct fs_error *err);
/* Also 0 where there is nothing. */
int fs_digest_unkeep(struct fs_state *state, const struct fs_uuid *group,
                     const struct fs_uuid *point, struct fs_error *err);
/* 0, or -ENOENT with err: it was never proved. */
int fs_digest_is_proved(struct fs_state *state, const struct fs_uuid *group,
                        const struct fs_uuid *point, struct fs_error *err);
/* The batch that began at from. -ENOENT (data): it is not there. */
int fs_digest_load(struct fs_state *state, const struct fs_uuid *group, const struct fs_uuid *point,
                   const struct fs_uuid *volume, uint64_t from, struct fs_digest_list *ret_list,
                   struct fs_error *err);

int fs_digest_note(struct fs_state *state, const struct fs_uuid *group, const char *text,
                   struct fs_error *err);
/* The array and its texts are the caller's. */
int fs_digest_notes(struct fs_state *state, struct fs_digest_note **ret_notes, size_t *ret_count,
                    struct fs_error *err);
void fs_digest_notes_free(struct fs_digest_note *notes, size_t count);

struct fs_holds {
    pthread_mutex_t lock;
    size_t count;
    struct fs_uuid *points; /* owned; one entry for each hold */
};

void fs_holds_init(struct fs_holds *holds);
void fs_holds_fini(struct fs_holds *holds);
int fs_holds_add(struct fs_holds *holds, const struct fs_uuid *point); /* 0 or -ENOMEM */
void fs_holds_remove(struct fs_holds *holds, const struct fs_uuid *point);
void fs_holds_clear(struct fs_holds *holds); /* all of them */
bool fs_holds_has(struct fs_holds *holds, const struct fs_uuid *point);

#endif
