/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connection, records, lease, stamps and discovery on a real Ceph cluster. The environment names
 * it: FARSHORE_TEST_CONF, FARSHORE_TEST_USER and FARSHORE_TEST_POOL, a pool in which Farshore's
 * RADOS namespace is emptied before and after and images are made and removed. The cluster's
 * daemons run here, and are stopped and continued for what must be bounded in time.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "snapshot/omap.h"
#include "snapshot/site.h"
#include "snapshot/stamp.h"

#define MIB (UINT64_C(1) << 20)

static const char *conf;
static const char *user;
static const char *pool;
static struct fs_clock_scripted scripted;

/* --- help ------------------------------------------------------------------------------------ */

static struct fs_site_options options_of(const char *key)
{
    struct fs_site_options options = {.conf = conf,
                                      .user = user,
                                      .state_pool = pool,
                                      .site_name = "east",
                                      .helper = "/nonexistent",
                                      .daemon_key = key,
                                      .clock = &scripted.clock,
                                      .op_timeout_ns = 10 * FS_SEC,
                                      .lease_ns = 30 * FS_SEC};

    fs_uuid_random(&options.instance);
    return options;
}

static struct fs_site *open_site(const char *key)
{
    struct fs_site_options options = options_of(key);
    struct fs_error err = FS_ERROR_INIT;
    struct fs_site *site = NULL;

    if (fs_site_open(&options, &site, &err) < 0) {
        fail_msg("fs_site_open: %s", err.message);
    }
    return site;
}

#define ok(call)                                                                                   \
    do {                                                                                           \
        struct fs_error err = FS_ERROR_INIT;                                                       \
        int ok_rc = (call);                                                                        \
        if (ok_rc != 0) {                                                                          \
            fail_msg("%s: %d: %s", #call, ok_rc, err.message);                                     \
        }                                                                                          \
    } while (0)

#define fails(code, text, call)                                                                    \
    do {                                                                                           \
        struct fs_error err = FS_ERROR_INIT;                                                       \
        int fails_rc = (call);                                                                     \
        if (fails_rc != -(code) || strstr(err.message, (text)) == NULL) {                          \
            fail_msg("%s: %d: %s", #call, fails_rc, err.message);                                  \
        }                                                                                          \
    } while (0)

static void empty_namespace(void)
{
    struct fs_cluster *cluster;
    rados_ioctx_t ioctx;
    rados_list_ctx_t list;
    const char *object;

    ok(fs_cluster_open(conf, user, 10 * FS_SEC, &cluster, &err));
    ok(fs_cluster_ioctx(cluster, pool, "farshore", &ioctx, &err));
    assert_int_equal(rados_nobjects_list_open(ioctx, &list), 0);
    while (rados_nobjects_list_next(list, &object, NULL, NULL) == 0) {
        assert_int_equal(rados_remove(ioctx, object), 0);
    }
    rados_nobjects_list_close(list);
    rados_ioctx_destroy(ioctx);
    fs_cluster_close(cluster);
}

static int each_setup(void **state)
{
    (void)state;
    fs_clock_scripted_init(&scripted, 1000 * FS_SEC);
    empty_namespace();
    return 0;
}

static int each_teardown(void **state)
{
    (void)state;
    empty_namespace();
    return 0;
}

/* Sends a signal to the cluster's daemons of that program ("" for all): those that were started
 * with our configuration. */
static void signal_daemons(const char *program, int number)
{
    DIR *proc = opendir("/proc");
    const struct dirent *entry;

    while (proc != NULL && (entry = readdir(proc)) != NULL) {
        char path[300];
        char line[4096] = "";
        ssize_t length;
        int fd;

        if (!isdigit((unsigned char)entry->d_name[0])) {
            continue;
        }
        snprintf(path, sizeof(path), "/proc/%s/cmdline", entry->d_name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        length = fd < 0 ? 0 : read(fd, line, sizeof(line) - 1);
        if (fd >= 0) {
            close(fd);
        }
        if (length <= 0 || strstr(line, "ceph-") == NULL || strstr(line, program) == NULL) {
            continue;
        }
        for (const char *at = line; at < line + length; at += strlen(at) + 1) {
            if (strcmp(at, conf) == 0) {
                kill((pid_t)strtol(entry->d_name, NULL, 10), number);
            }
        }
    }
    if (proc != NULL) {
        closedir(proc);
    }
}

static void continue_daemons(void)
{
    signal_daemons("ceph-", SIGCONT);
}

static struct fs_record *new_record(const char *name)
{
    struct fs_record *record = fs_record_new();

    assert_non_null(record);
    fs_uuid_random(&record->group);
    fs_uuid_random(&record->term.site);
    snprintf(record->name, sizeof(record->name), "%s", name);
    snprintf(record->policy, sizeof(record->policy), "gold");
    snprintf(record->peer, sizeof(record->peer), "west");
    record->role = FS_ROLE_PRIMARY;
    record->term.number = 1;
    record->next_seq = 1;
    return record;
}

/* --- opening --------------------------------------------------------------------------------- */

static void test_open_without_conf_or_key_or_pool_says_so(void **state)
{
    struct fs_site_options options = options_of("a");
    struct fs_error refused = FS_ERROR_INIT;
    struct fs_site *site = NULL;
    int rc;

    (void)state;
    options.conf = "/nonexistent/ceph.conf";
    fails(ENOENT, "/nonexistent/ceph.conf", fs_site_open(&options, &site, &err));
    options.conf = conf;
    /* ENOENT without a keyring, EACCES where the keyring has only other users' keys. */
    options.user = "nobody-knows";
    rc = fs_site_open(&options, &site, &refused);
    assert_true(rc == -ENOENT || rc == -EACCES);
    assert_int_equal(refused.class, FS_ERR_CONFIG);
    assert_non_null(strstr(refused.message, "ceph auth get-or-create client.nobody-knows"));
    options.user = user;
    options.state_pool = "no-such-pool";
    fails(ENOENT, "ceph osd pool create no-such-pool", fs_site_open(&options, &site, &err));
    assert_null(site);
}

static void test_open_again_finds_the_same_uuid(void **state)
{
    struct fs_site *a = open_site("a");
    struct fs_site *b = open_site("b");

    (void)state;
    assert_false(fs_uuid_is_zero(fs_site_uuid(a)));
    assert_true(fs_uuid_equal(fs_site_uuid(a), fs_site_uuid(b)));
    assert_int_equal(strlen(fs_site_fsid(a)), 36);
    fs_site_close(a);
    fs_site_close(b);
}

static void test_open_state_of_a_newer_format_is_refused(void **state)
{
    struct fs_site *site = open_site("a");
    struct fs_site_options options = options_of("b");
    struct fs_site *other;
    rados_write_op_t op = fs_omap_change();

    (void)state;
    fs_omap_set(op, "format", "2", 1);
    assert_int_equal(fs_omap_apply(fs_state_ioctx(site->state), FS_STATE_SITE, op), 0);
    fails(EPROTONOSUPPORT, "upgrade", fs_site_open(&options, &other, &err));
    fs_site_close(site);
}

/* --- records --------------------------------------------------------------------------------- */

static void test_store_guards_by_version(void **state)
{
    struct fs_site *site = open_site("a");
    struct fs_record *record = new_record("rbd/a");
    struct fs_record *copy;
    struct fs_record *loaded;

    (void)state;
    copy = fs_record_copy(record);
    ok(fs_state_store(site->state, record, &err));
    assert_int_equal(record->version, 1);
    fails(ESTALE, "rbd/a", fs_state_store(site->state, copy, &err)); /* creation is exclusive */
    fs_record_free(copy);

    copy = fs_record_copy(record);
    record->paused = true;
    ok(fs_state_store(site->state, record, &err));
    assert_int_equal(record->version, 2);
    fails(ESTALE, "rbd/a", fs_state_store(site->state, copy, &err));
    ok(fs_state_load(site->state, &record->group, &loaded, &err));
    assert_int_equal(loaded->version, 2);
    assert_true(loaded->paused);
    fs_record_free(loaded);
    fs_uuid_random(&copy->group);
    fails(ENOENT, "group.", fs_state_load(site->state, &copy->group, &loaded, &err));
    fs_record_free(copy);
    fs_record_free(record);
    fs_site_close(site);
}

struct bad {
    unsigned count;
    int codes[4];
};

static void bad_cb(void *arg, const char *object, const struct fs_error *err)
{
    struct bad *bad = arg;

    assert_non_null(object);
    assert_true(bad->count < 4);
    bad->codes[bad->count++] = err->code;
}

static void put_text(struct fs_site *site, const struct fs_record *record, const char *text)
{
    rados_write_op_t op = fs_omap_change();
    char object[64] = "group.";

    fs_uuid_format(&record->group, object + strlen(object));
    fs_omap_set(op, "record", text, strlen(text));
    assert_int_equal(fs_omap_apply(fs_state_ioctx(site->state), object, op), 0);
}

static void test_load_all_skips_what_it_cannot_read_and_merges_moments(void **state)
{
    struct fs_site *site = open_site("a");
    struct fs_record *records[4];
    struct fs_record **loaded;
    struct fs_record *again;
    struct fs_current current = {.current_until_ns = 77 * FS_SEC};
    struct bad bad = {0};
    size_t count;

    (void)state;
    for (int i = 0; i < 4; i++) {
        records[i] = new_record("rbd/some");
        if (i == 0) {
            struct fs_record_point *point = fs_record_add_point(records[i], 0);

            fs_uuid_random(&point->point.id);
            point->point.term = records[i]->term;
            point->point.seq = records[i]->next_seq++;
            point->state = FS_POINT_COMMITTED;
            point->taken_ns = 50 * FS_SEC;
            current.group = records[i]->group;
            current.point = point->point.id;
        }
        ok(fs_state_store(site->state, records[i], &err));
    }
    ok(fs_state_note_current(site->state, &current, 1, &err));
    put_text(site, records[2], "{\"format\": 99}");
    put_text(site, records[3], "nonsense");
    ok(fs_site_load(site, &loaded, &count, bad_cb, &bad, &err));
    assert_int_equal(count, 2);
    assert_int_equal(bad.count, 2);
    assert_int_equal(bad.codes[0] + bad.codes[1], EPROTONOSUPPORT + EINVAL);
    for (size_t i = 0; i < count; i++) {
        bool first = fs_uuid_equal(&loaded[i]->group, &records[0]->group);

        assert_int_equal(loaded[i]->current_until_ns, first ? 77 * FS_SEC : 0);
        fs_record_free(loaded[i]);
    }
    free(loaded);

    /* A moment of another point does not count. */
    fs_uuid_random(&current.point);
    ok(fs_state_note_current(site->state, &current, 1, &err));
    ok(fs_state_load(site->state, &records[0]->group, &again, &err));
    assert_int_equal(again->current_until_ns, 50 * FS_SEC);
    fs_record_free(again);
    for (int i = 0; i < 4; i++) {
        fs_record_free(records[i]);
    }
    fs_site_close(site);
}

static void store_with_lost_answer(struct fs_site *site, struct fs_record *record)
{
    signal_daemons("ceph-osd", SIGSTOP);
    fails(ETIMEDOUT, "in time", fs_state_store(site->state, record, &err));
    continue_daemons();
}

static void test_store_with_a_lost_answer_is_known_again(void **state)
{
    struct fs_site_options options = options_of("a");
    struct fs_site *site;
    struct fs_record *record = new_record("rbd/lost");
    struct fs_record *loaded;

    (void)state;
    options.op_timeout_ns = 2 * FS_SEC;
    ok(fs_site_open(&options, &site, &err));
    ok(fs_state_store(site->state, record, &err));

    store_with_lost_answer(site, record);
    assert_int_equal(record->version, 1);
    ok(fs_state_store(site->state, record, &err));
    assert_int_equal(record->version, 2);

    record->paused = true;
    store_with_lost_answer(site, record);
    record->paused = false; /* something else than what may be stored */
    record->next_seq = 9;
    ok(fs_state_store(site->state, record, &err));
    ok(fs_state_load(site->state, &record->group, &loaded, &err));
    assert_int_equal(loaded->version, record->version);
    assert_int_equal(loaded->next_seq, 9);
    assert_int_equal(loaded->version, 4); /* the lost one was applied, and is in between */
    fs_record_free(loaded);
    fs_record_free(record);
    fs_site_close(site);
}

/* --- lease ----------------------------------------------------------------------------------- */

static void test_lease_is_taken_over_when_not_renewed_and_the_old_holder_is_fenced(void **state)
{
    struct fs_site *a = open_site("host-a");
    struct fs_site *b = open_site("host-b");
    struct fs_record *record = new_record("rbd/x");
    struct fs_cluster *helper;
    rados_ioctx_t ioctx;

    (void)state;
    ok(fs_site_claim(a, &err));
    ok(fs_site_claim(a, &err)); /* again: harmless */
    ok(fs_state_store(a->state, record, &err));
    ok(fs_cluster_open(conf, user, 10 * FS_SEC, &helper, &err));
    ok(fs_state_add_instance(a->state, fs_cluster_address(helper), &err));

    fails(EBUSY, "host-a", fs_site_claim(b, &err));
    fails(ESTALE, "lease", fs_state_add_instance(b->state, "127.0.0.1:0/1", &err));
    fs_clock_scripted_advance(&scripted, 20 * FS_SEC);
    fails(EBUSY, "host-a", fs_site_claim(b, &err));
    ok(fs_site_renew(a, &err));
    fs_clock_scripted_advance(&scripted, 20 * FS_SEC);
    fails(EBUSY, "host-a", fs_site_claim(b, &err)); /* it was renewed: seen for the first time */
    fs_clock_scripted_advance(&scripted, 31 * FS_SEC);
    ok(fs_site_claim(b, &err));

    fails(ESHUTDOWN, "blocklisted", fs_state_store(a->state, record, &err));
    fails(ESTALE, "lost", fs_site_renew(a, &err));
    fails(ESTALE, "lease", fs_state_store(a->state, record, &err));
    fails(ESHUTDOWN, "blocklisted", fs_site_claim(a, &err));
    /* The helper that it had recorded is fenced with it. */
    ok(fs_cluster_ioctx(helper, pool, "farshore", &ioctx, &err));
    assert_int_equal(rados_write_full(ioctx, "try", "x", 1), -ESHUTDOWN);
    rados_ioctx_destroy(ioctx);
    fs_cluster_close(helper);

    ok(fs_state_store(b->state, record, &err));
    fs_record_free(record);
    fs_site_close(a);
    ok(fs_site_renew(b, &err)); /* the old one's close took nothing away */
    fs_site_close(b);
}

static void test_lease_of_a_dead_predecessor_with_the_same_key_is_taken_at_once(void **state)
{
    struct fs_site *dead = open_site("host-a");
    struct fs_site *next = open_site("host-a");
    struct fs_record *record = new_record("rbd/x");

    (void)state;
    ok(fs_site_claim(dead, &err));
    ok(fs_site_claim(next, &err));
    fails(ESHUTDOWN, "blocklisted", fs_state_store(dead->state, record, &err));
    ok(fs_state_store(next->state, record, &err));
    fs_record_free(record);
    fs_site_close(dead);
    fs_site_close(next);
}

struct claim {
    struct fs_site *site;
    pthread_barrier_t *start;
    int rc;
};

static void *claim_thread(void *arg)
{
    struct claim *claim = arg;

    pthread_barrier_wait(claim->start);
    claim->rc = fs_site_claim(claim->site, NULL);
    return NULL;
}

static void test_lease_goes_to_one_of_two_that_take_it_over_at_once(void **state)
{
    struct fs_site *old = open_site("host-a");
    struct claim claims[2] = {{.site = open_site("host-b")}, {.site = open_site("host-c")}};
    struct fs_record *record = new_record("rbd/x");
    pthread_barrier_t start;
    pthread_t threads[2];

    (void)state;
    ok(fs_site_claim(old, &err));
    for (int i = 0; i < 2; i++) {
        fails(EBUSY, "host-a", fs_site_claim(claims[i].site, &err));
    }
    fs_clock_scripted_advance(&scripted, 31 * FS_SEC);
    pthread_barrier_init(&start, NULL, 2);
    for (int i = 0; i < 2; i++) {
        claims[i].start = &start;
        assert_int_equal(pthread_create(&threads[i], NULL, claim_thread, &claims[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_barrier_destroy(&start);
    assert_int_equal(claims[0].rc + claims[1].rc, -EBUSY);
    ok(fs_state_store(claims[claims[0].rc == 0 ? 0 : 1].site->state, record, &err));
    fs_record_free(record);
    fs_site_close(old);
    fs_site_close(claims[0].site);
    fs_site_close(claims[1].site);
}

static size_t site_keys(const char *prefix)
{
    struct fs_site *site = open_site("reader");
    struct fs_omap omap;
    size_t count = 0;

    assert_int_equal(fs_omap_read(fs_state_ioctx(site->state), FS_STATE_SITE, 100, &omap), 0);
    for (size_t i = 0; i < omap.count; i++) {
        count += strncmp(omap.pairs[i].key, prefix, strlen(prefix)) == 0;
    }
    fs_omap_fini(&omap);
    fs_site_close(site);
    return count;
}

static void test_close_gives_the_lease_up(void **state)
{
    struct fs_site *a = open_site("host-a");
    struct fs_site *b = open_site("host-b");

    (void)state;
    ok(fs_site_claim(a, &err));
    assert_int_equal(site_keys(FS_STATE_INSTANCE), 1);
    ok(fs_state_add_instance(a->state, "192.0.2.7:0/7", &err));
    ok(fs_state_remove_instance(a->state, "192.0.2.7:0/7", &err));
    fs_site_close(a);
    assert_int_equal(site_keys("holder"), 0);
    assert_int_equal(site_keys(FS_STATE_INSTANCE), 0);
    ok(fs_site_claim(b, &err));
    fs_site_close(b);
}

static void test_lease_with_unknown_content_is_waited_out(void **state)
{
    struct fs_site *a = open_site("host-a");
    rados_write_op_t op = fs_omap_change();

    (void)state;
    fs_omap_set(op, "holder", "someone", 7);
    fs_omap_set(op, "lease", "nonsense", 8);
    assert_int_equal(fs_omap_apply(fs_state_ioctx(a->state), FS_STATE_SITE, op), 0);
    fails(EBUSY, "another daemon", fs_site_claim(a, &err));
    fs_clock_scripted_advance(&scripted, 31 * FS_SEC);
    ok(fs_site_claim(a, &err));
    fs_site_close(a);
}

/* --- time ------------------------------------------------------------------------------------ */

static int64_t now_ns(void)
{
    return fs_clock_boot(fs_clock_system());
}

static void test_stopped_cluster_is_an_error_within_bounds(void **state)
{
    struct fs_site_options options = options_of("a");
    struct fs_site *site;
    struct fs_site *other = NULL;
    struct fs_record *record = new_record("rbd/x");
    struct fs_discovery discovery;
    struct fs_selector *selector;
    struct fs_pool_map map = {0};
    int64_t start;

    (void)state;
    snprintf(map.source_pool, sizeof(map.source_pool), "%s", pool);
    ok(fs_selector_parse("a=b", &selector, &err));
    const struct fs_discovery_policy policy = {
        .name = "gold", .selector = selector, .pools = &map, .n_pools = 1};

    /* An OSD that stands still for longer than its read lease answers late for a minute more. */
    options.op_timeout_ns = FS_SEC;
    ok(fs_site_open(&options, &site, &err));
    ok(fs_site_claim(site, &err));
    signal_daemons("ceph-", SIGSTOP);
    start = now_ns();
    fails(ETIMEDOUT, "in time", fs_state_store(site->state, record, &err));
    fails(ETIMEDOUT, "lease", fs_site_renew(site, &err));
    fs_clock_scripted_advance(&scripted, 31 * FS_SEC);
    fails(ESTALE, "lost", fs_site_renew(site, &err));
    fails(ETIMEDOUT, pool, fs_site_discover(site, &policy, 1, NULL, &discovery, &err));
    fails(ETIMEDOUT, "monitors", fs_site_open(&options, &other, &err));
    assert_true(now_ns() - start < 20 * FS_SEC);
    continue_daemons();

    /* Nobody wanted it meanwhile: it is ours again without a new connection. */
    ok(fs_site_claim(site, &err));
    ok(fs_state_store(site->state, record, &err));
    signal_daemons("ceph-", SIGSTOP);
    start = now_ns();
    fs_site_close(site);
    assert_true(now_ns() - start < 5 * FS_SEC);
    continue_daemons();
    fs_selector_free(selector);
    fs_record_free(record);
}

/* --- stamps and discovery -------------------------------------------------------------------- */

static void make_image(rados_ioctx_t ioctx, const char *name)
{
    int order = 22;

    (void)rbd_remove(ioctx, name);
    assert_int_equal(rbd_create3(ioctx, name, 8 * MIB, RBD_FEATURE_LAYERING, &order, 0, 0), 0);
}

static rbd_image_t open_image(rados_ioctx_t ioctx, const char *name, char ret_id[FS_IMAGE_ID_SIZE])
{
    rbd_image_t image;

    assert_int_equal(rbd_open(ioctx, name, &image, NULL), 0);
    assert_int_equal(rbd_get_id(image, ret_id, FS_IMAGE_ID_SIZE), 0);
    return image;
}

static void label(rados_ioctx_t ioctx, const char *name, const char *key, const char *value)
{
    char id[FS_IMAGE_ID_SIZE];
    rbd_image_t image = open_image(ioctx, name, id);

    assert_int_equal(rbd_metadata_set(image, key, value), 0);
    rbd_close(image);
}

static void stamp(rados_ioctx_t ioctx, const char *name, const struct fs_uuid *group,
                  enum fs_role role)
{
    struct fs_stamp text = {.group = *group, .role = role, .term = {.number = 1}};
    char id[FS_IMAGE_ID_SIZE];
    rbd_image_t image = open_image(ioctx, name, id);

    fs_uuid_random(&text.volume);
    ok(fs_stamp_write(image, id, &text, &err));
    rbd_close(image);
}

static void test_stamp_of_a_copy_counts_as_none(void **state)
{
    struct fs_site *site = open_site("a");
    struct fs_uuid group;
    struct fs_stamp read;
    char id[FS_IMAGE_ID_SIZE];
    rados_ioctx_t ioctx;
    rbd_image_t image;

    (void)state;
    fs_uuid_random(&group);
    ok(fs_cluster_ioctx(site->cluster, pool, "", &ioctx, &err));
    make_image(ioctx, "check-stamp");
    (void)rbd_remove(ioctx, "check-copy");
    image = open_image(ioctx, "check-stamp", id);
    fails(ENOENT, "", fs_stamp_read(image, id, &read, &err));
    ok(fs_stamp_remove(image, &err));
    rbd_close(image);
    stamp(ioctx, "check-stamp", &group, FS_ROLE_SECONDARY);
    image = open_image(ioctx, "check-stamp", id);
    ok(fs_stamp_read(image, id, &read, &err));
    assert_true(fs_uuid_equal(&read.group, &group));
    assert_int_equal(read.role, FS_ROLE_SECONDARY);
    assert_int_equal(rbd_copy(image, ioctx, "check-copy"), 0);
    rbd_close(image);
    image = open_image(ioctx, "check-copy", id);
    fails(ENOENT, "", fs_stamp_read(image, id, &read, &err));
    rbd_close(image);
    assert_int_equal(rbd_remove(ioctx, "check-copy"), 0);
    assert_int_equal(rbd_remove(ioctx, "check-stamp"), 0);
    rados_ioctx_destroy(ioctx);
    fs_site_close(site);
}

static void discover(struct fs_site *site, const char *select, const char *ns,
                     struct fs_discovery *ret_discovery)
{
    struct fs_pool_map maps[2] = {0};
    struct fs_discovery_policy policy = {
        .name = "gold", .group_by = "app", .pools = maps, .n_pools = 2};
    struct fs_selector *selector;

    ok(fs_selector_parse(select, &selector, &err));
    policy.selector = selector;
    for (int i = 0; i < 2; i++) {
        snprintf(maps[i].source_pool, FS_POOL_SIZE, "%s", pool);
    }
    snprintf(maps[1].source_ns, FS_POOL_SIZE, "%s", ns);
    ok(fs_site_discover(site, &policy, 1, NULL, ret_discovery, &err));
    fs_selector_free(selector);
}

static void test_discover_finds_labelled_images_and_leaves_replicas_out(void **state)
{
    static const char *const names[] = {"check-a", "check-b", "check-replica", "check-plain"};
    struct fs_site *site = open_site("a");
    struct fs_discovery found;
    struct fs_uuid group;
    rados_ioctx_t ioctx;

    (void)state;
    fs_uuid_random(&group);
    ok(fs_cluster_ioctx(site->cluster, pool, "", &ioctx, &err));
    for (int i = 0; i < 4; i++) {
        make_image(ioctx, names[i]);
        if (i < 3) {
            label(ioctx, names[i], "check", "yes");
        }
    }
    label(ioctx, "check-a", "app", "shop");
    label(ioctx, "check-a", "csi.storage.k8s.io/pvc/name", "data-0");
    label(ioctx, "check-a", "csi.storage.k8s.io/pvc/namespace", "prod");
    label(ioctx, "check-a", "conf_rbd_cache", "false");
    stamp(ioctx, "check-replica", &group, FS_ROLE_SECONDARY);

    discover(site, "check=yes", "check-no-ns", &found);
    assert_int_equal(found.n_groups, 2);
    assert_string_equal(strchr(found.groups[0].name, '/'), "/check-b");
    assert_string_equal(strchr(found.groups[1].name, '/'), "/shop");
    assert_string_equal(found.groups[1].volumes[0].pvc, "data-0");
    assert_string_equal(found.groups[1].volumes[0].pvc_namespace, "prod");
    assert_string_equal(found.groups[1].volumes[0].labels, "{\"app\":\"shop\",\"check\":\"yes\"}");
    assert_int_equal(found.n_skipped, 1); /* the namespace */
    assert_non_null(strstr(found.skipped[0].reason, "check-no-ns"));
    fs_discovery_fini(&found);

    /* Stamped as ours it keeps its group, and others join it by name; a label counts at once. */
    stamp(ioctx, "check-a", &group, FS_ROLE_PRIMARY);
    label(ioctx, "check-b", "app", "shop");
    label(ioctx, "check-plain", "check", "yes");
    (void)rbd_namespace_create(ioctx, "check-ns");
    rados_ioctx_set_namespace(ioctx, "check-ns");
    make_image(ioctx, "check-in-ns");
    label(ioctx, "check-in-ns", "check", "yes");
    discover(site, "check=yes", "check-ns", &found);
    assert_int_equal(found.n_skipped, 0);
    assert_int_equal(found.n_groups, 3);
    assert_string_equal(strchr(found.groups[0].name, '/'), "/check-ns/check-in-ns");
    assert_string_equal(strchr(found.groups[1].name, '/'), "/check-plain");
    assert_int_equal(found.groups[2].n_volumes, 2);
    assert_true(fs_uuid_equal(&found.groups[2].group, &group));
    fs_discovery_fini(&found);

    assert_int_equal(rbd_remove(ioctx, "check-in-ns"), 0);
    rados_ioctx_set_namespace(ioctx, "");
    assert_int_equal(rbd_namespace_remove(ioctx, "check-ns"), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(rbd_remove(ioctx, names[i]), 0);
    }
    rados_ioctx_destroy(ioctx);
    fs_site_close(site);
}

static void test_discover_reads_metadata_of_more_than_a_page(void **state)
{
    struct fs_site *site = open_site("a");
    struct fs_discovery found;
    char id[FS_IMAGE_ID_SIZE];
    rados_ioctx_t ioctx;
    rbd_image_t image;

    (void)state;
    ok(fs_cluster_ioctx(site->cluster, pool, "", &ioctx, &err));
    make_image(ioctx, "check-many");
    image = open_image(ioctx, "check-many", id);
    for (int i = 0; i < 600; i++) {
        char key[32];

        snprintf(key, sizeof(key), "key-%04d", i);
        assert_int_equal(rbd_metadata_set(image, key, "v"), 0);
    }
    rbd_close(image);
    discover(site, "key-0000=v,key-0599=v,!key-0600", "check-no-ns", &found);
    assert_int_equal(found.n_groups, 1);
    assert_string_equal(found.groups[0].problem, "");
    fs_discovery_fini(&found);
    assert_int_equal(rbd_remove(ioctx, "check-many"), 0);
    rados_ioctx_destroy(ioctx);
    fs_site_close(site);
}

int main(void)
{
#define each(test) cmocka_unit_test_setup_teardown(test, each_setup, each_teardown)
    const struct CMUnitTest tests[] = {
        each(test_open_without_conf_or_key_or_pool_says_so),
        each(test_open_again_finds_the_same_uuid),
        each(test_open_state_of_a_newer_format_is_refused),
        each(test_store_guards_by_version),
        each(test_load_all_skips_what_it_cannot_read_and_merges_moments),
        each(test_store_with_a_lost_answer_is_known_again),
        each(test_lease_is_taken_over_when_not_renewed_and_the_old_holder_is_fenced),
        each(test_lease_of_a_dead_predecessor_with_the_same_key_is_taken_at_once),
        each(test_lease_goes_to_one_of_two_that_take_it_over_at_once),
        each(test_close_gives_the_lease_up),
        each(test_lease_with_unknown_content_is_waited_out),
        each(test_stopped_cluster_is_an_error_within_bounds),
        each(test_stamp_of_a_copy_counts_as_none),
        each(test_discover_finds_labelled_images_and_leaves_replicas_out),
        each(test_discover_reads_metadata_of_more_than_a_page),
    };

    conf = getenv("FARSHORE_TEST_CONF");
    user = getenv("FARSHORE_TEST_USER");
    pool = getenv("FARSHORE_TEST_POOL");
    if (conf == NULL || user == NULL || pool == NULL) {
        fputs("FARSHORE_TEST_CONF, FARSHORE_TEST_USER and FARSHORE_TEST_POOL must be set\n",
              stderr);
        return 2;
    }
    atexit(continue_daemons);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
