/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A primary gives up what keeps images that left their group from being removed: at once where the
 * image is in the trash, otherwise after a while, so that a label that comes back in time finds the
 * base as it was. The target's points stay. LOOP only.
 */
#ifndef FARSHORE_DAEMON_RELEASE_H
#define FARSHORE_DAEMON_RELEASE_H

#include "daemon/group.h"

/* Start what is due for an idle group whose images, or some of them, left. True where it started
 * something. */
bool fs_release_start(struct fs_group *group);
/* When it wants to, on the boot clock; INT64_MAX: nothing left. */
int64_t fs_release_next_ns(const struct fs_group *group);

#endif
