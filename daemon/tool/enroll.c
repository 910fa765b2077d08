/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/tool/enroll.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "daemon/tool/client.h"
#include "daemon/tool/json.h"
#include "daemon/tool/text.h"
#include "farshore/file.h"

#define PORT          "7430"
#define TTL_S         3600
#define ASK_TIMEOUT_S 10
#define CEPH_CAPS     "mon 'profile rbd, allow command \"osd blocklist\"' osd 'profile rbd'"

const char *fs_enroll_check(const struct fs_enroll_arguments *arguments)
{
    bool invites = arguments->action && strcmp(arguments->action, "invite") == 0;

    if (!invites && (!arguments->action || strcmp(arguments->action, "join") != 0)) {
        return "enroll: invite --site=SITE, or join TOKEN";
    }
    if (invites && (!arguments->site || arguments->token)) {
        return "enroll invite: which site is to join? --site=SITE";
    }
    if (!invites && !arguments->token) {
        return "enroll join: which token? `farshore enroll invite` at the other site prints one";
    }
    if (!invites && (arguments->site || arguments->as || arguments->endpoint || arguments->pools ||
                     arguments->json)) {
        return "enroll join: takes the token and --config only";
    }
    return NULL;
}

static int fail(int status, const struct fs_error *err)
{
    (void)fprintf(stderr, "farshore: %s\n", err->message);
    return status;
}

/* --- inviting -------------------------------------------------------------------------------- */

/* The name of this machine as others may know it; static storage. */
static const char *host_name(void)
{
    static char name[FS_NAME_SIZE];
    const struct addrinfo hints = {.ai_flags = AI_CANONNAME, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;

    if (gethostname(name, sizeof(name) - 1) == 0 && getaddrinfo(name, NULL, &hints, &list) == 0) {
        if (list->ai_canonname && strchr(list->ai_canonname, '.')) {
            (void)snprintf(name, sizeof(name), "%s", list->ai_canonname);
        }
        freeaddrinfo(list);
    }
    return name;
}

static void show_token(const struct fs_enroll_arguments *arguments, const char *token,
                       double until_s, const char *endpoints)
{
    char moment[FS_TEXT_SIZE];

    if (arguments->json) {
        json_t *document = json_pack("{s:i, s:s, s:f}", "schema_version", 1, "token", token,
                                     "until_timestamp", until_s);
        (void)json_dumpf(document, stdout, JSON_INDENT(2));
        (void)putchar('\n');
        json_decref(document);
        return;
    }
    (void)fflush(stdout);
    (void)fprintf(
        stderr,
        "%s may join once, until %s; there: `farshore enroll join TOKEN`. It dials %s, "
        "the only port between the sites (--endpoint=HOST:PORT says another). Who has the "
        "token is taken for %s. This is it:\n\n",
        arguments->site, fs_text_moment(until_s, moment), endpoints, arguments->site);
    (void)printf("%s\n", token);
}

/* This site has a configuration, so its daemon knows the rest. */
static int ask_daemon(const struct fs_enroll_arguments *arguments)
{
    struct fs_client_answer answer;
    struct fs_error err = FS_ERROR_INIT;
    json_t *endpoints = json_array();

    if (arguments->endpoint) {
        json_array_append_new(endpoints, json_string(arguments->endpoint));
    }
    json_t *request =
        json_pack("{s:s, s:s, s:s, s:o, s:i}", "command", "enroll", "site", arguments->site, "host",
                  host_name(), "endpoints", endpoints, "ttl_seconds", TTL_S);
    if (!request) {
        (void)fputs("farshore: a name is not UTF-8\n", stderr);
        return FS_EXIT_USAGE;
    }
    fs_client_ask(arguments->socket, request, 0, NULL, NULL, &answer, &err);
    json_decref(request);
    if (answer.result) {
        show_token(arguments, string_of(answer.result, "token"),
                   number_of(answer.result, "until_timestamp"),
                   string_of(answer.result, "endpoint"));
    } else {
        (void)fail(answer.exit, &err);
    }
    json_decref(answer.result);
    return answer.exit;
}

static int make_certificate(const struct fs_enroll_place *place, const char *site,
                            struct fs_error *err)
{
    char *ca_key = NULL, *ca = NULL, *key = NULL, *request = NULL, *cert = NULL;
    int rc = fs_pki_new_authority(site, &ca_key, &ca, err);

    if (rc == 0) {
        rc = fs_pki_new_key(&key, err);
    }
    if (rc == 0) {
        rc = fs_pki_request(key, site, &request, err);
    }
    if (rc == 0) {
        rc = fs_pki_sign(ca, ca_key, request, site, FS_PKI_SITE_DAYS, &cert, err);
    }
    /* The authority's key first: where there is one, nothing was changed. */
    if (rc == 0) {
        rc = fs_enroll_place_put(place, "ca", "key", ca_key, err);
    }
    if (rc == 0) {
        rc = fs_enroll_place_put(place, "ca", "crt", ca, err);
    }
    if (rc == 0) {
        rc = fs_enroll_place_put(place, site, "key", key, err);
    }
    if (rc == 0) {
        rc = fs_enroll_place_put(place, site, "crt", cert, err);
    }
    fs_pki_free_key(ca_key);
    fs_pki_free_key(key);
    free(ca);
    free(request);
    free(cert);
    return rc;
}

static int write_config(const struct fs_enroll_arguments *arguments,
                        const struct fs_enroll_place *place, const char *endpoint,
                        struct fs_error *err)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    if (!out) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    int rc = fs_enroll_config_inviting(out, arguments->as, arguments->site, place->pki, endpoint,
                                       arguments->pools ? arguments->pools : "rbd:rbd", err);
    (void)fclose(out);
    if (rc == 0) {
        rc = fs_enroll_place_configure(place, text, err);
    }
    free(text);
    return rc;
}

static int invite_first(const struct fs_enroll_arguments *arguments,
                        const struct fs_enroll_place *place, struct fs_enroll_token *token,
                        struct fs_error *err)
{
    struct fs_enroll_authority authority;
    char ca[sizeof(place->pki) + 16];
    int rc = make_certificate(place, arguments->as, err);

    if (rc == 0) {
        rc = write_config(arguments, place, token->endpoints[0], err);
    }
    (void)snprintf(ca, sizeof(ca), "%s/ca.crt", place->pki);
    if (rc == 0) {
        rc = fs_enroll_authority_find(ca, &authority, err);
    }
    if (rc == 0) {
        rc = fs_enroll_invite(&authority, time(NULL), TTL_S, token, err);
        fs_enroll_place_give_all(place);
    }
    return rc;
}

static int invite(const struct fs_enroll_arguments *arguments)
{
    struct fs_enroll_place place;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_enroll_token token = {.n_endpoints = 1};
    int rc = fs_enroll_place_find(arguments->config, &place, &err);

    if (rc == -EEXIST) {
        if (arguments->as || arguments->pools) {
            return fail(FS_EXIT_REFUSED, &err);
        }
        return ask_daemon(arguments);
    }
    if (rc == 0 && !arguments->as) {
        (void)fs_error_set(&err, FS_ERR_CONFIG, EINVAL,
                           "this site has no configuration yet, and no name: --as=NAME makes both");
    }
    if (fs_error_is_set(&err)) {
        return fail(FS_EXIT_USAGE, &err);
    }
    (void)snprintf(token.site, sizeof(token.site), "%s", arguments->site);
    (void)snprintf(token.inviter, sizeof(token.inviter), "%s", arguments->as);
    if (arguments->endpoint) {
        (void)snprintf(token.endpoints[0], sizeof(token.endpoints[0]), "%s", arguments->endpoint);
    } else {
        (void)snprintf(token.endpoints[0], sizeof(token.endpoints[0]), "%.240s:" PORT, host_name());
    }
    if (invite_first(arguments, &place, &token, &err) < 0) {
        return fail(err.code == EEXIST ? FS_EXIT_REFUSED : FS_EXIT_FAILED, &err);
    }
    char *line = fs_enroll_token_encode(&token);
    if (!line) {
        return FS_EXIT_FAILED;
    }
    (void)fprintf(stderr,
                  "This site is %s from now on: %s, with an authority and a certificate in %s.\n"
                  "Make its Ceph client and start it before %s joins:\n\n"
                  "  ceph auth get-or-create client.farshore " CEPH_CAPS
                  " -o /etc/ceph/ceph.client.farshore.keyring\n"
                  "  chgrp farshore /etc/ceph/ceph.client.farshore.keyring && chmod 640 "
                  "/etc/ceph/ceph.client.farshore.keyring\n"
                  "  systemctl enable --now farshored\n\n",
                  arguments->as, arguments->config, place.pki, arguments->site);
    show_token(arguments, line, (double)token.until_s, token.endpoints[0]);
    free(line);
    return FS_EXIT_DONE;
}

/* --- joining --------------------------------------------------------------------------------- */

/* The first endpoint that answers; a refusal is an answer. */
static int ask_inviter(const struct fs_enroll_token *token, const char *key,
                       struct fs_enroll_answer *answer, struct fs_error *err)
{
    struct fs_enroll_question question = {.invited = true};
    char *request = NULL;
    int rc = fs_pki_request(key, token->site, &request, err);

    if (rc < 0) {
        return rc;
    }
    (void)snprintf(question.site, sizeof(question.site), "%s", token->site);
    (void)snprintf(question.request, sizeof(question.request), "%s", request);
    memcpy(question.secret, token->secret, sizeof(question.secret));
    free(request);
    for (size_t i = 0; i < token->n_endpoints; i++) {
        *err = FS_ERROR_INIT;
        rc = fs_enroll_ask(token->endpoints[i], token->inviter, token->ca, NULL, &question,
                           ASK_TIMEOUT_S, answer, err);
        if (rc == 0 || answer->refusal[0]) {
            break;
        }
    }
    return rc;
}

/* What came is what the token promised. */
static int check_answer(const struct fs_enroll_token *token, const char *key,
                        const struct fs_enroll_answer *answer, struct fs_error *err)
{
    uint8_t ca[FS_PKI_HASH];
    int rc = fs_pki_fingerprint(answer->ca, ca, err);

    if (rc == 0 && memcmp(ca, token->ca, sizeof(ca)) != 0) {
        rc = fs_error_set(err, FS_ERR_PEER, EPROTO,
                          "%s sent another authority than the token names", token->inviter);
    }
    return rc < 0 ? rc : fs_pki_check(answer->cert, key, answer->ca, token->site, err);
}

static int put_all(const struct fs_enroll_place *place, const struct fs_enroll_token *token,
                   const char *key, const struct fs_enroll_answer *answer, struct fs_error *err)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    int rc = out ? 0 : fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");

    if (rc == 0) {
        fs_enroll_config_joined(out, token, answer, place->pki);
        (void)fclose(out);
        rc = fs_enroll_place_put(place, token->site, "key", key, err);
    }
    if (rc == 0) {
        rc = fs_enroll_place_put(place, token->site, "crt", answer->cert, err);
    }
    if (rc == 0) {
        rc = fs_enroll_place_put(place, "ca", "crt", answer->ca, err);
    }
    if (rc == 0) {
        rc = fs_enroll_place_configure(place, text, err);
    }
    free(text);
    return rc;
}

static void say_joined(const struct fs_enroll_token *token, const struct fs_enroll_answer *answer,
                       const char *config)
{
    (void)printf("This site is %s from now on, and %s its peer: %s.\n", token->site, token->inviter,
                 config);
    for (size_t i = 0; i < answer->n_policies; i++) {
        const struct fs_enroll_policy *policy = &answer->policies[i];
        for (size_t k = 0; k < policy->n_pools; k++) {
            (void)printf("policy %s: pool %s of %s goes to pool %s here\n", policy->name,
                         policy->pools[k].source, token->inviter, policy->pools[k].target);
        }
    }
    if (answer->n_policies == 0) {
        (void)printf("%s has no policy for %s yet: add one of the same name to both "
                     "configurations.\n",
                     token->inviter, token->site);
    }
    (void)printf("Make those pools where they are missing, and the Ceph client, and start it:\n\n"
                 "  ceph auth get-or-create client.farshore " CEPH_CAPS
                 " -o /etc/ceph/ceph.client.farshore.keyring\n"
                 "  chgrp farshore /etc/ceph/ceph.client.farshore.keyring && chmod 640 "
                 "/etc/ceph/ceph.client.farshore.keyring\n"
                 "  systemctl enable --now farshored\n"
                 "  farshore doctor\n\n"
                 "Then label volumes at %s, and see `farshore status`.\n",
                 token->inviter);
}

static int join(const struct fs_enroll_arguments *arguments)
{
    struct fs_enroll_answer *answer = calloc(1, sizeof(*answer));
    struct fs_enroll_place place;
    struct fs_enroll_token token;
    struct fs_error err = FS_ERROR_INIT;
    char *key = NULL;
    char moment[FS_TEXT_SIZE];
    int rc = answer ? fs_enroll_token_decode(arguments->token, &token, &err) : -ENOMEM;

    if (rc == 0) {
        rc = fs_enroll_place_find(arguments->config, &place, &err);
    }
    if (rc == 0 && token.until_s <= time(NULL)) {
        rc = fs_error_set(&err, FS_ERR_CONFIG, EACCES,
                          "the token was good until %s: `farshore enroll invite --site=%s` at %s "
                          "makes another (and do the clocks agree?)",
                          fs_text_moment((double)token.until_s, moment), token.site, token.inviter);
    }
    if (rc == 0) {
        rc = fs_pki_new_key(&key, &err);
    }
    if (rc == 0) {
        rc = ask_inviter(&token, key, answer, &err);
    }
    if (rc == 0) {
        rc = check_answer(&token, key, answer, &err);
    }
    if (rc == 0) {
        rc = put_all(&place, &token, key, answer, &err);
    }
    if (rc == 0) {
        say_joined(&token, answer, arguments->config);
    } else {
        (void)fail(0, &err);
    }
    fs_pki_free_key(key);
    if (answer) {
        fs_enroll_answer_fini(answer);
    }
    free(answer);
    return rc == 0 ? FS_EXIT_DONE : err.class == FS_ERR_CONFIG ? FS_EXIT_REFUSED : FS_EXIT_FAILED;
}

int fs_enroll(const struct fs_enroll_arguments *arguments)
{
    return strcmp(arguments->action, "invite") == 0 ? invite(arguments) : join(arguments);
}
