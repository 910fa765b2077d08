/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `farshore doctor`: what in a site's status keeps, or will keep, it from meeting its objectives,
 * and how to mend each finding. Pure; from the status document alone.
 */
#ifndef FARSHORE_TOOL_DOCTOR_H
#define FARSHORE_TOOL_DOCTOR_H

#include <jansson.h>

/* {"schema_version", "checks": [{"check", "level": "ok"|"warning"|"error", "about", "message",
 * "hint"}]}, a new reference. now: seconds since the epoch. bandwidth: bytes a second that a link
 * would have, 0: not asked. */
json_t *fs_doctor_examine(const json_t *status, double now, double bandwidth);
/* How many of the checks are not ok. */
size_t fs_doctor_findings(const json_t *report);

#endif
