/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of two sessions with one peer stays: both sites may dial at once, and each must keep the
 * same one without asking. Where the two are of the same daemons and were dialed by different
 * sides, the one that the side with the smaller instance dialed stays. Otherwise the newer one
 * does: its dialer knows that the older one is dead, or is a new process.
 */
#include "daemon/peer.h"

#include <stdio.h>
#include <stdlib.h>

#include "daemon/fence_look.h"
#include "daemon/fence_peer.h"
#include "daemon/groups.h"
#include "daemon/lanes.h"
#include "daemon/relocate.h"
#include "daemon/replica.h"
#include "daemon/terms.h"
#include "farshore/log.h"

#define DIAL_TIMEOUT_NS (10 * FS_SEC)
#define DIAL_FIRST_NS   (500 * FS_MSEC)
#define DIAL_LONGEST_NS (10 * FS_SEC)
/* A session that lasted so long was a good one: the next is dialed at once. */
#define GOOD_SESSION_NS (10 * FS_SEC)
/* Sessions whose peer is not known yet, and those that end. */
#define LINKS_MAX 64
/* Time windows begin and end with a minute; a clock that is set is noticed as soon. */
#define LOOK_NS (60 * FS_SEC)
#define NOT_WORKING                                                                                \
    "this site does not work now: its Ceph cluster is away, or another daemon works for it"

struct peer {
    struct fs_peers *peers;
    char name[FS_NAME_SIZE];
    struct link *link;   /* up, or NULL */
    void *dial;          /* under way, or NULL */
    struct link *dialed; /* our connection that has not said hello yet, or NULL */
    size_t endpoint;     /* the next one to try */
    unsigned attempts;   /* in a row without a session */
    int64_t dial_ns;     /* boot: not before */
    int64_t since_ns;    /* wall */
    int64_t up_ns;       /* boot: of the newest session */
    bool terms_heard;    /* in the present session: all of them */
    bool was_heard;      /* in any */
    char reason[600];
    uint64_t sent_before, received_before; /* of sessions that ended */
    struct fs_pacer pacer;                 /* of what all its sessions send */
    char window[FS_WINDOW_TEXT];           /* that the pacer's rate is of, or "" */
    struct fs_tuner tuner;                 /* of what is sent to it */
    struct fs_lane_dialer lanes;           /* of its session */
};

struct link {
    struct fs_peers *peers;
    struct fs_session *session;
    struct peer *peer; /* NULL until hello */
    bool ended;        /* down was called: to be freed */
    struct link *next;
};

struct fs_peers {
    struct fs_context *ctx;
    struct fs_peers_options options;
    bool active;
    struct peer **list; /* owned */
    size_t count;
    struct link *links;
    size_t n_links;
    int64_t look_ns; /* boot: when time windows are looked at again */
    struct fs_lanes_context lanes;
};

static void schedule_dial(struct peer *peer)
{
    struct fs_context *ctx = peer->peers->ctx;
    int64_t wait = DIAL_FIRST_NS;

    for (unsigned i = 1; i < peer->attempts && wait < DIAL_LONGEST_NS; i++) {
        wait *= 2;
    }
    if (wait > DIAL_LONGEST_NS) {
        wait = DIAL_LONGEST_NS;
    }
    /* Jitter of half, so that two sites that lost each other do not meet again and again. */
    struct fs_uuid random;
    fs_uuid_random(&random);
    wait = wait / 2 + wait * random.b[0] / 512;
    peer->dial_ns = fs_context_boot(ctx) + wait;
}

static struct peer *find_peer(const struct fs_peers *peers, const char *name)
{
    for (size_t i = 0; i < peers->count; i++) {
        if (strcmp(peers->list[i]->name, name) == 0) {
            return peers->list[i];
        }
    }
    return NULL;
}

/* --- sessions -------------------------------------------------------------------------------- */

static bool new_one_stays(const struct fs_peers *peers, const struct link *old,
                          const struct link *new, const struct fs_hello *hello)
{
    const struct fs_hello *before = fs_session_peer(old->session);
    bool old_dialed = fs_session_transport(old->session)->dialed;
    bool new_dialed = fs_session_transport(new->session)->dialed;

    if (!before || !fs_uuid_equal(&before->instance, &hello->instance) ||
        old_dialed == new_dialed) {
        return true;
    }
    bool ours_is_smaller = fs_uuid_compare(&peers->ctx->instance, &hello->instance) < 0;
    return new_dialed == ours_is_smaller;
}

static const char *refuse(const struct link *link, const char *site, const char *why)
{
    fs_log(FS_EV_PEER_REFUSED, FS_S("peer", site),
           FS_S("address", fs_session_transport(link->session)->address), FS_S("reason", why));
    return why;
}

static const char *on_hello(void *arg, struct fs_session *session, const struct fs_hello *hello)
{
    struct link *link = arg;
    struct fs_peers *peers = link->peers;
    struct fs_context *ctx = peers->ctx;
    const struct fs_transport *transport = fs_session_transport(session);
    const struct fs_config_peer *config = fs_config_find_peer(ctx->config, hello->site);

    link->session = session;
    if (!peers->active) {
        return NOT_WORKING;
    }
    if (strcmp(hello->site, ctx->config->site) == 0) {
        return refuse(link, hello->site, "both sites have the same name in their configuration");
    }
    if (!config) {
        return refuse(link, hello->site,
                      "this site has no peer of that name: add it to peers and reload");
    }
    if (!transport->peer_is(transport, config->tls_name)) {
        return refuse(link, hello->site,
                      "the certificate is not for that name: see tls_name of the peer");
    }
    struct peer *peer = find_peer(peers, hello->site);
    if (!peer) {
        return "this site is being reconfigured: try again";
    }
    if (fs_uuid_is_zero(&hello->site_uuid)) {
        return "that site does not work now: its Ceph cluster is away, or another daemon works";
    }
    if (fs_uuid_equal(&hello->site_uuid, &ctx->site_uuid)) {
        return refuse(link, hello->site, "both daemons work on the same Ceph cluster");
    }
    if (peer->link) {
        if (!new_one_stays(peers, peer->link, link, hello)) {
            return "there is a session already";
        }
        struct link *old = peer->link;
        old->peer = NULL;
        peer->sent_before += fs_session_bytes_sent(old->session);
        peer->received_before += fs_session_bytes_received(old->session);
        peer->link = NULL;
        fs_session_end(old->session, "there is a newer session");
    }
    link->peer = peer;
    peer->link = link;
    fs_session_set_pacer(session, &peer->pacer);
    return NULL;
}

static void on_up(void *arg, struct fs_session *session)
{
    struct link *link = arg;
    struct peer *peer = link->peer;
    struct fs_context *ctx = link->peers->ctx;

    if (!peer) {
        return;
    }
    peer->up_ns = fs_context_boot(ctx);
    peer->reason[0] = '\0';
    peer->since_ns = fs_context_wall(ctx);
    fs_log(FS_EV_PEER_UP, FS_S("peer", peer->name),
           FS_S("address", fs_session_transport(session)->address),
           FS_S("dialed", fs_session_transport(session)->dialed ? "yes" : "no"));
    peer->terms_heard = !(fs_session_peer(session)->features & FS_FEATURE_TERMS);
    fs_terms_send(ctx->groups, peer->name);
    fs_groups_peer_changed(ctx->groups, peer->name);
    ctx->kick(ctx->hook_arg);
}

static void on_terms(void *arg, struct fs_session *session, const struct fs_terms *terms)
{
    struct link *link = arg;
    struct peer *peer = link->peer;

    (void)session;
    if (peer) {
        fs_terms_heard(link->peers->ctx->groups, peer->name, terms);
        peer->terms_heard = peer->terms_heard || !terms->more;
        peer->was_heard = true;
        link->peers->ctx->kick(link->peers->ctx->hook_arg);
    }
}

static void on_move(void *arg, struct fs_session *session, const struct fs_move *move)
{
    struct link *link = arg;

    if (link->peer) {
        fs_relocate_asked(link->peers->ctx->groups, link->peer->name, session, move);
    }
}

static void on_move_answer(void *arg, struct fs_session *session,
                           const struct fs_move_answer *answer)
{
    struct link *link = arg;

    (void)session;
    if (link->peer) {
        fs_relocate_answered(link->peers->ctx->groups, link->peer->name, answer);
    }
}

static void on_down(void *arg, struct fs_session *session, const struct fs_error *err)
{
    struct link *link = arg;
    struct fs_peers *peers = link->peers;
    struct peer *peer = link->peer;

    link->ended = true;
    for (size_t i = 0; i < peers->count; i++) {
        if (peers->list[i]->dialed == link) {
            peers->list[i]->dialed = NULL;
            if (!peers->list[i]->link) {
                (void)snprintf(peers->list[i]->reason, sizeof(peers->list[i]->reason), "%s",
                               err->message);
            }
            schedule_dial(peers->list[i]);
        }
    }
    if (peer && peer->link == link) {
        peer->link = NULL;
        peer->sent_before += fs_session_bytes_sent(session);
        peer->received_before += fs_session_bytes_received(session);
        peer->since_ns = fs_context_wall(peers->ctx);
        (void)snprintf(peer->reason, sizeof(peer->reason), "%s", err->message);
        if (fs_context_boot(peers->ctx) - peer->up_ns >= GOOD_SESSION_NS) {
            peer->attempts = 0;
        }
        schedule_dial(peer);
        fs_log(FS_EV_PEER_DOWN, FS_S("peer", peer->name), FS_E(err));
        fs_groups_peer_changed(peers->ctx->groups, peer->name);
    }
    peers->ctx->kick(peers->ctx->hook_arg);
}

static void on_offer(void *arg, struct fs_session *session, uint32_t stream, struct fs_offer *offer)
{
    struct link *link = arg;

    if (!link->peer) {
        fs_refuse_offer(session, stream, FS_REFUSE_BUSY, "this session is ending");
        fs_offer_fini(offer);
        return;
    }
    fs_replica_offer(link->peers->ctx->groups, link->peer->name, session, stream, offer);
}

static void on_current(void *arg, struct fs_session *session, const struct fs_current_list *list)
{
    struct link *link = arg;

    (void)session;
    if (link->peer) {
        fs_replica_current(link->peers->ctx->groups, link->peer->name, list);
    }
}

static void on_current_ack(void *arg, struct fs_session *session,
                           const struct fs_current_list *list)
{
    struct link *link = arg;

    (void)session;
    if (link->peer) {
        fs_groups_current_acked(link->peers->ctx->groups, link->peer->name, list);
    }
}

static void on_verify(void *arg, struct fs_session *session, uint32_t stream,
                      const struct fs_verify *verify)
{
    struct link *link = arg;

    if (!link->peer) {
        fs_refuse_offer(session, stream, FS_REFUSE_BUSY, "this session is ending");
        return;
    }
    fs_verifier_asked(link->peers->ctx->groups->verifier, link->peer->name, session, stream,
                      verify);
}

static void on_digest_open(void *arg, struct fs_session *session, uint32_t stream,
                           const struct fs_digest_open *open)
{
    struct link *link = arg;

    if (!link->peer) {
        fs_refuse_offer(session, stream, FS_REFUSE_BUSY, "this session is ending");
        return;
    }
    fs_verifier_digest_open(link->peers->ctx->groups->verifier, link->peer->name, session, stream,
                            open);
}

static void on_lane_down(void *arg, struct fs_session *session, bool worked,
                         const struct fs_error *err)
{
    const struct link *link = arg;

    if (link->peer) {
        fs_log(FS_EV_LANE_DOWN, FS_S("peer", link->peer->name),
               FS_U("lanes", fs_session_lanes(session)), FS_E(err));
        fs_lane_dialer_lost(&link->peer->lanes, worked);
        link->peers->ctx->kick(link->peers->ctx->hook_arg);
    }
}

static void on_sooner(void *arg)
{
    struct link *link = arg;

    link->peers->ctx->kick(link->peers->ctx->hook_arg);
}

static void on_fence_want(void *arg, struct fs_session *session, const struct fs_fence_want *want)
{
    const struct link *link = arg;

    (void)session;
    if (link->peer) {
        fs_fence_peer_wanted(link->peers->ctx->groups, link->peer->name, want);
    }
}

static void on_fence_done(void *arg, struct fs_session *session, const struct fs_fence_done *done)
{
    const struct link *link = arg;

    (void)session;
    if (link->peer) {
        fs_fence_peer_done(link->peers->ctx->groups, link->peer->name, done);
    }
}

static void on_fence_look(void *arg, struct fs_session *session, const struct fs_fence_look *look)
{
    const struct link *link = arg;

    (void)session;
    if (link->peer) {
        fs_fence_look_asked(link->peers->ctx->groups->looks, link->peer->name, look);
    }
}

static void on_fence_seen(void *arg, struct fs_session *session, const struct fs_fence_seen *seen)
{
    const struct link *link = arg;

    (void)session;
    if (link->peer) {
        fs_fence_look_answered(link->peers->ctx->groups->looks, link->peer->name, seen);
    }
}

static const struct fs_session_events session_events = {
    .hello = on_hello,
    .up = on_up,
    .down = on_down,
    .offer = on_offer,
    .current = on_current,
    .current_ack = on_current_ack,
    .terms = on_terms,
    .move = on_move,
    .move_answer = on_move_answer,
    .fence_want = on_fence_want,
    .fence_done = on_fence_done,
    .fence_look = on_fence_look,
    .fence_seen = on_fence_seen,
    .verify = on_verify,
    .digest_open = on_digest_open,
    .lane_down = on_lane_down,
    .sooner = on_sooner,
};

static struct link *link_new(struct fs_peers *peers, struct fs_transport *transport)
{
    static const struct fs_uuid nobody;
    const struct fs_context *ctx = peers->ctx;
    const struct fs_session_options options = {
        .clock = ctx->clock,
        .site = ctx->config->site,
        /* Zero: the peer turns the session down, and knows why. */
        .site_uuid = peers->active ? ctx->site_uuid : nobody,
        .instance = ctx->instance,
        .software = peers->options.software,
        .credit = peers->options.credit,
        .heartbeat_ns = peers->options.heartbeat_ns,
        .hello_ns = peers->options.hello_ns,
        .send_limit = peers->options.send_limit,
        .lane_window = peers->options.lane_window,
    };
    struct link *link = peers->n_links < LINKS_MAX ? calloc(1, sizeof(*link)) : NULL;

    if (!link) {
        transport->ops->close(transport);
        return NULL;
    }
    link->peers = peers;
    link->session = fs_session_new(&options, transport, &session_events, link);
    if (!link->session) {
        free(link);
        return NULL;
    }
    link->next = peers->links;
    peers->links = link;
    peers->n_links++;
    peers->ctx->kick(peers->ctx->hook_arg);
    return link;
}

void fs_peers_accept(void *arg, struct fs_transport *transport)
{
    struct fs_peers *peers = arg;

    (void)link_new(peers, transport);
}

void fs_peers_accept_lane(void *arg, struct fs_transport *transport)
{
    struct fs_peers *peers = arg;

    fs_lanes_accept(&peers->lanes, transport);
}

/* --- dialing --------------------------------------------------------------------------------- */

static void on_dialed(void *arg, struct fs_transport *transport, const struct fs_error *err)
{
    struct peer *peer = arg;

    peer->dial = NULL;
    if (!transport) {
        (void)snprintf(peer->reason, sizeof(peer->reason), "%s", err->message);
        schedule_dial(peer);
    } else if (peer->link) {
        transport->ops->close(transport); /* the peer was faster */
    } else {
        peer->dialed = link_new(peer->peers, transport);
        if (!peer->dialed) {
            schedule_dial(peer);
        }
    }
    peer->peers->ctx->kick(peer->peers->ctx->hook_arg);
}

static bool wants_dial(const struct peer *peer, const struct fs_config_peer *config)
{
    return peer->peers->active && peer->peers->options.dial && config && config->n_endpoints > 0 &&
           !peer->link && !peer->dial && !peer->dialed;
}

static void dial(struct peer *peer, const struct fs_config_peer *config)
{
    struct fs_peers *peers = peer->peers;
    const char *endpoint = config->endpoints[peer->endpoint++ % config->n_endpoints];

    peer->attempts++;
    peer->dial = peers->options.dial(peers->options.arg, endpoint, on_dialed, peer);
    if (!peer->dial) {
        (void)snprintf(peer->reason, sizeof(peer->reason), "cannot dial %s", endpoint);
        schedule_dial(peer);
    }
}

static void cancel_dial(struct peer *peer)
{
    if (peer->dial) {
        peer->peers->options.cancel(peer->peers->options.arg, peer->dial);
        peer->dial = NULL;
    }
}

/* --- bandwidth ------------------------------------------------------------------------------- */

static void set_bandwidth(struct peer *peer, const struct fs_config_peer *config)
{
    const struct fs_context *ctx = peer->peers->ctx;
    const struct fs_window *window =
        fs_window_find(config->windows, config->n_windows, fs_context_wall(ctx));
    uint64_t bandwidth = window ? window->bytes_per_s : config->bandwidth;

    peer->window[0] = '\0';
    if (window) {
        fs_window_format(window, peer->window);
    }
    if (bandwidth != peer->pacer.bytes_per_s) {
        fs_pacer_set(&peer->pacer, bandwidth, fs_context_boot(ctx));
        fs_log(FS_EV_BANDWIDTH, FS_S("peer", peer->name), FS_U("bytes_per_second", bandwidth),
               FS_S("window", peer->window));
    }
}

static void set_compression(const struct fs_peers *peers)
{
    const struct fs_config *config = peers->ctx->config;

    for (size_t i = 0; i < peers->count; i++) {
        if (config->fixed_level) {
            fs_tuner_fix(&peers->list[i]->tuner, config->zstd_level);
        } else {
            fs_tuner_adapt(&peers->list[i]->tuner);
        }
    }
}

struct fs_tuner *fs_peers_tuner(const struct fs_peers *peers, const char *site)
{
    struct peer *peer = find_peer(peers, site);

    return peer ? &peer->tuner : NULL;
}

/* At the start of each minute. */
static void look_at_windows(struct fs_peers *peers)
{
    const struct fs_context *ctx = peers->ctx;
    int64_t into_minute = fs_context_wall(ctx) % LOOK_NS;

    peers->look_ns = fs_context_boot(ctx) + LOOK_NS - (into_minute > 0 ? into_minute : 0);
    for (size_t i = 0; i < peers->count; i++) {
        const struct fs_config_peer *config =
            fs_config_find_peer(ctx->config, peers->list[i]->name);
        if (config) {
            set_bandwidth(peers->list[i], config);
        }
    }
}

/* --- life ------------------------------------------------------------------------------------ */

static int add_peer(struct fs_peers *peers, const char *name)
{
    struct peer **list = reallocarray(peers->list, peers->count + 1, sizeof(struct peer *));

    if (!list) {
        return -ENOMEM;
    }
    peers->list = list;
    struct peer *peer = calloc(1, sizeof(*peer));
    if (!peer) {
        return -ENOMEM;
    }
    peer->peers = peers;
    peer->lanes = (struct fs_lane_dialer){.context = &peers->lanes, .name = peer->name};
    peer->since_ns = fs_context_wall(peers->ctx);
    fs_tuner_init(&peer->tuner, fs_pool_threads(peers->ctx->cpu),
                  peers->options.compression_memory);
    (void)snprintf(peer->name, sizeof(peer->name), "%s", name);
    (void)snprintf(peer->reason, sizeof(peer->reason), "not connected yet");
    peers->list[peers->count++] = peer;
    return 0;
}

struct fs_peers *fs_peers_new(struct fs_context *ctx, const struct fs_peers_options *options)
{
    struct fs_peers *peers = calloc(1, sizeof(*peers));

    if (!peers) {
        return NULL;
    }
    peers->ctx = ctx;
    peers->options = *options;
    peers->lanes =
        (struct fs_lanes_context){.ctx = ctx, .peers = peers, .options = &peers->options};
    for (size_t i = 0; i < ctx->config->n_peers; i++) {
        if (add_peer(peers, ctx->config->peers[i].name) < 0) {
            fs_peers_free(peers);
            return NULL;
        }
    }
    set_compression(peers);
    return peers;
}

static void free_ended(struct fs_peers *peers, bool all)
{
    struct link **at = &peers->links;

    while (*at) {
        struct link *link = *at;
        if (!all && !link->ended) {
            at = &link->next;
            continue;
        }
        *at = link->next;
        peers->n_links--;
        fs_session_free(link->session);
        free(link);
    }
}

void fs_peers_free(struct fs_peers *peers)
{
    if (!peers) {
        return;
    }
    free_ended(peers, true);
    fs_lanes_close(&peers->lanes);
    for (size_t i = 0; i < peers->count; i++) {
        cancel_dial(peers->list[i]);
        fs_lane_dialer_cancel(&peers->list[i]->lanes);
        free(peers->list[i]);
    }
    free(peers->list);
    free(peers);
}

void fs_peers_set_active(struct fs_peers *peers, bool active, const char *why)
{
    if (peers->active == active) {
        return;
    }
    peers->active = active;
    for (size_t i = 0; i < peers->count; i++) {
        struct peer *peer = peers->list[i];
        peer->attempts = 0;
        peer->dial_ns = 0;
        if (!active) {
            cancel_dial(peer);
        }
    }
    for (struct link *link = peers->links; link && !active; link = link->next) {
        if (!link->ended) {
            fs_session_end(link->session, why);
        }
    }
    peers->ctx->kick(peers->ctx->hook_arg);
}

void fs_peers_reconfigure(struct fs_peers *peers)
{
    const struct fs_config *config = peers->ctx->config;

    for (size_t i = 0; i < config->n_peers; i++) {
        if (!find_peer(peers, config->peers[i].name)) {
            (void)add_peer(peers, config->peers[i].name);
        }
    }
    for (size_t i = 0; i < peers->count; i++) {
        struct peer *peer = peers->list[i];
        const struct fs_config_peer *now = fs_config_find_peer(config, peer->name);
        peer->attempts = 0;
        peer->dial_ns = 0;
        if (now) {
            continue;
        }
        cancel_dial(peer);
        if (peer->link) {
            fs_session_end(peer->link->session, "the peer is not configured any more");
        }
    }
    look_at_windows(peers);
    set_compression(peers);
    peers->ctx->kick(peers->ctx->hook_arg);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t fs_peers_run(struct fs_peers *peers)
{
    int64_t now = fs_context_boot(peers->ctx);

    if (now >= peers->look_ns) {
        look_at_windows(peers);
    }
    int64_t next = earlier(peers->look_ns, fs_lanes_run(&peers->lanes));
    for (struct link *link = peers->links; link; link = link->next) {
        if (!link->ended && fs_session_deadline(link->session) <= now) {
            fs_session_tick(link->session);
        }
    }
    free_ended(peers, false);
    for (size_t i = 0; i < peers->count; i++) {
        struct peer *peer = peers->list[i];
        const struct fs_config_peer *config = fs_config_find_peer(peers->ctx->config, peer->name);
        if (config) {
            next = earlier(
                next, fs_lane_dialer_run(&peer->lanes, config->lanes, peer->pacer.bytes_per_s));
        }
        if (!wants_dial(peer, config)) {
            continue;
        }
        if (peer->dial_ns <= now) {
            dial(peer, config);
        }
        if (!peer->dial) {
            next = earlier(next, peer->dial_ns);
        }
    }
    for (struct link *link = peers->links; link; link = link->next) {
        next = earlier(next, fs_session_deadline(link->session));
    }
    return next;
}

struct fs_session *fs_peers_session(const struct fs_peers *peers, const char *site)
{
    const struct peer *peer = find_peer(peers, site);

    return peer && peer->link && fs_session_is_up(peer->link->session) ? peer->link->session : NULL;
}

struct fs_session *fs_peers_session_with_terms(const struct fs_peers *peers, const char *site)
{
    const struct peer *peer = find_peer(peers, site);

    return peer && peer->terms_heard ? fs_peers_session(peers, site) : NULL;
}

bool fs_peers_was_heard(const struct fs_peers *peers, const char *site)
{
    const struct peer *peer = find_peer(peers, site);

    return peer && peer->was_heard;
}

size_t fs_peers_count(const struct fs_peers *peers)
{
    return peers->count;
}

void fs_peers_status(const struct fs_peers *peers, size_t i, struct fs_peer_status *ret_status)
{
    const struct peer *peer = peers->list[i];
    struct fs_session *session = fs_peers_session(peers, peer->name);

    *ret_status = (struct fs_peer_status){
        .name = peer->name,
        .up = session != NULL,
        .address = "",
        .since_ns = peer->since_ns,
        .rtt_ns = -1,
        .reason = session ? "" : peer->reason,
        .sent_bytes = peer->sent_before,
        .received_bytes = peer->received_before,
        .bandwidth = peer->pacer.bytes_per_s,
        .window = peer->window,
        .compression_level = fs_tuner_level(&peer->tuner),
    };
    if (session) {
        ret_status->address = fs_session_transport(session)->address;
        ret_status->lanes = fs_session_lanes(session);
        ret_status->rtt_ns = fs_session_rtt_ns(session);
        ret_status->clock_offset_ns = fs_session_clock_offset_ns(session);
        ret_status->sent_bytes += fs_session_bytes_sent(session);
        ret_status->received_bytes += fs_session_bytes_received(session);
    }
}
