/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A group's durable record at one site: what the site knows of it and has promised. Plain data
 * and its JSON form; reading and writing it in the cluster is the source's, the sink's and the
 * store's work (guarded by version). A struct fs_record has one owner at a time: an operation
 * that changes it takes it over and gives back the new one.
 */
#ifndef FARSHORE_RECORD_H
#define FARSHORE_RECORD_H

#include "farshore/error.h"
#include "farshore/model.h"

#define FS_RECORD_FORMAT 1

struct fs_record_volume {
    struct fs_volume volume;          /* at this site; its uuid is set */
    char peer_identity[FS_NAME_SIZE]; /* "fsid/pool id/ns/image id" at the other site, or "" */
    bool gone;                        /* no longer a member; kept while older points hold it */
};

/* One volume's share of a point at this site. */
struct fs_record_content {
    struct fs_uuid volume;
    uint64_t snap_id; /* the exact content: a user snapshot, or the RBD group snapshot's; 0 in a
                         committed point of a source: given up, the volume left the group */
    uint64_t mark_id; /* where a diff from this point starts: the mark, or snap_id itself */
    struct fs_geometry geometry; /* of the volume at the point; the take fills it */
    struct fs_digest chain;      /* digest that both sites agreed on at the commit */
    /* Somebody else's user snapshot was there when the point was taken: a rollback to it may be
     * hidden from librbd's fast diff, also when that snapshot is gone by then. */
    bool older_snapshot;
};

enum fs_point_state {
    FS_POINT_TAKING = 0, /* seq used up; snapshots may or may not exist */
    FS_POINT_COMPLETE,   /* every snapshot exists (at the source) */
    FS_POINT_COMMITTING, /* the target takes its snapshots now */
    FS_POINT_COMMITTED,  /* both sites agreed: a recovery point */
    FS_POINT_SEED, /* of a volume that was a group of its own until it joined: no point of this
                      group, only where the volume's first diff in it starts */
};

struct fs_record_point {
    struct fs_point_id point;
    enum fs_point_state state;
    unsigned flags;                /* FS_POINT_* */
    int64_t taken_ns;              /* wall, this site's clock */
    bool group_snapshot;           /* contents are an RBD group snapshot, diffs start at marks */
    char group_pool[FS_POOL_SIZE]; /* where that RBD group lives, with group_snapshot */
    char group_ns[FS_POOL_SIZE];
    uint64_t bytes; /* changed bytes that were shipped for it */
    struct fs_captured objects;
    size_t n_contents;
    struct fs_record_content *contents; /* owned */
};

/* A transfer that is being applied at the target. */
struct fs_record_incoming {
    bool present;
    struct fs_point_id point;
    /* Zero: a first copy. The point itself: the difference is found by digests; beyond a position
     * the image holds anything. */
    struct fs_uuid base;
    size_t n_positions;
    struct {
        struct fs_uuid volume;
        struct fs_position position;
        /* What the image holds below this may be ours although it is beyond the position: left by
         * a transfer before this one, or about to be taken back to the base. */
        uint64_t reach;
    } * positions; /* owned */
};

/*
 * A promotion that began here. Stored with the role promoting and the raised term; present beside
 * the role primary until the images are let go.
 */
struct fs_record_promotion {
    bool present;
    struct fs_uuid point; /* whose content the images get */
};

/*
 * This site was primary and yields to the other one: it is secondary already (or is being promoted
 * again), and its images are still to be taken from their users (snapshot/follow.c).
 */
struct fs_record_following {
    bool present;
    struct fs_term from; /* in which this site was primary: what is kept aside is named by it */
};

/*
 * A relocation has promised the next term to the other site: beside the role demoted. From here on
 * forward only; see daemon/relocate.c.
 */
struct fs_record_grant {
    bool present;
    struct fs_term term;  /* that the other site takes */
    struct fs_uuid point; /* which both sites' images hold */
};

/* What a policy has frozen for a point. */
#define FS_QUIESCE_COMMAND (1u << 0) /* by its command */
#define FS_QUIESCE_GUEST   (1u << 1) /* the virtual machines of the group's volumes */

/* Beside the role primary: what uses the volumes is still to be brought up in this site's
 * Kubernetes. */
struct fs_record_bring_up {
    bool present;
    struct fs_uuid point; /* whose content the volumes got; zero: they are as they were */
};

struct fs_record {
    uint64_t version; /* of the stored object; 0: never stored */
    struct fs_uuid group;
    char name[FS_NAME_SIZE];
    char policy[FS_NAME_SIZE];
    char peer[FS_NAME_SIZE]; /* site name */
    enum fs_role role;
    struct fs_term term;
    uint64_t next_seq;   /* of points taken here */
    int64_t interval_ns; /* of the source's policy, as last heard */
    bool paused;
    struct fs_term peer_term; /* the highest seen of the other site */
    uint64_t peer_version;
    size_t n_volumes;
    struct fs_record_volume *volumes; /* owned */
    size_t n_points;
    struct fs_record_point *points; /* owned; ascending seq */
    struct fs_record_incoming incoming;
    struct fs_record_promotion promotion;
    struct fs_record_following following;
    struct fs_record_grant grant;
    struct fs_record_bring_up bring_up;
    /* Of a disk that was added to that group: it is copied beside the group's points, and joins
     * them when little is left. Zero: none. */
    struct fs_uuid joins;
    bool fence; /* the promotion to our own term was told to fence: the peer is to hear of it */
    unsigned quiesced; /* FS_QUIESCE_*: may be frozen for a point: a restart thaws it first */
    bool fence_users;  /* superseded by one that was: who uses our volumes is still to be fenced */
    /* Newest committed point: the moment until which the group is known unchanged; it is stored
     * apart from the record (batched over groups) and merged in on load. */
    int64_t current_until_ns;
};

/* A new empty record or NULL. */
struct fs_record *fs_record_new(void);
void fs_record_free(struct fs_record *record);
/* A deep copy, or NULL when out of memory. */
struct fs_record *fs_record_copy(const struct fs_record *record);

/* JSON text, owned by the caller (free), or NULL when out of memory. version and
 * current_until_ns are not in it. */
char *fs_record_encode(const struct fs_record *record);
/* -EINVAL for garbage, -EPROTONOSUPPORT for a newer format, -ENOMEM; bounded by FS_*_MAX. */
int fs_record_decode(const char *text, size_t length, struct fs_record **ret_record,
                     struct fs_error *err);

/* Borrowed from the record; NULL where there is none. */
struct fs_record_point *fs_record_find_point(struct fs_record *record, const struct fs_uuid *id);
struct fs_record_volume *fs_record_find_volume(struct fs_record *record,
                                               const struct fs_uuid *uuid);
struct fs_record_volume *fs_record_find_image(struct fs_record *record,
                                              const struct fs_image_ref *ref);
const struct fs_record_content *fs_record_find_content(const struct fs_record_point *point,
                                                       const struct fs_uuid *volume);
/* The newest FS_POINT_SEED one that has the volume, or NULL. record: NULL has none. */
const struct fs_record_point *fs_record_find_seed(const struct fs_record *record,
                                                  const struct fs_uuid *volume);
/* Where a diff of the volume from base starts, and what it is laid over: its content in base (may
 * be NULL: a first copy), or its seed, with *ret_point (may be NULL) the point that it is of. */
const struct fs_record_content *fs_record_base_content(const struct fs_record *record,
                                                       const struct fs_record_point *base,
                                                       const struct fs_uuid *volume,
                                                       const struct fs_record_point **ret_point);
/* The newest FS_POINT_COMMITTED one. */
const struct fs_record_point *fs_record_newest_committed(const struct fs_record *record);
/* How far the image of a volume may hold what incoming transfers wrote, in bytes; 0: nowhere. */
uint64_t fs_record_incoming_reach(const struct fs_record *record, const struct fs_uuid *volume);
/* Appends and returns an empty point (borrowed), or NULL with errno: ENOMEM, or E2BIG past
 * FS_POINTS_MAX points or FS_VOLUMES_MAX contents. */
struct fs_record_point *fs_record_add_point(struct fs_record *record, size_t n_contents);
void fs_record_remove_point(struct fs_record *record, const struct fs_uuid *id);
/* Appends a copy of the volume, giving it a uuid if it has none; NULL with errno: ENOMEM, or E2BIG
 * past FS_VOLUMES_MAX, those that are gone included. */
struct fs_record_volume *fs_record_add_volume(struct fs_record *record,
                                              const struct fs_volume *volume);
/* Forget the incoming transfer. */
void fs_record_clear_incoming(struct fs_record *record);

/* --- a volume that joins (record_join.c) ------------------------------------------------------ */

/*
 * The one volume of joining, a group of its own so far, becomes the record's, with its points as
 * seeds, of which the newest counts. Again, it changes nothing. -errno: ENOMEM, E2BIG, or EINVAL
 * where joining is not such a group.
 */
int fs_record_join(struct fs_record *record, const struct fs_record *joining);
/*
 * Volumes that have a seed and are in no committed point are the groups' that they were again: gone
 * from the record. whole: and so is what its points have of them; no snapshot goes, for those
 * groups' records name them. Else one that a point has which was taken here stays a member, since
 * its image is stamped as that; and seeds stay: by them images may be opened.
 */
void fs_record_unjoin(struct fs_record *record, bool whole);
/* It has a seed, and is in no committed point. */
bool fs_record_is_joining(const struct fs_record *record, const struct fs_uuid *volume);
/* Seeds of volumes that are gone, and in no other point, are needed no more; their snapshots are
 * those groups' that the volumes were. Moves the points. */
void fs_record_drop_stale_seeds(struct fs_record *record);
/* A committed point has its volumes: their seeds are needed no more and become FS_POINT_TAKING. */
void fs_record_end_seeds(struct fs_record *record, const struct fs_record_point *point);

/* --- roles (record_roles.c) ------------------------------------------------------------------ */

bool fs_term_same(const struct fs_term *a, const struct fs_term *b);
/* Equal numbers of different sites: a split brain, where both are primary. */
bool fs_term_clashes(const struct fs_term *a, const struct fs_term *b);
/* A term of this site above the highest that is known; nobody was told to fence for it yet. */
void fs_record_raise_term(struct fs_record *record, const struct fs_uuid *site);
/*
 * Primary from now on. Nothing of a transfer counts any more, new points get numbers above all that
 * there are, and the members are the volumes of the promotion's point, where it has one.
 */
void fs_record_become_primary(struct fs_record *record);
/*
 * Secondary of the other site from now on, in its term, and following. Points that the other site
 * may not have are let go; a relocation has ended.
 */
void fs_record_become_secondary(struct fs_record *record, const struct fs_term *term);
/* What uses the volumes is still to be brought up with what that point carries: until then it
 * stays, however old. */
bool fs_record_needs_point(const struct fs_record *record, const struct fs_uuid *point);
/* The next transfer finds the difference by digests, whether or not there is a common point: an
 * operator said so, and it has not begun. Or one that does so is incoming. */
bool fs_record_is_resync(const struct fs_record *record);

#endif
