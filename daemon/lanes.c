/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/lanes.h"

#include <stdlib.h>

#include "farshore/log.h"

/* Where the round trip is shorter a lost packet is there again before anybody waits for it. */
#define RTT_SHORT_NS (5 * FS_MSEC)
/*
 * What one connection has on its way, at the mean, where one packet in a thousand is lost and
 * congestion control takes loss for congestion: 1.22 / sqrt(0.001) packets of 1,460 bytes, 56,000
 * bytes. Its rate is that for each round trip. Counted with three quarters: they recover from
 * losses at different times, and the line is to be full all the time (measured: 8 lanes 0.87 of it,
 * 12 lanes 0.96).
 */
#define LANE_IN_FLIGHT 42000u
/* Where no rate is configured. */
#define RATE_ASSUMED 12500000u /* bytes/s: 100 Mbit/s */
#define AUTO_MAX     12
/* Round trips that are measured before auto takes the way for a long one: a daemon that is busy
 * answers late, and a session on a short way would have lanes as long as it lasts. */
#define SAMPLES 4
/* While an answer of the peer is awaited. */
#define SOON_NS (50 * FS_MSEC)
/* Connections that have not said what they belong to. */
#define ARRIVALS_MAX 64

#define LANE_FRAME_SIZE (FS_FRAME_HEADER + sizeof(struct fs_lane))

struct fs_arrival {
    struct fs_lanes_context *context;
    struct fs_transport *transport; /* owned */
    struct fs_arrival *next;
    int64_t until_ns; /* boot */
    uint8_t frame[LANE_FRAME_SIZE];
    size_t have;
};

unsigned fs_lanes_wanted(unsigned configured, int64_t rtt_ns, uint64_t bytes_per_s)
{
    if (configured > 0) {
        return configured;
    }
    if (rtt_ns < RTT_SHORT_NS) {
        return 1;
    }
    double rate = bytes_per_s > 0 ? (double)bytes_per_s : RATE_ASSUMED;
    double lanes = rate * (double)rtt_ns / FS_SEC / LANE_IN_FLIGHT;
    return lanes >= AUTO_MAX ? AUTO_MAX : (unsigned)lanes + 1;
}

/* --- dialing --------------------------------------------------------------------------------- */

static void say_lane(struct fs_transport *transport, const struct fs_lane *lane)
{
    struct fs_buf buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, FS_FRAME_LANE, FS_FRAME_CRITICAL, 0);
    fs_lane_encode(lane, &buf);
    fs_frame_finish(&buf, start);
    if (buf.failed) {
        fs_buf_fini(&buf); /* the peer hears nothing and hangs up */
        return;
    }
    transport->ops->send(transport, &buf);
}

static void log_lane(enum fs_event event, const char *peer, const struct fs_session *session)
{
    fs_log(event, FS_S("peer", peer), FS_U("lanes", fs_session_lanes(session)));
}

void fs_lane_dialer_lost(struct fs_lane_dialer *dialer, bool worked)
{
    int64_t retry = worked || dialer->retry_ns == 0 ? FS_LANE_RETRY_NS : dialer->retry_ns;

    dialer->at_ns = fs_context_boot(dialer->context->ctx) + retry;
    dialer->retry_ns = worked                              ? 0
                       : retry * 2 < FS_LANE_RETRY_MOST_NS ? retry * 2
                                                           : FS_LANE_RETRY_MOST_NS;
}

static void on_dialed(void *arg, struct fs_transport *transport, const struct fs_error *err)
{
    struct fs_lane_dialer *dialer = arg;
    const struct fs_lanes_context *context = dialer->context;
    const struct fs_config_peer *config = fs_config_find_peer(context->ctx->config, dialer->name);
    struct fs_session *session = fs_peers_session(context->peers, dialer->name);
    struct fs_lane token;

    dialer->dial = NULL;
    if (!transport) {
        fs_lane_dialer_lost(dialer, false);
        fs_log(FS_EV_LANE_DOWN, FS_S("peer", dialer->name), FS_E(err));
    } else if (!session || !config || !fs_session_transport(session)->dialed ||
               !fs_session_lanes_token(session, &token) ||
               !transport->peer_is(transport, config->tls_name)) {
        fs_lane_dialer_lost(dialer, false);
        transport->ops->close(transport);
    } else {
        say_lane(transport, &token);
        if (fs_session_add_lane(session, transport)) {
            log_lane(FS_EV_LANE_UP, dialer->name, session);
        }
    }
    context->ctx->kick(context->ctx->hook_arg);
}

int64_t fs_lane_dialer_run(struct fs_lane_dialer *dialer, unsigned configured, uint64_t bytes_per_s)
{
    const struct fs_lanes_context *context = dialer->context;
    const struct fs_peers_options *options = context->options;
    struct fs_session *session = fs_peers_session(context->peers, dialer->name);
    int64_t now = fs_context_boot(context->ctx);
    struct fs_lane token;

    if (!session) {
        dialer->retry_ns = 0; /* the next one may have another way */
    }
    if (!session || dialer->dial || !options->dial_lane || options->lane_window == 0 ||
        !fs_session_transport(session)->dialed ||
        !(fs_session_peer(session)->features & FS_FEATURE_LANES)) {
        return INT64_MAX;
    }
    int64_t rtt = fs_session_rtt_least_ns(session);
    if (rtt < 0) {
        return now + SOON_NS;
    }
    if (fs_session_lanes(session) >= fs_lanes_wanted(configured, rtt, bytes_per_s)) {
        return INT64_MAX;
    }
    if (now < dialer->at_ns) {
        return dialer->at_ns;
    }
    if (configured == 0 && fs_session_rtt_samples(session) < SAMPLES) {
        fs_session_probe(session);
        dialer->at_ns = now + SOON_NS;
        return dialer->at_ns;
    }
    if (!fs_session_lanes_token(session, &token)) {
        (void)fs_session_ask_lanes(session); /* once; then the answer is awaited */
        return now + SOON_NS;
    }
    dialer->dial =
        options->dial_lane(options->arg, fs_session_transport(session)->address, on_dialed, dialer);
    if (!dialer->dial) {
        fs_lane_dialer_lost(dialer, false);
        return dialer->at_ns;
    }
    return INT64_MAX;
}

void fs_lane_dialer_cancel(struct fs_lane_dialer *dialer)
{
    if (dialer->dial) {
        dialer->context->options->cancel(dialer->context->options->arg, dialer->dial);
        dialer->dial = NULL;
    }
}

/* --- accepting ------------------------------------------------------------------------------- */

/* What is left of it is the caller's: its transport. */
static struct fs_transport *forget(struct fs_arrival *arrival)
{
    struct fs_transport *transport = arrival->transport;
    struct fs_arrival **at = &arrival->context->arrivals;

    while (*at != arrival) {
        at = &(*at)->next;
    }
    *at = arrival->next;
    arrival->context->n_arrivals--;
    free(arrival);
    return transport;
}

static void drop(struct fs_arrival *arrival)
{
    struct fs_transport *transport = forget(arrival);

    transport->ops->close(transport);
}

static void refuse(struct fs_arrival *arrival, const char *why)
{
    fs_log(FS_EV_PEER_REFUSED, FS_S("address", arrival->transport->address), FS_S("reason", why));
    drop(arrival);
}

static void join(struct fs_arrival *arrival, const struct fs_lane *lane)
{
    const struct fs_lanes_context *context = arrival->context;
    const struct fs_config *config = context->ctx->config;

    for (size_t i = 0; i < config->n_peers; i++) {
        const struct fs_config_peer *peer = &config->peers[i];
        struct fs_session *session = fs_peers_session(context->peers, peer->name);
        if (session && fs_session_owns_lane(session, lane) &&
            arrival->transport->peer_is(arrival->transport, peer->tls_name)) {
            if (fs_session_add_lane(session, forget(arrival))) {
                log_lane(FS_EV_LANE_UP, peer->name, session);
            }
            return;
        }
    }
    refuse(arrival, "a lane of a session that is not there");
}

static uint8_t *on_room(void *arg, size_t *ret_length)
{
    struct fs_arrival *arrival = arg;

    *ret_length = sizeof(arrival->frame) - arrival->have;
    return arrival->frame + arrival->have;
}

static void on_received(void *arg, size_t length)
{
    struct fs_arrival *arrival = arg;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_frame frame;
    struct fs_lane lane;

    arrival->have += length;
    long size = fs_frame_parse(arrival->frame, arrival->have, &frame, &err);
    if (size == 0 && arrival->have < sizeof(arrival->frame)) {
        return;
    }
    if (size != (long)sizeof(arrival->frame) || frame.type != FS_FRAME_LANE ||
        fs_lane_decode(frame.payload, frame.length, &lane, &err) < 0) {
        refuse(arrival, "a lane that does not begin with LANE");
        return;
    }
    join(arrival, &lane);
}

static void on_drained(void *arg)
{
    (void)arg;
}

static void on_closed(void *arg, const struct fs_error *err)
{
    (void)err;
    drop(arg);
}

static const struct fs_transport_events arrival_events = {
    .room = on_room,
    .received = on_received,
    .drained = on_drained,
    .closed = on_closed,
};

void fs_lanes_accept(struct fs_lanes_context *context, struct fs_transport *transport)
{
    struct fs_arrival *arrival =
        context->n_arrivals < ARRIVALS_MAX ? calloc(1, sizeof(*arrival)) : NULL;

    if (!arrival) {
        transport->ops->close(transport);
        return;
    }
    arrival->context = context;
    arrival->transport = transport;
    arrival->until_ns = fs_context_boot(context->ctx) + context->options->hello_ns;
    arrival->next = context->arrivals;
    context->arrivals = arrival;
    context->n_arrivals++;
    transport->events = &arrival_events;
    transport->events_arg = arrival;
    context->ctx->kick(context->ctx->hook_arg);
}

int64_t fs_lanes_run(struct fs_lanes_context *context)
{
    int64_t now = fs_context_boot(context->ctx), next = INT64_MAX;
    struct fs_arrival *arrival = context->arrivals;

    while (arrival) {
        struct fs_arrival *after = arrival->next;
        if (arrival->until_ns <= now) {
            refuse(arrival, "a lane that says nothing");
        } else if (arrival->until_ns < next) {
            next = arrival->until_ns;
        }
        arrival = after;
    }
    return next;
}

void fs_lanes_close(struct fs_lanes_context *context)
{
    while (context->arrivals) {
        drop(context->arrivals);
    }
}
