/* SPDX-License-Identifier: Apache-2.0 */
/* The pieces of schema.c that have files of their own: only for those. */
#ifndef FARSHORE_DAEMON_SCHEMA_PARTS_H
#define FARSHORE_DAEMON_SCHEMA_PARTS_H

#include <stdarg.h>

#include "daemon/schema.h"

/* --- schema_yaml.c: from text to a document ------------------------------------------------- */

/*
 * Look through the events of a text for what the document interface does not show (anchors,
 * aliases, tags, a second document) or would take too much of (depth). True: no finding.
 */
bool fs_schema_screen(struct fs_schema_loader *loader, const void *text, size_t length);
/* Load the document of a text that was screened; the loader's owner deletes it. False: finding. */
bool fs_schema_compose(struct fs_schema_loader *loader, const void *text, size_t length);

/* line and column count from 0, as libyaml's do. */
void fs_schema_finding_at(struct fs_schema_loader *loader, size_t line, size_t column,
                          const char *format, va_list args) __attribute__((format(printf, 4, 0)));

/* --- schema_value.c: from a node to a value ------------------------------------------------- */

/* The text of a scalar, borrowed, or NULL. */
const char *fs_schema_scalar(const yaml_node_t *node);
/* "key:" and nothing behind it, or an explicit null. */
bool fs_schema_is_null(const yaml_node_t *node);
/* Put the value of node, or the default where node is NULL, where key says. where names the key in
 * findings ("policies.gold.interval"). */
void fs_schema_set(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                   const char *where, void *base, yaml_node_t *node);
/* Up to 63 letters, digits, '.', '_', '-', with a letter or digit at the front. */
bool fs_schema_is_name(const char *text);

#endif
