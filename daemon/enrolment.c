/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/enrolment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/control.h"
#include "daemon/daemon.h"
#include "farshore/log.h"

#define TTL_MAX_S (7 * 86400)

/* --- answering ------------------------------------------------------------------------------- */

static int authority(void *arg, struct fs_enroll_authority *ret_authority, struct fs_error *err)
{
    const struct fs_daemon *daemon = arg;

    return fs_enroll_authority_find(daemon->config->tls_ca, ret_authority, err);
}

static void describe_pool(const char *pool, const char *ns, char *ret_text, size_t size)
{
    (void)snprintf(ret_text, size, "%s%s%s", pool, *ns ? "/" : "", ns);
}

static void describe_policy(const struct fs_config_policy *policy, struct fs_enroll_policy *to)
{
    (void)snprintf(to->name, sizeof(to->name), "%s", policy->name);
    to->interval_s = policy->selector ? (unsigned)(policy->interval_ns / FS_SEC) : 0;
    to->latest = policy->retain.latest;
    to->hourly = policy->retain.hourly;
    to->daily = policy->retain.daily;
    to->weekly = policy->retain.weekly;
    for (size_t i = 0; i < policy->n_pools && i < FS_ENROLL_POOLS_MAX; i++) {
        const struct fs_pool_map *map = &policy->pools[i];
        describe_pool(map->source_pool, map->source_ns, to->pools[i].source,
                      sizeof(to->pools[i].source));
        describe_pool(map->target_pool, map->target_ns, to->pools[i].target,
                      sizeof(to->pools[i].target));
        to->n_pools++;
    }
}

const struct fs_config_peer *fs_enrolment_peer(const struct fs_config *config, const char *site)
{
    for (size_t i = 0; i < config->n_peers; i++) {
        if (strcmp(config->peers[i].tls_name, site) == 0) {
            return &config->peers[i];
        }
    }
    return NULL;
}

static void no_peer(const struct fs_config *config, const char *site, char *ret_text, size_t size)
{
    (void)snprintf(
        ret_text, size,
        "%.64s is no peer of %s: add \"%.64s: {}\" under peers in its configuration, name "
        "it in a policy, and reload",
        site, config->site, site);
}

static void consent(void *arg, const char *site, struct fs_enroll_answer *answer)
{
    const struct fs_config *config = ((const struct fs_daemon *)arg)->config;
    const struct fs_config_peer *peer = fs_enrolment_peer(config, site);

    if (!peer) {
        no_peer(config, site, answer->refusal, sizeof(answer->refusal));
        return;
    }
    (void)snprintf(answer->site, sizeof(answer->site), "%s", config->site);
    answer->policies = calloc(FS_ENROLL_POLICIES_MAX, sizeof(*answer->policies));
    for (size_t i = 0; answer->policies && i < config->n_policies; i++) {
        if (strcmp(config->policies[i].peer, peer->name) == 0 &&
            answer->n_policies < FS_ENROLL_POLICIES_MAX) {
            describe_policy(&config->policies[i], &answer->policies[answer->n_policies++]);
        }
    }
}

static void told(void *arg, const char *site, const char *address, bool renewed,
                 const struct fs_error *err)
{
    (void)arg;
    if (fs_error_is_set(err)) {
        fs_log(FS_EV_ENROLL_REFUSED, FS_S("peer", site), FS_S("address", address), FS_E(err));
    } else {
        fs_log(FS_EV_ENROLLED, FS_S("peer", site), FS_S("address", address),
               FS_S("by", renewed ? "certificate" : "invitation"));
    }
}

int fs_enrolment_start(struct fs_daemon *daemon, struct fs_error *err)
{
    const struct fs_enroll_server_options options = {
        .base = daemon->base,
        .clock = daemon->ctx.clock,
        .authority = authority,
        .consent = consent,
        .told = told,
        .arg = daemon,
    };

    daemon->enrolment.server = fs_enroll_server_new(&options);
    if (!daemon->enrolment.server) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    if (daemon->listener) {
        fs_tls_listener_on_enroll(daemon->listener, fs_enroll_server_accept,
                                  daemon->enrolment.server);
    }
    return 0;
}

void fs_enrolment_stop(struct fs_daemon *daemon)
{
    fs_enroll_server_free(daemon->enrolment.server);
    daemon->enrolment.server = NULL;
}

void fs_enrolment_open(const struct fs_config *config, struct fs_tls *tls)
{
    struct fs_enroll_authority found;
    struct fs_error ignored = FS_ERROR_INIT;

    /* A site without the authority is the usual case. */
    if (fs_enroll_authority_find(config->tls_ca, &found, &ignored) == 0) {
        (void)fs_tls_allow_enroll(tls, config->tls_ca, &ignored);
    }
}

/* --- inviting -------------------------------------------------------------------------------- */

static bool read_invitation(const json_t *request, struct fs_enroll_token *token,
                            unsigned *ret_ttl_s)
{
    const char *site = json_string_value(json_object_get(request, "site"));
    const json_t *endpoints = json_object_get(request, "endpoints");
    json_int_t ttl = json_integer_value(json_object_get(request, "ttl_seconds"));
    size_t i;
    json_t *item;

    if (!site || strlen(site) >= sizeof(token->site) || ttl < 1 || ttl > TTL_MAX_S ||
        json_array_size(endpoints) > FS_ENROLL_ENDPOINTS_MAX) {
        return false;
    }
    (void)snprintf(token->site, sizeof(token->site), "%s", site);
    *ret_ttl_s = (unsigned)ttl;
    json_array_foreach(endpoints, i, item)
    {
        const char *endpoint = json_string_value(item);
        if (!endpoint || !*endpoint || strlen(endpoint) >= sizeof(token->endpoints[0])) {
            return false;
        }
        (void)snprintf(token->endpoints[token->n_endpoints++], sizeof(token->endpoints[0]), "%s",
                       endpoint);
    }
    return true;
}

/* Where we listen, as others may know it: by host where that is every address. */
static void default_endpoint(const char *listen, const char *host, struct fs_enroll_token *token)
{
    static const char *const any[] = {"", "0.0.0.0", "::", "[::]"};
    const char *colon = strrchr(listen, ':');
    size_t length = colon ? (size_t)(colon - listen) : strlen(listen);

    (void)snprintf(token->endpoints[0], sizeof(token->endpoints[0]), "%s", listen);
    for (size_t i = 0; i < sizeof(any) / sizeof(any[0]); i++) {
        if (strlen(any[i]) == length && strncmp(any[i], listen, length) == 0) {
            (void)snprintf(token->endpoints[0], sizeof(token->endpoints[0]), "%.200s%s",
                           host ? host : "localhost", colon ? colon : "");
        }
    }
    token->n_endpoints = 1;
}

void fs_enrolment_command(struct fs_daemon *daemon, struct fs_call *call, const json_t *request)
{
    const struct fs_config *config = daemon->config;
    struct fs_enroll_token token = {0};
    struct fs_enroll_authority found;
    struct fs_error err = FS_ERROR_INIT;
    unsigned ttl_s;
    char text[512];

    if (!read_invitation(request, &token, &ttl_s)) {
        fs_call_fail(call, FS_EXIT_BAD_REQUEST,
                     "enroll needs site and ttl_seconds (at most %d), and takes endpoints",
                     TTL_MAX_S);
        return;
    }
    if (!fs_enrolment_peer(config, token.site)) {
        no_peer(config, token.site, text, sizeof(text));
        fs_call_fail(call, FS_EXIT_REFUSED, "%s", text);
        return;
    }
    if (!config->listen) {
        fs_call_fail(
            call, FS_EXIT_REFUSED,
            "this site only dials: give it `listen` in its configuration, or invite at the "
            "other site");
        return;
    }
    if (token.n_endpoints == 0) {
        default_endpoint(config->listen, json_string_value(json_object_get(request, "host")),
                         &token);
    }
    (void)snprintf(token.inviter, sizeof(token.inviter), "%s", config->site);
    int rc = authority(daemon, &found, &err);
    if (rc == 0) {
        rc = fs_enroll_invite(&found, fs_context_wall(&daemon->ctx) / FS_SEC, ttl_s, &token, &err);
    }
    char *line = rc == 0 ? fs_enroll_token_encode(&token) : NULL;
    if (!line) {
        fs_call_fail(call, FS_EXIT_REFUSED, "%s", rc < 0 ? err.message : "out of memory");
        return;
    }
    fs_call_finish(call, FS_EXIT_OK,
                   json_pack("{s:i, s:s, s:I, s:s}", "schema_version", 1, "token", line,
                             "until_timestamp", (json_int_t)token.until_s, "endpoint",
                             token.endpoints[0]));
    free(line);
}
