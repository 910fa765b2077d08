/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "farshore/enroll.h"
#include "farshore/file.h"

#define NOW 1700000000

static struct fs_enroll_token a_token(void)
{
    struct fs_enroll_token token = {
        .site = "west",
        .inviter = "east",
        .n_endpoints = 2,
        .endpoints = {"east-1.example.net:7430", "[2001:db8::1]:7430"},
        .ca = {1, 2, 3},
        .secret = {9, 8, [31] = 7},
        .until_s = NOW + 3600,
    };
    return token;
}

static void test_token_round_trip(void **state)
{
    (void)state;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_enroll_token token = a_token(), got;

    /* Of every length of padding. */
    for (size_t i = 0; i < 4; i++) {
        strcat(token.site, "x");
        char *text = fs_enroll_token_encode(&token);
        assert_true(strlen(text) < FS_ENROLL_TOKEN_MAX);
        assert_int_equal(fs_enroll_token_decode(text, &got, &err), 0);
        assert_memory_equal(&got, &token, sizeof(token));
        free(text);
    }
}

/* Whichever character is lost or changed. */
static void test_token_altered_is_refused(void **state)
{
    (void)state;
    struct fs_enroll_token token = a_token(), got;
    char *text = fs_enroll_token_encode(&token);
    size_t length = strlen(text);

    for (size_t i = 0; i < length; i++) {
        struct fs_error err = FS_ERROR_INIT;
        char kept = text[i];
        text[i] = kept == 'A' ? 'B' : 'A';
        assert_int_equal(fs_enroll_token_decode(text, &got, &err), -EINVAL);
        text[i] = '\0';
        err = FS_ERROR_INIT;
        assert_int_equal(fs_enroll_token_decode(text, &got, &err), -EINVAL);
        assert_int_equal(err.class, FS_ERR_CONFIG);
        text[i] = kept;
    }
    free(text);
}

/* --- invitations ----------------------------------------------------------------------------- */

struct place {
    char directory[64], ca[96];
    struct fs_enroll_authority authority;
};

static int set_up(void **state)
{
    static struct place place;
    struct fs_error err = FS_ERROR_INIT;
    char *key, *ca, path[96];

    strcpy(place.directory, "/tmp/farshore-enroll-XXXXXX");
    assert_non_null(mkdtemp(place.directory));
    snprintf(place.ca, sizeof(place.ca), "%s/ca.crt", place.directory);
    snprintf(path, sizeof(path), "%s/ca.key", place.directory);
    assert_int_equal(fs_enroll_authority_find(place.ca, &place.authority, &err), -ENOENT);
    err = FS_ERROR_INIT;
    assert_int_equal(fs_pki_new_authority("east", &key, &ca, &err), 0);
    assert_int_equal(fs_file_replace(path, key, 0600, &err), 0);
    assert_int_equal(fs_file_replace(place.ca, ca, 0644, &err), 0);
    assert_int_equal(fs_enroll_authority_find(place.ca, &place.authority, &err), 0);
    assert_string_equal(place.authority.key, path);
    fs_pki_free_key(key);
    free(ca);
    *state = &place;
    return 0;
}

static int tear_down(void **state)
{
    const struct place *place = *state;
    char command[96];

    snprintf(command, sizeof(command), "rm -r %s", place->directory);
    return system(command);
}

static struct fs_enroll_token invite(const struct place *place, const char *site)
{
    struct fs_error err = FS_ERROR_INIT;
    struct fs_enroll_token token = {0};

    strcpy(token.site, site);
    assert_int_equal(fs_enroll_invite(&place->authority, NOW, 600, &token, &err), 0);
    assert_int_equal(token.until_s, NOW + 600);
    return token;
}

static int use(const struct place *place, const struct fs_enroll_token *token, const char *site,
               int64_t now_s)
{
    struct fs_error err = FS_ERROR_INIT;
    int rc = fs_enroll_use(&place->authority, now_s, site, token->secret, &err);

    assert_int_equal(rc < 0, fs_error_is_set(&err));
    return rc;
}

static void test_invitation_is_good_once(void **state)
{
    const struct place *place = *state;

    assert_false(fs_enroll_is_invited(&place->authority, NOW));
    struct fs_enroll_token token = invite(place, "west");
    assert_true(fs_enroll_is_invited(&place->authority, NOW));
    assert_int_equal(use(place, &token, "west", NOW + 1), 0);
    assert_int_equal(use(place, &token, "west", NOW + 1), -EACCES);
    assert_false(fs_enroll_is_invited(&place->authority, NOW));
}

static void test_invitation_is_for_its_site_and_time(void **state)
{
    const struct place *place = *state;
    struct fs_enroll_token token = invite(place, "west"), guessed = token;

    assert_int_equal(use(place, &token, "north", NOW), -EACCES);
    assert_int_equal(use(place, &token, "west", NOW + 600), -EACCES);
    assert_false(fs_enroll_is_invited(&place->authority, NOW + 600));
    guessed.secret[31] ^= 1;
    assert_int_equal(use(place, &guessed, "west", NOW), -EACCES);
    /* None of that used it up. */
    assert_int_equal(use(place, &token, "west", NOW + 599), 0);
}

static void test_newer_invitation_withdraws_the_older_of_that_site(void **state)
{
    const struct place *place = *state;
    struct fs_enroll_token west = invite(place, "west"), north = invite(place, "north");
    struct fs_enroll_token again = invite(place, "west");

    assert_int_equal(use(place, &west, "west", NOW), -EACCES);
    assert_int_equal(use(place, &north, "north", NOW), 0);
    assert_int_equal(use(place, &again, "west", NOW), 0);
}

/* Who can read the directory cannot join with what is there. */
static void test_secret_is_nowhere_on_disk(void **state)
{
    const struct place *place = *state;
    struct fs_enroll_token token = invite(place, "west");
    char command[512], hex[65];

    for (size_t i = 0; i < 32; i++) {
        snprintf(hex + 2 * i, 3, "%02x", token.secret[i]);
    }
    snprintf(command, sizeof(command),
             "ls %s | grep -q invitation && ! grep -rq %s %s && ! ls %s | grep -q %s",
             place->directory, hex, place->directory, place->directory, hex);
    assert_int_equal(system(command), 0);
}

/* --- messages -------------------------------------------------------------------------------- */

#define PEM "-----BEGIN X-----\\nabc\\n-----END X-----\\n"

static void test_question_round_trip(void **state)
{
    (void)state;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_enroll_question question = {.site = "west", .invited = true, .secret = {5}}, got;

    strcpy(question.request, "-----BEGIN X-----\nabc\n");
    char *text = fs_enroll_question_encode(&question);
    assert_int_equal(fs_enroll_question_decode(text, strlen(text), &got, &err), 0);
    assert_memory_equal(&got, &question, sizeof(got));
    for (size_t length = 0; length < strlen(text); length++) {
        err = FS_ERROR_INIT;
        assert_int_equal(fs_enroll_question_decode(text, length, &got, &err), -EPROTO);
    }
    free(text);
}

static void test_question_impossible_fields_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "[]",
        "{\"format\":1}",
        "{\"format\":2,\"site\":\"west\",\"request\":\"" PEM "\"}",
        "{\"format\":1,\"site\":\"\",\"request\":\"" PEM "\"}",
        "{\"format\":1,\"site\":\"we/st\",\"request\":\"" PEM "\"}",
        "{\"format\":1,\"site\":7,\"request\":\"" PEM "\"}",
        "{\"format\":1,\"site\":\"west\",\"site\":\"east\",\"request\":\"" PEM "\"}",
        "{\"format\":1,\"site\":\"west\",\"request\":\"no PEM\"}",
        "{\"format\":1,\"site\":\"west\",\"request\":\"-----BEGIN \\u0007\"}",
        "{\"format\":1,\"site\":\"west\",\"request\":\"" PEM "\",\"secret\":\"00\"}",
        "{\"format\":1,\"site\":\"west\",\"request\":\"" PEM "\",\"secret\":null}",
    };
    struct fs_enroll_question got;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct fs_error err = FS_ERROR_INIT;
        assert_int_equal(fs_enroll_question_decode(bad[i], strlen(bad[i]), &got, &err), -EPROTO);
        assert_true(fs_error_is_set(&err));
    }
}

static void test_answer_round_trip(void **state)
{
    (void)state;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_enroll_policy policy = {
        .name = "gold",
        .interval_s = 300,
        .latest = 3,
        .weekly = 4,
        .n_pools = 2,
        .pools = {{"rbd", "copies"}, {"vms/prod", "x/\"y\""}},
    };
    struct fs_enroll_answer answer = {.site = "east", .n_policies = 1, .policies = &policy}, got;

    strcpy(answer.cert, "-----BEGIN A");
    strcpy(answer.ca, "-----BEGIN B");
    char *text = fs_enroll_answer_encode(&answer);
    assert_int_equal(fs_enroll_answer_decode(text, strlen(text), &got, &err), 0);
    assert_string_equal(got.site, "east");
    assert_string_equal(got.cert, answer.cert);
    assert_string_equal(got.ca, answer.ca);
    assert_int_equal(got.n_policies, 1);
    assert_memory_equal(got.policies, &policy, sizeof(policy));
    fs_enroll_answer_fini(&got);
    free(text);

    struct fs_enroll_answer no = {.refusal = "not now"};
    text = fs_enroll_answer_encode(&no);
    assert_int_equal(fs_enroll_answer_decode(text, strlen(text), &got, &err), 0);
    assert_string_equal(got.refusal, "not now");
    free(text);
}

static void test_answer_impossible_fields_are_refused(void **state)
{
    (void)state;
#define HEAD "{\"format\":1,\"site\":\"east\",\"cert\":\"" PEM "\",\"ca\":\"" PEM "\",\"policies\":"
#define POLICY(interval, pools)                                                                    \
    HEAD "[{\"name\":\"g\",\"interval\":" interval                                                 \
         ",\"latest\":1,\"hourly\":0,\"daily\":0,\"weekly\":0,\"pools\":" pools "}]}"
    static const char *const bad[] = {
        "{\"format\":1,\"refusal\":\"\"}",
        HEAD "{}}",
        HEAD "[{}]}",
        POLICY("-1", "[]"),
        POLICY("1e3", "[]"),
        POLICY("99999999999", "[]"),
        POLICY("300", "[{\"source\":\"\",\"target\":\"rbd\"}]"),
        POLICY("300", "[{\"source\":\"a\\nb\",\"target\":\"rbd\"}]"),
        POLICY("300", "[7]"),
    };
    static const char good[] = POLICY("300", "[{\"source\":\"rbd\",\"target\":\"rbd\"}]");
    struct fs_enroll_answer got;
    struct fs_error err = FS_ERROR_INIT;

    assert_int_equal(fs_enroll_answer_decode(good, strlen(good), &got, &err), 0);
    fs_enroll_answer_fini(&got);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        err = FS_ERROR_INIT;
        assert_int_equal(fs_enroll_answer_decode(bad[i], strlen(bad[i]), &got, &err), -EPROTO);
        assert_null(got.policies);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token_round_trip),
        cmocka_unit_test(test_token_altered_is_refused),
        TEST(test_invitation_is_good_once),
        TEST(test_invitation_is_for_its_site_and_time),
        TEST(test_newer_invitation_withdraws_the_older_of_that_site),
        TEST(test_secret_is_nowhere_on_disk),
        cmocka_unit_test(test_question_round_trip),
        cmocka_unit_test(test_question_impossible_fields_are_refused),
        cmocka_unit_test(test_answer_round_trip),
        cmocka_unit_test(test_answer_impossible_fields_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
