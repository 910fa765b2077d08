/* SPDX-License-Identifier: Apache-2.0 */
/* Fault points: the process that passes ends exactly where it was told to. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "farshore/clock.h"
#include "farshore/fault.h"

#ifdef FARSHORE_FAULTS

static char file[] = "/tmp/farshore-fault-XXXXXX";

static void put(const char *text)
{
    FILE *to = fopen(file, "we");

    assert_non_null(to);
    (void)fputs(text, to);
    assert_int_equal(fclose(to), 0);
}

/* How often a child passes the step in a row; -1: it lives after five. */
static int dies_after(const char *what, const char *step)
{
    int pipe_ends[2], status;
    char told[8];
    ssize_t passed;

    assert_int_equal(pipe(pipe_ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)setenv("FARSHORE_FAULT", what, 1);
        (void)close(STDERR_FILENO);
        for (int i = 0; i < 5; i++) {
            fs_fault("take.seq");
            fs_fault(step);
            if (write(pipe_ends[1], "x", 1) != 1) {
                _exit(1);
            }
        }
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    (void)close(pipe_ends[1]);
    passed = read(pipe_ends[0], told, sizeof(told));
    (void)close(pipe_ends[0]);
    if (WIFEXITED(status)) {
        return -1;
    }
    assert_int_equal(WTERMSIG(status), SIGKILL);
    return (int)passed;
}

static void test_fault_nth_passage_ends_the_process(void **state)
{
    (void)state;
    assert_int_equal(dies_after("commit.begin", "commit.begin"), 0);
    assert_int_equal(dies_after("commit.begin:1", "commit.begin"), 0);
    assert_int_equal(dies_after("commit.begin:4", "commit.begin"), 3);
    assert_int_equal(dies_after("commit.begin:6", "commit.begin"), -1);
    assert_int_equal(dies_after("commit.begin", "commit.flushed"), -1);
    assert_int_equal(dies_after("", "commit.begin"), -1);
}

static void test_fault_file_is_removed_by_the_one_that_dies(void **state)
{
    char what[64];

    (void)state;
    (void)snprintf(what, sizeof(what), "@%s", file);
    put("commit.begin:2\n");
    assert_int_equal(dies_after(what, "commit.flushed"), -1);
    assert_int_equal(access(file, F_OK), 0);
    assert_int_equal(dies_after(what, "commit.begin"), 1);
    assert_int_not_equal(access(file, F_OK), 0);
    assert_int_equal(dies_after(what, "commit.begin"), -1);
}

static void count(void *arg, const char *step)
{
    assert_string_equal(step, "commit.begin");
    ++*(unsigned *)arg;
}

static void test_fault_hook_is_called_instead(void **state)
{
    unsigned calls = 0;

    (void)state;
    fs_fault_set_hook(count, &calls);
    fs_fault("commit.begin");
    fs_fault_set_hook(NULL, NULL);
    assert_int_equal(calls, 1);
}

static void test_fault_clock_steps_the_wall_and_not_the_boot_clock(void **state)
{
    const struct fs_clock *clock = fs_clock_system();

    (void)state;
    (void)setenv("FARSHORE_FAULT_CLOCK", file, 1);
    int64_t boot = fs_clock_boot(clock), wall = fs_clock_wall(clock);
    put("-7200.5\n");
    int64_t back = fs_clock_wall(clock) - wall;
    put("86400");
    int64_t forth = fs_clock_wall(clock) - wall;
    assert_in_range(-back, 7190 * FS_SEC, 7201 * FS_SEC);
    assert_in_range(forth, 86400 * FS_SEC, 86410 * FS_SEC);
    assert_in_range(fs_clock_boot(clock) - boot, 0, 10 * FS_SEC);
    (void)unlink(file);
    assert_in_range(fs_clock_wall(clock) - wall, 0, 10 * FS_SEC);
    (void)unsetenv("FARSHORE_FAULT_CLOCK");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_nth_passage_ends_the_process),
        cmocka_unit_test(test_fault_file_is_removed_by_the_one_that_dies),
        cmocka_unit_test(test_fault_hook_is_called_instead),
        cmocka_unit_test(test_fault_clock_steps_the_wall_and_not_the_boot_clock),
    };
    int fd = mkstemp(file);

    if (fd < 0) {
        return EXIT_FAILURE;
    }
    (void)close(fd);
    (void)unlink(file);
    (void)unsetenv("FARSHORE_FAULT");
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

/* In a build without them a fault point is nothing, whatever its name. */
int main(void)
{
    fs_fault("no such step");
    return EXIT_SUCCESS;
}

#endif
