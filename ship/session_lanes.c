/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes of a session. Each side's LANES is the last thing that it sends as plain bytes on the
 * connection that the session began with; what it sends behind it is in blocks. So each direction
 * changes over at one byte, and before the first further lane both have.
 */
#include <openssl/crypto.h>
#include <unistd.h>

#include "ship/bundle.h"
#include "ship/codec.h"
#include "ship/session_private.h"

static void on_lost(void *arg, bool worked, const struct fs_error *err)
{
    struct fs_session *session = arg;
    if (session->state == SESSION_UP && session->events->lane_down != NULL) {
        session->events->lane_down(session->arg, session, worked, err);
    }
}

/* Says LANES and makes the transport a bundle. False when out of memory: nothing was said. */
static bool say_lanes(struct fs_session *session)
{
    const struct fs_lanes lanes = {.window = session->lane_window, .lane = session->lane};
    const struct bundle_options options = {
        .clock = session->clock,
        .window = session->lane_window,
        /* Before the third beat without a byte. */
        .stall_ns = session->heartbeat_ns + session->heartbeat_ns / 2,
        .wait_ns = session->hello_ns,
        .lost = on_lost,
        .arg = session,
    };
    struct fs_buf buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, FS_FRAME_LANES, FS_FRAME_CRITICAL, 0);
    fs_lanes_encode(&lanes, &buf);
    fs_frame_finish(&buf, start);
    struct fs_transport *bundle = buf.failed ? NULL : bundle_new(&options, session->transport);
    if (bundle == NULL) {
        fs_buf_fini(&buf);
        return false;
    }
    session_queue(session, &buf);
    session->transport = bundle;
    session->bundled = true;
    return true;
}

bool fs_session_ask_lanes(struct fs_session *session)
{
    return session->state == SESSION_UP && session->transport->dialed && !session->bundled &&
           session->lane_window > 0 && (session->peer.features & FS_FEATURE_LANES) != 0 &&
           say_lanes(session);
}

int session_handle_lanes(struct fs_session *session, const struct fs_frame *frame,
                         struct fs_error *err)
{
    struct fs_lanes lanes;
    int r = fs_lanes_decode(frame->payload, frame->length, &lanes, err);
    if (r < 0) {
        return r;
    }
    if (session->lane_window == 0 || session->lanes_open ||
        session->transport->dialed != session->bundled) {
        return fs_protocol_error(err, "a LANES that nobody asked for");
    }
    if (session->transport->dialed) {
        session->lane = lanes.lane;
    } else if (getentropy(session->lane.token, sizeof(session->lane.token)) < 0 ||
               !say_lanes(session)) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    session->lanes_open = true;
    bundle_open(session->transport, lanes.window);
    return 0;
}

bool fs_session_lanes_token(const struct fs_session *session, struct fs_lane *ret_lane)
{
    if (session->state != SESSION_UP || !session->lanes_open) {
        return false;
    }
    *ret_lane = session->lane;
    return true;
}

bool fs_session_owns_lane(const struct fs_session *session, const struct fs_lane *lane)
{
    return session->state == SESSION_UP && session->lanes_open && !session->transport->dialed &&
           CRYPTO_memcmp(lane->token, session->lane.token, sizeof(lane->token)) == 0;
}

bool fs_session_add_lane(struct fs_session *session, struct fs_transport *transport)
{
    if (session->state != SESSION_UP || !session->lanes_open) {
        transport->ops->close(transport);
        return false;
    }
    return bundle_add(session->transport, transport, session->transport->dialed);
}

bool session_lanes_heard(struct fs_session *session)
{
    return session->bundled && bundle_heard(session->transport);
}

unsigned fs_session_lanes(const struct fs_session *session)
{
    return session->bundled ? bundle_lanes(session->transport) : 1;
}
