/* SPDX-License-Identifier: Apache-2.0 */
/* Figures and tables for people. */
#ifndef FARSHORE_TOOL_TEXT_H
#define FARSHORE_TOOL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define FS_TEXT_SIZE 32

/* "850 ms", "4.2 s", "3 m 05 s", "2 h 10 m", "3 d 4 h"; returns ret_text. */
char *fs_text_duration(double seconds, char ret_text[FS_TEXT_SIZE]);
/* "512 B", "1.5 KiB", "2.0 GiB"; returns ret_text. */
char *fs_text_bytes(uint64_t bytes, char ret_text[FS_TEXT_SIZE]);
/* "100 Mbit/s", "12.5 MiB/s", "1GB/s" as bytes a second; false where it is none. */
bool fs_text_parse_rate(const char *text, double *ret_bytes_per_s);
/* Local time, "2026-11-23 05:12:33"; returns ret_text. */
char *fs_text_moment(double epoch_s, char ret_text[FS_TEXT_SIZE]);

struct fs_table;

/* Columns as wide as their widest cell, two spaces between, cells to the left. Out of memory aborts
 * (this is the tool, not the daemon). */
struct fs_table *fs_table_new(size_t columns);
void fs_table_free(struct fs_table *table);
/* The next cell, row by row; copied; NULL is "-". */
void fs_table_cell(struct fs_table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void fs_table_print(const struct fs_table *table, FILE *out);

#endif
