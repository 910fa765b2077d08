/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/omap.h"

#define KEY_SIZE 32
/* Entries that somebody else's clock or a crash left beyond the limit still fit. */
#define READ_MAX (4u * FS_HISTORY_MAX)

static int read_all(struct fs_state *state, const char *object, struct fs_omap *ret_omap,
                    struct fs_error *err)
{
    int rc = fs_omap_read(fs_state_ioctx(state), object, READ_MAX, ret_omap);

    if (rc == -ENOENT) {
        *ret_omap = (struct fs_omap){0};
        return 0;
    }
    return rc < 0 ? fs_cluster_error(err, rc, "reading object %s in pool %s", object,
                                     fs_state_pool(state))
                  : 0;
}

int fs_history_append(struct fs_state *state, const struct fs_uuid *group, int64_t wall_ns,
                      const char *text, struct fs_error *err)
{
    char object[FS_STATE_HISTORY_SIZE], key[KEY_SIZE];
    struct fs_omap omap = {0};
    struct fs_uuid random;
    uint32_t digits;
    int rc;

    fs_state_history(group, object);
    rc = read_all(state, object, &omap, err);
    if (rc < 0) {
        return rc;
    }
    fs_uuid_random(&random);
    memcpy(&digits, random.b, sizeof(digits));
    snprintf(key, sizeof(key), "%020" PRId64 ".%08" PRIx32, wall_ns, digits);

    rados_write_op_t op = fs_omap_change();

    for (size_t i = 0; i + FS_HISTORY_MAX <= omap.count; i++) {
        fs_omap_remove(op, omap.pairs[i].key);
    }
    fs_omap_set(op, key, text, strlen(text));
    rc = fs_omap_apply(fs_state_ioctx(state), object, op);
    fs_omap_fini(&omap);
    return rc < 0 ? fs_cluster_error(err, rc, "writing the log of operations") : 0;
}

void fs_history_free(struct fs_history_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(entries[i].text);
    }
    free(entries);
}

int fs_history_load(struct fs_state *state, const struct fs_uuid *group,
                    struct fs_history_entry **ret_entries, size_t *ret_count, struct fs_error *err)
{
    char object[FS_STATE_HISTORY_SIZE];
    struct fs_history_entry *entries;
    struct fs_omap omap;
    size_t n = 0;
    int rc;

    fs_state_history(group, object);
    rc = read_all(state, object, &omap, err);
    if (rc < 0) {
        return rc;
    }
    entries = calloc(omap.count + 1, sizeof(*entries));
    for (size_t i = 0; entries && i < omap.count; i++) {
        entries[n].wall_ns = strtoll(omap.pairs[i].key, NULL, 10);
        entries[n].text = strdup(omap.pairs[i].value);
        n += entries[n].text != NULL;
    }
    fs_omap_fini(&omap);
    if (!entries) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    *ret_entries = entries;
    *ret_count = n;
    return 0;
}
