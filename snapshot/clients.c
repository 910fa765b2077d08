/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/clients.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/locker.h"
#include "snapshot/omap.h"
#include "snapshot/state.h"

#define LOCKERS_MAX 16
#define SITE_KEYS   (FS_OMAP_PAGE - 1)

void fs_client_list_fini(struct fs_client_list *list)
{
    free(list->clients);
    *list = (struct fs_client_list){0};
}

static int out_of_memory(struct fs_error *err)
{
    return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory for a list of clients");
}

static struct fs_client *find(struct fs_client_list *list, const char *name, const char *address)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->clients[i].name, name) == 0 &&
            strcmp(list->clients[i].address, address) == 0) {
            return &list->clients[i];
        }
    }
    return NULL;
}

/* Notes that a client is on an image. */
static int note(struct fs_client_list *list, const char *name, const char *address, size_t image,
                struct fs_error *err)
{
    struct fs_client *client = find(list, name, address);

    if (!client) {
        struct fs_client *clients =
            reallocarray(list->clients, list->count + 1, sizeof(*list->clients));

        if (!clients) {
            return out_of_memory(err);
        }
        list->clients = clients;
        client = &clients[list->count++];
        *client = (struct fs_client){0};
        snprintf(client->name, sizeof(client->name), "%s", name);
        snprintf(client->address, sizeof(client->address), "%s", address);
    }
    client->holds |= UINT64_C(1) << image;
    return 0;
}

/* --- on an image ------------------------------------------------------------------------------ */

struct search {
    struct fs_client_list *list;
    size_t image;
    char own[FS_LOCKER_SIZE];
    struct fs_error *err;
};

static int note_watcher(void *arg, const char *name, const char *address)
{
    struct search *search = arg;

    return strcmp(name, search->own) == 0
               ? 0
               : note(search->list, name, address, search->image, search->err);
}

static int note_lockers(struct search *search, const struct fs_image *image,
                        const struct fs_image_ref *ref)
{
    struct fs_locker lockers[LOCKERS_MAX] = {0};
    char header[FS_HEADER_SIZE];
    size_t count;
    int rc = fs_locker_list(image->ioctx, fs_header_name(ref->image_id, header), lockers,
                            LOCKERS_MAX, &count, search->err);

    for (size_t i = 0; rc == 0 && i < count && i < LOCKERS_MAX; i++) {
        rc = note_watcher(search, lockers[i].client, lockers[i].address);
    }
    return rc;
}

int fs_clients_find(struct fs_cluster *cluster, const struct fs_image *images,
                    const struct fs_image_ref *refs, size_t count, struct fs_client_list *ret_list,
                    struct fs_error *err)
{
    struct search search = {.list = ret_list, .err = err};
    char spec[FS_IMAGE_SPEC_SIZE];
    int rc = 0;

    *ret_list = (struct fs_client_list){0};
    fs_own_client(cluster, search.own);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (!images[i].handle) {
            continue;
        }
        search.image = i;
        rc = fs_watchers_each(images[i].handle, note_watcher, &search, err);
        if (rc == 0) {
            rc = note_lockers(&search, &images[i], &refs[i]);
        }
        if (rc < 0) {
            fs_error_context(err, "image %s", fs_image_spec(&refs[i], spec));
        }
    }
    if (rc < 0) {
        fs_client_list_fini(ret_list);
    }
    return rc;
}

/* --- all pools -------------------------------------------------------------------------------- */

/* The names of all pools, each with its NUL, then an empty one; the caller's. */
static int list_pools(struct fs_cluster *cluster, char **ret_names, struct fs_error *err)
{
    char *names = NULL;
    size_t size = 4096;

    for (;;) {
        free(names);
        names = calloc(1, size + 2);
        if (!names) {
            return out_of_memory(err);
        }
        int needed = rados_pool_list(fs_cluster_rados(cluster), names, size);
        if (needed < 0) {
            free(names);
            return fs_cluster_error(err, needed, "cannot list the pools");
        }
        if ((size_t)needed <= size) {
            *ret_names = names;
            return 0;
        }
        size = (size_t)needed;
    }
}

static void mark(struct fs_client_list *list, const struct fs_omap *site)
{
    const size_t length = strlen(FS_STATE_INSTANCE);

    for (size_t i = 0; i < site->count; i++) {
        const char *key = site->pairs[i].key;

        for (size_t c = 0; strncmp(key, FS_STATE_INSTANCE, length) == 0 && c < list->count; c++) {
            struct fs_client *client = &list->clients[c];

            client->instance = client->instance || strcmp(key + length, client->address) == 0;
        }
    }
}

int fs_clients_mark_instances(struct fs_cluster *cluster, struct fs_client_list *list,
                              struct fs_error *err)
{
    char *pools = NULL;
    size_t sites = 0;
    int rc = list_pools(cluster, &pools, err);

    for (const char *pool = pools; rc == 0 && *pool; pool += strlen(pool) + 1) {
        struct fs_omap site = {0};
        rados_ioctx_t ioctx;

        if (rados_ioctx_create(fs_cluster_rados(cluster), pool, &ioctx) < 0) {
            continue; /* removed since */
        }
        rados_ioctx_set_namespace(ioctx, FS_STATE_NAMESPACE);
        rc = fs_omap_read(ioctx, FS_STATE_SITE, SITE_KEYS, &site);
        rados_ioctx_destroy(ioctx);
        if (rc == 0) {
            mark(list, &site);
            sites++;
        } else if (rc == -ENOENT || rc == -EOPNOTSUPP || rc == -EPERM || rc == -EACCES) {
            rc = 0; /* no records, nor place for any; or not for us, as other pools may be */
        } else {
            fs_cluster_error(err, rc,
                             "pool %s: cannot look which clients are Farshore's, and those are "
                             "never fenced",
                             pool);
        }
        fs_omap_fini(&site);
    }
    free(pools);
    if (rc == 0 && sites == 0) {
        rc =
            fs_error_set(err, FS_ERR_CONFIG, EPERM,
                         "no pool that client.%s may read holds the records of a Farshore site: it "
                         "cannot be told which clients are Farshore's, and those are never fenced",
                         fs_cluster_user(cluster));
    }
    return rc;
}

/* --- what else they serve --------------------------------------------------------------------- */

struct others {
    const struct fs_clock *clock;
    int64_t until_ns; /* boot */
    const struct fs_image_ref *refs;
    size_t n_refs;
    struct fs_client_list *list;
    bool all;
    char spec[FS_IMAGE_SPEC_SIZE]; /* of the image that is looked at */
};

static int note_other(void *arg, const char *name, const char *address)
{
    struct others *others = arg;
    struct fs_client *client = find(others->list, name, address);

    if (client) {
        size_t length = strlen(client->others), room = sizeof(client->others) - length;
        const char *comma = length > 0 ? ", " : "";

        if (strlen(others->spec) + 3 <= room) {
            snprintf(client->others + length, room, "%s%s", comma, others->spec);
        }
        client->n_others++;
    }
    return 0;
}

static bool is_one_of(const struct others *others, const struct fs_image_ref *ref)
{
    for (size_t i = 0; i < others->n_refs; i++) {
        if (fs_image_ref_same(&others->refs[i], ref)) {
            return true;
        }
    }
    return false;
}

static bool is_over(struct others *others)
{
    others->all = others->all && fs_clock_boot(others->clock) < others->until_ns;
    return !others->all;
}

/* An image that cannot be opened is being removed, or is in a bad way; it is nobody's then. */
static void look_at_image(struct others *others, rados_ioctx_t ioctx,
                          const struct fs_image_ref *ref)
{
    struct fs_error ignored = FS_ERROR_INIT;
    rbd_image_t image;

    if (is_one_of(others, ref) ||
        rbd_open_by_id_read_only(ioctx, ref->image_id, &image, NULL) < 0) {
        return;
    }
    fs_image_spec(ref, others->spec);
    (void)fs_watchers_each(image, note_other, others, &ignored);
    rbd_close(image);
}

static void look_at_namespace(struct others *others, rados_ioctx_t ioctx, struct fs_image_ref *ref)
{
    rbd_image_spec_t *images = NULL;
    size_t count = 256;
    int rc;

    rados_ioctx_set_namespace(ioctx, ref->ns);
    do {
        free(images);
        images = calloc(count, sizeof(*images));
        rc = images ? rbd_list2(ioctx, images, &count) : -ENOMEM;
    } while (rc == -ERANGE);
    if (rc < 0) {
        others->all = others->all && (rc == -ENOENT || rc == -EOPNOTSUPP);
        free(images);
        return;
    }
    for (size_t i = 0; i < count && !is_over(others); i++) {
        snprintf(ref->image_id, sizeof(ref->image_id), "%s", images[i].id);
        snprintf(ref->name, sizeof(ref->name), "%s", images[i].name);
        look_at_image(others, ioctx, ref);
    }
    rbd_image_spec_list_cleanup(images, count);
    free(images);
}

static void look_at_pool(struct others *others, rados_ioctx_t ioctx, const char *pool)
{
    struct fs_image_ref ref = {.pool_id = rados_ioctx_get_id(ioctx)};
    char names[16384] = "";
    size_t size = sizeof(names);

    snprintf(ref.pool, sizeof(ref.pool), "%s", pool);
    look_at_namespace(others, ioctx, &ref);
    rados_ioctx_set_namespace(ioctx, "");
    int rc = rbd_namespace_list(ioctx, names, &size);
    if (rc < 0) {
        others->all = others->all && (rc == -ENOENT || rc == -EOPNOTSUPP);
        return;
    }
    for (const char *name = names; name < names + size && *name; name += strlen(name) + 1) {
        snprintf(ref.ns, sizeof(ref.ns), "%.127s", name);
        look_at_namespace(others, ioctx, &ref);
    }
}

int fs_clients_find_others(struct fs_cluster *cluster, const struct fs_clock *clock,
                           int64_t limit_ns, const struct fs_image_ref *refs, size_t count,
                           struct fs_client_list *list, bool *ret_all, struct fs_error *err)
{
    struct others others = {.clock = clock,
                            .until_ns = fs_clock_boot(clock) + limit_ns,
                            .refs = refs,
                            .n_refs = count,
                            .list = list,
                            .all = true};
    char *pools = NULL;
    int rc = list->count > 0 ? list_pools(cluster, &pools, err) : 0;

    for (const char *pool = pools; rc == 0 && pool && *pool && !is_over(&others);
         pool += strlen(pool) + 1) {
        rados_ioctx_t ioctx;

        if (rados_ioctx_create(fs_cluster_rados(cluster), pool, &ioctx) == 0) {
            look_at_pool(&others, ioctx, pool);
            rados_ioctx_destroy(ioctx);
        }
    }
    free(pools);
    *ret_all = others.all;
    return rc;
}
