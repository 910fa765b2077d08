/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "farshore/session.h"
#include "tests/scenario/fake_transport.h"

#define HEARTBEAT (2 * FS_SEC)
#define CREDIT    (8u << 20)

/* --- two sides ------------------------------------------------------------------------------ */

struct side;

/* A handler of a stream that notes what it gets. */
struct end {
    struct side *side;
    uint32_t stream;
    uint64_t segment_bytes; /* not released */
    uint64_t received;      /* bytes of segments, in all */
    unsigned frames, lost;
    uint16_t last_type;
    bool fail; /* the next frame is a protocol error */
    /* writable: sends segments of so many bytes, until it is told no or so many bytes went */
    uint64_t segment_size, to_send, sent;
    unsigned turns;
};

struct side {
    struct fs_session *session;
    const char *refusal; /* what hello answers */
    unsigned ups, downs, offers, currents, acks;
    uint32_t offered;
    struct fs_error err;
    struct end *attach; /* to offers, at once */
};

struct pair {
    struct fs_clock_scripted clock;
    struct fake_link *link;
    struct side sides[2]; /* 0 dialed */
};

static int end_frame(void *arg, const struct fs_frame *frame, struct fs_error *err)
{
    struct end *end = arg;
    end->frames++;
    end->last_type = frame->type;
    if (frame->type == FS_FRAME_SEGMENT) {
        end->segment_bytes += frame->length;
        end->received += frame->length;
    }
    return end->fail ? fs_error_set(err, FS_ERR_PEER, EPROTO, "not like that") : 0;
}

static void send_frame(struct fs_session *session, uint16_t type, uint32_t stream,
                       const void *payload, size_t length)
{
    struct fs_buf buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, type, FS_FRAME_CRITICAL, stream);
    if (payload == NULL && length > 0) {
        assert_true(fs_buf_reserve(&buf, length));
        memset(buf.data + buf.length, 0, length);
        buf.length += length;
    } else {
        fs_buf_put(&buf, payload, length);
    }
    fs_frame_finish(&buf, start);
    fs_session_send(session, &buf);
    assert_int_equal(buf.length, 0);
    assert_null(buf.data);
}

static void end_writable(void *arg)
{
    struct end *end = arg;
    end->turns++;
    while (end->sent < end->to_send &&
           fs_session_take_credit(end->side->session, end->segment_size)) {
        send_frame(end->side->session, FS_FRAME_SEGMENT, end->stream, NULL, end->segment_size);
        end->sent += end->segment_size;
    }
}

static void end_lost(void *arg, const struct fs_error *err)
{
    struct end *end = arg;
    assert_true(fs_error_is_set(err));
    assert_int_equal(end->side->downs, 0);
    end->lost++;
}

static const struct fs_stream_events end_events = {end_frame, end_writable, end_lost};

static const char *on_hello(void *arg, struct fs_session *session, const struct fs_hello *hello)
{
    (void)session;
    assert_true(hello->site[0] != '\0');
    return ((struct side *)arg)->refusal;
}

static void on_up(void *arg, struct fs_session *session)
{
    struct side *side = arg;
    side->ups++;
    assert_true(fs_session_is_up(session));
}

static void on_down(void *arg, struct fs_session *session, const struct fs_error *err)
{
    struct side *side = arg;
    side->downs++;
    side->err = *err;
    assert_true(fs_error_is_set(err));
    assert_false(fs_session_is_up(session));
}

static void on_offer(void *arg, struct fs_session *session, uint32_t stream, struct fs_offer *offer)
{
    struct side *side = arg;
    side->offers++;
    side->offered = stream;
    fs_offer_fini(offer);
    if (side->attach != NULL) {
        side->attach->side = side;
        side->attach->stream = stream;
        assert_true(fs_session_attach(session, stream, &end_events, side->attach));
    }
}

static void on_current(void *arg, struct fs_session *session, const struct fs_current_list *list)
{
    (void)session;
    assert_int_equal(list->count, 1);
    ((struct side *)arg)->currents++;
}

static void on_current_ack(void *arg, struct fs_session *session,
                           const struct fs_current_list *list)
{
    (void)session, (void)list;
    ((struct side *)arg)->acks++;
}

static const struct fs_session_events session_events = {
    .hello = on_hello,
    .up = on_up,
    .down = on_down,
    .offer = on_offer,
    .current = on_current,
    .current_ack = on_current_ack,
};

static struct fs_session_options options_of(const struct pair *pair, unsigned side)
{
    return (struct fs_session_options){
        .clock = &pair->clock.clock,
        .site = side == 0 ? "east" : "west",
        .site_uuid = {{(uint8_t)(side + 1)}},
        .instance = {{(uint8_t)(side + 11)}},
        .software = "test",
        .credit = CREDIT,
        .heartbeat_ns = HEARTBEAT,
        .hello_ns = 5 * FS_SEC,
        .send_limit = FS_TRANSPORT_LOW,
    };
}

static void run(struct pair *pair)
{
    while (fake_link_step(pair->link, 0)) {
    }
}

static void tick(struct pair *pair, int64_t ns)
{
    fs_clock_scripted_advance(&pair->clock, ns);
    for (unsigned i = 0; i < 2; i++) {
        if (pair->sides[i].session != NULL) {
            fs_session_tick(pair->sides[i].session);
        }
    }
}

/* Only side 0 is a session; what it gets is what the test puts at the other end. */
static struct fs_transport *open_half(struct pair *pair)
{
    struct fs_transport *ends[2];
    memset(pair, 0, sizeof(*pair));
    fs_clock_scripted_init(&pair->clock, 1000 * FS_SEC);
    pair->link = fake_link_new(ends);
    struct fs_session_options options = options_of(pair, 0);
    pair->sides[0].session = fs_session_new(&options, ends[0], &session_events, &pair->sides[0]);
    assert_non_null(pair->sides[0].session);
    return ends[1];
}

static void open_pair(struct pair *pair)
{
    struct fs_transport *other = open_half(pair);
    struct fs_session_options options = options_of(pair, 1);
    pair->sides[1].session = fs_session_new(&options, other, &session_events, &pair->sides[1]);
    assert_non_null(pair->sides[1].session);
}

static void open_up(struct pair *pair)
{
    open_pair(pair);
    run(pair);
    tick(pair, 0);
    run(pair);
    assert_true(fs_session_is_up(pair->sides[0].session));
    assert_true(fs_session_is_up(pair->sides[1].session));
}

static void close_pair(struct pair *pair)
{
    for (unsigned i = 0; i < 2; i++) {
        fs_session_free(pair->sides[i].session);
    }
    fake_link_free(pair->link);
}

/* Sends raw frames from the side without a session. */
static void inject(struct fs_transport *from, uint16_t type, uint16_t flags, uint32_t stream,
                   const void *payload, size_t length)
{
    struct fs_buf buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, type, flags, stream);
    fs_buf_put(&buf, payload, length);
    fs_frame_finish(&buf, start);
    from->ops->send(from, &buf);
}

static void inject_hello(struct fs_transport *from, uint16_t min, uint16_t max, uint8_t site)
{
    struct fs_hello hello = {
        .version_min = min,
        .version_max = max,
        .site = "west",
        .site_uuid = {{site}},
        .instance = {{99}},
        .credit = FS_CREDIT_MIN,
        .software = "odd",
    };
    struct fs_buf buf = FS_BUF_INIT;
    fs_hello_encode(&hello, &buf);
    inject(from, FS_FRAME_HELLO, FS_FRAME_CRITICAL, 0, buf.data, buf.length);
    fs_buf_fini(&buf);
}

/* A session that is up, against a test that may say anything. */
static struct fs_transport *open_odd(struct pair *pair)
{
    struct fs_transport *odd = open_half(pair);
    inject_hello(odd, 1, 1, 2);
    run(pair);
    assert_true(fs_session_is_up(pair->sides[0].session));
    return odd;
}

/* Whatever was injected ended the session as the peer's mistake, with these words. */
static void check_ended(struct pair *pair, struct fs_transport *odd, const char *words)
{
    run(pair);
    assert_false(fs_session_is_up(pair->sides[0].session));
    odd->ops->close(odd);
    run(pair);
    assert_int_equal(pair->sides[0].downs, 1);
    if (strstr(pair->sides[0].err.message, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", pair->sides[0].err.message, words);
    }
    close_pair(pair);
}

static void put_offer(struct fs_buf *buf)
{
    struct fs_offer_volume volume = {
        .volume = {.uuid = {{1}}, .image = {.pool = "rbd", .image_id = "1", .name = "disk"}},
        .identity = "f/1//1",
        .geometry = {.size = 1 << 20, .order = 22, .stripe_unit = 1 << 22, .stripe_count = 1},
    };
    struct fs_offer offer = {
        .group = {{1}},
        .name = "g",
        .policy = "p",
        .term = {1, {{1}}},
        .point = {{{1}}, {1, {{1}}}, 1},
        .n_volumes = 1,
        .volumes = &volume,
    };
    fs_offer_encode(&offer, buf);
}

static void inject_offer(struct fs_transport *from, uint32_t stream)
{
    struct fs_buf buf = FS_BUF_INIT;
    put_offer(&buf);
    inject(from, FS_FRAME_OFFER, FS_FRAME_CRITICAL, stream, buf.data, buf.length);
    fs_buf_fini(&buf);
}

static void inject_text(struct fs_transport *from, uint16_t type, uint32_t stream,
                        const char *words)
{
    struct fs_text text = {0};
    snprintf(text.text, sizeof(text.text), "%s", words);
    struct fs_buf buf = FS_BUF_INIT;
    fs_text_encode(&text, &buf);
    inject(from, type, FS_FRAME_CRITICAL, stream, buf.data, buf.length);
    fs_buf_fini(&buf);
}

/* An open stream from side 0 (source) to side 1 (attached target). */
static void open_stream(struct pair *pair, struct end *source, struct end *target)
{
    *source = (struct end){.side = &pair->sides[0]};
    *target = (struct end){.side = &pair->sides[1]};
    pair->sides[1].attach = target;
    source->stream = fs_session_open_stream(pair->sides[0].session, &end_events, source);
    assert_int_not_equal(source->stream, 0);
    struct fs_buf buf = FS_BUF_INIT;
    put_offer(&buf);
    send_frame(pair->sides[0].session, FS_FRAME_OFFER, source->stream, buf.data, buf.length);
    fs_buf_fini(&buf);
    run(pair);
    assert_int_equal(target->stream, source->stream);
}

/* --- hello ---------------------------------------------------------------------------------- */

static void test_hello_both_come_up(void **state)
{
    (void)state;
    struct pair pair;
    open_pair(&pair);
    assert_false(fs_session_is_up(pair.sides[0].session));
    assert_null(fs_session_peer(pair.sides[0].session));
    run(&pair);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pair.sides[i].ups, 1);
        assert_string_equal(fs_session_peer(pair.sides[i].session)->site, i == 0 ? "west" : "east");
    }
    close_pair(&pair);
}

static void test_hello_byte_by_byte_comes_up(void **state)
{
    (void)state;
    struct pair pair;
    open_pair(&pair);
    while (fake_link_step(pair.link, 1)) {
    }
    assert_int_equal(pair.sides[0].ups, 1);
    assert_int_equal(pair.sides[1].ups, 1);
    close_pair(&pair);
}

static void test_hello_cut_at_any_byte_ends_with_closed(void **state)
{
    (void)state;
    for (uint64_t cut = 0; cut < 60; cut++) {
        struct pair pair;
        open_pair(&pair);
        fake_link_cut_after(pair.link, 0, cut);
        run(&pair);
        assert_int_equal(pair.sides[0].downs, 1);
        assert_int_equal(pair.sides[1].downs, 1);
        assert_int_equal(pair.sides[1].ups, 0);
        assert_int_equal(pair.sides[1].err.class, FS_ERR_TRANSIENT);
        close_pair(&pair);
    }
}

static void test_hello_refused_tells_both_why(void **state)
{
    (void)state;
    struct pair pair;
    open_pair(&pair);
    pair.sides[1].refusal = "who are you";
    run(&pair);
    assert_int_equal(pair.sides[0].downs, 1);
    assert_non_null(strstr(pair.sides[0].err.message, "who are you"));
    fs_session_free(pair.sides[0].session);
    pair.sides[0].session = NULL;
    run(&pair);
    assert_int_equal(pair.sides[1].downs, 1);
    assert_int_equal(pair.sides[1].ups, 0);
    assert_non_null(strstr(pair.sides[1].err.message, "who are you"));
    close_pair(&pair);
}

static void test_hello_without_common_version_names_both(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_half(&pair);
    inject_hello(odd, 2, 5, 2);
    run(&pair);
    assert_int_equal(pair.sides[0].ups, 0);
    check_ended(&pair, odd, "speaks 2 to 5");
}

static void test_hello_of_newer_peer_with_overlap_comes_up(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_half(&pair);
    inject_hello(odd, 1, 9, 2);
    run(&pair);
    assert_int_equal(pair.sides[0].ups, 1);
    odd->ops->close(odd);
    close_pair(&pair);
}

static void test_hello_of_own_site_is_refused(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_half(&pair);
    inject_hello(odd, 1, 1, 1);
    check_ended(&pair, odd, "same Ceph cluster");
}

static void test_hello_missing_ends_in_time(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_half(&pair);
    run(&pair);
    assert_int_equal(fs_session_deadline(pair.sides[0].session),
                     pair.clock.boot_now_ns + 5 * FS_SEC);
    tick(&pair, 5 * FS_SEC - 1);
    assert_int_equal(pair.sides[0].downs, 0);
    tick(&pair, 1);
    tick(&pair, FS_SEC); /* the odd side does not hang up */
    assert_int_equal(pair.sides[0].downs, 1);
    assert_int_equal(pair.sides[0].err.code, ETIMEDOUT);
    assert_int_equal(fs_session_deadline(pair.sides[0].session), INT64_MAX);
    odd->ops->close(odd);
    close_pair(&pair);
}

static void test_frame_before_hello_ends_session(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_half(&pair);
    inject_offer(odd, 2);
    check_ended(&pair, odd, "OFFER before HELLO");
}

/* --- protocol errors ------------------------------------------------------------------------ */

static void test_misplaced_frames_end_session(void **state)
{
    (void)state;
    const struct {
        uint16_t type;
        uint32_t stream;
        const char *words;
    } cases[] = {
        {FS_FRAME_HELLO, 0, "a second HELLO"},      {FS_FRAME_PING, 2, "PING on stream 2"},
        {FS_FRAME_OFFER, 0, "OFFER on stream 0"},   {FS_FRAME_OFFER, 1, "OFFER on stream 1"},
        {FS_FRAME_ACCEPT, 2, "ACCEPT on stream 2"}, {FS_FRAME_SEGMENT, 1, "SEGMENT on stream 1"},
        {FS_FRAME_SEGMENT, 2, "never opened"},      {FS_FRAME_ABORT, 4, "never opened"},
        {FS_FRAME_COMMITTED, 1, "never opened"},    {FS_FRAME_PONG, 0, "malformed"},
        {FS_FRAME_CURRENT, 0, "malformed"},         {99, 0, "unknown critical type 99"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair pair;
        struct fs_transport *odd = open_odd(&pair);
        inject(odd, cases[i].type, FS_FRAME_CRITICAL, cases[i].stream, NULL, 0);
        check_ended(&pair, odd, cases[i].words);
    }
}

static void test_pong_without_ping_ends_session(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_odd(&pair);
    const uint8_t pong[24] = {200};
    inject(odd, FS_FRAME_PONG, 1, 0, pong, sizeof(pong));
    check_ended(&pair, odd, "a PONG without a PING");
}

static void test_garbage_ends_session(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_odd(&pair);
    struct fs_buf buf = FS_BUF_INIT;
    fs_buf_put(&buf, "GET / HTTP/1.1\r\n", 16);
    odd->ops->send(odd, &buf);
    check_ended(&pair, odd, "not a Farshore frame");
}

static void test_unknown_optional_frame_is_skipped(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_odd(&pair);
    inject(odd, 99, 0, 0, "whatever", 8);
    inject(odd, 99, 0, 12345, NULL, 0);
    run(&pair);
    assert_true(fs_session_is_up(pair.sides[0].session));
    odd->ops->close(odd);
    close_pair(&pair);
}

static void test_stream_number_used_twice_ends_session(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_odd(&pair);
    inject_offer(odd, 4);
    inject_offer(odd, 2);
    check_ended(&pair, odd, "OFFER on stream 2 after 4");
}

static void test_handlers_error_ends_session_and_loses_streams(void **state)
{
    (void)state;
    struct pair pair;
    struct end source, target;
    open_up(&pair);
    open_stream(&pair, &source, &target);
    target.fail = true;
    send_frame(pair.sides[0].session, FS_FRAME_COMMIT, source.stream, NULL, 3);
    run(&pair);
    assert_int_equal(pair.sides[0].downs, 1);
    assert_int_equal(source.lost, 1);
    assert_non_null(strstr(pair.sides[0].err.message, "not like that"));
    tick(&pair, FS_SEC);
    assert_int_equal(pair.sides[1].downs, 1);
    assert_int_equal(target.lost, 1);
    close_pair(&pair);
}

/* --- the end -------------------------------------------------------------------------------- */

static void test_end_tells_the_peer(void **state)
{
    (void)state;
    struct pair pair;
    struct end source, target;
    open_up(&pair);
    open_stream(&pair, &source, &target);
    fs_session_end(pair.sides[0].session, "going home");
    assert_int_equal(pair.sides[0].downs, 0);
    assert_int_equal(source.lost, 0);
    run(&pair);
    assert_int_equal(pair.sides[1].downs, 1);
    assert_int_equal(target.lost, 1);
    assert_non_null(strstr(pair.sides[1].err.message, "going home"));
    assert_int_equal(pair.sides[0].downs, 0);
    fs_session_free(pair.sides[1].session); /* hangs up */
    pair.sides[1].session = NULL;
    run(&pair);
    assert_int_equal(pair.sides[0].downs, 1);
    assert_int_equal(pair.sides[0].err.class, FS_ERR_CANCELLED);
    assert_int_equal(source.lost, 1);
    close_pair(&pair);
}

static void test_free_loses_streams_without_down(void **state)
{
    (void)state;
    struct pair pair;
    struct end source, target;
    open_up(&pair);
    open_stream(&pair, &source, &target);
    fs_session_free(pair.sides[0].session);
    pair.sides[0].session = NULL;
    assert_int_equal(source.lost, 1);
    assert_int_equal(pair.sides[0].downs, 0);
    run(&pair);
    assert_int_equal(pair.sides[1].downs, 1);
    assert_int_equal(target.lost, 1);
    close_pair(&pair);
}

static void test_after_the_end_nothing_is_sent(void **state)
{
    (void)state;
    struct pair pair;
    open_up(&pair);
    fs_session_end(pair.sides[0].session, "over");
    size_t pending = fs_session_transport(pair.sides[0].session)
                         ->ops->pending(fs_session_transport(pair.sides[0].session));
    send_frame(pair.sides[0].session, FS_FRAME_ABORT, 1, NULL, 2);
    assert_int_equal(pending, fs_session_transport(pair.sides[0].session)
                                  ->ops->pending(fs_session_transport(pair.sides[0].session)));
    assert_false(fs_session_take_credit(pair.sides[0].session, 1));
    assert_int_equal(fs_session_open_stream(pair.sides[0].session, &end_events, NULL), 0);
    close_pair(&pair);
}

static void test_failed_buffer_ends_session(void **state)
{
    (void)state;
    struct pair pair;
    open_up(&pair);
    struct fs_buf buf = {.failed = true};
    fs_buf_put_u8(&buf, 1);
    buf = (struct fs_buf){.data = malloc(1), .length = 1, .capacity = 1, .failed = true};
    fs_session_send(pair.sides[0].session, &buf);
    assert_false(fs_session_is_up(pair.sides[0].session));
    run(&pair);
    assert_int_equal(pair.sides[1].downs, 1);
    close_pair(&pair);
}

/* --- heart-beat ----------------------------------------------------------------------------- */

static void test_heartbeat_measures_rtt_and_offset(void **state)
{
    (void)state;
    struct pair pair;
    open_pair(&pair);
    run(&pair);
    assert_int_equal(fs_session_rtt_ns(pair.sides[0].session), -1);
    tick(&pair, 0); /* both ping */
    fs_clock_scripted_advance(&pair.clock, 30 * FS_MSEC);
    fake_link_step(pair.link, 0);
    fs_clock_scripted_advance(&pair.clock, 10 * FS_MSEC);
    run(&pair);
    assert_int_equal(fs_session_rtt_ns(pair.sides[0].session), 40 * FS_MSEC);
    /* The clocks are one; what shows is how uneven the two ways were. */
    assert_int_equal(fs_session_clock_offset_ns(pair.sides[0].session), 10 * FS_MSEC);
    tick(&pair, HEARTBEAT);
    run(&pair); /* an rtt of 0 */
    assert_int_equal(fs_session_rtt_ns(pair.sides[0].session), 35 * FS_MSEC);
    close_pair(&pair);
}

static void test_heartbeat_silence_of_three_beats_is_down(void **state)
{
    (void)state;
    struct pair pair;
    struct end source, target;
    open_up(&pair);
    open_stream(&pair, &source, &target);
    fake_link_stall(pair.link, 1, true); /* nothing from side 1 any more */
    unsigned beats = 0;
    while (pair.sides[0].downs == 0 && beats < 10) {
        int64_t left = fs_session_deadline(pair.sides[0].session) - pair.clock.boot_now_ns;
        assert_true(left > 0 && left <= HEARTBEAT);
        tick(&pair, left);
        fake_link_step(pair.link, 0);
        beats++;
    }
    assert_in_range(beats, 3, 4);
    assert_int_equal(pair.sides[0].err.code, ETIMEDOUT);
    assert_int_equal(source.lost, 1);
    assert_int_equal(pair.sides[1].downs, 0);
    close_pair(&pair);
}

/* A machine that slept wakes up to one late tick, not to a dead session. */
static void test_heartbeat_one_late_tick_is_not_down(void **state)
{
    (void)state;
    struct pair pair;
    open_up(&pair);
    tick(&pair, 3600 * FS_SEC);
    assert_true(fs_session_is_up(pair.sides[0].session));
    run(&pair);
    tick(&pair, HEARTBEAT);
    assert_true(fs_session_is_up(pair.sides[0].session));
    close_pair(&pair);
}

/* --- streams -------------------------------------------------------------------------------- */

static void test_streams_have_the_parity_of_their_side(void **state)
{
    (void)state;
    struct pair pair;
    struct end end = {.side = &pair.sides[0]};
    open_up(&pair);
    assert_int_equal(fs_session_open_stream(pair.sides[0].session, &end_events, &end), 1);
    assert_int_equal(fs_session_open_stream(pair.sides[0].session, &end_events, &end), 3);
    end.side = &pair.sides[1];
    assert_int_equal(fs_session_open_stream(pair.sides[1].session, &end_events, &end), 2);
    for (uint32_t stream = 1; stream <= 3; stream += 2) {
        fs_session_detach(pair.sides[0].session, stream);
    }
    fs_session_detach(pair.sides[1].session, 2);
    close_pair(&pair);
}

static void test_late_frames_of_detached_streams_are_dropped(void **state)
{
    (void)state;
    struct pair pair;
    struct end source, target;
    open_up(&pair);
    open_stream(&pair, &source, &target);
    fs_session_detach(pair.sides[1].session, target.stream);
    fs_session_detach(pair.sides[0].session, source.stream);
    send_frame(pair.sides[1].session, FS_FRAME_COMMITTED, source.stream, NULL, 16);
    run(&pair);
    assert_int_equal(source.frames, 0);
    /* More than the whole credit: what is dropped is given back. */
    for (unsigned i = 0; i < 30; i++) {
        assert_true(fs_session_take_credit(pair.sides[0].session, 1 << 20));
        send_frame(pair.sides[0].session, FS_FRAME_SEGMENT, source.stream, NULL, 1 << 20);
        run(&pair);
    }
    assert_int_equal(target.frames, 0);
    assert_true(fs_session_is_up(pair.sides[1].session));
    close_pair(&pair);
}

static void test_offers_beyond_the_bound_are_refused(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_odd(&pair);
    struct end targets = {0};
    pair.sides[0].attach = &targets;
    for (uint32_t i = 1; i <= FS_SESSION_STREAMS_MAX + 5; i++) {
        inject_offer(odd, i * 2);
    }
    run(&pair);
    assert_int_equal(pair.sides[0].offers, FS_SESSION_STREAMS_MAX);
    assert_true(fs_session_is_up(pair.sides[0].session));
    assert_int_equal(fs_session_open_stream(pair.sides[0].session, &end_events, NULL), 0);
    odd->ops->close(odd);
    run(&pair);
    assert_int_equal(targets.lost, FS_SESSION_STREAMS_MAX);
    close_pair(&pair);
}

static void refuse(struct fs_session *session, uint32_t stream)
{
    struct fs_refuse message = {.reason = FS_REFUSE_BUSY, .message = "no"};
    struct fs_buf buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, FS_FRAME_REFUSE, FS_FRAME_CRITICAL, stream);
    fs_refuse_encode(&message, &buf);
    fs_frame_finish(&buf, start);
    fs_session_send(session, &buf);
}

/* Offers that are refused without a handler do not use up the places. */
static void test_refused_offers_free_their_places(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_odd(&pair);
    for (uint32_t i = 1; i <= 2 * FS_SESSION_STREAMS_MAX; i++) {
        inject_offer(odd, i * 2);
        run(&pair);
        assert_int_equal(pair.sides[0].offers, i);
        refuse(pair.sides[0].session, pair.sides[0].offered);
        assert_false(
            fs_session_attach(pair.sides[0].session, pair.sides[0].offered, &end_events, NULL));
    }
    odd->ops->close(odd);
    close_pair(&pair);
}

static void test_abort_before_attach_arrives_after_it(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_odd(&pair);
    inject_offer(odd, 2);
    inject_text(odd, FS_FRAME_ABORT, 2, "changed my mind");
    run(&pair);
    assert_int_equal(pair.sides[0].offers, 1);
    struct end end = {.side = &pair.sides[0]};
    assert_true(fs_session_attach(pair.sides[0].session, 2, &end_events, &end));
    assert_int_equal(end.frames, 0);
    assert_true(fs_session_deadline(pair.sides[0].session) <= pair.clock.boot_now_ns);
    tick(&pair, 0);
    assert_int_equal(end.frames, 1);
    assert_int_equal(end.last_type, FS_FRAME_ABORT);
    odd->ops->close(odd);
    close_pair(&pair);
}

static void test_current_travels_both_ways(void **state)
{
    (void)state;
    struct pair pair;
    open_up(&pair);
    struct fs_current_entry entry = {{{1}}, {{2}}, 3};
    struct fs_current_list list = {1, &entry};
    struct fs_buf buf = FS_BUF_INIT;
    fs_current_list_encode(&list, &buf);
    send_frame(pair.sides[0].session, FS_FRAME_CURRENT, 0, buf.data, buf.length);
    run(&pair);
    assert_int_equal(pair.sides[1].currents, 1);
    send_frame(pair.sides[1].session, FS_FRAME_CURRENT_ACK, 0, buf.data, buf.length);
    run(&pair);
    assert_int_equal(pair.sides[0].acks, 1);
    fs_buf_fini(&buf);
    close_pair(&pair);
}

/* --- credit --------------------------------------------------------------------------------- */

static void test_credit_stops_and_continues_the_sender(void **state)
{
    (void)state;
    struct pair pair;
    struct end source, target;
    open_up(&pair);
    open_stream(&pair, &source, &target);
    source.segment_size = 1 << 20;
    source.to_send = 64 << 20;
    end_writable(&source);
    run(&pair);
    assert_int_equal(target.received, CREDIT); /* all the credit, and no more */
    while (target.received < source.to_send) {
        uint64_t before = target.received;
        fs_session_release_credit(pair.sides[1].session, target.segment_bytes);
        target.segment_bytes = 0;
        run(&pair);
        assert_true(target.received > before);
        assert_true(target.segment_bytes <= CREDIT);
    }
    assert_true(fs_session_is_up(pair.sides[0].session));
    assert_true(fs_session_bytes_sent(pair.sides[0].session) > (64u << 20));
    assert_int_equal(fs_session_bytes_received(pair.sides[1].session),
                     fs_session_bytes_sent(pair.sides[0].session));
    close_pair(&pair);
}

static void test_credit_exceeded_ends_session(void **state)
{
    (void)state;
    struct pair pair;
    struct end source, target;
    open_up(&pair);
    open_stream(&pair, &source, &target);
    for (unsigned i = 0; i <= CREDIT >> 20; i++) { /* without asking */
        send_frame(pair.sides[0].session, FS_FRAME_SEGMENT, source.stream, NULL, 1 << 20);
        run(&pair);
    }
    assert_int_equal(pair.sides[0].downs, 1);
    assert_non_null(strstr(pair.sides[0].err.message, "0 of credit left"));
    assert_int_equal(target.received, CREDIT);
    close_pair(&pair);
}

static void test_credit_given_for_nothing_ends_session(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_odd(&pair);
    const uint8_t one[8] = {1};
    inject(odd, FS_FRAME_CREDIT, FS_FRAME_CRITICAL, 0, one, sizeof(one));
    check_ended(&pair, odd, "CREDIT for more than was sent");
}

static void test_full_transport_stops_senders_until_drained(void **state)
{
    (void)state;
    struct pair pair;
    struct end source, target;
    open_up(&pair);
    open_stream(&pair, &source, &target);
    fake_link_stall(pair.link, 0, true);
    source.segment_size = 256 << 10;
    source.to_send = 4 << 20; /* within the credit */
    end_writable(&source);
    run(&pair);
    assert_in_range(source.sent, FS_TRANSPORT_LOW, FS_TRANSPORT_LOW + source.segment_size);
    assert_int_equal(target.received, 0);
    fake_link_stall(pair.link, 0, false);
    run(&pair);
    assert_int_equal(target.received, source.to_send);
    close_pair(&pair);
}

/* Each sender would take everything at its turn; over time they get alike. */
static void test_starved_senders_take_turns(void **state)
{
    (void)state;
    enum { SENDERS = 5 };
    struct pair pair;
    struct end sources[SENDERS], targets[SENDERS];
    open_up(&pair);
    for (unsigned i = 0; i < SENDERS; i++) {
        open_stream(&pair, &sources[i], &targets[i]);
        sources[i].segment_size = 1 << 20;
        sources[i].to_send = UINT64_MAX;
    }
    end_writable(&sources[0]);
    for (unsigned round = 0; round < 100; round++) {
        /* One that asks on its own, without being called, does not jump the queue. */
        end_writable(&sources[0]);
        run(&pair);
        for (unsigned i = 0; i < SENDERS; i++) {
            fs_session_release_credit(pair.sides[1].session, targets[i].segment_bytes);
            targets[i].segment_bytes = 0;
        }
        run(&pair);
    }
    uint64_t least = UINT64_MAX, most = 0;
    for (unsigned i = 0; i < SENDERS; i++) {
        least = targets[i].received < least ? targets[i].received : least;
        most = targets[i].received > most ? targets[i].received : most;
    }
    assert_true(least > 0);
    assert_true(most - least <= 2 * CREDIT);
    close_pair(&pair);
}

/* A peer that asks and never reads: our answers to it are bounded. */
static void test_peer_that_does_not_read_ends_session(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_odd(&pair);
    fake_link_stall(pair.link, 0, true);
    const uint8_t ping[24] = {1};
    for (unsigned i = 0; i < 2000 && fs_session_is_up(pair.sides[0].session); i++) {
        for (unsigned j = 0; j < 1000; j++) {
            inject(odd, FS_FRAME_PING, FS_FRAME_CRITICAL, 0, ping, sizeof(ping));
        }
        fake_link_step(pair.link, 0);
    }
    assert_false(fs_session_is_up(pair.sides[0].session));
    assert_true(fs_session_transport(pair.sides[0].session)
                    ->ops->pending(fs_session_transport(pair.sides[0].session)) < (32u << 20));
    tick(&pair, FS_SEC);
    assert_int_equal(pair.sides[0].downs, 1);
    odd->ops->close(odd);
    close_pair(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello_both_come_up),
        cmocka_unit_test(test_hello_byte_by_byte_comes_up),
        cmocka_unit_test(test_hello_cut_at_any_byte_ends_with_closed),
        cmocka_unit_test(test_hello_refused_tells_both_why),
        cmocka_unit_test(test_hello_without_common_version_names_both),
        cmocka_unit_test(test_hello_of_newer_peer_with_overlap_comes_up),
        cmocka_unit_test(test_hello_of_own_site_is_refused),
        cmocka_unit_test(test_hello_missing_ends_in_time),
        cmocka_unit_test(test_frame_before_hello_ends_session),
        cmocka_unit_test(test_misplaced_frames_end_session),
        cmocka_unit_test(test_pong_without_ping_ends_session),
        cmocka_unit_test(test_garbage_ends_session),
        cmocka_unit_test(test_unknown_optional_frame_is_skipped),
        cmocka_unit_test(test_stream_number_used_twice_ends_session),
        cmocka_unit_test(test_handlers_error_ends_session_and_loses_streams),
        cmocka_unit_test(test_end_tells_the_peer),
        cmocka_unit_test(test_free_loses_streams_without_down),
        cmocka_unit_test(test_after_the_end_nothing_is_sent),
        cmocka_unit_test(test_failed_buffer_ends_session),
        cmocka_unit_test(test_heartbeat_measures_rtt_and_offset),
        cmocka_unit_test(test_heartbeat_silence_of_three_beats_is_down),
        cmocka_unit_test(test_heartbeat_one_late_tick_is_not_down),
        cmocka_unit_test(test_streams_have_the_parity_of_their_side),
        cmocka_unit_test(test_late_frames_of_detached_streams_are_dropped),
        cmocka_unit_test(test_offers_beyond_the_bound_are_refused),
        cmocka_unit_test(test_refused_offers_free_their_places),
        cmocka_unit_test(test_abort_before_attach_arrives_after_it),
        cmocka_unit_test(test_current_travels_both_ways),
        cmocka_unit_test(test_credit_stops_and_continues_the_sender),
        cmocka_unit_test(test_credit_exceeded_ends_session),
        cmocka_unit_test(test_credit_given_for_nothing_ends_session),
        cmocka_unit_test(test_full_transport_stops_senders_until_drained),
        cmocka_unit_test(test_starved_senders_take_turns),
        cmocka_unit_test(test_peer_that_does_not_read_ends_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
