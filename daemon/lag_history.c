/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/lag_history.h"

#define UNKNOWN (-1.0f)

void fs_lag_history_init(struct fs_lag_history *history)
{
    history->newest = 0;
    for (size_t i = 0; i < FS_LAG_STEPS; i++) {
        history->max_s[i] = UNKNOWN;
    }
}

static float *slot(struct fs_lag_history *history, int64_t number)
{
    return &history->max_s[number % FS_LAG_STEPS];
}

void fs_lag_history_sample(struct fs_lag_history *history, int64_t lag_ns, int64_t now_ns)
{
    int64_t number = now_ns / FS_LAG_STEP_NS + 1; /* 0 is none */

    if (number < history->newest) {
        return;
    }
    if (number - history->newest >= FS_LAG_STEPS) {
        fs_lag_history_init(history);
    } else {
        while (history->newest < number) {
            *slot(history, ++history->newest) = UNKNOWN;
        }
    }
    history->newest = number;
    float lag_s = lag_ns < 0 ? UNKNOWN : (float)((double)lag_ns / (double)FS_SEC);
    float *max_s = slot(history, number);
    *max_s = lag_s > *max_s ? lag_s : *max_s;
}

double fs_lag_history_get(const struct fs_lag_history *history, size_t age)
{
    if (age >= FS_LAG_STEPS || history->newest <= (int64_t)age) {
        return UNKNOWN;
    }
    return history->max_s[(history->newest - (int64_t)age) % FS_LAG_STEPS];
}
