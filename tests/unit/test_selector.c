/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "farshore/selector.h"

struct label {
    const char *key, *value;
};

static const struct label labels[] = {
    {"app", "web"},
    {"tier", "front"},
    {"empty", ""},
    {"in", "notin"},
    {"farshore.io/policy", "gold"},
    {"odd", "a value that no selector can name"},
    {NULL, NULL},
};

static const char *value_of(void *arg, const char *key)
{
    for (const struct label *label = arg; label->key; label++) {
        if (strcmp(label->key, key) == 0) {
            return label->value;
        }
    }
    return NULL;
}

static void assert_match(const char *text, bool expected)
{
    struct fs_error err = FS_ERROR_INIT;
    struct fs_selector *selector = NULL;

    if (fs_selector_parse(text, &selector, &err) < 0) {
        fail_msg("%s", err.message);
    }
    if (fs_selector_matches(selector, value_of, (void *)labels) != expected) {
        fail_msg("\"%s\" should be %d", text, expected);
    }
    fs_selector_free(selector);
}

static void test_matches_each_operator(void **state)
{
    static const struct {
        const char *text;
        bool expected;
    } cases[] = {
        {"app=web", true},
        {"app==web", true},
        {"app=we", false},
        {"app=webb", false},
        {"absent=web", false},
        {"app!=db", true},
        {"app!=web", false},
        {"absent!=web", true},
        {"app in (db,web)", true},
        {"app in (db)", false},
        {"absent in (db)", false},
        {"app notin (db,web)", false},
        {"app notin (db)", true},
        {"absent notin (db)", true},
        {"app", true},
        {"absent", false},
        {"!absent", true},
        {"!app", false},
        {"empty", true},
        {"empty=", true},
        {"app=", false},
        {"absent=", false},
        {"empty!=", false},
        {"empty in (,x)", true},
        {"empty in (x,)", true},
        {"app in (,x)", false},
        {"odd", true},
        {"odd=a", false},
        {"farshore.io/policy=gold", true},
        {"policy=gold", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_match(cases[i].text, cases[i].expected);
    }
}

static void test_matches_comma_means_and(void **state)
{
    (void)state;
    assert_match("app=web,tier=front", true);
    assert_match("app=web,tier=back", false);
    assert_match("app=db,tier=front", false);
    assert_match("app in (web,db),!absent,tier!=back,farshore.io/policy", true);
}

static void test_parse_blanks_and_keywords_as_names_are_accepted(void **state)
{
    (void)state;
    assert_match("  app = web , tier\t!= back ", true);
    assert_match("! absent", true);
    assert_match("app in(web)", true);
    assert_match("app in ( web , db )", true);
    assert_match("in=notin", true);
    assert_match("in in (in,notin)", true);
    assert_match("in notin (notin)", false);
    assert_match("notin", false);
}

static void assert_refused(const char *text, const char *message)
{
    struct fs_error err = FS_ERROR_INIT;
    struct fs_selector *selector = (struct fs_selector *)1;

    assert_int_equal(fs_selector_parse(text, &selector, &err), -EINVAL);
    assert_null(selector);
    assert_int_equal(err.class, FS_ERR_CONFIG);
    if (!strstr(err.message, message)) {
        fail_msg("\"%s\" is not in \"%s\"", message, err.message);
    }
}

static void test_parse_malformed_says_where_and_what(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "character 1: expected a requirement"},
        {"  ", "character 3: expected a requirement"},
        {",", "character 1: expected a label's key"},
        {"app=web,", "character 9: expected a label's key"},
        {"app=web,,tier", "character 9: expected a label's key"},
        {"app=web tier=x", "character 9: expected ',' or the end"},
        {"app web", "character 5: expected '=', '!=', 'in', 'notin', ',' or the end"},
        {"app inn (web)", "character 5: expected '='"},
        {"app in", "character 7: expected '(' and a list"},
        {"app in web", "character 8: expected '('"},
        {"app in ()", "character 9: expected at least one value"},
        {"app in (web", "character 12: expected ',' or ')'"},
        {"app in (web db)", "character 13: expected ',' or ')'"},
        {"app in (web) x", "character 14: expected ',' or the end"},
        {"!app=web", "character 5: expected ',' or the end"},
        {"!", "character 2: expected a label's key"},
        {"!!app", "character 2: expected a label's key"},
        {"=web", "character 1: expected a label's key"},
        {"app=web=db", "character 8: expected ',' or the end"},
        {"app>1", "character 4: expected '='"},
        {"-app=web", "character 1: expected a label's key"},
        {"app-=web", "character 1: expected a label's key"},
        {"app=-web", "character 5: expected a label's value"},
        {"app=web/x", "character 8: expected ',' or the end"},
        {"/name=x", "character 1: expected a label's key"},
        {"a/=x", "character 1: expected a label's key"},
        {"a/b/c=x", "character 4: expected '='"},
        {"a_b/c=x", "character 1: expected a label's key"},
        {"app=\xc3\xa4", "character 5: expected ',' or the end"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_refused(cases[i].text, cases[i].message);
    }
}

static void test_parse_name_and_value_at_their_longest(void **state)
{
    char longest[64];
    char text[600];
    char prefix[254];
    struct fs_selector *selector;

    (void)state;
    memset(longest, 'a', 63);
    longest[63] = '\0';
    memset(prefix, 'p', 253);
    prefix[253] = '\0';
    snprintf(text, sizeof(text), "%s/%s=%s", prefix, longest, longest);
    assert_int_equal(fs_selector_parse(text, &selector, NULL), 0);
    fs_selector_free(selector);
    snprintf(text, sizeof(text), "%sa=x", longest);
    assert_refused(text, "character 1: expected a label's key");
    snprintf(text, sizeof(text), "a=%sa", longest);
    assert_refused(text, "character 3: expected a label's value");
    snprintf(text, sizeof(text), "%sp/a", prefix);
    assert_refused(text, "character 1: expected a label's key");
    fs_selector_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches_each_operator),
        cmocka_unit_test(test_matches_comma_means_and),
        cmocka_unit_test(test_parse_blanks_and_keywords_as_names_are_accepted),
        cmocka_unit_test(test_parse_malformed_says_where_and_what),
        cmocka_unit_test(test_parse_name_and_value_at_their_longest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
