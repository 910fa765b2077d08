/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source over a real cluster: check_source NAME... runs these checks, without a name all of
 * them. FARSHORE_TEST_CONF, _USER, _POOL say where; FARSHORE_TEST_HELPER is the farshore-take
 * program. FARSHORE_TEST_SEED repeats a run. "check_source writer POOL/IMAGE" is what the checks
 * start as a writer that can be stopped: it writes until its stdin ends and prints its longest
 * wait.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "source_lab.h"
#include "source_quiesce.h"
#include "source_writer.h"

#define KIB UINT64_C(1024)
#define MIB (KIB << 10)
#define GIB (MIB << 10)
#define TIB (GIB << 10)

/* --- random operations, every point compared byte by byte ------------------------------------ */

static void random_change(struct disk *disk)
{
    uint64_t largest = disk->size < 5 * MIB ? disk->size : 5 * MIB;
    uint64_t length = random_below(4) == 0 ? random_below(largest) : random_below(64 * KIB);
    uint64_t offset;

    length = length ? length : 1;
    length = length > disk->size ? disk->size : length;
    offset = random_below(disk->size - length + 1);
    switch (random_below(8)) {
    case 0:
        if (random_below(2)) { /* whole objects */
            length = disk->size / 2;
            offset = random_below(disk->size - length + 1);
        }
        disk_discard(disk, offset, length);
        break;
    case 1:
        disk_zero(disk, offset, length);
        break;
    case 2:
        disk_resize(disk, disk->most / 8 + random_below(7 * disk->most / 8));
        break;
    case 3: { /* and back again */
        uint64_t size = disk->size;

        disk_resize(disk, disk->most / 8 + random_below(7 * disk->most / 8));
        disk_resize(disk, size);
        break;
    }
    default:
        disk_write(disk, offset, length, (uint64_t)random());
    }
}

static void compare(const struct disk *disk, const uint8_t *content, unsigned round)
{
    for (uint64_t i = 0; i < disk->size; i++) {
        if (content[i] != disk->content[i]) {
            FAIL("%s, point %u: byte %" PRIu64 " of %" PRIu64 " differs", disk->name, round, i,
                 disk->size);
        }
    }
}

/* Ship a point against the base into content, as a target would. */
static uint64_t ship(struct lab *lab, struct fs_record *record, const struct fs_uuid *base,
                     struct disk *disk, uint8_t *content)
{
    const struct fs_record_point *point = &record->points[record->n_points - 1];
    struct fs_reading *reading = lab_open_reading(lab, record, &point->point.id, base);
    uint64_t bytes;

    CHECK(point->contents[0].geometry.size == disk->size);
    memset(content + disk->size, 0, disk->most - disk->size); /* the target resizes */
    bytes = lab_apply(lab, reading, 0, disk->size, 1 + random_below(300), content);
    lab_close_reading(lab, reading);
    return bytes;
}

static void exercise(struct lab *lab, const struct disk_options *options, unsigned rounds)
{
    struct fs_uuid base = {0};
    struct fs_record *record;
    struct disk disk;
    uint8_t *content;

    disk_create(lab, options, &disk);
    content = calloc(1, disk.most);
    CHECK(content);
    record = lab_group(lab, options->name, &disk, 1);
    for (unsigned round = 0; round < rounds; round++) {
        uint64_t changes = random_below(12) + (round == 0 && !options->parent);

        while (changes-- > 0) {
            random_change(&disk);
        }
        record = lab_take_point(lab, record);
        ship(lab, record, round ? &base : NULL, &disk, content);
        compare(&disk, content, round);
        base = record->points[record->n_points - 1].point.id;
        if (random_below(4) != 0) { /* a base need not be the point before */
            record = lab_settle(lab, record);
            CHECK(record->n_points == 1 && disk_count_snaps(&disk) == 1);
        }
    }
    fs_record_free(record);
    free(content);
    disk_remove(&disk);
}

/* Whether objects are read directly; see the link options. Submitted on one thread. */
static unsigned operations;

int __real_rados_aio_read_op_operate(rados_read_op_t op, rados_ioctx_t io, rados_completion_t c,
                                     const char *object, int flags);
int __wrap_rados_aio_read_op_operate(rados_read_op_t op, rados_ioctx_t io, rados_completion_t c,
                                     const char *object, int flags);
int __wrap_rados_aio_read_op_operate(rados_read_op_t op, rados_ioctx_t io, rados_completion_t c,
                                     const char *object, int flags)
{
    operations++;
    return __real_rados_aio_read_op_operate(op, io, c, object, flags);
}

static void check_fsx(struct lab *lab)
{
    operations = 0;
    exercise(lab,
             &(struct disk_options){.name = "check.fsx", .size = 24 * MIB + 512, .mirrored = true},
             20);
    CHECK((operations > 0) == !getenv("FARSHORE_TEST_NO_OBJECT_IO"));
}

/* Where bytes do not lie as they do in a plain image. */
static bool needs_librbd(const struct disk_options *options)
{
    return options->stripe_count > 1;
}

static void check_kinds(struct lab *lab)
{
    const uint64_t layering = RBD_FEATURE_LAYERING;
    const uint64_t striping = RBD_FEATURE_LAYERING | RBD_FEATURE_STRIPINGV2 |
                              RBD_FEATURE_EXCLUSIVE_LOCK | RBD_FEATURE_OBJECT_MAP |
                              RBD_FEATURE_FAST_DIFF;
    const struct disk_options kinds[] = {
        {.name = "check.order12", .size = 1 * MIB + 100, .order = 12},
        {.name = "check.order16", .size = 9 * MIB + 1, .order = 16},
        {.name = "check.order25", .size = 70 * MIB, .order = 25},
        {.name = "check.layering", .size = 20 * MIB, .features = layering},
        {.name = "check.striped",
         .size = 20 * MIB + 4096,
         .features = striping,
         .order = 20,
         .stripe_unit = 64 * KIB,
         .stripe_count = 5},
        {.name = "check.striped-slow",
         .size = 20 * MIB,
         .features = RBD_FEATURE_LAYERING | RBD_FEATURE_STRIPINGV2,
         .order = 20,
         .stripe_unit = 4 * KIB,
         .stripe_count = 3},
        {.name = "check.namespace", .ns = "check", .size = 12 * MIB},
        {.name = "check.data-pool",
         .data_pool = getenv("FARSHORE_TEST_DATA_POOL"),
         .size = 12 * MIB},
        {.name = "check. ~!#$%^&*()_+{}|:\"<>?[]\\;',.\xc3\xa9", .size = 12 * MIB},
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct disk_options options = kinds[i];

        options.mirrored = true;
        printf("  %s\n", options.name);
        operations = 0;
        exercise(lab, &options, 8);
        CHECK(operations == 0 || !needs_librbd(&options));
    }
}

static void check_clone(struct lab *lab)
{
    struct disk parent;

    disk_forget(&(struct disk){.ioctx = lab->ioctx, .name = "check.clone"});
    disk_create(lab,
                &(struct disk_options){
                    .name = "check.parent", .size = 18 * MIB + 700, .order = 20, .mirrored = true},
                &parent);
    for (unsigned i = 0; i < 12; i++) {
        disk_write(&parent, random_below(17 * MIB), random_below(MIB) + 1, (uint64_t)random());
    }
    CEPH(rbd_snap_create(parent.handle, "farshore-test"));
    for (unsigned i = 0; i < 3; i++) {
        exercise(lab,
                 &(struct disk_options){.name = "check.clone",
                                        .parent = "check.parent",
                                        .size = parent.size,
                                        .order = i == 2 ? 16 : 20,
                                        .stripe_unit = i == 2 ? 64 * KIB : MIB,
                                        .stripe_count = 1,
                                        .features = i == 1 ? RBD_FEATURE_LAYERING : 0,
                                        .mirrored = true},
                 10);
    }
    disk_remove(&parent);
}

/* --- unchanged ------------------------------------------------------------------------------- */

static enum fs_take_outcome take_outcome(struct lab *lab, struct fs_record **record, bool commit)
{
    struct fs_uuid base = (*record)->points[(*record)->n_points - 1].point.id;
    struct fs_take_result result;

    *record = lab_take(lab, *record, &base, false, &result);
    if (result.outcome == FS_TAKE_FAILED) {
        FAIL("%s", result.err.message);
    }
    if (result.slow_reason[0]) {
        printf("  slow: %s\n", result.slow_reason);
    }
    if (commit && result.outcome == FS_TAKE_POINT) {
        *record = lab_settle(lab, *record);
    }
    return result.outcome;
}

static void check_unchanged_group(struct lab *lab, size_t count)
{
    struct fs_take_result result;
    struct fs_record *record;
    struct disk disks[2];
    char name[64];

    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "check.unchanged%zu", i);
        disk_create(lab, &(struct disk_options){.name = name, .size = 16 * MIB, .mirrored = true},
                    &disks[i]);
        disk_write(&disks[i], 0, MIB, 7);
    }
    record = lab_settle(lab, lab_take_point(lab, lab_group(lab, "unchanged", disks, count)));
    CHECK(take_outcome(lab, &record, true) == FS_TAKE_UNCHANGED);
    CHECK(disk_count_snaps(&disks[0]) == count); /* a mark beside a group snapshot */
    disk_write(&disks[count - 1], 5 * MIB, 512, 9);
    CHECK(take_outcome(lab, &record, true) == FS_TAKE_POINT);
    CHECK(take_outcome(lab, &record, true) == FS_TAKE_UNCHANGED);
    disk_discard(&disks[0], 0, 4 * MIB);
    CHECK(take_outcome(lab, &record, true) == FS_TAKE_POINT);
    disk_resize(&disks[0], disks[0].size + 4096);
    CHECK(take_outcome(lab, &record, true) == FS_TAKE_POINT);
    CEPH(rbd_snap_create(disks[0].handle, "somebody-elses"));
    CHECK(take_outcome(lab, &record, true) == FS_TAKE_UNCHANGED);
    disk_write(&disks[0], 5 * MIB, 512, 10);
    CEPH(rbd_snap_create(disks[0].handle, "somebody-elses-2"));
    CHECK(take_outcome(lab, &record, true) == FS_TAKE_POINT);
    CEPH(rbd_snap_remove(disks[0].handle, "somebody-elses"));
    CEPH(rbd_snap_remove(disks[0].handle, "somebody-elses-2"));
    /* They were there when the base was taken: a rollback to one would be hidden by now. */
    CHECK(take_outcome(lab, &record, true) == FS_TAKE_POINT);
    CHECK(take_outcome(lab, &record, true) == FS_TAKE_UNCHANGED);

    CEPH(rbd_update_features(disks[0].handle, RBD_FEATURE_FAST_DIFF, 0));
    record = lab_take(lab, record, &record->points[0].point.id, false, &result);
    CHECK(result.outcome == FS_TAKE_POINT && strstr(result.slow_reason, "fast-diff is off"));
    record = lab_settle(lab, record);
    CHECK(disk_count_snaps(&disks[0]) == count);
    fs_record_free(record);
    for (size_t i = 0; i < count; i++) {
        disk_remove(&disks[i]);
    }
}

static void check_unchanged(struct lab *lab)
{
    check_unchanged_group(lab, 1);
    check_unchanged_group(lab, 2);
}

/* --- writers --------------------------------------------------------------------------------- */

static void create_disks(struct lab *lab, const char *prefix, struct disk *disks, unsigned count,
                         char *ret_names)
{
    char name[64];

    ret_names[0] = '\0';
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "check.%s%u", prefix, i);
        disk_create(lab, &(struct disk_options){.name = name, .size = 16 * MIB}, &disks[i]);
        CEPH(rbd_close(disks[i].handle)); /* the child is the writer */
        disks[i].handle = NULL;
        strcat(strcat(ret_names, i ? "," : ""), name);
    }
}

static void remove_disks(struct disk *disks, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        disk_remove(&disks[i]);
    }
}

/* The writer writes k to every image in turn: at one instant they hold k..k, k-1..k-1. */
static void check_instant(struct lab *lab, struct fs_record *record, unsigned count)
{
    const struct fs_record_point *point = &record->points[record->n_points - 1];
    struct fs_reading *reading = lab_open_reading(lab, record, &point->point.id, NULL);
    uint64_t counters[8] = {0};

    CHECK(!(point->flags & FS_POINT_NOT_ONE_INSTANT) && point->n_contents == count);
    for (unsigned i = 0; i < count; i++) {
        lab_read(lab, reading, i, 0, sizeof(counters[i]), &counters[i]);
        if (i > 0 && (counters[i] > counters[i - 1] || counters[i] + 1 < counters[0])) {
            FAIL("not one instant: %" PRIu64 " in the first, %" PRIu64 " in volume %u", counters[0],
                 counters[i], i);
        }
    }
    lab_close_reading(lab, reading);
}

static void take_under_writer(struct lab *lab, unsigned count, unsigned points)
{
    struct disk disks[8];
    struct writer writer;
    char names[512];
    struct fs_record *record;
    int64_t pause_ns = 0;

    create_disks(lab, "writers", disks, count, names);
    record = lab_group(lab, "writers", disks, count);
    writer_start(&writer, names);
    for (unsigned i = 0; i < points; i++) {
        struct fs_take_result result;

        record = lab_take(lab, record, NULL, true, &result);
        if (result.outcome != FS_TAKE_POINT) {
            FAIL("point %u of %u volumes: %s", i, count, result.err.message);
        }
        pause_ns = result.pause_ns > pause_ns ? result.pause_ns : pause_ns;
        check_instant(lab, record, count);
        record = lab_settle(lab, record);
        CHECK(record->n_points == 1);
    }
    printf("  %u points of %u volumes, longest pause %" PRId64 " ms\n", points, count,
           pause_ns / FS_MSEC);
    writer_stop(&writer);
    fs_record_free(record);
    remove_disks(disks, count);
}

static void check_writers(struct lab *lab)
{
    take_under_writer(lab, 1, 100);
    take_under_writer(lab, 3, 60);
}

static void check_silent(struct lab *lab)
{
    for (unsigned count = 1; count <= 2; count++) {
        struct fs_take_result result;
        struct disk disks[8];
        struct writer writer;
        char names[512];
        struct fs_record *record;

        create_disks(lab, "silent", disks, count, names);
        record = lab_group(lab, "silent", disks, count);
        writer_start(&writer, names);
        record = lab_settle(lab, lab_take_point(lab, record));
        kill(writer.pid, SIGSTOP);
        for (unsigned i = 0; i < 3; i++) {
            int64_t began_ms = now_ms();

            record = lab_take(lab, record, NULL, true, &result);
            CHECK(result.outcome == FS_TAKE_FAILED && result.reason == FS_TAKE_WRITER_SILENT);
            CHECK(now_ms() - began_ms < 8000 && record->n_points == 1);
        }
        printf("  %s\n", result.err.message);
        sleep(count == 1 ? 35 : 1); /* longer than its watch lasts */
        record = lab_take(lab, record, NULL, true, &result);
        CHECK(result.outcome == FS_TAKE_FAILED && result.reason == FS_TAKE_WRITER_SILENT);
        kill(writer.pid, SIGCONT);
        sleep(2);
        record = lab_settle(lab, lab_take_point(lab, record));
        writer_stop(&writer);
        fs_record_free(record);
        remove_disks(disks, count);
    }
}

/* What the message of a silent writer says: blocklisted, it stands in nobody's way. */
static void check_dead(struct lab *lab)
{
    struct fs_take_result result;
    struct disk disk;
    struct writer writer;
    struct fs_record *record;
    char names[512], *address;
    int64_t began_ms;

    create_disks(lab, "dead", &disk, 1, names);
    record = lab_group(lab, "dead", &disk, 1);
    writer_start(&writer, names);
    record = lab_settle(lab, lab_take_point(lab, record));
    kill(writer.pid, SIGKILL);
    record = lab_take(lab, record, NULL, true, &result);
    CHECK(result.outcome == FS_TAKE_FAILED && result.reason == FS_TAKE_WRITER_SILENT);
    address = strstr(result.err.message, "blocklist add ");
    CHECK(address);
    CEPH(rados_blocklist_add(lab->rados, address + strlen("blocklist add "), 600));
    began_ms = now_ms();
    record = lab_settle(lab, lab_take_point(lab, record));
    CHECK(now_ms() - began_ms < 15000);
    close(writer.in);
    fclose(writer.out);
    CHECK(waitpid(writer.pid, NULL, 0) == writer.pid);
    fs_record_free(record);
    disk_remove(&disk);
}

/* --- the helper ------------------------------------------------------------------------------ */

static pid_t find_helper(void)
{
    char command[64];
    FILE *pipe;
    int pid = 0;

    snprintf(command, sizeof(command), "pgrep -P %d farshore-take", (int)getpid());
    pipe = popen(command, "r");
    CHECK(pipe);
    if (fscanf(pipe, "%d", &pid) != 1) {
        pid = 0;
    }
    pclose(pipe);
    return pid;
}

static void *kill_helper(void *arg)
{
    pid_t *pid = arg;

    usleep((useconds_t)random_below(120000));
    kill(*pid, SIGKILL);
    return NULL;
}

/* Killed at any moment of a take: writers go on soon, the record heals itself. */
static void check_killed(struct lab *lab)
{
    struct fs_take_result result;
    struct disk disks[8];
    struct writer writer;
    char names[512];
    struct fs_record *record;
    unsigned failed = 0;

    create_disks(lab, "killed", disks, 3, names);
    record = lab_group(lab, "killed", disks, 3);
    writer_start(&writer, names);
    record = lab_settle(lab, lab_take_point(lab, record));
    for (unsigned i = 0; i < 12; i++) {
        pid_t pid = find_helper();
        pthread_t killer;

        CHECK(pid > 0);
        CHECK(pthread_create(&killer, NULL, kill_helper, &pid) == 0);
        record = lab_take(lab, record, NULL, true, &result);
        pthread_join(killer, NULL);
        failed += result.outcome == FS_TAKE_FAILED;
        record = lab_settle(lab, lab_take_point(lab, record));
        CHECK(record->n_points == 1 && disk_count_snaps(&disks[0]) == 2);
    }
    printf("  %u of 12 takes failed\n", failed);
    CHECK(failed > 0);
    CHECK(writer_stop(&writer) < 10000);
    fs_record_free(record);
    remove_disks(disks, 3);
}

static void check_bound(struct lab *lab)
{
    struct fs_take_result result;
    struct disk disks[8];
    struct writer writer;
    char names[512];
    struct fs_record *record;

    create_disks(lab, "bound", disks, 3, names);
    record = lab_group(lab, "bound", disks, 3);
    writer_start(&writer, names);
    for (unsigned i = 0; i < 5; i++) {
        record = lab_take_bounded(lab, record, 5 * FS_MSEC, false, &result);
        CHECK(result.outcome == FS_TAKE_FAILED && result.reason == FS_TAKE_BOUND_PASSED);
        record = lab_settle(lab, lab_take_point(lab, record));
        CHECK(record->n_points == 1 && disk_count_snaps(&disks[0]) == 2);
    }
    CHECK(writer_stop(&writer) < 10000);
    fs_record_free(record);
    remove_disks(disks, 3);
}

/* A writer that holds the lock explicitly: no point of a group, and no write of its fails. */
static void check_explicit(struct lab *lab)
{
    struct fs_take_result result;
    struct disk disks[2];
    struct fs_record *record;

    disk_create(lab, &(struct disk_options){.name = "check.held", .size = 8 * MIB}, &disks[0]);
    disk_create(lab, &(struct disk_options){.name = "check.free", .size = 8 * MIB}, &disks[1]);
    record = lab_settle(lab, lab_take_point(lab, lab_group(lab, "explicit", disks, 2)));
    CEPH(rbd_lock_acquire(disks[0].handle, RBD_LOCK_MODE_EXCLUSIVE));
    for (unsigned i = 0; i < 5; i++) {
        disk_write(&disks[0], i * MIB, 4096, i);
        record = lab_take(lab, record, NULL, true, &result);
        CHECK(result.outcome == FS_TAKE_FAILED && record->n_points == 1);
        disk_write(&disks[0], i * MIB, 4096, i);
        disk_write(&disks[1], i * MIB, 4096, i);
    }
    printf("  %s\n", result.err.message);
    CEPH(rbd_lock_release(disks[0].handle));
    record = lab_settle(lab, lab_take_point(lab, record));
    CHECK(record->n_points == 1 && disk_count_snaps(&disks[0]) == 2);
    fs_record_free(record);
    disk_remove(&disks[0]);
    disk_remove(&disks[1]);
}

/* --- groups, names, deletions ----------------------------------------------------------------- */

static void check_groups(struct lab *lab)
{
    struct fs_take_result result;
    struct disk disks[2];
    struct fs_record *record;

    disk_create(lab, &(struct disk_options){.name = "check.member", .size = 8 * MIB}, &disks[0]);
    disk_create(lab, &(struct disk_options){.name = "check.other", .size = 8 * MIB, .ns = "check"},
                &disks[1]);
    record = lab_group(lab, "groups", disks, 1);
    CEPH(rbd_group_create(lab->ioctx, "foreign"));
    CEPH(rbd_group_image_add(lab->ioctx, "foreign", lab->ioctx, "check.member"));
    record = lab_take(lab, record, NULL, true, &result);
    CHECK(result.outcome == FS_TAKE_FAILED && result.reason == FS_TAKE_FOREIGN_GROUP);
    CHECK(record->n_points == 0);
    CEPH(rbd_group_image_remove(lab->ioctx, "foreign", lab->ioctx, "check.member"));
    CEPH(rbd_group_remove(lab->ioctx, "foreign"));
    record = lab_settle(lab, lab_take_point(lab, record));

    /* Two namespaces: refused, or taken and marked. */
    CHECK(fs_record_add_volume(record, &disks[1].volume));
    record = lab_take_bounded(lab, record, 5 * FS_SEC, true, &result);
    CHECK(result.outcome == FS_TAKE_FAILED && result.reason == FS_TAKE_NOT_ONE_INSTANT);
    record = lab_take_point(lab, record);
    CHECK(record->points[1].flags & FS_POINT_NOT_ONE_INSTANT);

    /* A volume that is not in the base comes whole, beside one that does not. */
    struct fs_uuid base = record->points[0].point.id;
    struct fs_reading *reading = lab_open_reading(lab, record, &record->points[1].point.id, &base);

    lab_apply(lab, reading, 1, disks[1].size, 16, NULL);
    lab_close_reading(lab, reading);
    record = lab_settle(lab, record);
    fs_record_free(record);
    disk_remove(&disks[0]);
    disk_remove(&disks[1]);
}

static void check_renamed(struct lab *lab)
{
    struct fs_take_result result;
    struct disk disks[2];
    struct fs_record *record;

    disk_create(lab, &(struct disk_options){.name = "check.before", .size = 8 * MIB}, &disks[0]);
    disk_create(lab, &(struct disk_options){.name = "check.doomed", .size = 8 * MIB}, &disks[1]);
    record = lab_group(lab, "renamed", disks, 2);
    CEPH(rbd_rename(lab->ioctx, "check.before", "check.after"));
    snprintf(disks[0].name, sizeof(disks[0].name), "check.after");
    record = lab_settle(lab, lab_take_point(lab, record));
    CHECK(strcmp(record->volumes[0].volume.image.name, "check.after") == 0);
    disk_remove(&disks[1]);
    record = lab_take_point(lab, record);
    CHECK(record->volumes[1].gone && record->points[1].n_contents == 1);
    record = lab_settle(lab, record);
    CHECK(record->n_points == 1);
    disk_remove(&disks[0]);
    record = lab_take(lab, record, NULL, true, &result);
    CHECK(result.outcome == FS_TAKE_FAILED && result.err.class == FS_ERR_CONFIG);
    fs_record_free(record);
}

/* Snapshots that a lost record has left behind go; whatever is named otherwise stays. */
static void check_unknown(struct lab *lab)
{
    static const char *const stay[] = {"farshore.left.1.1",       "farshore.1.1.1234567",
                                       "farshore.0.1.12345678",   "farshore.mark.1234567g",
                                       "farshore.1.01.12345678",  "somebody-elses",
                                       "farshore.1.1.12345678.x", "farshore.1.1.1234567A"};
    static const char *const go[] = {"farshore.1.1.12345678", "farshore.mark.12345678"};
    const size_t n_stay = sizeof(stay) / sizeof(stay[0]);
    struct fs_record *other, *record;
    struct fs_uuid group;
    struct disk disk;
    bool exists;

    disk_create(lab, &(struct disk_options){.name = "check.unknown", .size = 8 * MIB}, &disk);
    /* A point that another group's record still names stays as well. */
    other = lab_take_point(lab, lab_group(lab, "other", &disk, 1));
    CEPH(rbd_metadata_remove(disk.handle, "farshore.stamp"));
    record = lab_settle(lab, lab_take_point(lab, lab_group(lab, "unknown", &disk, 1)));
    for (size_t i = 0; i < n_stay; i++) {
        CEPH(rbd_snap_create(disk.handle, stay[i]));
    }
    for (size_t i = 0; i < 2; i++) {
        CEPH(rbd_snap_create(disk.handle, go[i]));
    }
    lab_reopen(lab); /* it looks once after each start */
    record = lab_settle(lab, lab_take_point(lab, record));
    CHECK(disk_count_snaps(&disk) == n_stay + 2);
    for (size_t i = 0; i < 2; i++) {
        CEPH(rbd_snap_exists(disk.handle, go[i], &exists));
        CHECK(!exists);
    }
    group = record->group;

    /* A membership that a crash left behind in our own RBD group. */
    char name[64] = "farshore.", text[FS_UUID_TEXT];

    fs_uuid_format(&group, text);
    CEPH(rbd_group_create(lab->ioctx, strcat(name, text)));
    CEPH(rbd_group_image_add(lab->ioctx, name, lab->ioctx, "check.unknown"));
    record = lab_settle(lab, lab_take_point(lab, record));
    CEPH(rbd_group_remove(lab->ioctx, name));
    fs_record_free(record);
    fs_record_free(other);
    disk_remove(&disk);
}

/* --- speed ----------------------------------------------------------------------------------- */

static void check_speed(struct lab *lab)
{
    struct fs_record *record;
    struct fs_reading *reading;
    struct fs_uuid base;
    struct disk disk;
    int64_t began_ms;
    uint64_t bytes;

    disk_create(lab, &(struct disk_options){.name = "check.large", .size = TIB}, &disk);
    for (unsigned i = 0; i < 2000; i++) { /* to the end: a write that extends is more than it is */
        disk_write(&disk, (i * 131 + 1) * 4 * MIB - 4096, 4096, i);
    }
    record = lab_settle(lab, lab_take_point(lab, lab_group(lab, "large", &disk, 1)));
    base = record->points[0].point.id;
    for (unsigned i = 0; i < 200; i++) {
        disk_write(&disk, i * 10 * 131 * 4 * MIB + random_below(1000) * 4096, 4096, i);
    }
    record = lab_take_point(lab, record);
    began_ms = now_ms();
    reading = lab_open_reading(lab, record, &record->points[1].point.id, &base);
    bytes = lab_apply(lab, reading, 0, disk.size, 1000, NULL);
    lab_close_reading(lab, reading);
    printf("  1 TiB, 200 objects dirty: %" PRId64 " ms, %" PRIu64 " bytes\n", now_ms() - began_ms,
           bytes);
    CHECK(now_ms() - began_ms < 4000);
    CHECK(bytes == UINT64_C(200) * 4096);
    record = lab_settle(lab, record);
    fs_record_free(record);
    disk_remove(&disk);
}

/* --- main ------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    void (*run)(struct lab *lab);
} checks[] = {
    {"fsx", check_fsx},         {"kinds", check_kinds},
    {"clone", check_clone},     {"unchanged", check_unchanged},
    {"writers", check_writers}, {"silent", check_silent},
    {"dead", check_dead},       {"killed", check_killed},
    {"bound", check_bound},     {"groups", check_groups},
    {"renamed", check_renamed}, {"explicit", check_explicit},
    {"unknown", check_unknown}, {"quiesce", check_quiesce},
    {"speed", check_speed},
};

static bool is_wanted(int argc, char **argv, const char *name)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], name) == 0) {
            return true;
        }
    }
    return argc < 2;
}

int main(int argc, char **argv)
{
    const char *seed = getenv("FARSHORE_TEST_SEED");
    const char *helper = getenv("FARSHORE_TEST_HELPER");
    unsigned number = seed ? (unsigned)strtoul(seed, NULL, 10) : (unsigned)now_ms();
    struct lab lab;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 3 && strcmp(argv[1], "writer") == 0) {
        return writer_run(argv[2]);
    }
    if (!helper) {
        FAIL("FARSHORE_TEST_HELPER is not set");
    }
    srandom(number);
    printf("FARSHORE_TEST_SEED=%u\n", number);
    lab_open(&lab, helper);
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        if (is_wanted(argc, argv, checks[i].name)) {
            int64_t began_ms = now_ms();

            printf("%s\n", checks[i].name);
            checks[i].run(&lab);
            printf("%s: ok, %" PRId64 " ms\n", checks[i].name, now_ms() - began_ms);
        }
    }
    lab_close(&lab);
    return EXIT_SUCCESS;
}
