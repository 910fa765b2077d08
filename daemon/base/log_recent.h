/* SPDX-License-Identifier: Apache-2.0 */
/* The log's own end of what fs_log_recent_each tells. Any thread. */
#ifndef FARSHORE_BASE_LOG_RECENT_H
#define FARSHORE_BASE_LOG_RECENT_H

#include "farshore/log.h"

/* Remember an event in place of the oldest one. text: its fields as logfmt; cut where too long. */
void fs_log_recent_add(const char *name, enum fs_log_level level, const struct fs_field *fields,
                       const char *text);

#endif
