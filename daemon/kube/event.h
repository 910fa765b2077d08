/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kubernetes Events as JSON, and which of those that were made are to be counted up in place of
 * another one. Of core/v1: what `kubectl describe` and consoles read; the API has them in
 * events.k8s.io as well. No I/O. One thread at a time.
 */
#ifndef FARSHORE_KUBE_EVENT_H
#define FARSHORE_KUBE_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

/* So many are remembered; of more, those that were said last. */
#define FS_KUBE_EVENTS_KNOWN 1024
#define FS_KUBE_EVENT_NAME   256
#define FS_KUBE_MESSAGE_MAX  1024

struct fs_kube_event {
    const char *reason;
    bool warning;
    const char *message;
    const char *site;    /* whose daemon says it */
    int64_t happened_ns; /* wall */
};

/* An Event about this object, as the API gave it, said for the first time. name: of the Event. NULL
 * when out of memory, or where a text is not UTF-8. */
json_t *fs_kube_event_make(const json_t *object, const struct fs_kube_event *event,
                           const char *name);
/* A merge patch of an Event that was made: it happened again, so often by now. */
json_t *fs_kube_event_again(const struct fs_kube_event *event, unsigned count);

/* RFC 3339, UTC, whole seconds. */
#define FS_KUBE_TIME_SIZE 32
char *fs_kube_time(int64_t wall_ns, char ret_text[FS_KUBE_TIME_SIZE]);

/* --- which were made -------------------------------------------------------------------------- */

struct fs_kube_made {
    char uid[64], reason[48]; /* of the object, of the Event */
    char name[FS_KUBE_EVENT_NAME];
    unsigned count;
    uint64_t used; /* the larger the later */
};

struct fs_kube_events_made {
    struct fs_kube_made list[FS_KUBE_EVENTS_KNOWN];
    size_t n;
    uint64_t used;
    int64_t named_ns; /* of the newest name */
};

/* The one about that object with that reason, borrowed until the next call, or NULL. */
struct fs_kube_made *fs_kube_made_find(struct fs_kube_events_made *made, const char *uid,
                                       const char *reason);
/* A name that no other Event in the object's namespace has. */
void fs_kube_made_name(struct fs_kube_events_made *made, const char *object, int64_t wall_ns,
                       char ret_name[FS_KUBE_EVENT_NAME]);
/* It was made, once. */
void fs_kube_made_add(struct fs_kube_events_made *made, const char *uid, const char *reason,
                      const char *name);
/* It was counted up. */
void fs_kube_made_again(struct fs_kube_events_made *made, struct fs_kube_made *again);
/* The API has it no more. */
void fs_kube_made_forget(struct fs_kube_events_made *made, struct fs_kube_made *gone);

#endif
