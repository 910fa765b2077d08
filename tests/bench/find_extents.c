/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What it takes to find what changed, in nanoseconds: librbd's fast diff of whole objects alone,
 * and the extents as the daemon finds them. find_extents CONF POOL IMAGE FROM TO, snapshots; the
 * image has the feature fast-diff.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "snapshot/diff.h"

#define ROUNDS 5

static void check(int rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "find_extents: %s: %d\n", what, rc);
        exit(1);
    }
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int count_cb(uint64_t offset, size_t length, int exists, void *arg)
{
    size_t *count = arg;

    (void)offset, (void)length, (void)exists;
    ++*count;
    return 0;
}

static int64_t find_objects(rbd_image_t image, const char *from, uint64_t size)
{
    size_t count = 0;
    int64_t began = now_ns();

    check(rbd_diff_iterate2(image, from, 0, size, 0, 1, count_cb, &count), "diff of objects");
    return count ? now_ns() - began : 0;
}

static int64_t find_extents(rbd_image_t image, const char *from, uint64_t size)
{
    struct fs_extent extents[1024];
    struct fs_error err = FS_ERROR_INIT;
    struct fs_diff diff;
    uint64_t at = 0;
    size_t count;
    int64_t began = now_ns();

    check(fs_diff_init(&diff, image, from, size, true, &err), "diff");
    while (at < size) {
        check(fs_diff_list(&diff, at, extents, 1024, &count, &at, &err), err.message);
    }
    fs_diff_fini(&diff);
    return now_ns() - began;
}

int main(int argc, char **argv)
{
    rados_t cluster;
    rados_ioctx_t pool;
    rbd_image_t image;
    uint64_t size;

    if (argc != 6) {
        fprintf(stderr, "usage: find_extents CONF POOL IMAGE FROM TO\n");
        return 2;
    }
    check(rados_create(&cluster, "admin"), "rados_create");
    check(rados_conf_read_file(cluster, argv[1]), argv[1]);
    check(rados_connect(cluster), "connect");
    check(rados_ioctx_create(cluster, argv[2], &pool), argv[2]);
    check(rbd_open_read_only(pool, argv[3], &image, argv[5]), argv[3]);
    check(rbd_get_size(image, &size), "size");
    for (int i = 0; i < ROUNDS; i++) {
        int64_t objects = find_objects(image, argv[4], size);

        printf("%" PRId64 " %" PRId64 "\n", objects, find_extents(image, argv[4], size));
    }
    rbd_close(image);
    rados_ioctx_destroy(pool);
    rados_shutdown(cluster);
    return 0;
}
