/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the configuration's keys, and its check of what keys say together. Only for
 * config.c. */
#ifndef FARSHORE_DAEMON_CONFIG_TABLE_H
#define FARSHORE_DAEMON_CONFIG_TABLE_H

#include "daemon/config.h"
#include "daemon/schema.h"

extern const struct fs_schema_key fs_config_table[];

/* References and sections that others need; fills defaults that depend on other keys. */
fs_schema_check_fn fs_config_check;

#endif
