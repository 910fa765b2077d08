/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One site's storage in memory: a source and a sink over the same images and records, with faults
 * on demand. It keeps the contracts of farshore/source.h and farshore/sink.h and is as unpleasant
 * as Ceph: diffs report more than has changed, list batches may be empty, completions come late and
 * out of order, and what was written but not synced may or may not be there after a crash.
 *
 * Records are stored copies guarded by version, so a test reads with mem_store_load what a
 * restarted daemon would. Completions travel through the mailbox; nothing happens until it is
 * drained. Everything random follows from the seed. LOOP only (the test's own thread).
 *
 *   store = mem_store_new("east", mailbox, clock, seed);
 *   image = mem_store_create(store, "rbd", "disk", 8 << 20);
 *   mem_image_write(image, 0, "hello", 5);
 *   mem_image_volume(image, &volume);            for fs_record_add_volume
 *   source = mem_store_source(store);            take, settle, open, list, read ...
 *   sink = mem_store_sink(other);                open, write, sync, commit ...
 */
#ifndef FARSHORE_SCENARIO_MEM_STORE_H
#define FARSHORE_SCENARIO_MEM_STORE_H

#include "farshore/clock.h"
#include "farshore/mailbox.h"
#include "farshore/operator.h"
#include "farshore/sink.h"
#include "farshore/source.h"

struct mem_store;
struct mem_image;

/* Aborts when out of memory, as everything here. mailbox and clock are borrowed. */
struct mem_store *mem_store_new(const char *fsid, struct fs_mailbox *mailbox,
                                const struct fs_clock *clock, uint64_t seed);
/* No operation may be under way. */
void mem_store_free(struct mem_store *store);
struct fs_source *mem_store_source(struct mem_store *store);
struct fs_sink *mem_store_sink(struct mem_store *store);
struct fs_operator *mem_store_operator(struct mem_store *store);
/* Whom looking for clients to be fenced finds from now on; borrowed. */
void mem_store_set_users(struct mem_store *store, const struct fs_fence *users, size_t count);

/* --- images --------------------------------------------------------------------------------- */

/* Pools exist by being named. At most 1 GiB. */
struct mem_image *mem_store_create(struct mem_store *store, const char *pool, const char *name,
                                   uint64_t size);
/* NULL where there is none. */
struct mem_image *mem_store_find(struct mem_store *store, const char *pool, const char *name);
/* Its snapshots go as well. Not while a reading or an incoming transfer uses it. */
void mem_store_remove(struct mem_store *store, struct mem_image *image);
/* From now on it is found by its id only. */
void mem_image_trash(struct mem_image *image);
/* As discovery would report it (uuid zero, no labels); ret_volume needs no fini. */
void mem_image_volume(const struct mem_image *image, struct fs_volume *ret_volume);
/* "fsid/pool id/ns/image id", as in an offer. */
void mem_store_identity(const struct mem_store *store, const struct fs_image_ref *ref,
                        char ret_identity[FS_NAME_SIZE]);

void mem_image_write(struct mem_image *image, uint64_t offset, const void *data, uint64_t length);
void mem_image_zero(struct mem_image *image, uint64_t offset, uint64_t length); /* a discard */
void mem_image_resize(struct mem_image *image, uint64_t size);
uint64_t mem_image_size(const struct mem_image *image);
void mem_image_read(const struct mem_image *image, uint64_t offset, void *data, uint64_t length);
/* Write so many bytes of noise (compressible: text-like) from the store's random numbers. */
void mem_image_scribble(struct mem_image *image, uint64_t offset, uint64_t length,
                        bool compressible);
/* May its users write to it? True for an image that is stamped as primary, and for one without a
 * stamp; not while an operation or a transfer holds it, nor when it is parked. */
bool mem_image_is_writable(const struct mem_image *image);
/* A client has it open for writing, or no more. */
void mem_image_use(struct mem_image *image, bool in_use);
/* The snapshot of what a site that yielded kept aside; 0: none. */
uint64_t mem_image_left(const struct mem_image *image);
void mem_image_read_left(struct mem_image *image, uint64_t offset, void *data, uint64_t length);
/* Does the head hold exactly what the snapshot does? */
bool mem_image_is_at(struct mem_image *image, uint64_t snap_id);
/* Bytes that the head really holds, in blocks of 4 KiB: what a hole saves. */
uint64_t mem_image_allocated(const struct mem_image *image);
/* By a source's stamp: its group, which is copied beside the one that it joins; zero: none. */
struct fs_uuid mem_image_beside(const struct mem_image *image);
size_t mem_image_snapshots(const struct mem_image *image);
/* Somebody removes a point's snapshot from the image, whoever names it. */
void mem_image_drop_point(struct mem_image *image, const struct fs_uuid *point);

/* --- records -------------------------------------------------------------------------------- */

/* A copy of what is durably stored (with current_until_ns merged in), or NULL. */
struct fs_record *mem_store_load(const struct mem_store *store, const struct fs_uuid *group);
size_t mem_store_count_records(const struct mem_store *store);
/* The i-th one, a copy. */
struct fs_record *mem_store_load_at(const struct mem_store *store, size_t index);
/* Put a record there as it is, whatever its version; copied. For tests that begin in the middle. */
void mem_store_put(struct mem_store *store, const struct fs_record *record);
/* True where both hold the point and every volume of it has the same size and bytes (I1). */
bool mem_store_same_point(const struct mem_store *a, const struct mem_store *b,
                          const struct fs_uuid *group, const struct fs_uuid *point);

/* --- Kubernetes objects ---------------------------------------------------------------------- */

size_t mem_store_count_captured(const struct mem_store *store);
/* The document of the group's point, or NULL; the caller's. */
char *mem_store_captured(const struct mem_store *store, const struct fs_uuid *group,
                         const struct fs_uuid *point);
/* They are lost, or (damage) not what they were. */
void mem_store_lose_captured(struct mem_store *store, bool damage);

/* --- faults --------------------------------------------------------------------------------- */

enum mem_op {
    MEM_OP_ANY = 0,
    MEM_OP_TAKE,
    MEM_OP_SETTLE,
    MEM_OP_STORE,
    MEM_OP_RELEASE,
    MEM_OP_OPEN, /* of the source */
    MEM_OP_LIST,
    MEM_OP_OBJECTS, /* of either */
    MEM_OP_READ,
    MEM_OP_CLOSE,
    MEM_OP_SINK_OPEN,
    MEM_OP_WRITE,
    MEM_OP_DIGEST, /* of the sink */
    MEM_OP_SYNC,
    MEM_OP_COMMIT,
    MEM_OP_SINK_CLOSE,
    MEM_OP_NOTE_CURRENT,
    MEM_OP_RECOVER,
    MEM_OP_PROMOTE,
    MEM_OP_FOLLOW,
    MEM_OP_DEMOTE,
    MEM_OP_UNUSED,
    MEM_OP_LOG,
    MEM_OP_FENCE,
    MEM_OP_FENCE_LOOK,
    MEM_OP_FORGET,
    MEM_OP_COUNT,
};

/* Let `times` operations of the kind fail from the nth on that starts after this (1: the next
 * one); closes cannot fail and are not counted. Replaces what was set before for the kind;
 * times 0 clears, UINT64_MAX is persistent. */
void mem_store_fail(struct mem_store *store, enum mem_op kind, uint64_t nth, uint64_t times,
                    enum fs_error_class class, int code);
/* Operations of the kind stay under way until it is released (they count as in flight). */
void mem_store_hold(struct mem_store *store, enum mem_op kind);
void mem_store_release(struct mem_store *store, enum mem_op kind);
/* Completions are delayed by up to three drains of the mailbox, so they overtake each other. */
void mem_store_shuffle(struct mem_store *store, bool on);
/* Operations of the kind that were started so far, and that are under way. */
uint64_t mem_store_started(const struct mem_store *store, enum mem_op kind);
uint64_t mem_store_in_flight(const struct mem_store *store, enum mem_op kind);

/*
 * The process that uses this store dies: unsynced writes are kept or lost, 512 bytes at a time;
 * takes and commits under way stop anywhere. From now on every operation fails with ESHUTDOWN and
 * has no effect, so that the old state machines can be drained, until restart.
 */
void mem_store_crash(struct mem_store *store);
/* The same when the nth operation from now on starts (1: the next); 0 clears. */
void mem_store_crash_at(struct mem_store *store, uint64_t nth);
/* In the hook of fs_fault_set_hook: the store whose operation passes; NULL: the daemon itself. */
extern struct mem_store *mem_store_passing;
bool mem_store_crashed(const struct mem_store *store);
void mem_store_restart(struct mem_store *store);

#endif
