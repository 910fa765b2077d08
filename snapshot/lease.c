/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One daemon at a time works for a site. The holder counts `renewals` up; another daemon remembers
 * what it saw and when by its own boot clock, so that no two clocks are ever compared, and takes
 * over what has not moved for a whole lease.
 *
 * A take-over must not believe that the holder is dead: it may be stopped, or cut off from the
 * monitors only. So everything that it recorded as able to write is blocklisted first:
 *
 *   1. read holder and instances at one instant; blocklist each instance
 *   2. read again: the holder may have recorded a helper in between, so repeat until there is
 *      nothing new (a blocklisted daemon cannot record any more); another holder ends it
 *   3. write lease, holder and our own instance and remove theirs, guarded by the old holder
 *
 * Two daemons that do it at once blocklist the same instances, and one of them fails at 3.
 * Instances that are left without a holder are blocklisted too: a daemon ended and its helper did
 * not.
 */
#include "snapshot/lease.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "farshore/fault.h"
#include "farshore/log.h"
#include "snapshot/omap.h"

#define SITE_KEYS_MAX (FS_OMAP_PAGE - 1) /* so that it is read at one instant */
/* Far longer than a stopped daemon can have a write under way, and entries do not pile up. */
#define FENCE_S (24 * 3600)
#define ROUNDS  16

struct fs_lease {
    const struct fs_site_options *options;
    struct fs_cluster *cluster;
    struct fs_state *state;
    char token[FS_UUID_TEXT]; /* ours, as holder */
    bool held;
    bool written;       /* we have tried to write it, so it may be ours without an answer */
    uint64_t renewals;  /* as we tried to write it last */
    int64_t renewed_ns; /* held: boot clock before the last renewal that was answered */
    char *seen;         /* not held: holder and lease at first sight, or NULL; owned */
    int64_t seen_ns;    /* boot clock of that */
};

/* --- text ----------------------------------------------------------------------------------- */

int fs_lease_parse(const char *text, struct fs_lease_text *ret_lease)
{
    struct fs_lease_text lease = {0};
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    const char *key;
    const char *instance;
    json_int_t renewals;
    json_int_t lease_ms;
    int rc = -EINVAL;

    if (object != NULL &&
        json_unpack(object, "{s:s, s:s, s:I, s:I}", "key", &key, "instance", &instance, "renewals",
                    &renewals, "lease_ms", &lease_ms) == 0 &&
        strlen(key) < sizeof(lease.key) && strlen(instance) < sizeof(lease.instance) &&
        renewals >= 0 && lease_ms > 0 && lease_ms <= INT64_MAX / FS_MSEC) {
        snprintf(lease.key, sizeof(lease.key), "%s", key);
        snprintf(lease.instance, sizeof(lease.instance), "%s", instance);
        lease.renewals = (uint64_t)renewals;
        lease.lease_ns = lease_ms * FS_MSEC;
        *ret_lease = lease;
        rc = 0;
    }
    json_decref(object);
    return rc;
}

char *fs_lease_encode(const struct fs_lease_text *lease)
{
    json_t *object = json_pack("{s:s, s:s, s:I, s:I}", "key", lease->key, "instance",
                               lease->instance, "renewals", (json_int_t)lease->renewals, "lease_ms",
                               (json_int_t)(lease->lease_ns / FS_MSEC));
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;

    json_decref(object);
    return text;
}

static char *own_text(const struct fs_lease *lease)
{
    struct fs_lease_text text = {.renewals = lease->renewals, .lease_ns = lease->options->lease_ns};

    snprintf(text.key, sizeof(text.key), "%s", lease->options->daemon_key);
    fs_uuid_format(&lease->options->instance, text.instance);
    return fs_lease_encode(&text);
}

/* --- the object ------------------------------------------------------------------------------ */

static int read_site(struct fs_lease *lease, struct fs_omap *ret_site, struct fs_error *err)
{
    int rc = fs_omap_read(fs_state_ioctx(lease->state), FS_STATE_SITE, SITE_KEYS_MAX, ret_site);

    return rc < 0 ? fs_cluster_error(err, rc, "reading the site's lease") : 0;
}

static const char *get(const struct fs_omap *omap, const char *key)
{
    const char *value = fs_omap_get(omap, key);

    return value != NULL ? value : "";
}

static const char *instance_of(const struct fs_omap_pair *pair)
{
    size_t length = strlen(FS_STATE_INSTANCE);

    return strncmp(pair->key, FS_STATE_INSTANCE, length) == 0 ? pair->key + length : NULL;
}

static void forget_seen(struct fs_lease *lease)
{
    free(lease->seen);
    lease->seen = NULL;
}

static int lost(struct fs_lease *lease, struct fs_error *err, const char *how)
{
    lease->held = false;
    forget_seen(lease);
    fs_state_set_lost(lease->state, true);
    return fs_error_set(err, FS_ERR_TRANSIENT, ESTALE, "the site's lease was lost: %s", how);
}

static void note_held(struct fs_lease *lease, int64_t since_ns)
{
    lease->held = true;
    lease->renewed_ns = since_ns;
    forget_seen(lease);
    fs_state_set_holder(lease->state, lease->token);
    fs_state_set_lost(lease->state, false);
}

/* Writes lease, holder and our instance while holder is as expected; moves op in. */
static int write_own(struct fs_lease *lease, rados_write_op_t op, const char *holder)
{
    char key[256];
    char *text;
    int rc;

    lease->renewals++; /* also after a try without an answer: standbys look for a change */
    lease->written = true;
    text = own_text(lease);
    if (text == NULL) {
        rados_release_write_op(op);
        return -ENOMEM;
    }
    snprintf(key, sizeof(key), FS_STATE_INSTANCE "%s", fs_cluster_address(lease->cluster));
    fs_omap_expect(op, "holder", holder);
    fs_omap_set(op, "lease", text, strlen(text));
    fs_omap_set(op, "holder", lease->token, strlen(lease->token));
    fs_omap_set(op, "name", lease->options->site_name, strlen(lease->options->site_name));
    fs_omap_set(op, key, "", 0);
    rc = fs_omap_apply(fs_state_ioctx(lease->state), FS_STATE_SITE, op);
    free(text);
    return rc;
}

/* --- taking --------------------------------------------------------------------------------- */

static int fence(struct fs_lease *lease, const char *address, struct fs_error *err)
{
    int rc = fs_cluster_blocklist(lease->cluster, address, FENCE_S, err);

    if (rc < 0) {
        fs_error_context(err, "taking over the site's lease");
        return rc;
    }
    fs_log(FS_EV_INSTANCE_FENCED, FS_S("address", address));
    fs_fault("lease.fenced");
    return 0;
}

/* Blocklists the instances in site that are not in done and not ours. */
static int fence_new(struct fs_lease *lease, const struct fs_omap *site, const struct fs_omap *done,
                     size_t *ret_new, struct fs_error *err)
{
    *ret_new = 0;
    for (size_t i = 0; i < site->count; i++) {
        const char *address = instance_of(&site->pairs[i]);
        int rc;

        if (address == NULL || strcmp(address, fs_cluster_address(lease->cluster)) == 0 ||
            fs_omap_get(done, site->pairs[i].key) != NULL) {
            continue;
        }
        rc = fence(lease, address, err);
        if (rc < 0) {
            return rc;
        }
        (*ret_new)++;
    }
    return 0;
}

static int taken_meanwhile(struct fs_error *err)
{
    return fs_error_set(err, FS_ERR_TRANSIENT, EBUSY,
                        "another daemon took the site's lease over at the same time");
}

/* Steps 1 and 2 of the essay: *site is read again until nothing is new in it. */
static int fence_all(struct fs_lease *lease, struct fs_omap *site, struct fs_error *err)
{
    struct fs_omap done = {0};
    size_t n_new = 1;
    int rc = 0;

    for (int round = 0; rc == 0 && n_new > 0; round++) {
        struct fs_omap again;

        rc = fence_new(lease, site, &done, &n_new, err);
        if (rc < 0 || n_new == 0) {
            break;
        }
        if (round == ROUNDS) {
            rc = fs_error_set(err, FS_ERR_TRANSIENT, EBUSY,
                              "the site's holder keeps recording new client instances");
            break;
        }
        rc = read_site(lease, &again, err);
        if (rc < 0) {
            break;
        }
        if (strcmp(get(&again, "holder"), get(site, "holder")) != 0) {
            rc = taken_meanwhile(err);
        }
        fs_omap_fini(&done);
        done = *site;
        *site = again;
    }
    fs_omap_fini(&done);
    return rc;
}

/* Step 3; the instances of site are blocklisted. */
static int replace(struct fs_lease *lease, const struct fs_omap *site, struct fs_error *err)
{
    int64_t now = fs_clock_boot(lease->options->clock);
    rados_write_op_t op = fs_omap_change();
    int rc;

    for (size_t i = 0; i < site->count; i++) {
        const char *address = instance_of(&site->pairs[i]);

        if (address != NULL && strcmp(address, fs_cluster_address(lease->cluster)) != 0) {
            fs_omap_remove(op, site->pairs[i].key);
        }
    }
    rc = write_own(lease, op, get(site, "holder"));
    if (rc == -ECANCELED) {
        return taken_meanwhile(err);
    }
    if (rc < 0) {
        return fs_cluster_error(err, rc, "writing the site's lease");
    }
    note_held(lease, now);
    fs_fault("lease.taken");
    return 0;
}

/* Another daemon's lease: 0 once it has stood still for its whole length. */
static int wait_out(struct fs_lease *lease, const struct fs_omap *site,
                    const struct fs_lease_text *other, struct fs_error *err)
{
    int64_t now = fs_clock_boot(lease->options->clock);
    int64_t length = lease->options->lease_ns;
    char *text = NULL;
    int64_t left;

    if (other->lease_ns > length) {
        length = other->lease_ns;
    }
    if (asprintf(&text, "%s %s", get(site, "holder"), get(site, "lease")) < 0) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    if (lease->seen == NULL || strcmp(lease->seen, text) != 0) {
        forget_seen(lease);
        lease->seen = text;
        lease->seen_ns = now;
    } else {
        free(text);
    }
    left = length - (now - lease->seen_ns);
    if (left <= 0) {
        return 0;
    }
    return fs_error_set(err, FS_ERR_TRANSIENT, EBUSY,
                        "another daemon works for this site (%s, instance %s); this one stands by "
                        "and takes over when the lease is not renewed for %" PRId64 " s",
                        other->key, other->instance, (left + FS_SEC - 1) / FS_SEC);
}

static int take(struct fs_lease *lease, struct fs_omap *site, struct fs_error *err)
{
    const char *holder = get(site, "holder");
    struct fs_lease_text other = {0};
    int rc = 0;

    if (*holder != '\0') {
        if (fs_lease_parse(get(site, "lease"), &other) < 0) {
            snprintf(other.key, sizeof(other.key), "%s", "?"); /* nobody's key: wait it out */
        }
        if (strcmp(other.key, lease->options->daemon_key) != 0) {
            rc = wait_out(lease, site, &other, err);
        }
    }
    if (rc == 0) {
        fs_fault("lease.claim");
        rc = fence_all(lease, site, err);
    }
    return rc < 0 ? rc : replace(lease, site, err);
}

int fs_lease_claim(struct fs_lease *lease, struct fs_error *err)
{
    struct fs_omap site;
    int rc;

    if (lease->held) {
        return fs_lease_renew(lease, err);
    }
    rc = read_site(lease, &site, err);
    if (rc < 0) {
        return rc;
    }
    if (strcmp(get(&site, "holder"), lease->token) == 0) {
        /* Ours already: a claim without an answer, or a lease that ran out and that nobody wanted.
         * What is recorded with it is our own, and may be at work. */
        note_held(lease, fs_clock_boot(lease->options->clock));
        rc = fs_lease_renew(lease, err);
    } else {
        rc = take(lease, &site, err);
    }
    fs_omap_fini(&site);
    return rc;
}

int fs_lease_renew(struct fs_lease *lease, struct fs_error *err)
{
    int64_t now = fs_clock_boot(lease->options->clock);
    int rc;

    if (!lease->held) {
        return lost(lease, err, "it was not claimed again");
    }
    rc = write_own(lease, fs_omap_change(), lease->token);
    if (rc == 0) {
        lease->renewed_ns = now; /* late or not: nobody took it */
        return 0;
    }
    if (rc == -ECANCELED) {
        return lost(lease, err, "another daemon took it over");
    }
    if (rc == -ESHUTDOWN) {
        return lost(lease, err, "this client instance is blocklisted; connect again");
    }
    if (fs_clock_boot(lease->options->clock) - lease->renewed_ns >= lease->options->lease_ns) {
        return lost(lease, err, "the cluster did not answer for as long as it lasts");
    }
    return fs_cluster_error(err, rc, "renewing the site's lease");
}

struct fs_lease *fs_lease_new(const struct fs_site_options *options, struct fs_cluster *cluster,
                              struct fs_state *state)
{
    struct fs_lease *lease = calloc(1, sizeof(*lease));
    struct fs_uuid token;

    if (lease == NULL) {
        return NULL;
    }
    lease->options = options;
    lease->cluster = cluster;
    lease->state = state;
    fs_uuid_random(&token);
    fs_uuid_format(&token, lease->token);
    return lease;
}

/* Helpers that are still recorded stay so: the next holder blocklists them. Where it fails the
 * lease runs out, or our next daemon knows it by its key. */
static void release(struct fs_lease *lease)
{
    rados_write_op_t op = fs_omap_change();
    char key[256];

    snprintf(key, sizeof(key), FS_STATE_INSTANCE "%s", fs_cluster_address(lease->cluster));
    fs_omap_expect(op, "holder", lease->token);
    fs_omap_remove(op, "holder");
    fs_omap_remove(op, "lease");
    fs_omap_remove(op, key);
    (void)fs_omap_apply(fs_state_ioctx(lease->state), FS_STATE_SITE, op);
}

void fs_lease_free(struct fs_lease *lease)
{
    if (lease == NULL) {
        return;
    }
    if (lease->written) {
        fs_cluster_hurry(lease->cluster);
        release(lease);
    }
    forget_seen(lease);
    free(lease);
}
