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
#include "tests/unit/session_rig.h"

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

void send_frame(struct fs_session *session, uint16_t type, uint32_t stream, const void *payload,
                size_t length)
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

void end_writable(void *arg)
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

const struct fs_stream_events end_events = {end_frame, end_writable, end_lost};

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

static void on_lane_down(void *arg, struct fs_session *session, bool worked,
                         const struct fs_error *err)
{
    (void)worked;
    assert_true(fs_error_is_set(err));
    assert_true(fs_session_is_up(session));
    ((struct side *)arg)->lanes_down++;
}

static const struct fs_session_events session_events = {
    .hello = on_hello,
    .up = on_up,
    .down = on_down,
    .offer = on_offer,
    .current = on_current,
    .current_ack = on_current_ack,
    .lane_down = on_lane_down,
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
        .send_limit = SEND_LIMIT,
        .lane_window = FS_LANES_WINDOW_MIN,
    };
}

void run(struct pair *pair)
{
    while (fake_link_step(pair->link, 0)) {
    }
}

void tick(struct pair *pair, int64_t ns)
{
    fs_clock_scripted_advance(&pair->clock, ns);
    for (unsigned i = 0; i < 2; i++) {
        if (pair->sides[i].session != NULL) {
            fs_session_tick(pair->sides[i].session);
        }
    }
}

struct fs_transport *open_half(struct pair *pair)
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

void open_pair(struct pair *pair)
{
    struct fs_transport *other = open_half(pair);
    struct fs_session_options options = options_of(pair, 1);
    pair->sides[1].session = fs_session_new(&options, other, &session_events, &pair->sides[1]);
    assert_non_null(pair->sides[1].session);
}

void open_up(struct pair *pair)
{
    open_pair(pair);
    run(pair);
    tick(pair, 0);
    run(pair);
    assert_true(fs_session_is_up(pair->sides[0].session));
    assert_true(fs_session_is_up(pair->sides[1].session));
}

void close_pair(struct pair *pair)
{
    for (unsigned i = 0; i < 2; i++) {
        fs_session_free(pair->sides[i].session);
    }
    fake_link_free(pair->link);
}

void inject(struct fs_transport *from, uint16_t type, uint16_t flags, uint32_t stream,
            const void *payload, size_t length)
{
    struct fs_buf buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, type, flags, stream);
    fs_buf_put(&buf, payload, length);
    fs_frame_finish(&buf, start);
    from->ops->send(from, &buf);
}

void inject_hello(struct fs_transport *from, uint16_t min, uint16_t max, uint8_t site)
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

struct fs_transport *open_odd(struct pair *pair)
{
    struct fs_transport *odd = open_half(pair);
    inject_hello(odd, 1, 1, 2);
    run(pair);
    assert_true(fs_session_is_up(pair->sides[0].session));
    return odd;
}

void check_ended(struct pair *pair, struct fs_transport *odd, const char *words)
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

void inject_offer(struct fs_transport *from, uint32_t stream)
{
    struct fs_buf buf = FS_BUF_INIT;
    put_offer(&buf);
    inject(from, FS_FRAME_OFFER, FS_FRAME_CRITICAL, stream, buf.data, buf.length);
    fs_buf_fini(&buf);
}

void inject_text(struct fs_transport *from, uint16_t type, uint32_t stream, const char *words)
{
    struct fs_text text = {0};
    snprintf(text.text, sizeof(text.text), "%s", words);
    struct fs_buf buf = FS_BUF_INIT;
    fs_text_encode(&text, &buf);
    inject(from, type, FS_FRAME_CRITICAL, stream, buf.data, buf.length);
    fs_buf_fini(&buf);
}

void open_stream(struct pair *pair, struct end *source, struct end *target)
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
