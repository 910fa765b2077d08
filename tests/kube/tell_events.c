/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events and notes alone, for tests: each line of standard input is one,
 *
 *   {"kind": "pvc"|"vm", "ns", "name", "reason", "message", "warning"}
 *   {"kind": "pvc"|"vm", "ns", "name", "taken_s": N, or null: it goes}
 *
 * and each line of output tells of what could not be told: {"trouble"} or {"lost": N}. It ends when
 * it is killed.
 *
 *   tell-events KUBECONFIG
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <jansson.h>

#include "daemon/kube/events.h"
#include "daemon/kube/run.h"
#include "farshore/clock.h"

static void print(json_t *line)
{
    (void)json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
    (void)fflush(stdout);
    json_decref(line);
}

static void trouble(void *arg, const struct fs_error *err)
{
    (void)arg;
    print(json_pack("{s:s}", "trouble", err->message));
}

static void lost(void *arg)
{
    unsigned *count = arg;

    print(json_pack("{s:i}", "lost", (int)++*count));
}

static void tell(struct fs_kube_events *events, const json_t *line)
{
    const struct fs_kube_subject subject = {
        .kind = strcmp(fs_kube_text(line, "kind"), "vm") == 0 ? FS_KUBE_SUBJECT_VM
                                                              : FS_KUBE_SUBJECT_CLAIM,
        .ns = fs_kube_text(line, "ns"),
        .name = fs_kube_text(line, "name"),
    };
    const json_t *taken = json_object_get(line, "taken_s");

    if (taken) {
        fs_kube_events_note(events, &subject,
                            json_is_null(taken) ? INT64_MIN
                                                : (int64_t)json_integer_value(taken) * FS_SEC);
        return;
    }
    /* The reason has to be there as long as it waits: this program does not end. */
    const struct fs_kube_event event = {
        .reason = strdup(fs_kube_text(line, "reason")),
        .warning = json_is_true(json_object_get(line, "warning")),
        .message = fs_kube_text(line, "message"),
        .site = "east",
        .happened_ns = fs_clock_wall(fs_clock_system()),
    };
    if (fs_kube_events_can_say(events, 1)) {
        fs_kube_events_say(events, &subject, &event);
    }
}

static void read_cb(struct bufferevent *input, void *arg)
{
    char *text;

    while ((text = evbuffer_readln(bufferevent_get_input(input), NULL, EVBUFFER_EOL_LF))) {
        json_t *line = json_loads(text, 0, NULL);
        tell(arg, line);
        json_decref(line);
        free(text);
    }
}

int main(int argc, char **argv)
{
    struct event_base *base = event_base_new();
    struct fs_kube_api *api = argc == 2 && base ? fs_kube_api_new(base, argv[1], NULL) : NULL;
    unsigned count = 0;
    const struct fs_kube_events_options options = {
        .base = base, .api = api, .trouble = trouble, .lost = lost, .arg = &count};
    struct fs_kube_events *events = api ? fs_kube_events_new(&options) : NULL;
    struct bufferevent *input = events ? bufferevent_socket_new(base, 0, 0) : NULL;

    if (!input) {
        (void)fputs("usage: tell-events KUBECONFIG\n", stderr);
        return 2;
    }
    bufferevent_setcb(input, read_cb, NULL, NULL, events);
    (void)bufferevent_enable(input, EV_READ);
    (void)event_base_dispatch(base);
    bufferevent_free(input);
    fs_kube_events_free(events);
    fs_kube_api_free(api);
    event_base_free(base);
    return 0;
}
