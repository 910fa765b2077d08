/* SPDX-License-Identifier: Apache-2.0 */
/* How a primary describes a point of a group to its peer. Pure. */
#ifndef FARSHORE_DAEMON_OFFER_H
#define FARSHORE_DAEMON_OFFER_H

#include "farshore/clock.h"
#include "farshore/sink.h"
#include "farshore/wire.h"

/*
 * Fill an offer of the record's point with that id: volumes in the order of its contents, and the
 * older points that a diff could start from. ret_offer needs fs_offer_fini. -ENOMEM, or -EINVAL (a
 * bug: the record has no such point, or not all of its volumes); nothing to free then.
 */
int fs_offer_build(const struct fs_record *record, const struct fs_uuid *id, const char *fsid,
                   int64_t taken_age_ns, int64_t interval_ns, struct fs_offer *ret_offer,
                   struct fs_error *err);

/* Leave out what a peer with those features does not know. -EPROTONOSUPPORT (configuration): it
 * would take the point for something else. */
int fs_offer_fit(struct fs_offer *offer, uint64_t features, struct fs_error *err);

#endif
