/* SPDX-License-Identifier: Apache-2.0 */
/* The messages by which a site has the other one fence. */
#include "tests/unit/wire_rig.h"

DECODER(fence_want, no_fini)
DECODER(fence_done, no_fini)
DECODER(fence_look, no_fini)
DECODER(fence_seen, fs_fence_seen_fini)

static void test_fence_messages_round_trip(void **state)
{
    (void)state;
    struct fs_fence_want want = {.group = uuid_a, .term = {7, uuid_b}, .who = "root"}, got_want;
    struct fs_fence_done done = {
        .group = uuid_b, .number = 7, .outcome = FS_FENCE_FAILED, .message = "they hold on"};
    struct fs_fence_done got_done;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf buf = FS_BUF_INIT;
    fs_fence_want_encode(&want, &buf);
    assert_int_equal(fs_fence_want_decode(buf.data, buf.length, &got_want, &err), 0);
    assert_true(fs_uuid_equal(&got_want.group, &uuid_a));
    assert_int_equal(got_want.term.number, 7);
    assert_true(fs_uuid_equal(&got_want.term.site, &uuid_b));
    assert_string_equal(got_want.who, "root");
    check_bounds(decode_fence_want, &buf);
    fs_buf_fini(&buf);
    fs_fence_done_encode(&done, &buf);
    assert_int_equal(fs_fence_done_decode(buf.data, buf.length, &got_done, &err), 0);
    assert_true(fs_uuid_equal(&got_done.group, &uuid_b));
    assert_int_equal(got_done.number, 7);
    assert_int_equal(got_done.outcome, FS_FENCE_FAILED);
    assert_string_equal(got_done.message, "they hold on");
    check_bounds(decode_fence_done, &buf);
    fs_buf_fini(&buf);
}

static void test_fence_impossible_fields_are_refused(void **state)
{
    (void)state;
    const struct fs_fence_want wants[] = {
        {.term = {7, uuid_b}},
        {.group = uuid_a, .term = {0, uuid_b}},
        {.group = uuid_a, .term = {UINT64_MAX, uuid_b}},
    };
    const struct fs_fence_done dones[] = {
        {.number = 7}, {.group = uuid_a, .number = 7, .outcome = (enum fs_fence_outcome)3}};
    struct fs_buf buf = FS_BUF_INIT;
    for (size_t i = 0; i < sizeof(wants) / sizeof(wants[0]); i++) {
        fs_fence_want_encode(&wants[i], &buf);
        assert_int_equal(decode_copy(decode_fence_want, buf.data, buf.length), -EPROTO);
        fs_buf_fini(&buf);
    }
    for (size_t i = 0; i < sizeof(dones) / sizeof(dones[0]); i++) {
        fs_fence_done_encode(&dones[i], &buf);
        assert_int_equal(decode_copy(decode_fence_done, buf.data, buf.length), -EPROTO);
        fs_buf_fini(&buf);
    }
}

static void test_fence_look_round_trips(void **state)
{
    (void)state;
    const struct fs_fence_look look = {.group = uuid_a, .number = 7}, nobody = {.number = 7};
    struct fs_fence_look got;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf buf = FS_BUF_INIT;
    fs_fence_look_encode(&look, &buf);
    assert_int_equal(fs_fence_look_decode(buf.data, buf.length, &got, &err), 0);
    assert_true(fs_uuid_equal(&got.group, &uuid_a));
    assert_int_equal(got.number, 7);
    check_bounds(decode_fence_look, &buf);
    fs_fence_look_encode(&nobody, &buf);
    assert_int_equal(decode_copy(decode_fence_look, buf.data, buf.length), -EPROTO);
    fs_buf_fini(&buf);
}

static void test_fence_seen_round_trips(void **state)
{
    (void)state;
    struct fs_fence clients[] = {
        {.client = "client.4711", .address = "10.0.0.21:0/1", .images = "rbd/a, rbd/b"},
        {.client = "client.4712", .address = "10.0.0.22:0/2", .others = "rbd/web\n1"},
    };
    const struct fs_fence_seen seen = {.group = uuid_b,
                                       .number = 7,
                                       .flags = FS_SEEN_PART | FS_SEEN_MORE,
                                       .message = "so many",
                                       .count = 2,
                                       .clients = clients};
    struct fs_fence_seen got;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf buf = FS_BUF_INIT;
    fs_fence_seen_encode(&seen, &buf);
    assert_int_equal(fs_fence_seen_decode(buf.data, buf.length, &got, &err), 0);
    assert_true(fs_uuid_equal(&got.group, &uuid_b));
    assert_int_equal(got.number, 7);
    assert_int_equal(got.flags, FS_SEEN_PART | FS_SEEN_MORE);
    assert_string_equal(got.message, "so many");
    assert_int_equal(got.count, 2);
    assert_string_equal(got.clients[0].client, "client.4711");
    assert_string_equal(got.clients[0].address, "10.0.0.21:0/1");
    assert_string_equal(got.clients[0].images, "rbd/a, rbd/b");
    assert_string_equal(got.clients[0].others, "");
    assert_string_equal(got.clients[1].others, "rbd/web?1"); /* a name may hold anything */
    fs_fence_seen_fini(&got);
    check_bounds(decode_fence_seen, &buf);
}

/* As many clients as a message may have, with the longest texts. */
static void test_fence_seen_takes_what_an_answer_may_hold(void **state)
{
    (void)state;
    static struct fs_fence clients[FS_SEEN_MAX];
    struct fs_fence_seen seen = {.group = uuid_a, .count = FS_SEEN_MAX, .clients = clients};
    struct fs_buf buf = FS_BUF_INIT;
    memset(seen.message, 'm', sizeof(seen.message) - 1);
    for (size_t i = 0; i < FS_SEEN_MAX; i++) {
        memset(clients[i].client, 'c', sizeof(clients[i].client) - 1);
        memset(clients[i].address, 'a', sizeof(clients[i].address) - 1);
        memset(clients[i].images, 'i', sizeof(clients[i].images) - 1);
        memset(clients[i].others, 'o', sizeof(clients[i].others) - 1);
    }
    fs_fence_seen_encode(&seen, &buf);
    assert_false(buf.failed);
    assert_true(buf.length < FS_FRAME_PAYLOAD_MAX);
    assert_int_equal(decode_copy(decode_fence_seen, buf.data, buf.length), 0);
    fs_buf_fini(&buf);
}

static void put_seen(struct fs_buf *buf, uint8_t flags, uint16_t count)
{
    fs_buf_put_uuid(buf, &uuid_a);
    fs_buf_put_u64(buf, 7);
    fs_buf_put_u8(buf, flags);
    fs_buf_put_string(buf, "");
    fs_buf_put_u16(buf, count);
}

static void put_client(struct fs_buf *buf, const char *client, size_t others)
{
    char text[FS_FENCE_TEXT_SIZE + 1] = "";
    memset(text, 'o', others);
    fs_buf_put_string(buf, client);
    fs_buf_put_string(buf, "10.0.0.21:0/1");
    fs_buf_put_string(buf, "rbd/a");
    fs_buf_put_string(buf, text);
}

static void refused(struct fs_buf *buf)
{
    assert_int_equal(decode_copy(decode_fence_seen, buf->data, buf->length), -EPROTO);
    fs_buf_fini(buf);
}

static void test_fence_seen_hostile_sizes_are_refused(void **state)
{
    (void)state;
    struct fs_buf buf = FS_BUF_INIT;
    put_seen(&buf, 0, UINT16_MAX); /* and nothing of them */
    refused(&buf);
    put_seen(&buf, 0, FS_SEEN_MAX + 1);
    for (unsigned i = 0; i <= FS_SEEN_MAX; i++) {
        put_client(&buf, "client.1", 0);
    }
    refused(&buf);
    put_seen(&buf, 0, 2); /* one is there */
    put_client(&buf, "client.1", FS_FENCE_TEXT_SIZE - 1);
    refused(&buf);
    put_seen(&buf, 0, 1);
    put_client(&buf, "client.1", FS_FENCE_TEXT_SIZE); /* one too long by a byte */
    refused(&buf);
    put_seen(&buf, 0, 1);
    put_client(&buf, "", 0);
    refused(&buf);
    put_seen(&buf, FS_SEEN_FAILED, 1); /* it failed, and there are clients */
    put_client(&buf, "client.1", 0);
    refused(&buf);
    put_seen(&buf, 0, 1);
    put_client(&buf, "client.1", 0);
    assert_int_equal(decode_copy(decode_fence_seen, buf.data, buf.length), 0);
    fs_buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fence_messages_round_trip),
        cmocka_unit_test(test_fence_impossible_fields_are_refused),
        cmocka_unit_test(test_fence_look_round_trips),
        cmocka_unit_test(test_fence_seen_round_trips),
        cmocka_unit_test(test_fence_seen_takes_what_an_answer_may_hold),
        cmocka_unit_test(test_fence_seen_hostile_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
