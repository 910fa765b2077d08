/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scenario/fake_transport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct end {
    struct fs_transport transport;
    struct fake_link *link; /* NULL: the link was freed */
    struct end *other;
    struct fs_buf out;        /* queued and not yet delivered */
    struct fs_buf unconsumed; /* delivered before there was a session */
    uint64_t delivered;       /* of out, so far */
    uint64_t cut_after;       /* of delivered */
    const char *peer_name;
    bool stalled;
    bool above_low;   /* drained is due when pending falls below low */
    bool closed;      /* by its session */
    bool told_closed; /* the closed event was given */
};

struct fake_link {
    struct end *ends[2];
    bool cut;
};

static void check(bool ok)
{
    if (!ok) {
        fprintf(stderr, "fake_transport: out of memory\n");
        abort();
    }
}

static size_t low_of(const struct end *end)
{
    return end->transport.low > 0 ? end->transport.low : FS_TRANSPORT_LOW;
}

static void end_send(struct fs_transport *transport, struct fs_buf *buf)
{
    struct end *end = (struct end *)transport;
    if (end->link != NULL && !end->link->cut && !end->other->closed) {
        fs_buf_put(&end->out, buf->data, buf->length);
        check(!end->out.failed);
        end->above_low = end->above_low || end->out.length >= low_of(end);
    }
    fs_buf_fini(buf);
}

static size_t end_pending(const struct fs_transport *transport)
{
    return ((const struct end *)transport)->out.length;
}

static bool end_peer_is(const struct fs_transport *transport, const char *name)
{
    const struct end *end = (const struct end *)transport;
    return end->peer_name == NULL || strcmp(end->peer_name, name) == 0;
}

static void end_free(struct end *end)
{
    fs_buf_fini(&end->out);
    fs_buf_fini(&end->unconsumed);
    free(end);
}

/* With the link alive the end stays until the link goes: the other end refers to it. */
static void end_close(struct fs_transport *transport)
{
    struct end *end = (struct end *)transport;
    end->closed = true;
    end->transport.events = NULL;
    if (end->link == NULL) {
        end_free(end);
    }
}

static const struct fs_transport_ops end_ops = {
    .send = end_send,
    .pending = end_pending,
    .close = end_close,
};

struct fake_link *fake_link_new(struct fs_transport *ret_ends[2])
{
    struct fake_link *link = calloc(1, sizeof(*link));
    check(link != NULL);
    for (unsigned i = 0; i < 2; i++) {
        struct end *end = calloc(1, sizeof(*end));
        check(end != NULL);
        end->transport.ops = &end_ops;
        end->transport.dialed = i == 0;
        end->transport.peer_is = end_peer_is;
        snprintf(end->transport.address, sizeof(end->transport.address), "memory:%u", 1 - i);
        end->link = link;
        end->cut_after = FAKE_LINK_NEVER;
        link->ends[i] = end;
        ret_ends[i] = &end->transport;
    }
    link->ends[0]->other = link->ends[1];
    link->ends[1]->other = link->ends[0];
    return link;
}

void fake_link_free(struct fake_link *link)
{
    if (link == NULL) {
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        struct end *end = link->ends[i];
        end->link = NULL;
        if (end->closed) {
            end_free(end);
        }
    }
    free(link);
}

static void drop_front(struct fs_buf *buf, size_t length)
{
    if (length == 0) {
        return;
    }
    memmove(buf->data, buf->data + length, buf->length - length);
    buf->length -= length;
}

/* Hands what was delivered to end to its session. */
static void offer_received(struct end *end)
{
    size_t used = 0;
    while (!end->closed && end->transport.events != NULL && used < end->unconsumed.length) {
        size_t length = 0;
        uint8_t *at = end->transport.events->room(end->transport.events_arg, &length);
        check(at != NULL && length > 0);
        if (length > end->unconsumed.length - used) {
            length = end->unconsumed.length - used;
        }
        memcpy(at, end->unconsumed.data + used, length);
        used += length;
        end->transport.events->received(end->transport.events_arg, length);
    }
    drop_front(&end->unconsumed, used);
}

/* Moves at most limit bytes from end to the other. */
static bool deliver(struct end *end, size_t limit)
{
    size_t length = end->out.length < limit ? end->out.length : limit;
    if (end->stalled || end->link->cut) {
        return false;
    }
    if (length > end->cut_after - end->delivered) {
        length = (size_t)(end->cut_after - end->delivered);
    }
    if (length == 0) {
        return false;
    }
    if (!end->other->closed) {
        fs_buf_put(&end->other->unconsumed, end->out.data, length);
        check(!end->other->unconsumed.failed);
    }
    drop_front(&end->out, length);
    end->delivered += length;
    offer_received(end->other);
    return true;
}

static bool tell_drained(struct end *end)
{
    if (!end->above_low || end->out.length >= low_of(end) || end->link->cut) {
        return false;
    }
    end->above_low = false;
    if (!end->closed && end->transport.events != NULL) {
        end->transport.events->drained(end->transport.events_arg);
    }
    return true;
}

static bool tell_closed(struct end *end)
{
    bool over = end->link->cut || (end->other->closed && end->other->out.length == 0);
    if (!over || end->told_closed || end->closed || end->transport.events == NULL) {
        return false;
    }
    end->told_closed = true;
    struct fs_error err = FS_ERROR_INIT;
    fs_error_set(&err, FS_ERR_TRANSIENT, ECONNRESET, "the connection was lost");
    end->transport.events->closed(end->transport.events_arg, &err);
    return true;
}

bool fake_link_step(struct fake_link *link, size_t chunk)
{
    size_t limits[2];
    for (unsigned i = 0; i < 2; i++) {
        limits[i] = link->ends[i]->out.length;
        if (chunk != 0 && limits[i] > chunk) {
            limits[i] = chunk;
        }
    }
    bool happened = false;
    for (unsigned i = 0; i < 2; i++) {
        happened = deliver(link->ends[i], limits[i]) || happened;
    }
    for (unsigned i = 0; i < 2; i++) {
        struct end *end = link->ends[i];
        if (!link->cut && end->delivered >= end->cut_after) {
            link->cut = true;
            fs_buf_fini(&link->ends[0]->out);
            fs_buf_fini(&link->ends[1]->out);
            happened = true;
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        happened = tell_drained(link->ends[i]) || happened;
        happened = tell_closed(link->ends[i]) || happened;
    }
    return happened;
}

void fake_link_stall(struct fake_link *link, unsigned direction, bool stalled)
{
    link->ends[direction]->stalled = stalled;
}

void fake_link_cut_after(struct fake_link *link, unsigned direction, uint64_t bytes)
{
    struct end *end = link->ends[direction];
    end->cut_after = bytes < end->delivered ? end->delivered : bytes;
}

uint64_t fake_link_delivered(const struct fake_link *link, unsigned direction)
{
    return link->ends[direction]->delivered;
}

void fake_link_set_peer_name(struct fake_link *link, unsigned end, const char *name)
{
    link->ends[end]->peer_name = name;
}
