/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/kube/event.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/kube/run.h"
#include "farshore/clock.h"

#define OBJECT_MAX 200 /* of its name in the Event's */

char *fs_kube_time(int64_t wall_ns, char ret_text[FS_KUBE_TIME_SIZE])
{
    time_t seconds = (time_t)(wall_ns / FS_SEC);
    struct tm utc;

    if (!gmtime_r(&seconds, &utc) ||
        strftime(ret_text, FS_KUBE_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0) {
        ret_text[0] = '\0';
    }
    return ret_text;
}

/* Not in the middle of a character. */
static json_t *message_of(const struct fs_kube_event *event)
{
    size_t length = strlen(event->message);

    if (length > FS_KUBE_MESSAGE_MAX) {
        length = FS_KUBE_MESSAGE_MAX;
        while (length > 0 && ((unsigned char)event->message[length] & 0xc0) == 0x80) {
            length--;
        }
    }
    return json_stringn(event->message, length);
}

json_t *fs_kube_event_make(const json_t *object, const struct fs_kube_event *event,
                           const char *name)
{
    const json_t *metadata = json_object_get(object, "metadata");
    const char *ns = fs_kube_text(metadata, "namespace");
    char at[FS_KUBE_TIME_SIZE];

    (void)fs_kube_time(event->happened_ns, at);
    return json_pack(
        "{s:s, s:s, s:{s:s, s:s}, s:{s:s, s:s, s:s, s:s, s:s}, s:s, s:s, s:o, s:{s:s}, s:s, s:s, "
        "s:s, s:s, s:i}",
        "apiVersion", "v1", "kind", "Event", "metadata", "namespace", ns, "name", name,
        "involvedObject", "apiVersion", fs_kube_text(object, "apiVersion"), "kind",
        fs_kube_text(object, "kind"), "namespace", ns, "name", fs_kube_text(metadata, "name"),
        "uid", fs_kube_text(metadata, "uid"), "type", event->warning ? "Warning" : "Normal",
        "reason", event->reason, "message", message_of(event), "source", "component",
        FS_KUBE_MANAGER, "reportingComponent", FS_KUBE_MANAGER, "reportingInstance", event->site,
        "firstTimestamp", at, "lastTimestamp", at, "count", 1);
}

json_t *fs_kube_event_again(const struct fs_kube_event *event, unsigned count)
{
    char at[FS_KUBE_TIME_SIZE];

    return json_pack("{s:o, s:s, s:I}", "message", message_of(event), "lastTimestamp",
                     fs_kube_time(event->happened_ns, at), "count", (json_int_t)count);
}

/* --- which were made -------------------------------------------------------------------------- */

struct fs_kube_made *fs_kube_made_find(struct fs_kube_events_made *made, const char *uid,
                                       const char *reason)
{
    for (size_t i = 0; i < made->n; i++) {
        if (strcmp(made->list[i].uid, uid) == 0 && strcmp(made->list[i].reason, reason) == 0) {
            return &made->list[i];
        }
    }
    return NULL;
}

/* As kubectl and controllers name theirs: the object's name, and a number that grows. */
void fs_kube_made_name(struct fs_kube_events_made *made, const char *object, int64_t wall_ns,
                       char ret_name[FS_KUBE_EVENT_NAME])
{
    size_t length = strnlen(object, OBJECT_MAX);

    while (length > 0 && !isalnum((unsigned char)object[length - 1])) {
        length--; /* a name that is cut may not end with '-' or '.' */
    }
    made->named_ns = wall_ns > made->named_ns ? wall_ns : made->named_ns + 1;
    (void)snprintf(ret_name, FS_KUBE_EVENT_NAME, "%.*s.%" PRIx64, (int)length, object,
                   (uint64_t)made->named_ns);
}

void fs_kube_made_again(struct fs_kube_events_made *made, struct fs_kube_made *again)
{
    again->count++;
    again->used = ++made->used;
}

void fs_kube_made_add(struct fs_kube_events_made *made, const char *uid, const char *reason,
                      const char *name)
{
    struct fs_kube_made *entry = &made->list[0];

    for (size_t i = 1; i < made->n; i++) {
        entry = made->list[i].used < entry->used ? &made->list[i] : entry;
    }
    if (made->n < FS_KUBE_EVENTS_KNOWN) {
        entry = &made->list[made->n++];
    }
    entry->count = 0;
    (void)snprintf(entry->uid, sizeof(entry->uid), "%s", uid);
    (void)snprintf(entry->reason, sizeof(entry->reason), "%s", reason);
    (void)snprintf(entry->name, sizeof(entry->name), "%s", name);
    fs_kube_made_again(made, entry);
}

void fs_kube_made_forget(struct fs_kube_events_made *made, struct fs_kube_made *gone)
{
    *gone = made->list[--made->n];
}
