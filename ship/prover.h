/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a prover, for prover*.c. LOOP only. */
#ifndef FARSHORE_SHIP_PROVER_H
#define FARSHORE_SHIP_PROVER_H

#include "farshore/verify.h"

/* What is under way; the next follows from its outcome. */
enum prover_step {
    PROVER_OPEN_OWN,
    PROVER_PROBE, /* was it proved before? */
    PROVER_CLOSE_PROBE,
    PROVER_UNKEEP, /* what an attempt before left unfinished */
    PROVER_OPEN_OTHER,
    PROVER_PAUSE,      /* for the rate */
    PROVER_OWN,        /* our batch */
    PROVER_OTHER,      /* the other opinion on it, or on a part of it */
    PROVER_NARROW_OWN, /* the same for the chunks of an object that differs */
    PROVER_NARROW_OTHER,
    PROVER_KEEP,
    PROVER_PROVE,
    PROVER_CLOSE_KEPT,
    PROVER_CLOSE_OWN,
};

struct fs_prover {
    struct fs_digester *digester;
    struct fs_session *session; /* NULL once it is lost, or against what was kept */
    uint32_t stream;            /* 0: none */
    const struct fs_clock *clock;
    uint64_t bytes_per_s;
    struct fs_record *record; /* owned copy */
    struct fs_uuid point;
    bool remote; /* the other opinion is the other site's */
    bool keep;   /* it was not proved before: keep our digests */
    fs_prover_fn *done;
    void *arg;

    enum prover_step step;
    bool waiting; /* the step has not completed */
    bool ending;  /* whatever is under way is the last, then close */
    struct fs_error err;
    struct fs_verify_report report;
    struct fs_digesting *own, *kept;
    struct fs_digest_ready other; /* the other site's volumes, or those that were kept */

    size_t volume;                /* of own */
    uint64_t before_bytes;        /* sizes of the volumes before it */
    uint64_t from;                /* where our batch began */
    size_t used;                  /* entries of it that were compared */
    uint64_t compared;            /* up to here */
    struct fs_digest_query query; /* of the other opinion */
    struct fs_digest_list mine, theirs;
    int64_t not_before_ns; /* boot: the next batch, by the rate */

    /* objects that differ and have yet to be narrowed down, of the batch that was compared last */
    size_t n_suspects, suspect;
    uint64_t suspects[FS_DIFFERENCES_MAX];
    uint64_t narrow_at, narrow_end;
    bool narrowed; /* something of the suspect was found */
    struct fs_digest_list narrow_mine, narrow_theirs;
};

/* prover.c: a step has completed; err is copied (the first one wins). */
void fs_prover_stepped(struct fs_prover *prover, const struct fs_error *err);
/* prover_compare.c: their batch [compared, theirs.next) has come: count what differs. */
void fs_prover_compare(struct fs_prover *prover);
/* prover_compare.c: the same for the chunks of the suspect. */
void fs_prover_compare_chunks(struct fs_prover *prover);
/* prover_compare.c: volumes that one side lacks, or whose sizes differ, count as one difference
 * each. */
void fs_prover_compare_volumes(struct fs_prover *prover);
/* prover_compare.c: add to the list of differences; neighbours of one object become one. */
void fs_prover_add_difference(struct fs_prover *prover, const struct fs_uuid *volume,
                              uint64_t object, uint64_t offset, uint64_t length);
/* prover_remote.c: open the stream; 0, or -errno with err. */
int fs_prover_dial(struct fs_prover *prover, struct fs_error *err);
/* prover_remote.c: ask for prover->query into list (mine or narrow); fs_prover_stepped follows. */
void fs_prover_want(struct fs_prover *prover);
/* prover_remote.c: end the stream, where there is one. */
void fs_prover_hang_up(struct fs_prover *prover);

#endif
