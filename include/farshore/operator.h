/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operations on a group (failover and its like) do to a site's storage, and the log of them:
 * the fourth table. snapshot/ implements it over Ceph, tests/scenario in memory. The rules of
 * farshore/source.h hold here too: called on the LOOP, done is called exactly once, later, on the
 * LOOP; what is passed in belongs to the operation until done.
 */
#ifndef FARSHORE_OPERATOR_H
#define FARSHORE_OPERATOR_H

#include <stdatomic.h>

#include "farshore/sink.h"

struct fs_operator;

/* What a worker is busy with, for people; the worker writes it and the loop reads it. Zeroed by
 * its owner, whom it outlives until done. */
struct fs_doing {
    _Atomic(const char *) what; /* static text, "taking the locks"; NULL: nothing yet */
    atomic_uint at, of;         /* images; of 0: not countable */
};

/* The log of a group's operations keeps so many of its newest entries. */
#define FS_HISTORY_MAX 500
/* The longest text of one. */
#define FS_HISTORY_TEXT_MAX 4096

struct fs_history_entry {
    int64_t wall_ns;
    char *text; /* owned by the array: what log was given */
};

/* Borrowed for the callback; oldest first. */
typedef void fs_history_fn(void *arg, const struct fs_history_entry *entries, size_t count,
                           const struct fs_error *err);

/* --- drills ----------------------------------------------------------------------------------- */

/* What the names of a drill's images begin with; discovery leaves such images out. */
#define FS_DRILL_PREFIX  "farshore-drill."
#define FS_DRILL_NO_EXIT (-1) /* no test has ended yet */

struct fs_drill_image {
    struct fs_uuid volume;
    struct fs_image_ref clone; /* by its name; pool_id and image_id say nothing */
    char parent[FS_IMAGE_NAME_SIZE];
};

/* Writable clones of a point's volumes, for a test. Plain data. */
struct fs_drill {
    struct fs_uuid id, group, point;
    char point_name[FS_SNAP_NAME_SIZE];
    int64_t created_ns; /* wall */
    char who[64];
    bool ready;       /* all images are there; otherwise a crash left some of them */
    int exit_status;  /* of the test that it was made for, or FS_DRILL_NO_EXIT */
    int64_t noted_ns; /* wall: when that ended; 0: it has not */
    bool result;      /* not a drill but what came of the group's newest one, which may be gone */
    size_t n_images;
    struct fs_drill_image images[FS_VOLUMES_MAX];
};

/* drill is borrowed for the callback: as it is stored. */
typedef void fs_drill_fn(void *arg, const struct fs_drill *drill, const struct fs_error *err);
typedef void fs_drills_fn(void *arg, const struct fs_drill *drills, size_t count,
                          const struct fs_error *err);

/* --- roles ------------------------------------------------------------------------------------ */

struct fs_follow_request {
    struct fs_term term; /* the other site's, in which it is primary */
    bool compare;        /* find the difference by digests, with or without a common point */
};

/* record is moved out, as it is stored; kept: images of which something was kept in a snapshot
 * farshore.left.*. */
typedef void fs_follow_fn(void *arg, struct fs_record *record, size_t kept,
                          const struct fs_error *err);

/* --- fencing ---------------------------------------------------------------------------------- */

#define FS_FENCE_CLIENT_SIZE  64
#define FS_FENCE_ADDRESS_SIZE 96
#define FS_FENCE_TEXT_SIZE    512

/* A Ceph client that was kept from a group's images, or would be. Plain data. */
struct fs_fence {
    struct fs_uuid group;
    char site[FS_NAME_SIZE];             /* whose cluster it is a client of */
    char client[FS_FENCE_CLIENT_SIZE];   /* "client.4711" */
    char address[FS_FENCE_ADDRESS_SIZE]; /* as the blocklist has it */
    char images[FS_FENCE_TEXT_SIZE];     /* of the group's, that it was on: "rbd/a, rbd/b" */
    char others[FS_FENCE_TEXT_SIZE];     /* other images that it served; "" where none is known */
    char who[64];
    int64_t since_ns; /* wall */
    bool proven;      /* it is out; otherwise a crash or a failure left it, and it may be out */
};

/* How to reach the other site's cluster; conf "": not at all. Plain data. */
struct fs_fence_reach {
    char site[FS_NAME_SIZE];
    char conf[FS_FENCE_TEXT_SIZE], user[FS_NAME_SIZE];
};

/* Whose users are meant. Plain data. */
struct fs_fence_order {
    struct fs_uuid group;
    char site[FS_NAME_SIZE];
    char who[64];
    struct fs_fence_reach other;
    /* To fence, and look: the users of site's images. The other site's are known by pool_id, ns
     * and image_id; fsid is of their cluster. */
    bool at_other;
    char fsid[FS_UUID_TEXT];
    size_t n_images;
    struct fs_image_ref images[FS_VOLUMES_MAX];
};

/* fences (borrowed): those concerned. all_seen: no image of the cluster was left out of others. */
typedef void fs_fences_fn(void *arg, const struct fs_fence *fences, size_t count, bool all_seen,
                          const struct fs_error *err);

/* --- what was kept aside --------------------------------------------------------------------- */

/* What the names of such snapshots begin with: farshore.left.<term>.<n>. */
#define FS_LEFT_PREFIX "farshore.left."

struct fs_left {
    struct fs_image_ref image;
    char name[FS_SNAP_NAME_SIZE];
    uint64_t size;    /* of the image at that time */
    int64_t taken_ns; /* wall, as the cluster has it */
};

/* Borrowed for the callback. */
typedef void fs_left_fn(void *arg, const struct fs_left *list, size_t count,
                        const struct fs_error *err);

struct fs_operator_ops {
    /*
     * Carry a stored promotion (record->promotion.present) to its end: the images get exactly the
     * content of its point and the raised term on their stamps; the record becomes primary; only
     * then the images are let go. Goes on from wherever an earlier try or a crash left it. record
     * is moved in; done gets it back as it is stored. An error leaves the images held or parked,
     * or, beside the role primary, to be let go by another try.
     */
    void (*promote)(struct fs_operator *storage, struct fs_record *record, struct fs_doing *doing,
                    fs_sink_record_fn *done, void *arg);

    /*
     * This site, which was primary, becomes the secondary of the other one (request; read during
     * the call), or a following that the record knows of is carried on: nobody uses the images any
     * more (-EBUSY names who does, and nothing has changed), what they hold beyond the newest point
     * is kept, and they are parked. record is moved in.
     */
    void (*follow)(struct fs_operator *storage, struct fs_record *record,
                   const struct fs_follow_request *request, struct fs_doing *doing,
                   fs_follow_fn *done, void *arg);
    /*
     * The record, stored as demoted, is moved in: park the images where nobody uses them and they
     * hold just what the newest point does; -EBUSY, -EUCLEAN otherwise. A failure leaves some
     * parked: promote, with the record primary again, lets go of them.
     */
    void (*demote)(struct fs_operator *storage, struct fs_record *record, struct fs_doing *doing,
                   fs_sink_record_fn *done, void *arg);
    /* Is any member open at a client? -EBUSY (transient) names one. record is copied. */
    void (*unused)(struct fs_operator *storage, const struct fs_record *record,
                   struct fs_doing *doing, fs_sink_io_fn *done, void *arg);

    /* The snapshots that were kept aside of a group; record is copied. */
    void (*left)(struct fs_operator *storage, const struct fs_record *record, fs_left_fn *done,
                 void *arg);
    /* Remove the one of that name (copied) from each image that has it. record is moved in. */
    void (*discard)(struct fs_operator *storage, struct fs_record *record, const char *name,
                    fs_sink_record_fn *done, void *arg);

    /*
     * Let go of a group that this site is secondary for: its images stay, and are nobody's; the
     * rest of it goes. record is moved in; on success it comes back as one that was never stored.
     * -EBUSY (permanent), and nothing has changed: something was kept aside of it.
     */
    void (*forget)(struct fs_operator *storage, struct fs_record *record, struct fs_doing *doing,
                   fs_sink_record_fn *done, void *arg);

    /* Append text (copied, at most FS_HISTORY_TEXT_MAX) to the group's log, durably. */
    void (*log)(struct fs_operator *storage, const struct fs_uuid *group, const char *text,
                fs_sink_io_fn *done, void *arg);
    void (*history)(struct fs_operator *storage, const struct fs_uuid *group, fs_history_fn *done,
                    void *arg);

    /*
     * Make a drill of a point of the record (copied): id, group, point, point_name, created_ns and
     * who are given. The point is kept until the drill ends. After a failure nothing is left, or
     * what is left is listed.
     */
    void (*drill)(struct fs_operator *storage, const struct fs_record *record,
                  const struct fs_drill *drill, fs_drill_fn *done, void *arg);
    /* Remove its images, none where somebody has one of them open (-EBUSY). */
    void (*end_drill)(struct fs_operator *storage, const struct fs_drill *drill, fs_drill_fn *done,
                      void *arg);
    /* Store its exit_status and noted_ns, as the group's newest result too; of one that could not
     * be made (no images) only that. */
    void (*note_drill)(struct fs_operator *storage, const struct fs_drill *drill, fs_drill_fn *done,
                       void *arg);
    /* All of the site's, and the newest result of each group. */
    void (*drills)(struct fs_operator *storage, fs_drills_fn *done, void *arg);

    /* Whom fence would keep out, and what else those serve. Changes nothing. */
    void (*fence_look)(struct fs_operator *storage, const struct fs_fence_order *order,
                       fs_fences_fn *done, void *arg);
    /*
     * Keep the users of the images out, until unfence: their locks are taken, and whoever is on one
     * of them then is recorded and blocklisted. Nothing is changed where it may not be done. Done
     * once nobody is on the images and every lock was ours; who is let in later is not concerned.
     * -EBUSY: a Farshore instance is on an image, and those are never fenced.
     */
    void (*fence)(struct fs_operator *storage, const struct fs_fence_order *order,
                  struct fs_doing *doing, fs_fences_fn *done, void *arg);
    /* Let in again whom fence recorded for the group, at either site, and nobody else; gives those.
     */
    void (*unfence)(struct fs_operator *storage, const struct fs_fence_order *order,
                    fs_fences_fn *done, void *arg);
    /* All that are recorded. */
    void (*fences)(struct fs_operator *storage, fs_fences_fn *done, void *arg);
};

/* First member of an implementation. */
struct fs_operator {
    const struct fs_operator_ops *ops;
};

#endif
