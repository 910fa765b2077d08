/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What check_source works with: a site over a real cluster, the source's operations made
 * synchronous, images with a copy of their content in memory, and a way to fail.
 */
#ifndef FARSHORE_TESTS_SOURCE_LAB_H
#define FARSHORE_TESTS_SOURCE_LAB_H

#include <rados/librados.h>
#include <rbd/librbd.h>
#include <stdio.h>
#include <stdlib.h>

#include "farshore/site.h"

#define FAIL(...)                                                                                  \
    do {                                                                                           \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                            \
        fprintf(stderr, __VA_ARGS__);                                                              \
        fputc('\n', stderr);                                                                       \
        exit(EXIT_FAILURE);                                                                        \
    } while (0)

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            FAIL("not so: %s", #condition);                                                        \
        }                                                                                          \
    } while (0)

/* A Ceph call that must not fail. */
#define CEPH(call)                                                                                 \
    do {                                                                                           \
        int ceph_rc = (call);                                                                      \
        if (ceph_rc < 0) {                                                                         \
            FAIL("%s: %s", #call, strerror(-ceph_rc));                                             \
        }                                                                                          \
    } while (0)

struct lab {
    const char *conf, *user, *pool_name, *helper;
    rados_t rados; /* the writers' own connection */
    rados_ioctx_t ioctx;
    struct fs_site *site;
    struct fs_mailbox *mailbox;
    struct fs_pool *blocking;
    struct fs_source *source;
};

void lab_open(struct lab *lab, const char *helper);
void lab_close(struct lab *lab);
/* As a daemon that ends in order and starts again. */
void lab_reopen(struct lab *lab);
/* Deliver letters until *flag. */
void lab_wait(struct lab *lab, const bool *flag);

/* An image under test. Content beyond size is zero. */
struct disk {
    struct lab *lab;
    rados_ioctx_t ioctx;
    rbd_image_t handle; /* the writer's */
    char name[FS_IMAGE_NAME_SIZE];
    char ns[FS_POOL_SIZE];
    uint64_t size, most; /* now, and the largest it may grow to */
    uint8_t *content;    /* most bytes; NULL for one that is not mirrored in memory */
    struct fs_volume volume;
};

struct disk_options {
    const char *name;
    const char *ns;
    const char *data_pool;
    const char *parent; /* snapshot "farshore-test" of it is cloned */
    uint64_t size;
    uint64_t features; /* 0: the default ones */
    uint64_t stripe_unit, stripe_count;
    uint64_t order;
    bool mirrored;
};

void disk_create(struct lab *lab, const struct disk_options *options, struct disk *ret_disk);
/* Delete the image of that name that a failed run left behind; only ioctx and name are used. */
void disk_forget(struct disk *disk);
/* Close and delete, with whatever snapshots there are. */
void disk_remove(struct disk *disk);
void disk_write(struct disk *disk, uint64_t offset, uint64_t length, uint64_t seed);
void disk_discard(struct disk *disk, uint64_t offset, uint64_t length);
void disk_zero(struct disk *disk, uint64_t offset, uint64_t length);
void disk_resize(struct disk *disk, uint64_t size);
size_t disk_count_snaps(struct disk *disk);

/* A stored record of a primary group of these disks. */
struct fs_record *lab_group(struct lab *lab, const char *name, struct disk *disks, size_t count);
/* The record moves in and, with what became of it, out. */
struct fs_record *lab_take(struct lab *lab, struct fs_record *record, const struct fs_uuid *base,
                           bool force, struct fs_take_result *ret_result);
struct fs_record *lab_take_as(struct lab *lab, const struct fs_take_request *request,
                              struct fs_take_result *ret_result);
struct fs_record *lab_take_bounded(struct lab *lab, struct fs_record *record, int64_t bound_ns,
                                   bool refuse_not_one_instant, struct fs_take_result *ret_result);
/* As lab_take with force, and it has to succeed. */
struct fs_record *lab_take_point(struct lab *lab, struct fs_record *record);
struct fs_record *lab_settle(struct lab *lab, struct fs_record *record);
struct fs_reading *lab_open_reading(struct lab *lab, struct fs_record *record,
                                    const struct fs_uuid *point, const struct fs_uuid *base);
void lab_close_reading(struct lab *lab, struct fs_reading *reading);
void lab_read(struct lab *lab, struct fs_reading *reading, unsigned volume, uint64_t offset,
              uint64_t length, void *buffer);
void lab_read_ranges(struct lab *lab, struct fs_reading *reading, unsigned volume,
                     const struct fs_read *ranges, size_t count);
/*
 * List all changed extents of a volume in batches of capacity; content (of the base, size bytes)
 * is made the point's. content may be NULL. Returns how many bytes were listed.
 */
uint64_t lab_apply(struct lab *lab, struct fs_reading *reading, unsigned volume, uint64_t size,
                   size_t capacity, uint8_t *content);

int64_t now_ms(void);
uint64_t random_below(uint64_t limit);

#endif
