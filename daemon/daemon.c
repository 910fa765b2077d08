/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop does one thing at a time: whatever happens (a letter, a frame, a timer, a request) ends
 * in another round, in which every part starts what is due and says when it wants to be asked
 * again. A round looks at all groups, so it never runs from inside a callback, and once for any
 * number of them.
 */
#include "daemon/daemon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "daemon/commands.h"
#include "daemon/control.h"
#include "daemon/hook.h"
#include "daemon/host.h"
#include "daemon/http.h"
#include "daemon/kube_source.h"
#include "daemon/quiescer.h"
#include "daemon/reload.h"
#include "daemon/workload.h"
#include "farshore/log.h"

#define EXIT_CONFIGURATION 2

#define LIFE_THREADS     3
#define BLOCKING_THREADS 8
#define CPU_THREADS_MAX  16
#define HANDSHAKES_MAX   64
#define HANDSHAKE_NS     (10 * FS_SEC)
#define DIAL_TIMEOUT_NS  (10 * FS_SEC)
#define HEARTBEAT_NS     (5 * FS_SEC)
#define HELLO_NS         (10 * FS_SEC)
/* Enough for every link. What waits in a longer queue holds up other groups, and answers. */
#define SEND_QUEUE_MAX (UINT64_C(8) << 20)
/* Bytes that lanes may be ahead of each other: a second of 100 Mbit/s and some. */
#define LANE_WINDOW_MAX (UINT64_C(16) << 20)
#define STATUS_EVERY_NS (1 * FS_SEC)
/* SIGTERM to exit takes at most 5 s, whatever hangs; where something is frozen for snapshots that
 * hang it is thawed in some more. */
#define STOP_NS (4500 * FS_MSEC)
#define THAW_NS (3 * FS_SEC)

/* --- the round ------------------------------------------------------------------------------- */

static void kick(void *arg)
{
    struct fs_daemon *daemon = arg;

    event_active(daemon->run_event, 0, 0);
}

static void site_lost(void *arg, const struct fs_error *err)
{
    struct fs_daemon *daemon = arg;

    fs_work_lost(daemon->work, err);
}

static void earlier(int64_t *next, int64_t other)
{
    if (other < *next) {
        *next = other;
    }
}

static void tell_status(const struct fs_daemon *daemon)
{
    const struct fs_groups *groups = daemon->ctx.groups;
    int64_t worst = -1;
    size_t shown = 0, unwell = 0;

    for (size_t i = 0; i < groups->count; i++) {
        const struct fs_group *group = groups->list[i];
        if (group->let_go) {
            continue;
        }
        int64_t lag = fs_group_lag_ns(group);
        shown++;
        unwell += group->reported != FS_STATE_OK;
        worst = lag > worst ? lag : worst;
    }
    (void)sd_notifyf(0, "STATUS=%zu groups, %zu not ok; worst RPO lag %lld s%s%s", shown, unwell,
                     (long long)(worst < 0 ? 0 : worst / FS_SEC), daemon->ctx.source ? "" : "; ",
                     daemon->ctx.source ? "" : daemon->ctx.site_reason);
}

static int64_t keep_in_touch(struct fs_daemon *daemon, int64_t now)
{
    int64_t next = INT64_MAX;

    if (daemon->watchdog_ns > 0) {
        if (now >= daemon->watchdog_at_ns) {
            daemon->watchdog_at_ns = now + daemon->watchdog_ns;
            (void)sd_notify(0, "WATCHDOG=1");
        }
        earlier(&next, daemon->watchdog_at_ns);
    }
    if (now >= daemon->status_at_ns) {
        daemon->status_at_ns = now + STATUS_EVERY_NS;
        if (!daemon->stopping) {
            tell_status(daemon);
        }
        fs_log_flush_repeats();
    }
    earlier(&next, daemon->status_at_ns);
    return next;
}

static void free_retired(struct fs_daemon *daemon)
{
    while (daemon->n_retired > 0 && !fs_work_reads_config(daemon->work)) {
        fs_config_free(daemon->retired[--daemon->n_retired]);
    }
}

static void run_cb(evutil_socket_t fd, short what, void *arg)
{
    struct fs_daemon *daemon = arg;
    int64_t next = INT64_MAX;

    (void)fd;
    (void)what;
    earlier(&next, fs_work_run(daemon->work));
    earlier(&next, fs_peers_run(daemon->ctx.peers));
    earlier(&next, fs_groups_run(daemon->ctx.groups));
    earlier(&next, fs_commands_run(daemon->commands));
    free_retired(daemon);

    int64_t now = fs_context_boot(&daemon->ctx);
    earlier(&next, keep_in_touch(daemon, now));
    if (!daemon->stopping) {
        earlier(&next, fs_certificates_run(daemon, now));
        earlier(&next, fs_enrolment_run(daemon, now));
    }
    if (daemon->stopping) {
        if (fs_work_stopped(daemon->work) && !daemon->enrolment.asking) {
            (void)event_base_loopbreak(daemon->base);
            return;
        }
        if (now >= daemon->stop_by_ns && !daemon->thawing &&
            fs_quiesce_thaw_all(daemon->ctx.groups)) {
            daemon->thawing = true;
            daemon->stop_by_ns = now + THAW_NS;
        }
        if (now >= daemon->stop_by_ns ||
            (daemon->thawing && !fs_quiesce_thaw_all(daemon->ctx.groups))) {
            /* Something hangs in the cluster. What is durable stays; the rest is for the next
             * start. */
            _exit(EXIT_SUCCESS);
        }
        earlier(&next, daemon->stop_by_ns);
    }
    int64_t wait = next > now ? next - now : 0;
    const struct timeval timeout = {
        .tv_sec = wait / FS_SEC, .tv_usec = wait % FS_SEC / 1000 + 1, /* never a moment too early */
    };
    (void)event_add(daemon->timer_event, &timeout);
}

static void mail_cb(evutil_socket_t fd, short what, void *arg)
{
    struct fs_daemon *daemon = arg;

    (void)fd;
    (void)what;
    if (fs_mailbox_drain(daemon->mailbox) > 0) {
        kick(daemon);
    }
}

/* --- signals --------------------------------------------------------------------------------- */

static void stop(struct fs_daemon *daemon)
{
    if (daemon->stopping) {
        return;
    }
    daemon->stopping = true;
    daemon->stop_by_ns = fs_context_boot(&daemon->ctx) + STOP_NS;
    (void)sd_notify(0, "STOPPING=1\nSTATUS=stopping");
    fs_log(FS_EV_STOPPING, FS_S("site", daemon->config->site));
    if (daemon->listener) {
        fs_tls_listener_free(daemon->listener);
        daemon->listener = NULL;
    }
    fs_work_stop(daemon->work);
    kick(daemon);
}

static void log_findings(char *text)
{
    char *rest = text, *line;

    while (rest && (line = strsep(&rest, "\n"))) {
        if (*line) {
            fs_log(FS_EV_RELOAD_REFUSED, FS_S("finding", line));
        }
    }
}

static int load_next(struct fs_daemon *daemon, struct fs_config **ret_next, struct fs_error *err)
{
    char *findings = NULL;
    size_t length = 0;
    FILE *errors = open_memstream(&findings, &length);
    int rc = fs_config_load(daemon->config_path, errors, ret_next, err);

    if (errors) {
        (void)fclose(errors);
        if (rc < 0) {
            log_findings(findings);
        }
        free(findings);
    }
    return rc;
}

static void reload(struct fs_daemon *daemon)
{
    struct fs_error err = FS_ERROR_INIT;
    struct fs_config *next = NULL;

    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
                     (unsigned long long)(fs_monotonic_ns() / 1000));
    int rc = load_next(daemon, &next, &err);
    if (rc == 0) {
        rc = fs_reload_check(daemon->config, next, &err);
    }
    if (rc == 0 && daemon->n_retired == FS_CONFIGS_RETIRED_MAX) {
        rc = fs_error_set(&err, FS_ERR_TRANSIENT, EBUSY,
                          "a discovery still works with an older configuration: reload again "
                          "later");
    }
    if (rc == 0) {
        rc = fs_certificates_load(daemon, next, &err);
    }
    if (rc < 0) {
        fs_log(FS_EV_RELOAD_REFUSED, FS_S("file", daemon->config_path), FS_E(&err));
        fs_config_free(next);
    } else {
        daemon->retired[daemon->n_retired++] = daemon->config;
        daemon->config = next;
        daemon->ctx.config = next;
        fs_peers_reconfigure(daemon->ctx.peers);
        fs_kube_source_reconfigure(daemon->ctx.kubernetes);
        fs_work_discover(daemon->work);
        fs_log(FS_EV_RELOADED, FS_S("file", daemon->config_path));
    }
    (void)sd_notify(0, "READY=1");
    kick(daemon);
}

static void signal_cb(evutil_socket_t number, short what, void *arg)
{
    struct fs_daemon *daemon = arg;

    (void)what;
    if (number != SIGHUP) {
        stop(daemon);
    } else if (!daemon->stopping) {
        reload(daemon);
    }
}

/* --- the network ----------------------------------------------------------------------------- */

static void *dial(void *arg, const char *endpoint, fs_tls_dialed_fn *dialed, void *dialed_arg)
{
    struct fs_daemon *daemon = arg;

    return fs_tls_dial(daemon->base, daemon->tls, endpoint, DIAL_TIMEOUT_NS, dialed, dialed_arg);
}

static void *dial_lane(void *arg, const char *endpoint, fs_tls_dialed_fn *dialed, void *dialed_arg)
{
    struct fs_daemon *daemon = arg;

    return fs_tls_dial_lane(daemon->base, daemon->tls, endpoint, DIAL_TIMEOUT_NS, dialed,
                            dialed_arg);
}

static void cancel_dial(void *arg, void *dialing)
{
    (void)arg;
    fs_tls_dial_cancel(dialing);
}

static void volumes_changed(void *arg)
{
    struct fs_daemon *daemon = arg;

    fs_work_discover(daemon->work);
}

/* --- life ------------------------------------------------------------------------------------ */

static int out_of_memory(struct fs_error *err)
{
    return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
}

static int start_loop(struct fs_daemon *daemon, struct fs_error *err)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};

    daemon->base = event_base_new();
    daemon->mailbox = fs_mailbox_new();
    if (!daemon->base || !daemon->mailbox) {
        return out_of_memory(err);
    }
    (void)event_base_priority_init(daemon->base, 1);
    daemon->mail_event = event_new(daemon->base, fs_mailbox_fd(daemon->mailbox),
                                   EV_READ | EV_PERSIST, mail_cb, daemon);
    daemon->run_event = event_new(daemon->base, -1, 0, run_cb, daemon);
    daemon->timer_event = evtimer_new(daemon->base, run_cb, daemon);
    if (!daemon->mail_event || !daemon->run_event || !daemon->timer_event ||
        event_add(daemon->mail_event, NULL) < 0) {
        return out_of_memory(err);
    }
    for (size_t i = 0; i < 3; i++) {
        daemon->signal_events[i] = evsignal_new(daemon->base, signals[i], signal_cb, daemon);
        if (!daemon->signal_events[i] || event_add(daemon->signal_events[i], NULL) < 0) {
            return out_of_memory(err);
        }
    }
    return 0;
}

static int start_pools(struct fs_daemon *daemon, struct fs_error *err)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    size_t threads = cpus < 1 ? 1 : cpus > CPU_THREADS_MAX ? CPU_THREADS_MAX : (size_t)cpus;

    if (daemon->config->cpu_threads > 0) {
        threads = daemon->config->cpu_threads;
    }

    daemon->life = fs_pool_new("site", LIFE_THREADS, daemon->mailbox);
    daemon->blocking = fs_pool_new("blocking", BLOCKING_THREADS, daemon->mailbox);
    daemon->cpu = fs_pool_new("cpu", threads, daemon->mailbox);
    return daemon->life && daemon->blocking && daemon->cpu ? 0 : out_of_memory(err);
}

static uint64_t at_most(uint64_t value, uint64_t most)
{
    return value < most ? value : most;
}

static uint64_t at_least(uint64_t value, uint64_t least)
{
    return value > least ? value : least;
}

static int start_parts(struct fs_daemon *daemon, struct fs_error *err)
{
    struct fs_context *ctx = &daemon->ctx;
    struct fs_config *config = daemon->config;
    char helper[FS_HELPER_PATH_MAX], key[FS_DAEMON_KEY_MAX];
    uint64_t quarter = config->memory_bytes / 4;
    uint64_t sessions = config->n_peers ? config->n_peers : 1;

    *ctx = (struct fs_context){
        .clock = fs_clock_system(),
        .config = config,
        .cpu = daemon->cpu,
        .sending = {.limit = at_least(quarter, FS_BUDGET_MIN)},
        .receiving = {.limit = at_least(quarter, FS_BUDGET_MIN)},
        .kick = kick,
        .site_lost = site_lost,
        .hook_arg = daemon,
    };
    const struct fs_peers_options peers = {
        .software = "farshore " FARSHORE_VERSION,
        .credit = at_least(quarter / 2 / sessions, FS_CREDIT_MIN),
        .send_limit = at_least(at_most(quarter / 2 / sessions, SEND_QUEUE_MAX), FS_TRANSPORT_LOW),
        .lane_window =
            at_least(at_most(quarter / 4 / sessions, LANE_WINDOW_MAX), FS_LANES_WINDOW_MIN),
        .compression_memory = quarter / 2,
        .heartbeat_ns = HEARTBEAT_NS,
        .hello_ns = HELLO_NS,
        .dial = dial,
        .dial_lane = dial_lane,
        .cancel = cancel_dial,
        .arg = daemon,
    };
    fs_helper_path(helper);
    fs_daemon_key(config->control, key);
    const struct fs_work_options work = {
        .ctx = ctx,
        .mailbox = daemon->mailbox,
        .life = daemon->life,
        .blocking = daemon->blocking,
        .helper = helper,
        .daemon_key = key,
    };
    daemon->started_ns = fs_context_wall(ctx);
    ctx->hooks = fs_hooks_new(daemon->base);
    ctx->quiescer = &fs_quiescer;
    ctx->workloads = fs_workloads_new(daemon->base);
    ctx->groups = fs_groups_new(ctx);
    ctx->peers = fs_peers_new(ctx, &peers);
    daemon->work = fs_work_new(&work);
    daemon->commands = fs_commands_new(daemon);
    ctx->kubernetes = fs_kube_source_new(ctx, daemon->base, volumes_changed, daemon);
    ctx->capturer = ctx->kubernetes ? fs_kube_source_capturer(ctx->kubernetes) : NULL;
    ctx->announcer = ctx->kubernetes ? fs_kube_source_announcer(ctx->kubernetes) : NULL;
    return ctx->hooks && ctx->workloads && ctx->groups && ctx->peers && daemon->work &&
                   daemon->commands && ctx->kubernetes
               ? 0
               : out_of_memory(err);
}

static int start_doors(struct fs_daemon *daemon, struct fs_error *err)
{
    const struct fs_config *config = daemon->config;
    int rc = fs_control_start(daemon->base, config->control, fs_commands_handle, fs_commands_gone,
                              daemon->commands, &daemon->control, err);

    if (rc == 0) {
        rc = fs_certificates_load(daemon, config, err);
    }
    if (rc == 0 && config->listen) {
        rc = fs_tls_listen(daemon->base, daemon->tls, config->listen, HANDSHAKES_MAX, HANDSHAKE_NS,
                           fs_peers_accept, daemon->ctx.peers, &daemon->listener, err);
    }
    if (daemon->listener) {
        fs_tls_listener_on_lane(daemon->listener, fs_peers_accept_lane, daemon->ctx.peers);
    }
    if (rc == 0) {
        rc = fs_enrolment_start(daemon, err);
    }
    if (rc == 0 && config->http) {
        rc = fs_http_start(daemon->base, config->http, daemon, &daemon->http, err);
    }
    return rc;
}

/* Only what did not start, or has ended by itself: nothing is under way. */
static void close_all(struct fs_daemon *daemon)
{
    fs_workloads_free(daemon->ctx.workloads);
    fs_kube_source_free(daemon->ctx.kubernetes);
    fs_http_stop(daemon->http);
    fs_tls_listener_free(daemon->listener);
    fs_enrolment_stop(daemon);
    fs_control_stop(daemon->control);
    fs_commands_free(daemon->commands);
    fs_peers_free(daemon->ctx.peers);
    fs_tls_unref(daemon->tls);
    fs_pool_free(daemon->cpu);
    fs_pool_free(daemon->blocking);
    fs_pool_free(daemon->life);
    fs_hooks_free(daemon->ctx.hooks);
    fs_groups_free(daemon->ctx.groups);
    fs_work_free(daemon->work);
    for (size_t i = 0; i < 3; i++) {
        if (daemon->signal_events[i]) {
            event_free(daemon->signal_events[i]);
        }
    }
    struct event *const events[] = {daemon->mail_event, daemon->run_event, daemon->timer_event};
    for (size_t i = 0; i < 3; i++) {
        if (events[i]) {
            event_free(events[i]);
        }
    }
    fs_mailbox_free(daemon->mailbox);
    if (daemon->base) {
        event_base_free(daemon->base);
    }
    while (daemon->n_retired > 0) {
        fs_config_free(daemon->retired[--daemon->n_retired]);
    }
    fs_config_free(daemon->config);
}

static void start_watchdog(struct fs_daemon *daemon)
{
    uint64_t usec = 0;

    if (sd_watchdog_enabled(0, &usec) > 0) {
        daemon->watchdog_ns = (int64_t)(usec / 2) * 1000;
    }
}

int fs_daemon_run(const char *config_path, struct fs_config *config)
{
    struct fs_daemon *daemon = calloc(1, sizeof(*daemon));
    struct fs_error err = FS_ERROR_INIT;
    int rc;

    if (!daemon) {
        fs_config_free(config);
        return EXIT_FAILURE;
    }
    daemon->config_path = config_path;
    daemon->config = config;
    (void)signal(SIGPIPE, SIG_IGN);
    rc = start_loop(daemon, &err);
    if (rc == 0) {
        rc = start_pools(daemon, &err);
    }
    if (rc == 0) {
        rc = start_parts(daemon, &err);
    }
    if (rc == 0) {
        rc = start_doors(daemon, &err);
    }
    if (rc < 0) {
        fs_log(FS_EV_STOPPING, FS_S("file", config_path), FS_E(&err));
        close_all(daemon);
        free(daemon);
        return err.class == FS_ERR_CONFIG ? EXIT_CONFIGURATION : EXIT_FAILURE;
    }
    start_watchdog(daemon);
    fs_log(FS_EV_STARTED, FS_S("site", config->site), FS_S("version", FARSHORE_VERSION),
           FS_S("control", config->control), FS_S("listen", config->listen),
           FS_S("http", config->http));
    /* The cluster may be away: that is a state, and the tool can be asked for it from now on. */
    (void)sd_notify(0, "READY=1\nSTATUS=connecting");
    kick(daemon);
    (void)event_base_dispatch(daemon->base);
    close_all(daemon);
    free(daemon);
    return EXIT_SUCCESS;
}
