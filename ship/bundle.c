/* SPDX-License-Identifier: Apache-2.0 */
#include "ship/bundle.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ship/bundle_private.h"
#include "ship/codec.h"

/* A lane gets more when less than this waits in it, and then at most so much. What waits in a lane
 * is bound to it, whatever becomes of the lane's rate. */
#define LANE_LOW  BUNDLE_BLOCK_MAX
#define LANE_FILL (2 * BUNDLE_BLOCK_MAX)
/* What we send in one: with its header it just fills a buffer, which are powers of two. */
#define BLOCK_SIZE (BUNDLE_BLOCK_MAX - BUNDLE_BLOCK_HEADER)
/* Smaller buffers are copied to the end of the last one. */
#define COALESCE 4096u

static struct bundle *bundle_of(struct fs_transport *transport)
{
    return (struct bundle *)transport;
}

/* --- lanes ---------------------------------------------------------------------------------- */

static size_t queued(const struct lane *lane)
{
    return lane->transport->ops->pending(lane->transport);
}

static struct lane *lane_new(struct bundle *bundle, struct fs_transport *transport)
{
    struct lane *lane = calloc(1, sizeof(*lane));
    if (lane == NULL) {
        return NULL;
    }
    lane->bundle = bundle;
    lane->transport = transport;
    lane->heard_ns = fs_clock_boot(bundle->options.clock);
    transport->low = LANE_LOW;
    transport->events = &bundle_lane_events;
    transport->events_arg = lane;
    bundle->lanes[bundle->n_lanes++] = lane;
    return lane;
}

static void free_lane(struct lane *lane)
{
    free(lane->buffer);
    free(lane);
}

/* It may be the one whose event is under way: it is freed later. */
static void end_lane(struct bundle *bundle, unsigned i)
{
    struct lane *lane = bundle->lanes[i];
    bundle->lanes[i] = bundle->lanes[--bundle->n_lanes];
    bundle->turn = 0;
    lane->transport->ops->close(lane->transport);
    lane->transport = NULL;
    lane->next = bundle->ended;
    bundle->ended = lane;
}

static void end_lanes(struct bundle *bundle)
{
    while (bundle->n_lanes > 0) {
        end_lane(bundle, bundle->n_lanes - 1);
    }
}

static struct sent *sent_at(struct bundle *bundle, unsigned i)
{
    return &bundle->sent[(bundle->first_sent + i) % BUNDLE_BLOCKS_MAX];
}

/* Whether there is another one that carries something. */
static bool is_last(const struct bundle *bundle, const struct lane *lane)
{
    for (unsigned i = 0; i < bundle->n_lanes; i++) {
        if (bundle->lanes[i] != lane && bundle->lanes[i]->usable) {
            return false;
        }
    }
    return true;
}

/* Not the last one. Its blocks go to the others; an acknowledgement may have been lost with it. */
static void lose_lane(struct bundle *bundle, const struct lane *lane, const struct fs_error *err)
{
    for (unsigned i = 0; i < bundle->n_sent; i++) {
        struct sent *sent = sent_at(bundle, i);
        if (sent->lane == lane) {
            sent->lane = NULL;
            bundle->n_again++;
            bundle->moving_ns = bundle->first_ns = fs_clock_boot(bundle->options.clock);
        }
    }
    bundle->ack_due = true;
    for (unsigned i = 0; i < bundle->n_lanes; i++) {
        if (bundle->lanes[i] == lane) {
            end_lane(bundle, i);
            break;
        }
    }
    bundle->lost_worked = (bundle->lost_due && bundle->lost_worked) || lane->usable;
    if (!bundle->lost_due) {
        bundle->lost_due = true;
        bundle->lost_err = *err;
    }
}

static void lane_closed(void *arg, const struct fs_error *err)
{
    struct lane *lane = arg;
    struct bundle *bundle = lane->bundle;
    bundle_enter(bundle);
    if (is_last(bundle, lane)) {
        bundle_fail(bundle, err);
    } else {
        lose_lane(bundle, lane, err);
        bundle_transmit(bundle);
    }
    bundle_leave(bundle);
}

static void lane_drained(void *arg)
{
    struct bundle *bundle = ((struct lane *)arg)->bundle;
    bundle_enter(bundle);
    bundle_transmit(bundle);
    bundle_leave(bundle);
}

const struct fs_transport_events bundle_lane_events = {
    .room = bundle_lane_room,
    .received = bundle_lane_received,
    .drained = lane_drained,
    .closed = lane_closed,
};

unsigned bundle_lanes(const struct fs_transport *transport)
{
    return ((const struct bundle *)transport)->n_lanes;
}

bool bundle_heard(struct fs_transport *transport)
{
    struct bundle *bundle = bundle_of(transport);
    bool heard = bundle->heard;
    bundle->heard = false;
    return heard;
}

/* --- the end -------------------------------------------------------------------------------- */

static void drop_head(struct bundle *bundle)
{
    struct chunk *chunk = bundle->head;
    bundle->head = chunk->next;
    if (bundle->head == NULL) {
        bundle->tail = NULL;
    }
    fs_buf_fini(&chunk->buf);
    free(chunk);
}

static void free_ended(struct bundle *bundle)
{
    while (bundle->ended != NULL) {
        struct lane *lane = bundle->ended;
        bundle->ended = lane->next;
        free_lane(lane);
    }
}

static void free_bundle(struct bundle *bundle)
{
    free_ended(bundle);
    while (bundle->head != NULL) {
        drop_head(bundle);
    }
    for (unsigned i = 0; i < bundle->n_held; i++) {
        free(bundle->held[i].data);
    }
    free(bundle);
}

static void bundle_close(struct fs_transport *transport)
{
    struct bundle *bundle = bundle_of(transport);
    bundle->closed = true;
    end_lanes(bundle);
    if (bundle->depth == 0) {
        free_bundle(bundle);
    }
}

void bundle_enter(struct bundle *bundle)
{
    bundle->depth++;
}

void bundle_leave(struct bundle *bundle)
{
    struct fs_error err = FS_ERROR_INIT;
    if (bundle->out_of_memory && !bundle->closed) {
        fs_error_set(&err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
        bundle_fail(bundle, &err);
    }
    if (bundle->lost_due && !bundle->closed && !bundle->told_closed && bundle->depth == 1) {
        bundle->lost_due = false;
        err = bundle->lost_err;
        bundle->options.lost(bundle->options.arg, bundle->lost_worked, &err);
    }
    if (--bundle->depth > 0) {
        return;
    }
    free_ended(bundle);
    if (bundle->closed) {
        free_bundle(bundle);
    }
}

void bundle_fail(struct bundle *bundle, const struct fs_error *err)
{
    end_lanes(bundle);
    if (bundle->told_closed || bundle->closed) {
        return;
    }
    bundle->told_closed = true;
    bundle->transport.events->closed(bundle->transport.events_arg, err);
}

/* --- sending -------------------------------------------------------------------------------- */

/* The usable one with the least queued, if that is less than `below`; those that are alike take
 * turns. */
static struct lane *pick(struct bundle *bundle, size_t below)
{
    struct lane *best = NULL;
    unsigned at = 0;
    for (unsigned i = 0; i < bundle->n_lanes; i++) {
        unsigned j = (bundle->turn + i) % bundle->n_lanes;
        struct lane *lane = bundle->lanes[j];
        if (lane->usable && queued(lane) < below) {
            best = lane;
            at = j;
            below = queued(lane);
        }
    }
    if (best != NULL) {
        bundle->turn = (at + 1) % bundle->n_lanes;
    }
    return best;
}

/* A block from offset, the bytes of which are in chunk and behind it; an acknowledgement where
 * length is 0. False when out of memory. */
static bool send_on(struct bundle *bundle, const struct lane *lane, const struct chunk *chunk,
                    uint64_t offset, uint32_t length)
{
    struct fs_buf buf = FS_BUF_INIT;
    if (!fs_buf_reserve(&buf, BUNDLE_BLOCK_HEADER + (size_t)length)) {
        bundle->out_of_memory = true;
        return false;
    }
    fs_buf_put_u32(&buf, length);
    fs_buf_put_u64(&buf, offset);
    fs_buf_put_u64(&buf, bundle->delivered);
    while (length > 0) {
        size_t at = (size_t)(offset - chunk->start);
        size_t part = chunk->buf.length - at < length ? chunk->buf.length - at : length;
        fs_buf_put(&buf, chunk->buf.data + at, part);
        offset += part;
        length -= (uint32_t)part;
        chunk = chunk->next;
    }
    bundle->ack_told = bundle->delivered;
    bundle->blocks_told = 0;
    bundle->ack_due = false;
    lane->transport->ops->send(lane->transport, &buf);
    return true;
}

/* A peer that sends and does not read cannot make them pile up. */
void bundle_send_ack(struct bundle *bundle, const struct lane *first)
{
    bool room = first != NULL && first->transport != NULL && queued(first) < LANE_FILL;
    const struct lane *lane = room ? first : pick(bundle, LANE_FILL);
    bundle->ack_due = true;
    if (lane != NULL) {
        send_on(bundle, lane, NULL, 0, 0);
    }
}

static bool send_again(struct bundle *bundle, const struct lane *lane)
{
    unsigned i = 0;
    while (sent_at(bundle, i)->lane != NULL) {
        i++;
    }
    struct sent *sent = sent_at(bundle, i);
    const struct chunk *chunk = bundle->head;
    while (sent->offset >= chunk->start + chunk->buf.length) {
        chunk = chunk->next;
    }
    if (!send_on(bundle, lane, chunk, sent->offset, sent->length)) {
        return false;
    }
    sent->lane = lane;
    sent->sent_ns = fs_clock_boot(bundle->options.clock);
    bundle->n_again--;
    return true;
}

static uint32_t next_length(const struct bundle *bundle)
{
    uint64_t left = bundle->end - bundle->next;
    return left < BLOCK_SIZE ? (uint32_t)left : BLOCK_SIZE;
}

static bool send_next(struct bundle *bundle, const struct lane *lane)
{
    uint32_t length = next_length(bundle);
    if (!send_on(bundle, lane, bundle->cut, bundle->next, length)) {
        return false;
    }
    int64_t now = fs_clock_boot(bundle->options.clock);
    if (bundle->n_sent == 0) {
        bundle->moving_ns = bundle->first_ns = now;
    }
    *sent_at(bundle, bundle->n_sent++) = (struct sent){bundle->next, length, lane, now};
    bundle->next += length;
    while (bundle->cut != NULL && bundle->next >= bundle->cut->start + bundle->cut->buf.length) {
        bundle->cut = bundle->cut->next;
    }
    return true;
}

/* Whether a new block may be sent: the peer takes it, and we keep no more than we would take. */
static bool may_send_next(const struct bundle *bundle)
{
    uint64_t window =
        bundle->window < bundle->options.window ? bundle->window : bundle->options.window;
    return bundle->next < bundle->end && bundle->n_sent < BUNDLE_BLOCKS_MAX &&
           bundle->next + next_length(bundle) - bundle->acked <= window;
}

static void pump(struct bundle *bundle)
{
    while (bundle->n_again > 0 || may_send_next(bundle)) {
        const struct lane *lane = pick(bundle, LANE_FILL);
        bool sent = lane != NULL &&
                    (bundle->n_again > 0 ? send_again(bundle, lane) : send_next(bundle, lane));
        if (!sent) {
            return;
        }
    }
}

/* Of what the session gave, so much was given to the kernel. What is sent again, and headers, do
 * not make it less. */
static uint64_t handed_now(const struct bundle *bundle)
{
    uint64_t waits = 0;
    for (unsigned i = 0; i < bundle->n_lanes; i++) {
        waits += queued(bundle->lanes[i]);
    }
    uint64_t most = bundle->next - bundle->acked;
    uint64_t handed = bundle->next - (waits < most ? waits : most);
    return handed > bundle->handed ? handed : bundle->handed;
}

static size_t bundle_pending(const struct fs_transport *transport)
{
    const struct bundle *bundle = (const struct bundle *)transport;
    return (size_t)(bundle->end - handed_now(bundle));
}

void bundle_transmit(struct bundle *bundle)
{
    pump(bundle);
    if (bundle->ack_due) {
        bundle_send_ack(bundle, NULL);
    }
    bundle->handed = handed_now(bundle);
    if (bundle->above_low && !bundle->told_closed && !bundle->closed &&
        bundle_pending(&bundle->transport) < FS_TRANSPORT_LOW) {
        bundle->above_low = false;
        bundle->transport.events->drained(bundle->transport.events_arg);
    }
}

/* Something arrived on a usable lane, other than `but`. */
static bool heard_since(const struct bundle *bundle, int64_t since, const struct lane *but)
{
    for (unsigned i = 0; i < bundle->n_lanes; i++) {
        const struct lane *lane = bundle->lanes[i];
        if (lane != but && lane->usable && lane->heard_ns > since) {
            return true;
        }
    }
    return false;
}

static void give_up(struct bundle *bundle, const struct lane *lane, const char *why, int64_t ns)
{
    struct fs_error err = FS_ERROR_INIT;
    fs_error_set(&err, FS_ERR_TRANSIENT, ETIMEDOUT, "%s for %lld ms", why,
                 (long long)(ns / FS_MSEC));
    lose_lane(bundle, lane, &err);
}

/* A block was given to it before, is not acknowledged, and nothing was heard on it since: the peer
 * acknowledges on the lane of a block that is early. */
static bool is_late(struct bundle *bundle, const struct lane *lane, int64_t before)
{
    for (unsigned i = 0; i < bundle->n_sent; i++) {
        const struct sent *sent = sent_at(bundle, i);
        if (sent->lane == lane && sent->sent_ns <= before) {
            return lane->heard_ns <= sent->sent_ns;
        }
    }
    return false;
}

/*
 * The lane of the first block where it is silent and another one is not, and with it those that are
 * late as well. They have some time from the first that was heard: after an outage of all they do
 * not come back at one instant.
 */
static void give_up_silent(struct bundle *bundle, int64_t now)
{
    int64_t since = bundle->moving_ns;
    const struct lane *first = bundle->n_sent == 0 ? NULL : sent_at(bundle, 0)->lane;
    if (first == NULL || now - since < bundle->options.stall_ns || bundle->witness_ns <= since ||
        now - bundle->witness_ns < bundle->options.stall_ns / 3 ||
        !heard_since(bundle, since, NULL)) {
        return;
    }
    for (unsigned i = bundle->n_lanes; i-- > 0;) {
        const struct lane *lane = bundle->lanes[i];
        if (lane->heard_ns <= since &&
            (lane == first || is_late(bundle, lane, now - bundle->options.stall_ns))) {
            give_up(bundle, lane, "nothing got through", now - since);
        }
    }
}

/* All the others have nothing to do, since the one that has the next block does not get it there.
 */
static void give_up_slow(struct bundle *bundle, int64_t now)
{
    int64_t since = bundle->first_ns;
    bool full = bundle->next < bundle->end && !may_send_next(bundle);
    const struct lane *slow = bundle->n_sent == 0 ? NULL : sent_at(bundle, 0)->lane;
    if (!full || slow == NULL || now - since < bundle->options.stall_ns ||
        !heard_since(bundle, since, slow)) {
        return;
    }
    for (unsigned i = 0; i < bundle->n_lanes; i++) {
        if (bundle->lanes[i] != slow && queued(bundle->lanes[i]) > 0) {
            return;
        }
    }
    give_up(bundle, slow, "one block was on its way", now - since);
}

static void give_up_waiting(struct bundle *bundle, int64_t now)
{
    for (unsigned i = bundle->n_lanes; i-- > 0;) {
        const struct lane *lane = bundle->lanes[i];
        if (!lane->usable && now - lane->heard_ns >= bundle->options.wait_ns) {
            give_up(bundle, lane, "the peer said nothing on a new lane", now - lane->heard_ns);
        }
    }
}

/*
 * A lane that stands still without an end (a router that forgot the connection) holds everything
 * up that comes behind its blocks. Where nothing is heard on any lane none is worse than another:
 * it is for the session to take the peer for dead. Looked at with each thing that is sent, and
 * heart-beats are; it is too early for that then.
 */
void bundle_look_for_stall(struct bundle *bundle)
{
    int64_t now = fs_clock_boot(bundle->options.clock);
    give_up_silent(bundle, now);
    give_up_slow(bundle, now);
    give_up_waiting(bundle, now);
}

static bool append(struct bundle *bundle, struct fs_buf *buf)
{
    struct chunk *tail = bundle->tail;
    if (tail != NULL && buf->length <= COALESCE &&
        tail->buf.capacity - tail->buf.length >= buf->length) {
        fs_buf_put(&tail->buf, buf->data, buf->length);
        bundle->cut = bundle->cut == NULL ? tail : bundle->cut;
        return true;
    }
    struct chunk *chunk = calloc(1, sizeof(*chunk));
    if (chunk == NULL) {
        return false;
    }
    chunk->start = bundle->end;
    chunk->buf = *buf;
    *buf = FS_BUF_INIT;
    if (tail == NULL) {
        bundle->head = chunk;
    } else {
        tail->next = chunk;
    }
    bundle->tail = chunk;
    bundle->cut = bundle->cut == NULL ? chunk : bundle->cut;
    return true;
}

static void bundle_send(struct fs_transport *transport, struct fs_buf *buf)
{
    struct bundle *bundle = bundle_of(transport);
    size_t length = buf->length;
    bool useless = bundle->told_closed || bundle->out_of_memory || length == 0;
    bool ok = !useless && append(bundle, buf);
    fs_buf_fini(buf);
    if (!ok) {
        bundle->out_of_memory = bundle->out_of_memory || !useless;
        return;
    }
    bundle->end += length;
    bundle_look_for_stall(bundle);
    pump(bundle);
    bundle->handed = handed_now(bundle);
    bundle->above_low = bundle->above_low || bundle_pending(transport) >= FS_TRANSPORT_LOW;
}

bool bundle_acknowledged(struct bundle *bundle, uint64_t acked)
{
    if (acked > bundle->next) {
        return false;
    }
    if (acked <= bundle->acked) {
        return true; /* it was overtaken on another lane */
    }
    bundle->acked = acked;
    bundle->moving_ns = fs_clock_boot(bundle->options.clock);
    while (bundle->n_sent > 0 && sent_at(bundle, 0)->offset + sent_at(bundle, 0)->length <= acked) {
        bundle->first_ns = bundle->moving_ns;
        bundle->n_again -= sent_at(bundle, 0)->lane == NULL;
        bundle->first_sent = (bundle->first_sent + 1) % BUNDLE_BLOCKS_MAX;
        bundle->n_sent--;
    }
    /* A block is sent again as a whole. */
    uint64_t needed = bundle->n_sent > 0 ? sent_at(bundle, 0)->offset : acked;
    while (bundle->head != NULL && bundle->head != bundle->cut &&
           bundle->head->start + bundle->head->buf.length <= needed) {
        drop_head(bundle);
    }
    return true;
}

bool bundle_add(struct fs_transport *transport, struct fs_transport *added, bool waits)
{
    struct bundle *bundle = bundle_of(transport);
    struct lane *lane =
        bundle->n_lanes == 0 || bundle->n_lanes == FS_LANES_MAX ? NULL : lane_new(bundle, added);
    if (lane == NULL) {
        added->ops->close(added);
        return false;
    }
    lane->usable = !waits;
    if (!waits) {
        send_on(bundle, lane, NULL, 0, 0);
    }
    return true;
}

/* --- life ----------------------------------------------------------------------------------- */

static bool bundle_peer_is(const struct fs_transport *transport, const char *name)
{
    const struct bundle *bundle = (const struct bundle *)transport;
    const struct fs_transport *lane = bundle->n_lanes == 0 ? NULL : bundle->lanes[0]->transport;
    return lane != NULL && lane->peer_is(lane, name);
}

static const struct fs_transport_ops bundle_ops = {
    .send = bundle_send,
    .pending = bundle_pending,
    .close = bundle_close,
};

struct fs_transport *bundle_new(const struct bundle_options *options, struct fs_transport *first)
{
    struct bundle *bundle = calloc(1, sizeof(*bundle));
    if (bundle == NULL) {
        return NULL;
    }
    bundle->options = *options;
    bundle->window = FS_LANES_WINDOW_MIN;
    bundle->transport.ops = &bundle_ops;
    bundle->transport.events = first->events;
    bundle->transport.events_arg = first->events_arg;
    bundle->transport.dialed = first->dialed;
    bundle->transport.peer_is = bundle_peer_is;
    snprintf(bundle->transport.address, sizeof(bundle->transport.address), "%s", first->address);
    struct lane *lane = lane_new(bundle, first);
    if (lane == NULL) {
        free(bundle);
        return NULL;
    }
    lane->plain = lane->usable = true;
    bundle->above_low = true; /* who waits for the connection as it was */
    return &bundle->transport;
}

void bundle_open(struct fs_transport *transport, uint64_t window)
{
    struct bundle *bundle = bundle_of(transport);
    assert(bundle->n_lanes == 1);
    bundle->lanes[0]->plain = false;
    bundle->window = window;
    pump(bundle);
}
