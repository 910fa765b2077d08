/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the doctor share; see doctor.h. */
#ifndef FARSHORE_TOOL_DOCTOR_PRIVATE_H
#define FARSHORE_TOOL_DOCTOR_PRIVATE_H

#include <stdbool.h>
#include <string.h>

#include "daemon/tool/doctor.h"
#include "daemon/tool/json.h"
#include "daemon/tool/text.h"

struct fs_doctor {
    const json_t *status; /* borrowed */
    json_t *checks;       /* borrowed */
    double now;
    double bandwidth; /* 0: not asked */
};

#define FS_DOCTOR_OK      "ok"
#define FS_DOCTOR_WARNING "warning"
#define FS_DOCTOR_ERROR   "error"

/* A check and what came of it; hint is "" exactly where level is ok. */
void fs_doctor_say(struct fs_doctor *doctor, const char *check, const char *level,
                   const char *about, const char *hint, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

static inline bool is_number(const json_t *object, const char *key)
{
    return json_is_number(json_object_get(object, key));
}

static inline bool is_role(const json_t *group, const char *role)
{
    return strcmp(string_of(group, "role"), role) == 0;
}

/* What differences took, at a mean. */
struct fs_doctor_cycle {
    double took_s;
    double wire_bytes;  /* of a point */
    double wire_rate;   /* bytes/s, over the time that the points cover */
    double change_rate; /* bytes/s that change */
};

/* False where the daemon has seen too few of them. */
bool fs_doctor_cycle(const json_t *group, struct fs_doctor_cycle *ret_cycle);

/* doctor_link.c: can the intervals be kept, now and with another link? */
void fs_doctor_link(struct fs_doctor *doctor);
/* doctor_space.c: is there room for the copies, and what do the kept points take? */
void fs_doctor_space(struct fs_doctor *doctor);

#endif
