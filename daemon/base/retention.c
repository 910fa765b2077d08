/* SPDX-License-Identifier: Apache-2.0 */
#include "farshore/retention.h"

#include "farshore/clock.h"

#define HOUR_S         INT64_C(3600)
#define DAY_S          (24 * HOUR_S)
#define WEEK_S         (7 * DAY_S)
#define FIRST_MONDAY_S (4 * DAY_S) /* 1970-01-05 */

/* One rule on its way from the newest point to the oldest. */
struct rule {
    unsigned keep;    /* of enum fs_keep */
    unsigned left;    /* periods that may still be kept */
    int64_t length_s; /* of a period; 0: every point is one of its own */
    int64_t begin_s;  /* of some period */
    int64_t period;   /* of the point that was kept last */
    bool any;
};

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Whether the rule keeps the next older point. */
static bool keeps(struct rule *rule, int64_t taken_ns)
{
    int64_t taken_s = floor_div(taken_ns, FS_SEC);
    int64_t period = rule->length_s ? floor_div(taken_s - rule->begin_s, rule->length_s) : 0;

    if (rule->left == 0 || (rule->any && rule->length_s && period == rule->period)) {
        return false;
    }
    rule->any = true;
    rule->period = period;
    rule->left--;
    return true;
}

void fs_retention_judge(const struct fs_retention *rules, const struct fs_record *record,
                        unsigned *ret_keep)
{
    struct rule all[] = {
        {.keep = FS_KEEP_LATEST, .left = rules->latest ? rules->latest : 1},
        {.keep = FS_KEEP_HOURLY, .left = rules->hourly, .length_s = HOUR_S},
        {.keep = FS_KEEP_DAILY, .left = rules->daily, .length_s = DAY_S},
        {.keep = FS_KEEP_WEEKLY,
         .left = rules->weekly,
         .length_s = WEEK_S,
         .begin_s = FIRST_MONDAY_S},
    };

    for (size_t i = record->n_points; i-- > 0;) {
        ret_keep[i] = 0;
        for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++) {
            if (record->points[i].state == FS_POINT_COMMITTED &&
                keeps(&all[k], record->points[i].taken_ns)) {
                ret_keep[i] |= all[k].keep;
            }
        }
    }
}

size_t fs_retention_let_go(const struct fs_retention *rules, struct fs_record *record,
                           const struct fs_uuid *base)
{
    unsigned keep[FS_POINTS_MAX];
    size_t dropped = 0;

    fs_retention_judge(rules, record, keep);
    for (size_t i = 0; i < record->n_points; i++) {
        struct fs_record_point *point = &record->points[i];

        if (point->state == FS_POINT_COMMITTED && !keep[i] &&
            !fs_uuid_equal(&point->point.id, base)) {
            point->state = FS_POINT_TAKING;
            dropped++;
        }
    }
    return dropped;
}
