/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's JSON answers as tables for people. The documents are borrowed. */
#ifndef FARSHORE_TOOL_SHOW_H
#define FARSHORE_TOOL_SHOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* The site, its peers, a line a group, and for those that are not ok the reason and the hint. With
 * detail each group also with its volumes. */
void fs_show_status(const json_t *document, bool detail, FILE *out);
void fs_show_points(const json_t *document, FILE *out);
/* One line of progress of a group's "sync" object: "shipping 43 % 120.0 MiB/s, 3.1 s left". */
void fs_show_progress(const json_t *sync, FILE *out);
/* The same of its "verify" object. */
void fs_show_verify_progress(const json_t *verify, FILE *out);
/* What `doctor` found: a line a check, with what helps below those that are not ok. */
void fs_show_doctor(const json_t *report, FILE *out);
/* What a verification found. */
void fs_show_verify(const json_t *result, FILE *out);
/* What an operation would do, or what came of it. */
void fs_show_follow(const json_t *result, FILE *out);
void fs_show_left(const json_t *result, FILE *out);
void fs_show_failover(const json_t *result, FILE *out);
/* "2 of 3 groups done; rbd/shop: taking the locks of the images" */
void fs_show_operation_progress(const json_t *progress, FILE *out);
/* Who would be fenced, or what came of fencing and unfencing. */
void fs_show_fences(const json_t *result, FILE *out);
/* A drill that was made, or how many were removed. */
void fs_show_drill(const json_t *result, const char *group, FILE *out);
/* What Kubernetes objects a point carries, as a table; and the objects themselves, as YAML: false
 * where that could not be written. */
void fs_show_objects(const json_t *result, FILE *out);
bool fs_show_manifests(const json_t *result, FILE *out);
void fs_show_history(const json_t *result, FILE *out);

#endif
