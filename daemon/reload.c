/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/reload.h"

#include <stdio.h>
#include <string.h>

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

int fs_reload_check(const struct fs_config *now, const struct fs_config *next, struct fs_error *err)
{
    const struct {
        const char *key;
        bool same;
    } keys[] = {
        {"site", same(now->site, next->site)},
        {"ceph.conf", same(now->ceph_conf, next->ceph_conf)},
        {"ceph.user", same(now->ceph_user, next->ceph_user)},
        {"ceph.state_pool", same(now->state_pool, next->state_pool)},
        {"ceph.object_io", now->object_io == next->object_io},
        {"listen", same(now->listen, next->listen)},
        {"http", same(now->http, next->http)},
        {"control", same(now->control, next->control)},
        {"limits.memory", now->memory_bytes == next->memory_bytes},
        {"limits.cpu", now->cpu_threads == next->cpu_threads},
    };
    char changed[200] = "";
    size_t at = 0;

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (!keys[i].same) {
            at += (size_t)snprintf(changed + at, sizeof(changed) - at, "%s%s", at ? ", " : "",
                                   keys[i].key);
        }
    }
    if (at == 0) {
        return 0;
    }
    return fs_error_set(err, FS_ERR_CONFIG, EBUSY,
                        "%s cannot change while the daemon runs: restart it, or put the old value "
                        "back and reload again",
                        changed);
}
