/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/config.h"
#include "farshore/buf.h"
#include "farshore/clock.h"

/* A file without findings; the cases break one thing in what goes before or behind it. */
#define TLS "tls: {cert: /c.crt, key: /c.key, ca: /ca.crt}\n"
#define GOOD                                                                                       \
    "site: east\n"                                                                                 \
    "listen: 0.0.0.0:7430\n" TLS "peers:\n"                                                        \
    "  west: {endpoints: [west.example.net:7430]}\n"                                               \
    "discovery: [{source: images}]\n"

static struct fs_config *parse(const char *text, size_t length, char **ret_findings,
                               struct fs_error *err)
{
    struct fs_config *config = (struct fs_config *)1;
    size_t size = 0;
    FILE *errors = open_memstream(ret_findings, &size);

    assert_non_null(errors);

    int rc = fs_config_parse("f", text, length, errors, &config, err);

    fclose(errors);
    if (rc < 0) {
        assert_null(config);
        assert_int_equal(rc, -err->code);
        assert_int_equal(err->class, FS_ERR_CONFIG);
    } else {
        assert_non_null(config);
        assert_string_equal(*ret_findings, "");
    }
    return config;
}

static struct fs_config *parse_good(const char *text)
{
    struct fs_error err = FS_ERROR_INIT;
    char *findings = NULL;
    struct fs_config *config = parse(text, strlen(text), &findings, &err);

    if (!config) {
        fail_msg("unexpected findings: %s", findings);
    }
    free(findings);
    return config;
}

/* Exactly these findings. */
static void assert_findings_of(const char *text, size_t length, const char *expected)
{
    struct fs_error err = FS_ERROR_INIT;
    char *findings = NULL;
    struct fs_config *config = parse(text, length, &findings, &err);

    assert_null(config);
    assert_string_equal(findings, expected);
    /* The error carries the first of them. */
    assert_int_equal(strncmp(err.message, expected, strcspn(expected, "\n")), 0);
    free(findings);
}

static void assert_findings(const char *text, const char *expected)
{
    assert_findings_of(text, strlen(text), expected);
}

static void test_load_smallest_file_has_defaults(void **state)
{
    struct fs_config *config = parse_good("site: east\n");

    (void)state;
    assert_string_equal(config->site, "east");
    assert_string_equal(config->ceph_conf, "/etc/ceph/ceph.conf");
    assert_string_equal(config->ceph_user, "farshore");
    assert_string_equal(config->state_pool, "rbd");
    assert_string_equal(config->control, "/run/farshore/control.sock");
    assert_null(config->listen);
    assert_null(config->http);
    assert_null(config->tls_cert);
    assert_int_equal(config->n_peers, 0);
    assert_int_equal(config->n_policies, 0);
    assert_false(config->discover_images);
    assert_int_equal(config->memory_bytes, 256u << 20);
    assert_int_equal(config->open_images, 500);
    assert_false(config->fixed_level);
    assert_int_equal(config->cpu_threads, 0);
    fs_config_free(config);
}

static void test_load_every_key_arrives(void **state)
{
    struct fs_config *config = parse_good(
        "site: east\n"
        "ceph: {conf: /a/ceph.conf, user: fs, state_pool: 'my pool'}\n"
        "listen: '[::]:7430'\n"
        "http: 127.0.0.1:9750\n"
        "control: /run/x.sock\n" TLS "peers:\n"
        "  west:\n"
        "    endpoints:\n"
        "      - west-1.example.net:7430\n"
        "      - \"[2001:db8::1]:7431\"\n"
        "    tls_name: farshore.west.example.net\n"
        "    bandwidth: 400 Mbit/s\n"
        "    lanes: 16\n"
        "    windows:\n"
        "      - {days: mon-fri, from: \"08:00\", to: 18:00, bandwidth: 100 Mbit/s}\n"
        "      - {from: \"22:00\", to: \"06:00\", bandwidth: 1 GB/s}\n"
        "  north: {}\n"
        "discovery:\n"
        "  - {source: images, interval: 30s}\n"
        "  - {source: kubernetes, kubeconfig: /k, cluster_id: rook-ceph, interval: 20s,\n"
        "     objects: {kinds: [Secret, deployments.v1.apps], secrets: true}, workloads: true,\n"
        "     events: false,\n"
        "     storage_classes: {there: here, \"*\": any}}\n"
        "policies:\n"
        "  gold:\n"
        "    peer: west\n"
        "    interval: 5m\n"
        "    select: {labels: \"farshore.io/policy=gold, !skip\"}\n"
        "    group_by: app.kubernetes.io/instance\n"
        "    pools: {rbd: backup, ssd/prod: backup/east}\n"
        "    not_one_instant: refuse\n"
        "    objects: none\n"
        "    snapshot_timeout: 2500ms\n"
        "    retain: {latest: 7, hourly: 24, daily: 8, weekly: 4}\n"
        "    alert: {warn: 4, critical: 9}\n"
        "    fence: best-effort\n"
        "    quiesce: {guest: true, command: rest, timeout: 7s, on_failure: skip}\n"
        "    on: {stop: systemctl start --wait vm-stop, promoted: \"dns west\", "
        "timeout: 90s}\n"
        "  incoming: {peer: north, pools: {a: b}}\n"
        "limits: {memory: 1 GiB, open_images: 100, cpu: 3}\n"
        "compression: {level: -5}\n");
    const struct fs_config_peer *west = fs_config_find_peer(config, "west");
    const struct fs_config_policy *gold = fs_config_find_policy(config, "gold");
    const struct fs_config_policy *incoming = fs_config_find_policy(config, "incoming");

    (void)state;
    assert_string_equal(config->ceph_conf, "/a/ceph.conf");
    assert_string_equal(config->ceph_user, "fs");
    assert_string_equal(config->state_pool, "my pool");
    assert_string_equal(config->listen, "[::]:7430");
    assert_string_equal(config->http, "127.0.0.1:9750");
    assert_string_equal(config->control, "/run/x.sock");
    assert_string_equal(config->tls_cert, "/c.crt");
    assert_string_equal(config->tls_key, "/c.key");
    assert_string_equal(config->tls_ca, "/ca.crt");
    assert_int_equal(config->n_peers, 2);
    assert_int_equal(west->n_endpoints, 2);
    assert_string_equal(west->endpoints[1], "[2001:db8::1]:7431");
    assert_string_equal(west->tls_name, "farshore.west.example.net");
    assert_int_equal(west->bandwidth, 50000000);
    assert_int_equal(west->n_windows, 2);
    assert_int_equal(west->windows[0].days, 0x1f);
    assert_int_equal(west->windows[0].from, 8 * 60);
    assert_int_equal(west->windows[0].to, 18 * 60);
    assert_int_equal(west->windows[0].bytes_per_s, 12500000);
    assert_int_equal(west->windows[1].days, 0x7f);
    assert_int_equal(west->windows[1].bytes_per_s, 1000000000);
    assert_string_equal(fs_config_find_peer(config, "north")->tls_name, "north");
    assert_int_equal(west->lanes, 16);
    assert_int_equal(fs_config_find_peer(config, "north")->bandwidth, 0);
    assert_int_equal(fs_config_find_peer(config, "north")->lanes, 0);
    assert_null(fs_config_find_peer(config, "nowhere"));
    assert_true(config->discover_images);
    assert_int_equal(config->discovery_interval_ns, 20 * FS_SEC);
    assert_non_null(config->kubernetes);
    assert_string_equal(config->kubernetes->kubeconfig, "/k");
    assert_string_equal(config->kubernetes->cluster_id, "rook-ceph");
    assert_true(config->kubernetes->workloads);
    assert_false(config->kubernetes->events);
    assert_int_equal(config->kubernetes->n_kinds, 2);
    assert_string_equal(config->kubernetes->kinds[1], "deployments.v1.apps");
    assert_true(config->kubernetes->secrets);
    assert_true(config->policies[0].no_objects);
    assert_string_equal(config->kubernetes->storage_classes, "{\"there\":\"here\",\"*\":\"any\"}");
    assert_int_equal(config->memory_bytes, 1u << 30);
    assert_int_equal(config->open_images, 100);
    assert_int_equal(config->cpu_threads, 3);
    assert_true(config->fixed_level);
    assert_int_equal(config->zstd_level, -5);

    assert_string_equal(gold->peer, "west");
    assert_int_equal(gold->interval_ns, 300 * FS_SEC);
    assert_non_null(gold->selector);
    assert_string_equal(gold->select_text, "farshore.io/policy=gold, !skip");
    assert_string_equal(gold->group_by, "app.kubernetes.io/instance");
    assert_int_equal(gold->n_pools, 2);
    assert_string_equal(gold->pools[1].source_pool, "ssd");
    assert_string_equal(gold->pools[1].source_ns, "prod");
    assert_string_equal(gold->pools[1].target_pool, "backup");
    assert_string_equal(gold->pools[1].target_ns, "east");
    assert_string_equal(gold->pools[0].source_ns, "");
    assert_true(gold->refuse_not_one_instant);
    assert_int_equal(gold->snapshot_timeout_ns, 2500 * FS_MSEC);
    assert_int_equal(gold->retain.latest, 7);
    assert_int_equal(gold->retain.hourly, 24);
    assert_int_equal(gold->retain.daily, 8);
    assert_int_equal(gold->retain.weekly, 4);
    assert_int_equal(gold->alert_warn, 4);
    assert_int_equal(gold->alert_critical, 9);
    assert_string_equal(gold->on[FS_HOOK_STOP], "systemctl start --wait vm-stop");
    assert_string_equal(gold->on[FS_HOOK_PROMOTED], "dns west");
    assert_null(gold->on[FS_HOOK_START]);
    assert_null(gold->on[FS_HOOK_DEMOTED]);
    assert_int_equal(gold->on_timeout_ns, 90 * FS_SEC);
    assert_int_equal(gold->fence, FS_FENCE_BEST_EFFORT);
    assert_string_equal(gold->on[FS_HOOK_QUIESCE], "rest");
    assert_int_equal(gold->quiesce_timeout_ns, 7 * FS_SEC);
    assert_true(gold->quiesce_or_skip);
    assert_true(gold->quiesce_guest);

    assert_null(incoming->selector);
    assert_null(incoming->group_by);
    assert_int_equal(incoming->interval_ns, 0);
    assert_int_equal(incoming->retain.latest, 3);
    assert_false(incoming->refuse_not_one_instant);
    assert_int_equal(incoming->snapshot_timeout_ns, 5 * FS_SEC);
    assert_int_equal(incoming->alert_warn, 2);
    assert_int_equal(incoming->alert_critical, 3);
    assert_int_equal(incoming->on_timeout_ns, 60 * FS_SEC);
    assert_int_equal(incoming->fence, FS_FENCE_NONE);
    assert_null(incoming->on[FS_HOOK_QUIESCE]);
    assert_int_equal(incoming->quiesce_timeout_ns, 5 * FS_SEC);
    assert_false(incoming->quiesce_or_skip);
    assert_null(fs_config_find_policy(config, "silver"));
    fs_config_free(config);
}

static void test_load_example_of_the_documentation_is_valid(void **state)
{
    struct fs_error err = FS_ERROR_INIT;
    struct fs_config *config = NULL;

    (void)state;
    if (fs_config_load(FARSHORE_SOURCE_DIR "/docs/example/farshored.yaml", stderr, &config, &err) <
        0) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(config->n_peers, 1);
    assert_true(config->n_policies > 0);
    fs_config_free(config);
}

static void test_load_missing_file_says_which(void **state)
{
    struct fs_error err = FS_ERROR_INIT;
    struct fs_config *config;

    (void)state;
    assert_int_equal(fs_config_load("/nonexistent/f.yaml", NULL, &config, &err), -ENOENT);
    assert_null(config);
    assert_string_equal(err.message,
                        "/nonexistent/f.yaml: cannot be opened: No such file or directory");
    err = FS_ERROR_INIT;
    assert_int_equal(fs_config_load("/", NULL, &config, &err), -EISDIR);
}

static void test_load_oversized_file_is_refused(void **state)
{
    char path[] = "/tmp/farshore-test-config-XXXXXX";
    int fd = mkstemp(path);
    struct fs_error err = FS_ERROR_INIT;
    struct fs_config *config;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (1 << 20) + 1), 0);
    assert_int_equal(fs_config_load(path, NULL, &config, &err), -EINVAL);
    assert_non_null(strstr(err.message, ":1:1: the file has more than 1048576 bytes"));
    close(fd);
    unlink(path);
}

struct finding_case {
    const char *text;
    const char *findings;
};

static void run_cases(const struct finding_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_findings(cases[i].text, cases[i].findings);
    }
}

#define RUN_CASES(cases) run_cases((cases), sizeof(cases) / sizeof((cases)[0]))

static void test_load_not_yaml_says_where(void **state)
{
    static const struct finding_case cases[] = {
        {"", "f:1:1: the file is empty\n"},
        {"# only a comment\n", "f:1:1: the file is empty\n"},
        {"just text\n", "f:1:1: the file: expected keys and values (a mapping)\n"},
        {"- a\n- b\n", "f:1:1: the file: expected keys and values (a mapping)\n"},
        {"site: [a\nb: 1\n", "f:2:2: not YAML: did not find expected ',' or ']', while parsing a "
                             "flow sequence\n"},
        {"site: east\n\thttp: x\n",
         "f:2:1: not YAML: found a tab character that violates indentation, while scanning a "
         "plain scalar\n"},
        {"site: ea\xffst\n",
         "f:1:9: not YAML: invalid leading UTF-8 octet (the file must be UTF-8 text)\n"},
        {"# \xc3\xa4\nsite: \x01\n",
         "f:2:7: not YAML: control characters are not allowed (the file must be UTF-8 text)\n"},
        {"site: a\n--- \nsite: b\n", "f:2:1: a second document begins: the file must hold one\n"},
        {"site: \"a\\0b\"\n", "f:1:7: a NUL character is refused\n"},
    };

    (void)state;
    RUN_CASES(cases);
}

static void test_load_anchor_alias_or_tag_is_refused(void **state)
{
    static const struct finding_case cases[] = {
        {"site: &a east\nlisten: *a\n",
         "f:1:7: anchor \"&a\": anchors and aliases are refused, write the value out\n"
         "f:2:9: alias \"*a\": anchors and aliases are refused, write the value out\n"},
        {"peers: &p {w: *p}\n",
         "f:1:8: anchor \"&p\": anchors and aliases are refused, write the value out\n"
         "f:1:15: alias \"*p\": anchors and aliases are refused, write the value out\n"},
        {"site: !!str east\n",
         "f:1:7: tag \"tag:yaml.org,2002:str\": tags are refused, leave it out\n"},
        {"discovery: !x []\n", "f:1:12: tag \"!x\": tags are refused, leave it out\n"},
    };

    (void)state;
    RUN_CASES(cases);
}

static void test_load_unknown_key_is_a_finding_with_a_suggestion(void **state)
{
    static const struct finding_case cases[] = {
        {GOOD "lisen: 1.2.3.4:1\n", "f:7:1: unknown key \"lisen\"; did you mean \"listen\"?\n"},
        {GOOD "colour: red\n", "f:7:1: unknown key \"colour\"\n"},
        {GOOD "<<: {}\n", "f:7:1: unknown key \"<<\"\n"},
        {GOOD "ceph: {usr: x}\n", "f:7:8: unknown key \"usr\" in ceph; did you mean \"user\"?\n"},
        {GOOD "limits: {open_image: 5}\n",
         "f:7:10: unknown key \"open_image\" in limits; did you mean \"open_images\"?\n"},
        {"site: e\ndiscovery: [{source: images, intervall: 5s}]\n",
         "f:2:30: unknown key \"intervall\" in discovery[0]; did you mean \"interval\"?\n"},
        {GOOD "policies:\n  gold:\n    peer: west\n    pools: {a: b}\n    quiesce: {gust: true}\n",
         "f:11:15: unknown key \"gust\" in policies.gold.quiesce; did you mean \"guest\"?\n"},
        {GOOD "policies:\n  gold:\n    peer: west\n    pools: {a: b}\n    retain: {versions: 2}\n",
         "f:11:14: unknown key \"versions\" in policies.gold.retain\n"},
        {"site: e\nlisten: h:1\n" TLS "peers: {w: {bandwith: 400 Mbit/s}}\n",
         "f:4:13: unknown key \"bandwith\" in peers.w; did you mean \"bandwidth\"?\n"},
        {"site: e\n? {a: b}\n: 1\n", "f:2:3: a key must be a single word\n"},
        {"site: e\n\"\": 1\n", "f:2:1: unknown key \"\"\n"},
        {"site: e\npeers.*: 1\n", "f:2:1: unknown key \"peers.*\"; did you mean \"peers\"?\n"},
        {"site: e\nceph.conf: /x\n", "f:2:1: unknown key \"ceph.conf\"\n"},
    };

    (void)state;
    RUN_CASES(cases);
}

static void test_load_duplicate_key_is_a_finding(void **state)
{
    static const struct finding_case cases[] = {
        {"site: a\n\nsite: b\n", "f:3:1: duplicate key \"site\": it is already in line 1\n"},
        {"site: a\nceph:\n  user: b\n  user: c\n",
         "f:4:3: duplicate key \"user\": it is already in line 3\n"},
        {"site: a\nlisten: h:1\n" TLS "peers:\n  w: {}\n  w: {}\n",
         "f:6:3: duplicate key \"w\": it is already in line 5\n"},
        {GOOD "policies: {g: {peer: west, pools: {rbd: x, \"rbd\": y}}}\n",
         "f:7:44: policies.g.pools: duplicate key \"rbd\"\n"},
        {GOOD "policies:\n  g: {peer: west, pools: {a: b}}\n  g: {peer: west, pools: {a: b}}\n",
         "f:9:3: duplicate key \"g\": it is already in line 8\n"},
        {"site: a\ndiscovery: [{source: images}, {source: images}]\n",
         "f:2:40: discovery[1].source: \"images\" is given twice\n"},
    };

    (void)state;
    RUN_CASES(cases);
}

static void test_load_missing_key_is_a_finding(void **state)
{
    static const struct finding_case cases[] = {
        {"http: 127.0.0.1:1\n", "f:1:1: \"site\" is missing\n"},
        {"site: a\ntls: {cert: /c}\n",
         "f:2:6: tls: \"key\" is missing\nf:2:6: tls: \"ca\" is missing\n"},
        {"site: a\ndiscovery: [{interval: 5s}]\n", "f:2:13: discovery[0]: \"source\" is missing\n"},
        {GOOD "policies: {g: {}}\n",
         "f:7:15: policies.g: \"peer\" is missing\nf:7:15: policies.g: \"pools\" is missing\n"},
        {GOOD "policies: {g: {peer: west, interval: 1m, pools: {a: b}, select: {}}}\n",
         "f:7:65: policies.g.select: \"labels\" is missing\n"},
    };

    (void)state;
    RUN_CASES(cases);
}

static void test_load_value_of_wrong_kind_is_a_finding(void **state)
{
    static const struct finding_case cases[] = {
        {"site:\n", "f:1:6: site: has no value: give it one, or leave the key out\n"},
        {"site: ~\n", "f:1:7: site: has no value: give it one, or leave the key out\n"},
        {"site: [a]\n", "f:1:7: site: expected a single value, not a list or a mapping\n"},
        {"site: a/b\n", "f:1:7: site: \"a/b\" is not a name: use 1 to 63 letters, digits, '.', '_' "
                        "and '-', with a letter or digit at the front\n"},
        {"site: a\nceph: /x\n", "f:2:7: ceph: expected keys and values (a mapping)\n"},
        {"site: a\nceph:\n", "f:2:6: ceph: is empty: give it keys ({} where it needs none) or "
                             "leave it out\n"},
        {"site: a\nceph: {conf: ceph.conf}\n",
         "f:2:14: ceph.conf: \"ceph.conf\" is not an absolute "
         "path (one that begins with /)\n"},
        {"site: a\nceph: {user: \"\"}\n",
         "f:2:14: ceph.user: \"\" must be 1 to 255 characters without control characters\n"},
        {"site: a\nceph: {user: \"a\\nb\"}\n", "f:2:14: ceph.user: \"a\nb\" must be 1 to 255 "
                                               "characters without control characters\n"},
        {"site: a\ndiscovery: {source: images}\n", "f:2:12: discovery: expected a list\n"},
        {"site: a\ndiscovery: []\n", "f:2:12: discovery: expected 1 to 1000 elements\n"},
        {"site: a\ndiscovery: [images]\n",
         "f:2:13: discovery[0]: expected keys and values (a mapping)\n"},
        {"site: a\ndiscovery: [{source: openstack}]\n",
         "f:2:22: discovery[0].source: \"openstack\" is not one of: images, kubernetes\n"},
        {"site: a\ndiscovery: [{source: [images]}]\n",
         "f:2:22: discovery[0].source: \"\" is not one of: images, kubernetes\n"},
        {"site: a\ndiscovery: [{source: kubernetes}, {source: kubernetes}]\n",
         "f:2:44: discovery[1].source: \"kubernetes\" is given twice\n"},
        {"site: a\ndiscovery: [{source: images, kubeconfig: /k}]\n",
         "f:2:13: discovery[0]: \"kubeconfig\", \"cluster_id\", \"events\", \"workloads\", "
         "\"storage_classes\" and \"objects\" are for source kubernetes\n"},
        {"site: a\ndiscovery: [{source: kubernetes, objects: {kinds: Secret}}]\n",
         "f:2:51: discovery[0].objects.kinds: expected a list of kinds, such as "
         "[VirtualMachine]\n"},
        {"site: a\ndiscovery: [{source: kubernetes, objects: {kinds: [Secrets]}}]\n",
         "f:2:52: discovery[0].objects.kinds: \"Secrets\" is not a kind: write one that the manual "
         "lists, or RESOURCE.VERSION.GROUP, such as deployments.v1.apps\n"},
        {"site: a\ndiscovery: [{source: kubernetes, kubeconfig: k}]\n",
         "f:2:46: discovery[0].kubeconfig: \"k\" is not an absolute path (one that begins with "
         "/)\n"},
        {"site: a\npolicies: []\n", "f:2:11: policies: expected keys and values (a mapping)\n"},
        {"site: a\npolicies: {g h: {}}\n",
         "f:2:12: \"g h\" is not a name: use 1 to 63 letters, digits, '.', '_' and '-', with a "
         "letter or digit at the front\n"},
    };

    (void)state;
    RUN_CASES(cases);
}

#define ADDRESS_PROBLEM                                                                            \
    " is not an address: write host:port or [v6]:port, with a port from 1 to 65535\n"

static void test_load_malformed_address_is_a_finding(void **state)
{
    static const struct finding_case cases[] = {
        {"site: a\nlisten: 7430\n", "f:2:9: listen: \"7430\"" ADDRESS_PROBLEM},
        {"site: a\nlisten: :7430\n", "f:2:9: listen: \":7430\"" ADDRESS_PROBLEM},
        {"site: a\nlisten: h:0\n", "f:2:9: listen: \"h:0\"" ADDRESS_PROBLEM},
        {"site: a\nlisten: h:65536\n", "f:2:9: listen: \"h:65536\"" ADDRESS_PROBLEM},
        {"site: a\nlisten: h:\n",
         "f:2:10: not YAML: mapping values are not allowed in this context\n"},
        {"site: a\nlisten: 'h:'\n", "f:2:9: listen: \"h:\"" ADDRESS_PROBLEM},
        {"site: a\nlisten: '::1:80'\n", "f:2:9: listen: \"::1:80\"" ADDRESS_PROBLEM},
        {"site: a\nhttp: '[]:80'\n", "f:2:7: http: \"[]:80\"" ADDRESS_PROBLEM},
        {"site: a\nhttp: 'h h:80'\n", "f:2:7: http: \"h h:80\"" ADDRESS_PROBLEM},
        {"site: a\nlisten: h:1\n" TLS "peers: {w: {endpoints: h:1}}\n",
         "f:4:24: peers.w.endpoints: expected a list, such as [host.example.net:7430]\n"},
        {"site: a\nlisten: h:1\n" TLS "peers: {w: {endpoints: []}}\n",
         "f:4:24: peers.w.endpoints: expected 1 to 1000 elements\n"},
        {"site: a\nlisten: h:1\n" TLS "peers: {w: {endpoints: [h:1, h, [x]]}}\n",
         "f:4:30: peers.w.endpoints: \"h\"" ADDRESS_PROBLEM
         "f:4:33: peers.w.endpoints: expected host:port\n"},
    };

    (void)state;
    RUN_CASES(cases);
}

static void test_load_quantity_without_unit_or_out_of_range_is_a_finding(void **state)
{
    static const struct finding_case cases[] = {
        {GOOD "policies: {g: {peer: west, pools: {a: b}, interval: 5}}\n",
         "f:7:53: policies.g.interval: \"5\" has no unit: write one of ms, s, m, h, d behind it "
         "(such as 5m)\n"},
        {GOOD "policies: {g: {peer: west, pools: {a: b}, interval: 999ms}}\n",
         "f:7:53: policies.g.interval: \"999ms\" is out of range: it must be from 1s to 31d\n"},
        {GOOD "policies: {g: {peer: west, pools: {a: b}, interval: 32d}}\n",
         "f:7:53: policies.g.interval: \"32d\" is out of range: it must be from 1s to 31d\n"},
        {GOOD "policies: {g: {peer: west, pools: {a: b}, retain: {latest: 0}}}\n",
         "f:7:60: policies.g.retain.latest: \"0\" is out of range: it must be from 1 to 1000\n"},
        {GOOD "policies: {g: {peer: west, pools: {a: b}, retain: {latest: 900, daily: 101}}}\n",
         "f:7:51: policies.g.retain: 1001 points in all are more than the 1000 that a group can "
         "have\n"},
        {GOOD "policies: {g: {peer: west, pools: {a: b}, retain: {latest: -1}}}\n",
         "f:7:60: policies.g.retain.latest: \"-1\" is not a whole number\n"},
        {GOOD "policies: {g: {peer: west, pools: {a: b}, retain: {latest: 4294967297}}}\n",
         "f:7:60: policies.g.retain.latest: \"4294967297\" is not a whole number\n"},
        {GOOD
         "policies: {g: {peer: west, pools: {a: b}, retain: {latest: 99999999999999999999}}}\n",
         "f:7:60: policies.g.retain.latest: \"99999999999999999999\" is not a whole number\n"},
        {GOOD "limits: {memory: 256}\n",
         "f:7:18: limits.memory: \"256\" has no unit: write one of B, KiB, MiB, GiB, TiB, kB, MB, "
         "GB, TB behind it (such as 256 MiB)\n"},
        {GOOD "limits: {memory: 63 MiB}\n",
         "f:7:18: limits.memory: \"63 MiB\" is out of range: it must be from 64 MiB to 1 TiB\n"},
        {"site: e\nlisten: h:1\n" TLS "peers: {w: {bandwidth: 400 MiB}}\n",
         "f:4:24: peers.w.bandwidth: \"400 MiB\" has an unknown unit: use one of kbit/s, Mbit/s, "
         "Gbit/s, kB/s, MB/s, GB/s, KiB/s, MiB/s, GiB/s (such as 400 Mbit/s)\n"},
        {"site: e\nlisten: h:1\n" TLS "peers: {w: {lanes: 17}}\n",
         "f:4:20: peers.w.lanes: \"17\" is no number of connections: write auto, or a number from "
         "1 to 16\n"},
        {"site: e\nlisten: h:1\n" TLS "peers: {w: {lanes: 0}}\n",
         "f:4:20: peers.w.lanes: \"0\" is no number of connections: write auto, or a number from 1 "
         "to 16\n"},
        {"site: e\nlisten: h:1\n" TLS "peers: {w: {bandwidth: 999 kbit/s}}\n",
         "f:4:24: peers.w.bandwidth: \"999 kbit/s\" is out of range: it must be from 1 Mbit/s to "
         "1000 Gbit/s\n"},
        {"site: e\nlisten: h:1\n" TLS "peers:\n  w:\n    windows:\n"
         "      - {days: mo-fr, from: \"8:00\", to: \"25:00\"}\n",
         "f:7:16: peers.w.windows[0].days: \"mo-fr\" does not name days: write mon, tue, wed, thu, "
         "fri, sat, sun, such as mon-fri or sat,sun\n"
         "f:7:29: peers.w.windows[0].from: \"8:00\" is not a time of day: write 00:00 to 24:00\n"
         "f:7:41: peers.w.windows[0].to: \"25:00\" is not a time of day: write 00:00 to 24:00\n"
         "f:7:9: peers.w.windows[0]: \"bandwidth\" is missing\n"},
        {"site: e\nlisten: h:1\n" TLS "peers:\n  w:\n    windows: "
         "[{from: \"08:00\", to: \"08:00\", bandwidth: 1 Mbit/s}]\n",
         "f:6:14: peers.w.windows[0]: begins and ends at the same time; the whole day is from "
         "\"00:00\" to \"24:00\"\n"},
        {"site: e\nlisten: h:1\n" TLS "peers: {w: {windows: []}}\n",
         "f:4:22: peers.w.windows: expected 1 to 1000 elements\n"},
        {GOOD "compression: {level: 20}\n", "f:7:22: compression.level: \"20\" is not a level: "
                                            "write auto, 0 for none, or a level of zstd from "
                                            "-7 to 19\n"},
        {GOOD "compression: {level: three}\n", "f:7:22: compression.level: \"three\" is not a "
                                               "level: write auto, 0 for none, or a level of zstd "
                                               "from -7 to 19\n"},
    };

    (void)state;
    RUN_CASES(cases);
}

static void test_load_interval_at_its_bounds_is_accepted(void **state)
{
    struct fs_config *config =
        parse_good(GOOD "policies:\n  a: {peer: west, pools: {a: b}, interval: 1s}\n"
                        "  b: {peer: west, pools: {a: b}, interval: 31d}\n");

    (void)state;
    assert_int_equal(fs_config_find_policy(config, "a")->interval_ns, FS_SEC);
    assert_int_equal(fs_config_find_policy(config, "b")->interval_ns, 31 * 24 * 3600 * FS_SEC);
    fs_config_free(config);
}

#define POOL_PROBLEM " is not a pool: write pool or pool/namespace, each 1 to 127 bytes\n"

static void test_load_policy_with_bad_value_is_a_finding(void **state)
{
    static const struct finding_case cases[] = {
        {GOOD
         "policies: {g: {peer: west, interval: 1m, pools: {a: b}, select: {labels: \"a in\"}}}\n",
         "f:7:74: policies.g.select.labels: label selector \"a in\", character 5: expected '(' and "
         "a "
         "list of values\n"},
        {GOOD
         "policies: {g: {peer: west, interval: 1m, pools: {a: b}, select: {labels: {a: b}}}}\n",
         "f:7:74: policies.g.select.labels: expected a label selector in quotes, such as "
         "\"farshore.io/policy=gold\"\n"},
        {GOOD "policies: {g: {peer: west, pools: rbd}}\n",
         "f:7:35: policies.g.pools: expected source pools and target pools, such as {rbd: rbd}\n"},
        {GOOD "policies: {g: {peer: west, pools: {}}}\n",
         "f:7:35: policies.g.pools: expected 1 to 1000 pools\n"},
        {GOOD "policies: {g: {peer: west, pools: {a/: b}}}\n",
         "f:7:36: policies.g.pools: \"a/\"" POOL_PROBLEM},
        {GOOD "policies: {g: {peer: west, pools: {a: b/c/d}}}\n",
         "f:7:39: policies.g.pools: \"b/c/d\"" POOL_PROBLEM},
        {GOOD "policies: {g: {peer: west, pools: {a: [b]}}}\n",
         "f:7:39: policies.g.pools: \"\"" POOL_PROBLEM},
        {GOOD "policies: {g: {peer: west, pools: {a: }}}\n",
         "f:7:39: policies.g.pools: \"\"" POOL_PROBLEM},
        {GOOD "policies: {g: {peer: west, pools: {a: b}, quiesce: {guest: true}}}\n",
         "f:7:52: policies.g.quiesce.guest: needs a discovery source kubernetes, whose API freezes "
         "virtual machines\n"},
        {GOOD "policies: {g: {peer: west, pools: {a: b}, not_one_instant: ignore}}\n",
         "f:7:60: policies.g.not_one_instant: \"ignore\" is not one of: mark, refuse\n"},
        {GOOD "policies: {g: {peer: west, pools: {a: b}, alert: {warn: 5, critical: 4}}}\n",
         "f:7:50: policies.g.alert: \"critical\" (4) is below \"warn\" (5)\n"},
        {GOOD "policies: {g: {peer: west, pools: {a: b}, alert: {warn: 4}}}\n",
         "f:7:50: policies.g.alert: \"critical\" (3) is below \"warn\" (4)\n"},
    };

    (void)state;
    RUN_CASES(cases);
}

static void test_load_broken_reference_is_a_finding(void **state)
{
    static const struct finding_case cases[] = {
        {GOOD "policies: {g: {peer: wset, pools: {a: b}}}\n",
         "f:7:22: policies.g.peer: there is no \"wset\" under \"peers\"\n"},
        {"site: a\n" TLS "peers: {w: {}}\n", "f:3:12: peers.w: the sites cannot meet: give the "
                                             "peer \"endpoints\" to dial, or give this "
                                             "site \"listen\"\n"},
        {"site: a\npeers: {w: {endpoints: [h:1]}}\n",
         "f:2:8: peers need a \"tls\" section: both sites show a certificate\n"},
        {"site: w\nlisten: h:1\n" TLS "peers: {w: {}}\n", "f:4:12: peers.w: is this site itself\n"},
        {GOOD "policies: {g: {peer: west, pools: {a: b}, select: {labels: a}}}\n",
         "f:7:15: policies.g: \"interval\" is missing: a policy with \"select\" needs it\n"},
        {"site: a\nlisten: h:1\n" TLS "peers: {w: {}}\npolicies: {g: {peer: w, interval: 5s, "
         "pools: {a: b}, select: {labels: a}}}\n",
         "f:5:62: policies.g.select: needs a \"discovery\" section, such as [{source: images}]\n"},
    };

    (void)state;
    RUN_CASES(cases);
}

static void test_load_several_findings_all_come_in_one_go(void **state)
{
    const char *text = "sit: east\nhttp: nowhere\ncompression: {level: 99}\n";
    struct fs_error err = FS_ERROR_INIT;
    struct fs_config *config;

    (void)state;
    assert_findings(text, "f:1:1: unknown key \"sit\"; did you mean \"site\"?\n"
                          "f:2:7: http: \"nowhere\"" ADDRESS_PROBLEM
                          "f:3:22: compression.level: \"99\" is not a level: write auto, 0 for "
                          "none, or a level of zstd from -7 to 19\n"
                          "f:1:1: \"site\" is missing\n");
    assert_int_equal(fs_config_parse("f", text, strlen(text), NULL, &config, &err), -EINVAL);
    assert_string_equal(err.message,
                        "f:1:1: unknown key \"sit\"; did you mean \"site\"? (and 3 more)");
}

static void test_load_many_findings_are_bounded(void **state)
{
    struct fs_buf text = FS_BUF_INIT;
    struct fs_error err = FS_ERROR_INIT;
    char *findings = NULL;
    size_t lines = 0;

    (void)state;
    for (unsigned i = 0; i < 500; i++) {
        fs_buf_printf(&text, "unknown%u: x\n", i);
    }
    assert_null(parse((const char *)text.data, text.length, &findings, &err));
    for (const char *c = findings; *c; c++) {
        lines += *c == '\n';
    }
    assert_int_equal(lines, 101);
    assert_non_null(strstr(findings, "f: further findings are left out\n"));
    free(findings);
    fs_buf_fini(&text);
}

static void test_load_deep_or_wide_document_is_refused(void **state)
{
    struct fs_buf text = FS_BUF_INIT;

    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        fs_buf_put_u8(&text, '[');
    }
    assert_findings_of((const char *)text.data, text.length,
                       "f:1:17: nested more than 16 levels deep\n");
    fs_buf_fini(&text);

    fs_buf_printf(&text, "site: a\npeers:\n");
    for (unsigned i = 0; i < 1001; i++) {
        fs_buf_printf(&text, "  p%u: {}\n", i);
    }
    assert_findings_of((const char *)text.data, text.length,
                       "f:3:3: peers: has more than 1000 keys\n");
    fs_buf_fini(&text);
}

static void count_key(void *arg, const char *path, const char *type, const char *default_text)
{
    size_t *count = arg;

    ++*count;
    assert_true(*path && *type && *default_text);
    if (strcmp(path, "policies.*.interval") == 0) {
        assert_string_equal(type, "duration from 1s to 31d");
        assert_string_equal(default_text, "no default");
    } else if (strcmp(path, "limits.memory") == 0) {
        assert_string_equal(type, "size from 64 MiB to 1 TiB");
        assert_string_equal(default_text, "default 256 MiB");
    } else if (strcmp(path, "site") == 0) {
        assert_string_equal(default_text, "required");
    }
}

static void test_each_key_calls_back_for_values_only(void **state)
{
    size_t count = 0;

    (void)state;
    fs_config_each_key(count_key, &count);
    assert_int_equal(count, 67);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load_smallest_file_has_defaults),
        cmocka_unit_test(test_load_every_key_arrives),
        cmocka_unit_test(test_load_example_of_the_documentation_is_valid),
        cmocka_unit_test(test_load_missing_file_says_which),
        cmocka_unit_test(test_load_oversized_file_is_refused),
        cmocka_unit_test(test_load_not_yaml_says_where),
        cmocka_unit_test(test_load_anchor_alias_or_tag_is_refused),
        cmocka_unit_test(test_load_unknown_key_is_a_finding_with_a_suggestion),
        cmocka_unit_test(test_load_duplicate_key_is_a_finding),
        cmocka_unit_test(test_load_missing_key_is_a_finding),
        cmocka_unit_test(test_load_value_of_wrong_kind_is_a_finding),
        cmocka_unit_test(test_load_malformed_address_is_a_finding),
        cmocka_unit_test(test_load_quantity_without_unit_or_out_of_range_is_a_finding),
        cmocka_unit_test(test_load_interval_at_its_bounds_is_accepted),
        cmocka_unit_test(test_load_policy_with_bad_value_is_a_finding),
        cmocka_unit_test(test_load_broken_reference_is_a_finding),
        cmocka_unit_test(test_load_several_findings_all_come_in_one_go),
        cmocka_unit_test(test_load_many_findings_are_bounded),
        cmocka_unit_test(test_load_deep_or_wide_document_is_refused),
        cmocka_unit_test(test_each_key_calls_back_for_values_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
