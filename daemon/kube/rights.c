/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/kube/rights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
/* Who mends something looks whether it helped. */
#define EVERY_S        60
#define EVERY_UNWELL_S 10

struct fs_kube_rights {
    struct fs_kube_api *api;
    struct fs_kube_right *rights; /* owned */
    size_t n_rights;
    struct event *timer;
    struct fs_kube_api_call *call; /* about rights[at] */
    size_t at;
    json_t *asking; /* as `known`, of the round under way */
    json_t *known;  /* NULL: not yet */
};

/* Of what is known. */
static const char *const lists[] = {
    [FS_KUBE_RIGHT_NEEDED] = "missing",
    [FS_KUBE_RIGHT_FOR_EVENTS] = "for_events",
    [FS_KUBE_RIGHT_NEEDLESS] = "needless",
};

static void ask(struct fs_kube_rights *rights);

static size_t count(const json_t *known, const char *what)
{
    return json_array_size(json_object_get(known, what));
}

static void rest(struct fs_kube_rights *rights)
{
    bool well = rights->known != NULL;

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        well = well && count(rights->known, lists[i]) == 0;
    }
    const struct timeval every = {.tv_sec = well ? EVERY_S : EVERY_UNWELL_S};

    json_decref(rights->asking);
    rights->asking = NULL;
    (void)evtimer_add(rights->timer, &every);
}

static void note(const struct fs_kube_rights *rights, bool allowed)
{
    const struct fs_kube_right *right = &rights->rights[rights->at];
    char text[128];

    if (allowed == (right->when == FS_KUBE_RIGHT_NEEDLESS)) {
        (void)snprintf(text, sizeof(text), "%s %s%s%s%s%s", right->verb, right->resource,
                       right->subresource ? "/" : "", right->subresource ? right->subresource : "",
                       *right->group ? "." : "", right->group);
        (void)json_array_append_new(json_object_get(rights->asking, lists[right->when]),
                                    json_string(text));
    }
}

/* A round that fails says nothing: what is known stays, and whether the API is well others tell. */
static void answered(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct fs_kube_rights *rights = arg;
    const json_t *allowed = json_object_get(json_object_get(answer, "status"), "allowed");

    (void)status;
    rights->call = NULL;
    if (err || !json_is_boolean(allowed)) {
        rest(rights);
        return;
    }
    note(rights, json_is_true(allowed));
    if (++rights->at < rights->n_rights) {
        ask(rights);
        return;
    }
    json_decref(rights->known);
    rights->known = rights->asking;
    rights->asking = NULL;
    rest(rights);
}

static void ask(struct fs_kube_rights *rights)
{
    const struct fs_kube_right *right = &rights->rights[rights->at];
    json_t *body =
        json_pack("{s:s, s:s, s:{s:{s:s, s:s, s:s, s:s}}}", "apiVersion", "authorization.k8s.io/v1",
                  "kind", "SelfSubjectAccessReview", "spec", "resourceAttributes", "verb",
                  right->verb, "group", right->group, "resource", right->resource, "subresource",
                  right->subresource ? right->subresource : "");
    const struct fs_kube_api_request request = {
        .method = "POST", .path = PATH, .body = body, .done = answered, .arg = rights};

    rights->call = body ? fs_kube_api_start(rights->api, &request) : NULL;
    json_decref(body);
    if (!rights->call) {
        rest(rights);
    }
}

static void round_cb(evutil_socket_t fd, short what, void *arg)
{
    struct fs_kube_rights *rights = arg;

    (void)fd;
    (void)what;
    rights->at = 0;
    rights->asking = json_pack("{s:[], s:[], s:[]}", lists[FS_KUBE_RIGHT_NEEDED],
                               lists[FS_KUBE_RIGHT_FOR_EVENTS], lists[FS_KUBE_RIGHT_NEEDLESS]);
    ask(rights);
}

struct fs_kube_rights *fs_kube_rights_new(struct event_base *base, struct fs_kube_api *api,
                                          const struct fs_kube_right *wanted, size_t n_wanted)
{
    static const struct timeval now;
    struct fs_kube_rights *rights = calloc(1, sizeof(*rights));

    if (!rights) {
        return NULL;
    }
    *rights = (struct fs_kube_rights){.api = api, .n_rights = n_wanted};
    rights->rights = calloc(n_wanted + 1, sizeof(*rights->rights));
    rights->timer = evtimer_new(base, round_cb, rights);
    if (rights->rights) {
        memcpy(rights->rights, wanted, n_wanted * sizeof(*wanted));
    }
    if (!rights->rights || !rights->timer || evtimer_add(rights->timer, &now) < 0) {
        fs_kube_rights_free(rights);
        return NULL;
    }
    return rights;
}

void fs_kube_rights_free(struct fs_kube_rights *rights)
{
    if (rights) {
        fs_kube_api_cancel(rights->call);
        if (rights->timer) {
            event_free(rights->timer);
        }
        json_decref(rights->asking);
        json_decref(rights->known);
        free(rights->rights);
        free(rights);
    }
}

const json_t *fs_kube_rights_known(const struct fs_kube_rights *rights)
{
    return rights->known;
}
