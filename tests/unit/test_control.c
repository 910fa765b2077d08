/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/control.h"

struct fixture {
    struct event_base *base;
    struct fs_control *control;
    char path[100];
    struct fs_call *held; /* a "hold" request that nobody finished */
    unsigned gone;
};

static void handle(void *arg, struct fs_call *call, const json_t *request)
{
    struct fixture *fixture = arg;
    const char *command = json_string_value(json_object_get(request, "command"));

    if (command && strcmp(command, "hold") == 0) {
        fixture->held = call;
    } else if (command && strcmp(command, "refuse") == 0) {
        fs_call_fail(call, FS_EXIT_REFUSED, "no %d", 7);
    } else {
        fs_call_progress(call, json_pack("{s:i}", "at", 1));
        fs_call_finish(call, FS_EXIT_OK, json_pack("{s:s}", "said", command ? command : ""));
    }
}

static void gone(void *arg, struct fs_call *call)
{
    struct fixture *fixture = arg;

    assert_ptr_equal(call, fixture->held);
    fixture->held = NULL;
    fixture->gone++;
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct fs_error err = FS_ERROR_INIT;
    char directory[] = "/tmp/farshore-control-XXXXXX";

    assert_non_null(mkdtemp(directory));
    (void)snprintf(fixture->path, sizeof(fixture->path), "%s/run/control.sock", directory);
    fixture->base = event_base_new();
    assert_int_equal(fs_control_start(fixture->base, fixture->path, handle, gone, fixture,
                                      &fixture->control, &err),
                     0);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    char path[120];

    fs_control_stop(fixture->control);
    assert_int_equal(access(fixture->path, F_OK), -1);
    (void)snprintf(path, sizeof(path), "%s.lock", fixture->path);
    (void)unlink(path);
    for (int i = 0; i < 2; i++) {
        *strrchr(path, '/') = '\0';
        assert_int_equal(rmdir(path), 0);
    }
    event_base_free(fixture->base);
    free(fixture);
    return 0;
}

static int connect_to(const struct fixture *fixture)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", fixture->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* Run the loop until the server closes; returns what it said. */
static char *read_all(const struct fixture *fixture, int fd, char *text, size_t size)
{
    size_t at = 0;

    for (;;) {
        (void)event_base_loop(fixture->base, EVLOOP_NONBLOCK);
        ssize_t n = read(fd, text + at, size - 1 - at);
        if (n == 0) {
            break;
        }
        at += n > 0 ? (size_t)n : 0;
    }
    text[at] = '\0';
    close(fd);
    return text;
}

static void test_request_gets_progress_and_result(void **state)
{
    struct fixture *fixture = *state;
    char text[1000];
    int fd = connect_to(fixture);

    assert_true(write(fd, "{\"command\": ", 12) == 12);
    (void)event_base_loop(fixture->base, EVLOOP_NONBLOCK);
    assert_true(write(fd, "\"hello\"}\n", 9) == 9);
    assert_string_equal(read_all(fixture, fd, text, sizeof(text)),
                        "{\"progress\":{\"at\":1}}\n"
                        "{\"exit\":0,\"result\":{\"said\":\"hello\"}}\n");
}

static void test_refusal_carries_status_and_text(void **state)
{
    struct fixture *fixture = *state;
    char text[1000];
    int fd = connect_to(fixture);

    assert_true(write(fd, "{\"command\":\"refuse\"}\n", 21) == 21);
    assert_string_equal(read_all(fixture, fd, text, sizeof(text)),
                        "{\"exit\":3,\"error\":\"no 7\"}\n");
}

static void test_garbage_and_endless_lines_are_bad_requests(void **state)
{
    struct fixture *fixture = *state;
    char text[1000];
    static char endless[80 << 10];
    int fd = connect_to(fixture);

    assert_true(write(fd, "[1]\n", 4) == 4);
    assert_non_null(strstr(read_all(fixture, fd, text, sizeof(text)), "\"exit\":2"));
    memset(endless, 'x', sizeof(endless));
    fd = connect_to(fixture);
    assert_true(write(fd, endless, sizeof(endless)) == (ssize_t)sizeof(endless));
    assert_non_null(strstr(read_all(fixture, fd, text, sizeof(text)), "\"exit\":2"));
}

static void test_client_that_leaves_takes_its_call_along(void **state)
{
    struct fixture *fixture = *state;
    int fd = connect_to(fixture);

    assert_true(write(fd, "{\"command\":\"hold\"}\n", 19) == 19);
    while (!fixture->held) {
        (void)event_base_loop(fixture->base, EVLOOP_NONBLOCK);
    }
    close(fd);
    while (fixture->held) {
        (void)event_base_loop(fixture->base, EVLOOP_NONBLOCK);
    }
    assert_int_equal(fixture->gone, 1);
}

static void test_second_daemon_on_the_socket_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct fs_control *second = NULL;
    struct fs_error err = FS_ERROR_INIT;
    struct stat stat_buffer;

    assert_int_equal(
        fs_control_start(fixture->base, fixture->path, handle, gone, fixture, &second, &err),
        -EBUSY);
    assert_null(second);
    assert_int_equal(err.class, FS_ERR_CONFIG);
    assert_non_null(strstr(err.message, fixture->path));
    assert_int_equal(stat(fixture->path, &stat_buffer), 0);
    assert_int_equal(stat_buffer.st_mode & 0777, 0660);
}

static void test_path_that_is_too_long_is_a_configuration_error(void **state)
{
    struct fixture *fixture = *state;
    struct fs_control *second = NULL;
    struct fs_error err = FS_ERROR_INIT;
    char path[300];

    (void)snprintf(path, sizeof(path), "%.*s%0150d",
                   (int)(strrchr(fixture->path, '/') - fixture->path + 1), fixture->path, 0);
    assert_int_equal(fs_control_start(fixture->base, path, handle, gone, fixture, &second, &err),
                     -ENAMETOOLONG);
    strcat(path, ".lock");
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_request_gets_progress_and_result),
        TEST(test_refusal_carries_status_and_text),
        TEST(test_garbage_and_endless_lines_are_bad_requests),
        TEST(test_client_that_leaves_takes_its_call_along),
        TEST(test_second_daemon_on_the_socket_is_refused),
        TEST(test_path_that_is_too_long_is_a_configuration_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
