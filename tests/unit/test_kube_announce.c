/* SPDX-License-Identifier: Apache-2.0 */
/* Whom a group's news are told to, and when there is no room for them: no API is asked here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/kube_announce.h"
#include "farshore/clock.h"

#define ROOM 512

static struct fs_config_source source;
static struct fs_config config;
static struct fs_context ctx;
static struct event_base *base;
static struct fs_kube_announce *announce;
static struct fs_announcer *announcer;

static int setup(void **state)
{
    (void)state;
    source = (struct fs_config_source){.kubernetes = true, .events = true};
    config = (struct fs_config){.site = "east", .kubernetes = &source};
    ctx = (struct fs_context){.config = &config, .clock = fs_clock_system()};
    base = event_base_new();
    announce = fs_kube_announce_new(&ctx, base, NULL);
    announcer = fs_kube_announce_announcer(announce);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fs_kube_announce_free(announce);
    event_base_free(base);
    return 0;
}

/* Of a machine with so many disks: one object more. */
static bool say(size_t n_volumes)
{
    static const struct fs_announcement what = {"ProtectionLate", true, "shop/web is late"};
    const struct fs_volume *list[8];
    struct fs_volume volumes[8];

    memset(volumes, 0, sizeof(volumes));
    for (size_t i = 0; i < n_volumes; i++) {
        (void)snprintf(volumes[i].pvc_namespace, sizeof(volumes[i].pvc_namespace), "shop");
        (void)snprintf(volumes[i].pvc, sizeof(volumes[i].pvc), "disk-%zu", i);
        (void)snprintf(volumes[i].vm, sizeof(volumes[i].vm), "web");
        list[i] = &volumes[i];
    }
    return announcer->say(announcer, list, n_volumes, &what);
}

static void test_all_of_a_group_are_told_or_none(void **state)
{
    const size_t objects = 5 + 1;

    (void)state;
    for (size_t i = 0; i < ROOM / objects; i++) {
        assert_true(say(5));
    }
    assert_false(say(5)); /* two would be */
    assert_true(say(1));
    assert_false(say(1));
}

static void test_what_is_not_wanted_is_never_asked_for_again(void **state)
{
    (void)state;
    while (say(5)) {
    }
    source.events = false;
    assert_true(say(5));
    fs_kube_announce_reconfigure(announce); /* drops what waits */
    source.events = true;
    assert_true(say(5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_of_a_group_are_told_or_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_wanted_is_never_asked_for_again, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
