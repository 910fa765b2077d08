/* SPDX-License-Identifier: Apache-2.0 */
/* A peer that breaks the rules of a stream: it is refused or cut off, and nothing is harmed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ship/content.h"
#include "ship/stream.h"
#include "tests/scenario/rig.h"

#define MIB (UINT64_C(1) << 20)

/* A stream that the test speaks itself, as the source or as the target. */
struct wild {
    struct rig rig;
    struct fs_uuid point;
    uint32_t stream;
    uint16_t last; /* type of the last frame that came */
    enum fs_refusal refusal;
    bool lost;
    size_t frames;
};

static int wild_frame(void *arg, const struct fs_frame *frame, struct fs_error *err)
{
    struct wild *wild = arg;
    wild->last = frame->type;
    wild->frames++;
    if (frame->type == FS_FRAME_REFUSE) {
        struct fs_refuse refuse;
        assert_int_equal(fs_refuse_decode(frame->payload, frame->length, &refuse, err), 0);
        wild->refusal = refuse.reason;
        assert_true(strlen(refuse.message) > 0);
    }
    return 0;
}

static void wild_writable(void *arg)
{
    (void)arg;
}

static void wild_lost(void *arg, const struct fs_error *err)
{
    struct wild *wild = arg;
    (void)err;
    wild->lost = true;
}

static const struct fs_stream_events wild_events = {
    .frame = wild_frame, .writable = wild_writable, .lost = wild_lost};

/* As far as ACCEPT with two volumes of 4 MiB. */
static void begin(struct wild *wild)
{
    memset(wild, 0, sizeof(*wild));
    struct rig *rig = &wild->rig;
    rig_init(rig, 0, 1);
    mem_image_scribble(rig_add_volume(rig, "a", 4 * MIB), 0, MIB, true);
    mem_image_scribble(rig_add_volume(rig, "b", 4 * MIB), 0, MIB, true);
    wild->point = rig_take(rig);
    rig_connect(rig);
    struct fs_offer offer;
    rig_offer(rig, &wild->point, &offer);
    wild->stream = fs_session_open_stream(rig->sessions[0], &wild_events, wild);
    FS_STREAM_SEND(rig->sessions[0], FS_FRAME_OFFER, wild->stream, offer, &offer);
    fs_offer_fini(&offer);
    rig_run(rig);
    assert_int_equal(wild->last, FS_FRAME_ACCEPT);
    assert_non_null(rig->receiver);
}

static void end_lied(struct wild *wild) /* the target believed what was well-formed */
{
    assert_null(wild->rig.receiver);
    rig_fini(&wild->rig);
}

/* The honest source afterwards: the target took nothing, and the point gets there whole. */
static void end(struct wild *wild)
{
    assert_null(wild->rig.receiver);
    if (wild->rig.sessions[0] && !wild->lost) {
        fs_session_detach(wild->rig.sessions[0], wild->stream);
    }
    rig_ship_again(&wild->rig, &wild->point, 1);
    rig_check(&wild->rig, &wild->point);
    rig_fini(&wild->rig);
}

static void send_segment(struct wild *wild, const struct fs_segment *segment)
{
    struct fs_session *session = wild->rig.sessions[0];
    assert_true(fs_session_take_credit(session, fs_segment_size(segment)));
    FS_STREAM_SEND(session, FS_FRAME_SEGMENT, wild->stream, segment, segment);
    rig_run(&wild->rig);
}

/* 64 KiB of volume 0 from 0, as an honest encoder makes them; the payload may be spoilt. */
struct sample {
    struct fs_segment segment;
    struct fs_buf frame;
};

static void sample_make(struct sample *sample, int level)
{
    static uint8_t content[64 << 10];
    for (size_t i = 0; i < sizeof(content); i++) {
        content[i] = (uint8_t)(i * 7 % 13 + 1);
    }
    struct fs_piece piece = {.extent = {.length = sizeof(content)}, .content = content};
    struct fs_content_request request = {
        .end = sizeof(content), .pieces = &piece, .n_pieces = 1, .zstd_level = level};
    struct fs_content_result result;
    struct fs_error err = FS_ERROR_INIT;
    assert_int_equal(fs_content_encode(&request, &result, &err), 0);
    sample->frame = result.frame;
    result.frame = FS_BUF_INIT;
    fs_content_result_fini(&result);
    assert_int_equal(fs_segment_decode(sample->frame.data + FS_FRAME_HEADER,
                                       sample->frame.length - FS_FRAME_HEADER, &sample->segment,
                                       &err),
                     0);
    assert_int_equal(sample->segment.codec, level > 0 ? FS_CODEC_ZSTD : FS_CODEC_RAW);
}

static void sample_fini(struct sample *sample)
{
    fs_segment_fini(&sample->segment);
    fs_buf_fini(&sample->frame);
}

/* The sample, changed by `spoil`; the receiver must refuse it, or the session end where refusal is
 * FS_REFUSE_NONE. */
static void refuses(int level, void (*spoil)(struct fs_segment *segment), enum fs_refusal refusal)
{
    struct wild wild;
    struct sample sample;
    begin(&wild);
    sample_make(&sample, level);
    spoil(&sample.segment);
    send_segment(&wild, &sample.segment);
    sample_fini(&sample);
    assert_int_equal(wild.refusal, refusal);
    assert_int_equal(wild.lost, refusal == FS_REFUSE_NONE);
    assert_int_equal(mem_store_started(wild.rig.stores[1], MEM_OP_WRITE), 0);
    end(&wild);
}

static void spoil_content(struct fs_segment *segment)
{
    ((uint8_t *)(uintptr_t)segment->payload)[1000] ^= 0x10; /* with a good frame checksum */
}

static void spoil_hash(struct fs_segment *segment)
{
    segment->extents[0].hash++;
}

static void spoil_zstd(struct fs_segment *segment)
{
    memset((uint8_t *)(uintptr_t)segment->payload, 0xaa, segment->payload_length);
}

static void spoil_zstd_tail(struct fs_segment *segment)
{
    segment->payload_length--;
}

static void spoil_raw_length(struct fs_segment *segment)
{
    segment->raw_length -= 512;
    segment->extents[0].extent.length -= 512;
}

static void spoil_volume(struct fs_segment *segment)
{
    segment->volume = 2;
}

static void spoil_start(struct fs_segment *segment)
{
    segment->start = 4096; /* leaves a hole of what may have changed */
    segment->extents[0].extent.offset = 4096;
    segment->end += 4096;
}

static void spoil_end(struct fs_segment *segment)
{
    segment->end = 4 * MIB + 1;
}

static void spoil_delta(struct fs_segment *segment)
{
    segment->codec = FS_CODEC_DELTA;
}

static void spoil_delta_range(struct fs_segment *segment)
{
    segment->codec = FS_CODEC_DELTA;
    segment->n_ranges = 1;
    segment->ranges = calloc(1, sizeof(*segment->ranges));
    segment->ranges[0] = (struct fs_range){.offset = 4 * MIB - 1, .length = 2};
}

/* A first copy has no base: whoever believes otherwise may send without. */
static void test_receiver_delta_without_a_base_refuses_digest(void **state)
{
    (void)state;
    refuses(1, spoil_delta, FS_REFUSE_DIGEST);
}

static void test_receiver_delta_beyond_the_end_ends_the_session(void **state)
{
    (void)state;
    refuses(1, spoil_delta_range, FS_REFUSE_NONE);
}

static void test_receiver_corrupt_content_refuses_digest(void **state)
{
    (void)state;
    refuses(0, spoil_content, FS_REFUSE_DIGEST);
    refuses(0, spoil_hash, FS_REFUSE_DIGEST);
    refuses(1, spoil_hash, FS_REFUSE_DIGEST);
}

static void test_receiver_bad_zstd_is_refused(void **state)
{
    (void)state;
    refuses(1, spoil_zstd, FS_REFUSE_BROKEN);
    refuses(1, spoil_zstd_tail, FS_REFUSE_BROKEN);
    refuses(1, spoil_raw_length, FS_REFUSE_BROKEN);
}

static void test_receiver_segment_against_the_offer_ends_the_session(void **state)
{
    (void)state;
    refuses(0, spoil_volume, FS_REFUSE_NONE);
    refuses(0, spoil_start, FS_REFUSE_NONE);
    refuses(0, spoil_end, FS_REFUSE_NONE);
}

static void test_receiver_segment_twice_ends_the_session(void **state)
{
    struct wild wild;
    struct sample sample;
    (void)state;
    begin(&wild);
    sample_make(&sample, 1);
    send_segment(&wild, &sample.segment);
    assert_false(wild.lost);
    send_segment(&wild, &sample.segment);
    assert_true(wild.lost);
    sample_fini(&sample);
    end_lied(&wild);
}

static void commit(struct wild *wild, uint64_t size, uint8_t digest, size_t count)
{
    struct fs_position finals[2] = {{.offset = size}, {.offset = size}};
    finals[0].chain.b[0] = size > 0 ? digest : 0;
    struct fs_commit message = {.n_finals = count, .finals = finals};
    FS_STREAM_SEND(wild->rig.sessions[0], FS_FRAME_COMMIT, wild->stream, commit, &message);
    rig_run(&wild->rig);
}

static void send_empty(struct wild *wild, uint16_t volume, uint64_t start, uint64_t stop)
{
    send_segment(wild, &(struct fs_segment){.volume = volume, .start = start, .end = stop});
}

static void test_receiver_early_commit_ends_the_session(void **state)
{
    struct wild wild;
    (void)state;
    begin(&wild);
    commit(&wild, 4 * MIB, 0, 2);
    assert_true(wild.lost);
    end(&wild);

    begin(&wild);
    send_empty(&wild, 0, 0, 4 * MIB);
    send_empty(&wild, 1, 0, 4 * MIB);
    commit(&wild, 4 * MIB, 0, 1);
    assert_true(wild.lost);
    end_lied(&wild);
}

static void test_receiver_wrong_finals_refuse_digest_and_begin_anew(void **state)
{
    struct wild wild;
    (void)state;
    begin(&wild);
    send_empty(&wild, 0, 0, 4 * MIB);
    send_empty(&wild, 1, 0, 4 * MIB);
    commit(&wild, 4 * MIB, 1, 2);
    assert_int_equal(wild.refusal, FS_REFUSE_DIGEST);
    assert_int_equal(wild.rig.received_err.class, FS_ERR_DATA);
    assert_int_equal(mem_store_started(wild.rig.stores[1], MEM_OP_COMMIT), 0);
    end(&wild);
    assert_int_equal(wild.rig.sent.stats.resumed_bytes, 0);
}

static void test_receiver_segment_after_commit_ends_the_session(void **state)
{
    struct wild wild;
    (void)state;
    begin(&wild);
    send_empty(&wild, 0, 0, 4 * MIB);
    send_empty(&wild, 1, 0, 4 * MIB);
    mem_store_hold(wild.rig.stores[1], MEM_OP_COMMIT);
    commit(&wild, 4 * MIB, 0, 2);
    assert_non_null(wild.rig.receiver);
    send_empty(&wild, 1, 4 * MIB, 5 * MIB);
    assert_true(wild.lost);
    mem_store_release(wild.rig.stores[1], MEM_OP_COMMIT);
    rig_run(&wild.rig); /* the commit that had begun came to its end */
    assert_true(wild.rig.received_committed);
    assert_null(wild.rig.receiver);
    rig_fini(&wild.rig);
}

static void want(struct wild *wild, const struct fs_uuid *volume)
{
    struct fs_digest_want message = {
        .query = {.volume = *volume, .to = 4 * MIB, .unit = FS_DIGEST_CHUNK}};
    FS_STREAM_SEND(wild->rig.sessions[0], FS_FRAME_DIGEST_WANT, wild->stream, digest_want,
                   &message);
    rig_run(&wild->rig);
}

static void test_receiver_digests_only_what_was_offered_one_at_a_time(void **state)
{
    struct wild wild;
    struct fs_uuid unknown;
    (void)state;
    fs_uuid_random(&unknown);
    begin(&wild);
    const struct fs_uuid *volume = &wild.rig.record->volumes[0].volume.uuid;
    want(&wild, volume);
    assert_int_equal(wild.last, FS_FRAME_DIGEST_BATCH);
    want(&wild, &unknown);
    assert_true(wild.lost);
    end(&wild);

    begin(&wild);
    volume = &wild.rig.record->volumes[0].volume.uuid;
    mem_store_hold(wild.rig.stores[1], MEM_OP_DIGEST);
    want(&wild, volume);
    want(&wild, volume);
    assert_true(wild.lost);
    mem_store_release(wild.rig.stores[1], MEM_OP_DIGEST);
    rig_run(&wild.rig);
    end(&wild);

    begin(&wild); /* a commit while it waits for digests */
    volume = &wild.rig.record->volumes[0].volume.uuid;
    send_empty(&wild, 0, 0, 4 * MIB);
    send_empty(&wild, 1, 0, 4 * MIB);
    mem_store_hold(wild.rig.stores[1], MEM_OP_DIGEST);
    want(&wild, volume);
    commit(&wild, 4 * MIB, 0, 2);
    assert_true(wild.lost);
    mem_store_release(wild.rig.stores[1], MEM_OP_DIGEST);
    rig_run(&wild.rig);
    assert_int_equal(mem_store_started(wild.rig.stores[1], MEM_OP_COMMIT), 0);
    end_lied(&wild);
}

static void test_receiver_thousands_of_empty_segments_cost_nothing(void **state)
{
    struct wild wild;
    (void)state;
    begin(&wild);
    mem_store_hold(wild.rig.stores[1], MEM_OP_SYNC);
    for (uint64_t i = 0; i < 200000; i++) {
        struct fs_segment segment = {.start = i, .end = i + 1};
        struct fs_session *session = wild.rig.sessions[0];
        while (!fs_session_take_credit(session, fs_segment_size(&segment))) {
            assert_true(rig_step(&wild.rig));
        }
        FS_STREAM_SEND(session, FS_FRAME_SEGMENT, wild.stream, segment, &segment);
    }
    mem_store_release(wild.rig.stores[1], MEM_OP_SYNC);
    fs_receiver_cancel(wild.rig.receiver);
    rig_run(&wild.rig);
    assert_int_equal(wild.refusal, FS_REFUSE_UNAVAILABLE);
    end_lied(&wild);
}

/* --- a hostile target ------------------------------------------------------------------------ */

static struct wild *target; /* of the offer that comes next */

static void take_offer(void *arg, struct fs_session *session, uint32_t stream,
                       struct fs_offer *offer)
{
    (void)arg;
    target->stream = stream;
    assert_true(fs_session_attach(session, stream, &wild_events, target));
    fs_offer_fini(offer);
}

static const char *take_hello(void *arg, struct fs_session *session, const struct fs_hello *hello)
{
    (void)arg;
    (void)session;
    (void)hello;
    return NULL;
}

static void ignore_up(void *arg, struct fs_session *session)
{
    (void)arg;
    (void)session;
}

static void ignore_down(void *arg, struct fs_session *session, const struct fs_error *err)
{
    (void)session;
    (void)err;
    struct wild *wild = arg;
    wild->rig.down[1] = true;
}

static const struct fs_session_events target_events = {
    .hello = take_hello, .up = ignore_up, .down = ignore_down, .offer = take_offer};

/* A real sender that has offered one volume of 4 MiB to a target that is the test. */
static void begin_target(struct wild *wild)
{
    memset(wild, 0, sizeof(*wild));
    target = wild;
    struct rig *rig = &wild->rig;
    rig_init(rig, 0, 1);
    mem_image_scribble(rig_add_volume(rig, "a", 4 * MIB), 0, MIB, true);
    wild->point = rig_take(rig);
    rig->target_events = &target_events;
    rig->target_arg = wild;
    rig_connect(rig);
    rig_start(rig, &wild->point);
    rig_run(rig);
    assert_int_not_equal(wild->stream, 0);
}

static void end_target(struct wild *wild)
{
    assert_null(wild->rig.sender);
    wild->rig.target_events = NULL;
    rig_ship_again(&wild->rig, &wild->point, 1);
    rig_check(&wild->rig, &wild->point);
    rig_fini(&wild->rig);
}

static void accept(struct wild *wild, struct fs_accept *message)
{
    FS_STREAM_SEND(wild->rig.sessions[1], FS_FRAME_ACCEPT, wild->stream, accept, message);
    rig_run(&wild->rig);
}

static void ends_the_session(struct wild *wild)
{
    assert_true(wild->lost);
    assert_int_equal(wild->rig.sent.outcome, FS_SENT_FAILED);
    assert_int_equal(wild->rig.sent.err.class, FS_ERR_PEER);
    end_target(wild);
}

static void test_sender_impossible_accept_ends_the_session(void **state)
{
    struct wild wild;
    struct fs_position positions[2] = {{.offset = 4 * MIB + 1}, {.offset = 0}};
    (void)state;
    begin_target(&wild);
    accept(&wild, &(struct fs_accept){.n_positions = 1, .positions = positions});
    ends_the_session(&wild);

    positions[0].offset = 0;
    begin_target(&wild);
    accept(&wild, &(struct fs_accept){.n_positions = 2, .positions = positions});
    ends_the_session(&wild);

    begin_target(&wild); /* a base that was not offered */
    accept(&wild, &(struct fs_accept){.base.b[0] = 1, .n_positions = 1, .positions = positions});
    ends_the_session(&wild);
}

static void test_sender_unasked_answers_end_the_session(void **state)
{
    struct wild wild;
    struct fs_position position = {0};
    (void)state;
    begin_target(&wild); /* committed is another point */
    struct fs_committed committed = {.point.b[0] = 9};
    FS_STREAM_SEND(wild.rig.sessions[1], FS_FRAME_COMMITTED, wild.stream, committed, &committed);
    rig_run(&wild.rig);
    ends_the_session(&wild);

    begin_target(&wild); /* durable beyond what was sent */
    struct fs_progress progress = {.n_positions = 1, .positions = &position};
    position.offset = 4096;
    FS_STREAM_SEND(wild.rig.sessions[1], FS_FRAME_PROGRESS, wild.stream, progress, &progress);
    rig_run(&wild.rig);
    ends_the_session(&wild);

    begin_target(&wild); /* accepted twice */
    struct fs_accept twice = {.n_positions = 1, .positions = &position};
    position.offset = 0;
    accept(&wild, &twice);
    accept(&wild, &twice);
    ends_the_session(&wild);
}

static void send_batch(struct wild *wild, uint64_t next)
{
    struct fs_digest_batch batch = {.next = next};
    FS_STREAM_SEND(wild->rig.sessions[1], FS_FRAME_DIGEST_BATCH, wild->stream, digest_batch,
                   &batch);
    rig_run(&wild->rig);
}

static void test_sender_digests_that_nobody_wants_end_the_session(void **state)
{
    struct wild wild;
    struct fs_position position = {0};
    (void)state;
    begin_target(&wild);
    send_batch(&wild, 4 * MIB);
    ends_the_session(&wild);

    begin_target(&wild); /* of another range than was asked for */
    accept(&wild,
           &(struct fs_accept){.base = wild.point, .n_positions = 1, .positions = &position});
    assert_int_equal(wild.last, FS_FRAME_DIGEST_WANT);
    send_batch(&wild, 8 * MIB);
    ends_the_session(&wild);

    begin_target(&wild); /* the session goes while it waits for them */
    accept(&wild,
           &(struct fs_accept){.base = wild.point, .n_positions = 1, .positions = &position});
    rig_disconnect(&wild.rig);
    rig_run(&wild.rig);
    assert_int_equal(mem_digester_open(wild.rig.digester), 0);
    end_target(&wild);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_receiver_delta_without_a_base_refuses_digest),
        cmocka_unit_test(test_receiver_delta_beyond_the_end_ends_the_session),
        cmocka_unit_test(test_receiver_corrupt_content_refuses_digest),
        cmocka_unit_test(test_receiver_bad_zstd_is_refused),
        cmocka_unit_test(test_receiver_segment_against_the_offer_ends_the_session),
        cmocka_unit_test(test_receiver_segment_twice_ends_the_session),
        cmocka_unit_test(test_receiver_early_commit_ends_the_session),
        cmocka_unit_test(test_receiver_wrong_finals_refuse_digest_and_begin_anew),
        cmocka_unit_test(test_receiver_segment_after_commit_ends_the_session),
        cmocka_unit_test(test_receiver_digests_only_what_was_offered_one_at_a_time),
        cmocka_unit_test(test_receiver_thousands_of_empty_segments_cost_nothing),
        cmocka_unit_test(test_sender_impossible_accept_ends_the_session),
        cmocka_unit_test(test_sender_unasked_answers_end_the_session),
        cmocka_unit_test(test_sender_digests_that_nobody_wants_end_the_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
