/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a target decides about an offer without looking at Ceph: term, role, pool, base and which
 * points retention lets go. Pure; any thread.
 */
#ifndef FARSHORE_SNAPSHOT_ADMIT_H
#define FARSHORE_SNAPSHOT_ADMIT_H

#include "farshore/sink.h"

/* Fill *refusal (where it is FS_REFUSE_NONE) and err; returns -code. The first one wins. */
int fs_refuse(enum fs_refusal *refusal, enum fs_refusal reason, struct fs_error *err,
              enum fs_error_class class, int code, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* May the offer's sender write here? record NULL: a group that is not known yet. */
int fs_admit_term(const struct fs_record *record, const struct fs_offer *offer,
                  enum fs_refusal *refusal, struct fs_error *err);

/* Are the sender's records as new as this site has seen them? Only within one term. */
int fs_admit_version(const struct fs_record *record, const struct fs_offer *offer,
                     enum fs_refusal *refusal, struct fs_error *err);

/* Is the record of this site (NULL: none) as new as the offer's sender has seen it? */
int fs_admit_seen(const struct fs_record *record, const struct fs_offer *offer,
                  enum fs_refusal *refusal, struct fs_error *err);

/*
 * Where volumes of a source pool and namespace go; borrowed from admission. The policy's map goes
 * from left to right, and after a failover the other way. False where nothing says so.
 */
bool fs_admit_place(const struct fs_admission *admission, const char *pool, const char *ns,
                    const char **ret_pool, const char **ret_ns);

/*
 * The newest committed point of the record that the offer's sender can diff from; borrowed. NULL: a
 * first copy, or (*ret_gone) there are points here which the sender has shipped in its term and
 * holds none of any more. -errno: they are of another term, so they are not its past.
 */
int fs_admit_base(const struct fs_record *record, const struct fs_offer *offer,
                  const struct fs_record_point **ret_base, bool *ret_gone, enum fs_refusal *refusal,
                  struct fs_error *err);

#endif
