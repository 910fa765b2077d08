/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of the API alone, for tests: each line of standard input is a call,
 *
 *   {"method", "path", "body"?, "content_type"?, "timeout_s"?, "cancel_s"?}
 *
 * and each is answered with a line {"status", "answer", "error", "code", "class"}, or
 * {"cancelled"}.
 *
 *   call-api KUBECONFIG|DIRECTORY
 *
 * DIRECTORY is a service account's, and the API is where the environment says.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <jansson.h>

#include "daemon/kube/api.h"
#include "farshore/clock.h"

struct call {
    struct event_base *base;
    struct fs_kube_api_call *call;
};

static void print(json_t *line)
{
    json_dumpf(line, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    putchar('\n');
    fflush(stdout);
    json_decref(line);
}

static void done(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct call *call = arg;

    print(json_pack("{s:i, s:O?, s:s?, s:i, s:i}", "status", status, "answer", answer, "error",
                    err ? err->message : NULL, "code", err ? err->code : 0, "class",
                    err ? (int)err->class : 0));
    event_base_loopbreak(call->base);
}

static void cancel_cb(evutil_socket_t fd, short what, void *arg)
{
    struct call *call = arg;

    (void)fd;
    (void)what;
    fs_kube_api_cancel(call->call);
    print(json_pack("{s:b}", "cancelled", true));
    event_base_loopbreak(call->base);
}

static double number(const json_t *line, const char *key)
{
    return json_number_value(json_object_get(line, key));
}

static bool run(struct call *call, struct fs_kube_api *api, const json_t *line)
{
    const struct fs_kube_api_request request = {
        .method = json_string_value(json_object_get(line, "method")),
        .path = json_string_value(json_object_get(line, "path")),
        .body = json_object_get(line, "body"),
        .content_type = json_string_value(json_object_get(line, "content_type")),
        .timeout_ns = (int64_t)(number(line, "timeout_s") * (double)FS_SEC),
        .done = done,
        .arg = call,
    };
    const struct timeval after = {.tv_usec = (suseconds_t)(number(line, "cancel_s") * 1e6)};
    struct event *cancel = evtimer_new(call->base, cancel_cb, call);

    call->call = request.method && request.path ? fs_kube_api_start(api, &request) : NULL;
    if (call->call && json_object_get(line, "cancel_s")) {
        evtimer_add(cancel, &after);
    }
    if (call->call) {
        event_base_dispatch(call->base);
    }
    event_free(cancel);
    return call->call != NULL;
}

int main(int argc, char **argv)
{
    static char text[1 << 20];
    struct stat status;
    struct call call = {.base = event_base_new()};

    if (argc != 2 || !call.base || stat(argv[1], &status) < 0) {
        fputs("usage: call-api KUBECONFIG|DIRECTORY\n", stderr);
        return 2;
    }
    bool pod = S_ISDIR(status.st_mode), good = true;
    struct fs_kube_api *api =
        fs_kube_api_new(call.base, pod ? NULL : argv[1], pod ? argv[1] : NULL);
    while (api && good && fgets(text, sizeof(text), stdin)) {
        json_t *line = json_loads(text, 0, NULL);
        good = run(&call, api, line);
        json_decref(line);
    }
    fs_kube_api_free(api);
    event_base_free(call.base);
    return api && good ? 0 : 1;
}
