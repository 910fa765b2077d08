/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon: what wires the parts to libevent, the network, the service manager and the signals.
 * LOOP only.
 */
#ifndef FARSHORE_DAEMON_DAEMON_H
#define FARSHORE_DAEMON_DAEMON_H

#include <event2/event.h>

#include "daemon/certificates.h"
#include "daemon/context.h"
#include "daemon/enrolment.h"
#include "daemon/groups.h"
#include "daemon/peer.h"
#include "daemon/work.h"
#include "farshore/tls.h"

struct fs_control;
struct fs_http;
struct fs_commands;

/* Configurations that a discovery may still read, beside the one in force. */
#define FS_CONFIGS_RETIRED_MAX 8

struct fs_daemon {
    const char *config_path; /* borrowed */
    struct fs_config *config;
    struct fs_config *retired[FS_CONFIGS_RETIRED_MAX];
    size_t n_retired;
    struct fs_context ctx;
    int64_t started_ns; /* wall */

    struct event_base *base;
    struct event *mail_event, *run_event, *timer_event;
    struct event *signal_events[3];
    struct fs_mailbox *mailbox;
    struct fs_pool *life, *blocking, *cpu;
    struct fs_tls *tls;
    struct fs_certificates certificates;
    struct fs_enrolment enrolment;
    struct fs_tls_listener *listener; /* NULL: only dial */
    struct fs_work *work;
    struct fs_control *control;
    struct fs_commands *commands;
    struct fs_http *http; /* NULL: none */

    bool stopping;
    int64_t stop_by_ns;     /* boot: exit then, whatever is still under way */
    bool thawing;           /* and that is for what is still frozen */
    int64_t watchdog_ns;    /* how often the service manager wants to hear of us; 0: never */
    int64_t watchdog_at_ns; /* boot: next */
    int64_t status_at_ns;   /* boot: next status line */
};

/* Blocks until the daemon is told to stop; returns the exit status. config is moved in. journal:
 * what fs_log_init was told. */
int fs_daemon_run(const char *config_path, struct fs_config *config);

#endif
