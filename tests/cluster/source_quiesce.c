/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cluster/source_quiesce.h"

#include <stdatomic.h>
#include <unistd.h>

#include "farshore/clock.h"

#define MIB (UINT64_C(1) << 20)

/* A client's hook, as one of QEMU's or rbd-nbd's would be. */
struct hook {
    rbd_image_t image;
    uint64_t watch;
    int answer; /* 1: none */
    atomic_uint asked, resumed;
};

static void quiesce_cb(void *arg)
{
    struct hook *hook = arg;

    hook->asked++;
    if (hook->answer <= 0) {
        rbd_quiesce_complete(hook->image, hook->watch, hook->answer);
    }
}

static void unquiesce_cb(void *arg)
{
    struct hook *hook = arg;

    hook->resumed++;
}

static struct fs_record *take(struct lab *lab, struct fs_record *record, bool refuse, bool skip,
                              int64_t bound_ns, struct fs_take_result *ret_result)
{
    const struct fs_take_request request = {
        .record = record,
        .force = true,
        .bound_ns = bound_ns,
        .refuse_unquiesced = refuse,
        .skip_hooks = skip,
        .application_until_ns = fs_clock_boot(fs_clock_system()) + 60 * FS_SEC,
    };

    return lab_take_as(lab, &request, ret_result);
}

static bool newest_is_application(const struct fs_record *record)
{
    return record->points[record->n_points - 1].flags & FS_POINT_APPLICATION;
}

static void wait_resumed(struct hook *hook, unsigned count)
{
    for (unsigned i = 0; i < 300 && hook->resumed < count; i++) {
        usleep(100000);
    }
    CHECK(hook->resumed >= count);
}

static void check_answers(struct lab *lab, const char *name, size_t n_disks)
{
    struct fs_take_result result;
    struct disk disks[2];
    struct hook hook = {0};
    char image[2][64];

    for (size_t i = 0; i < n_disks; i++) {
        snprintf(image[i], sizeof(image[i]), "check.%s-%zu", name, i);
        disk_create(lab, &(struct disk_options){.name = image[i], .size = 8 * MIB}, &disks[i]);
    }
    hook.image = disks[n_disks - 1].handle;
    CEPH(rbd_quiesce_watch(hook.image, quiesce_cb, unquiesce_cb, &hook, &hook.watch));
    struct fs_record *record = lab_group(lab, name, disks, n_disks);

    /* It comes to rest. */
    record = take(lab, record, true, false, 20 * FS_SEC, &result);
    CHECK(result.outcome == FS_TAKE_POINT && newest_is_application(record));
    CHECK(hook.asked == 1);
    wait_resumed(&hook, 1);
    record = lab_settle(lab, record);

    /* It cannot: no point, or one that says so. */
    hook.answer = -EIO;
    record = take(lab, record, true, false, 20 * FS_SEC, &result);
    CHECK(result.outcome == FS_TAKE_FAILED && record->n_points == 1);
    CHECK(hook.asked == 2);
    record = take(lab, record, false, false, 20 * FS_SEC, &result);
    if (result.outcome != FS_TAKE_POINT) {
        FAIL("no point was taken: %s", result.err.message);
    }
    CHECK(!newest_is_application(record) && hook.asked == 3);
    record = lab_settle(lab, record);

    /* It does not answer: the bound ends that, and the next point is taken without asking it. */
    hook.answer = 1;
    record = take(lab, record, false, false, 2 * FS_SEC, &result);
    CHECK(result.outcome == FS_TAKE_FAILED && result.reason == FS_TAKE_BOUND_PASSED);
    unsigned asked = hook.asked;
    record = take(lab, record, false, true, 20 * FS_SEC, &result);
    if (result.outcome != FS_TAKE_POINT) {
        FAIL("no point was taken: %s", result.err.message);
    }
    CHECK(!newest_is_application(record) && hook.asked == asked);
    rbd_quiesce_complete(hook.image, hook.watch, 0);
    record = lab_settle(lab, record);
    fs_record_free(record);
    CEPH(rbd_quiesce_unwatch(hook.image, hook.watch));
    for (size_t i = 0; i < n_disks; i++) {
        CHECK(disk_count_snaps(&disks[i]) == (n_disks > 1 ? 2 : 1)); /* nothing is left over */
        disk_remove(&disks[i]);
    }
}

void check_quiesce(struct lab *lab)
{
    check_answers(lab, "quiesce-one", 1);
    check_answers(lab, "quiesce-two", 2);
}
