/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tool's end of the control socket: one request, progress lines, one answer. Blocks; the tool
 * is single-threaded.
 */
#ifndef FARSHORE_TOOL_CLIENT_H
#define FARSHORE_TOOL_CLIENT_H

#include <jansson.h>

#include "farshore/error.h"

/* Exit statuses of the tool; docs/man/farshore.1 lists them. */
enum fs_exit {
    FS_EXIT_DONE = 0,
    FS_EXIT_FAILED = 1,
    FS_EXIT_USAGE = 2,
    FS_EXIT_REFUSED = 3,
    FS_EXIT_FOUND = 4,
    FS_EXIT_UNREACHABLE = 5,
    FS_EXIT_RUNNING = 6,
};

/* Borrowed: the group's "sync" object. */
typedef void fs_client_progress_fn(void *arg, const json_t *sync);

struct fs_client_answer {
    int exit;       /* enum fs_exit */
    json_t *result; /* owned (json_decref); NULL where there is none */
};

/*
 * Ask the daemon at socket_path. request is borrowed. timeout_s: how long to wait for the answer, 0
 * for ever; FS_EXIT_RUNNING when it passes. Returns 0 with an answer whose exit says how it went
 * (its error text is in err), or -errno with err and exit FS_EXIT_UNREACHABLE or FS_EXIT_FAILED.
 */
int fs_client_ask(const char *socket_path, const json_t *request, double timeout_s,
                  fs_client_progress_fn *progress, void *arg, struct fs_client_answer *ret_answer,
                  struct fs_error *err);

#endif
