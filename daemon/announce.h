/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the owners of volumes are told about their protection, at the volumes themselves: what of a
 * group's state and operations is news, and how often. Where it is said is struct fs_announcer's.
 * LOOP only.
 */
#ifndef FARSHORE_DAEMON_ANNOUNCE_H
#define FARSHORE_DAEMON_ANNOUNCE_H

#include "daemon/state.h"
#include "farshore/record.h"
#include "farshore/site.h"

struct fs_context;
struct fs_group;

struct fs_announcement {
    const char *reason; /* one word, "ProtectionLate"; static */
    bool warning;
    const char *message;
};

/* Who says it: the client of the Kubernetes API, or a test. What it is given is read during the
 * call only. */
struct fs_announcer {
    /* It may be lost. False: not now, it is to be asked again. */
    bool (*say)(struct fs_announcer *announcer, const struct fs_volume *const *volumes,
                size_t n_volumes, const struct fs_announcement *what);
    /* The newest recovery point of these was taken at taken_ns (wall); INT64_MIN: that is to be
     * said no more. False: not now, it is to be asked again. */
    bool (*note)(struct fs_announcer *announcer, const struct fs_volume *const *volumes,
                 size_t n_volumes, int64_t taken_ns);
    unsigned lost; /* counts what it could not bring home */
};

#define FS_ANNOUNCED_OUTCOME 700

struct fs_announced { /* of a group */
    enum fs_role role;
    /* Volumes that are known to have a recovery point, and the newest point that was looked at. */
    struct fs_uuid covered[FS_VOLUMES_MAX];
    size_t n_covered;
    struct fs_uuid covering;
    bool selected;                  /* it was, in this daemon's life */
    enum fs_group_state told, seen; /* told: also by whoever worked before us, who said OK */
    int64_t seen_ns, told_ns;       /* boot: since when, and when it was said last */
    int64_t held_ns;                /* boot: until when what was told held */
    int64_t changed_ns, gap_ns;     /* boot: when it was said that it is another one */
    uint64_t serial;                /* of the newest operation that was looked at */
    struct {
        const char *reason; /* NULL: nothing waits */
        bool warning;
        char message[FS_ANNOUNCED_OUTCOME];
    } outcome;            /* of an operation, to be said once its objects are there */
    int64_t awaited_ns;   /* boot: since when they are waited for; 0: they are not */
    int64_t say_again_ns; /* boot: something was not taken, and nothing is tried before */
    bool noted;
    int64_t noted_ns, noted_at_ns; /* wall: what; boot: when */
    int64_t note_again_ns;         /* boot: it was not taken, and is not tried before */
    unsigned note_lost, told_lost; /* the announcer's `lost` then */
};

/* What has been said of a group with this record: it may have been somebody else who did. now: of
 * the boot clock. */
void fs_announced_init(struct fs_announced *announced, const struct fs_record *record, int64_t now);
/* The record was loaded again, after a time in which somebody else may have worked for the site. */
void fs_announced_loaded(struct fs_announced *announced, const struct fs_record *record,
                         int64_t now);

/* A round of the loop. verdict: of the group, syncing being ok. */
void fs_announce_run(struct fs_group *group, const struct fs_verdict *verdict);

/* Of a volume that cannot be protected. */
struct fs_skipped_news {
    int64_t since_ns; /* boot: for that reason */
    int64_t told_ns;  /* boot; 0: not yet */
};

/* A discovery found it, again or for the first time. */
void fs_announce_skipped(const struct fs_context *ctx, const struct fs_skipped_volume *volume,
                         struct fs_skipped_news *news);

#endif
