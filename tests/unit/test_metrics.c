/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/metrics.h"
#include "daemon/state.h"

static const char document_text[] =
    "{\"schema_version\": 1, \"site\": {\"name\": \"east\", \"version\": \"0.1.0\"},"
    " \"memory\": {\"limit_bytes\": 1024, \"used_bytes\": 512},"
    " \"peers\": [{\"name\": \"west\", \"up\": true, \"rtt_seconds\": 0.0012,"
    "              \"sent_bytes\": 4096, \"bandwidth_bytes_per_second\": 12500000},"
    "             {\"name\": \"north\", \"up\": false}],"
    " \"groups\": ["
    "  {\"name\": \"rbd/a\\\"b\\\\c\\nd\", \"policy\": \"gold\", \"peer\": \"west\","
    "   \"role\": \"primary\", \"state\": \"ok\", \"interval_seconds\": 5,"
    "   \"known_timestamp\": 1795400000.5,"
    "   \"alert\": {\"warning_seconds\": 10, \"critical_seconds\": 15},"
    "   \"verify_interval_seconds\": 604800,"
    "   \"verify\": {\"last\": {}, \"bad\": {\"different_objects\": 2}},"
    "   \"sync\": {\"remaining_bytes\": 4096, \"eta_seconds\": 1.5},"
    "   \"volumes\": [{\"pool\": \"vms\", \"namespace\": \"red\", \"image\": \"disk-0\","
    "     \"pvc_namespace\": \"shop\", \"pvc\": \"data\", \"vm\": \"\", \"size_bytes\": 1048576}],"
    "   \"rpo_lag_seconds\": 1.25,"
    "   \"recovery_point\": {\"taken_timestamp\": 1795410753.123},"
    "   \"counters\": {\"sync_bytes\": {\"changed\": 8192, \"wire\": 4100},"
    "                \"failures\": {\"transient\": 2}},"
    "   \"histograms\": {\"sync_duration_seconds\":"
    "       {\"buckets\": [[0.5, 1], [1, 3]], \"sum\": 2.5, \"count\": 4}}},"
    "  {\"name\": \"rbd/new\", \"policy\": \"gold\", \"peer\": \"west\","
    "   \"role\": \"primary\", \"state\": \"never_synced\", \"interval_seconds\": 60}]}";

static char *render(void)
{
    json_error_t bad;
    json_t *document = json_loads(document_text, 0, &bad);
    assert_non_null(document);
    struct fs_buf out = FS_BUF_INIT;
    fs_metrics_render(document, &out);
    json_decref(document);
    fs_buf_put_u8(&out, 0);
    assert_false(out.failed);
    return (char *)out.data;
}

static void test_render_with_odd_names_escapes_labels(void **state)
{
    (void)state;
    char *text = render();
    assert_non_null(strstr(text, "farshore_rpo_lag_seconds{group=\"rbd/a\\\"b\\\\c\\nd\","
                                 "policy=\"gold\",peer=\"west\",role=\"primary\"} 1.25\n"));
    free(text);
}

static void test_render_never_synced_has_no_lag_series(void **state)
{
    (void)state;
    char *text = render();
    assert_null(strstr(text, "farshore_rpo_lag_seconds{group=\"rbd/new\""));
    assert_non_null(strstr(text, "farshore_rpo_interval_seconds{group=\"rbd/new\""));
    free(text);
}

static void test_render_states_exactly_one_is_set(void **state)
{
    (void)state;
    char *text = render();
    unsigned series = 0, set = 0;
    for (const char *at = text; (at = strstr(at, "farshore_group_state{group=\"rbd/new\"")); at++) {
        series++;
        set += strncmp(strchr(at, '}'), "} 1\n", 4) == 0;
    }
    assert_int_equal(series, FS_STATE_COUNT);
    assert_int_equal(set, 1);
    free(text);
}

static void test_render_histogram_and_moment_keep_their_precision(void **state)
{
    (void)state;
    char *text = render();
    assert_non_null(strstr(text, "le=\"0.5\"} 1\n"));
    assert_non_null(strstr(text, "le=\"+Inf\"} 4\n"));
    assert_non_null(strstr(text, "} 1795410753.123\n"));
    assert_non_null(strstr(text, "farshore_peer_up{peer=\"north\"} 0\n"));
    assert_null(strstr(text, "farshore_peer_rtt_seconds{peer=\"north\"}"));
    assert_non_null(strstr(text, "farshore_peer_sent_bytes_total{peer=\"west\"} 4096\n"));
    assert_non_null(
        strstr(text, "farshore_peer_bandwidth_bytes_per_second{peer=\"west\"} 12500000\n"));
    assert_null(strstr(text, "farshore_peer_bandwidth_bytes_per_second{peer=\"north\"}"));
    free(text);
}

static void test_render_thresholds_come_by_severity(void **state)
{
    (void)state;
    char *text = render();
    assert_non_null(strstr(text, "farshore_rpo_threshold_seconds{group=\"rbd/a\\\"b\\\\c\\nd\","
                                 "policy=\"gold\",peer=\"west\",role=\"primary\","
                                 "severity=\"critical\"} 15\n"));
    assert_null(strstr(text, "farshore_rpo_threshold_seconds{group=\"rbd/new\""));
    free(text);
}

static void test_render_transfer_is_absent_where_there_is_none(void **state)
{
    (void)state;
    char *text = render();
    assert_non_null(strstr(text, "farshore_sync_remaining_bytes{group=\"rbd/a"));
    assert_null(strstr(text, "farshore_sync_remaining_bytes{group=\"rbd/new"));
    assert_non_null(strstr(text, "farshore_sync_eta_seconds{group=\"rbd/a"));
    assert_null(strstr(text, "farshore_sync_eta_seconds{group=\"rbd/new"));
    free(text);
}

static void test_render_differences_are_those_that_stand(void **state)
{
    (void)state;
    char *text = render();
    const char *series = strstr(text, "farshore_verify_different_objects{");
    assert_non_null(series);
    assert_memory_equal(strchr(series, '}'), "} 2\n", 4);
    assert_null(strstr(text, "farshore_verify_different_objects{group=\"rbd/new"));
    free(text);
}

static void test_render_volume_has_its_own_labels(void **state)
{
    (void)state;
    char *text = render();
    assert_non_null(strstr(text, "role=\"primary\",namespace=\"shop\",pvc=\"data\",vm=\"\","
                                 "image=\"disk-0\",pool=\"vms/red\"} 1048576\n"));
    free(text);
}

static void test_render_passes_promtool(void **state)
{
    (void)state;
    if (system("command -v promtool >/dev/null") != 0) {
        skip();
    }
    char *text = render();
    FILE *promtool = popen("promtool check metrics", "w");
    assert_non_null(promtool);
    fputs(text, promtool);
    assert_int_equal(pclose(promtool), 0);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_render_with_odd_names_escapes_labels),
        cmocka_unit_test(test_render_never_synced_has_no_lag_series),
        cmocka_unit_test(test_render_states_exactly_one_is_set),
        cmocka_unit_test(test_render_histogram_and_moment_keep_their_precision),
        cmocka_unit_test(test_render_thresholds_come_by_severity),
        cmocka_unit_test(test_render_transfer_is_absent_where_there_is_none),
        cmocka_unit_test(test_render_differences_are_those_that_stand),
        cmocka_unit_test(test_render_volume_has_its_own_labels),
        cmocka_unit_test(test_render_passes_promtool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
