/* SPDX-License-Identifier: Apache-2.0 */
/* The files of the RPO page (daemon/page/), put into the program when it is built. */
#ifndef FARSHORE_DAEMON_PAGE_H
#define FARSHORE_DAEMON_PAGE_H

#include <stddef.h>

struct fs_page_file {
    const char *path; /* "/" is index.html */
    const char *type; /* Content-Type */
    const unsigned char *data;
    size_t length;
};

extern const struct fs_page_file fs_page_files[];
extern const size_t fs_page_count;

#endif
