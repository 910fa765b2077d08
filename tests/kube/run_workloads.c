/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stopping and bringing up, alone, for tests: one thing that standard input says in JSON,
 *
 *   {"do": "stop"|"undo", "claims": [], "timeout_s", "force"}
 *   {"do": "bring"|"check", "volumes": [], "objects": [], "classes": {}, "kinds": [], "secrets",
 * "again", "patience_s", "start_s"}
 *
 * and what came of it as a line of JSON.
 *
 *   run-workloads KUBECONFIG
 */
#include <stdio.h>
#include <string.h>

#include "daemon/kube/bring.h"
#include "daemon/kube/stop.h"
#include "farshore/clock.h"

static struct event_base *base;

static void print(json_t *line)
{
    json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(line);
    event_base_loopbreak(base);
}

static void stop_done(void *arg, const json_t *workloads, const struct fs_error *err)
{
    (void)arg;
    print(json_pack("{s:O, s:s?}", "report", workloads, "error", err ? err->message : NULL));
}

static void bring_done(void *arg, const json_t *report, unsigned left, unsigned pending)
{
    (void)arg;
    print(
        json_pack("{s:O, s:i, s:i}", "report", report, "left", (int)left, "pending", (int)pending));
}

static int64_t seconds(const json_t *order, const char *key)
{
    return (int64_t)(json_number_value(json_object_get(order, key)) * (double)FS_SEC);
}

static bool start_stop(struct fs_kube_api *api, const json_t *order, bool undo)
{
    const struct fs_kube_stop_options options = {
        .base = base,
        .api = api,
        .claims = json_object_get(order, "claims"),
        .timeout_ns = seconds(order, "timeout_s"),
        .force = json_is_true(json_object_get(order, "force")),
        .done = stop_done,
    };

    return undo ? fs_kube_stop_undo(&options) : fs_kube_stop_start(&options);
}

static bool start_bring(struct fs_kube_api *api, const json_t *order, bool check)
{
    const struct fs_kube_bring_options options = {
        .base = base,
        .api = api,
        .volumes = json_object_get(order, "volumes"),
        .objects = json_object_get(order, "objects"),
        .classes = json_object_get(order, "classes"),
        .kinds = json_object_get(order, "kinds"),
        .secrets = json_is_true(json_object_get(order, "secrets")),
        .again = json_is_true(json_object_get(order, "again")),
        .patience_ns = seconds(order, "patience_s"),
        .start_ns = seconds(order, "start_s"),
        .done = bring_done,
    };

    return check ? fs_kube_bring_check(&options) : fs_kube_bring_start(&options);
}

int main(int argc, char **argv)
{
    json_t *order = json_loadf(stdin, 0, NULL);
    const char *what = json_string_value(json_object_get(order, "do"));

    base = event_base_new();
    if (argc != 2 || !base || !what) {
        fputs("usage: run-workloads KUBECONFIG <ORDER\n", stderr);
        return 2;
    }
    struct fs_kube_api *api = fs_kube_api_new(base, argv[1], NULL);
    bool stops = strcmp(what, "stop") == 0 || strcmp(what, "undo") == 0;
    bool begun = api && (stops ? start_stop(api, order, strcmp(what, "undo") == 0)
                               : start_bring(api, order, strcmp(what, "check") == 0));
    if (begun) {
        event_base_dispatch(base);
    }
    fs_kube_api_free(api);
    event_base_free(base);
    json_decref(order);
    return begun ? 0 : 1;
}
