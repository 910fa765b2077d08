/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/locker.h"

#include <inttypes.h>
#include <stdio.h>
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
