/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `osd dump` and `status` are answered by the monitors alone, and `mon 'profile rbd'` allows them.
 * removed_snaps_queue of the former holds, by pool, every snapshot that was removed and that not
 * yet all placement groups have trimmed; managers report that, so without one nothing ever leaves
 * it.
 */
#include "farshore/health.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "snapshot/site.h"

void fs_health_fini(struct fs_health *health)
{
    free(health->pools);
    *health = (struct fs_health){0};
}

const struct fs_pool_health *fs_health_pool(const struct fs_health *health, const char *name)
{
    for (size_t i = 0; i < health->n_pools; i++) {
        if (strcmp(health->pools[i].name, name) == 0) {
            return &health->pools[i];
        }
    }
    return NULL;
}

uint64_t fs_health_trimming(const struct fs_health *health)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < health->n_pools; i++) {
        sum += health->pools[i].trimming;
    }
    return sum;
}

/* A word of a comma-separated list. */
static bool has_flag(const char *flags, const char *flag)
{
    size_t length = strlen(flag);

    while (flags) {
        if (strncmp(flags, flag, length) == 0 && (flags[length] == ',' || !flags[length])) {
            return true;
        }
        flags = strchr(flags, ',');
        flags = flags ? flags + 1 : NULL;
    }
    return false;
}

static uint64_t waiting_of(const json_t *queue, json_int_t pool)
{
    uint64_t sum = 0;
    size_t i, k;
    json_t *entry, *range;

    json_array_foreach(queue, i, entry)
    {
        if (json_integer_value(json_object_get(entry, "pool")) != pool) {
            continue;
        }
        json_array_foreach(json_object_get(entry, "snaps"), k, range)
        {
            json_int_t length = json_integer_value(json_object_get(range, "length"));
            sum += length > 0 ? (uint64_t)length : 0;
        }
    }
    return sum;
}

/* Pools whose names do not fit are none that the configuration could name. */
static void read_pools(const json_t *dump, const json_t *pools, struct fs_health *health)
{
    const json_t *queue = json_object_get(dump, "removed_snaps_queue");
    const char *all = json_string_value(json_object_get(dump, "flags"));
    bool cluster_full = has_flag(all, "full");
    size_t i;
    json_t *pool;

    json_array_foreach(pools, i, pool)
    {
        const char *name = json_string_value(json_object_get(pool, "pool_name"));
        const char *flags = json_string_value(json_object_get(pool, "flags_names"));
        if (!name || strlen(name) >= sizeof(health->pools->name)) {
            continue;
        }
        struct fs_pool_health *at = &health->pools[health->n_pools++];
        memcpy(at->name, name, strlen(name) + 1);
        at->quota = has_flag(flags, "full_quota");
        at->full = cluster_full || at->quota || has_flag(flags, "full");
        at->nearfull = at->full || has_flag(flags, "nearfull");
        at->trimming = waiting_of(queue, json_integer_value(json_object_get(pool, "pool")));
    }
}

int fs_health_parse(const char *osd_dump, size_t osd_dump_length, const char *status,
                    size_t status_length, struct fs_health *ret_health, struct fs_error *err)
{
    json_t *dump = json_loadb(osd_dump, osd_dump_length, 0, NULL);
    json_t *state = json_loadb(status, status_length, 0, NULL);
    const json_t *pools = json_object_get(dump, "pools");
    int rc = 0;

    *ret_health = (struct fs_health){0};
    if (!json_is_array(pools) || !json_is_object(state)) {
        rc = fs_error_set(err, FS_ERR_PERMANENT, EPROTO,
                          "the monitors' answers to `osd dump` and `status` are not understood");
    } else {
        ret_health->pools = calloc(json_array_size(pools) + 1, sizeof(*ret_health->pools));
        if (!ret_health->pools) {
            rc = fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
        } else {
            ret_health->trim_known =
                json_is_true(json_object_get(json_object_get(state, "mgrmap"), "available"));
            read_pools(dump, pools, ret_health);
        }
    }
    json_decref(dump);
    json_decref(state);
    return rc;
}

static int ask(rados_t rados, const char *command, char **ret_text, size_t *ret_length,
               struct fs_error *err)
{
    char *message = NULL;
    size_t length = 0;
    int rc =
        rados_mon_command(rados, &command, 1, NULL, 0, ret_text, ret_length, &message, &length);

    if (message) {
        rados_buffer_free(message);
    }
    return rc < 0 ? fs_cluster_error(err, rc, "asking the monitors %s", command) : 0;
}

int fs_site_health(struct fs_site *site, struct fs_health *ret_health, struct fs_error *err)
{
    rados_t rados = fs_cluster_rados(site->cluster);
    char *dump = NULL, *status = NULL;
    size_t dump_length = 0, status_length = 0;
    int rc =
        ask(rados, "{\"prefix\": \"osd dump\", \"format\": \"json\"}", &dump, &dump_length, err);

    *ret_health = (struct fs_health){0};
    if (rc == 0) {
        rc = ask(rados, "{\"prefix\": \"status\", \"format\": \"json\"}", &status, &status_length,
                 err);
    }
    if (rc == 0) {
        rc = fs_health_parse(dump, dump_length, status, status_length, ret_health, err);
    }
    if (dump) {
        rados_buffer_free(dump);
    }
    if (status) {
        rados_buffer_free(status);
    }
    return rc;
}
