/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What arrives on the lanes of a session, from a peer that may say anything. The input is a row of
 * (lane, length, that many bytes); what the session would get is only counted: its bytes have to be
 * as many as blocks in order can have brought.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ship/bundle.h"

#define LANES 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A connection whose other end is the input. */
struct end {
    struct fs_transport transport;
    bool closed;
};

struct session {
    uint64_t received;
    bool closed;
    uint8_t room[1000];
};

static void end_send(struct fs_transport *transport, struct fs_buf *buf)
{
    (void)transport;
    fs_buf_fini(buf);
}

static size_t end_pending(const struct fs_transport *transport)
{
    (void)transport;
    return 0;
}

static void end_close(struct fs_transport *transport)
{
    struct end *end = (struct end *)transport;
    if (end->closed) {
        abort();
    }
    end->closed = true;
}

static uint8_t *on_room(void *arg, size_t *ret_length)
{
    struct session *session = arg;
    *ret_length = sizeof(session->room);
    return session->room;
}

static void on_received(void *arg, size_t length)
{
    struct session *session = arg;
    if (length == 0 || length > sizeof(session->room) || session->closed) {
        abort();
    }
    session->received += length;
}

static void on_drained(void *arg)
{
    (void)arg;
}

static void on_closed(void *arg, const struct fs_error *err)
{
    struct session *session = arg;
    if (session->closed || !fs_error_is_set(err)) {
        abort();
    }
    session->closed = true;
}

static void on_lost(void *arg, bool worked, const struct fs_error *err)
{
    (void)worked;
    (void)arg;
    if (!fs_error_is_set(err)) {
        abort();
    }
}

/* The bytes arrive at that lane. */
static void arrive(struct end *end, const uint8_t *data, size_t length)
{
    while (length > 0 && !end->closed) {
        size_t room;
        uint8_t *to = end->transport.events->room(end->transport.events_arg, &room);
        if (to == NULL || room == 0) {
            abort();
        }
        size_t part = length < room ? length : room;
        memcpy(to, data, part);
        end->transport.events->received(end->transport.events_arg, part);
        data += part;
        length -= part;
    }
}

static void hang_up(struct end *end)
{
    struct fs_error err = FS_ERROR_INIT;
    fs_error_set(&err, FS_ERR_TRANSIENT, ECONNRESET, "the connection was lost");
    end->transport.events->closed(end->transport.events_arg, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct fs_transport_ops ops = {end_send, end_pending, end_close};
    static const struct fs_transport_events events = {on_room, on_received, on_drained, on_closed};
    static struct session session;
    struct end ends[LANES] = {0};
    struct fs_clock_scripted clock;

    memset(&session, 0, sizeof(session));
    fs_clock_scripted_init(&clock, FS_SEC);
    for (unsigned i = 0; i < LANES; i++) {
        ends[i].transport.ops = &ops;
        ends[i].transport.events = &events;
        ends[i].transport.events_arg = &session;
    }
    const struct bundle_options options = {
        &clock.clock, FS_LANES_WINDOW_MIN, FS_SEC, FS_SEC, on_lost, &session};
    struct fs_transport *bundle = bundle_new(&options, &ends[0].transport);
    if (bundle == NULL) {
        return 0;
    }
    bundle_open(bundle, FS_LANES_WINDOW_MIN);
    for (unsigned i = 1; i < LANES; i++) {
        bundle_add(bundle, &ends[i].transport, i == 1);
    }
    struct fs_buf buf = FS_BUF_INIT;
    fs_buf_put(&buf, data, size < 500 ? size : 500); /* something to acknowledge */
    bundle->ops->send(bundle, &buf);

    while (size >= 2 && !session.closed) {
        struct end *end = &ends[data[0] % LANES];
        size_t length = data[1] < size - 2 ? data[1] : size - 2;
        bool hangs_up = data[0] >= 250;
        data += 2;
        size -= 2;
        if (end->closed) {
            continue;
        }
        if (hangs_up) {
            hang_up(end);
            continue;
        }
        arrive(end, data, length);
        data += length;
        size -= length;
    }
    bundle->ops->close(bundle);
    for (unsigned i = 0; i < LANES; i++) {
        if (!ends[i].closed) {
            abort();
        }
    }
    return 0;
}
