/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's certificate, key and CA: loaded, loaded again when the files change (whoever renews
 * them need not know of the daemon), and told of in good time before they end. Sessions that are
 * up keep theirs; connections from then on use the new ones. LOOP only.
 */
#ifndef FARSHORE_DAEMON_CERTIFICATES_H
#define FARSHORE_DAEMON_CERTIFICATES_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "farshore/error.h"

struct fs_daemon;
struct fs_config;

struct fs_certificates { /* part of the daemon; zeroed at first */
    struct {
        time_t s;
        long ns;
        unsigned long long inode, size;
    } seen[3];           /* certificate, key and CA as they were last loaded or tried */
    bool changed;        /* and were not loaded since */
    int64_t check_at_ns; /* boot: next */
    int64_t warn_at_ns;  /* boot: next warning of the end */
};

/* Load what config names and use it from now on; the old ones stay on failure. Reads files. */
int fs_certificates_load(struct fs_daemon *daemon, const struct fs_config *config,
                         struct fs_error *err);
/* Looks at the files where it is time to; returns when it wants to be called again (boot clock). */
int64_t fs_certificates_run(struct fs_daemon *daemon, int64_t now_ns);

#endif
