/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A group at this site, in either role: its record, its state, what it has done. One operation of
 * a group runs at a time; each works on a copy of the record, whose successor replaces the
 * group's. What a primary does is in primary.h, a secondary in replica.h. LOOP only.
 */
#ifndef FARSHORE_DAEMON_GROUP_H
#define FARSHORE_DAEMON_GROUP_H

#include <jansson.h>

#include "daemon/announce.h"
#include "daemon/capture.h"
#include "daemon/context.h"
#include "daemon/lag_history.h"
#include "daemon/outcome.h"
#include "daemon/quiesce.h"
#include "daemon/schedule.h"
#include "daemon/state.h"
#include "daemon/stats.h"
#include "farshore/site.h"

enum fs_phase {
    FS_PHASE_IDLE = 0,
    FS_PHASE_STORING,    /* primary: the record */
    FS_PHASE_TAKING,     /* primary */
    FS_PHASE_SHIPPING,   /* primary: sender is set */
    FS_PHASE_SETTLING,   /* primary: the record of a committed point */
    FS_PHASE_RECEIVING,  /* secondary: receiver is set */
    FS_PHASE_RECOVERING, /* secondary: what a crash left half-done is finished */
    FS_PHASE_OPERATING   /* any role: an operation changes the record */
};

struct fs_operation;

struct fs_group {
    struct fs_context *ctx;
    struct fs_record *record; /* owned; as last known to be stored; version 0: not stored yet */
    enum fs_phase phase;
    /* Primary or record-lost, and no longer selected; or forgotten: not shown. */
    bool let_go;
    int64_t known_ns;      /* wall: since when this daemon knows it */
    int64_t role_since_ns; /* boot: its role in this daemon's life */
    struct fs_group_stats stats;
    struct fs_lag_history lags;
    struct fs_group_log {
        json_t *recent; /* NULL: not read yet; see operation_log.h */
        bool reading;
        unsigned logged; /* counts entries */
    } log;
    struct fs_rate rate;          /* of the transfer under way */
    struct fs_reach reach;        /* of the point under way: what is sent again is counted */
    bool deltas_refused;          /* the peer could not make one whole: no more of them */
    int64_t phase_since_ns;       /* boot */
    enum fs_group_state reported; /* the state that the log was told last */
    struct fs_announced announced;

    /* What the newest attempt ran into; state OK after a success. */
    struct fs_verdict failure;
    const char *failure_label; /* static; NULL after a success */
    unsigned failures;         /* in a row */
    int64_t retry_ns;          /* boot: no attempt before */
    /* The peer's cluster is behind with trimming: points are that many intervals apart until then.
     */
    unsigned slow_factor;
    int64_t slow_until_ns; /* boot */
    uint64_t failed_at;    /* counts failures, for those who wait for one attempt's outcome */
    enum fs_error_class failed_class;

    /*
     * The moment until which the secondary is known to be current, durably; INT64_MIN: never
     * synced. By the boot clock, which nobody sets: the wall clock's time of it, as it is stored,
     * counts only where this daemon did not see that moment itself.
     */
    int64_t current_until_ns;
    struct fs_uuid current_point;
    int64_t current_stored_ns;    /* wall: what is stored of that point, and is in it */
    struct fs_uuid instant_point; /* that was taken or offered last */
    int64_t instant_ns;           /* boot: when it was taken */

    struct fs_operation *operation;      /* under way, or NULL; nothing else begins meanwhile */
    struct fs_operation_result finished; /* of the newest one; serial 0: there was none */
    int64_t bring_up_ns;  /* boot: what uses the volumes is not brought up again before */
    unsigned bring_ups;   /* that left something over, in a row */
    int64_t fence_ns;     /* boot: what the peer's failover ordered is not tried again before */
    unsigned fence_tries; /* of it, in a row */
    /* A term of the peer's that this site must yield to, or clashes with; not in the record yet. */
    struct fs_term heard;
    bool heard_pending;
    enum fs_role peer_role; /* as it said last in this daemon's life */
    bool heard_fence;       /* and it says that who is superseded by it fences its users */
    struct fs_group_asked { /* by the peer, to fence our users: it is to be told what came of it */
        bool pending;
        uint64_t number; /* of the term that it asked with */
        uint64_t serial; /* of the operation */
    } asked;

    /* --- where we are primary --- */
    bool was_seen;     /* it was shown as ours: letting it go is news */
    bool seen;         /* discovery found it since the site was opened */
    char problem[256]; /* discovery: why it cannot be protected, or "" */
    char slow_reason[128];
    struct fs_volume *found; /* owned; membership to merge into the record when idle */
    size_t n_found;
    bool merge_pending;
    bool members_changed; /* by what is being stored now */
    char found_name[FS_NAME_SIZE];
    char found_policy[FS_NAME_SIZE];
    bool pause_pending; /* pause_wanted is not in the record yet */
    bool pause_wanted;
    bool requested;        /* an operator wants a point now */
    int64_t not_before_ns; /* boot: staggered start */
    int64_t checked_ns;    /* boot: when the newest point or unchanged check began */
    struct fs_capture capture;
    bool take_requested;   /* the take under way is for that */
    int64_t take_began_ns; /* boot */
    struct fs_quiesce quiesce;
    bool skip_hooks; /* of librbd's clients, in the next take: with them the last one took too long
                      */
    int64_t sync_began_ns; /* boot: of the take, or of a re-offer */
    struct fs_group_release {
        int64_t since_ns; /* boot: images are known to have left; 0: none */
        int64_t next_ns;  /* boot */
    } release;
    struct fs_group_join { /* of one that joins another, see join.h */
        bool ready;        /* little is left to copy */
        bool told;         /* that it cannot join */
        int64_t took_ns;   /* of its newest point, from the take to the commit */
        int64_t forget_ns; /* boot: not tried again before */
        bool lent;         /* at a target: to a transfer of the group that it joins */
    } join;
    struct fs_sender *sender;
    bool cancelled; /* the sender was told to stop */
    /* The moment until which the group is known unchanged: here, and as sent. Boot. */
    int64_t unchanged_until_ns, sent_until_ns;
    bool sending;    /* a message is under way */
    int64_t sent_ns; /* boot */
    struct fs_uuid sent_point;

    /* --- where we are secondary --- */
    bool recovery_pending; /* the record was loaded and not looked at for half-done things */
    struct fs_receiver *receiver;
    struct fs_point_id incoming;
    size_t incoming_volumes;
    int64_t received_ns; /* boot: when the newest point was committed; 0: not in this life */
    bool adopt; /* an operator said so: keep aside what others wrote to the images, and go on */
};

/* record is moved in (also on failure); NULL when out of memory. */
struct fs_group *fs_group_new(struct fs_context *ctx, struct fs_record *record);
/* Nothing of it may be under way. */
void fs_group_free(struct fs_group *group);

bool fs_group_is_primary(const struct fs_group *group);
/* Primary, as the peer is in a term of the same number: neither may ship to the other. */
bool fs_group_is_split(const struct fs_group *group);
/* Promoted here, under a policy that does not select: its record says what its volumes are. */
bool fs_group_is_kept(const struct fs_group *group);
/* The effective interval: the policy's at a primary, the source's at a secondary. */
int64_t fs_group_interval_ns(const struct fs_group *group);
/* NULL where the configuration has none. */
const struct fs_config_policy *fs_group_policy(const struct fs_group *group);
/* Nanoseconds of lag, never negative; -1: never synced. */
int64_t fs_group_lag_ns(const struct fs_group *group);
/* A point was taken age_ns ago: its moment by the boot clock. */
void fs_group_note_instant(struct fs_group *group, const struct fs_uuid *point, int64_t age_ns);
/* How long ago that was; of a point that this daemon did not see being taken, by the wall clock. */
int64_t fs_group_instant_age_ns(const struct fs_group *group, const struct fs_record_point *point);
/* Its record is one that was never stored: not shown until an offer makes it again. */
void fs_group_forget(struct fs_group *group);
/* The group is current until that moment (boot), and that is stored. */
void fs_group_note_current(struct fs_group *group, int64_t until_ns);
/* What the wall clock would have shown at a moment of the boot clock, as it is set now. */
int64_t fs_group_wall_of(const struct fs_group *group, int64_t boot_ns);
/* The worst of what applies now. */
void fs_group_verdict(const struct fs_group *group, struct fs_verdict *ret_verdict);
/* What the transfer under way has done; false where there is none. */
bool fs_group_transfer(const struct fs_group *group, struct fs_transfer_stats *ret_stats);
/* The point that is being taken care of: shipped here or received; NULL where none is. */
const struct fs_point_id *fs_group_point_under_way(const struct fs_group *group);

/* Note a failure: verdict, back-off, counters. label as fs_verdict_of_... gave it. */
void fs_group_failed(struct fs_group *group, const char *label, const struct fs_verdict *verdict,
                     const struct fs_error *err);
void fs_group_succeeded(struct fs_group *group);
/* Replace the record (moved in; NULL leaves the old one). */
void fs_group_set_record(struct fs_group *group, struct fs_record *record);

#endif
