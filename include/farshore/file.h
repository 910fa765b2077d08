/* SPDX-License-Identifier: Apache-2.0 */
/* Small files, read and replaced as a whole. Any thread; blocks. */
#ifndef FARSHORE_FILE_H
#define FARSHORE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "farshore/error.h"

/* The text of a file of at most limit bytes, for free(); a NUL follows. Errors name the file:
 * -ENOENT, -EFBIG, -ENOMEM, or what the kernel said. */
int fs_file_read(const char *path, size_t limit, char **ret_text, struct fs_error *err);

/*
 * Put text in the place of path, durably and all at once: readers see the old or the new one, and
 * so does who starts after a power failure. Owner and group of a file that was there stay, as far
 * as we may. mode is the new file's.
 */
int fs_file_replace(const char *path, const char *text, mode_t mode, struct fs_error *err);

/* Remove a file, durably. -ENOENT where there is none: of several at once exactly one succeeds. */
int fs_file_remove(const char *path, struct fs_error *err);

/* The directory of path as "DIR" ("." where it has none); false where it does not fit. */
bool fs_file_directory(const char *path, char *ret_directory, size_t size);

#endif
