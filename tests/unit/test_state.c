/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/state.h"

static void test_verdict_keeps_the_worst(void **state)
{
    (void)state;
    struct fs_verdict verdict = FS_VERDICT_OK;

    fs_verdict_add(&verdict, FS_STATE_LATE, NULL, "late by %d", 5);
    fs_verdict_add(&verdict, FS_STATE_SYNCING, NULL, "syncing");
    assert_int_equal(verdict.state, FS_STATE_LATE);
    assert_string_equal(verdict.reason, "late by 5");
    assert_string_equal(verdict.hint, "");
    fs_verdict_add(&verdict, FS_STATE_SPLIT_BRAIN, "decide", "both");
    fs_verdict_add(&verdict, FS_STATE_PEER_DOWN, NULL, "down");
    assert_string_equal(fs_state_name(verdict.state), "split_brain");
    assert_string_equal(verdict.hint, "decide");
}

static void test_names_are_those_of_the_design(void **state)
{
    (void)state;
    static const char *const names[] = {
        "never_synced", "ok",           "syncing",       "late",
        "paused",       "stalled",      "writer_silent", "not_one_instant",
        "peer_down",    "cluster_down", "no_space",      "degraded",
        "tampered",     "diverged",     "split_brain",   "record_lost",
        "superseded",   "demoted",      "error"};

    assert_int_equal(sizeof(names) / sizeof(names[0]), FS_STATE_COUNT);
    for (size_t i = 0; i < FS_STATE_COUNT; i++) {
        unsigned found = 0;
        for (unsigned k = 0; k < FS_STATE_COUNT; k++) {
            found += strcmp(fs_state_name((enum fs_group_state)k), names[i]) == 0;
        }
        assert_int_equal(found, 1);
    }
}

static void test_refusals_say_the_peers_message_and_a_hint(void **state)
{
    (void)state;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_verdict verdict;

    (void)fs_error_set(&err, FS_ERR_PEER, EPROTO, "west has no policy gold");
    assert_string_equal(fs_verdict_of_refusal(FS_REFUSE_UNKNOWN_POLICY, &err, &verdict),
                        "unknown_policy");
    assert_int_equal(verdict.state, FS_STATE_ERROR);
    assert_string_equal(verdict.reason, "west has no policy gold");
    assert_true(verdict.hint[0]);
    for (int i = FS_REFUSE_UNKNOWN_POLICY; i <= FS_REFUSE_LAST; i++) {
        assert_non_null(fs_verdict_of_refusal((enum fs_refusal)i, &err, &verdict));
        assert_true(verdict.state != FS_STATE_OK);
    }
    assert_string_equal(fs_verdict_of_refusal((enum fs_refusal)99, &err, &verdict), "peer");
}

static void test_errors_map_by_code_and_class(void **state)
{
    (void)state;
    struct fs_error full = FS_ERROR_INIT, away = FS_ERROR_INIT, bug = FS_ERROR_INIT;
    struct fs_verdict verdict;

    (void)fs_error_set(&full, FS_ERR_TRANSIENT, ENOSPC, "full");
    assert_string_equal(fs_verdict_of_error(&full, &verdict), "no_space");
    assert_int_equal(verdict.state, FS_STATE_NO_SPACE);
    (void)fs_error_set(&away, FS_ERR_TRANSIENT, ETIMEDOUT, "no answer");
    assert_string_equal(fs_verdict_of_error(&away, &verdict), "transient");
    assert_int_equal(verdict.state, FS_STATE_CLUSTER_DOWN);
    (void)fs_error_set(&bug, FS_ERR_BUG, EINVAL, "bug");
    (void)fs_verdict_of_error(&bug, &verdict);
    assert_int_equal(verdict.state, FS_STATE_ERROR);
    assert_string_equal(fs_verdict_of_take(FS_TAKE_WRITER_SILENT, &bug, &verdict), "writer_silent");
    assert_int_equal(verdict.state, FS_STATE_WRITER_SILENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdict_keeps_the_worst),
        cmocka_unit_test(test_names_are_those_of_the_design),
        cmocka_unit_test(test_refusals_say_the_peers_message_and_a_hint),
        cmocka_unit_test(test_errors_map_by_code_and_class),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
