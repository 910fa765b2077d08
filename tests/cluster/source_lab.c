/* SPDX-License-Identifier: Apache-2.0 */
#include "source_lab.h"

#include <poll.h>
#include <string.h>
#include <time.h>

#include "farshore/log.h"

int64_t now_ms(void)
{
    return fs_clock_boot(fs_clock_system()) / FS_MSEC;
}

uint64_t random_below(uint64_t limit)
{
    return (((uint64_t)random() << 31) ^ (uint64_t)random()) % limit;
}

/* --- the site ------------------------------------------------------------------------------- */

static const char *need_env(const char *name)
{
    const char *value = getenv(name);

    if (!value) {
        FAIL("%s is not set", name);
    }
    return value;
}

static void open_site(struct lab *lab)
{
    struct fs_error err = FS_ERROR_INIT;
    struct fs_site_options options = {.conf = lab->conf,
                                      .user = lab->user,
                                      .state_pool = lab->pool_name,
                                      .site_name = "check",
                                      .helper = lab->helper,
                                      .daemon_key = "check_source",
                                      .clock = fs_clock_system(),
                                      .object_io = !getenv("FARSHORE_TEST_NO_OBJECT_IO")};

    fs_uuid_random(&options.instance);
    if (fs_site_open(&options, &lab->site, &err) < 0 || fs_site_claim(lab->site, &err) < 0) {
        FAIL("%s", err.message);
    }
    lab->mailbox = fs_mailbox_new();
    lab->blocking = fs_pool_new("blocking", 4, lab->mailbox);
    lab->source = fs_site_source(lab->site, lab->blocking, lab->mailbox);
    CHECK(lab->source);
}

static void close_site(struct lab *lab)
{
    fs_pool_free(lab->blocking);
    fs_mailbox_drain(lab->mailbox);
    fs_site_close(lab->site);
    fs_mailbox_free(lab->mailbox);
}

void lab_open(struct lab *lab, const char *helper)
{
    *lab = (struct lab){.conf = need_env("FARSHORE_TEST_CONF"),
                        .user = need_env("FARSHORE_TEST_USER"),
                        .pool_name = need_env("FARSHORE_TEST_POOL")};
    CEPH(rados_create(&lab->rados, lab->user));
    CEPH(rados_conf_read_file(lab->rados, lab->conf));
    CEPH(rados_conf_set(lab->rados, "rbd_cache", "false"));
    CEPH(rados_conf_set(lab->rados, "rbd_skip_partial_discard", "false"));
    CEPH(rados_connect(lab->rados));
    CEPH(rados_ioctx_create(lab->rados, lab->pool_name, &lab->ioctx));
    if (!helper) {
        return; /* a writer only */
    }

    lab->helper = helper;
    open_site(lab);
}

void lab_close(struct lab *lab)
{
    if (lab->site) {
        close_site(lab);
    }
    rados_ioctx_destroy(lab->ioctx);
    rados_shutdown(lab->rados);
}

void lab_reopen(struct lab *lab)
{
    close_site(lab);
    open_site(lab);
}

void lab_wait(struct lab *lab, const bool *flag)
{
    int64_t until_ms = now_ms() + 300000;
    struct pollfd fd = {.fd = fs_mailbox_fd(lab->mailbox), .events = POLLIN};

    while (!*flag) {
        CHECK(now_ms() < until_ms);
        if (poll(&fd, 1, 1000) > 0) {
            fs_mailbox_drain(lab->mailbox);
        }
    }
}

/* --- disks ---------------------------------------------------------------------------------- */

static void create_image(const struct disk *disk, const struct disk_options *options)
{
    rbd_image_options_t with;

    rbd_image_options_create(&with);
    CEPH(rbd_image_options_set_uint64(with, RBD_IMAGE_OPTION_ORDER,
                                      options->order ? options->order : 22));
    if (options->features) {
        CEPH(rbd_image_options_set_uint64(with, RBD_IMAGE_OPTION_FEATURES, options->features));
    }
    if (options->stripe_count) {
        CEPH(
            rbd_image_options_set_uint64(with, RBD_IMAGE_OPTION_STRIPE_UNIT, options->stripe_unit));
        CEPH(rbd_image_options_set_uint64(with, RBD_IMAGE_OPTION_STRIPE_COUNT,
                                          options->stripe_count));
    }
    if (options->data_pool) {
        CEPH(rbd_image_options_set_string(with, RBD_IMAGE_OPTION_DATA_POOL, options->data_pool));
    }
    if (options->parent) {
        CEPH(rbd_image_options_set_uint64(with, RBD_IMAGE_OPTION_CLONE_FORMAT, 2));
        CEPH(rbd_clone3(disk->lab->ioctx, options->parent, "farshore-test", disk->ioctx,
                        options->name, with));
    } else {
        CEPH(rbd_create4(disk->ioctx, options->name, options->size, with));
    }
    rbd_image_options_destroy(with);
}

/*
 * An OSD (16.2) whose client was killed between its watch and the OSD's answer keeps that watch in
 * the object until it has to read the object again. Make it: fill its cache with other objects.
 */
static void outlast_dead_watchers(rados_ioctx_t ioctx)
{
    char name[32];

    for (unsigned i = 0; i < 1500; i++) {
        snprintf(name, sizeof(name), "check.evict.%u", i);
        CEPH(rados_write_full(ioctx, name, "", 0));
    }
    for (unsigned i = 0; i < 1500; i++) {
        snprintf(name, sizeof(name), "check.evict.%u", i);
        CEPH(rados_remove(ioctx, name));
    }
}

static void remove_image(struct disk *disk)
{
    int64_t until_ms = now_ms() + 60000;
    int rc = rbd_remove(disk->ioctx, disk->name);

    if (rc == -EBUSY) {
        outlast_dead_watchers(disk->ioctx);
    }
    while (rc == -EBUSY && now_ms() < until_ms) {
        nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
        rc = rbd_remove(disk->ioctx, disk->name);
    }
    CEPH(rc);
}

void disk_forget(struct disk *disk)
{
    rbd_snap_info_t infos[256];
    int capacity = 256, count;

    if (rbd_open(disk->ioctx, disk->name, &disk->handle, NULL) == 0) {
        count = rbd_snap_list(disk->handle, infos, &capacity);
        for (int i = 0; i < count; i++) {
            CEPH(rbd_snap_remove_by_id(disk->handle, infos[i].id));
        }
        if (count > 0) {
            rbd_snap_list_end(infos);
        }
        rbd_close(disk->handle);
        remove_image(disk);
    }
    disk->handle = NULL;
}

void disk_create(struct lab *lab, const struct disk_options *options, struct disk *ret_disk)
{
    struct disk *disk = ret_disk;
    struct fs_image_ref *ref = &disk->volume.image;

    memset(disk, 0, sizeof(*disk));
    disk->lab = lab;
    disk->size = options->size;
    disk->most = 2 * options->size;
    snprintf(disk->name, sizeof(disk->name), "%s", options->name);
    CEPH(rados_ioctx_create(lab->rados, lab->pool_name, &disk->ioctx));
    if (options->ns) {
        bool exists = false;

        snprintf(disk->ns, sizeof(disk->ns), "%s", options->ns);
        CEPH(rbd_namespace_exists(disk->ioctx, options->ns, &exists));
        if (!exists) {
            CEPH(rbd_namespace_create(disk->ioctx, options->ns));
        }
        rados_ioctx_set_namespace(disk->ioctx, options->ns);
    }
    disk_forget(disk); /* of a run that failed */
    create_image(disk, options);
    CEPH(rbd_open(disk->ioctx, options->name, &disk->handle, NULL));
    if (options->mirrored) {
        disk->content = calloc(1, disk->most);
        CHECK(disk->content);
    }
    if (options->parent && disk->content) {
        CHECK(rbd_read(disk->handle, 0, disk->size, (char *)disk->content) == (ssize_t)disk->size);
    }
    ref->pool_id = rados_ioctx_get_id(disk->ioctx);
    snprintf(ref->pool, sizeof(ref->pool), "%s", lab->pool_name);
    snprintf(ref->ns, sizeof(ref->ns), "%s", disk->ns);
    snprintf(ref->name, sizeof(ref->name), "%s", options->name);
    CEPH(rbd_get_id(disk->handle, ref->image_id, sizeof(ref->image_id)));
}

size_t disk_count_snaps(struct disk *disk)
{
    rbd_snap_info_t infos[256];
    int capacity = 256, count;
    rbd_image_t image;

    CEPH(rbd_open_by_id_read_only(disk->ioctx, disk->volume.image.image_id, &image, NULL));
    count = rbd_snap_list(image, infos, &capacity);
    CEPH(count);
    rbd_snap_list_end(infos);
    rbd_close(image);
    return (size_t)count;
}

void disk_remove(struct disk *disk)
{
    if (disk->handle) {
        rbd_close(disk->handle);
    }
    disk_forget(disk);
    rados_ioctx_destroy(disk->ioctx);
    free(disk->content);
    disk->content = NULL;
    fs_volume_fini(&disk->volume);
}

void disk_write(struct disk *disk, uint64_t offset, uint64_t length, uint64_t seed)
{
    uint8_t *bytes = malloc(length);

    CHECK(bytes);
    for (uint64_t i = 0; i < length; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        bytes[i] = (uint8_t)(seed >> 56);
    }
    CHECK(rbd_write(disk->handle, offset, length, (char *)bytes) == (ssize_t)length);
    if (disk->content) {
        memcpy(disk->content + offset, bytes, length);
    }
    free(bytes);
}

void disk_discard(struct disk *disk, uint64_t offset, uint64_t length)
{
    CEPH(rbd_discard(disk->handle, offset, length));
    if (disk->content) {
        memset(disk->content + offset, 0, length);
    }
}

void disk_zero(struct disk *disk, uint64_t offset, uint64_t length)
{
    CHECK(rbd_write_zeroes(disk->handle, offset, length, 0, 0) == (ssize_t)length);
    if (disk->content) {
        memset(disk->content + offset, 0, length);
    }
}

void disk_resize(struct disk *disk, uint64_t size)
{
    CHECK(size <= disk->most);
    CEPH(rbd_resize(disk->handle, size));
    if (disk->content && size < disk->size) {
        memset(disk->content + size, 0, disk->size - size);
    }
    disk->size = size;
}

/* --- operations ----------------------------------------------------------------------------- */

struct waiter {
    bool done;
    struct fs_error err;
    struct fs_record *record;
    struct fs_reading *reading;
    struct fs_take_result *result;
};

static void record_done(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct waiter *waiter = arg;

    waiter->record = record;
    waiter->err = *err;
    waiter->done = true;
}

static void take_done(void *arg, struct fs_take_result *result)
{
    struct waiter *waiter = arg;

    *waiter->result = *result;
    waiter->done = true;
}

static void reading_done(void *arg, struct fs_reading *reading, const struct fs_error *err)
{
    struct waiter *waiter = arg;

    waiter->reading = reading;
    waiter->err = *err;
    waiter->done = true;
}

static void io_done(void *arg, const struct fs_error *err)
{
    struct waiter *waiter = arg;

    waiter->err = *err;
    waiter->done = true;
}

static void list_done(void *arg, struct fs_extent_list *list, const struct fs_error *err)
{
    (void)list;
    io_done(arg, err);
}

static void must(const struct waiter *waiter, const char *what)
{
    if (fs_error_is_set(&waiter->err)) {
        FAIL("%s: %s", what, waiter->err.message);
    }
}

struct fs_record *lab_group(struct lab *lab, const char *name, struct disk *disks, size_t count)
{
    struct fs_record *record = fs_record_new();
    struct waiter waiter = {0};

    CHECK(record);
    fs_uuid_random(&record->group);
    snprintf(record->name, sizeof(record->name), "%s", name);
    snprintf(record->policy, sizeof(record->policy), "gold");
    snprintf(record->peer, sizeof(record->peer), "west");
    record->role = FS_ROLE_PRIMARY;
    record->term = (struct fs_term){.number = 1, .site = *fs_site_uuid(lab->site)};
    for (size_t i = 0; i < count; i++) {
        CHECK(fs_record_add_volume(record, &disks[i].volume));
    }
    lab->source->ops->store(lab->source, record, record_done, &waiter);
    lab_wait(lab, &waiter.done);
    must(&waiter, "store");
    return waiter.record;
}

struct fs_record *lab_take_as(struct lab *lab, const struct fs_take_request *request,
                              struct fs_take_result *ret_result)
{
    struct waiter waiter = {.result = ret_result};

    lab->source->ops->take(lab->source, request, take_done, &waiter);
    lab_wait(lab, &waiter.done);
    return ret_result->record;
}

struct fs_record *lab_take(struct lab *lab, struct fs_record *record, const struct fs_uuid *base,
                           bool force, struct fs_take_result *ret_result)
{
    return lab_take_as(lab,
                       &(struct fs_take_request){
                           .record = record, .base = base, .force = force, .bound_ns = 20 * FS_SEC},
                       ret_result);
}

struct fs_record *lab_take_bounded(struct lab *lab, struct fs_record *record, int64_t bound_ns,
                                   bool refuse_not_one_instant, struct fs_take_result *ret_result)
{
    return lab_take_as(lab,
                       &(struct fs_take_request){.record = record,
                                                 .force = true,
                                                 .bound_ns = bound_ns,
                                                 .refuse_not_one_instant = refuse_not_one_instant},
                       ret_result);
}

struct fs_record *lab_take_point(struct lab *lab, struct fs_record *record)
{
    struct fs_take_result result;

    record = lab_take(lab, record, NULL, true, &result);
    if (result.outcome != FS_TAKE_POINT) {
        FAIL("no point was taken: %s", result.err.message);
    }
    CHECK(record->points[record->n_points - 1].state == FS_POINT_COMPLETE);
    return record;
}

struct fs_record *lab_settle(struct lab *lab, struct fs_record *record)
{
    const struct fs_record_point *point = &record->points[record->n_points - 1];
    static struct fs_digest agreed[FS_VOLUMES_MAX];
    struct fs_uuid id = point->point.id;
    struct waiter waiter = {0};

    for (size_t i = 0; i < point->n_contents; i++) {
        memset(agreed[i].b, (int)i + 1, sizeof(agreed[i].b));
    }
    lab->source->ops->settle(lab->source, record, &id, agreed, fs_clock_wall(fs_clock_system()),
                             record_done, &waiter);
    lab_wait(lab, &waiter.done);
    must(&waiter, "settle");
    CHECK(fs_record_newest_committed(waiter.record));
    return waiter.record;
}

struct fs_reading *lab_open_reading(struct lab *lab, struct fs_record *record,
                                    const struct fs_uuid *point, const struct fs_uuid *base)
{
    struct waiter waiter = {0};

    lab->source->ops->open(lab->source, record, point, base, reading_done, &waiter);
    lab_wait(lab, &waiter.done);
    must(&waiter, "open");
    return waiter.reading;
}

void lab_close_reading(struct lab *lab, struct fs_reading *reading)
{
    struct waiter waiter = {0};

    reading->ops->close(reading, io_done, &waiter);
    lab_wait(lab, &waiter.done);
}

void lab_read(struct lab *lab, struct fs_reading *reading, unsigned volume, uint64_t offset,
              uint64_t length, void *buffer)
{
    struct fs_read range = {.offset = offset, .length = length, .buffer = buffer};

    lab_read_ranges(lab, reading, volume, &range, 1);
}

void lab_read_ranges(struct lab *lab, struct fs_reading *reading, unsigned volume,
                     const struct fs_read *ranges, size_t count)
{
    struct waiter waiter = {0};

    reading->ops->read(reading, volume, ranges, count, io_done, &waiter);
    lab_wait(lab, &waiter.done);
    must(&waiter, "read");
}

/* All DATA in one call, as it comes: in holes, across objects. */
static uint64_t apply_batch(struct lab *lab, struct fs_reading *reading, unsigned volume,
                            uint64_t from, const struct fs_extent_list *list, uint8_t *content)
{
    struct fs_read *ranges = calloc(list->count + 1, sizeof(*ranges));
    uint64_t bytes = 0, at = from;
    size_t n_ranges = 0;

    CHECK(ranges);
    for (size_t i = 0; i < list->count; i++) {
        const struct fs_extent *extent = &list->extents[i];

        CHECK(extent->length > 0 && extent->offset >= at);
        at = extent->offset + extent->length;
        CHECK(at <= list->next);
        bytes += extent->length;
        if (content && extent->kind == FS_EXTENT_DATA) {
            ranges[n_ranges++] = (struct fs_read){
                .offset = extent->offset,
                .length = extent->length,
                .buffer = content + extent->offset,
            };
        } else if (content) {
            memset(content + extent->offset, 0, extent->length);
        }
    }
    if (n_ranges > 0) {
        lab_read_ranges(lab, reading, volume, ranges, n_ranges);
    }
    free(ranges);
    return bytes;
}

uint64_t lab_apply(struct lab *lab, struct fs_reading *reading, unsigned volume, uint64_t size,
                   size_t capacity, uint8_t *content)
{
    struct fs_extent *extents = calloc(capacity, sizeof(*extents));
    uint64_t at = 0, bytes = 0;

    CHECK(extents);
    while (at < size) {
        struct fs_extent_list list = {.extents = extents, .capacity = capacity};
        struct waiter waiter = {0};

        reading->ops->list(reading, volume, at, &list, list_done, &waiter);
        lab_wait(lab, &waiter.done);
        must(&waiter, "list");
        CHECK(list.next > at && list.next <= size && list.count <= capacity);
        bytes += apply_batch(lab, reading, volume, at, &list, content);
        at = list.next;
    }
    free(extents);
    return bytes;
}
