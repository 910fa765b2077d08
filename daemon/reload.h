/* SPDX-License-Identifier: Apache-2.0 */
/* What of a configuration can change while the daemon runs. Pure. */
#ifndef FARSHORE_DAEMON_RELOAD_H
#define FARSHORE_DAEMON_RELOAD_H

#include "daemon/config.h"

/* 0, or -EBUSY with the keys that changed and need a restart. */
int fs_reload_check(const struct fs_config *now, const struct fs_config *next,
                    struct fs_error *err);

#endif
