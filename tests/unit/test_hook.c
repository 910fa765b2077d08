/* SPDX-License-Identifier: Apache-2.0 */
/* Real commands on a real loop: daemon/hook.h. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/hook.h"

struct rig {
    struct event_base *base;
    struct fs_config_policy policy;
    struct fs_config config;
    struct fs_context ctx;
    struct fs_group group;
    char directory[32], command[600];
    unsigned calls;
    struct fs_error err;
};

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    assert_non_null(rig);
    (void)snprintf(rig->directory, sizeof(rig->directory), "/tmp/farshore-hook.XXXXXX");
    assert_non_null(mkdtemp(rig->directory));
    rig->base = event_base_new();
    rig->policy.name = (char *)"gold";
    rig->policy.on_timeout_ns = 60 * FS_SEC;
    rig->policy.on[FS_HOOK_START] = rig->command;
    rig->config =
        (struct fs_config){.site = (char *)"west", .policies = &rig->policy, .n_policies = 1};
    rig->ctx = (struct fs_context){.config = &rig->config, .hooks = fs_hooks_new(rig->base)};
    rig->group = (struct fs_group){.ctx = &rig->ctx, .record = fs_record_new()};
    assert_non_null(rig->ctx.hooks);
    assert_non_null(rig->group.record);
    (void)snprintf(rig->group.record->name, FS_NAME_SIZE, "rbd/vm");
    (void)snprintf(rig->group.record->policy, FS_NAME_SIZE, "gold");
    rig->group.record->term.number = 7;
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    char command[64];

    fs_hooks_free(rig->ctx.hooks);
    fs_record_free(rig->group.record);
    event_base_free(rig->base);
    (void)snprintf(command, sizeof(command), "rm -r %s", rig->directory);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a fixed command */
    free(rig);
    return 0;
}

static void ended(void *arg, const struct fs_error *err)
{
    struct rig *rig = arg;

    rig->calls++;
    rig->err = err ? *err : FS_ERROR_INIT;
}

/* D in the command stands for a directory of the test's. */
static void start(struct rig *rig, const char *command)
{
    const struct fs_point_id point = {.id = {{0xab}}, .term = {.number = 7}, .seq = 3};
    size_t n = 0;

    for (const char *c = command; *c; c++) {
        n += (size_t)snprintf(rig->command + n, sizeof(rig->command) - n, "%.*s",
                              *c == 'D' ? (int)sizeof(rig->directory) : 1,
                              *c == 'D' ? rig->directory : c);
    }
    assert_true(fs_hook_start(&rig->group, FS_HOOK_START, &point, ended, rig));
    assert_int_equal(rig->calls, 0);
}

static void run(struct rig *rig, const char *command)
{
    start(rig, command);
    while (rig->calls == 0) {
        assert_int_equal(event_base_loop(rig->base, EVLOOP_ONCE), 0);
    }
    (void)event_base_loop(rig->base, EVLOOP_NONBLOCK);
    assert_int_equal(rig->calls, 1);
}

/* What a file of the directory holds; static. */
static const char *content(const struct rig *rig, const char *name)
{
    static char text[4096];
    char path[64];

    (void)snprintf(path, sizeof(path), "%s/%s", rig->directory, name);
    FILE *file = fopen(path, "re");
    if (!file) {
        return NULL;
    }
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    (void)fclose(file);
    return text;
}

static void test_hook_gets_its_environment_and_no_descriptor(void **state)
{
    struct rig *rig = *state;
    int fd = dup(STDERR_FILENO); /* without close on exec */

    (void)setenv("FARSHORE_TERM", "99", 1);
    (void)setenv("NOTIFY_SOCKET", "/nowhere", 1);
    run(rig, "env | grep -E '^(FARSHORE|NOTIFY)' | sort > D/env; ls /proc/self/fd > D/fds");
    assert_false(fs_error_is_set(&rig->err));
    assert_string_equal(content(rig, "env"), "FARSHORE_GROUP=rbd/vm\n"
                                             "FARSHORE_HOOK=on.start\n"
                                             "FARSHORE_POINT=farshore.7.3.ab000000\n"
                                             "FARSHORE_POLICY=gold\n"
                                             "FARSHORE_SITE=west\n"
                                             "FARSHORE_TERM=7\n"
                                             "FARSHORE_UUID=00000000-0000-0000-0000-000000000000\n"
                                             "FARSHORE_VOLUMES=\n");
    assert_string_equal(content(rig, "fds"), "0\n1\n2\n3\n"); /* 3: the directory that ls reads */
    close(fd);
}

static void test_quiesce_command_is_told_what_to_do_and_has_a_limit_of_its_own(void **state)
{
    struct rig *rig = *state;
    char command[128];

    (void)snprintf(command, sizeof(command), "env | grep QUIESCE > %s/env; sleep 60",
                   rig->directory);
    assert_true(fs_hook_start_quiesce(&rig->group, command, true, 300 * FS_MSEC, ended, rig));
    while (rig->calls == 0) {
        assert_int_equal(event_base_loop(rig->base, EVLOOP_ONCE), 0);
    }
    assert_string_equal(content(rig, "env"), "FARSHORE_QUIESCE=thaw\n");
    assert_non_null(strstr(rig->err.message, "quiesce.command was killed"));
    assert_non_null(strstr(rig->err.message, "(quiesce.timeout)"));
    assert_false(fs_hook_start_quiesce(&rig->group, NULL, true, FS_SEC, ended, rig));
}

static void test_hook_that_fails_tells_its_status_and_last_line(void **state)
{
    struct rig *rig = *state;

    run(rig, "echo one; echo two >&2; printf 'no VM of that name'; exit 3");
    assert_string_equal(rig->err.message, "on.start ended with status 3: no VM of that name");
}

static void test_hook_past_its_time_is_killed_with_all_it_started(void **state)
{
    struct rig *rig = *state;

    rig->policy.on_timeout_ns = 1 * FS_SEC;
    run(rig, "trap '' TERM; sh -c 'echo $$ > D/child; exec sleep 600'");
    assert_int_equal(rig->err.code, ETIMEDOUT);
    assert_non_null(strstr(rig->err.message, "did not end within 1 s"));
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/cmdline", atoi(content(rig, "child")));
    for (int i = 0; i < 500 && access(path, R_OK) == 0; i++) {
        FILE *file = fopen(path, "re"); /* a zombie that init has not reaped has none */
        int c = file ? fgetc(file) : EOF;
        if (file) {
            (void)fclose(file);
        }
        if (c == EOF) {
            return;
        }
        usleep(10000);
    }
    assert_int_not_equal(access(path, R_OK), 0);
}

static void test_hook_may_leave_something_running(void **state)
{
    struct rig *rig = *state;

    run(rig, "sleep 600 & echo $! > D/child; echo started");
    assert_false(fs_error_is_set(&rig->err));
    assert_int_equal(kill(atoi(content(rig, "child")), SIGKILL), 0); /* it was alive */
}

static void test_hook_that_floods_is_cut_short_in_the_log(void **state)
{
    struct rig *rig = *state;
    FILE *log = tmpfile();
    int saved = dup(STDERR_FILENO);
    char line[2048];
    size_t told = 0;
    bool counted = false;

    assert_non_null(log);
    assert_true(dup2(fileno(log), STDERR_FILENO) >= 0);
    run(rig, "seq 100000; head -c 2000 /dev/zero; echo; exit 1");
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    rewind(log);
    while (fgets(line, sizeof(line), log)) {
        told += strstr(line, "event=hook_output") != NULL;
        /* 2000 bytes without an end come as four lines */
        counted = counted || strstr(line, "lines_left_out=99904");
    }
    (void)fclose(log);
    assert_int_equal(told, FS_HOOK_LINES_MAX);
    assert_true(counted);
    assert_true(fs_error_is_set(&rig->err));
}

static void test_hook_that_is_not_configured_is_none(void **state)
{
    struct rig *rig = *state;

    assert_false(fs_hook_start(&rig->group, FS_HOOK_STOP, NULL, ended, rig));
    (void)snprintf(rig->group.record->policy, FS_NAME_SIZE, "silver");
    assert_false(fs_hook_start(&rig->group, FS_HOOK_START, NULL, ended, rig));
}

static void test_hooks_free_kills_what_runs(void **state)
{
    struct rig *rig = *state;

    start(rig, "echo $$ > D/self; sleep 600");
    while (!content(rig, "self") || !*content(rig, "self")) {
        usleep(1000);
    }
    int pid = atoi(content(rig, "self"));
    fs_hooks_free(rig->ctx.hooks);
    rig->ctx.hooks = NULL;
    assert_int_equal(kill(pid, 0), -1); /* and reaped */
    assert_int_equal(rig->calls, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_hook_gets_its_environment_and_no_descriptor),
        TEST(test_quiesce_command_is_told_what_to_do_and_has_a_limit_of_its_own),
        TEST(test_hook_that_fails_tells_its_status_and_last_line),
        TEST(test_hook_past_its_time_is_killed_with_all_it_started),
        TEST(test_hook_may_leave_something_running),
        TEST(test_hook_that_floods_is_cut_short_in_the_log),
        TEST(test_hook_that_is_not_configured_is_none),
        TEST(test_hooks_free_kills_what_runs),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
