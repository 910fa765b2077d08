/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/tool/doctor.h"
#include "daemon/tool/text.h"

#define NOW 1000000.0

static const char well[] =
    "{\"site\": {\"name\": \"east\", \"cluster\": \"up\", \"lease\": \"held\","
    "            \"certificate_expiry_timestamp\": 10000000},"
    " \"peers\": [{\"name\": \"west\", \"up\": true, \"address\": \"a\", \"rtt_seconds\": 0.01,"
    "              \"clock_offset_seconds\": 0.002}],"
    " \"groups\": [{\"name\": \"rbd/shop\", \"role\": \"primary\", \"state\": \"ok\","
    "   \"interval_seconds\": 60, \"counters\": {\"committed\": 10, \"sync_bytes\": {\"wire\": "
    "6000000}},"
    "   \"histograms\": {\"sync_duration_seconds\": {\"sum\": 50, \"count\": 10}}}],"
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
    /* 600 kB a minute. */
    assert_string_equal(level_of(status(), "bandwidth", 1e6), "ok");
    assert_string_equal(level_of(status(), "bandwidth", 1e3), "warning");
    assert_null(level_of(status(), "bandwidth", 0));
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
        cmocka_unit_test(test_parse_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
