/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One screen of `farshore status -w`: the status document on so many lines and columns. Pure; it
 * knows colours and where a line ends, and nothing of terminals.
 */
#ifndef FARSHORE_TOOL_FRAME_H
#define FARSHORE_TOOL_FRAME_H

#include <jansson.h>
#include <stdbool.h>

#include "farshore/buf.h"

struct fs_frame {
    size_t lines, columns;
    size_t scroll; /* groups above the first one shown; made smaller where that leaves none */
    bool colour;
    const char *notice; /* in place of the help; NULL */
};

/* Appends frame->lines lines, none wider than frame->columns, with "\r\n" between. Groups are in
 * the order of lag against interval, worst first. now: seconds since the epoch. */
void fs_frame_render(const json_t *document, double now, struct fs_frame *frame,
                     struct fs_buf *out);

#endif
