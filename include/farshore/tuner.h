/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The level of compression for what is sent to one peer, by what is scarce now. Where the link
 * waits for the CPU the level falls, down to none or to one that costs less than sending what it
 * saves; where the CPU waits for the link it rises, as long as that makes the bytes fewer. It
 * learns from every segment that was encoded. Plain data; LOOP only.
 */
#ifndef FARSHORE_TUNER_H
#define FARSHORE_TUNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* zstd's levels; 0 is ours: no compression. */
#define FS_LEVEL_NONE 0
#define FS_LEVEL_MIN  (-7)
#define FS_LEVEL_MAX  19

enum fs_link_state {
    FS_LINK_IDLE, /* nothing waits to be sent, and it would be taken */
    FS_LINK_BUSY, /* none of the others */
    FS_LINK_HELD, /* nothing waits to be sent, but the peer takes no more: it does not keep up */
    FS_LINK_FULL, /* what was encoded waits for the link, or for its limit of bandwidth */
};

/* When content is sent as the difference to what the base holds. */
enum fs_delta_mode {
    FS_DELTA_AUTO = 0, /* where the link is scarce, and as long as it makes the bytes fewer */
    FS_DELTA_NEVER,
    FS_DELTA_ALWAYS,
};

/* One segment that was encoded. */
struct fs_tuner_sample {
    int level;
    int64_t run_ns, cpu_ns; /* on a worker: how long it took, and how much of that it computed */
    int64_t compress_ns;    /* the part of cpu_ns that no compression would save */
    uint64_t content_bytes, payload_bytes; /* before and after */
    bool delta;                            /* the base was read for it */
    enum fs_link_state link;
    uint64_t sent_bytes; /* that the connection has taken so far, of everybody's */
};

struct fs_tuner {
    /* set once */
    size_t threads; /* that encode */
    unsigned top;   /* the highest step that memory allows */

    bool adapts;
    int fixed; /* where it does not adapt */
    unsigned step;

    /* since began_ns */
    int64_t began_ns, newest_ns;
    unsigned samples, idle, held, full, deltas;
    int64_t run_ns, cpu_ns, compress_ns;
    uint64_t content_bytes, payload_bytes;
    uint64_t sent_before; /* of the connection, by then */

    unsigned patience;    /* stretches in a row in which the CPU waits, before it rises */
    unsigned waited;      /* such stretches */
    bool rose;            /* the last move was up */
    bool scarce;          /* the link is what was waited for, and has not had room for long since */
    unsigned roomy, thin; /* stretches in a row in which it had, or was waited for */
    unsigned doubt;       /* of the latter, before it is scarce again */
    bool on_trial;        /* it has to show that the bytes became fewer than */
    double payload_share; /* ... this part of the content */
    double plain_content,
        plain_payload; /* bytes without deltas, before and after; older ones count less */
    double full_rate;  /* bytes per second that the link carries when it is full, smoothed */
};

/* memory_bytes: what all workers together may take for compressing. Adapts at the start. */
void fs_tuner_init(struct fs_tuner *tuner, size_t threads, uint64_t memory_bytes);
void fs_tuner_fix(struct fs_tuner *tuner, int level);
void fs_tuner_adapt(struct fs_tuner *tuner);

int fs_tuner_level(const struct fs_tuner *tuner);
/* Whether it is the link that segments wait for, and has been for a stretch. */
bool fs_tuner_link_is_scarce(const struct fs_tuner *tuner);
/* Whether such a link carries content so slowly that reading the base as well is the quicker way.
 */
bool fs_tuner_deltas_pay(const struct fs_tuner *tuner);
/* What a link that is scarce carries in a second; UINT64_MAX: it is not. More than that need not
 * wait for it in the transport. */
uint64_t fs_tuner_queue(const struct fs_tuner *tuner);
/* The same as content, between the source and the transport: more would be encoded as it was right
 * long before it is sent. At least what keeps the source's calls busy. */
uint64_t fs_tuner_ahead(const struct fs_tuner *tuner);
void fs_tuner_encoded(struct fs_tuner *tuner, const struct fs_tuner_sample *sample, int64_t now_ns);

#endif
