/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/site.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/drill.h"
#include "snapshot/omap.h"

#define FORMAT      "1"
#define OP_TIMEOUT  (30 * FS_SEC)
#define LEASE       (30 * FS_SEC)
#define IO_DEPTH    32
#define UUID_ROUNDS 2

static int read_identity(struct fs_site *site, struct fs_error *err)
{
    static const char *const keys[] = {"format", "uuid"};
    struct fs_omap omap;
    const char *format;
    const char *uuid;
    int rc = fs_omap_read_keys(fs_state_ioctx(site->state), FS_STATE_SITE, keys, 2, &omap);

    if (rc < 0) {
        return fs_cluster_error(err, rc, "reading the site's UUID in pool %s",
                                site->options.state_pool);
    }
    format = fs_omap_get(&omap, "format");
    uuid = fs_omap_get(&omap, "uuid");
    if (format == NULL && uuid == NULL) {
        rc = -ENOENT;
    } else if (format == NULL || strcmp(format, FORMAT) != 0) {
        rc = fs_error_set(err, FS_ERR_PERMANENT, EPROTONOSUPPORT,
                          "the site's state in pool %s has format %.16s, this Farshore knows "
                          "only " FORMAT ": upgrade this daemon",
                          site->options.state_pool, format != NULL ? format : "(none)");
    } else if (uuid == NULL || fs_uuid_parse(uuid, &site->uuid) < 0 ||
               fs_uuid_is_zero(&site->uuid)) {
        rc = fs_error_set(err, FS_ERR_DATA, EINVAL,
                          "object " FS_STATE_SITE " in pool %s, namespace farshore, holds no site "
                          "UUID: restore it, or remove the object where the site is to start anew",
                          site->options.state_pool);
    }
    fs_omap_fini(&omap);
    return rc;
}

/* Two daemons may do it at once: the first one's UUID stands. */
static int make_identity(struct fs_site *site, struct fs_error *err)
{
    rados_write_op_t op = fs_omap_change();
    struct fs_uuid uuid;
    char text[FS_UUID_TEXT];
    int rc;

    fs_uuid_random(&uuid);
    fs_uuid_format(&uuid, text);
    fs_omap_expect(op, "uuid", "");
    fs_omap_set(op, "format", FORMAT, strlen(FORMAT));
    fs_omap_set(op, "uuid", text, strlen(text));
    fs_omap_set(op, "name", site->options.site_name, strlen(site->options.site_name));
    rc = fs_omap_apply(fs_state_ioctx(site->state), FS_STATE_SITE, op);
    if (rc < 0 && rc != -ECANCELED) {
        return fs_cluster_error(err, rc, "writing the site's UUID in pool %s",
                                site->options.state_pool);
    }
    return 0;
}

static int learn_identity(struct fs_site *site, struct fs_error *err)
{
    int rc = -ENOENT;

    for (int round = 0; round < UUID_ROUNDS && rc == -ENOENT; round++) {
        rc = round == 0 ? 0 : make_identity(site, err);
        if (rc == 0) {
            rc = read_identity(site, err);
        }
    }
    return rc;
}

static void set_defaults(struct fs_site_options *options)
{
    if (options->clock == NULL) {
        options->clock = fs_clock_system();
    }
    if (options->op_timeout_ns <= 0) {
        options->op_timeout_ns = OP_TIMEOUT;
    }
    if (options->lease_ns <= 0) {
        options->lease_ns = LEASE;
    }
    if (options->io_depth == 0) {
        options->io_depth = IO_DEPTH;
    }
}

int fs_site_open(const struct fs_site_options *options, struct fs_site **ret_site,
                 struct fs_error *err)
{
    struct fs_site *site = calloc(1, sizeof(*site));
    int rc;

    if (site == NULL) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    site->options = *options;
    fs_holds_init(&site->holds);
    fs_holds_init(&site->drills);
    set_defaults(&site->options);
    rc = fs_cluster_open(options->conf, options->user, site->options.op_timeout_ns, &site->cluster,
                         err);
    if (rc == 0) {
        rc = fs_cluster_check_blocklist(site->cluster, err);
    }
    if (rc == 0) {
        rc = fs_state_open(site->cluster, options->state_pool, &site->state, err);
    }
    if (rc == 0) {
        rc = learn_identity(site, err);
    }
    if (rc == 0) {
        fs_site_look_around(site);
        site->lease = fs_lease_new(&site->options, site->cluster, site->state);
        if (site->lease == NULL) {
            rc = fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
        }
    }
    if (rc < 0) {
        fs_site_close(site);
        return rc;
    }
    *ret_site = site;
    return 0;
}

void fs_site_close(struct fs_site *site)
{
    if (site == NULL) {
        return;
    }
    if (site->source != NULL) {
        fs_rbd_source_free(site->source);
    }
    if (site->sink != NULL) {
        fs_rbd_sink_free(site->sink);
    }
    fs_rbd_digester_free(site->digester);
    fs_rbd_operator_free(site->operators);
    fs_holds_fini(&site->holds);
    fs_holds_fini(&site->drills);
    fs_lease_free(site->lease);
    fs_state_close(site->state);
    fs_cluster_close(site->cluster);
    free(site);
}

const char *fs_site_fsid(const struct fs_site *site)
{
    return fs_cluster_fsid(site->cluster);
}

const struct fs_uuid *fs_site_uuid(const struct fs_site *site)
{
    return &site->uuid;
}

int fs_site_claim(struct fs_site *site, struct fs_error *err)
{
    return fs_lease_claim(site->lease, err);
}

int fs_site_renew(struct fs_site *site, struct fs_error *err)
{
    return fs_lease_renew(site->lease, err);
}

int fs_site_load(struct fs_site *site, struct fs_record ***ret_records, size_t *ret_count,
                 fs_site_bad_record_fn *bad, void *arg, struct fs_error *err)
{
    int rc = fs_drill_hold_points(site, err);

    return rc < 0 ? rc : fs_state_load_all(site->state, ret_records, ret_count, bad, arg, err);
}

struct fs_source *fs_site_source(struct fs_site *site, struct fs_pool *blocking,
                                 struct fs_mailbox *mailbox)
{
    if (site->source == NULL) {
        site->source = fs_rbd_source_new(site, blocking, mailbox);
    }
    return site->source;
}

struct fs_sink *fs_site_sink(struct fs_site *site, struct fs_pool *blocking,
                             struct fs_mailbox *mailbox)
{
    if (site->sink == NULL) {
        site->sink = fs_rbd_sink_new(site, blocking, mailbox);
    }
    return site->sink;
}

struct fs_operator *fs_site_operator(struct fs_site *site, struct fs_pool *blocking)
{
    if (site->operators == NULL) {
        site->operators = fs_rbd_operator_new(site, blocking);
    }
    return site->operators;
}

struct fs_digester *fs_site_digester(struct fs_site *site, struct fs_pool *blocking)
{
    if (site->digester == NULL) {
        site->digester = fs_rbd_digester_new(site, blocking);
    }
    return site->digester;
}
