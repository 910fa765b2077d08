/* SPDX-License-Identifier: Apache-2.0 */
/* Reading records back: what is in the cluster is checked like any input. */
#include "snapshot/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/omap.h"

#define VERSION_SIZE 24

int fs_state_parse_version(const char *text, uint64_t *ret_version)
{
    char again[VERSION_SIZE];
    char *end;
    uint64_t version;

    errno = 0;
    version = strtoull(text, &end, 10);
    snprintf(again, sizeof(again), "%" PRIu64, version);
    if (errno != 0 || *end != '\0' || version == 0 || strcmp(again, text) != 0) {
        return -EINVAL;
    }
    *ret_version = version;
    return 0;
}

int fs_state_parse_current(const char *text, struct fs_uuid *ret_point, int64_t *ret_until_ns)
{
    char point[FS_UUID_TEXT];
    char *end;
    long long until;

    if (strlen(text) < FS_UUID_TEXT || text[FS_UUID_TEXT - 1] != ' ') {
        return -EINVAL;
    }
    memcpy(point, text, FS_UUID_TEXT - 1);
    point[FS_UUID_TEXT - 1] = '\0';
    text += FS_UUID_TEXT;
    if (*text < '0' || *text > '9') {
        return -EINVAL;
    }
    errno = 0;
    until = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0') {
        return -EINVAL;
    }
    *ret_until_ns = until;
    return fs_uuid_parse(point, ret_point);
}

/* The moment counts only for the point that it was noted for. */
static void merge_current(struct fs_record *record, const char *text)
{
    const struct fs_record_point *newest = fs_record_newest_committed(record);
    struct fs_uuid point;
    int64_t until = 0;

    record->current_until_ns = 0;
    if (newest == NULL) {
        return;
    }
    record->current_until_ns = newest->taken_ns;
    if (text != NULL && fs_state_parse_current(text, &point, &until) == 0 &&
        fs_uuid_equal(&point, &newest->point.id) && until > newest->taken_ns) {
        record->current_until_ns = until;
    }
}

static int decode(const struct fs_omap *omap, const struct fs_uuid *group, const char *object,
                  struct fs_record **ret_record, struct fs_error *err)
{
    const char *version = fs_omap_get(omap, "version");
    const char *text = fs_omap_get(omap, "record");
    struct fs_record *record;
    int rc;

    if (version == NULL || text == NULL || strlen(text) > FS_STATE_RECORD_MAX) {
        return fs_error_set(err, FS_ERR_DATA, EINVAL,
                            "object %s is not a record of Farshore: restore or remove it", object);
    }
    rc = fs_record_decode(text, strlen(text), &record, err);
    if (rc < 0) {
        fs_error_context(err, "object %s", object);
        return rc;
    }
    if (fs_state_parse_version(version, &record->version) < 0 ||
        !fs_uuid_equal(&record->group, group)) {
        fs_record_free(record);
        return fs_error_set(err, FS_ERR_DATA, EINVAL,
                            "object %s has a wrong version or holds the record of another group: "
                            "restore or remove it",
                            object);
    }
    *ret_record = record;
    return 0;
}

/* *ret_bad: the object was read, but is no record that we can use. */
static int load(struct fs_state *state, const struct fs_uuid *group, const char *current,
                struct fs_record **ret_record, bool *ret_bad, struct fs_error *err)
{
    static const char *const keys[] = {"version", "record"};
    char object[FS_STATE_OBJECT_SIZE];
    struct fs_omap omap;
    int rc;

    *ret_bad = false;
    *ret_record = NULL;
    fs_state_object(group, object);
    rc = fs_omap_read_keys(fs_state_ioctx(state), object, keys, 2, &omap);
    if (rc < 0) {
        return fs_cluster_error(err, rc, "reading object %s in pool %s", object,
                                fs_state_pool(state));
    }
    rc = decode(&omap, group, object, ret_record, err);
    fs_omap_fini(&omap);
    if (*ret_record == NULL) {
        *ret_bad = true;
        return rc;
    }
    merge_current(*ret_record, current);
    return 0;
}

int fs_state_load(struct fs_state *state, const struct fs_uuid *group,
                  struct fs_record **ret_record, struct fs_error *err)
{
    char key[FS_UUID_TEXT];
    const char *keys[] = {key};
    struct fs_omap current;
    bool is_bad;
    int rc;

    fs_uuid_format(group, key);
    rc = fs_omap_read_keys(fs_state_ioctx(state), FS_STATE_CURRENT, keys, 1, &current);
    if (rc < 0) {
        return fs_cluster_error(err, rc, "reading object %s in pool %s", FS_STATE_CURRENT,
                                fs_state_pool(state));
    }
    rc = load(state, group, fs_omap_get(&current, key), ret_record, &is_bad, err);
    fs_omap_fini(&current);
    return rc;
}

static int by_key(const void *a, const void *b)
{
    const struct fs_omap_pair *left = a;
    const struct fs_omap_pair *right = b;

    return strcmp(left->key, right->key);
}

static const char *find_sorted(const struct fs_omap *omap, const char *key)
{
    struct fs_omap_pair wanted = {.key = (char *)key};
    const struct fs_omap_pair *found =
        omap->count == 0 ? NULL
                         : bsearch(&wanted, omap->pairs, omap->count, sizeof(wanted), by_key);

    return found != NULL ? found->value : NULL;
}

struct loading {
    struct fs_record **records;
    size_t count;
    fs_site_bad_record_fn *bad;
    void *arg;
};

static int load_listed(struct fs_state *state, const char *key, const char *current,
                       struct loading *loading, struct fs_error *err)
{
    struct fs_error own = FS_ERROR_INIT;
    struct fs_uuid group;
    bool is_bad = true;
    int rc;

    if (fs_uuid_parse(key, &group) < 0) {
        rc =
            fs_error_set(&own, FS_ERR_DATA, EINVAL, "the list of groups holds %.64s, no UUID", key);
    } else {
        rc = load(state, &group, current, &loading->records[loading->count], &is_bad, &own);
    }
    if (rc == 0) {
        loading->count++;
        return 0;
    }
    if (is_bad) {
        if (loading->bad != NULL) {
            loading->bad(loading->arg, key, &own);
        }
        return 0;
    }
    if (rc == -ENOENT) {
        return 0; /* listed, and never stored */
    }
    if (err != NULL) {
        *err = own;
    }
    return rc;
}

int fs_state_load_all(struct fs_state *state, struct fs_record ***ret_records, size_t *ret_count,
                      fs_site_bad_record_fn *bad, void *arg, struct fs_error *err)
{
    struct loading loading = {.bad = bad, .arg = arg};
    struct fs_omap groups;
    struct fs_omap current = {0};
    int rc = fs_omap_read(fs_state_ioctx(state), FS_STATE_GROUPS, FS_STATE_GROUPS_MAX, &groups);

    if (rc == 0) {
        rc = fs_omap_read(fs_state_ioctx(state), FS_STATE_CURRENT, FS_STATE_GROUPS_MAX, &current);
    }
    if (rc < 0) {
        fs_omap_fini(&groups);
        return fs_cluster_error(err, rc, "listing the groups in pool %s", fs_state_pool(state));
    }
    loading.records = calloc(groups.count + 1, sizeof(struct fs_record *));
    if (loading.records == NULL) {
        fs_omap_fini(&groups);
        fs_omap_fini(&current);
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < groups.count && rc == 0; i++) {
        const char *key = groups.pairs[i].key;

        rc = load_listed(state, key, find_sorted(&current, key), &loading, err);
    }
    fs_omap_fini(&groups);
    fs_omap_fini(&current);
    if (rc < 0) {
        for (size_t i = 0; i < loading.count; i++) {
            fs_record_free(loading.records[i]);
        }
        free(loading.records);
        return rc;
    }
    *ret_records = loading.records;
    *ret_count = loading.count;
    return 0;
}
