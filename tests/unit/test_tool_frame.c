/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/tool/frame.h"

static const char document_text[] =
    "{\"site\": {\"name\": \"east\", \"cluster\": \"up\"}, \"peers\": [{\"name\": \"west\", "
    "\"up\": true}],"
    " \"groups\": ["
    "  {\"name\": \"rbd/well\", \"state\": \"ok\", \"interval_seconds\": 60, \"rpo_lag_seconds\": "
    "3,"
    "   \"alert\": {\"warning_seconds\": 120, \"critical_seconds\": 180}, \"sync\": {\"phase\": "
    "\"idle\"}},"
    "  {\"name\": \"rbd/late\", \"state\": \"late\", \"interval_seconds\": 60, "
    "\"rpo_lag_seconds\": 130,"
    "   \"alert\": {\"warning_seconds\": 120, \"critical_seconds\": 180}, \"sync\": {\"phase\": "
    "\"shipping\","
    "   \"done_bytes\": 524288, \"total_bytes\": 1048576, \"rate_bytes_per_second\": 1048576.0,"
    "   \"eta_seconds\": 0.5}},"
    "  {\"name\": \"rbd/\\u001b[2Jnew\", \"state\": \"never_synced\", \"interval_seconds\": 3600,"
    "   \"known_timestamp\": 1000, \"sync\": {\"phase\": \"taking\"}}]}";

static char *render(struct fs_frame *frame)
{
    json_t *document = json_loads(document_text, 0, NULL);
    struct fs_buf out = FS_BUF_INIT;

    assert_non_null(document);
    fs_frame_render(document, 1010, frame, &out);
    json_decref(document);
    fs_buf_put_u8(&out, 0);
    assert_false(out.failed);
    return (char *)out.data;
}

static void test_render_is_sorted_by_lag_against_interval(void **state)
{
    (void)state;
    struct fs_frame frame = {.lines = 10, .columns = 140};
    char *text = render(&frame);
    const char *late = strstr(text, "rbd/late"), *well = strstr(text, "rbd/well");
    const char *fresh = strstr(text, "new ");

    assert_true(late && well && fresh && late < well && well < fresh);
    assert_non_null(strstr(text, "shipping   [======     ]  50 % 1.0 MiB/s, 500 ms left"));
    assert_non_null(strstr(text, "3 groups, 2 not ok, 1 never synced; worst lag 2.2 intervals"));
    free(text);
}

/* Lines and columns without what colours and clears. */
static void measure(const char *text, size_t *ret_lines, size_t *ret_widest)
{
    size_t lines = 1, width = 0, widest = 0;

    for (const char *c = text; *c; c++) {
        if (*c == '\033') {
            c += strcspn(c, "mK");
        } else if (*c == '\n') {
            lines++;
            width = 0;
        } else if (*c != '\r' && ((unsigned char)*c & 0xc0) != 0x80) {
            width++;
            widest = width > widest ? width : widest;
        }
    }
    *ret_lines = lines;
    *ret_widest = widest;
}

static void test_render_fits_the_window(void **state)
{
    (void)state;
    for (size_t lines = 4; lines < 12; lines++) {
        for (size_t columns = 1; columns < 140; columns++) {
            struct fs_frame frame = {.lines = lines, .columns = columns, .colour = columns % 2};
            char *text = render(&frame);
            size_t got, widest;

            measure(text, &got, &widest);
            assert_int_equal(got, lines);
            assert_true(widest <= columns);
            free(text);
        }
    }
}

static void test_render_names_do_not_steer_the_terminal(void **state)
{
    (void)state;
    struct fs_frame frame = {.lines = 10, .columns = 120};
    char *text = render(&frame);

    assert_null(strstr(text, "\033[2J"));
    assert_non_null(strstr(text, "rbd/?[2Jnew"));
    free(text);
}

static void test_render_without_colour_has_none(void **state)
{
    (void)state;
    struct fs_frame frame = {.lines = 10, .columns = 120};
    char *plain = render(&frame);
    frame.colour = true;
    char *coloured = render(&frame);

    assert_null(strstr(plain, "\033[3"));
    assert_non_null(strstr(coloured, "\033[33mlate"));
    free(plain);
    free(coloured);
}

static void test_render_scrolls_no_further_than_the_last(void **state)
{
    (void)state;
    struct fs_frame frame = {.lines = 6, .columns = 120, .scroll = 100, .notice = "no answer"};
    char *text = render(&frame);

    assert_int_equal(frame.scroll, 1);
    assert_null(strstr(text, "rbd/late"));
    assert_non_null(strstr(text, "rbd/well"));
    assert_non_null(strstr(text, "no answer"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_render_is_sorted_by_lag_against_interval),
        cmocka_unit_test(test_render_fits_the_window),
        cmocka_unit_test(test_render_names_do_not_steer_the_terminal),
        cmocka_unit_test(test_render_without_colour_has_none),
        cmocka_unit_test(test_render_scrolls_no_further_than_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
