/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is told at objects of one Kubernetes API: Events about them, and in an annotation of theirs
 * when the newest recovery point was taken. One request at a time, at a gentle pace; nobody waits
 * for it, and what does not get through in two minutes is dropped. LOOP only.
 */
#ifndef FARSHORE_KUBE_EVENTS_H
#define FARSHORE_KUBE_EVENTS_H

#include <event2/event.h>

#include "daemon/kube/api.h"
#include "daemon/kube/event.h"

#define FS_KUBE_POINT_ANNOTATION "farshore.io/recovery-point-time"
/* The manager of that annotation. It is not FS_KUBE_MANAGER: an object which only has the
 * annotation from us is not one that Farshore made, and bringing up leaves it as it is. */
#define FS_KUBE_POINT_MANAGER "farshore-annotation"

enum fs_kube_subject_kind { FS_KUBE_SUBJECT_CLAIM, FS_KUBE_SUBJECT_VM, FS_KUBE_SUBJECT_KINDS };

struct fs_kube_subject {
    enum fs_kube_subject_kind kind;
    const char *ns, *name;
};

struct fs_kube_events_options {
    struct event_base *base;
    struct fs_kube_api *api;
    /* Something could not be told, and why (once until it works again). */
    void (*trouble)(void *arg, const struct fs_error *err);
    /* An Event or a note did not arrive, and is not tried any more. */
    void (*lost)(void *arg);
    void *arg;
};

struct fs_kube_events;

/* The base and api are borrowed. NULL when out of memory. */
struct fs_kube_events *fs_kube_events_new(const struct fs_kube_events_options *options);
void fs_kube_events_free(struct fs_kube_events *events);

/* So many more Events can be taken. */
bool fs_kube_events_can_say(const struct fs_kube_events *events, size_t n);
/* An Event about the object, where it is there; all texts are copied but the reason (static). */
void fs_kube_events_say(struct fs_kube_events *events, const struct fs_kube_subject *subject,
                        const struct fs_kube_event *event);

/* So many more notes can be taken. */
bool fs_kube_events_can_note(const struct fs_kube_events *events, size_t n);
/* The annotation of the object, where it is there; INT64_MIN: it goes. */
void fs_kube_events_note(struct fs_kube_events *events, const struct fs_kube_subject *subject,
                         int64_t taken_ns);
/* What was forbidden may not be so any more. */
void fs_kube_events_try_all(struct fs_kube_events *events);
/* All that waits is dropped. */
void fs_kube_events_clear(struct fs_kube_events *events);

#endif
