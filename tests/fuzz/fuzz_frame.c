/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole session against a peer that sends anything. The first byte: bit 0: we dialed; bit 1: the
 * peer begins with a good HELLO; bit 2: what follows are raw bytes, else frames that are
 * given their header and checksum here, or nothing would ever pass the checksum: type u8, stream
 * u8, length u16, payload. Frames of the types from 64 on act on our side instead of being sent.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "farshore/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct fs_clock_scripted clock;
    struct fs_transport transport;
    struct fs_session *session;
    uint64_t owed; /* credit of segments that we got */
    uint32_t offered;
    bool up, down, closed;
};

static void check(bool ok)
{
    if (!ok) {
        abort();
    }
}

/* --- transport ------------------------------------------------------------------------------ */

static void transport_send(struct fs_transport *transport, struct fs_buf *buf)
{
    (void)transport;
    size_t at = 0;
    while (at < buf->length) { /* what we say ourselves is always well-formed */
        struct fs_frame frame;
        struct fs_error err = FS_ERROR_INIT;
        long n = fs_frame_parse(buf->data + at, buf->length - at, &frame, &err);
        check(n > 0);
        at += (size_t)n;
    }
    fs_buf_fini(buf);
}

static size_t transport_pending(const struct fs_transport *transport)
{
    (void)transport;
    return 0;
}

static void transport_close(struct fs_transport *transport)
{
    struct world *world = (struct world *)((char *)transport - offsetof(struct world, transport));
    check(!world->closed);
    world->closed = true;
}

/* --- session -------------------------------------------------------------------------------- */

static int on_frame(void *arg, const struct fs_frame *frame, struct fs_error *err)
{
    struct world *world = arg;
    if (frame->type == FS_FRAME_SEGMENT) {
        world->owed += frame->length;
    }
    if (frame->length == 13) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO, "thirteen");
    }
    if (frame->type == FS_FRAME_ABORT || frame->type == FS_FRAME_REFUSE) {
        fs_session_detach(world->session, frame->stream);
    }
    return 0;
}

static void on_writable(void *arg)
{
    fs_session_take_credit(((struct world *)arg)->session, 1000);
}

static void on_lost(void *arg, const struct fs_error *err)
{
    check(!((struct world *)arg)->down && fs_error_is_set(err));
}

static const struct fs_stream_events stream_events = {on_frame, on_writable, on_lost};

static const char *on_hello(void *arg, struct fs_session *session, const struct fs_hello *hello)
{
    (void)arg;
    check(!fs_session_is_up(session) && fs_session_peer(session) == NULL);
    return hello->features == 1 ? "not you" : NULL;
}

static void on_up(void *arg, struct fs_session *session)
{
    struct world *world = arg;
    check(!world->up && fs_session_is_up(session));
    world->up = true;
}

static void on_down(void *arg, struct fs_session *session, const struct fs_error *err)
{
    (void)session;
    struct world *world = arg;
    check(!world->down && fs_error_is_set(err));
    world->down = true;
}

static void on_offer(void *arg, struct fs_session *session, uint32_t stream, struct fs_offer *offer)
{
    struct world *world = arg;
    check(world->up && !world->down);
    fs_offer_fini(offer);
    world->offered = stream;
    if (stream % 4 < 2) {
        check(fs_session_attach(session, stream, &stream_events, world));
    }
}

static void on_current(void *arg, struct fs_session *session, const struct fs_current_list *list)
{
    (void)session;
    check(((struct world *)arg)->up && list->count <= FS_CURRENT_MAX);
}

static const struct fs_session_events session_events = {
    .hello = on_hello,
    .up = on_up,
    .down = on_down,
    .offer = on_offer,
    .current = on_current,
    .current_ack = on_current,
};

/* --- what happens --------------------------------------------------------------------------- */

static void send_refusal(struct world *world, uint32_t stream)
{
    struct fs_refuse refuse = {.reason = FS_REFUSE_BUSY, .message = "later"};
    struct fs_buf buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, FS_FRAME_REFUSE, FS_FRAME_CRITICAL, stream);
    fs_refuse_encode(&refuse, &buf);
    fs_frame_finish(&buf, start);
    fs_session_send(world->session, &buf);
}

static void act(struct world *world, uint8_t what, uint32_t stream)
{
    switch (what % 8) {
    case 0:
        fs_clock_scripted_advance(&world->clock, stream * FS_SEC / 4);
        fs_session_tick(world->session);
        break;
    case 1:
        fs_session_open_stream(world->session, &stream_events, world);
        break;
    case 2:
        fs_session_detach(world->session, stream);
        break;
    case 3:
        fs_session_take_credit(world->session, stream * 65536);
        break;
    case 4:
        fs_session_release_credit(world->session, world->owed);
        world->owed = 0;
        break;
    case 5:
        send_refusal(world, world->offered);
        break;
    case 6:
        if (world->offered != 0 && world->offered % 4 >= 2) {
            fs_session_attach(world->session, world->offered, &stream_events, world);
            world->offered = 0;
        }
        break;
    default:
        fs_session_end(world->session, "enough");
    }
}

static void receive(struct world *world, const uint8_t *data, size_t length)
{
    const struct fs_transport_events *events = world->transport.events;
    while (length > 0) {
        size_t room = 0;
        uint8_t *at = events->room(world->transport.events_arg, &room);
        check(at != NULL && room > 0);
        room = room < length ? room : length;
        memcpy(at, data, room);
        events->received(world->transport.events_arg, room);
        data += room;
        length -= room;
    }
}

static void receive_frame(struct world *world, uint16_t type, uint32_t stream, const void *payload,
                          size_t length)
{
    struct fs_buf buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, type, type & FS_FRAME_CRITICAL, stream);
    fs_buf_put(&buf, payload, length);
    fs_frame_finish(&buf, start);
    receive(world, buf.data, buf.length);
    fs_buf_fini(&buf);
}

static void receive_hello(struct world *world)
{
    struct fs_hello hello = {
        .version_min = 1,
        .version_max = 1,
        .site = "west",
        .site_uuid = {{2}},
        .instance = {{3}},
        .credit = FS_CREDIT_MIN,
    };
    struct fs_buf buf = FS_BUF_INIT;
    fs_hello_encode(&hello, &buf);
    receive_frame(world, FS_FRAME_HELLO, 0, buf.data, buf.length);
    fs_buf_fini(&buf);
}

static void play(struct world *world, const uint8_t *data, size_t size)
{
    while (size >= 4) {
        uint8_t type = data[0];
        uint32_t stream = data[1];
        size_t length = data[2] | (size_t)data[3] << 8;
        data += 4;
        size -= 4;
        if (length > size) {
            length = size;
        }
        if (type >= 64) {
            act(world, type, stream);
            continue;
        }
        receive_frame(world, type, stream, data, length);
        data += length;
        size -= length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct fs_transport_ops ops = {transport_send, transport_pending, transport_close};
    if (size == 0) {
        return 0;
    }
    struct world world = {.transport = {.ops = &ops, .dialed = (data[0] & 1) != 0}};
    fs_clock_scripted_init(&world.clock, FS_SEC);
    const struct fs_session_options options = {
        .clock = &world.clock.clock,
        .site = "east",
        .site_uuid = {{1}},
        .instance = {{1}},
        .software = "fuzz",
        .credit = FS_CREDIT_MIN,
        .heartbeat_ns = FS_SEC,
        .hello_ns = FS_SEC,
    };
    world.session = fs_session_new(&options, &world.transport, &session_events, &world);
    if (world.session == NULL) {
        return 0;
    }
    if ((data[0] & 2) != 0) {
        receive_hello(&world);
    }
    if ((data[0] & 4) != 0) {
        receive(&world, data + 1, size - 1);
    } else {
        play(&world, data + 1, size - 1);
    }
    fs_session_free(world.session);
    check(world.closed);
    return 0;
}
