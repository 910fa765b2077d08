/* SPDX-License-Identifier: Apache-2.0 */
/*
 * farshore-take: takes and removes points for farshored, in a process and a client instance of its
 * own that may be killed and blocklisted. One JSON object per line: {"address": ...} first; then
 * for each request on stdin any number of {"event": "holding"|"released"} and one {"event": "done",
 * ...}. Leaves at the end of stdin: when its daemon closed it, or died.
 */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "snapshot/prune.h"
#include "snapshot/takepoint.h"

/* json is taken over. Exits where nobody reads any more. */
static void put_line(json_t *json)
{
    if (!json || json_dumpf(json, stdout, JSON_COMPACT) != 0 || putchar('\n') == EOF ||
        fflush(stdout) != 0) {
        exit(EXIT_FAILURE);
    }
    json_decref(json);
}

static void hold(bool holding)
{
    put_line(json_pack("{s:s}", "event", holding ? "holding" : "released"));
}

static int serve(struct fs_cluster *cluster)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t length;

    put_line(json_pack("{s:s}", "address", fs_cluster_address(cluster)));
    while ((length = getline(&line, &size, stdin)) > 0) {
        json_t *request = json_loadb(line, (size_t)length, 0, NULL);

        if (!request) {
            fprintf(stderr, "farshore-take: a request is not JSON\n");
            break;
        }
        bool remove = json_object_get(request, "remove");

        put_line((remove ? fs_prune_serve : fs_takepoint)(cluster, request, hold));
        json_decref(request);
    }
    free(line);
    return length > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"conf", required_argument, NULL, 'c'},
        {"user", required_argument, NULL, 'u'},
        {"op-timeout-ms", required_argument, NULL, 't'},
        {0},
    };
    const char *conf = NULL, *user = NULL;
    long long timeout_ms = 30000;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_cluster *cluster;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            conf = optarg;
            break;
        case 'u':
            user = optarg;
            break;
        case 't':
            timeout_ms = strtoll(optarg, NULL, 10);
            break;
        default:
            return 2;
        }
    }
    if (!conf || !user || optind != argc || timeout_ms <= 0) {
        fprintf(stderr, "usage: farshore-take --conf FILE --user NAME [--op-timeout-ms N]\n"
                        "It is started by farshored, and by nobody else.\n");
        return 2;
    }
    if (fs_cluster_open(conf, user, timeout_ms * 1000000, &cluster, &err) < 0) {
        put_line(json_pack("{s:s, s:i, s:i}", "error", err.message, "class", (int)err.class, "code",
                           err.code));
        return EXIT_FAILURE;
    }

    int status = serve(cluster);

    fs_cluster_close(cluster);
    return status;
}
