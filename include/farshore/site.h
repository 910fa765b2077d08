/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This site's Ceph cluster: connection, lease, records, discovery, and the source and the sink
 * over it. Functions marked WORKER block (bounded by op_timeout_ns for each RADOS operation) and
 * must not run on the loop; of one struct fs_site at most one of them at a time, except that
 * fs_site_renew may run beside fs_site_discover (a long discovery must not cost the lease), and
 * fs_site_health beside both.
 */
#ifndef FARSHORE_SITE_H
#define FARSHORE_SITE_H

#include "farshore/claim.h"
#include "farshore/clock.h"
#include "farshore/digest.h"
#include "farshore/health.h"
#include "farshore/operator.h"
#include "farshore/pool.h"
#include "farshore/selector.h"
#include "farshore/sink.h"
#include "farshore/source.h"

struct fs_site;

struct fs_site_options {    /* strings are borrowed for the life of the site */
    const char *conf;       /* path of ceph.conf */
    const char *user;       /* without "client." */
    const char *state_pool; /* pool or pool/namespace prefix is not supported: one pool */
    const char *site_name;
    const char *helper;      /* path of the farshore-take program */
    struct fs_uuid instance; /* of this daemon process */
    /* Names this daemon across its restarts on this host (machine id and control path): a
     * predecessor with the same key is known to be dead, and is blocklisted without waiting. */
    const char *daemon_key;
    const struct fs_clock *clock;
    int64_t op_timeout_ns; /* default 30 s */
    int64_t lease_ns;      /* default 30 s; renewed at a third of it */
    unsigned io_depth;     /* I/Os in flight per transfer, default 32 */
    bool object_io;        /* use RADOS operations of several extents where that is safe */
};

/*
 * WORKER. Connect (cephx, as options say) and check what the client may do; make or read the site's
 * UUID. Errors name what is missing: the keyring, the pool, the cap ("osd blocklist" on the mon,
 * "profile rbd" on the pool) and the command that grants it. -ETIMEDOUT where it does not answer.
 */
int fs_site_open(const struct fs_site_options *options, struct fs_site **ret_site,
                 struct fs_error *err);
/* WORKER. Ends everything; gives the lease up where it is held. */
void fs_site_close(struct fs_site *site);

/* ANY thread; constant after open. */
const char *fs_site_fsid(const struct fs_site *site);
const struct fs_uuid *fs_site_uuid(const struct fs_site *site);

/*
 * WORKER. Take the site's lease: record our instance and its address, after blocklisting the
 * instances (daemon and helper) that a dead predecessor recorded. -EBUSY while another daemon holds
 * it: call again at a third of lease_ns; it is taken over when it was not renewed for lease_ns of
 * our boot clock. May be called again after it was lost. -ESHUTDOWN: a successor blocklisted this
 * connection; only a new one (close and open) can claim.
 */
int fs_site_claim(struct fs_site *site, struct fs_error *err);
/* WORKER. -ESTALE where it was lost, or could not be renewed for lease_ns: stop all work of the
 * site at once, then claim again. Other errors: still held, try again soon. */
int fs_site_renew(struct fs_site *site, struct fs_error *err);

/* WORKER. All records of the site; array and records are the caller's (free each, then the
 * array). A record that cannot be read is skipped and reported in errors (may be NULL). */
typedef void fs_site_bad_record_fn(void *arg, const char *object, const struct fs_error *err);
int fs_site_load(struct fs_site *site, struct fs_record ***ret_records, size_t *ret_count,
                 fs_site_bad_record_fn *bad, void *arg, struct fs_error *err);

/* WORKER. What the monitors say of the pools now; the caller's to fs_health_fini. */
int fs_site_health(struct fs_site *site, struct fs_health *ret_health, struct fs_error *err);

/* --- discovery ------------------------------------------------------------------------------ */

struct fs_discovery_policy { /* borrowed during the call */
    const char *name;
    const struct fs_selector *selector;
    const char *group_by;            /* a label's key, or NULL: every volume, or VM, on its own */
    const struct fs_pool_map *pools; /* the source side is scanned */
    size_t n_pools;
};

struct fs_found_group {
    /* NAMESPACE/VALUE, NAMESPACE/VM or NAMESPACE/PVC; of images without a claim POOL[/NS]/VALUE or
     * POOL[/NS]/IMAGE. */
    char name[FS_NAME_SIZE];
    char policy[FS_NAME_SIZE];
    struct fs_uuid group; /* from the stamps of its volumes; zero: none is stamped yet */
    char problem[256];    /* "" or why it cannot be protected (two policies, ...) */
    size_t n_volumes;
    struct fs_volume *volumes; /* owned; sorted by identity */
};

struct fs_skipped_volume {
    struct fs_image_ref image;        /* name "": not known */
    char pvc_namespace[FS_NAME_SIZE]; /* "" where no claim names it */
    char pvc[FS_NAME_SIZE];
    char policy[FS_NAME_SIZE];
    char reason[256];
};

struct fs_discovery {
    size_t n_groups;
    struct fs_found_group *groups; /* owned */
    size_t n_skipped;
    struct fs_skipped_volume *skipped; /* owned */
};

/*
 * WORKER. Looks at every image of the policies' source pools; those that are stamped as anything
 * but primary are left out silently (they are replicas), copies with another image's stamp count as
 * unstamped. Selection and grouping by the labels of the claims that name the images, and by image
 * metadata for the others; claims NULL: by metadata alone.
 */
int fs_site_discover(struct fs_site *site, const struct fs_discovery_policy *policies,
                     size_t n_policies, const struct fs_claims *claims,
                     struct fs_discovery *ret_discovery, struct fs_error *err);
void fs_discovery_fini(struct fs_discovery *discovery);

/* --- the tables ----------------------------------------------------------------------------- */

/* Borrowed from the site. blocking is the pool for what blocks; completions go to the mailbox.
 * LOOP, once, before any operation. */
struct fs_source *fs_site_source(struct fs_site *site, struct fs_pool *blocking,
                                 struct fs_mailbox *mailbox);
struct fs_sink *fs_site_sink(struct fs_site *site, struct fs_pool *blocking,
                             struct fs_mailbox *mailbox);
struct fs_digester *fs_site_digester(struct fs_site *site, struct fs_pool *blocking);
struct fs_operator *fs_site_operator(struct fs_site *site, struct fs_pool *blocking);

#endif
