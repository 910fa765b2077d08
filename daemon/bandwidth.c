/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/bandwidth.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "farshore/clock.h"

#define DAYS 7

static const char *const day_names[DAYS] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

/* Moves *at behind the name of a day; DAYS where there is none. */
static unsigned take_day(const char **at)
{
    for (unsigned day = 0; day < DAYS; day++) {
        if (strncmp(*at, day_names[day], 3) == 0) {
            *at += 3;
            return day;
        }
    }
    return DAYS;
}

int fs_window_parse_days(const char *text, unsigned *ret_days, struct fs_error *err)
{
    unsigned days = 0;
    const char *at = text;
    bool valid = true;

    do {
        unsigned first = take_day(&at);
        unsigned last = first;

        if (*at == '-') {
            at++;
            last = take_day(&at);
        }
        valid = first < DAYS && last < DAYS && (*at == ',' || *at == '\0');
        for (unsigned day = first; valid; day = (day + 1) % DAYS) {
            days |= 1u << day;
            if (day == last) {
                break;
            }
        }
    } while (valid && *at++ == ',');
    if (!valid) {
        return fs_error_set(
            err, FS_ERR_CONFIG, EINVAL,
            "\"%.64s\" does not name days: write mon, tue, wed, thu, fri, sat, sun, "
            "such as mon-fri or sat,sun",
            text);
    }
    *ret_days = days;
    return 0;
}

static bool take_digits(const char *at, unsigned *ret_value)
{
    if (at[0] < '0' || at[0] > '9' || at[1] < '0' || at[1] > '9') {
        return false;
    }
    *ret_value = (unsigned)(at[0] - '0') * 10 + (unsigned)(at[1] - '0');
    return true;
}

int fs_window_parse_time(const char *text, unsigned *ret_minutes, struct fs_error *err)
{
    unsigned hours = 0;
    unsigned minutes = 0;
    bool valid = strlen(text) == 5 && text[2] == ':' && take_digits(text, &hours) &&
                 take_digits(text + 3, &minutes) && minutes < 60 &&
                 hours * 60 + minutes <= FS_MINUTES_OF_DAY;

    if (!valid) {
        return fs_error_set(err, FS_ERR_CONFIG, EINVAL,
                            "\"%.64s\" is not a time of day: write 00:00 to 24:00", text);
    }
    *ret_minutes = hours * 60 + minutes;
    return 0;
}

char *fs_window_format(const struct fs_window *window, char ret_text[FS_WINDOW_TEXT])
{
    size_t at = 0;

    for (unsigned day = 0; day < DAYS; day++) {
        unsigned last = day;

        if ((window->days >> day & 1) == 0) {
            continue;
        }
        while (last + 1 < DAYS && (window->days >> (last + 1) & 1) != 0) {
            last++;
        }
        at += (size_t)snprintf(ret_text + at, FS_WINDOW_TEXT - at, "%s%s%s%s", at > 0 ? "," : "",
                               day_names[day], last > day ? "-" : "",
                               last > day ? day_names[last] : "");
        day = last;
    }
    (void)snprintf(ret_text + at, FS_WINDOW_TEXT - at, " %02u:%02u to %02u:%02u", window->from / 60,
                   window->from % 60, window->to / 60, window->to % 60);
    return ret_text;
}

static bool holds(const struct fs_window *window, unsigned day, unsigned minute)
{
    unsigned yesterday = (day + DAYS - 1) % DAYS;
    bool today_is_in = (window->days >> day & 1) != 0;
    bool yesterday_is_in = (window->days >> yesterday & 1) != 0;

    if (window->from < window->to) {
        return today_is_in && minute >= window->from && minute < window->to;
    }
    return (today_is_in && minute >= window->from) || (yesterday_is_in && minute < window->to);
}

const struct fs_window *fs_window_find(const struct fs_window *windows, size_t count,
                                       int64_t wall_ns)
{
    time_t seconds = (time_t)(wall_ns / FS_SEC);
    struct tm local;

    if (count == 0 || !localtime_r(&seconds, &local)) {
        return NULL;
    }
    unsigned day = (unsigned)(local.tm_wday + DAYS - 1) % DAYS;
    unsigned minute = (unsigned)(local.tm_hour * 60 + local.tm_min);

    for (size_t i = 0; i < count; i++) {
        if (holds(&windows[i], day, minute)) {
            return &windows[i];
        }
    }
    return NULL;
}
