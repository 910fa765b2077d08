/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two sites in one process for the tests of transfers: in-memory stores, a pair of sessions over a
 * fake link, a scripted clock, a CPU pool. Site 0 is the source and dials, site 1 the target.
 * One group; its record at the source is the rig's, at the target what the store holds.
 */
#ifndef FARSHORE_SCENARIO_RIG_H
#define FARSHORE_SCENARIO_RIG_H

#include "farshore/transfer.h"
#include "tests/scenario/fake_transport.h"
#include "tests/scenario/mem_digest.h"
#include "tests/scenario/mem_store.h"

struct rig {
    struct fs_mailbox *mailbox;
    struct fs_pool *cpu;
    size_t threads;
    struct fs_clock_scripted clock;
    struct mem_store *stores[2];
    struct mem_digester *digester; /* of the source */
    struct fake_link *link;
    struct fs_session *sessions[2];
    bool down[2];
    struct fs_budget budgets[2]; /* of senders, of receivers */
    struct fs_reach reach[2];    /* the same */
    uint64_t credit;
    size_t chunk;          /* bytes that a step of the link delivers, 0: all */
    struct fs_tuner tuner; /* fixed at level 1 */
    enum fs_delta_mode delta;
    bool no_base_reads; /* the next receivers cannot read their base */
    int64_t sync_interval_ns;
    uint64_t sync_bytes;
    struct fs_pool_map map;
    unsigned retain;
    struct fs_record *record; /* of the source */
    const char *objects;      /* that the next points carry; NULL: none */
    bool refuse_offers;       /* the next offer is refused as BUSY without a receiver */
    /* Where set: who owns the target's sessions from the next rig_connect on. */
    const struct fs_session_events *target_events;
    void *target_arg;

    struct fs_sender *sender; /* the one that runs */
    struct fs_receiver *receiver;
    size_t senders_done, receivers_done;
    struct fs_sender_result sent; /* of the last one; agreed is copied below */
    struct fs_digest agreed[FS_VOLUMES_MAX];
    struct fs_error received_err; /* of the last one */
    enum fs_refusal received_refusal;
    bool received_committed;
    struct fs_transfer_stats received_stats;
};

/* What rig_init sets: whole programs run with deltas, too. */
extern enum fs_delta_mode rig_delta;

/* A group with no volumes yet. threads as for fs_pool_new. */
void rig_init(struct rig *rig, size_t threads, uint64_t seed);
/* Ends what runs and checks that nothing is left over. */
void rig_fini(struct rig *rig);

struct mem_image *rig_add_volume(struct rig *rig, const char *name, uint64_t size);

/* A new link and new sessions, up. The old ones are freed. */
void rig_connect(struct rig *rig);
void rig_disconnect(struct rig *rig);
/* The tuner as if a transfer had waited for the link: 10 MB/s, of content that does not compress.
 */
void rig_make_thin(struct rig *rig);
/* One round: letters, then the link. False when nothing happened and nothing runs. */
bool rig_step(struct rig *rig);
/* Until nothing happens any more. */
void rig_run(struct rig *rig);

/* Take a point; asserts that there is one. */
struct fs_uuid rig_take(struct rig *rig);
/* Begin to ship a point; rig_run does the rest. */
void rig_start(struct rig *rig, const struct fs_uuid *point);
/* Ship a point over a connected rig to the end of both sides; true when committed. */
bool rig_ship(struct rig *rig, const struct fs_uuid *point);
/* Let the source know that a point was committed. */
void rig_settle(struct rig *rig, const struct fs_uuid *point);
/* Ship until it is committed, over new sessions; asserts that it takes at most `tries`. */
void rig_ship_again(struct rig *rig, const struct fs_uuid *point, int tries);
/* Asserts that both sites hold the point with the same bytes (I1). */
void rig_check(struct rig *rig, const struct fs_uuid *point);
/* What a source would offer of a point; fs_offer_fini. */
void rig_offer(struct rig *rig, const struct fs_uuid *point, struct fs_offer *ret_offer);

#endif
