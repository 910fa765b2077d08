/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/tool/doctor.h"
#include "daemon/tool/text.h"

#define NOW 1000000.0

static const char well[] =
    "{\"site\": {\"name\": \"east\", \"cluster\": \"up\", \"lease\": \"held\","
    "            \"ceph_version\": \"16.2.15\", \"wide_caps\": false,"
    "            \"flags\": \"sortbitwise,recovery_deletes,noscrub\","
    "            \"pools\": [{\"name\": \"rbd\", \"full\": false, \"nearfull\": false,"
    "                       \"stored_bytes\": 1000000000, \"available_bytes\": 20000000000}],"
    "            \"certificate_expiry_timestamp\": 10000000},"
    " \"policies\": [{\"name\": \"gold\", \"peer\": \"west\", \"selects\": true,"
    "                \"pools\": [{\"source\": \"rbd/prod\", \"target\": \"copies\"}]}],"
    " \"peers\": [{\"name\": \"west\", \"up\": true, \"address\": \"a\", \"rtt_seconds\": 0.01,"
    "              \"clock_offset_seconds\": 0.002}],"
    /* 10 MB change a minute, and are 600 kB on the wire. */
    " \"groups\": [{\"name\": \"rbd/shop\", \"role\": \"primary\", \"state\": \"ok\","
    "   \"peer\": \"west\", \"interval_seconds\": 60, \"speed_bytes_per_second\": 1000000,"
    "   \"retain\": {\"latest\": 3, \"hourly\": 24, \"daily\": 7, \"weekly\": 0},"
    "   \"volumes\": [{\"pool\": \"rbd\", \"size_bytes\": 10000000000}],"
    "   \"change\": {\"points\": 10, \"bytes\": 100000000, \"wire_bytes\": 6000000,"
    "              \"covered_seconds\": 600, \"took_seconds\": 50}}],"
    " \"skipped\": []}";

static json_t *status(void)
{
    json_t *document = json_loads(well, 0, NULL);
    assert_non_null(document);
    return document;
}

/* The level of the first check of that name; NULL: none. document is released. */
static const char *level_of(json_t *document, const char *name, double bandwidth)
{
    static char level[16];
    json_t *report = fs_doctor_examine(document, NOW, bandwidth);
    size_t i;
    json_t *check;

    level[0] = '\0';
    json_array_foreach(json_object_get(report, "checks"), i, check)
    {
        const char *hint = json_string_value(json_object_get(check, "hint"));
        const char *found = json_string_value(json_object_get(check, "level"));
        /* Whatever is not well says what helps. */
        assert_int_equal(strcmp(found, "ok") == 0, !*hint);
        if (!level[0] && strcmp(json_string_value(json_object_get(check, "check")), name) == 0) {
            strcpy(level, found);
        }
    }
    json_decref(report);
    json_decref(document);
    return level[0] ? level : NULL;
}

static json_t *part(json_t *document, const char *list)
{
    return json_array_get(json_object_get(document, list), 0);
}

static void test_examine_a_well_site_finds_nothing(void **state)
{
    (void)state;
    json_t *document = status();
    json_t *report = fs_doctor_examine(document, NOW, 0);

    assert_int_equal(fs_doctor_findings(report), 0);
    assert_true(json_array_size(json_object_get(report, "checks")) >= 5);
    json_decref(report);
    json_decref(document);
}

static void test_examine_certificate_clock_and_distance(void **state)
{
    (void)state;
    static const struct {
        const char *list, *key, *check;
        double value;
        const char *level;
    } rows[] = {
        {NULL, "certificate_expiry_timestamp", "certificate", NOW + 10 * 86400, "warning"},
        {NULL, "certificate_expiry_timestamp", "certificate", NOW + 86400, "error"},
        {NULL, "certificate_expiry_timestamp", "certificate", NOW - 1, "error"},
        {"peers", "clock_offset_seconds", "clock", -2, "warning"},
        {"peers", "clock_offset_seconds", "clock", 60, "error"},
        {"peers", "rtt_seconds", "round_trip", 0.5, "warning"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *document = status();
        json_t *object =
            rows[i].list ? part(document, rows[i].list) : json_object_get(document, "site");
        json_object_set_new(object, rows[i].key, json_real(rows[i].value));
        assert_string_equal(level_of(document, rows[i].check, 0), rows[i].level);
    }
}

static void test_examine_what_is_down(void **state)
{
    (void)state;
    json_t *document = status();
    json_object_set_new(json_object_get(document, "site"), "cluster", json_string("down"));
    assert_string_equal(level_of(document, "cluster", 0), "error");
    document = status();
    json_object_set_new(part(document, "peers"), "up", json_false());
    assert_string_equal(level_of(document, "peer", 0), "error");
    document = status();
    json_array_append_new(
        json_object_get(document, "skipped"),
        json_pack("{s:s, s:s, s:s}", "image", "rbd/x", "policy", "gold", "reason", "two policies"));
    assert_string_equal(level_of(document, "volume", 0), "error");
}

static void test_examine_intervals_by_what_points_take(void **state)
{
    (void)state;
    static const struct {
        double interval;
        const char *level;
    } rows[] = {{60, "ok"}, {8, "warning"}, {4, "error"}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *document = status();
        json_object_set_new(part(document, "groups"), "interval_seconds",
                            json_real(rows[i].interval));
        assert_string_equal(level_of(document, "interval", 0), rows[i].level);
    }
}

static void test_examine_another_link(void **state)
{
    (void)state;
    assert_string_equal(level_of(status(), "bandwidth", 1e6), "ok");
    assert_string_equal(level_of(status(), "bandwidth", 1e3), "error");
    assert_null(level_of(status(), "bandwidth", 0));
}

/* The levels of what is said of "bandwidth" about each group. */
static const char *level_about(json_t *report, const char *about)
{
    size_t i;
    json_t *check;

    json_array_foreach(json_object_get(report, "checks"), i, check)
    {
        if (strcmp(json_string_value(json_object_get(check, "check")), "bandwidth") == 0 &&
            strcmp(json_string_value(json_object_get(check, "about")), about) == 0) {
            return json_string_value(json_object_get(check, "level"));
        }
    }
    return NULL;
}

/* Small ones get what they want, those that want more than a fair share do not keep up. */
static void test_examine_a_link_that_is_shared(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int wire; /* bytes in 600 s */
        const char *level;
    } rows[] = {{"a", 6000000, "ok"},
                {"b", 60000000, "warning"},
                {"c", 12000000, "ok"},
                {"d", 48000000, "warning"}};
    json_t *document = status(), *groups = json_object_get(document, "groups");
    json_t *group = json_incref(json_array_get(groups, 0));

    json_array_clear(groups);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *copy = json_deep_copy(group);
        json_object_set_new(copy, "name", json_string(rows[i].name));
        json_object_set_new(json_object_get(copy, "change"), "wire_bytes",
                            json_integer(rows[i].wire));
        json_array_append_new(groups, copy);
    }
    json_decref(group);
    /* 10, 100, 20 and 80 kB/s over 130: a and c leave 100, which is 50 for each of the others. */
    json_t *report = fs_doctor_examine(document, NOW, 130000);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_string_equal(level_about(report, rows[i].name), rows[i].level);
    }
    assert_string_equal(level_about(report, "west"), "error");
    json_decref(report);
    report = fs_doctor_examine(document, NOW, 210000);
    assert_string_equal(level_about(report, "b"), "ok");
    assert_string_equal(level_about(report, "west"), "ok");
    json_decref(report);
    json_decref(document);
}

static void test_examine_the_link_that_there_is(void **state)
{
    (void)state;
    json_t *document = status();
    assert_string_equal(level_of(document, "link", 0), "ok");
    document = status();
    json_object_set_new(part(document, "groups"), "speed_bytes_per_second", json_real(11000));
    assert_string_equal(level_of(document, "link", 0), "warning");
    document = status();
    json_object_set_new(part(document, "peers"), "bandwidth_bytes_per_second", json_real(11000));
    assert_string_equal(level_of(document, "link", 0), "warning");
}

static void test_examine_caps_version_and_flags(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *check, *level;
    } rows[] = {
        {"ceph_version", "15.2.1", "cluster", "warning"},
        {"ceph_version", "", "cluster", "ok"},
        {"flags", "sortbitwise,noout", "flags", "warning"},
        {"flags", "pauserd,pausewr", "flags", "error"},
        {"flags", "nooutside,sortbitwise", "flags", "ok"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *document = status();
        json_object_set_new(json_object_get(document, "site"), rows[i].key,
                            json_string(rows[i].value));
        assert_string_equal(level_of(document, rows[i].check, 0), rows[i].level);
    }
    json_t *document = status();
    json_object_set_new(json_object_get(document, "site"), "wide_caps", json_true());
    assert_string_equal(level_of(document, "caps", 0), "warning");
}

static void test_examine_a_group_that_was_not_measured_says_so(void **state)
{
    (void)state;
    json_t *document = status();
    json_object_set_new(json_object_get(part(document, "groups"), "change"), "points",
                        json_integer(2));
    json_t *report = fs_doctor_examine(document, NOW, 1e6);
    char *text = json_dumps(report, JSON_COMPACT);

    assert_null(strstr(text, "\"bandwidth\""));
    assert_non_null(strstr(text, "what 1 of its groups (1) want of the link is known after 3"));
    assert_int_equal(fs_doctor_findings(report), 0);
    free(text);
    json_decref(report);
    json_decref(document);
}

static void test_examine_kubernetes(void **state)
{
    (void)state;
    static const char *const rights[][2] = {
        {"{\"missing\": [], \"needless\": []}", "ok"},
        {"{\"missing\": [\"list persistentvolumes\"], \"needless\": []}", "error"},
        {"{\"missing\": [], \"needless\": [\"get secrets\"]}", "warning"},
        {"{\"missing\": [], \"for_events\": [\"create events\"], \"needless\": []}", "warning"},
    };

    for (size_t i = 0; i < sizeof(rights) / sizeof(rights[0]); i++) {
        json_t *document = status();
        json_object_set_new(json_object_get(document, "site"), "kubernetes",
                            json_pack("{s:s, s:s, s:o}", "state", "up", "reason", "", "rights",
                                      json_loads(rights[i][0], 0, NULL)));
        assert_string_equal(level_of(json_incref(document), "kubernetes", 0), "ok");
        assert_string_equal(level_of(document, "rights", 0), rights[i][1]);
    }
    for (int deleted = 0; deleted < 2; deleted++) {
        json_t *document = status();
        json_t *volumes = json_object_get(part(document, "groups"), "volumes");
        json_object_set_new(json_array_get(volumes, 0), "kubernetes",
                            json_pack("{s:s, s:s, s:s*, s:s*}", "volume", "pv-1", "reclaim",
                                      deleted ? "Delete" : "Retain", "reason",
                                      deleted ? "it goes" : NULL, "hint",
                                      deleted ? "Retain" : NULL));
        const char *level = level_of(document, "reclaim", 0);
        assert_true(deleted ? strcmp(level, "warning") == 0 : !level);
    }
}

static void test_examine_pools_of_policies(void **state)
{
    (void)state;
    assert_string_equal(level_of(status(), "pools", 0), "ok");
    json_t *document = status();
    /* As a target it is the right-hand pool that has to be here. */
    json_object_set_new(part(document, "policies"), "selects", json_false());
    assert_string_equal(level_of(document, "pools", 0), "error");
    document = status();
    json_t *pool = json_array_get(json_object_get(json_object_get(document, "site"), "pools"), 0);
    json_object_set_new(pool, "nearfull", json_true());
    assert_string_equal(level_of(document, "pools", 0), "warning");
}

static void test_examine_room_for_copies_and_points(void **state)
{
    (void)state;
    static const struct {
        double size, available;
        const char *level;
    } rows[] = {
        /* The points hold at most (2 + 24 * 60) * 10 MB + 7 * 10 GB: each day the volume. */
        {10e9, 95e9, "ok"},
        {10e9, 93e9, "warning"},
        {200e9, 20e9, "warning"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *document = status();
        json_t *pool =
            json_array_get(json_object_get(json_object_get(document, "site"), "pools"), 0);
        json_t *group = part(document, "groups");
        json_object_set_new(group, "role", json_string("secondary"));
        json_object_set_new(json_array_get(json_object_get(group, "volumes"), 0), "size_bytes",
                            json_real(rows[i].size));
        json_object_set_new(pool, "available_bytes", json_real(rows[i].available));
        assert_string_equal(level_of(document, "space", 0), rows[i].level);
    }
    json_t *document = status();
    json_object_set_new(part(document, "groups"), "role", json_string("secondary"));
    json_object_del(json_array_get(json_object_get(json_object_get(document, "site"), "pools"), 0),
                    "available_bytes");
    assert_string_equal(level_of(document, "space", 0), "ok"); /* it says that it does not know */
    assert_string_equal(level_of(status(), "retention", 1e6), "ok");
    assert_null(level_of(status(), "retention", 0));
}

static void test_parse_rate(void **state)
{
    (void)state;
    double rate = 0;
    assert_true(fs_text_parse_rate("100Mbit/s", &rate) && rate == 12500000);
    assert_true(fs_text_parse_rate("1.5 MiB/s", &rate) && rate == 1572864);
    static const char *const bad[] = {"", "100", "Mbit/s", "-1 MB/s", "1 MB/sx", "nan MB/s"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(fs_text_parse_rate(bad[i], &rate));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examine_a_well_site_finds_nothing),
        cmocka_unit_test(test_examine_certificate_clock_and_distance),
        cmocka_unit_test(test_examine_what_is_down),
        cmocka_unit_test(test_examine_intervals_by_what_points_take),
        cmocka_unit_test(test_examine_another_link),
        cmocka_unit_test(test_examine_a_link_that_is_shared),
        cmocka_unit_test(test_examine_the_link_that_there_is),
        cmocka_unit_test(test_examine_caps_version_and_flags),
        cmocka_unit_test(test_examine_a_group_that_was_not_measured_says_so),
        cmocka_unit_test(test_examine_kubernetes),
        cmocka_unit_test(test_examine_pools_of_policies),
        cmocka_unit_test(test_examine_room_for_copies_and_points),
        cmocka_unit_test(test_parse_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
