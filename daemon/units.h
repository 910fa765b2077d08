/* SPDX-License-Identifier: Apache-2.0 */
/* Durations, sizes and rates as people write them: a whole number and a unit. Pure; any thread. */
#ifndef FARSHORE_DAEMON_UNITS_H
#define FARSHORE_DAEMON_UNITS_H

#include <stdint.h>

#include "farshore/error.h"

/* "500ms", "5s", "1m", "1h", "2d"; one blank before the unit is allowed. Nanoseconds; -EINVAL
 * with a message that says what is wrong, -ERANGE above some 292 years. */
int fs_units_parse_duration(const char *text, int64_t *ret_ns, struct fs_error *err);
/* "512 B", "64 KiB", "256MiB", "1 GiB", "2 TiB", and kB, MB, GB, TB of thousands. Bytes; errors
 * as above. */
int fs_units_parse_size(const char *text, uint64_t *ret_bytes, struct fs_error *err);
/* "400 Mbit/s", "50MB/s", "8 MiB/s": bits or bytes a second. Bytes a second, rounded down; errors
 * as above. */
int fs_units_parse_rate(const char *text, uint64_t *ret_bytes_per_s, struct fs_error *err);

#endif
