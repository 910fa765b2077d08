/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client of the API alone, for tests: prints what it knows as a line of JSON each time that
 * something changes, until it is killed.
 *
 *   watch-claims KUBECONFIG|DIRECTORY CLUSTER_ID PAGE SELECTOR...
 *
 * DIRECTORY is a service account's, and the API is where the environment says.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <jansson.h>

#include "daemon/kube/kube.h"

struct watch {
    struct fs_kube *kube;
    const char *cluster_id;
};

static json_t *text(const char *value)
{
    return value ? json_string(value) : json_null();
}

static json_t *claim_json(const struct fs_claim *claim)
{
    json_t *labels = claim->labels ? json_loads(claim->labels, 0, NULL) : json_null();
    json_t *group = claim->group_labels ? json_loads(claim->group_labels, 0, NULL) : json_null();

    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:s, s:s, s:o}", "ns", claim->ns, "name",
                     claim->name, "vm", text(claim->vm), "app", text(claim->app), "labels", labels,
                     "group_labels", group, "pool", claim->pool, "rados_ns", claim->rados_ns,
                     "image", claim->image, "problem", text(claim->problem));
}

static void print(void *arg)
{
    const struct watch *watch = arg;
    struct fs_claims claims;
    int64_t since_ns = 0;
    const char *trouble = fs_kube_trouble(watch->kube, &since_ns);
    json_t *list = json_array();
    int rc = fs_kube_claims(watch->kube, watch->cluster_id, &claims);

    for (size_t i = 0; i < claims.count; i++) {
        json_array_append_new(list, claim_json(&claims.list[i]));
    }
    fs_claims_fini(&claims);
    json_t *line = json_pack("{s:b, s:o, s:f, s:o}", "whole", rc == 0, "trouble", text(trouble),
                             "since", (double)since_ns / 1e9, "claims", list);
    char *dumped = json_dumps(line, JSON_COMPACT);
    puts(dumped);
    fflush(stdout);
    free(dumped);
    json_decref(line);
}

int main(int argc, char **argv)
{
    struct stat status;
    struct event_base *base = event_base_new();

    if (argc < 4 || !base || stat(argv[1], &status) < 0) {
        fputs("usage: watch-claims KUBECONFIG|DIRECTORY CLUSTER_ID PAGE SELECTOR...\n", stderr);
        return 2;
    }
    bool pod = S_ISDIR(status.st_mode);
    struct watch watch = {.cluster_id = argv[2]};
    const struct fs_kube_options options = {
        .base = base,
        .kubeconfig = pod ? NULL : argv[1],
        .service_account = pod ? argv[1] : NULL,
        .page = (unsigned)atoi(argv[3]),
        .selectors = (const char *const *)&argv[4],
        .n_selectors = (size_t)argc - 4,
        .changed = print,
        .arg = &watch,
    };
    watch.kube = fs_kube_new(&options);
    if (!watch.kube) {
        return 1;
    }
    event_base_dispatch(base);
    fs_kube_free(watch.kube);
    event_base_free(base);
    return 0;
}
