/* SPDX-License-Identifier: Apache-2.0 */
/* Kubeconfig files and service accounts: daemon/kube/access.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "daemon/kube/access.h"

struct fixture {
    char dir[64];
    char config[80];
    struct fs_kube_access access;
    struct fs_error err;
};

static void write_file(const struct fixture *f, const char *name, const char *text)
{
    char path[200];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    snprintf(f->dir, sizeof(f->dir), "/tmp/farshore-access-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->config, sizeof(f->config), "%s/config", f->dir);
    write_file(f, "ca.crt", "the authority");
    write_file(f, "me.crt", "my certificate");
    write_file(f, "me.key", "my key");
    write_file(f, "token", "my-token\n");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {"ca.crt", "me.crt", "me.key", "token", "config"};
    struct fixture *f = *state;
    char path[200];

    fs_kube_access_fini(&f->access);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", f->dir, names[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(f->dir), 0);
    free(f);
    return 0;
}

/* A kubeconfig with this cluster and this user. */
static int load(struct fixture *f, const char *cluster, const char *user)
{
    char text[2000];

    snprintf(text, sizeof(text),
             "apiVersion: v1\nkind: Config\ncurrent-context: here\n"
             "clusters:\n- name: other\n  cluster: {server: 'https://other'}\n"
             "- name: mine\n  cluster: {%s}\n"
             "users:\n- name: me\n  user: {%s}\n"
             "contexts:\n- name: here\n  context: {cluster: mine, user: me}\n",
             cluster, user);
    write_file(f, "config", text);
    fs_kube_access_fini(&f->access);
    f->err = FS_ERROR_INIT;
    return fs_kube_access_load(f->config, &f->access, &f->err);
}

static void assert_pem(const struct fs_buf *buf, const char *text)
{
    assert_int_equal(buf->length, strlen(text));
    assert_memory_equal(buf->data, text, buf->length);
}

#define SERVER "server: 'https://api.example.net:6443/'"

static void test_load_certificate_and_files_beside_it(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(load(f, SERVER ", certificate-authority: ca.crt",
                          "client-certificate: me.crt, client-key: me.key"),
                     0);
    assert_string_equal(f->access.server, "https://api.example.net:6443");
    assert_pem(&f->access.ca, "the authority");
    assert_pem(&f->access.cert, "my certificate");
    assert_pem(&f->access.key, "my key");
    assert_null(f->access.token);
}

static void test_load_data_is_base64(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(load(f, SERVER ", certificate-authority-data: aGVsbG8=", "token: abc"), 0);
    assert_pem(&f->access.ca, "hello");
    assert_string_equal(f->access.token, "abc");
    assert_int_equal(load(f, SERVER ", certificate-authority-data: '*'", "token: abc"), -EINVAL);
    assert_non_null(strstr(f->err.message, "certificate-authority-data is not base64"));
}

static void test_load_token_file_wins_and_is_trimmed(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(load(f, SERVER, "token: old, tokenFile: token"), 0);
    assert_string_equal(f->access.token, "my-token");
    write_file(f, "token", "  \n");
    assert_int_equal(load(f, SERVER, "tokenFile: token"), -EINVAL);
    write_file(f, "token", "a\nHost: evil");
    assert_int_equal(load(f, SERVER, "tokenFile: token"), -EINVAL);
    assert_non_null(strstr(f->err.message, "no token can hold"));
}

static void test_load_what_is_not_supported_is_refused_by_name(void **state)
{
    static const struct {
        const char *cluster, *user, *named;
    } cases[] = {
        {SERVER ", insecure-skip-tls-verify: true", "token: a", "insecure-skip-tls-verify"},
        {SERVER ", proxy-url: 'http://p'", "token: a", "proxy-url"},
        {SERVER ", tls-server-name: x", "token: a", "tls-server-name"},
        {SERVER, "exec: {command: aws}", "exec"},
        {SERVER, "username: a, password: b", "username"},
        {SERVER, "as: root, token: a", "\"as\""},
        {"server: 'http://api'", "token: a", "https://"},
        {SERVER, "client-certificate: me.crt", "only one of"},
        {SERVER, "{}: ''", "not what can stand"},
        {SERVER, "", "neither"},
        {SERVER ", certificate-authority: missing.crt", "token: a", "missing.crt"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(load(f, cases[i].cluster, cases[i].user) < 0);
        if (!strstr(f->err.message, cases[i].named)) {
            fail_msg("case %zu says: %s", i, f->err.message);
        }
        assert_null(f->access.server);
    }
    assert_int_equal(load(f, SERVER ", insecure-skip-tls-verify: false", "token: a"), 0);
}

static void test_load_broken_files_are_errors(void **state)
{
    static const char *const texts[] = {
        "",     "a: [",         "- a",         "current-context: x\ncontexts: []\n",
        "a: b", "\xff\xfe\xff", "&a [*a, *a]", "current-context: here\ncontexts: text\n",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        f->err = FS_ERROR_INIT;
        write_file(f, "config", texts[i]);
        assert_true(fs_kube_access_load(f->config, &f->access, &f->err) < 0);
        assert_int_equal(f->err.class, FS_ERR_CONFIG);
        assert_non_null(strstr(f->err.message, f->config));
    }
}

static void test_yaml_aliases_cannot_make_it_large(void **state)
{
    char text[2000];
    size_t at = (size_t)snprintf(text, sizeof(text), "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    struct fs_error err = FS_ERROR_INIT;

    (void)state;
    for (int i = 1; i < 12; i++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at,
                               "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1,
                               i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    }
    assert_null(fs_kube_yaml("f", text, at, &err));
    assert_int_equal(err.code, EINVAL);
}

static void test_in_cluster_needs_the_environment_of_a_pod(void **state)
{
    struct fixture *f = *state;

    unsetenv("KUBERNETES_SERVICE_HOST");
    assert_int_equal(fs_kube_access_in_cluster(f->dir, &f->access, &f->err), -EINVAL);
    assert_non_null(strstr(f->err.message, "kubeconfig"));
    setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
    setenv("KUBERNETES_SERVICE_PORT", "443", 1);
    assert_int_equal(fs_kube_access_in_cluster(f->dir, &f->access, &f->err), 0);
    assert_string_equal(f->access.server, "https://[fd00::1]:443");
    assert_string_equal(f->access.token, "my-token");
    assert_pem(&f->access.ca, "the authority");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_load_certificate_and_files_beside_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_load_data_is_base64, setup, teardown),
        cmocka_unit_test_setup_teardown(test_load_token_file_wins_and_is_trimmed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_load_what_is_not_supported_is_refused_by_name, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_load_broken_files_are_errors, setup, teardown),
        cmocka_unit_test(test_yaml_aliases_cannot_make_it_large),
        cmocka_unit_test_setup_teardown(test_in_cluster_needs_the_environment_of_a_pod, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
