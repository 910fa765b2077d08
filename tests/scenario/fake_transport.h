/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two transports in memory, joined by a link that moves bytes only when it is told to: the fake
 * network of the scenario and session tests. No latency, no threads, no loop. Ends are number 0
 * (which dialed) and 1.
 */
#ifndef FARSHORE_TESTS_FAKE_TRANSPORT_H
#define FARSHORE_TESTS_FAKE_TRANSPORT_H

#include "farshore/session.h"

struct fake_link;

#define FAKE_LINK_NEVER UINT64_MAX

/*
 * Two open ends. Each is moved into a session (or freed by its ops->close); the link itself is
 * freed by fake_link_free, in either order. Aborts when out of memory.
 */
struct fake_link *fake_link_new(struct fs_transport *ret_ends[2]);
/* Free the link; ends that are still open stay valid, as broken ones without events. */
void fake_link_free(struct fake_link *link);

/*
 * Deliver, in both directions, what was queued before the call (at most `chunk` bytes each, if that
 * is not 0), then drained and closed where they are due. Returns true when anything happened:
 * `while (fake_link_step(link, 0)) {}` runs the link dry.
 */
bool fake_link_step(struct fake_link *link, size_t chunk);

/* A stalled direction (0: from end 0 to end 1) keeps its bytes queued until it goes on. */
void fake_link_stall(struct fake_link *link, unsigned direction, bool stalled);

/*
 * Cut the connection once so many bytes were delivered from end `direction` in all: the byte after
 * them never arrives, what is queued on either side is lost, both ends get closed. 0 cuts at the
 * next step; FAKE_LINK_NEVER (the start) lets it be.
 */
void fake_link_cut_after(struct fake_link *link, unsigned direction, uint64_t bytes);

/* Bytes delivered so far from end `direction`. */
uint64_t fake_link_delivered(const struct fake_link *link, unsigned direction);

/* What peer_is answers at an end; any name at the start. NULL: any name. Borrowed. */
void fake_link_set_peer_name(struct fake_link *link, unsigned end, const char *name);

#endif
