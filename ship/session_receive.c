/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What arrives: each frame is checked against the state and against the role of its stream, then
 * handled here (stream 0) or by whoever is attached. Whatever is wrong ends the session; the peer
 * is told why.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ship/codec.h"
#include "ship/session_private.h"

/* Who may send a frame type, and on which streams. */
enum place {
    PLACE_UNKNOWN,
    PLACE_CONTROL,     /* stream 0 */
    PLACE_FROM_SOURCE, /* on streams that the sending side opened; it asks, or is a source */
    PLACE_FROM_TARGET, /* on streams that the receiving side opened */
};

static enum place place_of(uint16_t type)
{
    switch (type) {
    case FS_FRAME_HELLO:
    case FS_FRAME_BYE:
    case FS_FRAME_PING:
    case FS_FRAME_PONG:
    case FS_FRAME_CREDIT:
    case FS_FRAME_LANES:
    case FS_FRAME_CURRENT:
    case FS_FRAME_CURRENT_ACK:
    case FS_FRAME_TERMS:
    case FS_FRAME_MOVE:
    case FS_FRAME_MOVE_ANSWER:
    case FS_FRAME_FENCE_WANT:
    case FS_FRAME_FENCE_DONE:
    case FS_FRAME_FENCE_LOOK:
    case FS_FRAME_FENCE_SEEN:
        return PLACE_CONTROL;
    case FS_FRAME_OFFER:
    case FS_FRAME_SEGMENT:
    case FS_FRAME_COMMIT:
    case FS_FRAME_ABORT:
    case FS_FRAME_OBJECTS_DATA:
    case FS_FRAME_VERIFY:
    case FS_FRAME_DIGEST_OPEN:
    case FS_FRAME_DIGEST_WANT:
        return PLACE_FROM_SOURCE;
    case FS_FRAME_ACCEPT:
    case FS_FRAME_REFUSE:
    case FS_FRAME_PROGRESS:
    case FS_FRAME_COMMITTED:
    case FS_FRAME_OBJECTS_WANT:
    case FS_FRAME_VERIFY_REPORT:
    case FS_FRAME_DIGEST_READY:
    case FS_FRAME_DIGEST_BATCH:
        return PLACE_FROM_TARGET;
    default:
        return PLACE_UNKNOWN;
    }
}

/* --- stream 0 ------------------------------------------------------------------------------- */

/* Both ends come to the same result: neither speaks before it. */
static int check_hello(const struct fs_session *session, const struct fs_hello *hello,
                       struct fs_error *err)
{
    if (hello->version_min > FS_WIRE_VERSION || hello->version_max < FS_WIRE_VERSION_MIN) {
        return fs_error_set(err, FS_ERR_PEER, EPROTONOSUPPORT,
                            "no common protocol version: %s (%s) speaks %u to %u, the other side "
                            "(" FARSHORE_VERSION ") %u to %u; upgrade the older Farshore",
                            hello->site, hello->software, hello->version_min, hello->version_max,
                            FS_WIRE_VERSION_MIN, FS_WIRE_VERSION);
    }
    if (fs_uuid_equal(&hello->instance, &session->instance)) {
        return fs_error_set(err, FS_ERR_CONFIG, ELOOP,
                            "this daemon is connected to itself: correct the peer's endpoints");
    }
    if (fs_uuid_equal(&hello->site_uuid, &session->site_uuid)) {
        return fs_error_set(err, FS_ERR_CONFIG, ELOOP,
                            "the peer %s works on the same Ceph cluster as this site: a peer "
                            "must have a cluster of its own",
                            hello->site);
    }
    return 0;
}

static int handle_hello(struct fs_session *session, const struct fs_frame *frame,
                        struct fs_error *err)
{
    if (session->state != SESSION_HELLO) {
        return fs_protocol_error(err, "a second HELLO");
    }
    struct fs_hello hello;
    int r = fs_hello_decode(frame->payload, frame->length, &hello, err);
    if (r == 0) {
        r = check_hello(session, &hello, err);
    }
    if (r < 0) {
        return r;
    }
    const char *refusal = session->events->hello(session->arg, session, &hello);
    if (session->state != SESSION_HELLO) {
        return 0; /* the owner ended the session meanwhile */
    }
    if (refusal != NULL) {
        struct fs_error refused = FS_ERROR_INIT;
        fs_error_set(&refused, FS_ERR_PEER, EACCES, "the peer %s at %s was turned away: %s",
                     hello.site, session->transport->address, refusal);
        session_fail(session, &refused, refusal);
        return 0;
    }
    session->peer = hello;
    session->may_send = hello.credit;
    session->state = SESSION_UP;
    session->heard = true;
    session->next_beat_ns = fs_clock_boot(session->clock); /* the first ping at once */
    session->events->up(session->arg, session);
    return 0;
}

static int handle_bye(struct fs_session *session, const struct fs_frame *frame,
                      struct fs_error *err)
{
    struct fs_text bye;
    int r = fs_text_decode(frame->payload, frame->length, &bye, err);
    if (r < 0) {
        return r;
    }
    fs_error_set(&session->err, FS_ERR_PEER, ECONNABORTED, "the peer ended the session: %s",
                 bye.text);
    session_finish(session);
    return 0;
}

static int handle_ping(struct fs_session *session, const struct fs_frame *frame,
                       struct fs_error *err)
{
    struct fs_ping ping;
    int r = fs_ping_decode(frame->payload, frame->length, &ping, err);
    if (r == 0) {
        ping.wall_ns = fs_clock_wall(session->clock);
        session_send_ping(session, FS_FRAME_PONG, &ping);
    }
    return r;
}

/* A step of the usual 1/8 smoothing, without overflow for whatever the peer claims. */
static int64_t smooth(int64_t old, int64_t sample)
{
    return old - old / 8 + sample / 8;
}

static int handle_pong(struct fs_session *session, const struct fs_frame *frame,
                       struct fs_error *err)
{
    struct fs_ping pong;
    int r = fs_ping_decode(frame->payload, frame->length, &pong, err);
    if (r < 0) {
        return r;
    }
    int64_t now = fs_clock_boot(session->clock);
    if (pong.id == 0 || pong.id > session->last_ping || pong.boot_ns > (uint64_t)now) {
        return fs_protocol_error(err, "a PONG without a PING");
    }
    int64_t rtt = now - (int64_t)pong.boot_ns;
    int64_t offset;
    if (__builtin_sub_overflow(pong.wall_ns, fs_clock_wall(session->clock) - rtt / 2, &offset)) {
        return fs_protocol_error(err, "an impossible clock");
    }
    bool first = session->rtt_ns < 0;
    session->rtt_samples++;
    session->rtt_least_ns = first || rtt < session->rtt_least_ns ? rtt : session->rtt_least_ns;
    session->rtt_ns = first ? rtt : smooth(session->rtt_ns, rtt);
    session->offset_ns = first ? offset : smooth(session->offset_ns, offset);
    return 0;
}

static int handle_credit(struct fs_session *session, const struct fs_frame *frame,
                         struct fs_error *err)
{
    struct fs_credit credit;
    int r = fs_credit_decode(frame->payload, frame->length, &credit, err);
    if (r < 0) {
        return r;
    }
    if (credit.bytes > session->peer.credit - session->may_send) {
        return fs_protocol_error(err, "a CREDIT for more than was sent");
    }
    session->may_send += credit.bytes;
    session_serve(session);
    return 0;
}

static int handle_current(struct fs_session *session, const struct fs_frame *frame,
                          struct fs_error *err)
{
    struct fs_current_list list;
    int r = fs_current_list_decode(frame->payload, frame->length, &list, err);
    if (r < 0) {
        return r;
    }
    if (frame->type == FS_FRAME_CURRENT) {
        session->events->current(session->arg, session, &list);
    } else {
        session->events->current_ack(session->arg, session, &list);
    }
    fs_current_list_fini(&list);
    return 0;
}

static int handle_terms(struct fs_session *session, const struct fs_frame *frame,
                        struct fs_error *err)
{
    struct fs_terms terms;
    int r = fs_terms_decode(frame->payload, frame->length, &terms, err);
    if (r < 0) {
        return r;
    }
    if (session->events->terms != NULL) {
        session->events->terms(session->arg, session, &terms);
    }
    fs_terms_fini(&terms);
    return 0;
}

static int handle_move(struct fs_session *session, const struct fs_frame *frame,
                       struct fs_error *err)
{
    struct fs_move move;
    int r = fs_move_decode(frame->payload, frame->length, &move, err);
    if (r == 0 && session->events->move != NULL) {
        session->events->move(session->arg, session, &move);
    }
    return r;
}

static int handle_fence_want(struct fs_session *session, const struct fs_frame *frame,
                             struct fs_error *err)
{
    struct fs_fence_want want;
    int r = fs_fence_want_decode(frame->payload, frame->length, &want, err);
    if (r == 0 && session->events->fence_want != NULL) {
        session->events->fence_want(session->arg, session, &want);
    }
    return r;
}

static int handle_move_answer(struct fs_session *session, const struct fs_frame *frame,
                              struct fs_error *err)
{
    struct fs_move_answer answer;
    int r = fs_move_answer_decode(frame->payload, frame->length, &answer, err);
    if (r == 0 && session->events->move_answer != NULL) {
        session->events->move_answer(session->arg, session, &answer);
    }
    return r;
}

static int handle_fence_done(struct fs_session *session, const struct fs_frame *frame,
                             struct fs_error *err)
{
    struct fs_fence_done done;
    int r = fs_fence_done_decode(frame->payload, frame->length, &done, err);
    if (r == 0 && session->events->fence_done != NULL) {
        session->events->fence_done(session->arg, session, &done);
    }
    return r;
}

static int handle_fence_look(struct fs_session *session, const struct fs_frame *frame,
                             struct fs_error *err)
{
    struct fs_fence_look look;
    int r = fs_fence_look_decode(frame->payload, frame->length, &look, err);
    if (r == 0 && session->events->fence_look != NULL) {
        session->events->fence_look(session->arg, session, &look);
    }
    return r;
}

static int handle_fence_seen(struct fs_session *session, const struct fs_frame *frame,
                             struct fs_error *err)
{
    struct fs_fence_seen seen;
    int r = fs_fence_seen_decode(frame->payload, frame->length, &seen, err);
    if (r < 0) {
        return r;
    }
    if (session->events->fence_seen != NULL) {
        session->events->fence_seen(session->arg, session, &seen);
    }
    fs_fence_seen_fini(&seen);
    return 0;
}

static int handle_control(struct fs_session *session, const struct fs_frame *frame,
                          struct fs_error *err)
{
    if (frame->stream != 0) {
        return fs_protocol_error(err, "%s on stream %u", fs_frame_type_name(frame->type),
                                 frame->stream);
    }
    switch (frame->type) {
    case FS_FRAME_HELLO:
        return handle_hello(session, frame, err);
    case FS_FRAME_BYE:
        return handle_bye(session, frame, err);
    case FS_FRAME_PING:
        return handle_ping(session, frame, err);
    case FS_FRAME_PONG:
        return handle_pong(session, frame, err);
    case FS_FRAME_CREDIT:
        return handle_credit(session, frame, err);
    case FS_FRAME_LANES:
        return session_handle_lanes(session, frame, err);
    case FS_FRAME_TERMS:
        return handle_terms(session, frame, err);
    case FS_FRAME_MOVE:
        return handle_move(session, frame, err);
    case FS_FRAME_MOVE_ANSWER:
        return handle_move_answer(session, frame, err);
    case FS_FRAME_FENCE_WANT:
        return handle_fence_want(session, frame, err);
    case FS_FRAME_FENCE_DONE:
        return handle_fence_done(session, frame, err);
    case FS_FRAME_FENCE_LOOK:
        return handle_fence_look(session, frame, err);
    case FS_FRAME_FENCE_SEEN:
        return handle_fence_seen(session, frame, err);
    default:
        return handle_current(session, frame, err);
    }
}

/* --- streams -------------------------------------------------------------------------------- */

static void refuse_offer(struct fs_session *session, uint32_t stream)
{
    struct fs_refuse refuse = {
        .reason = FS_REFUSE_BUSY,
        .message = "too many transfers at once; it will be tried again",
    };
    struct fs_buf buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, FS_FRAME_REFUSE, FS_FRAME_CRITICAL, stream);
    fs_refuse_encode(&refuse, &buf);
    fs_frame_finish(&buf, start);
    fs_session_send(session, &buf);
}

static int handle_offer(struct fs_session *session, const struct fs_frame *frame,
                        struct fs_error *err)
{
    if (frame->stream <= session->peer_stream) {
        return fs_protocol_error(err, "OFFER on stream %u after %u", frame->stream,
                                 session->peer_stream);
    }
    struct fs_offer offer;
    int r = fs_offer_decode(frame->payload, frame->length, &offer, err);
    if (r < 0) {
        return r;
    }
    session->peer_stream = frame->stream;
    if (session->streams.count >= FS_SESSION_STREAMS_MAX ||
        streams_add(&session->streams, frame->stream) == NULL) {
        fs_offer_fini(&offer);
        refuse_offer(session, frame->stream);
        return 0;
    }
    session->events->offer(session->arg, session, frame->stream, &offer);
    return 0;
}

/* VERIFY and DIGEST_OPEN open a stream as an OFFER does. */
static int handle_question(struct fs_session *session, const struct fs_frame *frame,
                           struct fs_error *err)
{
    struct fs_verify verify;
    struct fs_digest_open open;
    bool digests = frame->type == FS_FRAME_DIGEST_OPEN;
    if (frame->stream <= session->peer_stream) {
        return fs_protocol_error(err, "%s on stream %u after %u", fs_frame_type_name(frame->type),
                                 frame->stream, session->peer_stream);
    }
    int r = digests ? fs_digest_open_decode(frame->payload, frame->length, &open, err)
                    : fs_verify_decode(frame->payload, frame->length, &verify, err);
    if (r < 0) {
        return r;
    }
    session->peer_stream = frame->stream;
    if (session->streams.count >= FS_SESSION_STREAMS_MAX || session->events->verify == NULL ||
        streams_add(&session->streams, frame->stream) == NULL) {
        refuse_offer(session, frame->stream);
    } else if (digests) {
        session->events->digest_open(session->arg, session, frame->stream, &open);
    } else {
        session->events->verify(session->arg, session, frame->stream, &verify);
    }
    return 0;
}

/* The stream is offered and its owner has yet to decide: only ABORT is possible. */
static int handle_unattached(struct stream *stream, const struct fs_frame *frame,
                             struct fs_error *err)
{
    if (frame->type != FS_FRAME_ABORT || stream->abort != NULL) {
        return fs_protocol_error(err, "%s on stream %u before ACCEPT",
                                 fs_frame_type_name(frame->type), frame->stream);
    }
    stream->abort = calloc(1, sizeof(*stream->abort));
    if (stream->abort == NULL) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    return fs_text_decode(frame->payload, frame->length, stream->abort, err);
}

void session_deliver_aborts(struct fs_session *session)
{
    if (!session->abort_due) {
        return;
    }
    session->abort_due = false;
    uint32_t at = 0;
    for (struct stream *stream = streams_next(&session->streams, at); stream != NULL;
         stream = streams_next(&session->streams, at)) {
        at = stream->id;
        if (stream->abort == NULL || stream->events == NULL) {
            continue;
        }
        struct fs_buf buf = FS_BUF_INIT;
        fs_text_encode(stream->abort, &buf);
        free(stream->abort);
        stream->abort = NULL;
        struct fs_frame frame = {
            .type = FS_FRAME_ABORT,
            .flags = FS_FRAME_CRITICAL,
            .stream = at,
            .length = (uint32_t)buf.length,
            .payload = buf.data,
        };
        struct fs_error err = FS_ERROR_INIT;
        if (stream->events->frame(stream->arg, &frame, &err) != 0) {
            session_fail(session, &err, err.message);
        }
        fs_buf_fini(&buf);
    }
}

static bool is_peers(const struct fs_session *session, uint32_t stream)
{
    return (stream & 1) != (session->next_stream & 1);
}

static bool costs_credit(const struct fs_frame *frame)
{
    return frame->type == FS_FRAME_SEGMENT || frame->type == FS_FRAME_OBJECTS_DATA;
}

/* A stream that is not there was let go of, if its number was ever used. */
static int handle_late(struct fs_session *session, const struct fs_frame *frame,
                       struct fs_error *err)
{
    bool was_there = is_peers(session, frame->stream) ? frame->stream <= session->peer_stream
                                                      : frame->stream < session->next_stream;
    if (!was_there) {
        return fs_protocol_error(err, "%s on stream %u, which was never opened",
                                 fs_frame_type_name(frame->type), frame->stream);
    }
    if (costs_credit(frame)) {
        fs_session_release_credit(session, frame->length);
    }
    return 0;
}

static int handle_stream(struct fs_session *session, const struct fs_frame *frame, enum place place,
                         struct fs_error *err)
{
    if (frame->stream == 0 || is_peers(session, frame->stream) != (place == PLACE_FROM_SOURCE)) {
        return fs_protocol_error(err, "%s on stream %u", fs_frame_type_name(frame->type),
                                 frame->stream);
    }
    if (frame->type == FS_FRAME_OFFER) {
        return handle_offer(session, frame, err);
    }
    if (frame->type == FS_FRAME_VERIFY || frame->type == FS_FRAME_DIGEST_OPEN) {
        return handle_question(session, frame, err);
    }
    if (costs_credit(frame)) {
        if (frame->length > session->may_receive) {
            return fs_protocol_error(err, "%s of %u bytes with %llu of credit left",
                                     fs_frame_type_name(frame->type), frame->length,
                                     (unsigned long long)session->may_receive);
        }
        session->may_receive -= frame->length;
    }
    struct stream *stream = streams_find(&session->streams, frame->stream);
    if (stream == NULL) {
        return handle_late(session, frame, err);
    }
    if (stream->events == NULL) {
        return handle_unattached(stream, frame, err);
    }
    return stream->events->frame(stream->arg, frame, err);
}

/* --- all ------------------------------------------------------------------------------------ */

static int handle_frame(struct fs_session *session, const struct fs_frame *frame,
                        struct fs_error *err)
{
    if (session->state == SESSION_HELLO && frame->type != FS_FRAME_HELLO &&
        frame->type != FS_FRAME_BYE) {
        return fs_protocol_error(err, "%s before HELLO", fs_frame_type_name(frame->type));
    }
    enum place place = place_of(frame->type);
    if (place == PLACE_CONTROL) {
        return handle_control(session, frame, err);
    }
    if (place != PLACE_UNKNOWN) {
        return handle_stream(session, frame, place, err);
    }
    if ((frame->flags & FS_FRAME_CRITICAL) != 0) {
        return fs_protocol_error(
            err, "a frame of the unknown critical type %u; upgrade the older Farshore",
            frame->type);
    }
    return 0;
}

static bool listening(const struct fs_session *session)
{
    return session->state == SESSION_HELLO || session->state == SESSION_UP;
}

/* Exactly size bytes, with what is there: a handler may keep the buffer, and its memory counts. */
static bool fit(struct fs_buf *buf, size_t size)
{
    if (buf->capacity == size) {
        return true;
    }
    uint8_t *data = realloc(buf->data, size);
    if (data == NULL) {
        return false;
    }
    buf->data = data;
    buf->capacity = size;
    return true;
}

uint8_t *session_room(void *arg, size_t *ret_length)
{
    struct fs_session *session = arg;
    if (!fit(&session->in, session->in_size)) {
        return NULL;
    }
    *ret_length = session->in_size - session->in.length;
    return session->in.data + session->in.length;
}

static void next_frame(struct fs_session *session)
{
    session->in.length = 0;
    session->in_size = FS_FRAME_HEADER;
}

/* A part of a header is there (what is no frame shows early), all of it, or a whole frame. */
static int take(struct fs_session *session, struct fs_error *err)
{
    struct fs_frame frame;
    long size = fs_frame_parse(session->in.data, session->in.length, &frame, err);
    if (size < 0) {
        next_frame(session); /* the session ends; there is always room for what still comes */
        return (int)size;
    }
    if (size == 0 && session->in.length == FS_FRAME_HEADER) {
        session->in_size = FS_FRAME_HEADER + fs_frame_length(session->in.data);
    }
    if (size == 0) {
        return 0;
    }
    session->bytes_received += (uint64_t)size;
    frame.buf = &session->in;
    int r = handle_frame(session, &frame, err);
    next_frame(session);
    return r;
}

void session_received(void *arg, size_t length)
{
    struct fs_session *session = arg;
    struct fs_error err = FS_ERROR_INIT;
    session->heard = true;
    session->in.length += length;
    if (!listening(session)) {
        next_frame(session);
        return;
    }
    bool due = session->in.length <= FS_FRAME_HEADER || session->in.length == session->in_size;
    if (due && take(session, &err) != 0) {
        fs_error_set(&err, FS_ERR_BUG, EPROTO, "a frame was not accepted");
        session_fail(session, &err, err.message);
    }
}
