/* SPDX-License-Identifier: Apache-2.0 */
/* The writer of check_source: a process of its own, which can be stopped and killed. */
#ifndef FARSHORE_TESTS_SOURCE_WRITER_H
#define FARSHORE_TESTS_SOURCE_WRITER_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct writer {
    pid_t pid;
    int in;
    FILE *out;
};

/* What the child does; images are names, separated by commas. Returns its exit status. */
int writer_run(const char *images);
/* Start it, and wait until it writes. */
void writer_start(struct writer *writer, const char *images);
/* Returns its longest wait in ms; fails where a write did. */
int64_t writer_stop(struct writer *writer);

#endif
