/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "sink_outsider.h"

rados_ioctx_t ioctx;
static rados_t outsider;

int connect_outsider(void **state)
{
    (void)state;
    const char *conf = getenv("FARSHORE_TEST_CONF"), *user = getenv("FARSHORE_TEST_USER");
    const char *pool = getenv("FARSHORE_TEST_POOL");

    if (!conf || !user || !pool) {
        fprintf(stderr, "set FARSHORE_TEST_CONF, _USER and _POOL\n");
        return -1;
    }
    if (rados_create(&outsider, user) < 0 || rados_conf_read_file(outsider, conf) < 0 ||
        rados_conf_set(outsider, "rbd_cache", "false") < 0 || rados_connect(outsider) < 0) {
        return -1;
    }
    return rados_ioctx_create(outsider, pool, &ioctx);
}

int disconnect_outsider(void **state)
{
    (void)state;
    rados_ioctx_destroy(ioctx);
    rados_shutdown(outsider);
    return 0;
}

rbd_image_t open_volume(const char *name, unsigned volume)
{
    char image_name[64];
    rbd_image_t image;

    snprintf(image_name, sizeof(image_name), "%s-%u", name, volume);
    assert_int_equal(rbd_open(ioctx, image_name, &image, NULL), 0);
    return image;
}

void look_at_lock(const char *name, unsigned volume, char ret_cookie[128], bool take_off)
{
    char id[64], header[96], tag[64], clients[256], addresses[256];
    size_t tag_size = sizeof(tag), n_clients = sizeof(clients), n_cookies = 128;
    size_t n_addresses = sizeof(addresses);
    int exclusive;
    rbd_image_t image = open_volume(name, volume);

    assert_int_equal(rbd_get_id(image, id, sizeof(id)), 0);
    rbd_close(image);
    snprintf(header, sizeof(header), "rbd_header.%s", id);
    ret_cookie[0] = '\0';
    if (rados_list_lockers(ioctx, header, "rbd_lock", &exclusive, tag, &tag_size, clients,
                           &n_clients, ret_cookie, &n_cookies, addresses, &n_addresses) > 0 &&
        take_off) {
        assert_int_equal(rados_break_lock(ioctx, header, "rbd_lock", clients, ret_cookie), 0);
    }
}

void verify(const char *name, unsigned point)
{
    const struct fs_point_id id = model_point(name, point);
    static uint8_t expected[MODEL_BLOCK], present[MODEL_BLOCK];
    char snap[FS_SNAP_NAME_SIZE];

    fs_point_snap_name(&id, snap);
    for (unsigned v = 0; v < MODEL_VOLUMES; v++) {
        rbd_image_t image = open_volume(name, v);
        rbd_image_info_t info;

        assert_int_equal(rbd_snap_set(image, snap), 0);
        assert_int_equal(rbd_stat(image, &info, sizeof(info)), 0);
        assert_int_equal(info.size, model_size(v, point));
        for (unsigned b = 0; (uint64_t)b * MODEL_BLOCK < info.size; b++) {
            model_block(v, b, point, expected);
            assert_int_equal(
                rbd_read(image, (uint64_t)b * MODEL_BLOCK, MODEL_BLOCK, (char *)present),
                MODEL_BLOCK);
            if (memcmp(expected, present, MODEL_BLOCK) != 0) {
                fail_msg("%s point %u volume %u block %u differs", name, point, v, b);
            }
        }
        rbd_close(image);
    }
}

void verify_snapshots(const char *name, int count)
{
    for (unsigned v = 0; v < MODEL_VOLUMES; v++) {
        rbd_image_t image = open_volume(name, v);
        rbd_snap_info_t snaps[16];
        int max = 16, n = rbd_snap_list(image, snaps, &max);

        assert_int_equal(n, count);
        rbd_snap_list_end(snaps);
        rbd_close(image);
    }
}

void remove_image(const char *image_name)
{
    rbd_image_t image;
    rbd_snap_info_t snaps[16];
    int max = 16, n;

    if (rbd_open(ioctx, image_name, &image, NULL) < 0) {
        return;
    }
    n = rbd_snap_list(image, snaps, &max);
    for (int i = 0; i < n; i++) {
        rbd_snap_remove(image, snaps[i].name);
    }
    if (n >= 0) {
        rbd_snap_list_end(snaps);
    }
    rbd_close(image);
    assert_int_equal(rbd_remove(ioctx, image_name), 0);
}

void clean(const char *name)
{
    struct fs_uuid group = model_uuid(name, "group", 0);
    const char *indexes[] = {"groups", "current"};
    char text[FS_UUID_TEXT], object[64], image_name[64], cookie[128];
    const char *key = text;
    rbd_image_t image;

    for (unsigned v = 0; v < MODEL_VOLUMES; v++) {
        snprintf(image_name, sizeof(image_name), "%s-%u", name, v);
        if (rbd_open(ioctx, image_name, &image, NULL) == 0) {
            rbd_close(image);
            look_at_lock(name, v, cookie, true);
            remove_image(image_name);
        }
    }
    fs_uuid_format(&group, text);
    snprintf(object, sizeof(object), "group.%s", text);
    rados_ioctx_set_namespace(ioctx, "farshore");
    rados_remove(ioctx, object);
    for (size_t i = 0; i < 2; i++) {
        rados_write_op_t op = rados_create_write_op();

        rados_write_op_omap_rm_keys(op, &key, 1);
        rados_write_op_operate(op, ioctx, indexes[i], NULL, 0);
        rados_release_write_op(op);
    }
    rados_ioctx_set_namespace(ioctx, "");
}

void must(struct run *run, int rc)
{
    if (rc < 0) {
        fail_msg("%s (%d, refusal %d)", run->err.message, rc, run->refusal);
    }
}

void begin(struct run *run, const char *name)
{
    clean(name);
    run_begin(run, OUTSIDER_KEY);
}

void end(struct run *run, const char *name)
{
    run_end(run);
    clean(name);
}

void must_ship(struct run *run, const char *name, unsigned point)
{
    run->held = point - 1;
    must(run, run_ship(run, name, point));
}

/* --- what fast diff says -------------------------------------------------------------------- */

static int cover_cb(uint64_t offset, size_t length, int exists, void *arg)
{
    bool *covered = arg;

    (void)exists;
    for (uint64_t b = offset / MODEL_BLOCK; b * MODEL_BLOCK < offset + length; b++) {
        covered[b] = true;
    }
    return 0;
}

void verify_fast_diff(const char *name, unsigned from, unsigned to)
{
    const struct fs_point_id ids[] = {model_point(name, from), model_point(name, to)};
    static uint8_t before[MODEL_BLOCK], after[MODEL_BLOCK];
    char snaps[2][FS_SNAP_NAME_SIZE];
    rbd_image_t image = open_volume(name, 0);
    uint64_t size = model_size(0, to), flags;
    bool *covered = calloc(size / MODEL_BLOCK + 1, sizeof(*covered));

    for (size_t i = 0; i < 2; i++) {
        fs_point_snap_name(&ids[i], snaps[i]);
        assert_int_equal(rbd_snap_set(image, snaps[i]), 0);
        assert_int_equal(rbd_get_flags(image, &flags), 0);
        assert_int_equal(flags, 0);
    }
    assert_int_equal(rbd_diff_iterate2(image, snaps[0], 0, size, 1, 1, cover_cb, covered), 0);
    for (unsigned b = 0; (uint64_t)b * MODEL_BLOCK < size; b++) {
        model_block(0, b, from, before);
        model_block(0, b, to, after);
        if (memcmp(before, after, MODEL_BLOCK) != 0 && !covered[b]) {
            fail_msg("%s: fast diff from point %u to %u misses block %u", name, from, to, b);
        }
    }
    free(covered);
    rbd_close(image);
}
