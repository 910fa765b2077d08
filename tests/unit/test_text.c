/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/tool/show.h"
#include "daemon/tool/text.h"

static void test_duration_of_any_length_reads_well(void **state)
{
    (void)state;
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {
        {-1, "0 ms"},       {0, "0 ms"},         {0.0421, "42 ms"},   {1, "1.0 s"},
        {59.94, "59.9 s"},  {59.96, "1 m 00 s"}, {185, "3 m 05 s"},   {3599.7, "1 h 00 m"},
        {7800, "2 h 10 m"}, {86400, "1 d 0 h"},  {274000, "3 d 4 h"}, {1e18, "11574074074 d 1 h"},
    };
    char text[FS_TEXT_SIZE];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(fs_text_duration(cases[i].seconds, text), cases[i].text);
    }
}

static void test_bytes_at_unit_edges_read_well(void **state)
{
    (void)state;
    char text[FS_TEXT_SIZE];
    assert_string_equal(fs_text_bytes(0, text), "0 B");
    assert_string_equal(fs_text_bytes(1023, text), "1023 B");
    assert_string_equal(fs_text_bytes(1024, text), "1.0 KiB");
    assert_string_equal(fs_text_bytes((UINT64_C(1) << 20) - 1, text), "1.0 MiB");
    assert_string_equal(fs_text_bytes(UINT64_C(3) << 29, text), "1.5 GiB");
    assert_string_equal(fs_text_bytes(UINT64_MAX, text), "16.0 EiB");
}

static void test_table_aligns_cells_by_width_not_bytes(void **state)
{
    (void)state;
    char *printed = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&printed, &length);
    struct fs_table *table = fs_table_new(2);
    fs_table_cell(table, "a\xc3\xa9");
    fs_table_cell(table, "x");
    fs_table_cell(table, "%s", "abcd");
    fs_table_cell(table, "y");
    fs_table_print(table, out);
    fs_table_free(table);
    fclose(out);
    assert_string_equal(printed, "a\xc3\xa9    x\nabcd  y\n");
    free(printed);
}

/* What a user sees of a document that lacks everything must not crash. */
static void test_show_with_empty_document_says_what_is_missing(void **state)
{
    (void)state;
    char *printed = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&printed, &length);
    json_t *empty = json_object();
    fs_show_status(empty, true, out);
    fs_show_points(empty, out);
    fs_show_progress(empty, out);
    json_decref(empty);
    fclose(out);
    assert_non_null(strstr(printed, "no groups"));
    assert_non_null(strstr(printed, "no recovery point yet"));
    free(printed);
}

static void test_show_progress_while_shipping_has_rate_and_eta(void **state)
{
    (void)state;
    char *printed = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&printed, &length);
    json_t *sync =
        json_pack("{s:s, s:i, s:i, s:f, s:f}", "phase", "shipping", "done_bytes", 43, "total_bytes",
                  100, "rate_bytes_per_second", 1048576.0, "eta_seconds", 3.14);
    json_object_set_new(sync, "rate_bytes_per_second", json_integer(1048576));
    fs_show_progress(sync, out);
    json_decref(sync);
    fclose(out);
    assert_string_equal(printed, "shipping 43 % 1.0 MiB/s, 3.1 s left");
    free(printed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duration_of_any_length_reads_well),
        cmocka_unit_test(test_bytes_at_unit_edges_read_well),
        cmocka_unit_test(test_table_aligns_cells_by_width_not_bytes),
        cmocka_unit_test(test_show_with_empty_document_says_what_is_missing),
        cmocka_unit_test(test_show_progress_while_shipping_has_rate_and_eta),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
