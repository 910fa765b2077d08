/* SPDX-License-Identifier: Apache-2.0 */
/* Groups' objects where the API does not answer; with one that does: tests/kube/test_objects.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <event2/listener.h>

#include "daemon/kube/collector.h"

struct fixture {
    struct event_base *base;
    struct evconnlistener *listener; /* of an API that hangs: it takes connections, and is silent */
    int connections[64];             /* open */
    size_t n_connections;
    char config[64];
    struct fs_kube_api *api;
    struct fs_kube_collector *collector;
    bool done;
    char *text;
    struct fs_error err;
};

static void accepted(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                     int length, void *arg)
{
    struct fixture *f = arg;

    (void)listener;
    (void)address;
    (void)length;
    assert_true(f->n_connections < sizeof(f->connections) / sizeof(f->connections[0]));
    f->connections[f->n_connections++] = fd;
}

static void write_config(struct fixture *f, unsigned port)
{
    (void)snprintf(f->config, sizeof(f->config), "/tmp/farshore-collector-XXXXXX");
    int fd = mkstemp(f->config);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");

    assert_non_null(file);
    (void)fprintf(file,
                  "apiVersion: v1\nkind: Config\ncurrent-context: here\n"
                  "clusters:\n- name: api\n  cluster: {server: 'https://127.0.0.1:%u'}\n"
                  "users:\n- name: me\n  user: {token: abc}\n"
                  "contexts:\n- name: here\n  context: {cluster: api, user: me}\n",
                  port);
    assert_int_equal(fclose(file), 0);
}

static int get_access(void *arg, struct fs_kube_access *ret_access, struct fs_error *err)
{
    const struct fixture *f = arg;

    return fs_kube_access_load(f->config, ret_access, err);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);

    assert_non_null(f);
    f->base = event_base_new();
    f->listener = evconnlistener_new_bind(f->base, accepted, f, LEV_OPT_CLOSE_ON_FREE, -1,
                                          (struct sockaddr *)&address, sizeof(address));
    assert_non_null(f->listener);
    assert_int_equal(
        getsockname(evconnlistener_get_fd(f->listener), (struct sockaddr *)&address, &length), 0);
    write_config(f, ntohs(address.sin_port));
    f->api = fs_kube_api_new(f->base, f->config, NULL);
    assert_non_null(f->api);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fs_kube_collector_free(f->collector);
    fs_kube_api_free(f->api);
    if (f->listener) {
        evconnlistener_free(f->listener);
    }
    for (size_t i = 0; i < f->n_connections; i++) {
        (void)close(f->connections[i]);
    }
    event_base_free(f->base);
    (void)unlink(f->config);
    free(f->text);
    free(f);
    return 0;
}

static void start(struct fixture *f, size_t n_labels)
{
    static const char *const labels[] = {"app"}, *const kinds[] = {"ConfigMap"};
    const struct fs_kube_collector_options options = {
        .base = f->base,
        .api = f->api,
        .access = get_access,
        .arg = f,
        .labels = labels,
        .n_labels = n_labels,
        .kinds = kinds,
        .n_kinds = 1,
    };

    f->collector = fs_kube_collector_new(&options);
    assert_non_null(f->collector);
}

static void collected(void *arg, const char *text, const struct fs_error *err)
{
    struct fixture *f = arg;

    assert_false(f->done);
    f->done = true;
    f->text = text ? strdup(text) : NULL;
    f->err = err ? *err : FS_ERROR_INIT;
    (void)event_base_loopbreak(f->base);
}

/* Begin, of a group without a label. */
static void collect(struct fixture *f, const char *claims, const char *also)
{
    json_t *names = json_loads(claims, 0, NULL), *others = json_loads(also, 0, NULL);
    const struct fs_kube_group group = {.ns = "shop", .claims = names, .also = others};

    assert_non_null(names);
    assert_non_null(others);
    free(f->text);
    f->text = NULL;
    f->done = false;
    assert_int_equal(fs_kube_collect(f->collector, &group, collected, f), 0);
    assert_false(f->done);
    json_decref(names);
    json_decref(others);
}

static void wait_done(struct fixture *f)
{
    while (!f->done) {
        assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
    }
}

static void test_an_api_that_hangs_is_left_alone_for_a_while(void **state)
{
    struct fixture *f = *state;

    start(f, 0);
    collect(f, "[\"data\"]", "[]");
    wait_done(f);
    assert_null(f->text);
    assert_int_equal(f->err.code, ETIMEDOUT);
    assert_int_equal(f->n_connections, 1);

    /* At once: what is ready suffices, no timer and no connection. */
    collect(f, "[\"data\"]", "[]");
    (void)event_base_loop(f->base, EVLOOP_NONBLOCK);
    assert_true(f->done);
    assert_null(f->text);
    assert_int_equal(f->err.code, ETIMEDOUT);
    assert_int_equal(f->n_connections, 1);
}

static void test_cancelled_from_inside(void **state)
{
    struct fixture *f = *state;
    struct fs_error err = FS_ERROR_INIT;

    start(f, 0);
    collect(f, "[\"data\"]", "[]");
    while (f->n_connections == 0) {
        assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
    }
    (void)fs_error_set(&err, FS_ERR_TRANSIENT, ECANCELED, "the daemon stops");
    fs_kube_collector_cancel(f->collector, &err);
    assert_true(f->done);
    assert_null(f->text);
    assert_string_equal(f->err.message, "the daemon stops");
}

static void stop_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)event_base_loopbreak(arg);
}

/* "ConfigMap: ...": of the watch, not of a PVC that was asked for. */
static void test_names_are_not_tried_where_no_watch_gets_through(void **state)
{
    struct fixture *f = *state;
    const struct timeval pause = {.tv_usec = 100000};

    evconnlistener_free(f->listener); /* connections are refused */
    f->listener = NULL;
    start(f, 1);
    struct event *timer = evtimer_new(f->base, stop_cb, f->base);
    assert_non_null(timer);
    f->err.message[0] = '\0';
    /* The watch has to fail twice first. */
    for (unsigned i = 0; i < 100 && strncmp(f->err.message, "ConfigMap: ", 11) != 0; i++) {
        (void)evtimer_add(timer, &pause);
        (void)event_base_dispatch(f->base);
        collect(f, "[\"data\"]", "[]");
        wait_done(f);
        assert_null(f->text);
    }
    event_free(timer);
    assert_memory_equal(f->err.message, "ConfigMap: ", 11);
}

static void test_only_known_kinds_are_asked_for(void **state)
{
    struct fixture *f = *state;

    start(f, 0);
    collect(f, "[]",
            "[{\"kind\": \"a.v1.b\", \"name\": \"x\"}, {\"kind\": \"Deployment\", \"name\": \"x\"},"
            " {\"kind\": \"Secret\"}, {\"kind\": 7, \"name\": 7}]");
    wait_done(f);
    assert_string_equal(f->text, "{\"format\":1,\"missing\":[],\"objects\":[]}");
    assert_int_equal(f->n_connections, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_api_that_hangs_is_left_alone_for_a_while, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_cancelled_from_inside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_are_not_tried_where_no_watch_gets_through, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_only_known_kinds_are_asked_for, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
