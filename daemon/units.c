/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/units.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "farshore/clock.h"

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit duration_units[] = {
    {"ms", (uint64_t)FS_MSEC},
    {"s", (uint64_t)FS_SEC},
    {"m", 60 * (uint64_t)FS_SEC},
    {"h", 3600 * (uint64_t)FS_SEC},
    {"d", UINT64_C(24) * 3600 * (uint64_t)FS_SEC},
    {NULL, 0},
};

static const struct unit size_units[] = {
    {"B", 1},
    {"KiB", UINT64_C(1) << 10},
    {"MiB", UINT64_C(1) << 20},
    {"GiB", UINT64_C(1) << 30},
    {"TiB", UINT64_C(1) << 40},
    {"kB", UINT64_C(1000)},
    {"MB", UINT64_C(1000) * 1000},
    {"GB", UINT64_C(1000) * 1000 * 1000},
    {"TB", UINT64_C(1000) * 1000 * 1000 * 1000},
    {NULL, 0},
};

/* In bits. */
static const struct unit rate_units[] = {
    {"kbit/s", UINT64_C(1000)},
    {"Mbit/s", UINT64_C(1000) * 1000},
    {"Gbit/s", UINT64_C(1000) * 1000 * 1000},
    {"kB/s", UINT64_C(8) * 1000},
    {"MB/s", UINT64_C(8) * 1000 * 1000},
    {"GB/s", UINT64_C(8) * 1000 * 1000 * 1000},
    {"KiB/s", UINT64_C(8) << 10},
    {"MiB/s", UINT64_C(8) << 20},
    {"GiB/s", UINT64_C(8) << 30},
    {NULL, 0},
};

static int parse(const char *text, const struct unit *units, const char *unit_names,
                 const char *example, uint64_t most, uint64_t *ret_value, struct fs_error *err)
{
    const char *at = text;
    uint64_t value = 0;
    bool fits = true;

    while (*at >= '0' && *at <= '9') {
        fits = fits && !__builtin_mul_overflow(value, UINT64_C(10), &value) &&
               !__builtin_add_overflow(value, (uint64_t)(*at - '0'), &value);
        at++;
    }
    if (at == text) {
        return fs_error_set(err, FS_ERR_CONFIG, EINVAL,
                            "\"%.64s\" does not start with a whole number (such as %s)", text,
                            example);
    }
    if (*at == ' ') {
        at++;
    }
    if (*at == '\0') {
        return fs_error_set(err, FS_ERR_CONFIG, EINVAL,
                            "\"%.64s\" has no unit: write one of %s behind it (such as %s)", text,
                            unit_names, example);
    }
    while (units->name && strcmp(at, units->name) != 0) {
        units++;
    }
    if (!units->name) {
        return fs_error_set(err, FS_ERR_CONFIG, EINVAL,
                            "\"%.64s\" has an unknown unit: use one of %s (such as %s)", text,
                            unit_names, example);
    }
    if (!fits || __builtin_mul_overflow(value, units->factor, &value) || value > most) {
        return fs_error_set(err, FS_ERR_CONFIG, ERANGE, "\"%.64s\" is too large", text);
    }
    *ret_value = value;
    return 0;
}

int fs_units_parse_duration(const char *text, int64_t *ret_ns, struct fs_error *err)
{
    uint64_t value;
    int rc = parse(text, duration_units, "ms, s, m, h, d", "5m", INT64_MAX, &value, err);

    if (rc == 0) {
        *ret_ns = (int64_t)value;
    }
    return rc;
}

int fs_units_parse_size(const char *text, uint64_t *ret_bytes, struct fs_error *err)
{
    return parse(text, size_units, "B, KiB, MiB, GiB, TiB, kB, MB, GB, TB", "256 MiB", UINT64_MAX,
                 ret_bytes, err);
}

int fs_units_parse_rate(const char *text, uint64_t *ret_bytes_per_s, struct fs_error *err)
{
    uint64_t bits;
    int rc =
        parse(text, rate_units, "kbit/s, Mbit/s, Gbit/s, kB/s, MB/s, GB/s, KiB/s, MiB/s, GiB/s",
              "400 Mbit/s", UINT64_MAX, &bits, err);

    if (rc == 0) {
        *ret_bytes_per_s = bits / 8;
    }
    return rc;
}
