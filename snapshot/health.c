/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `osd dump` and `status` are answered by the monitors alone, and `mon 'profile rbd'` allows them;
 * so does it `df`, whose figures are a manager's, and all zero without one. removed_snaps_queue of
 * the former holds, by pool, every snapshot that was removed and that not yet all placement groups
 * have trimmed; managers report that, so without one nothing ever leaves it.
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

static uint64_t bytes_of(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));

    return value > 0 ? (uint64_t)value : 0;
}

static void read_space(const json_t *df, struct fs_health *health)
{
    size_t i;
    json_t *pool;

    json_array_foreach(json_object_get(df, "pools"), i, pool)
    {
        const char *name = json_string_value(json_object_get(pool, "name"));
        const json_t *stats = json_object_get(pool, "stats");
        for (size_t k = 0; name && k < health->n_pools; k++) {
            struct fs_pool_health *at = &health->pools[k];
            if (strcmp(at->name, name) == 0) {
                at->stored = bytes_of(stats, "stored");
                at->available = bytes_of(stats, "max_avail");
                at->space_known = at->stored > 0 || at->available > 0;
            }
        }
    }
}

/* As many whole words as fit. */
static void read_flags(const char *flags, struct fs_health *health)
{
    size_t room = sizeof(health->flags) - 1;

    if (flags && strlen(flags) <= room) {
        memcpy(health->flags, flags, strlen(flags) + 1);
    } else if (flags) {
        memcpy(health->flags, flags, room);
        health->flags[room] = '\0';
        char *last = strrchr(health->flags, ',');
        *(last ? last : health->flags) = '\0';
    }
}

char *fs_health_version(const char *text, size_t length, char *ret_version, size_t size)
{
    static const char lead[] = "ceph version ";
    const size_t skip = sizeof(lead) - 1;
    size_t n = 0;

    if (length > skip && memcmp(text, lead, skip) == 0) {
        while (skip + n < length && n + 1 < size && text[skip + n] != ' ') {
            ret_version[n] = text[skip + n];
            n++;
        }
    }
    ret_version[n] = '\0';
    return ret_version;
}

int fs_health_parse(struct fs_health_text osd_dump, struct fs_health_text status,
                    struct fs_health_text df, struct fs_health *ret_health, struct fs_error *err)
{
    json_t *dump = json_loadb(osd_dump.text, osd_dump.length, 0, NULL);
    json_t *state = json_loadb(status.text, status.length, 0, NULL);
    json_t *space = df.length > 0 ? json_loadb(df.text, df.length, 0, NULL) : NULL;
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
            read_flags(json_string_value(json_object_get(dump, "flags")), ret_health);
            read_space(space, ret_health);
        }
    }
    json_decref(dump);
    json_decref(state);
    json_decref(space);
    return rc;
}

/* ret_answer->text is for rados_buffer_free. */
static int ask(rados_t rados, const char *command, struct fs_health_text *ret_answer,
               struct fs_error *err)
{
    char *message = NULL, *text = NULL;
    size_t length = 0;
    int rc = rados_mon_command(rados, &command, 1, NULL, 0, &text, &ret_answer->length, &message,
                               &length);

    ret_answer->text = text;

    if (message) {
        rados_buffer_free(message);
    }
    return rc < 0 ? fs_cluster_error(err, rc, "asking the monitors %s", command) : 0;
}

static void release(struct fs_health_text *answer)
{
    if (answer->text) {
        rados_buffer_free((char *)answer->text);
    }
}

void fs_site_look_around(struct fs_site *site)
{
    rados_t rados = fs_cluster_rados(site->cluster);
    struct fs_error err = FS_ERROR_INIT;
    struct fs_health_text answer = {0};

    if (ask(rados, "{\"prefix\": \"version\", \"format\": \"json\"}", &answer, &err) == 0) {
        json_t *object = json_loadb(answer.text, answer.length, 0, NULL);
        const char *text = json_string_value(json_object_get(object, "version"));
        (void)fs_health_version(text ? text : "", text ? strlen(text) : 0, site->ceph_version,
                                sizeof(site->ceph_version));
        json_decref(object);
    }
    release(&answer);
    /* The cap is looked at first: -ENOENT is for those who may. So no key is ever sent. */
    answer = (struct fs_health_text){0};
    site->wide_caps =
        ask(rados, "{\"prefix\": \"auth get\", \"entity\": \"client.farshore-is-nobody\"}", &answer,
            &err) == -ENOENT;
    release(&answer);
}

int fs_site_health(struct fs_site *site, struct fs_health *ret_health, struct fs_error *err)
{
    rados_t rados = fs_cluster_rados(site->cluster);
    struct fs_health_text dump = {0}, status = {0}, df = {0};
    struct fs_error ignored = FS_ERROR_INIT;
    int rc = ask(rados, "{\"prefix\": \"osd dump\", \"format\": \"json\"}", &dump, err);

    *ret_health = (struct fs_health){0};
    if (rc == 0) {
        rc = ask(rados, "{\"prefix\": \"status\", \"format\": \"json\"}", &status, err);
    }
    if (rc == 0) {
        (void)ask(rados, "{\"prefix\": \"df\", \"format\": \"json\"}", &df, &ignored);
        rc = fs_health_parse(dump, status, df, ret_health, err);
    }
    if (rc == 0) {
        memcpy(ret_health->version, site->ceph_version, sizeof(ret_health->version));
        ret_health->wide_caps = site->wide_caps;
    }
    release(&dump);
    release(&status);
    release(&df);
    return rc;
}
