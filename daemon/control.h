/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: one JSON request on one line, answers of one line each, then it closes.
 * What the commands mean is daemon/commands.h. Two daemons cannot share a socket: a lock file
 * beside it is held for as long as it is served. LOOP only.
 */
#ifndef FARSHORE_DAEMON_CONTROL_H
#define FARSHORE_DAEMON_CONTROL_H

#include <event2/event.h>
#include <jansson.h>

#include "farshore/error.h"

/* Exit statuses of the tool, as answers carry them. */
enum fs_exit {
    FS_EXIT_OK = 0,
    FS_EXIT_FAILURE = 1,
    FS_EXIT_BAD_REQUEST = 2,
    FS_EXIT_REFUSED = 3,
    FS_EXIT_FOUND = 4,
};

struct fs_control;
struct fs_call; /* one request; ends with finish or gone */

/* A request arrived; borrowed during the call. The handler finishes the call, now or later. */
typedef void fs_control_fn(void *arg, struct fs_call *call, const json_t *request);
/* The client went away before finish: the call is gone after it. */
typedef void fs_call_gone_fn(void *arg, struct fs_call *call);

/* Makes the directory where it is missing, mode 0660, group farshore where there is one. -EBUSY
 * while another daemon serves the socket; errors name the path. */
int fs_control_start(struct event_base *base, const char *path, fs_control_fn *handler,
                     fs_call_gone_fn *gone, void *arg, struct fs_control **ret_control,
                     struct fs_error *err);
/* Calls that are not finished are closed without gone; the socket's file is removed. */
void fs_control_stop(struct fs_control *control);

/* Who asks, as the kernel has it: "root", or "uid 1000"; returns ret_who. */
#define FS_CALL_WHO_SIZE 64
char *fs_call_who(const struct fs_call *call, char ret_who[FS_CALL_WHO_SIZE]);

/* Sends {"progress": progress}; progress is a new reference that is taken over. */
void fs_call_progress(struct fs_call *call, json_t *progress);
/* Sends {"exit": status, "result": result} (taken over); the call is gone. */
void fs_call_finish(struct fs_call *call, enum fs_exit status, json_t *result);
/* Sends {"exit": status, "error": text}; the call is gone. */
void fs_call_fail(struct fs_call *call, enum fs_exit status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
