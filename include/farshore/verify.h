/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two ends of proving that a point holds the same bytes as when both sites agreed on it. The
 * prover digests its own copy, batch by batch, and compares with a second opinion: the other
 * site's, computed there by an answerer, or the digests that were kept with the point when it was
 * proved. No data travels. LOOP only; neither calls the loop itself: the owner calls tick at the
 * moments that deadline asks for.
 *
 * One batch is under way at a time, at one of the two sites: what this takes from a cluster is
 * bounded by the prover's rate and by the depth of the digester.
 */
#ifndef FARSHORE_VERIFY_H
#define FARSHORE_VERIFY_H

#include "farshore/session.h"

/* --- prover --------------------------------------------------------------------------------- */

struct fs_prover;

/* report is final (never RUNNING); err says more where it is REFUSED or FAILED. Valid during the
 * callback. */
typedef void fs_prover_fn(void *arg, const struct fs_verify_report *report,
                          const struct fs_error *err);

struct fs_prover_options { /* borrowed until done */
    struct fs_digester *digester;
    struct fs_session *session; /* to the other site; NULL: against what was kept */
    const struct fs_clock *clock;
    uint64_t bytes_per_s; /* looked at here; at least 1 MiB */
};

/*
 * Prove a committed point of the record (read during the call only). Where it proves it against
 * the other site, its digests are kept with the point. done is called once, not from inside; the
 * prover is freed by it. NULL when out of memory, or where the session has no stream left.
 */
struct fs_prover *fs_prover_start(const struct fs_prover_options *options,
                                  const struct fs_record *record, const struct fs_uuid *point,
                                  fs_prover_fn *done, void *arg);
/* done follows with FS_ERR_CANCELLED. */
void fs_prover_cancel(struct fs_prover *prover);
/* How far it is; borrowed until the next event. */
const struct fs_verify_report *fs_prover_report(const struct fs_prover *prover);
int64_t fs_prover_deadline(const struct fs_prover *prover); /* boot clock; INT64_MAX: none */
void fs_prover_tick(struct fs_prover *prover);

/* --- answerer ------------------------------------------------------------------------------- */

struct fs_answerer;

typedef void fs_answerer_fn(void *arg, struct fs_answerer *answerer);

/* A prover that asks for nothing for so long is forgotten: it would keep the point from being
 * pruned. */
#define FS_ANSWERER_IDLE_NS (600 * FS_SEC)

struct fs_answerer_options { /* borrowed until done */
    struct fs_digester *digester;
    struct fs_session *session;
    const struct fs_clock *clock;
};

/* Answer a DIGEST_OPEN that came on a stream, from the record (read during the call only). done is
 * called once, not from inside; the answerer is freed after it. NULL when out of memory: refuse. */
struct fs_answerer *fs_answerer_start(const struct fs_answerer_options *options, uint32_t stream,
                                      const struct fs_record *record,
                                      const struct fs_digest_open *open, fs_answerer_fn *done,
                                      void *arg);
/* Refuses the rest; done follows. */
void fs_answerer_cancel(struct fs_answerer *answerer);
int64_t fs_answerer_deadline(const struct fs_answerer *answerer);
void fs_answerer_tick(struct fs_answerer *answerer);

#endif
