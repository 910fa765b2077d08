/* SPDX-License-Identifier: Apache-2.0 */
/* The Kubernetes objects of a point travel with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ship/stream.h"
#include "tests/scenario/rig.h"

#define MIB (UINT64_C(1) << 20)
#define ONE "{\"format\":1,\"missing\":[],\"objects\":[{\"kind\":\"ConfigMap\"}]}"
#define TWO "{\"format\":1,\"missing\":[],\"objects\":[{\"kind\":\"Secret\"}]}"

static void begin(struct rig *rig, const char *objects)
{
    rig_init(rig, 0, 1);
    mem_image_scribble(rig_add_volume(rig, "a", 4 * MIB), 0, MIB, true);
    rig->objects = objects;
}

static void check_objects(struct rig *rig, int site, const struct fs_uuid *point,
                          const char *expected)
{
    char *text = mem_store_captured(rig->stores[site], &rig->record->group, point);

    if (expected) {
        assert_non_null(text);
        assert_string_equal(text, expected);
    } else {
        assert_null(text);
    }
    free(text);
}

/* Ships one more point, and says how many bytes went over the wire. */
static struct fs_uuid next_point(struct rig *rig, uint64_t *ret_wire_bytes)
{
    struct fs_uuid point = rig_take(rig);

    assert_true(rig_ship(rig, &point));
    rig_settle(rig, &point);
    *ret_wire_bytes = rig->sent.stats.wire_bytes;
    return point;
}

static void test_objects_arrive_with_their_point(void **state)
{
    struct rig rig;
    uint64_t first, again, other;

    (void)state;
    begin(&rig, ONE);
    rig_connect(&rig);
    struct fs_uuid point = next_point(&rig, &first);
    rig_check(&rig, &point);
    check_objects(&rig, 0, &point, ONE);
    check_objects(&rig, 1, &point, ONE);
    assert_false(rig.sent.objects_lost);

    /* The target has them: they do not travel again, and the two points share them. */
    point = next_point(&rig, &again);
    check_objects(&rig, 1, &point, ONE);
    assert_int_equal(mem_store_count_captured(rig.stores[1]), 1);

    rig.objects = TWO;
    point = next_point(&rig, &other);
    check_objects(&rig, 1, &point, TWO);
    assert_true(other > again);
    assert_int_equal(mem_store_count_captured(rig.stores[0]), 1);

    rig.objects = NULL;
    for (int i = 0; i < 4; i++) {
        point = next_point(&rig, &other);
    }
    check_objects(&rig, 1, &point, NULL);
    assert_int_equal(mem_store_count_captured(rig.stores[0]), 0);
    assert_int_equal(mem_store_count_captured(rig.stores[1]), 0);
    rig_fini(&rig);
}

/* As large as can be: they cost credit, and go before what waits for it. */
static void test_objects_that_are_large_arrive(void **state)
{
    struct rig rig;
    size_t length = FS_CAPTURED_PACKED_MAX - 4096;
    char *text = malloc(length + 1);
    uint32_t random = 1;

    (void)state;
    for (size_t i = 0; i < length; i++) { /* of 8 bits each, which no compression changes */
        random = random * 1664525 + 1013904223;
        text[i] = (char)(random >> 24 ? random >> 24 : 1);
    }
    text[length] = '\0';
    begin(&rig, text);
    mem_image_scribble(rig_add_volume(&rig, "b", 16 * MIB), 0, 16 * MIB, false);
    rig_connect(&rig);
    struct fs_uuid point = rig_take(&rig);
    assert_true(rig_ship(&rig, &point));
    rig_check(&rig, &point);
    check_objects(&rig, 1, &point, text);
    rig_fini(&rig);
    free(text);
}

static void test_objects_that_the_source_has_lost_do_not_keep_the_data(void **state)
{
    (void)state;
    for (int damage = 0; damage < 2; damage++) {
        struct rig rig;

        begin(&rig, ONE);
        rig_connect(&rig);
        struct fs_uuid point = rig_take(&rig);
        mem_store_lose_captured(rig.stores[0], damage);
        assert_true(rig_ship(&rig, &point));
        assert_true(rig.sent.objects_lost);
        rig_check(&rig, &point);
        check_objects(&rig, 1, &point, NULL);
        rig_fini(&rig);
    }
}

static void test_objects_that_cannot_be_read_or_stored_are_tried_again(void **state)
{
    (void)state;
    for (int site = 0; site < 2; site++) {
        struct rig rig;

        begin(&rig, ONE);
        struct fs_uuid point = rig_take(&rig);
        mem_store_fail(rig.stores[site], MEM_OP_OBJECTS, 1, 1, FS_ERR_TRANSIENT, ETIMEDOUT);
        rig_connect(&rig);
        assert_false(rig_ship(&rig, &point));
        rig_ship_again(&rig, &point, 1);
        rig_check(&rig, &point);
        check_objects(&rig, 1, &point, ONE);
        rig_fini(&rig);
    }
}

/* Whatever operation of either site is the last one of its process. */
static void test_objects_survive_a_crash_anywhere(void **state)
{
    (void)state;
    for (int site = 0; site < 2; site++) {
        for (uint64_t nth = 1; nth <= 12; nth++) {
            struct rig rig;

            begin(&rig, ONE);
            struct fs_uuid point = rig_take(&rig);
            mem_store_crash_at(rig.stores[site], nth);
            rig_connect(&rig);
            (void)rig_ship(&rig, &point);
            mem_store_crash_at(rig.stores[site], 0);
            mem_store_restart(rig.stores[site]);
            rig_ship_again(&rig, &point, 3);
            rig_check(&rig, &point);
            check_objects(&rig, 1, &point, ONE);
            rig_fini(&rig);
        }
    }
}

/* --- a peer that breaks the rules ------------------------------------------------------------ */

struct wild {
    struct rig rig;
    struct fs_uuid point;
    uint32_t stream;
    bool wanted, accepted;
    enum fs_refusal refusal;
};

static int wild_frame(void *arg, const struct fs_frame *frame, struct fs_error *err)
{
    struct wild *wild = arg;
    struct fs_refuse refuse;

    wild->wanted = wild->wanted || frame->type == FS_FRAME_OBJECTS_WANT;
    wild->accepted = wild->accepted || frame->type == FS_FRAME_ACCEPT;
    if (frame->type == FS_FRAME_ACCEPT) {
        assert_true(wild->wanted); /* before, so that a source knows in time */
    }
    if (frame->type == FS_FRAME_REFUSE) {
        assert_int_equal(fs_refuse_decode(frame->payload, frame->length, &refuse, err), 0);
        wild->refusal = refuse.reason;
    }
    return 0;
}

static void wild_lost(void *arg, const struct fs_error *err)
{
    (void)arg;
    (void)err;
}

static const struct fs_stream_events wild_events = {.frame = wild_frame, .lost = wild_lost};

static void begin_wild(struct wild *wild)
{
    struct fs_offer offer;

    memset(wild, 0, sizeof(*wild));
    begin(&wild->rig, ONE);
    wild->point = rig_take(&wild->rig);
    rig_connect(&wild->rig);
    rig_offer(&wild->rig, &wild->point, &offer);
    wild->stream = fs_session_open_stream(wild->rig.sessions[0], &wild_events, wild);
    FS_STREAM_SEND(wild->rig.sessions[0], FS_FRAME_OFFER, wild->stream, offer, &offer);
    fs_offer_fini(&offer);
    rig_run(&wild->rig);
    assert_true(wild->wanted && wild->accepted);
}

static void send_objects(struct wild *wild, const char *text)
{
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf packed;

    assert_int_equal(fs_captured_pack(text, strlen(text), &packed, &err), 0);
    struct fs_objects_data data = {.packed = packed.data, .length = (uint32_t)packed.length};
    assert_true(fs_session_take_credit(wild->rig.sessions[0], data.length));
    FS_STREAM_SEND(wild->rig.sessions[0], FS_FRAME_OBJECTS_DATA, wild->stream, objects_data, &data);
    fs_buf_fini(&packed);
    rig_run(&wild->rig);
}

static void check_nothing_committed(struct wild *wild)
{
    assert_null(wild->rig.receiver);
    assert_false(wild->rig.received_committed);
    check_objects(&wild->rig, 1, &wild->point, NULL);
    rig_fini(&wild->rig);
}

static void test_objects_of_another_digest_are_refused(void **state)
{
    struct wild wild;

    (void)state;
    begin_wild(&wild);
    send_objects(&wild, TWO);
    assert_int_equal(wild.refusal, FS_REFUSE_DIGEST);
    assert_int_equal(mem_store_count_captured(wild.rig.stores[1]), 0);
    check_nothing_committed(&wild);
}

static void test_objects_sent_twice_end_the_session(void **state)
{
    struct wild wild;

    (void)state;
    begin_wild(&wild);
    send_objects(&wild, ONE);
    send_objects(&wild, ONE);
    assert_null(wild.rig.sessions[0]);
    check_nothing_committed(&wild);
}

static void test_commit_without_the_objects_ends_the_session(void **state)
{
    struct wild wild;
    struct fs_position final = {.offset = 4 * MIB};
    struct fs_commit commit = {.n_finals = 1, .finals = &final};

    (void)state;
    begin_wild(&wild);
    FS_STREAM_SEND(wild.rig.sessions[0], FS_FRAME_COMMIT, wild.stream, commit, &commit);
    rig_run(&wild.rig);
    assert_null(wild.rig.sessions[0]);
    check_nothing_committed(&wild);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects_arrive_with_their_point),
        cmocka_unit_test(test_objects_that_are_large_arrive),
        cmocka_unit_test(test_objects_that_the_source_has_lost_do_not_keep_the_data),
        cmocka_unit_test(test_objects_that_cannot_be_read_or_stored_are_tried_again),
        cmocka_unit_test(test_objects_survive_a_crash_anywhere),
        cmocka_unit_test(test_objects_of_another_digest_are_refused),
        cmocka_unit_test(test_objects_sent_twice_end_the_session),
        cmocka_unit_test(test_commit_without_the_objects_ends_the_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
