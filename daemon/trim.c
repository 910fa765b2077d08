/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/trim.h"

unsigned fs_trim_factor(const struct fs_trim *trim)
{
    return trim->factor > 1 ? trim->factor : 1;
}

static unsigned judge(struct fs_trim *trim)
{
    unsigned factor = fs_trim_factor(trim);
    uint64_t noise = trim->before / 10;

    if (trim->least >= FS_TRIM_MIN && trim->least > trim->before + noise) {
        trim->growing++;
        return trim->growing >= 2 && factor < FS_TRIM_FACTOR_MAX ? 2 * factor : factor;
    }
    trim->growing = 0;
    if (trim->least < FS_TRIM_MIN || trim->least < trim->before - noise) {
        return factor > 1 ? factor / 2 : 1;
    }
    return factor;
}

bool fs_trim_observe(struct fs_trim *trim, uint64_t length, int64_t now_ns)
{
    unsigned factor = fs_trim_factor(trim), next = factor;

    if (trim->since_ns != 0 && now_ns - trim->since_ns < FS_TRIM_WINDOW_NS) {
        trim->least = length < trim->least ? length : trim->least;
        return false;
    }
    if (trim->since_ns != 0) {
        next = trim->compared ? judge(trim) : factor;
        trim->before = trim->least;
        trim->compared = true;
    }
    trim->since_ns = now_ns;
    trim->least = length;
    trim->factor = next;
    return next != factor;
}

bool fs_trim_forget(struct fs_trim *trim)
{
    bool changed = fs_trim_factor(trim) > 1;

    *trim = (struct fs_trim){0};
    return changed;
}
