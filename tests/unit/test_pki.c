/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "farshore/pki.h"

#define DAY_S 86400

static struct fs_error err;
static char *ca_key, *ca, *key, *request;

static int set_up(void **state)
{
    (void)state;
    err = FS_ERROR_INIT;
    assert_int_equal(fs_pki_new_authority("east", &ca_key, &ca, &err), 0);
    assert_int_equal(fs_pki_new_key(&key, &err), 0);
    assert_int_equal(fs_pki_request(key, "anybody", &request, &err), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fs_pki_free_key(ca_key);
    fs_pki_free_key(key);
    free(ca);
    free(request);
    return 0;
}

static void test_signed_certificate_is_good_for_its_site_only(void **state)
{
    (void)state;
    char *cert;
    struct fs_pki_life life;

    /* The name in the request does not count. */
    assert_int_equal(fs_pki_sign(ca, ca_key, request, "west", 100, &cert, &err), 0);
    assert_int_equal(fs_pki_check(cert, key, ca, "west", &err), 0);
    assert_int_equal(fs_pki_check(cert, key, ca, "anybody", &err), -EINVAL);
    err = FS_ERROR_INIT;
    assert_int_equal(fs_pki_check(cert, ca_key, ca, "west", &err), -EINVAL);
    err = FS_ERROR_INIT;
    assert_int_equal(fs_pki_life(cert, &life, &err), 0);
    assert_string_equal(life.issuer, "east");
    assert_true(life.until_s - time(NULL) > 99 * DAY_S && life.until_s - time(NULL) <= 100 * DAY_S);
    free(cert);
}

static void test_another_authority_does_not_count(void **state)
{
    (void)state;
    char *cert, *other_key, *other;
    uint8_t ours[FS_PKI_HASH], theirs[FS_PKI_HASH];

    /* Even one of the same name. */
    assert_int_equal(fs_pki_new_authority("east", &other_key, &other, &err), 0);
    assert_int_equal(fs_pki_sign(other, other_key, request, "west", 1, &cert, &err), 0);
    assert_int_equal(fs_pki_check(cert, key, ca, "west", &err), -EINVAL);
    err = FS_ERROR_INIT;
    free(cert);
    assert_int_equal(fs_pki_sign(ca, other_key, request, "west", 1, &cert, &err), -EINVAL);
    assert_null(cert);
    err = FS_ERROR_INIT;
    assert_int_equal(fs_pki_fingerprint(ca, ours, &err), 0);
    assert_int_equal(fs_pki_fingerprint(other, theirs, &err), 0);
    assert_memory_not_equal(ours, theirs, sizeof(ours));
    fs_pki_free_key(other_key);
    free(other);
}

static void test_site_certificate_signs_nothing(void **state)
{
    (void)state;
    char *cert, *below;

    assert_int_equal(fs_pki_sign(ca, ca_key, request, "west", 10, &cert, &err), 0);
    assert_int_equal(fs_pki_sign(cert, key, request, "north", 10, &below, &err), 0);
    assert_int_equal(fs_pki_check(below, key, cert, "north", &err), -EINVAL);
    assert_int_equal(fs_pki_check(below, key, ca, "north", &err), -EINVAL);
    free(cert);
    free(below);
}

static void test_requests_that_are_not_signed_by_their_key_are_refused(void **state)
{
    (void)state;
    char *cert, *altered = strdup(request);
    static const char *const none[] = {"", "x", "-----BEGIN CERTIFICATE REQUEST-----\n"};

    /* A character of the key or of the signature. */
    char *at = strstr(altered, "\n") + 80;
    *at = *at == 'A' ? 'B' : 'A';
    assert_int_equal(fs_pki_sign(ca, ca_key, altered, "west", 10, &cert, &err), -EINVAL);
    assert_null(cert);
    for (size_t i = 0; i < 3; i++) {
        err = FS_ERROR_INIT;
        assert_int_equal(fs_pki_sign(ca, ca_key, none[i], "west", 10, &cert, &err), -EINVAL);
        assert_true(fs_error_is_set(&err));
    }
    free(altered);
}

/* A name goes into an extension as a text that has a syntax of its own. */
static void test_names_cannot_bring_other_names_along(void **state)
{
    (void)state;
    char *cert, longest[66];
    static const char *const bad[] = {"west,DNS:east", "",       ".west",     "we st",
                                      "west\n",        "*.west", "critical,x"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        err = FS_ERROR_INIT;
        assert_int_equal(fs_pki_sign(ca, ca_key, request, bad[i], 10, &cert, &err), -EINVAL);
    }
    memset(longest, 'a', sizeof(longest));
    longest[65] = '\0';
    err = FS_ERROR_INIT;
    assert_int_equal(fs_pki_sign(ca, ca_key, request, longest, 10, &cert, &err), -EINVAL);
    longest[63] = '\0';
    err = FS_ERROR_INIT;
    assert_int_equal(fs_pki_sign(ca, ca_key, request, longest, 10, &cert, &err), 0);
    free(cert);
}

static void test_no_certificate_outlives_the_authority(void **state)
{
    (void)state;
    char *cert;
    struct fs_pki_life site, authority;

    assert_int_equal(fs_pki_sign(ca, ca_key, request, "west", 100 * 365, &cert, &err), 0);
    assert_int_equal(fs_pki_life(cert, &site, &err), 0);
    assert_int_equal(fs_pki_life(ca, &authority, &err), 0);
    assert_int_equal(site.until_s, authority.until_s);
    free(cert);
}

static void test_key_of_request_is_that_of_another_request_of_the_same_key(void **state)
{
    (void)state;
    char *again, *other_key, *other;
    uint8_t a[FS_PKI_HASH], b[FS_PKI_HASH];

    assert_int_equal(fs_pki_request(key, "west", &again, &err), 0);
    assert_int_equal(fs_pki_request_key(request, a, &err), 0);
    assert_int_equal(fs_pki_request_key(again, b, &err), 0);
    assert_memory_equal(a, b, sizeof(a));
    assert_int_equal(fs_pki_new_key(&other_key, &err), 0);
    assert_int_equal(fs_pki_request(other_key, "west", &other, &err), 0);
    assert_int_equal(fs_pki_request_key(other, b, &err), 0);
    assert_memory_not_equal(a, b, sizeof(a));
    fs_pki_free_key(other_key);
    free(again);
    free(other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_signed_certificate_is_good_for_its_site_only),
        TEST(test_another_authority_does_not_count),
        TEST(test_site_certificate_signs_nothing),
        TEST(test_requests_that_are_not_signed_by_their_key_are_refused),
        TEST(test_names_cannot_bring_other_names_along),
        TEST(test_no_certificate_outlives_the_authority),
        TEST(test_key_of_request_is_that_of_another_request_of_the_same_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
