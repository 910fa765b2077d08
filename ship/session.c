/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ship/session_private.h"

/* How long a side that said BYE waits for the other to hang up, so that the BYE arrives. */
#define LINGER_NS FS_SEC
/* What may be queued above send_limit (control frames, segments whose credit was taken at once)
 * before the peer counts as one that does not read. */
#define QUEUE_SLACK (16u << 20)
/* Bytes of segments that a stream may send at its turn. */
#define TURN FS_SEGMENT_MAX
/* Beats in a row without a byte from the peer until it counts as gone. */
#define BEATS_MISSED_MAX 3

/* --- sending -------------------------------------------------------------------------------- */

void session_queue(struct fs_session *session, struct fs_buf *buf)
{
    session->bytes_queued += buf->length;
    if (session->pacer != NULL) {
        fs_pacer_charge(session->pacer, buf->length, fs_clock_boot(session->clock));
    }
    session->transport->ops->send(session->transport, buf);
}

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high)
{
    return value < low ? low : value > high ? high : value;
}

static size_t pending(const struct fs_session *session)
{
    return session->transport->ops->pending(session->transport);
}

void session_send_ping(struct fs_session *session, uint16_t type, const struct fs_ping *ping)
{
    struct fs_buf buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, type, FS_FRAME_CRITICAL, 0);
    fs_ping_encode(ping, &buf);
    fs_frame_finish(&buf, start);
    fs_session_send(session, &buf);
}

static bool send_hello(struct fs_session *session, const struct fs_session_options *options)
{
    struct fs_hello hello = {
        .version_min = FS_WIRE_VERSION_MIN,
        .version_max = FS_WIRE_VERSION,
        .features = FS_FEATURE_VERIFY | FS_FEATURE_TERMS | FS_FEATURE_COMPARE | FS_FEATURE_FENCE |
                    FS_FEATURE_MOVE | FS_FEATURE_OBJECTS | FS_FEATURE_APPLICATION |
                    FS_FEATURE_FENCE_LOOK | FS_FEATURE_JOIN | FS_FEATURE_MOVE_LOOK |
                    FS_FEATURE_DELTA | (session->lane_window > 0 ? FS_FEATURE_LANES : 0),
        .site_uuid = options->site_uuid,
        .instance = options->instance,
        .credit = session->window,
        .wall_ns = fs_clock_wall(session->clock),
    };
    snprintf(hello.site, sizeof(hello.site), "%s", options->site);
    snprintf(hello.software, sizeof(hello.software), "%s", options->software);
    struct fs_buf buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, FS_FRAME_HELLO, FS_FRAME_CRITICAL, 0);
    fs_hello_encode(&hello, &buf);
    fs_frame_finish(&buf, start);
    if (buf.failed) {
        fs_buf_fini(&buf);
        return false;
    }
    session_queue(session, &buf);
    return true;
}

static void send_bye(struct fs_session *session, const char *text)
{
    struct fs_text bye = {0};
    snprintf(bye.text, sizeof(bye.text), "%s", text);
    struct fs_buf buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, FS_FRAME_BYE, FS_FRAME_CRITICAL, 0);
    fs_text_encode(&bye, &buf);
    fs_frame_finish(&buf, start);
    if (buf.failed) {
        fs_buf_fini(&buf); /* the peer finds out from the closed connection */
        return;
    }
    session_queue(session, &buf);
}

/* A refused offer that was never attached needs no further bookkeeping. */
static void forget_refused(struct fs_session *session, const struct fs_buf *buf)
{
    struct fs_cursor cursor = fs_cursor_of(buf->data, buf->length);
    while (fs_cursor_left(&cursor) >= FS_FRAME_HEADER) {
        fs_cursor_get_u32(&cursor);
        uint16_t type = fs_cursor_get_u16(&cursor);
        fs_cursor_get_u16(&cursor);
        uint32_t length = fs_cursor_get_u32(&cursor);
        uint32_t id = fs_cursor_get_u32(&cursor);
        fs_cursor_get(&cursor, 16 + (size_t)length);
        if (type == FS_FRAME_REFUSE) {
            struct stream *stream = streams_find(&session->streams, id);
            if (stream != NULL && stream->events == NULL) {
                streams_remove(&session->streams, id);
            }
        }
    }
}

void fs_session_send(struct fs_session *session, struct fs_buf *buf)
{
    struct fs_error err = FS_ERROR_INIT;
    if (session->state != SESSION_UP || buf->length == 0) {
        fs_buf_fini(buf);
        return;
    }
    if (buf->failed) {
        fs_buf_fini(buf);
        fs_error_set(&err, FS_ERR_TRANSIENT, ENOMEM,
                     "a message could not be encoded: out of memory, or a field is too long");
        session_fail(session, &err, err.message);
        return;
    }
    if (pending(session) > session->send_limit + QUEUE_SLACK) {
        fs_buf_fini(buf);
        fs_error_set(&err, FS_ERR_PEER, ENOBUFS,
                     "the peer asks for more than it takes from the connection");
        session_fail(session, &err, err.message);
        return;
    }
    forget_refused(session, buf);
    session_queue(session, buf);
}

/* --- credit --------------------------------------------------------------------------------- */

/*
 * The limit is at least FS_TRANSPORT_LOW, so that whoever finds no room in the transport can be
 * sure of a drained event; who lacks credit, of a CREDIT frame; and for who waits for the pacer the
 * deadline comes nearer.
 */
static bool has_room(struct fs_session *session, uint64_t bytes)
{
    session->paced =
        session->pacer != NULL && !fs_pacer_is_open(session->pacer, fs_clock_boot(session->clock));
    return session->may_send >= bytes && pending(session) < session->queue_limit && !session->paced;
}

void fs_session_set_pacer(struct fs_session *session, struct fs_pacer *pacer)
{
    session->pacer = pacer;
}

uint64_t fs_session_segment_max(const struct fs_session *session)
{
    return session->pacer == NULL ? FS_SEGMENT_MAX
                                  : fs_pacer_segment(session->pacer, FS_SEGMENT_MAX);
}

void fs_session_set_queue(struct fs_session *session, uint64_t bytes)
{
    session->queue_limit = clamp(bytes, FS_TRANSPORT_LOW, session->send_limit);
}

enum fs_link_state fs_session_link(const struct fs_session *session)
{
    size_t queued = pending(session);
    if (queued >= session->queue_limit / 2 ||
        (session->pacer != NULL &&
         !fs_pacer_is_open(session->pacer, fs_clock_boot(session->clock)))) {
        return FS_LINK_FULL;
    }
    if (queued > 0) {
        return FS_LINK_BUSY;
    }
    /* Without credit it is the peer that does not keep up. */
    return session->may_send >= FS_SEGMENT_MAX ? FS_LINK_IDLE : FS_LINK_HELD;
}

/* While streams are served: whether the one whose turn it is has used it up. */
static bool turn_is_over(struct fs_session *session, uint64_t bytes)
{
    struct stream *stream = streams_find(&session->streams, session->turn);
    if (stream == NULL || stream->allowance <= 0) {
        return true;
    }
    stream->allowance -= (int64_t)bytes;
    return false;
}

bool fs_session_take_credit(struct fs_session *session, uint64_t bytes)
{
    if (session->state != SESSION_UP) {
        return false;
    }
    /* Who comes while others wait does not jump the queue; what they wait for stays as it is. */
    if (session->starved && !session->serving) {
        return false;
    }
    bool blocked = !has_room(session, bytes);
    if (blocked || (session->serving && turn_is_over(session, bytes))) {
        session->starved = session->refused = true;
        session->blocked = session->blocked || blocked;
        return false;
    }
    session->may_send -= bytes;
    return true;
}

/* The stream goes on that has not used its turn up; else the next one, with a new turn. */
static struct stream *whose_turn(struct fs_session *session)
{
    struct stream *stream = streams_find(&session->streams, session->turn);
    if (stream != NULL && stream->allowance > 0) {
        return stream;
    }
    stream = streams_next(&session->streams, session->turn);
    if (stream == NULL) {
        stream = streams_next(&session->streams, 0);
    }
    if (stream != NULL) {
        session->turn = stream->id;
        stream->allowance += TURN;
    }
    return stream;
}

/* True when the stream wants no more; false when it was told to wait. */
static bool serve_stream(struct fs_session *session, struct stream *stream)
{
    if (stream->allowance <= 0) {
        return false; /* its last segment was longer than what was left of its turn */
    }
    session->refused = false;
    if (stream->events != NULL && stream->events->writable != NULL) {
        stream->events->writable(stream->arg);
    }
    if (session->refused) {
        return false;
    }
    /* It may be gone. What it does not need is not saved for later. */
    stream = streams_find(&session->streams, session->turn);
    if (stream != NULL && stream->allowance > 0) {
        stream->allowance = 0;
    }
    return true;
}

/*
 * Deficit round robin: at its turn a stream sends until it has used up its bytes, what it sent
 * above them shortens its next turns. So streams whose segments compress well get as many bytes as
 * others.
 */
static void serve_streams(struct fs_session *session)
{
    size_t satisfied = 0; /* in a row */
    while (!session->blocked && session->state == SESSION_UP &&
           satisfied < session->streams.count) {
        struct stream *stream = whose_turn(session);
        satisfied = serve_stream(session, stream) ? satisfied + 1 : 0;
    }
}

void session_serve(struct fs_session *session)
{
    if (session->state != SESSION_UP || !session->starved || session->serving) {
        return;
    }
    session->blocked = !has_room(session, 1);
    if (!session->blocked) {
        session->serving = true;
        serve_streams(session);
        session->serving = false;
        session->starved = session->blocked;
    }
    if (session->starved && session->paced && session->events->sooner != NULL) {
        session->events->sooner(session->arg);
    }
}

void fs_session_release_credit(struct fs_session *session, uint64_t bytes)
{
    if (session->state != SESSION_UP) {
        return;
    }
    session->to_give += bytes;
    assert(session->to_give + session->may_receive <= session->window);
    if (session->to_give < session->window / 8) {
        return;
    }
    struct fs_credit credit = {.bytes = session->to_give};
    session->may_receive += session->to_give;
    session->to_give = 0;
    struct fs_buf buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, FS_FRAME_CREDIT, FS_FRAME_CRITICAL, 0);
    fs_credit_encode(&credit, &buf);
    fs_frame_finish(&buf, start);
    fs_session_send(session, &buf);
}

bool fs_session_ahead(struct fs_session *session, uint64_t bytes)
{
    if (bytes > FS_SESSION_AHEAD_MAX - session->window - session->ahead) {
        return false;
    }
    session->ahead += bytes;
    return true;
}

void fs_session_back(struct fs_session *session, uint64_t bytes)
{
    assert(bytes <= session->ahead);
    session->ahead -= bytes;
}

/* --- the end -------------------------------------------------------------------------------- */

void session_fail(struct fs_session *session, const struct fs_error *err, const char *text)
{
    if (session->state == SESSION_ENDING || session->state == SESSION_DOWN) {
        return;
    }
    session->err = *err;
    session->state = SESSION_ENDING;
    session->deadline_ns = fs_clock_boot(session->clock) + LINGER_NS;
    send_bye(session, text);
}

static void lose_streams(struct fs_session *session)
{
    while (session->streams.count > 0) {
        struct stream stream = session->streams.at[session->streams.count - 1];
        streams_remove(&session->streams, stream.id);
        if (stream.events != NULL) {
            stream.events->lost(stream.arg, &session->err);
        }
    }
}

void session_finish(struct fs_session *session)
{
    if (session->state == SESSION_DOWN) {
        return;
    }
    session->state = SESSION_DOWN;
    lose_streams(session);
    session->events->down(session->arg, session, &session->err);
}

void fs_session_end(struct fs_session *session, const char *text)
{
    struct fs_error err = FS_ERROR_INIT;
    fs_error_set(&err, FS_ERR_CANCELLED, ECANCELED, "%s", text);
    session_fail(session, &err, text);
}

static void transport_closed(void *arg, const struct fs_error *err)
{
    struct fs_session *session = arg;
    if (session->state == SESSION_HELLO || session->state == SESSION_UP) {
        session->err = *err;
    }
    session_finish(session);
}

static void transport_drained(void *arg)
{
    session_serve(arg);
}

/* --- time ----------------------------------------------------------------------------------- */

void fs_session_probe(struct fs_session *session)
{
    struct fs_ping ping = {
        .id = ++session->last_ping,
        .boot_ns = (uint64_t)fs_clock_boot(session->clock),
        .wall_ns = fs_clock_wall(session->clock),
    };
    session_send_ping(session, FS_FRAME_PING, &ping);
}

static void beat(struct fs_session *session, int64_t now)
{
    bool lanes_heard = session_lanes_heard(session);
    session->missed = session->heard || lanes_heard ? 0 : session->missed + 1;
    session->heard = false;
    if (session->missed >= BEATS_MISSED_MAX) {
        fs_error_set(&session->err, FS_ERR_TRANSIENT, ETIMEDOUT,
                     "nothing was heard from the peer at %s for %lld ms",
                     session->transport->address,
                     (long long)(session->heartbeat_ns / FS_MSEC * BEATS_MISSED_MAX));
        session_finish(session);
        return;
    }
    session->next_beat_ns = now + session->heartbeat_ns;
    fs_session_probe(session);
}

static int64_t deadline_up(const struct fs_session *session)
{
    int64_t next = session->next_beat_ns;
    if (session->abort_due) {
        return 0;
    }
    if (session->starved && session->paced) {
        int64_t open = fs_pacer_next(session->pacer);
        next = open < next ? open : next;
    }
    return next;
}

int64_t fs_session_deadline(const struct fs_session *session)
{
    switch (session->state) {
    case SESSION_UP:
        return deadline_up(session);
    case SESSION_DOWN:
        return INT64_MAX;
    default:
        return session->deadline_ns;
    }
}

void fs_session_tick(struct fs_session *session)
{
    int64_t now = fs_clock_boot(session->clock);
    if (session->state == SESSION_UP) {
        session_deliver_aborts(session);
    }
    if (now < fs_session_deadline(session)) {
        return;
    }
    if (session->state == SESSION_UP && now < session->next_beat_ns) {
        session_serve(session); /* the pacer is open */
    } else if (session->state == SESSION_UP) {
        beat(session, now);
    } else if (session->state == SESSION_ENDING) {
        session_finish(session);
    } else if (session->state == SESSION_HELLO) {
        struct fs_error err = FS_ERROR_INIT;
        fs_error_set(&err, FS_ERR_TRANSIENT, ETIMEDOUT, "%s connected but said no hello in time",
                     session->transport->address);
        session_fail(session, &err, "no hello in time");
    }
}

/* --- life ----------------------------------------------------------------------------------- */

static const struct fs_transport_events transport_events = {
    .room = session_room,
    .received = session_received,
    .drained = transport_drained,
    .closed = transport_closed,
};

struct fs_session *fs_session_new(const struct fs_session_options *options,
                                  struct fs_transport *transport,
                                  const struct fs_session_events *events, void *arg)
{
    struct fs_session *session = calloc(1, sizeof(*session));
    if (session == NULL) {
        transport->ops->close(transport);
        return NULL;
    }
    session->clock = options->clock;
    session->events = events;
    session->arg = arg;
    session->transport = transport;
    session->site_uuid = options->site_uuid;
    session->instance = options->instance;
    session->heartbeat_ns = options->heartbeat_ns;
    session->send_limit = clamp(options->send_limit, FS_TRANSPORT_LOW, UINT32_MAX);
    session->queue_limit = session->send_limit;
    session->window = clamp(options->credit, FS_CREDIT_MIN, FS_SESSION_AHEAD_MAX / 2);
    session->may_receive = session->window;
    session->deadline_ns = fs_clock_boot(session->clock) + options->hello_ns;
    session->lane_window = options->lane_window;
    session->hello_ns = options->hello_ns;
    session->rtt_ns = -1;
    session->rtt_least_ns = -1;
    session->in_size = FS_FRAME_HEADER;
    session->next_stream = transport->dialed ? 1 : 2;
    if (!send_hello(session, options)) {
        transport->ops->close(transport);
        free(session);
        return NULL;
    }
    transport->events = &transport_events;
    transport->events_arg = session;
    return session;
}

void fs_session_free(struct fs_session *session)
{
    if (session == NULL) {
        return;
    }
    assert(!session->serving);
    if (session->state != SESSION_DOWN) {
        session->state = SESSION_DOWN;
        fs_error_set(&session->err, FS_ERR_CANCELLED, ECANCELED, "the session was closed");
        lose_streams(session);
    }
    session->transport->ops->close(session->transport);
    streams_fini(&session->streams);
    fs_buf_fini(&session->in);
    free(session);
}

/* --- what is known -------------------------------------------------------------------------- */

bool fs_session_is_up(const struct fs_session *session)
{
    return session->state == SESSION_UP;
}

const struct fs_hello *fs_session_peer(const struct fs_session *session)
{
    return session->peer.version_max == 0 ? NULL : &session->peer;
}

const struct fs_transport *fs_session_transport(const struct fs_session *session)
{
    return session->transport;
}

int64_t fs_session_rtt_ns(const struct fs_session *session)
{
    return session->rtt_ns;
}

int64_t fs_session_rtt_least_ns(const struct fs_session *session)
{
    return session->rtt_least_ns;
}

unsigned fs_session_rtt_samples(const struct fs_session *session)
{
    return session->rtt_samples;
}

int64_t fs_session_clock_offset_ns(const struct fs_session *session)
{
    return session->offset_ns;
}

/* What waits can become a little more on its way, by what TLS adds and by what is sent again. */
uint64_t fs_session_bytes_sent(struct fs_session *session)
{
    uint64_t waits = pending(session);
    uint64_t sent = session->bytes_queued > waits ? session->bytes_queued - waits : 0;
    session->bytes_sent = sent > session->bytes_sent ? sent : session->bytes_sent;
    return session->bytes_sent;
}

uint64_t fs_session_bytes_received(const struct fs_session *session)
{
    return session->bytes_received;
}

/* --- streams -------------------------------------------------------------------------------- */

uint32_t fs_session_open_stream(struct fs_session *session, const struct fs_stream_events *events,
                                void *arg)
{
    if (session->state != SESSION_UP || session->streams.count >= FS_SESSION_STREAMS_MAX) {
        return 0;
    }
    if (session->next_stream > UINT32_MAX - 2) {
        fs_session_end(session, "the numbers of streams are used up; connecting again");
        return 0;
    }
    struct stream *stream = streams_add(&session->streams, session->next_stream);
    if (stream == NULL) {
        return 0;
    }
    session->next_stream += 2;
    stream->events = events;
    stream->arg = arg;
    return stream->id;
}

bool fs_session_attach(struct fs_session *session, uint32_t id,
                       const struct fs_stream_events *events, void *arg)
{
    struct stream *stream = streams_find(&session->streams, id);
    if (stream == NULL) {
        return false;
    }
    assert(stream->events == NULL);
    stream->events = events;
    stream->arg = arg;
    session->abort_due = session->abort_due || stream->abort != NULL;
    return true;
}

void fs_session_detach(struct fs_session *session, uint32_t id)
{
    streams_remove(&session->streams, id);
}
