/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where points are applied: the second table. snapshot/ implements it over Ceph, tests/scenario
 * in memory. The rules of farshore/source.h hold here too: called on the LOOP, done is called
 * exactly once, later, on the LOOP; what is passed in belongs to the operation until done.
 */
#ifndef FARSHORE_SINK_H
#define FARSHORE_SINK_H

#include "farshore/captured.h"
#include "farshore/digest.h"
#include "farshore/error.h"
#include "farshore/record.h"
#include "farshore/retention.h"

struct fs_sink;     /* one site's storage as a target */
struct fs_incoming; /* one transfer that is being applied */

/* One volume as the source offers it; part of struct fs_offer. */
struct fs_offer_volume {
    struct fs_volume volume;     /* uuid, image (at the source), PVC, labels */
    char identity[FS_NAME_SIZE]; /* "fsid/pool id/ns/image id" at the source */
    struct fs_geometry geometry; /* at the point */
    /* The point of the group that the volume was before it joined, from which the source diffs
     * where the base does not have the volume; zero: none. */
    struct fs_uuid seed;
};

/* A point that a source wants to ship: the OFFER message, validated. */
struct fs_offer {
    struct fs_uuid group;
    char name[FS_NAME_SIZE]; /* of the group */
    char policy[FS_NAME_SIZE];
    struct fs_term term;
    struct fs_point_id point;
    unsigned flags;          /* FS_POINT_* */
    uint64_t taken_age_ns;   /* how long ago the point was taken */
    uint64_t interval_ns;    /* of the source's policy */
    uint64_t record_version; /* of the source's record */
    uint64_t peer_version;   /* the highest of the target's record that the source has seen */
    struct fs_captured objects;
    struct fs_uuid joins; /* the group that this one's volume is to join; zero: none */
    size_t n_held;
    struct fs_uuid *held; /* owned; ids of points that the source can diff from */
    size_t n_volumes;
    struct fs_offer_volume *volumes; /* owned */
};

void fs_offer_fini(struct fs_offer *offer);

/* What the target's configuration says to an offer; filled by the daemon. */
struct fs_pool_map {
    char source_pool[FS_POOL_SIZE];
    char source_ns[FS_POOL_SIZE];
    char target_pool[FS_POOL_SIZE];
    char target_ns[FS_POOL_SIZE];
};

#define FS_JOINING_MAX 16

struct fs_admission {
    char peer[FS_NAME_SIZE];
    /* Records of groups here whose volume is one of the offer's by now: it is taken over from
     * them. Borrowed until done, and nothing else works on those groups so long. */
    const struct fs_record *joining[FS_JOINING_MAX];
    size_t n_joining;
    const struct fs_pool_map *pools; /* borrowed until done */
    size_t n_pools;
    struct fs_retention retain; /* committed points to keep */
    bool adopt;   /* an operator said so: keep aside what others wrote to the images, and go on */
    bool compare; /* the source can find the difference to what the images hold by digests */
};

/* Why an offer was refused; numbers are the wire's. */
enum fs_refusal {
    FS_REFUSE_NONE = 0,
    FS_REFUSE_UNKNOWN_POLICY = 1,
    FS_REFUSE_POOL_NOT_MAPPED = 2,
    FS_REFUSE_NOT_OWNED = 3,   /* an image of that name exists and is not ours */
    FS_REFUSE_STALE_TERM = 4,  /* the target knows a higher term */
    FS_REFUSE_SPLIT_BRAIN = 5, /* equal numbers, different sites */
    FS_REFUSE_NOT_SECONDARY = 6,
    FS_REFUSE_NO_BASE = 7, /* the target has points and none in common */
    FS_REFUSE_NO_SPACE = 8,
    FS_REFUSE_BUSY = 9,         /* another transfer of the group, or a limit */
    FS_REFUSE_UNAVAILABLE = 10, /* the cluster is away */
    FS_REFUSE_DIGEST = 11,      /* at commit: the digests differ */
    FS_REFUSE_BROKEN = 12,      /* anything else: the message says what */
    FS_REFUSE_TAMPERED = 13,    /* somebody else wrote to an image of the target */
    FS_REFUSE_RECORD_LOST = 14, /* a site's records are older than what is known of them */
    FS_REFUSE_SUPERSEDED = 15,  /* it was primary itself until the sender was promoted */
    FS_REFUSE_TRIMMING = 16,    /* too early: its cluster is behind with trimming snapshots */
    FS_REFUSE_FOREIGN = 17,     /* an image of that name exists and is nobody's of ours */
    FS_REFUSE_LAST = FS_REFUSE_FOREIGN,
};

struct fs_sink_open_result {      /* valid during the callback */
    struct fs_record *record;     /* moved out: the group's record now; NULL where it was NULL and
                                     the offer was refused */
    struct fs_incoming *incoming; /* NULL: refused (err, refusal) or already committed */
    bool committed;               /* this very point is committed here already */
    /* Zero: a first copy; the point itself: by digests, from whatever the images hold (only with
     * admission.compare); the newest point that both hold otherwise. */
    struct fs_uuid base;
    /* n_volumes of the offer, in its order; where to go on. Borrowed for the callback. */
    const struct fs_position *positions;
    bool objects_wanted; /* the Kubernetes objects of the point are not here yet */
    enum fs_refusal refusal;
    struct fs_error err;
};

typedef void fs_sink_open_fn(void *arg, struct fs_sink_open_result *result);
typedef void fs_sink_io_fn(void *arg, const struct fs_error *err);
typedef void fs_sink_record_fn(void *arg, struct fs_record *record, const struct fs_error *err);

/* Some extents of one volume and the contents of the DATA ones, in order, back to back. */
struct fs_segment_data {
    unsigned volume;                 /* index into the offer's volumes */
    const struct fs_extent *extents; /* ascending, disjoint, inside the volume */
    size_t n_extents;
    const uint8_t *payload;
    size_t payload_length; /* sum of the DATA extents' lengths */
};

struct fs_current { /* "group G was unchanged until ..." */
    struct fs_uuid group;
    struct fs_uuid point;     /* its newest committed point */
    int64_t current_until_ns; /* wall clock of this site */
};

struct fs_sink_ops {
    /*
     * Accept or refuse an offer: check term and ownership, create what is missing, resize, lock.
     * record is moved in; NULL for a group that this site does not know. offer and admission
     * are borrowed until done.
     */
    void (*open)(struct fs_sink *sink, struct fs_record *record, const struct fs_offer *offer,
                 const struct fs_admission *admission, fs_sink_open_fn *done, void *arg);

    /* Apply a segment. Any number may be in flight, of disjoint ranges; the caller bounds them. */
    void (*write)(struct fs_incoming *incoming, const struct fs_segment_data *segment,
                  fs_sink_io_fn *done, void *arg);

    /*
     * Digest what the image of the query's volume holds now; fills list as a digester's next does.
     * One at a time, and nothing of the range is being written.
     */
    void (*digest)(struct fs_incoming *incoming, const struct fs_digest_query *query,
                   struct fs_digest_list *list, fs_sink_io_fn *done, void *arg);

    /*
     * Flush, then store positions (one per volume of the offer; copied) durably. The caller makes
     * sure that everything below them was written. No commit at the same time.
     */
    void (*sync)(struct fs_incoming *incoming, const struct fs_position *positions,
                 fs_sink_io_fn *done, void *arg);

    /*
     * The Kubernetes objects that were wanted: check that they are those that the offer names, and
     * store them. An empty packed: the source has lost them, and the point is without. Not at the
     * same time as commit. packed is moved in and left empty.
     */
    void (*objects)(struct fs_incoming *incoming, struct fs_buf *packed, fs_sink_io_fn *done,
                    void *arg);

    /*
     * Nothing is in flight and the digests agree: flush, store committing, snapshot every
     * volume, store committed, prune by retention. chains: one per volume. done gets a copy of
     * the record (its own to free); incoming stays until close.
     */
    void (*commit)(struct fs_incoming *incoming, const struct fs_position *finals, uint64_t bytes,
                   fs_sink_record_fn *done, void *arg);

    /* Drain, let go of the images (parked), free incoming; done gets the record back and never
     * an error. */
    void (*close)(struct fs_incoming *incoming, fs_sink_record_fn *done, void *arg);

    /*
     * A secondary's record as it was loaded: finish the commit that a crash interrupted (or give
     * it up, where an image may have been written by others since), remove what was being let go.
     * record is moved in; done gets it back as it is stored. No transfer of the group at the time.
     */
    void (*recover)(struct fs_sink *sink, struct fs_record *record, fs_sink_record_fn *done,
                    void *arg);

    /* Store moments durably, one write for all. Copied. */
    void (*note_current)(struct fs_sink *sink, const struct fs_current *entries, size_t count,
                         fs_sink_io_fn *done, void *arg);
};

struct fs_sink {
    const struct fs_sink_ops *ops;
};

struct fs_incoming {
    const struct fs_sink_ops *ops;
};

#endif
