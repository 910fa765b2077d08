/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the record's JSON form share. Any thread. */
#ifndef FARSHORE_DAEMON_BASE_RECORD_JSON_H
#define FARSHORE_DAEMON_BASE_RECORD_JSON_H

#include "farshore/record.h"

/* A text that is not UTF-8 is an object with this one key and the bytes in hex. */
#define RECORD_HEX_KEY "hex"

/* Names of enum fs_point_state, by value. */
#define RECORD_N_POINT_STATES 5
extern const char *const fs_record_point_states[RECORD_N_POINT_STATES];

#endif
