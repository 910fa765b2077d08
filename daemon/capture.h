/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Kubernetes objects that a group's next point is to carry: captured just before it is taken.
 * Protecting data comes first: where they cannot be captured the point carries the newest known
 * ones, marked as such, or none. LOOP only.
 */
#ifndef FARSHORE_DAEMON_CAPTURE_H
#define FARSHORE_DAEMON_CAPTURE_H

#include <jansson.h>

#include "daemon/context.h"
#include "farshore/captured.h"

struct fs_group;

/* text: a document (daemon/kube/strip.h), borrowed; NULL with err. */
typedef void fs_capture_fn(void *arg, const char *text, const struct fs_error *err);

/* Who knows them: the client of the API, or a test. */
struct fs_capturer {
    /* Of the group that has this record, grouped by the label group_by (or NULL); also (or NULL)
     * names others that are wanted where they are there: {"kind", "name"}. All are read during the
     * call only. done is called once, later; a few seconds later at most. False: nothing of the
     * group is known there, and done is not called. */
    bool (*capture)(struct fs_capturer *capturer, const struct fs_record *record,
                    const char *group_by, const json_t *also, fs_capture_fn *done, void *arg);
    /* All that are under way end with this error, from inside. */
    void (*cancel)(struct fs_capturer *capturer, const struct fs_error *err);
};

struct fs_capture {             /* of a group */
    struct fs_captured objects; /* of the next point */
    struct fs_buf packed;       /* owned; empty: a point has them already */
    char reason[512];           /* why they are stale, or none; "": they are what they should be */
    void (*then)(struct fs_group *group);
};

/* Begin; then(group) follows, not from inside. False: there is nothing to wait for. Either way
 * group->capture says what the point carries. */
bool fs_capture_start(struct fs_group *group, void (*then)(struct fs_group *group));
/* The point was taken, or not: what was captured for it is let go of, the reason stays. */
void fs_capture_end(struct fs_group *group);

/* status of a group: {"state": "captured", "stale" or "none", "reason"}, or NULL where the group is
 * not one whose objects are captured here. A new reference. */
json_t *fs_capture_status(const struct fs_group *group);

/* --- what a point carries --------------------------------------------------------------------- */

/* document: borrowed, or NULL with err. */
typedef void fs_capture_load_fn(void *arg, json_t *document, const struct fs_error *err);

/* The document of one of the group's points, from this site's state pool. done follows, not from
 * inside. 0; -ENOENT: there is no such point, or it carries none; -EAGAIN: the cluster is away.
 * Both with err, and done is not called. */
int fs_capture_load(const struct fs_group *group, const struct fs_uuid *point,
                    fs_capture_load_fn *done, void *arg, struct fs_error *err);

#endif
