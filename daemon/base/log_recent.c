/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/base/log_recent.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "farshore/clock.h"

static struct {
    pthread_mutex_t lock;
    struct fs_log_recent ring[FS_LOG_RECENT_MAX]; /* guarded by lock, as is the rest */
    uint64_t added;
} recent = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const char *group_of(const struct fs_field *fields)
{
    for (; fields->key; fields++) {
        if (fields->type == FS_FIELD_STRING && fields->s && strcmp(fields->key, "group") == 0) {
            return fields->s;
        }
    }
    return "";
}

void fs_log_recent_add(const char *name, enum fs_log_level level, const struct fs_field *fields,
                       const char *text)
{
    int64_t now_ns = fs_clock_wall(fs_clock_system());

    pthread_mutex_lock(&recent.lock);

    struct fs_log_recent *entry = &recent.ring[recent.added++ % FS_LOG_RECENT_MAX];

    entry->wall_ns = now_ns;
    entry->name = name;
    entry->level = level;
    (void)snprintf(entry->group, sizeof(entry->group), "%s", group_of(fields));
    (void)snprintf(entry->text, sizeof(entry->text), "%s", text);
    pthread_mutex_unlock(&recent.lock);
}

void fs_log_recent_each(void (*each)(void *arg, const struct fs_log_recent *entry), void *arg)
{
    pthread_mutex_lock(&recent.lock);
    for (uint64_t age = 1; age <= recent.added && age <= FS_LOG_RECENT_MAX; age++) {
        each(arg, &recent.ring[(recent.added - age) % FS_LOG_RECENT_MAX]);
    }
    pthread_mutex_unlock(&recent.lock);
}
