/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "daemon/tool/enroll.h"

/* A JSON string is one of YAML, too. */
static void quote(FILE *out, const char *text)
{
    json_t *string = json_string(text);

    if (!string || json_dumpf(string, out, JSON_ENCODE_ANY) < 0) {
        abort(); /* out of memory; this is the tool, not the daemon */
    }
    json_decref(string);
}

static void line(FILE *out, const char *key, const char *value)
{
    (void)fprintf(out, "%s: ", key);
    quote(out, value);
    (void)fputc('\n', out);
}

static void write_site(FILE *out, const char *site, const char *pki)
{
    char path[1024];

    (void)fputs("# Written by `farshore enroll`; farshored.yaml(5) lists every key. Try a change "
                "before you reload:\n"
                "#   farshored --check && systemctl reload farshored\n",
                out);
    line(out, "site", site);
    (void)fputs("ceph: {conf: /etc/ceph/ceph.conf, user: farshore, state_pool: rbd}\n"
                "http: 127.0.0.1:9750\n"
                "tls:\n",
                out);
    (void)snprintf(path, sizeof(path), "%s/%s.crt", pki, site);
    line(out, "  cert", path);
    (void)snprintf(path, sizeof(path), "%s/%s.key", pki, site);
    line(out, "  key", path);
    (void)snprintf(path, sizeof(path), "%s/ca.crt", pki);
    line(out, "  ca", path);
}

static bool write_pools(FILE *out, const char *pools)
{
    char *copy = strdup(pools), *rest = copy, *map;
    bool ok = copy && *copy;

    (void)fputs("    pools:", out);
    while (ok && (map = strsep(&rest, ","))) {
        char *target = strchr(map, ':');
        ok = target && target != map && target[1] && !strchr(target + 1, ':');
        if (ok) {
            *target++ = '\0';
            (void)fputs("\n      ", out);
            quote(out, map);
            (void)fputs(": ", out);
            quote(out, target);
        }
    }
    (void)fputc('\n', out);
    free(copy);
    return ok;
}

int fs_enroll_config_inviting(FILE *out, const char *site, const char *peer, const char *pki,
                              const char *endpoint, const char *pools, struct fs_error *err)
{
    const char *colon = strrchr(endpoint, ':');

    write_site(out, site, pki);
    (void)fprintf(out, "listen: \"0.0.0.0%s\"\n", colon ? colon : ":7430");
    (void)fputs("peers:\n  ", out);
    quote(out, peer);
    (void)fputs(": {} # it dials\n"
                "discovery:\n"
                "  - {source: images}\n"
                "policies:\n"
                "  # rbd image-meta set POOL/IMAGE farshore.io/policy gold\n"
                "  # and, for images that are to be taken at one instant, the same\n"
                "  # rbd image-meta set POOL/IMAGE farshore.io/group NAME\n"
                "  gold:\n",
                out);
    line(out, "    peer", peer);
    (void)fputs("    interval: 5m\n"
                "    select: {labels: \"farshore.io/policy=gold\"}\n"
                "    group_by: farshore.io/group\n"
                "    # Pool (or pool/namespace) here: pool at the other site.\n",
                out);
    if (!write_pools(out, pools)) {
        return fs_error_set(
            err, FS_ERR_CONFIG, EINVAL,
            "--pools: \"%.200s\" is not a list as rbd:rbd,vms:copies (pool here: pool "
            "there)",
            pools);
    }
    (void)fputs("    retain: {latest: 3, hourly: 24, daily: 7}\n", out);
    return 0;
}

static void write_policy(FILE *out, const struct fs_enroll_policy *policy, const char *peer)
{
    (void)fputs("  ", out);
    quote(out, policy->name);
    (void)fputs(":\n", out);
    line(out, "    peer", peer);
    if (policy->interval_s > 0) {
        (void)fprintf(out, "    interval: %us\n", policy->interval_s);
    }
    (void)fputs("    # Pool at the other site: pool here.\n    pools:\n", out);
    for (size_t i = 0; i < policy->n_pools; i++) {
        (void)fputs("      ", out);
        quote(out, policy->pools[i].source);
        (void)fputs(": ", out);
        quote(out, policy->pools[i].target);
        (void)fputc('\n', out);
    }
    (void)fprintf(out, "    retain: {latest: %u, hourly: %u, daily: %u, weekly: %u}\n",
                  policy->latest, policy->hourly, policy->daily, policy->weekly);
}

void fs_enroll_config_joined(FILE *out, const struct fs_enroll_token *token,
                             const struct fs_enroll_answer *answer, const char *pki)
{
    write_site(out, token->site, pki);
    (void)fputs("peers:\n  ", out);
    quote(out, token->inviter);
    (void)fputs(":\n    endpoints:\n", out);
    for (size_t i = 0; i < token->n_endpoints; i++) {
        (void)fputs("      - ", out);
        quote(out, token->endpoints[i]);
        (void)fputc('\n', out);
    }
    (void)fputs("discovery:\n  - {source: images}\n", out);
    if (answer->n_policies > 0) {
        (void)fputs("policies:\n", out);
    }
    for (size_t i = 0; i < answer->n_policies; i++) {
        write_policy(out, &answer->policies[i], token->inviter);
    }
}
