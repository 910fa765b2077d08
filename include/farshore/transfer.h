/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two ends of shipping one point: the sender reads from a source, the receiver applies to a
 * sink. State machines over the session, the tables and the CPU pool; LOOP only.
 */
#ifndef FARSHORE_TRANSFER_H
#define FARSHORE_TRANSFER_H

#include "farshore/pool.h"
#include "farshore/session.h"
#include "farshore/source.h"

/* What a transfer has done so far; for status and metrics. */
struct fs_transfer_stats {
    uint64_t changed_bytes; /* found by the diff so far */
    uint64_t read_bytes;
    uint64_t content_bytes;    /* of DATA extents in segments, before compression */
    uint64_t wire_bytes;       /* payload of segments after compression, with their headers */
    uint64_t delta_bytes;      /* of content_bytes: sent as a delta against the base */
    uint64_t delta_wire_bytes; /* of wire_bytes: what they took */
    uint64_t written_bytes;    /* receiver: applied, DATA and ZERO extents */
    uint64_t done_bytes;       /* of image size, for progress: sum of positions */
    uint64_t total_bytes;      /* sum of the volumes' sizes */
    uint64_t resumed_bytes;    /* sum of the positions where it began */
    uint64_t resent_bytes; /* of wire_bytes: what had been on its way before, as fs_reach knows */
};

/*
 * How far the segments of a point ever got, at the source those that were sent, at the target those
 * that came. The owner of a group keeps it from one transfer to the next, zeroed at first; a
 * transfer of another point begins it anew.
 */
struct fs_reach {
    struct fs_uuid point;
    uint64_t offsets[FS_VOLUMES_MAX]; /* in the order of the offer */
};

void fs_reach_begin(struct fs_reach *reach, const struct fs_uuid *point);
/* A segment [start, end) of a volume goes by. Returns whether it, or a part of it, did before. */
bool fs_reach_pass(struct fs_reach *reach, size_t volume, uint64_t start, uint64_t end);

/* --- sender --------------------------------------------------------------------------------- */

struct fs_sender;

enum fs_sender_outcome {
    FS_SENT_COMMITTED = 0,
    FS_SENT_REFUSED, /* refusal and err say why */
    FS_SENT_FAILED,  /* err: the session, the source, ... */
};

struct fs_sender_result { /* valid during the callback */
    enum fs_sender_outcome outcome;
    enum fs_refusal refusal;
    struct fs_error err;
    const struct fs_digest *agreed; /* COMMITTED: chains, in the order of the point's contents */
    size_t n_agreed;
    uint64_t record_version; /* COMMITTED: of the target's record */
    bool compared;           /* the difference was found by digests, the base being gone */
    bool objects_lost;       /* the point's Kubernetes objects are gone: it travels without */
    struct fs_transfer_stats stats;
};

typedef void fs_sender_fn(void *arg, const struct fs_sender_result *result);

struct fs_sender_options {
    struct fs_source *source;
    struct fs_digester *digester; /* NULL: a base that is gone is a failure */
    struct fs_session *session;
    struct fs_pool *cpu;
    const struct fs_clock *clock;
    struct fs_budget *budget; /* shared by all senders of the daemon; borrowed */
    struct fs_tuner *tuner;   /* says the level; borrowed, until done */
    struct fs_reach *reach;   /* borrowed; may be NULL */
    enum fs_delta_mode delta;
};

/*
 * Ship `point` of the record. The record is copied. offer is moved in (the caller fills everything
 * from its record and discovery; volumes in the order of the point's contents). done is called
 * once, not from inside; the sender is freed by it. NULL when out of memory (offer is freed).
 */
struct fs_sender *fs_sender_start(const struct fs_sender_options *options,
                                  const struct fs_record *record, const struct fs_uuid *point,
                                  struct fs_offer *offer, fs_sender_fn *done, void *arg);
/* Sends ABORT; done follows with FS_ERR_CANCELLED. */
void fs_sender_cancel(struct fs_sender *sender);
void fs_sender_get_stats(const struct fs_sender *sender, struct fs_transfer_stats *ret_stats);

/* --- receiver ------------------------------------------------------------------------------- */

struct fs_receiver;

struct fs_receiver_result {   /* valid during the callback */
    struct fs_record *record; /* moved out: the group's record now; NULL: as it was passed in */
    bool committed;
    enum fs_refusal refusal;
    struct fs_error err;
    struct fs_transfer_stats stats;
};

typedef void fs_receiver_fn(void *arg, struct fs_receiver_result *result);

struct fs_receiver_options {
    struct fs_sink *sink;
    struct fs_session *session;
    struct fs_pool *cpu;
    const struct fs_clock *clock;
    /* Of decoded bytes, since credit bounds only what is compressed; borrowed. Shared by all
     * receivers, but never with senders: two sites could wait for each other. NULL: a budget of
     * its own of FS_BUDGET_MIN. */
    struct fs_budget *budget;
    /* Positions are made durable as often as this while segments arrive and are applied (0: 2 s);
     * the clock is looked at on these events, so nobody has to tick a receiver. */
    int64_t sync_interval_ns;
    uint64_t sync_bytes;    /* ... and every so many bytes (0: 32 MiB) */
    struct fs_reach *reach; /* borrowed; may be NULL */
    /* Of this site, from which the base is read where deltas come. NULL: they are refused. */
    struct fs_source *source;
};

/*
 * Answer an offer that arrived on a stream. record (moved in) may be NULL; offer is moved in;
 * admission is copied with its pools. done is called once, not from inside, after the record
 * settled; the receiver is freed by it.
 */
struct fs_receiver *fs_receiver_start(const struct fs_receiver_options *options, uint32_t stream,
                                      struct fs_record *record, struct fs_offer *offer,
                                      const struct fs_admission *admission, fs_receiver_fn *done,
                                      void *arg);
/* Makes what was applied durable, refuses the rest as unavailable; done follows. */
void fs_receiver_cancel(struct fs_receiver *receiver);
/* The same, for this reason. err is copied. No effect on a commit that runs. */
void fs_receiver_refuse(struct fs_receiver *receiver, enum fs_refusal refusal,
                        const struct fs_error *err);
void fs_receiver_get_stats(const struct fs_receiver *receiver, struct fs_transfer_stats *ret_stats);

/* Refuse an offer without a receiver. */
void fs_refuse_offer(struct fs_session *session, uint32_t stream, enum fs_refusal reason,
                     const char *message);

/* --- budget --------------------------------------------------------------------------------- */

/*
 * Bytes that all senders (or all receivers) of a daemon may hold in buffers. LOOP only. The owner
 * sets limit, at least FS_BUDGET_MIN, and zeroes the rest; it outlives its clients. Waiters are
 * served in the order in which they came; while others wait, nobody gets more than an equal share.
 */
struct fs_budget_client {
    uint64_t held;
    uint64_t wanted; /* while it waits */
    bool waiting;
    void (*granted)(struct fs_budget_client *client); /* wanted was added to held; take no more */
    struct fs_budget_client *next;                    /* of the waiters */
};

struct fs_budget {
    uint64_t limit;
    uint64_t used; /* never above limit */
    uint64_t kept; /* of it: by fs_budget_keep */
    uint64_t peak;
    size_t n_clients;
    struct fs_budget_client *waiters; /* oldest first */
};

#define FS_BUDGET_MIN (8u << 20)

void fs_budget_join(struct fs_budget *budget, struct fs_budget_client *client,
                    void (*granted)(struct fs_budget_client *client));
/* Gives back what the client holds; granted is not called any more. */
void fs_budget_leave(struct fs_budget *budget, struct fs_budget_client *client);
/* True: taken. False: granted follows, from inside a give or leave of anybody; one request of a
 * client at a time. bytes is at most limit. */
bool fs_budget_take(struct fs_budget *budget, struct fs_budget_client *client, uint64_t bytes);
void fs_budget_give(struct fs_budget *budget, struct fs_budget_client *client, uint64_t bytes);

/*
 * What is kept for the length of a transfer, while more is taken: at most an eighth of the limit,
 * for all together, and only where it is there at once, so that nobody ever waits for it. False:
 * do without.
 */
bool fs_budget_keep(struct fs_budget *budget, uint64_t bytes);
void fs_budget_unkeep(struct fs_budget *budget, uint64_t bytes);

#endif
