/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/cluster.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FSID_SIZE  64
#define FENCED_MAX 64 /* remembered: the newest */

struct fs_cluster {
    rados_t rados;
    char user[FS_NAME_SIZE];
    char fsid[FSID_SIZE];
    char *address; /* rados_buffer_free */
    pthread_mutex_t lock;
    char fenced[FENCED_MAX][96]; /* guarded by lock; a ring */
    size_t n_fenced;             /* guarded by lock; ever */
};

int fs_cluster_error(struct fs_error *err, int rc, const char *format, ...)
{
    char what[256];
    char reason[128];
    int code = rc < 0 ? -rc : EIO;
    const char *hint = "";
    enum fs_error_class class = fs_error_class_of(code);
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    switch (code) {
    case ESHUTDOWN:
        /* A new connection has a new address, so trying again does help. */
        class = FS_ERR_TRANSIENT;
        hint = " (this client instance is blocklisted: another Farshore took over, or an operator "
               "fenced it)";
        break;
    case EPERM:
    case EACCES:
        class = FS_ERR_CONFIG;
        hint = " (the caps of the Ceph user do not allow it: it needs " FS_CLUSTER_CAPS ")";
        break;
    case ENOSPC:
    case EDQUOT:
        class = FS_ERR_TRANSIENT;
        hint = " (the cluster or the pool is full: add space or raise the quota)";
        break;
    case ETIMEDOUT:
        class = FS_ERR_TRANSIENT;
        hint = " (the cluster did not answer in time: see `ceph -s`)";
        break;
    default:
        break;
    }
    fs_error_set(err, class, code, "%s: %s%s", what, strerror_r(code, reason, sizeof(reason)),
                 hint);
    return -code;
}

static int set_option(rados_t rados, const char *name, const char *value, struct fs_error *err)
{
    int rc = rados_conf_set(rados, name, value);

    if (rc < 0) {
        return fs_cluster_error(err, rc, "setting %s=%s in librados", name, value);
    }
    return 0;
}

static int set_options(rados_t rados, int64_t op_timeout_ns, struct fs_error *err)
{
    static const char *const timeouts[] = {"rados_osd_op_timeout", "rados_mon_op_timeout",
                                           "client_mount_timeout"};
    char seconds[24];
    long long s = (op_timeout_ns + 500000000) / 1000000000;
    int rc = 0;

    snprintf(seconds, sizeof(seconds), "%lld", s < 1 ? 1 : s);
    for (size_t i = 0; i < sizeof(timeouts) / sizeof(timeouts[0]) && rc == 0; i++) {
        rc = set_option(rados, timeouts[i], seconds, err);
    }
    if (rc == 0) {
        rc = set_option(rados, "rbd_cache", "false", err);
    }
    if (rc == 0) {
        /* With this off librbd takes the granularity of discards to be one byte. */
        rc = set_option(rados, "rbd_skip_partial_discard", "false", err);
    }
    return rc;
}

static int read_conf(rados_t rados, const char *conf, struct fs_error *err)
{
    char reason[128];
    int rc;

    if (access(conf, R_OK) < 0) {
        int code = errno;

        return fs_error_set(err, FS_ERR_CONFIG, code,
                            "the Ceph configuration %s cannot be read: %s; name the right file in "
                            "ceph.conf of the configuration",
                            conf, strerror_r(code, reason, sizeof(reason)));
    }
    rc = rados_conf_read_file(rados, conf);
    if (rc < 0) {
        return fs_error_set(err, FS_ERR_CONFIG, -rc,
                            "the Ceph configuration %s is not valid: %s; `ceph -c %s -s` may say "
                            "more",
                            conf, strerror_r(-rc, reason, sizeof(reason)), conf);
    }
    return 0;
}

static int connect_error(rados_t rados, const char *conf, const char *user, int rc,
                         struct fs_error *err)
{
    char keyring[192] = "";

    (void)rados_conf_get(rados, "keyring", keyring, sizeof(keyring));
    switch (-rc) {
    case ENOENT:
        return fs_error_set(err, FS_ERR_CONFIG, ENOENT,
                            "no key of client.%s, looked for in %s: `ceph auth get-or-create "
                            "client.%s " FS_CLUSTER_CAPS "` prints one to put there",
                            user, keyring, user);
    case EACCES:
    case EPERM:
        return fs_error_set(err, FS_ERR_CONFIG, -rc,
                            "the cluster of %s refused client.%s: there is no such user, it has "
                            "another key than the one in %s, or no mon cap; compare with `ceph "
                            "auth get client.%s`, or make it with `ceph auth get-or-create "
                            "client.%s " FS_CLUSTER_CAPS "`",
                            conf, user, keyring, user, user);
    case EIO:
    case EINVAL:
        return fs_error_set(err, FS_ERR_CONFIG, -rc,
                            "the keyring of client.%s cannot be used: put what `ceph auth get "
                            "client.%s` prints into %s",
                            user, user, keyring);
    case ETIMEDOUT:
        return fs_error_set(err, FS_ERR_TRANSIENT, ETIMEDOUT,
                            "the monitors in %s did not answer in time: see whether they run and "
                            "can be reached from here",
                            conf);
    default:
        return fs_cluster_error(err, rc, "connecting to the cluster of %s as client.%s", conf,
                                user);
    }
}

static int learn_identity(struct fs_cluster *cluster, struct fs_error *err)
{
    int rc = rados_cluster_fsid(cluster->rados, cluster->fsid, sizeof(cluster->fsid));

    if (rc < 0) {
        return fs_cluster_error(err, rc, "reading the cluster's fsid");
    }
    rc = rados_getaddrs(cluster->rados, &cluster->address);
    if (rc < 0) {
        cluster->address = NULL;
        return fs_cluster_error(err, rc, "reading our own address in the cluster");
    }
    return 0;
}

int fs_cluster_open(const char *conf, const char *user, int64_t op_timeout_ns,
                    struct fs_cluster **ret_cluster, struct fs_error *err)
{
    struct fs_cluster *cluster = calloc(1, sizeof(*cluster));
    char name[FS_NAME_SIZE + 8];
    int rc;

    if (cluster == NULL) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    pthread_mutex_init(&cluster->lock, NULL);
    snprintf(cluster->user, sizeof(cluster->user), "%s", user);
    snprintf(name, sizeof(name), "client.%s", cluster->user);
    rc = rados_create2(&cluster->rados, "ceph", name, 0);
    if (rc < 0) {
        pthread_mutex_destroy(&cluster->lock);
        free(cluster);
        return fs_cluster_error(err, rc, "starting librados as %s", name);
    }
    rc = read_conf(cluster->rados, conf, err);
    if (rc == 0) {
        rc = set_options(cluster->rados, op_timeout_ns, err);
    }
    if (rc == 0) {
        rc = rados_connect(cluster->rados);
        if (rc < 0) {
            rc = connect_error(cluster->rados, conf, cluster->user, rc, err);
        }
    }
    if (rc == 0) {
        rc = learn_identity(cluster, err);
    }
    if (rc < 0) {
        fs_cluster_close(cluster);
        return rc;
    }
    *ret_cluster = cluster;
    return 0;
}

void fs_cluster_close(struct fs_cluster *cluster)
{
    if (cluster == NULL) {
        return;
    }
    if (cluster->address != NULL) {
        rados_buffer_free(cluster->address);
    }
    rados_shutdown(cluster->rados);
    pthread_mutex_destroy(&cluster->lock);
    free(cluster);
}

void fs_cluster_hurry(struct fs_cluster *cluster)
{
    (void)rados_conf_set(cluster->rados, "rados_osd_op_timeout", "2");
    (void)rados_conf_set(cluster->rados, "rados_mon_op_timeout", "2");
}

rados_t fs_cluster_rados(const struct fs_cluster *cluster)
{
    return cluster->rados;
}

const char *fs_cluster_fsid(const struct fs_cluster *cluster)
{
    return cluster->fsid;
}

const char *fs_cluster_user(const struct fs_cluster *cluster)
{
    return cluster->user;
}

const char *fs_cluster_address(const struct fs_cluster *cluster)
{
    return cluster->address;
}

int fs_cluster_ioctx(struct fs_cluster *cluster, const char *pool, const char *ns,
                     rados_ioctx_t *ret_ioctx, struct fs_error *err)
{
    int rc = rados_ioctx_create(cluster->rados, pool, ret_ioctx);

    if (rc == -ENOENT) {
        return fs_error_set(err, FS_ERR_CONFIG, ENOENT,
                            "there is no pool %s: create it with `ceph osd pool create %s` and "
                            "`rbd pool init %s`, or name another in the configuration",
                            pool, pool, pool);
    }
    if (rc < 0) {
        return fs_cluster_error(err, rc, "opening pool %s%s%s", pool, *ns ? "/" : "", ns);
    }
    rados_ioctx_set_namespace(*ret_ioctx, ns);
    return 0;
}

static int blocklist_error(struct fs_cluster *cluster, const char *address, int rc,
                           struct fs_error *err)
{
    if (rc == -EPERM || rc == -EACCES) {
        return fs_error_set(err, FS_ERR_CONFIG, -rc,
                            "client.%s may not blocklist: its mon cap lacks allow command \"osd "
                            "blocklist\"; grant with `ceph auth caps client.%s " FS_CLUSTER_CAPS
                            "`",
                            cluster->user, cluster->user);
    }
    return fs_cluster_error(err, rc, "blocklisting client instance %s", address);
}

int fs_cluster_blocklist(struct fs_cluster *cluster, const char *address, uint32_t expire_s,
                         struct fs_error *err)
{
    /* librados takes a char * that it does not write to. */
    int rc = rados_blocklist_add(cluster->rados, (char *)address, expire_s);

    if (rc == 0) {
        rc = rados_wait_for_latest_osdmap(cluster->rados);
    }
    if (rc < 0) {
        return blocklist_error(cluster, address, rc, err);
    }
    pthread_mutex_lock(&cluster->lock);
    snprintf(cluster->fenced[cluster->n_fenced++ % FENCED_MAX], sizeof(cluster->fenced[0]), "%s",
             address);
    pthread_mutex_unlock(&cluster->lock);
    return 0;
}

bool fs_cluster_has_fenced(struct fs_cluster *cluster, const char *address)
{
    /* "v1:10.0.0.1:0/123" as locks have it is "10.0.0.1:0/123" to blocklists. */
    const char *bare =
        strncmp(address, "v1:", 3) == 0 || strncmp(address, "v2:", 3) == 0 ? address + 3 : address;
    bool found = false;

    pthread_mutex_lock(&cluster->lock);
    for (size_t i = 0; i < cluster->n_fenced && i < FENCED_MAX; i++) {
        found = found || strcmp(cluster->fenced[i], bare) == 0;
    }
    pthread_mutex_unlock(&cluster->lock);
    return found;
}

static int blocklist_rm(struct fs_cluster *cluster, const char *address, struct fs_error *err)
{
    char text[256];
    const char *command = text;
    char *out = NULL;
    size_t length = 0;

    snprintf(text, sizeof(text),
             "{\"prefix\": \"osd blocklist\", \"blocklistop\": \"rm\", \"addr\": \"%.128s\"}",
             address);
    int rc = rados_mon_command(cluster->rados, &command, 1, NULL, 0, NULL, NULL, &out, &length);

    if (out != NULL) {
        rados_buffer_free(out);
    }
    return rc < 0 ? blocklist_error(cluster, address, rc, err) : 0;
}

int fs_cluster_unblocklist(struct fs_cluster *cluster, const char *address, struct fs_error *err)
{
    int rc = blocklist_rm(cluster, address, err);

    if (rc == 0) {
        rc = rados_wait_for_latest_osdmap(cluster->rados);
        rc = rc < 0 ? blocklist_error(cluster, address, rc, err) : 0;
    }
    return rc;
}

bool fs_cluster_is_blocklisted(struct fs_cluster *cluster, const char *address)
{
    const char *command = "{\"prefix\": \"osd blocklist ls\", \"format\": \"plain\"}";
    char *out = NULL, *status = NULL;
    size_t out_length = 0, status_length = 0, length = strlen(address);
    bool found = false;
    int rc = rados_mon_command(cluster->rados, &command, 1, "", 0, &out, &out_length, &status,
                               &status_length);

    for (const char *at = out; rc == 0 && at && at + length < out + out_length && !found; at++) {
        found =
            (at == out || at[-1] == '\n') && memcmp(at, address, length) == 0 && at[length] == ' ';
    }
    rados_buffer_free(out);
    rados_buffer_free(status);
    return found;
}

int fs_cluster_check_blocklist(struct fs_cluster *cluster, struct fs_error *err)
{
    /*
     * Taking away an entry that never was there: the monitor checks the cap first and then finds
     * nothing to do, so no map changes. The address is of TEST-NET-1 (RFC 5737), which no client
     * has. "rm" and not "add", because `profile rbd` alone allows an add, and unfence needs both.
     */
    return blocklist_rm(cluster, "192.0.2.1:0/1", err);
}
