/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a bundle, shared by bundle.c and bundle_receive.c. LOOP only. */
#ifndef FARSHORE_SHIP_BUNDLE_PRIVATE_H
#define FARSHORE_SHIP_BUNDLE_PRIVATE_H

#include "ship/bundle.h"

struct bundle;

/* Where the bytes go that arrive next. */
enum lane_place {
    LANE_PLAIN,   /* to the session, as they are */
    LANE_HEADER,  /* of a block */
    LANE_DISCARD, /* they were here already */
    LANE_DIRECT,  /* to the session: they are next */
    LANE_BUFFER,  /* they are not */
};

struct lane {
    struct bundle *bundle;
    struct fs_transport *transport; /* owned; NULL: it has ended */
    struct lane *next;              /* that has ended, too */
    bool plain;                     /* what arrives is not in blocks yet */
    bool usable;                    /* blocks may be sent on it */
    int64_t heard_ns;               /* boot: when it began, then when something last arrived */

    /* the block that arrives */
    enum lane_place place;
    uint8_t header[BUNDLE_BLOCK_HEADER];
    size_t have; /* of the header */
    uint64_t offset;
    uint32_t length, got;
    uint8_t *buffer; /* owned, or NULL */
};

struct chunk { /* what the session gave to send */
    struct chunk *next;
    uint64_t start;
    struct fs_buf buf;
};

struct sent { /* a block that is not acknowledged */
    uint64_t offset;
    uint32_t length;
    const struct lane *lane; /* NULL: its lane has ended, it is to be sent again */
    int64_t sent_ns;         /* boot: when it was given to its lane */
};

struct held { /* a block that came early */
    uint64_t offset;
    uint32_t length;
    uint8_t *data; /* owned */
};

struct bundle {
    struct fs_transport transport;
    struct bundle_options options;
    struct lane *lanes[FS_LANES_MAX]; /* owned */
    unsigned n_lanes;
    unsigned turn;      /* the lane that is asked first */
    struct lane *ended; /* owned: freed when no event is under way */
    unsigned depth;     /* events that are under way */
    bool closed;        /* by the owner, from inside an event */
    bool told_closed;
    bool out_of_memory; /* in send, which cannot report it */
    bool heard;         /* since the owner asked */
    bool lost_due, lost_worked;
    struct fs_error lost_err;

    /* sending, in bytes since blocks began: acked <= next <= end */
    struct chunk *head, *tail; /* from acked to end */
    struct chunk *cut;         /* the one that next is in; NULL: next is end */
    uint64_t acked, next, end;
    uint64_t handed;    /* to the kernel, without what was sent again */
    uint64_t window;    /* of the peer */
    bool above_low;     /* drained is due */
    int64_t moving_ns;  /* boot: when acked moved, or the first block was sent */
    int64_t witness_ns; /* boot: when something was first heard since moving_ns, if later */
    int64_t first_ns;   /* boot: since when the first one is the first */
    struct sent sent[BUNDLE_BLOCKS_MAX]; /* a ring, ascending */
    unsigned first_sent, n_sent;
    unsigned n_again; /* of them without a lane */

    /* receiving */
    uint64_t delivered;                  /* to the session */
    uint64_t ack_told;                   /* the newest acknowledgement that we sent */
    unsigned blocks_told;                /* blocks that arrived since */
    bool ack_due;                        /* for another reason, or no lane had room */
    struct held held[BUNDLE_BLOCKS_MAX]; /* ascending, disjoint */
    unsigned n_held;
    uint8_t scratch[4096]; /* what was here already */
};

extern const struct fs_transport_events bundle_lane_events;
uint8_t *bundle_lane_room(void *arg, size_t *ret_length);
void bundle_lane_received(void *arg, size_t length);

/* Around each event of a lane; after leave the bundle may be gone. */
void bundle_enter(struct bundle *bundle);
void bundle_leave(struct bundle *bundle);
/* The bundle is of no use any more: tells the session. From inside an event. */
void bundle_fail(struct bundle *bundle, const struct fs_error *err);
/* Sends what lanes and the window have room for, then drained where it is due. From inside an
 * event. */
void bundle_transmit(struct bundle *bundle);
/* The peer has everything before that. False: it cannot have. */
bool bundle_acknowledged(struct bundle *bundle, uint64_t acked);
/* Tells the peer what arrived, as soon as a lane has room; first (or NULL) is asked first. */
void bundle_send_ack(struct bundle *bundle, const struct lane *first);
/* Gives up lanes that hold all up. */
void bundle_look_for_stall(struct bundle *bundle);

#endif
