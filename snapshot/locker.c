/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/locker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of each text of all lockers together; rados_list_lockers fails where they do not fit. */
#define TEXTS_SIZE 16384

char *fs_header_name(const char *image_id, char ret_header[FS_HEADER_SIZE])
{
    snprintf(ret_header, FS_HEADER_SIZE, "rbd_header.%s", image_id);
    return ret_header;
}

/* "v1:10.0.0.1:0/123" as locks have it is "10.0.0.1:0/123" to blocklists. */
static const char *bare(const char *address)
{
    static const char *const types[] = {"v1:", "v2:", "any:"};

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strncmp(address, types[i], strlen(types[i])) == 0) {
            return address + strlen(types[i]);
        }
    }
    return address;
}

int fs_locker_list(rados_ioctx_t ioctx, const char *header, struct fs_locker *ret_lockers,
                   size_t max, size_t *ret_count, struct fs_error *err)
{
    char clients[TEXTS_SIZE], cookies[TEXTS_SIZE], addresses[TEXTS_SIZE], tag[FS_LOCKER_SIZE];
    size_t n_tag = sizeof(tag), n_clients = sizeof(clients);
    size_t n_cookies = sizeof(cookies), n_addresses = sizeof(addresses);
    const char *client = clients, *cookie = cookies, *address = addresses;
    int exclusive = 0;
    ssize_t count =
        rados_list_lockers(ioctx, header, FS_LOCK_NAME, &exclusive, tag, &n_tag, clients,
                           &n_clients, cookies, &n_cookies, addresses, &n_addresses);

    *ret_count = 0;
    if (count == -ENOENT) {
        return 0;
    }
    if (count < 0) {
        return fs_cluster_error(err, (int)count, "cannot read who holds the lock");
    }
    *ret_count = (size_t)count;
    for (size_t i = 0; i < (size_t)count && i < max; i++) { /* one text each, with its NUL */
        struct fs_locker *locker = &ret_lockers[i];

        locker->present = true;
        snprintf(locker->client, FS_LOCKER_SIZE, "%.255s", client);
        snprintf(locker->cookie, FS_LOCKER_SIZE, "%.255s", cookie);
        snprintf(locker->address, FS_LOCKER_SIZE, "%.255s", bare(address));
        snprintf(locker->tag, FS_LOCKER_SIZE, "%s", tag);
        client += strlen(client) + 1;
        cookie += strlen(cookie) + 1;
        address += strlen(address) + 1;
    }
    return 0;
}

int fs_locker_read(rados_ioctx_t ioctx, const char *header, struct fs_locker *ret_locker,
                   struct fs_error *err)
{
    size_t count;

    *ret_locker = (struct fs_locker){0};
    return fs_locker_list(ioctx, header, ret_locker, 1, &count, err);
}

char *fs_own_client(const struct fs_cluster *cluster, char ret_client[FS_LOCKER_SIZE])
{
    snprintf(ret_client, FS_LOCKER_SIZE, "client.%" PRIu64,
             rados_get_instance_id(fs_cluster_rados(cluster)));
    return ret_client;
}

int fs_watchers_each(rbd_image_t image, fs_watcher_fn *each, void *arg, struct fs_error *err)
{
    rbd_image_watcher_t *watchers = NULL;
    size_t count = 16;
    char name[FS_LOCKER_SIZE];
    int rc;

    do { /* -ERANGE leaves the count that is needed */
        free(watchers);
        watchers = calloc(count, sizeof(*watchers));
        if (!watchers) {
            return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory for a list of watchers");
        }
        rc = rbd_watchers_list(image, watchers, &count);
    } while (rc == -ERANGE);
    if (rc < 0) {
        free(watchers);
        return fs_cluster_error(err, rc, "cannot list the image's watchers");
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        snprintf(name, sizeof(name), "client.%" PRIi64, watchers[i].id);
        rc = each(arg, name, watchers[i].addr);
    }
    rbd_watchers_list_cleanup(watchers, count);
    free(watchers);
    return rc;
}

struct search {
    const char *client; /* NULL: anybody but own */
    char own[FS_LOCKER_SIZE];
    struct fs_locker *found;
};

static int look_at(void *arg, const char *name, const char *address)
{
    struct search *search = arg;
    struct fs_locker *found = search->found;

    if (!found->present &&
        (search->client ? strcmp(name, search->client) == 0 : strcmp(name, search->own) != 0)) {
        found->present = true;
        snprintf(found->client, sizeof(found->client), "%.255s", name);
        snprintf(found->address, sizeof(found->address), "%.255s", address);
    }
    return 0;
}

int fs_watcher_find(const struct fs_cluster *cluster, rbd_image_t image, const char *client,
                    struct fs_locker *ret_watcher, struct fs_error *err)
{
    struct search search = {.client = client, .found = ret_watcher};

    *ret_watcher = (struct fs_locker){0};
    fs_own_client(cluster, search.own);
    return fs_watchers_each(image, look_at, &search, err);
}
