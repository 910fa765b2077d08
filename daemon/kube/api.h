/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of one Kubernetes API: an object is read, made, changed or deleted, JSON in and JSON out.
 * How it is reached, and as whom, is read anew for each call. What is watched is the reflector's.
 * LOOP only.
 */
#ifndef FARSHORE_KUBE_API_H
#define FARSHORE_KUBE_API_H

#include <event2/event.h>
#include <jansson.h>

#include "farshore/error.h"

/* Of fs_kube_api_request.content_type; NULL is application/json. */
#define FS_KUBE_MERGE_PATCH "application/merge-patch+json"
#define FS_KUBE_JSON_PATCH  "application/json-patch+json"
#define FS_KUBE_APPLY_PATCH "application/apply-patch+yaml" /* JSON is YAML */

/* An answer that is larger is an error. */
#define FS_KUBE_ANSWER_MAX (32u << 20)

struct fs_kube_api;
struct fs_kube_api_call;

/* kubeconfig: copied; NULL: the service account in service_account (static; NULL:
 * FS_KUBE_SERVICE_ACCOUNT). The base is borrowed. NULL when out of memory. */
struct fs_kube_api *fs_kube_api_new(struct event_base *base, const char *kubeconfig,
                                    const char *service_account);
/* Cancels what is under way. */
void fs_kube_api_free(struct fs_kube_api *api);

/* Another kubeconfig from the next call on; as for fs_kube_api_new. 0 or -ENOMEM: it is as it was.
 */
int fs_kube_api_use(struct fs_kube_api *api, const char *kubeconfig);

/*
 * The last word of a call. Where it went well (2xx) err is NULL; answer is borrowed, NULL where the
 * server said nothing. Otherwise err names the method, the path and the reason, the API's own where
 * it has one; status is the HTTP status, 0 without an answer, and err->code is
 *   ENOENT 404, EEXIST 409, EACCES 401 and 403, EINVAL any other 4xx: it will not go better again
 *   (class permanent); EAGAIN 429 and 5xx, ETIMEDOUT, EIO and what the kubeconfig lacks: it may
 *   (class transient); EPROTO and EMSGSIZE: not what an API says (class peer).
 * answer is then the API's Status, or NULL.
 */
typedef void fs_kube_api_fn(void *arg, int status, json_t *answer, const struct fs_error *err);

struct fs_kube_api_request {
    const char *method; /* "GET", "POST", "PUT", "PATCH", "DELETE"; static */
    const char *path;   /* with its query, escaped; copied */
    const json_t *body; /* borrowed during the call; NULL: none */
    const char *content_type;
    int64_t timeout_ns; /* for all of it; 0: 30 s */
    fs_kube_api_fn *done;
    void *arg;
};

/* done is called exactly once, later, unless the call is cancelled; it may cancel and start calls,
 * and must not free the api. NULL when out of memory: then it is not called. */
struct fs_kube_api_call *fs_kube_api_start(struct fs_kube_api *api,
                                           const struct fs_kube_api_request *request);
/* done is not called any more. NULL is allowed. */
void fs_kube_api_cancel(struct fs_kube_api_call *call);

/* A text as one segment or value in a path: everything but letters, digits and -._~ escaped. Owned
 * by the caller; NULL when out of memory. Pure, any thread. */
char *fs_kube_escape(const char *text);

#endif
