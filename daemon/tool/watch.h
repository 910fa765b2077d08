/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `farshore status -w`: the status again and again, as a screen that is drawn anew, or as tables
 * one below the other where standard output is no terminal. Blocks until the user or a signal ends
 * it.
 */
#ifndef FARSHORE_TOOL_WATCH_H
#define FARSHORE_TOOL_WATCH_H

#include <jansson.h>
#include <stdbool.h>

/* request is borrowed. Returns the exit status; what went wrong was said on standard error. */
int fs_watch(const char *socket_path, const json_t *request, bool colour);

#endif
