/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "farshore/health.h"

/* As 16.2's monitors say it, without what nobody reads. */
#define STATUS(available) "{\"mgrmap\":{\"available\":" available ",\"num_standbys\":0}}"
#define POOL(id, name, flags)                                                                      \
    "{\"pool\":" id ",\"pool_name\":\"" name "\",\"flags\":8193,\"flags_names\":\"" flags "\"}"
#define DUMP(flags, pools, queue)                                                                  \
    "{\"epoch\":17,\"flags\":\"" flags "\",\"pools\":[" pools "],\"removed_snaps_queue\":[" queue  \
    "],\"new_purged_snaps\":[]}"
#define USUAL "sortbitwise,recovery_deletes,purged_snapdirs,pglog_hardlimit"

static struct fs_health_text text_of(const char *text)
{
    return (struct fs_health_text){text, strlen(text)};
}

static int parse_with_df(const char *dump, const char *status, const char *df,
                         struct fs_health *ret_health)
{
    struct fs_error err = FS_ERROR_INIT;
    int rc = fs_health_parse(text_of(dump), text_of(status), text_of(df), ret_health, &err);

    assert_int_equal(rc < 0, fs_error_is_set(&err));
    return rc;
}

static int parse(const char *dump, const char *status, struct fs_health *ret_health)
{
    return parse_with_df(dump, status, "", ret_health);
}

static void test_pools_that_are_full_and_queues_that_wait(void **state)
{
    struct fs_health health;

    (void)state;
    assert_int_equal(
        parse(
            DUMP(
                USUAL,
                POOL("1", "rbd", "hashpspool,full,selfmanaged_snaps") "," POOL(
                    "2", "vms",
                    "hashpspool,nearfull,selfmanaged_snaps") "," POOL("7", "q", "full,full_quota"),
                "{\"pool\":1,\"snaps\":[{\"begin\":2,\"length\":1},{\"begin\":212,\"length\":40}]},"
                "{\"pool\":7,\"snaps\":[{\"begin\":2,\"length\":-3}]}"),
            STATUS("true"), &health),
        0);
    assert_true(health.trim_known);
    assert_int_equal(health.n_pools, 3);
    assert_true(fs_health_pool(&health, "rbd")->full);
    assert_false(fs_health_pool(&health, "rbd")->quota);
    assert_int_equal(fs_health_pool(&health, "rbd")->trimming, 41);
    assert_false(fs_health_pool(&health, "vms")->full);
    assert_true(fs_health_pool(&health, "vms")->nearfull);
    assert_true(fs_health_pool(&health, "rbd")->nearfull);
    assert_int_equal(fs_health_pool(&health, "vms")->trimming, 0);
    assert_true(fs_health_pool(&health, "q")->full);
    assert_true(fs_health_pool(&health, "q")->quota);
    assert_int_equal(fs_health_pool(&health, "q")->trimming, 0);
    assert_null(fs_health_pool(&health, "other"));
    assert_int_equal(fs_health_trimming(&health), 41);
    fs_health_fini(&health);
    assert_null(fs_health_pool(&health, "rbd"));
}

static void test_flags_are_whole_words(void **state)
{
    struct fs_health health;

    (void)state;
    assert_int_equal(
        parse(DUMP("nearfull," USUAL, POOL("1", "rbd", "nearfull,backfillfull,fullish"), ""),
              STATUS("false"), &health),
        0);
    assert_false(fs_health_pool(&health, "rbd")->full);
    assert_false(health.trim_known);
    fs_health_fini(&health);
}

static void test_full_cluster_is_full_in_every_pool(void **state)
{
    struct fs_health health;

    (void)state;
    assert_int_equal(
        parse(DUMP(USUAL ",full", POOL("1", "rbd", "hashpspool"), ""), STATUS("true"), &health), 0);
    assert_true(fs_health_pool(&health, "rbd")->full);
    fs_health_fini(&health);
}

static void test_what_is_not_understood_is_an_error(void **state)
{
    static const char *const dumps[] = {"", "[]", "{}", "{\"pools\":3}", "{\"pools\":["};
    struct fs_health health;

    (void)state;
    for (size_t i = 0; i < sizeof(dumps) / sizeof(dumps[0]); i++) {
        assert_true(parse(dumps[i], STATUS("true"), &health) < 0);
        assert_int_equal(health.n_pools, 0);
    }
    assert_true(parse(DUMP(USUAL, "", ""), "no", &health) < 0);
    /* Pools of which nothing usable is said are left out. */
    assert_int_equal(parse(DUMP(USUAL, "{},{\"pool_name\":5},null", "null,{}"), "{}", &health), 0);
    assert_int_equal(health.n_pools, 0);
    fs_health_fini(&health);
}

/* As 16.2's managers report it; without one everything is zero. */
static void test_space_is_known_where_a_manager_reports_it(void **state)
{
    static const char dump[] = DUMP(USUAL, POOL("1", "rbd", "") "," POOL("2", "vms", ""), "");
    static const char df[] = "{\"stats\":{\"total_bytes\":9},\"pools\":[{\"name\":\"vms\",\"id\":2,"
                             "\"stats\":{\"stored\":0,"
                             "\"max_avail\":0}},{\"name\":\"rbd\",\"id\":1,\"stats\":{\"stored\":"
                             "1073741824,\"objects\":5,"
                             "\"max_avail\":2147483648}},{\"name\":\"gone\"},{}]}";
    static const char *const nothing[] = {"", "no", "{}", "{\"pools\":[{\"name\":\"rbd\"},null]}"};
    struct fs_health health;

    (void)state;
    assert_int_equal(parse_with_df(dump, STATUS("true"), df, &health), 0);
    assert_true(fs_health_pool(&health, "rbd")->space_known);
    assert_int_equal(fs_health_pool(&health, "rbd")->stored, 1 << 30);
    assert_true(fs_health_pool(&health, "rbd")->available == UINT64_C(2) << 30);
    assert_false(fs_health_pool(&health, "vms")->space_known);
    fs_health_fini(&health);
    for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++) {
        assert_int_equal(parse_with_df(dump, STATUS("true"), nothing[i], &health), 0);
        assert_false(fs_health_pool(&health, "rbd")->space_known);
        fs_health_fini(&health);
    }
}

static void test_flags_and_version(void **state)
{
    struct fs_health health;
    char many[400] = "", version[8];

    (void)state;
    assert_int_equal(parse(DUMP("noout," USUAL, "", ""), "{}", &health), 0);
    assert_string_equal(health.flags, "noout," USUAL);
    fs_health_fini(&health);
    for (size_t i = 0; i < 40; i++) {
        strcat(many, i ? ",flagged" : "flagged");
    }
    char dump[600];
    assert_true(snprintf(dump, sizeof(dump), "{\"flags\":\"%s\",\"pools\":[]}", many) > 0);
    assert_int_equal(parse(dump, "{}", &health), 0);
    assert_int_equal(strlen(health.flags) % 8, 7); /* whole words */
    assert_true(strlen(health.flags) > 200);
    fs_health_fini(&health);

    static const struct {
        const char *text, *version;
    } rows[] = {{"ceph version 16.2.15 (0123) pacific (stable)", "16.2.15"},
                {"ceph version 18.2.100-5", "18.2.10"}, /* what fits */
                {"ceph version ", ""},
                {"something else", ""},
                {"", ""}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fs_health_version(rows[i].text, strlen(rows[i].text), version, sizeof(version));
        assert_string_equal(version, rows[i].version);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pools_that_are_full_and_queues_that_wait),
        cmocka_unit_test(test_flags_are_whole_words),
        cmocka_unit_test(test_full_cluster_is_full_in_every_pool),
        cmocka_unit_test(test_space_is_known_where_a_manager_reports_it),
        cmocka_unit_test(test_flags_and_version),
        cmocka_unit_test(test_what_is_not_understood_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
