/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "farshore/log.h"

/* stderr into a file, and back. */
static int saved_stderr = -1;
static FILE *capture_file;

static void capture_start(void)
{
    fflush(stderr);
    capture_file = tmpfile();
    assert_non_null(capture_file);
    saved_stderr = dup(STDERR_FILENO);
    assert_true(dup2(fileno(capture_file), STDERR_FILENO) >= 0);
}

/* What was written; free it. */
static char *capture_end(void)
{
    assert_true(dup2(saved_stderr, STDERR_FILENO) >= 0);
    close(saved_stderr);

    long size = lseek(fileno(capture_file), 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);

    assert_non_null(text);
    assert_int_equal(pread(fileno(capture_file), text, (size_t)size, 0), size);
    fclose(capture_file);
    return text;
}

static size_t count(const char *text, const char *part)
{
    size_t found = 0;

    for (const char *at = text; (at = strstr(at, part)); at += strlen(part)) {
        found++;
    }
    return found;
}

/* The one line that was written, without the time. */
static void assert_line(char *text, const char *expected)
{
    const char *level = strstr(text, " level=");

    assert_int_equal(strncmp(text, "time=2", 6), 0);
    assert_non_null(level);
    assert_int_equal(level - text, (int)strlen("time=2026-01-01T00:00:00.000Z"));
    assert_string_equal(level + 1, expected);
    free(text);
}

static void test_log_fields_are_typed(void **state)
{
    (void)state;
    fs_log_init(false, FS_LOG_INFO);
    capture_start();
    fs_log(FS_EV_POINT_COMMITTED, FS_S("group", "rbd/web"), FS_U("seq", UINT64_MAX),
           FS_I("lag_ms", INT64_MIN), FS_S("note", NULL));
    assert_line(capture_end(), "level=info event=point_committed group=rbd/web "
                               "seq=18446744073709551615 lag_ms=-9223372036854775808\n");
}

static void test_log_text_is_quoted_where_needed(void **state)
{
    (void)state;
    fs_log_init(false, FS_LOG_INFO);
    capture_start();
    fs_log(FS_EV_POINT_TAKEN, FS_S("a", ""), FS_S("b", "two words"), FS_S("c", "x=y"),
           FS_S("d", "say \"hi\"\\"), FS_S("e", "l1\nl2\t\x01\x7f"), FS_S("f", "\xc3\xa4"));
    assert_line(capture_end(), "level=info event=point_taken a=\"\" b=\"two words\" c=\"x=y\" "
                               "d=\"say \\\"hi\\\"\\\\\" e=\"l1\\nl2\\t\\x01\\x7f\" f=\xc3\xa4\n");
}

static void test_log_error_shows_message_and_class(void **state)
{
    struct fs_error err = FS_ERROR_INIT;

    (void)state;
    fs_error_set(&err, FS_ERR_DATA, EIO, "bytes differ");
    fs_log_init(false, FS_LOG_INFO);
    capture_start();
    fs_log(FS_EV_DIGEST_MISMATCH, FS_S("group", "g"), FS_E(&err));
    assert_line(capture_end(),
                "level=error event=digest_mismatch group=g error=\"bytes differ\" class=data\n");
}

static void test_log_above_the_level_is_silent(void **state)
{
    (void)state;
    fs_log_init(false, FS_LOG_WARNING);
    capture_start();
    fs_log(FS_EV_POINT_TAKEN, FS_S("group", "quiet"));
    fs_log(FS_EV_STARTED, FS_S("group", "quiet"));
    fs_log(FS_EV_SYNC_FAILED, FS_S("group", "loud"));

    char *text = capture_end();

    assert_int_equal(count(text, "\n"), 1);
    assert_int_equal(count(text, "group=loud"), 1);
    free(text);
}

static void test_log_repeats_are_held_back_and_counted(void **state)
{
    (void)state;
    fs_log_init(false, FS_LOG_INFO);
    capture_start();
    for (unsigned i = 0; i < 100; i++) {
        fs_log(FS_EV_TAKE_FAILED, FS_S("group", "same"), FS_U("seq", i), FS_S("error", "no"));
        fs_log(FS_EV_TAKE_FAILED, FS_S("group", "other"), FS_S("error", i < 3 ? "a" : "b"));
        fs_log(FS_EV_POINT_COMMITTED, FS_S("group", "same"), FS_U("seq", i));
    }
    fs_log_flush_repeats(); /* the window is not over: nothing yet */

    char *text = capture_end();

    assert_int_equal(count(text, "group=same seq="), 5 + 100);
    assert_int_equal(count(text, "group=other error=a"), 3);
    assert_int_equal(count(text, "group=other error=b"), 5);
    assert_int_equal(count(text, "event=repeated"), 0);
    free(text);
}

static void test_log_repeats_of_many_messages_evict_the_oldest_with_its_count(void **state)
{
    char group[32];

    (void)state;
    fs_log_init(false, FS_LOG_INFO);
    capture_start();
    for (unsigned i = 0; i < 7; i++) {
        fs_log(FS_EV_SYNC_FAILED, FS_S("group", "evicted"), FS_S("error", "why not"));
    }
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(group, sizeof(group), "crowd-%u", i);
        fs_log(FS_EV_SYNC_FAILED, FS_S("group", group));
    }

    char *text = capture_end();

    assert_int_equal(count(text, "group=crowd-"), 1000);
    assert_int_equal(count(text, "event=sync_failed group=evicted"), 5);
    assert_int_equal(count(text,
                           "level=warning event=repeated of=sync_failed times=2 group=evicted "
                           "error=\"why not\"\n"),
                     1);
    free(text);
}

static void *log_many(void *arg)
{
    for (unsigned i = 0; i < 500; i++) {
        fs_log(FS_EV_POINT_TAKEN, FS_S("group", arg), FS_U("seq", i));
        fs_log(FS_EV_TAKE_FAILED, FS_S("group", arg), FS_S("error", "threads"));
    }
    return NULL;
}

static void test_log_from_many_threads_keeps_lines_whole(void **state)
{
    static char names[4][8] = {"t0", "t1", "t2", "t3"};
    pthread_t threads[4];

    (void)state;
    fs_log_init(false, FS_LOG_INFO);
    capture_start();
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, names[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }

    char *text = capture_end();

    assert_int_equal(count(text, "event=point_taken group=t"), 2000);
    assert_int_equal(count(text, "error=threads"), 4 * 5);
    assert_int_equal(count(text, "time=2"), 2000 + 4 * 5);
    assert_int_equal(count(text, "\n"), 2000 + 4 * 5);
    free(text);
}

/* Without a journal the datagram goes nowhere; the sanitizers see that it was made well. */
static void test_log_journal_writes_nothing_to_stderr(void **state)
{
    (void)state;
    fs_log_init(true, FS_LOG_INFO);
    capture_start();
    fs_log(FS_EV_POINT_COMMITTED, FS_S("group", "two words"), FS_U("seq", 7), FS_I("lag_ms", -1),
           FS_S("note", NULL));

    char *text = capture_end();

    assert_string_equal(text, "");
    free(text);
    fs_log_init(false, FS_LOG_INFO);
}

struct found {
    size_t count;
    struct fs_log_recent newest;
};

static void find(void *arg, const struct fs_log_recent *entry)
{
    struct found *found = arg;

    if (found->count++ == 0) {
        found->newest = *entry;
    }
}

static void test_log_recent_keeps_the_newest_without_routine(void **state)
{
    (void)state;
    struct found found = {0};

    capture_start();
    for (uint64_t i = 0; i < FS_LOG_RECENT_MAX + 10; i++) {
        char name[32];
        snprintf(name, sizeof(name), "rbd/%d", (int)i);
        fs_log(FS_EV_GROUP_STATE, FS_S("group", name), FS_S("state", "late"), FS_U("n", i));
        fs_log(FS_EV_POINT_COMMITTED, FS_S("group", name));
    }
    free(capture_end());
    fs_log_recent_each(find, &found);
    assert_int_equal(found.count, FS_LOG_RECENT_MAX);
    assert_string_equal(found.newest.name, "group_state");
    assert_string_equal(found.newest.group, "rbd/265");
    assert_string_equal(found.newest.text, "state=late n=265");
    assert_int_equal(found.newest.level, FS_LOG_NOTICE);
    assert_true(found.newest.wall_ns > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_fields_are_typed),
        cmocka_unit_test(test_log_text_is_quoted_where_needed),
        cmocka_unit_test(test_log_error_shows_message_and_class),
        cmocka_unit_test(test_log_above_the_level_is_silent),
        cmocka_unit_test(test_log_repeats_are_held_back_and_counted),
        cmocka_unit_test(test_log_repeats_of_many_messages_evict_the_oldest_with_its_count),
        cmocka_unit_test(test_log_from_many_threads_keeps_lines_whole),
        cmocka_unit_test(test_log_journal_writes_nothing_to_stderr),
        cmocka_unit_test(test_log_recent_keeps_the_newest_without_routine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
