/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answering an offer: from a record, an offer and what the configuration says to images that are
 * held and ready to be written, or to a refusal. WORKER.
 */
#ifndef FARSHORE_SNAPSHOT_OPENING_H
#define FARSHORE_SNAPSHOT_OPENING_H

#include "snapshot/commit.h"

struct fs_opening {
    struct fs_site *site;                 /* in; borrowed, as the next two */
    const struct fs_offer *offer;         /* in */
    const struct fs_admission *admission; /* in */
    struct fs_record *record;             /* in and out: as it is stored; owned by the caller */
    bool committed;                       /* out: the point is here already */
    bool objects_wanted;                  /* out */
    enum fs_refusal refusal;              /* out */
    struct fs_error err;                  /* out */
    struct fs_commit_plan plan;           /* out; bytes and finals are left */
    struct fs_target *targets;     /* out, owned by the caller: the offer's volumes, or NULL */
    struct fs_position *positions; /* out, likewise */
};

/* Fills what is out; targets is NULL unless the offer was accepted. */
void fs_opening_run(struct fs_opening *opening);

/* Parks and frees. targets may be NULL. */
void fs_targets_free(struct fs_site *site, struct fs_target *targets, size_t n_targets);

#endif
