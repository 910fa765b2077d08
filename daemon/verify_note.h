/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is remembered of a group's verifications, and its text in the cluster and in the status
 * document. Pure.
 */
#ifndef FARSHORE_DAEMON_VERIFY_NOTE_H
#define FARSHORE_DAEMON_VERIFY_NOTE_H

#include <jansson.h>

#include "farshore/clock.h"
#include "farshore/wire.h"

struct fs_verify_note {
    int64_t proved_ns; /* wall: of the last good proof; 0: none */
    /* The newest outcome, and the newest one with differences that nothing has disproved since.
     * ended_ns 0: none. */
    struct fs_verify_outcome {
        int64_t ended_ns; /* wall */
        struct fs_verify_report report;
    } last, bad;
};

/* Take a final report in. */
void fs_verify_note_add(struct fs_verify_note *note, const struct fs_verify_report *report,
                        int64_t wall_ns);

/* "equal", "different", "refused", "failed" or "running". */
const char *fs_verify_phase_name(enum fs_verify_phase phase);
/* A new reference, or NULL when out of memory. */
json_t *fs_verify_outcome_json(const struct fs_verify_outcome *outcome);
/* Text of a note (free), or NULL when out of memory; and back: -EINVAL for garbage. */
char *fs_verify_note_encode(const struct fs_verify_note *note);
int fs_verify_note_decode(const char *text, struct fs_verify_note *ret_note);

#endif
