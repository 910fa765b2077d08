/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guarded write whose answer is lost (an op timeout, a monitor election) may have been applied.
 * Each write therefore carries a nonce, and a try again from the same version uses the same one:
 * where the guard then fails, but the stored version is the next one and its nonce is ours, it was
 * our own earlier try that got through. It counts as done where the content is the same; else the
 * new content is written over it.
 */
#include "snapshot/state.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/omap.h"

#define NAMESPACE      FS_STATE_NAMESPACE
#define VERSION_SIZE   24
#define INSTANCE_SIZE  192
#define STORE_ATTEMPTS 2

/* A write whose outcome is not known: what a next try from base is known by. */
struct pending {
    struct fs_uuid group;
    uint64_t base;
    char nonce[FS_UUID_TEXT];
};

struct fs_state {
    struct fs_cluster *cluster; /* set once */
    rados_ioctx_t ioctx;
    char pool[FS_POOL_SIZE];
    atomic_bool lost;
    pthread_mutex_t lock; /* guards what follows */
    char holder[FS_UUID_TEXT];
    size_t n_pending;
    struct pending *pending; /* owned; at most one per group */
};

void fs_state_object(const struct fs_uuid *group, char ret_name[FS_STATE_OBJECT_SIZE])
{
    char text[FS_UUID_TEXT];

    fs_uuid_format(group, text);
    snprintf(ret_name, FS_STATE_OBJECT_SIZE, "group.%s", text);
}

char *fs_state_history(const struct fs_uuid *group, char ret_name[FS_STATE_HISTORY_SIZE])
{
    char text[FS_UUID_TEXT];

    fs_uuid_format(group, text);
    snprintf(ret_name, FS_STATE_HISTORY_SIZE, "history.%s", text);
    return ret_name;
}

/* Makes the object, and proves that it can be written and holds omap: removing a key that is not
 * there changes nothing. */
static int make_object(struct fs_state *state, const char *object, struct fs_error *err)
{
    const char *user = fs_cluster_user(state->cluster);
    rados_write_op_t op = fs_omap_change();
    int rc;

    rados_write_op_create(op, LIBRADOS_CREATE_IDEMPOTENT, NULL);
    fs_omap_remove(op, "-");
    rc = fs_omap_apply(state->ioctx, object, op);
    if (rc == -EPERM || rc == -EACCES) {
        return fs_error_set(
            err, FS_ERR_CONFIG, -rc,
            "client.%s may not write to pool %s: its osd cap lacks profile rbd (for "
            "every pool, or with pool=%s); grant with `ceph auth caps client.%s " FS_CLUSTER_CAPS
            "`",
            user, state->pool, state->pool, user);
    }
    if (rc == -EOPNOTSUPP) {
        return fs_error_set(err, FS_ERR_CONFIG, EOPNOTSUPP,
                            "pool %s is erasure coded and cannot hold Farshore's records: name a "
                            "replicated pool as ceph.state_pool",
                            state->pool);
    }
    if (rc < 0) {
        return fs_cluster_error(err, rc, "writing object %s in pool %s", object, state->pool);
    }
    return 0;
}

int fs_state_open(struct fs_cluster *cluster, const char *pool, struct fs_state **ret_state,
                  struct fs_error *err)
{
    static const char *const objects[] = {FS_STATE_SITE, FS_STATE_GROUPS, FS_STATE_CURRENT,
                                          FS_STATE_DRILLS};
    struct fs_state *state = calloc(1, sizeof(*state));
    int rc;

    if (state == NULL) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    state->cluster = cluster;
    snprintf(state->pool, sizeof(state->pool), "%s", pool);
    pthread_mutex_init(&state->lock, NULL);
    rc = fs_cluster_ioctx(cluster, pool, NAMESPACE, &state->ioctx, err);
    if (rc < 0) {
        pthread_mutex_destroy(&state->lock);
        free(state);
        fs_error_context(err, "state pool");
        return rc;
    }
    for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]) && rc == 0; i++) {
        rc = make_object(state, objects[i], err);
    }
    if (rc < 0) {
        fs_state_close(state);
        return rc;
    }
    *ret_state = state;
    return 0;
}

void fs_state_close(struct fs_state *state)
{
    if (state == NULL) {
        return;
    }
    rados_ioctx_destroy(state->ioctx);
    pthread_mutex_destroy(&state->lock);
    free(state->pending);
    free(state);
}

const char *fs_state_pool(const struct fs_state *state)
{
    return state->pool;
}

rados_ioctx_t fs_state_ioctx(struct fs_state *state)
{
    return state->ioctx;
}

void fs_state_set_holder(struct fs_state *state, const char *holder)
{
    pthread_mutex_lock(&state->lock);
    snprintf(state->holder, sizeof(state->holder), "%s", holder);
    pthread_mutex_unlock(&state->lock);
}

void fs_state_set_lost(struct fs_state *state, bool lost)
{
    atomic_store(&state->lost, lost);
}

static int lost_error(struct fs_error *err)
{
    return fs_error_set(err, FS_ERR_TRANSIENT, ESTALE,
                        "this daemon does not hold the site's lease any more: another one may work "
                        "for the site now");
}

/* --- storing -------------------------------------------------------------------------------- */

/* The nonce for a write of group from base: that of an earlier try, or a new one. */
static int nonce_get(struct fs_state *state, const struct fs_uuid *group, uint64_t base,
                     char ret_nonce[FS_UUID_TEXT])
{
    struct pending *entry = NULL;
    struct fs_uuid random;
    int rc = 0;

    pthread_mutex_lock(&state->lock);
    for (size_t i = 0; i < state->n_pending && entry == NULL; i++) {
        if (fs_uuid_equal(&state->pending[i].group, group)) {
            entry = &state->pending[i];
        }
    }
    if (entry == NULL) {
        struct pending *more =
            realloc(state->pending, (state->n_pending + 1) * sizeof(*state->pending));

        if (more == NULL) {
            rc = -ENOMEM;
        } else {
            state->pending = more;
            entry = &more[state->n_pending++];
            *entry = (struct pending){.group = *group};
        }
    }
    if (entry != NULL) {
        if (entry->nonce[0] == '\0' || entry->base != base) {
            fs_uuid_random(&random);
            fs_uuid_format(&random, entry->nonce);
            entry->base = base;
        }
        snprintf(ret_nonce, FS_UUID_TEXT, "%s", entry->nonce);
    }
    pthread_mutex_unlock(&state->lock);
    return rc;
}

static void nonce_forget(struct fs_state *state, const struct fs_uuid *group)
{
    pthread_mutex_lock(&state->lock);
    for (size_t i = 0; i < state->n_pending; i++) {
        if (fs_uuid_equal(&state->pending[i].group, group)) {
            state->pending[i] = state->pending[--state->n_pending];
            break;
        }
    }
    pthread_mutex_unlock(&state->lock);
}

static int write_record(struct fs_state *state, const char *object, uint64_t base,
                        const char *nonce, const char *text)
{
    rados_write_op_t op = fs_omap_change();
    char version[VERSION_SIZE];

    if (base == 0) {
        rados_write_op_create(op, LIBRADOS_CREATE_EXCLUSIVE, NULL);
    } else {
        snprintf(version, sizeof(version), "%" PRIu64, base);
        fs_omap_expect(op, "version", version);
    }
    snprintf(version, sizeof(version), "%" PRIu64, base + 1);
    fs_omap_set(op, "version", version, strlen(version));
    fs_omap_set(op, "writer", nonce, strlen(nonce));
    fs_omap_set(op, "record", text, strlen(text));
    return fs_omap_apply(state->ioctx, object, op);
}

/* The guard failed: 1: our own earlier try is stored with this text; 2: with another; 0: it is
 * someone else's. -errno where it cannot be read. */
static int recognize(struct fs_state *state, const char *object, uint64_t base, const char *nonce,
                     const char *text)
{
    static const char *const keys[] = {"version", "writer", "record"};
    struct fs_omap omap;
    const char *version;
    const char *writer;
    const char *record;
    uint64_t stored = 0;
    int rc = fs_omap_read_keys(state->ioctx, object, keys, 3, &omap);

    if (rc < 0) {
        return rc == -ENOENT ? 0 : rc;
    }
    version = fs_omap_get(&omap, "version");
    writer = fs_omap_get(&omap, "writer");
    record = fs_omap_get(&omap, "record");
    if (version != NULL && fs_state_parse_version(version, &stored) == 0 && stored == base + 1 &&
        writer != NULL && strcmp(writer, nonce) == 0 && record != NULL) {
        rc = strcmp(record, text) == 0 ? 1 : 2;
    }
    fs_omap_fini(&omap);
    return rc;
}

static int store_text(struct fs_state *state, struct fs_record *record, const char *text,
                      struct fs_error *err)
{
    char object[FS_STATE_OBJECT_SIZE];
    char nonce[FS_UUID_TEXT];

    fs_state_object(&record->group, object);
    for (int attempt = 0; attempt < STORE_ATTEMPTS; attempt++) {
        int rc = nonce_get(state, &record->group, record->version, nonce);

        if (rc == 0) {
            rc = write_record(state, object, record->version, nonce, text);
        }
        if (rc == -ECANCELED || rc == -EEXIST || rc == -ENOENT) {
            int found = recognize(state, object, record->version, nonce, text);

            if (found == 0) {
                break;
            }
            if (found == 2) {
                record->version++;
                continue;
            }
            rc = found < 0 ? found : 0;
        }
        if (rc < 0) {
            return fs_cluster_error(err, rc, "storing the record of group %s", record->name);
        }
        nonce_forget(state, &record->group);
        record->version++;
        return 0;
    }
    nonce_forget(state, &record->group);
    return fs_error_set(err, FS_ERR_TRANSIENT, ESTALE,
                        "the record of group %s was changed by someone else after version %" PRIu64
                        ": it is read again",
                        record->name, record->version);
}

/* The index comes first: an entry without a record is harmless, a record without one is lost. The
 * log's object is made here too: a full cluster takes entries, and no new objects. */
static int index_group(struct fs_state *state, const struct fs_record *record, struct fs_error *err)
{
    char history[FS_STATE_HISTORY_SIZE];
    rados_write_op_t op;
    char text[FS_UUID_TEXT];
    int rc = make_object(state, fs_state_history(&record->group, history), err);

    if (rc < 0) {
        return rc;
    }
    op = fs_omap_change();
    fs_uuid_format(&record->group, text);
    fs_omap_set(op, text, record->name, strlen(record->name));
    rc = fs_omap_apply(state->ioctx, FS_STATE_GROUPS, op);
    return rc < 0 ? fs_cluster_error(err, rc, "listing group %s", record->name) : 0;
}

int fs_state_store(struct fs_state *state, struct fs_record *record, struct fs_error *err)
{
    char *text;
    int rc = 0;

    if (atomic_load(&state->lost)) {
        return lost_error(err);
    }
    text = fs_record_encode(record);
    if (text == NULL) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    if (strlen(text) > FS_STATE_RECORD_MAX) {
        rc = fs_error_set(err, FS_ERR_PERMANENT, EFBIG,
                          "the record of group %s is too large: lower retain.latest or make the "
                          "group smaller",
                          record->name);
    }
    if (rc == 0 && record->version == 0) {
        rc = index_group(state, record, err);
    }
    if (rc == 0) {
        rc = store_text(state, record, text, err);
    }
    free(text);
    return rc;
}

/* An entry of one of the objects that have one for each group. */
static int remove_entry(struct fs_state *state, const char *object, const struct fs_uuid *group,
                        struct fs_error *err)
{
    rados_write_op_t op = fs_omap_change();
    char text[FS_UUID_TEXT];

    fs_uuid_format(group, text);
    fs_omap_remove(op, text);

    int rc = fs_omap_apply(state->ioctx, object, op);

    return rc < 0 && rc != -ENOENT
               ? fs_cluster_error(err, rc, "removing an entry of object %s", object)
               : 0;
}

int fs_state_remove(struct fs_state *state, const struct fs_record *record, struct fs_error *err)
{
    static const char *const lists[] = {FS_STATE_CURRENT, FS_STATE_VERIFY, FS_STATE_GROUPS};
    char object[FS_STATE_OBJECT_SIZE], version[VERSION_SIZE];

    if (atomic_load(&state->lost)) {
        return lost_error(err);
    }
    rados_write_op_t op = rados_create_write_op();

    fs_state_object(&record->group, object);
    snprintf(version, sizeof(version), "%" PRIu64, record->version);
    fs_omap_expect(op, "version", version);
    rados_write_op_remove(op);

    int rc = fs_omap_apply(state->ioctx, object, op);

    if (rc == -ECANCELED) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ESTALE,
                            "the record of group %s was changed by someone else after version "
                            "%" PRIu64 ": it is read again",
                            record->name, record->version);
    }
    rc = rc < 0 && rc != -ENOENT
             ? fs_cluster_error(err, rc, "removing the record of group %s", record->name)
             : 0;
    for (size_t i = 0; rc == 0 && i < sizeof(lists) / sizeof(lists[0]); i++) {
        rc = remove_entry(state, lists[i], &record->group, err);
    }
    return rc;
}

int fs_state_note_current(struct fs_state *state, const struct fs_current *entries, size_t count,
                          struct fs_error *err)
{
    rados_write_op_t op;
    int rc;

    if (atomic_load(&state->lost)) {
        return lost_error(err);
    }
    if (count == 0) {
        return 0;
    }
    op = fs_omap_change();
    for (size_t i = 0; i < count; i++) {
        char group[FS_UUID_TEXT];
        char point[FS_UUID_TEXT];
        char value[FS_UUID_TEXT + 24];

        fs_uuid_format(&entries[i].group, group);
        fs_uuid_format(&entries[i].point, point);
        snprintf(value, sizeof(value), "%s %" PRId64, point, entries[i].current_until_ns);
        fs_omap_set(op, group, value, strlen(value));
    }
    rc = fs_omap_apply(state->ioctx, FS_STATE_CURRENT, op);
    return rc < 0 ? fs_cluster_error(err, rc, "recording until when groups are current") : 0;
}

/* --- instances ------------------------------------------------------------------------------ */

int fs_state_add_instance(struct fs_state *state, const char *address, struct fs_error *err)
{
    rados_write_op_t op;
    char key[INSTANCE_SIZE];
    char holder[FS_UUID_TEXT];
    int rc;

    if (atomic_load(&state->lost)) {
        return lost_error(err);
    }
    if (snprintf(key, sizeof(key), FS_STATE_INSTANCE "%s", address) >= (int)sizeof(key)) {
        return fs_error_set(err, FS_ERR_BUG, EINVAL, "client address %s is too long", address);
    }
    pthread_mutex_lock(&state->lock);
    memcpy(holder, state->holder, sizeof(holder));
    pthread_mutex_unlock(&state->lock);
    op = fs_omap_change();
    fs_omap_expect(op, "holder", holder);
    fs_omap_set(op, key, "", 0);
    rc = fs_omap_apply(state->ioctx, FS_STATE_SITE, op);
    if (rc == -ECANCELED) {
        return lost_error(err);
    }
    return rc < 0 ? fs_cluster_error(err, rc, "recording client instance %s", address) : 0;
}

int fs_state_remove_instance(struct fs_state *state, const char *address, struct fs_error *err)
{
    rados_write_op_t op = fs_omap_change();
    char key[INSTANCE_SIZE];
    int rc;

    snprintf(key, sizeof(key), FS_STATE_INSTANCE "%s", address);
    fs_omap_remove(op, key);
    rc = fs_omap_apply(state->ioctx, FS_STATE_SITE, op);
    return rc < 0 ? fs_cluster_error(err, rc, "forgetting client instance %s", address) : 0;
}
