/* SPDX-License-Identifier: Apache-2.0 */
/* The test of a drill: a shell command of the operator's, whose exit status the daemon records. */
#ifndef FARSHORE_TOOL_DRILL_TEST_H
#define FARSHORE_TOOL_DRILL_TEST_H

#include <jansson.h>

#include "farshore/error.h"

/*
 * Run the command with the drill of the daemon's answer in its environment: FARSHORE_GROUP,
 * FARSHORE_DRILL (its id), FARSHORE_POINT, and FARSHORE_IMAGES, a line for each volume: the clone,
 * a space, the name of the image that it stands for. Waits for its end; returns the tool's exit
 * status.
 */
int fs_drill_test(const char *socket_path, const char *group, const char *command,
                  const json_t *result, struct fs_error *err);

#endif
