/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where points come from: one of the two tables through which ship/ and the daemon's state
 * machines meet storage. snapshot/ implements it over Ceph; tests/scenario has one in memory.
 *
 * Every operation is called on the LOOP, returns at once, and calls done exactly once, later, on
 * the LOOP (never from inside the call). Failures arrive through done. Buffers passed in belong
 * to the operation until done. One record-changing operation per group at a time.
 */
#ifndef FARSHORE_SOURCE_H
#define FARSHORE_SOURCE_H

#include "farshore/captured.h"
#include "farshore/error.h"
#include "farshore/record.h"

struct fs_source;  /* one site's storage as a source of points */
struct fs_reading; /* a point opened for reading, against a base */

enum fs_take_outcome {
    FS_TAKE_FAILED = 0,
    FS_TAKE_POINT,     /* the record's last point is new and FS_POINT_COMPLETE */
    FS_TAKE_UNCHANGED, /* nothing was taken, nothing changed until the operation began */
    FS_TAKE_PREPARED,  /* as asked for: the record's last point is new and FS_POINT_TAKING */
};

enum fs_take_reason { /* why a take failed, where it is a state of its own */
                      FS_TAKE_REASON_NONE = 0,
                      FS_TAKE_WRITER_SILENT,
                      FS_TAKE_NOT_ONE_INSTANT, /* the policy refuses such points */
                      FS_TAKE_BOUND_PASSED,    /* the helper was killed and blocklisted */
                      FS_TAKE_FOREIGN_GROUP,   /* a volume is in an RBD group that is not ours */
                      FS_TAKE_RECORD_LOST,     /* a volume's stamp is of a later term */
};

struct fs_take_request {
    struct fs_record *record;   /* moved in; as discovery and the record module left it */
    const struct fs_uuid *base; /* newest point that the peer is known to hold, or NULL; read
                                   during the call only */
    bool force;                 /* take one even where nothing changed */
    bool refuse_not_one_instant;
    int64_t bound_ns; /* the longest that writers may be held (default 5 s) */
    /* The Kubernetes objects of the group; a point that carries other ones has changed. packed:
     * read during the call only; NULL: they are there, a point of the record carries them. */
    struct fs_captured objects;
    const struct fs_buf *packed;
    /* Do all but the snapshots: they are the next call's, once others are quiesced. */
    bool prepare;
    /* Clients whose librbd has quiesce hooks are asked to come to rest. Where one cannot, no point
     * is taken (refuse_unquiesced), or one without FS_POINT_APPLICATION. */
    bool refuse_unquiesced;
    bool skip_hooks; /* they are not asked */
    /* The group has another volume, which is still copied beside its points. */
    bool volume_missing;
    /* Boot clock: snapshots that are there before then are FS_POINT_APPLICATION; 0: none are. */
    int64_t application_until_ns;
};

struct fs_take_result { /* valid during the callback */
    enum fs_take_outcome outcome;
    enum fs_take_reason reason;
    struct fs_record *record; /* moved out to the callback; never NULL */
    int64_t pause_ns;         /* POINT: how long writers were held, as measured by the helper */
    /* Why the unchanged check or the diffs of this group are slow, "" where they are fast. */
    char slow_reason[128];
    struct fs_error err;
};

typedef void fs_take_fn(void *arg, struct fs_take_result *result);
typedef void fs_record_fn(void *arg, struct fs_record *record, const struct fs_error *err);
typedef void fs_reading_fn(void *arg, struct fs_reading *reading, const struct fs_error *err);

/* A batch of changed extents, ascending and disjoint, of the range [from, next). */
struct fs_extent_list {
    struct fs_extent *extents; /* caller's */
    size_t capacity;
    size_t count;  /* out */
    uint64_t next; /* out: where the next batch starts; the volume's size at its end */
};

/* One range of a volume and where its bytes go. */
struct fs_read {
    uint64_t offset, length; /* length is not 0 */
    void *buffer;
};

typedef void fs_list_fn(void *arg, struct fs_extent_list *list, const struct fs_error *err);
typedef void fs_io_fn(void *arg, const struct fs_error *err);
/* packed is borrowed. */
typedef void fs_packed_fn(void *arg, const struct fs_buf *packed, const struct fs_error *err);

struct fs_source_ops {
    /*
     * Take a point of the record's present (not gone) volumes, or find that nothing changed.
     * The seq is used up in the stored record before the first snapshot exists. Removes
     * half-taken points that it finds in the record.
     */
    void (*take)(struct fs_source *source, const struct fs_take_request *request, fs_take_fn *done,
                 void *arg);

    /*
     * Finish the record's point that a take prepared, as one call of take does. Of the request base
     * and force count no more.
     */
    void (*snapshot)(struct fs_source *source, const struct fs_take_request *request,
                     fs_take_fn *done, void *arg);

    /*
     * The peer holds `committed` as a recovery point: store it, and remove older points and
     * their marks here. agreed (n_contents digests in the order of the point's contents) is
     * stored with the point; read during the call. current_until_ns likewise.
     */
    void (*settle)(struct fs_source *source, struct fs_record *record,
                   const struct fs_uuid *committed, const struct fs_digest *agreed,
                   int64_t current_until_ns, fs_record_fn *done, void *arg);

    /* Store the record as it is now (role, pause, membership, name). */
    void (*store)(struct fs_source *source, struct fs_record *record, fs_record_fn *done,
                  void *arg);

    /*
     * Give up what keeps an image that left its group from being removed: the snapshots of points
     * on volumes that are gone from the record, or (whole) on all of them; with removed_only just
     * those whose image is in the trash or deleted. A point that has no volume left, or was not
     * committed yet, goes with them; in others the snapshot ids become 0. done gets the record as
     * it is stored.
     */
    void (*release)(struct fs_source *source, struct fs_record *record, bool whole,
                    bool removed_only, fs_record_fn *done, void *arg);

    /* The Kubernetes objects that a point of the group carries, packed, in whatever role the site
     * is. -ENOENT (permanent): they are gone. */
    void (*objects)(struct fs_source *source, const struct fs_uuid *group,
                    const struct fs_captured *captured, fs_packed_fn *done, void *arg);

    /*
     * Open a point for reading; base NULL or zero: everything that it holds (for a clone also
     * what it has from its parent). The record is read during the call only. -ENODATA: the base's
     * snapshots are gone, so changes since cannot be told.
     */
    void (*open)(struct fs_source *source, const struct fs_record *record,
                 const struct fs_uuid *point, const struct fs_uuid *base, fs_reading_fn *done,
                 void *arg);

    /*
     * Changed extents of volume (index into the point's contents) from `from` on; fills list.
     * Exact; in time that grows with what changed. An empty batch with next < size is allowed.
     * Extents may be of kind ZERO where the diff already knows it. One list at a time and volume.
     */
    void (*list)(struct fs_reading *reading, unsigned volume, uint64_t from,
                 struct fs_extent_list *list, fs_list_fn *done, void *arg);

    /*
     * A hole between two ranges is better read through than left out up to this many bytes: it
     * costs the cluster less. At once.
     */
    uint64_t (*read_gap)(const struct fs_reading *reading, unsigned volume);

    /*
     * Read ranges of a volume at the point, ascending and disjoint, each into its buffer; holes
     * read as zeroes. Best are all ranges of an object in one call. Any number of calls may be in
     * flight; the caller bounds them.
     */
    void (*read)(struct fs_reading *reading, unsigned volume, const struct fs_read *ranges,
                 size_t count, fs_io_fn *done, void *arg);

    /* Waits for what is in flight, then frees reading; done may be NULL. Never fails. */
    void (*close)(struct fs_reading *reading, fs_io_fn *done, void *arg);
};

/* First member of an implementation. */
struct fs_source {
    const struct fs_source_ops *ops;
};

struct fs_reading {
    const struct fs_source_ops *ops;
};

#endif
