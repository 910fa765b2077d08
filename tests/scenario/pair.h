/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two sites, east (primary) and west (secondary), as the daemon wires them: groups, peers,
 * sessions, senders and receivers over two stores in memory, one fake link and one scripted clock.
 * Only what needs Ceph, sockets or signals is missing. The test is the loop.
 */
#ifndef FARSHORE_SCENARIO_PAIR_H
#define FARSHORE_SCENARIO_PAIR_H

#include "daemon/capture.h"
#include "daemon/groups.h"
#include "daemon/peer.h"
#include "daemon/primary.h"
#include "daemon/workload.h"
#include "farshore/log.h"
#include "tests/scenario/fake_transport.h"
#include "tests/scenario/mem_digest.h"
#include "tests/scenario/mem_store.h"

#define PAIR_IMAGE_SIZE (4u << 20)
#define PAIR_LANES_MAX  32

/* An API that says the same of every group. */
struct pair_api {
    struct fs_capturer capturer; /* first */
    struct pair_site *site;
    const char *objects; /* NULL: the group has none there */
    bool down, hangs;    /* hangs: no answer until it is cancelled */
    unsigned asked;
    struct asked *waiting;
};

struct pair_site {
    struct pair *pair;
    struct pair_api api;
    struct fs_context ctx;
    struct fs_config config;
    struct fs_config_peer peer;
    struct fs_config_policy policy;
    struct fs_pool_map pool;
    struct fs_mailbox *mailbox;
    struct mem_store *store;
    struct mem_digester *digester;
    unsigned lost; /* site_lost was called */
};

struct pair {
    struct fs_clock_scripted clock;
    struct pair_site east, west;
    struct fake_link *link;
    struct fake_link *lanes[PAIR_LANES_MAX]; /* that east made beside it, in order */
    unsigned n_lanes;
    fs_tls_dialed_fn *dialed; /* of one that east makes now, or NULL */
    void *dialed_arg;
    bool no_lanes;          /* west does not answer */
    unsigned lanes_refused; /* so often */
    const char *lane_name;  /* of the certificate at both ends of the next one; NULL: any */
};

/* Both sites up, with policy "gold" of this interval; not connected. */
struct pair *pair_new(int64_t interval_ns);
/* Cancels, drains and frees all; fails the test where something does not end. */
void pair_free(struct pair *pair);

/* A new connection, dialed by east; a former one, and its lanes, are cut. East makes as many lanes
 * as its configuration says. */
void pair_connect(struct pair *pair);
/* The same, where a site may die before the session is up. */
void pair_dial(struct pair *pair);
void pair_cut(struct pair *pair);

/* A group of east with so many images of noise ("<name>-0", ...). */
struct fs_group *pair_add_group(struct pair *pair, const char *name, unsigned n_images);
/* What discovery says again: all groups that were added but `without` (may be NULL). */
void pair_discover(struct pair *pair, const char *without);
/* What discovery at west says, of the groups that west was promoted for: by their images. */
void pair_discover_west(struct pair *pair);
/* A discovery at the site that began at began_ns (boot clock) and found nothing ends. */
void pair_discover_nothing(struct pair_site *site, int64_t began_ns);
/* Change some bytes of the group's first image. */
void pair_write(struct pair *pair, const char *name);
struct fs_group *pair_find(struct pair_site *site, const char *name);

/* Until nothing happens at this moment. */
void pair_pump(struct pair *pair);
/* The clock goes on by ns in steps of at most 100 ms, pumping. */
void pair_advance(struct pair *pair, int64_t ns);

/* The site's process is new: its groups are loaded from what its store holds. */
void pair_restart(struct pair_site *site);
/* The same process stops its work for the site, and takes it up again. */
void pair_reopen(struct pair_site *site);

/* A site that dies when it passes a fault point (farshore/fault.h) for the nth time: passes them as
 * fs_fault_set_hook's function, with this as its argument. */
struct pair_death {
    const char *step;
    struct mem_store *store;
    unsigned nth, passed;
    bool dead;
};
void pair_pass(void *death, const char *step);

/* Both sites are connected and have a point, with Kubernetes objects, of group "a": one disk, of
 * PVC shop/data. West is to bring it up once it is primary, and what it reads of the objects then
 * waits (MEM_OP_OBJECTS). base is borrowed. */
struct pair *pair_with_workload(int64_t interval_ns, struct event_base *base);
/* Until west reads the objects. */
void pair_await_reading(struct pair *pair);

/* Newest committed point at both sites, or fails the test; compares bytes. */
const struct fs_record_point *pair_check_synced(struct pair *pair, const char *name);
enum fs_group_state pair_state(struct pair_site *site, const char *name);

#endif
