/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/fence_look.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/fence.h"
#include "daemon/peer.h"

/* Asked again so often: the session may have been another one. */
#define AGAIN_NS (5 * FS_SEC)
/* Longer than a look takes that comes to an end: somebody waits for the plan. */
#define ANSWER_NS (30 * FS_SEC)

/* What this site wants to know. */
struct question {
    struct fs_fence_looks *looks;
    struct fs_uuid group;
    uint64_t number;
    char peer[FS_NAME_SIZE], who[FS_WHO_SIZE];
    int64_t until_ns, sent_ns; /* boot; 0: not sent yet */
    char refused[600];         /* why the peer's daemon does not tell; "": it may still */
    bool working;              /* a worker looks in the peer's cluster */
    fs_fence_view_fn *done;    /* NULL: its time was over, and only the worker ends it */
    void *arg;
    struct question *next;
};

/* What a worker of this site finds out for a peer: one at a time for each. */
struct answer {
    struct fs_fence_looks *looks;
    struct fs_uuid group;
    uint64_t number; /* of the newest question about the group */
    char peer[FS_NAME_SIZE];
    struct answer *next;
};

struct fs_fence_looks {
    struct fs_groups *groups;
    uint64_t number; /* of the newest question */
    struct question *questions;
    struct answer *answers;
};

struct fs_fence_looks *fs_fence_looks_new(struct fs_groups *groups)
{
    struct fs_fence_looks *looks = calloc(1, sizeof(*looks));

    if (looks) {
        looks->groups = groups;
    }
    return looks;
}

static void question_free(struct question *question)
{
    struct question **at = &question->looks->questions;

    while (*at != question) {
        at = &(*at)->next;
    }
    *at = question->next;
    free(question);
}

static void answer_free(struct answer *answer)
{
    struct answer **at = &answer->looks->answers;

    while (*at != answer) {
        at = &(*at)->next;
    }
    *at = answer->next;
    free(answer);
}

void fs_fence_looks_free(struct fs_fence_looks *looks)
{
    while (looks && looks->questions) {
        question_free(looks->questions);
    }
    while (looks && looks->answers) {
        answer_free(looks->answers);
    }
    free(looks);
}

static struct fs_session *session_with(const struct fs_fence_looks *looks, const char *peer)
{
    struct fs_session *session = fs_peers_session(looks->groups->ctx->peers, peer);

    return session && (fs_session_peer(session)->features & FS_FEATURE_FENCE_LOOK) ? session : NULL;
}

static bool works(const struct fs_fence_looks *looks)
{
    return looks->groups->ctx->operators && !looks->groups->stopping;
}

/* --- asking ----------------------------------------------------------------------------------- */

static void tell(struct question *question, const struct fs_fence_view *view)
{
    fs_fence_view_fn *done = question->done;
    void *arg = question->arg;

    question->done = NULL;
    if (!question->working) {
        question_free(question);
    }
    if (done) {
        done(arg, view);
    }
}

static void tell_unknown(struct question *question, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void tell_unknown(struct question *question, const char *format, ...)
{
    char text[700];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    tell(question, &(struct fs_fence_view){.unknown = text});
}

/* Back from the worker that looked in the peer's cluster. */
static void looked_there(void *arg, const struct fs_fence *list, size_t count, bool all_seen,
                         const struct fs_error *err)
{
    struct question *question = arg;

    question->looks->groups->noting--;
    question->working = false;
    if (err && fs_error_is_set(err)) {
        tell_unknown(question, "%.200s; nor in its cluster: %.400s", question->refused,
                     err->message);
    } else {
        tell(question,
             &(struct fs_fence_view){.fences = list, .count = count, .all_seen = all_seen});
    }
}

/* Without the peer's daemon. */
static void look_there(struct question *question, const struct fs_group *group)
{
    struct fs_fence_looks *looks = question->looks;
    struct fs_operator *operators = looks->groups->ctx->operators;
    struct fs_fence_order *order = calloc(1, sizeof(*order)); /* too large for the stack */

    if (order && works(looks) && fs_fence_order_other(group, question->who, order)) {
        question->working = true;
        looks->groups->noting++;
        operators->ops->fence_look(operators, order, looked_there, question);
    } else {
        tell_unknown(question, "%s", question->refused);
    }
    free(order);
}

static void send_look(struct question *question, struct fs_session *session)
{
    const struct fs_fence_look look = {.group = question->group, .number = question->number};
    struct fs_buf buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, FS_FRAME_FENCE_LOOK, 0, 0);

    fs_fence_look_encode(&look, &buf);
    fs_frame_finish(&buf, start);
    fs_session_send(session, &buf);
    fs_buf_fini(&buf);
}

/* Why the peer's daemon cannot be asked. */
static void note_unreachable(struct question *question)
{
    bool up = fs_peers_session(question->looks->groups->ctx->peers, question->peer) != NULL;

    (void)snprintf(question->refused, sizeof(question->refused), "%.200s %s", question->peer,
                   up ? "runs an older Farshore, which does not say" : "is not connected");
}

static void go_on(struct question *question, int64_t now)
{
    struct fs_fence_looks *looks = question->looks;
    const struct fs_group *group = fs_groups_find_uuid(looks->groups, &question->group);
    struct fs_session *session = session_with(looks, question->peer);

    if (!group) {
        tell_unknown(question, "the group is gone");
    } else if (now >= question->until_ns) {
        tell_unknown(question, "%.200s%s has not answered within %" PRId64 " s", question->peer,
                     question->working ? "'s cluster" : "", ANSWER_NS / FS_SEC);
    } else if (question->working) {
        return;
    } else if (!session || question->refused[0]) {
        if (!question->refused[0]) {
            note_unreachable(question);
        }
        look_there(question, group);
    } else if (question->sent_ns == 0 || now - question->sent_ns >= AGAIN_NS) {
        question->sent_ns = now;
        send_look(question, session);
    }
}

bool fs_fence_look_start(struct fs_fence_looks *looks, const struct fs_group *group,
                         const char *who, fs_fence_view_fn *done, void *arg)
{
    struct fs_context *ctx = looks->groups->ctx;
    struct question *question = calloc(1, sizeof(*question));

    if (!question) {
        return false;
    }
    *question = (struct question){
        .looks = looks,
        .group = group->record->group,
        .number = ++looks->number,
        .until_ns = fs_context_boot(ctx) + ANSWER_NS,
        .done = done,
        .arg = arg,
        .next = looks->questions,
    };
    (void)snprintf(question->peer, sizeof(question->peer), "%s", group->record->peer);
    (void)snprintf(question->who, sizeof(question->who), "%s", who);
    looks->questions = question;
    ctx->kick(ctx->hook_arg);
    return true;
}

/* What is not on the wire. */
static void complete(const struct question *question, struct fs_fence *clients, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        clients[i].group = question->group;
        clients[i].since_ns = fs_context_wall(question->looks->groups->ctx);
        (void)snprintf(clients[i].site, sizeof(clients[i].site), "%s", question->peer);
        (void)snprintf(clients[i].who, sizeof(clients[i].who), "%s", question->who);
    }
}

void fs_fence_look_answered(struct fs_fence_looks *looks, const char *peer,
                            const struct fs_fence_seen *seen)
{
    struct question *question = looks->questions;

    while (question &&
           !(question->number == seen->number && fs_uuid_equal(&question->group, &seen->group) &&
             strcmp(question->peer, peer) == 0)) {
        question = question->next;
    }
    if (!question || question->working || !question->done) {
        return;
    }
    if (seen->flags & FS_SEEN_FAILED) {
        (void)snprintf(question->refused, sizeof(question->refused), "%.80s: %.511s", peer,
                       seen->message);
        looks->groups->ctx->kick(looks->groups->ctx->hook_arg);
        return;
    }
    complete(question, seen->clients, seen->count);
    tell(question, &(struct fs_fence_view){.fences = seen->clients,
                                           .count = seen->count,
                                           .all_seen = !(seen->flags & FS_SEEN_PART),
                                           .more = (seen->flags & FS_SEEN_MORE) != 0});
}

int64_t fs_fence_looks_run(struct fs_fence_looks *looks)
{
    int64_t now = fs_context_boot(looks->groups->ctx), next = INT64_MAX;
    struct question *after;

    for (struct question *question = looks->questions; question; question = after) {
        after = question->next;
        if (question->done) {
            go_on(question, now);
        }
    }
    for (const struct question *question = looks->questions; question; question = question->next) {
        int64_t due = question->until_ns;
        if (!question->working && question->sent_ns + AGAIN_NS < due) {
            due = question->sent_ns + AGAIN_NS;
        }
        next = question->done && due < next ? due : next;
    }
    return next;
}

/* --- answering -------------------------------------------------------------------------------- */

static void send_seen(const struct fs_fence_looks *looks, const char *peer,
                      const struct fs_fence_seen *seen)
{
    struct fs_session *session = session_with(looks, peer);
    struct fs_buf buf = FS_BUF_INIT;

    if (!session) {
        return; /* asked again in the next one */
    }
    size_t start = fs_frame_begin(&buf, FS_FRAME_FENCE_SEEN, 0, 0);
    fs_fence_seen_encode(seen, &buf);
    fs_frame_finish(&buf, start);
    fs_session_send(session, &buf);
    fs_buf_fini(&buf);
}

static void refuse(const struct fs_fence_looks *looks, const char *peer,
                   const struct fs_uuid *group, uint64_t number, const char *why)
{
    struct fs_fence_seen seen = {.group = *group, .number = number, .flags = FS_SEEN_FAILED};

    (void)snprintf(seen.message, sizeof(seen.message), "%.511s", why);
    send_seen(looks, peer, &seen);
}

/* As many as a message has room for. */
static void send_clients(const struct answer *answer, const struct fs_fence *list, size_t count,
                         bool all_seen)
{
    unsigned flags = (all_seen ? 0 : FS_SEEN_PART) | (count > FS_SEEN_MAX ? FS_SEEN_MORE : 0);
    struct fs_fence_seen seen = {
        .group = answer->group,
        .number = answer->number,
        .flags = (uint8_t)flags,
        .clients = calloc(FS_SEEN_MAX, sizeof(*seen.clients)),
    };

    if (!seen.clients) {
        refuse(answer->looks, answer->peer, &answer->group, answer->number, "out of memory");
        return;
    }
    for (; seen.count < count && seen.count < FS_SEEN_MAX; seen.count++) {
        seen.clients[seen.count] = list[seen.count];
    }
    send_seen(answer->looks, answer->peer, &seen);
    fs_fence_seen_fini(&seen);
}

static void looked(void *arg, const struct fs_fence *list, size_t count, bool all_seen,
                   const struct fs_error *err)
{
    struct answer *answer = arg;

    answer->looks->groups->noting--;
    if (err && fs_error_is_set(err)) {
        refuse(answer->looks, answer->peer, &answer->group, answer->number, err->message);
    } else {
        send_clients(answer, list, count, all_seen);
    }
    answer_free(answer);
}

static struct answer *answer_for(const struct fs_fence_looks *looks, const char *peer)
{
    struct answer *answer = looks->answers;

    while (answer && strcmp(answer->peer, peer) != 0) {
        answer = answer->next;
    }
    return answer;
}

/* False when out of memory. */
static bool begin(struct fs_fence_looks *looks, const char *peer, const struct fs_group *group,
                  uint64_t number)
{
    struct fs_operator *operators = looks->groups->ctx->operators;
    struct answer *answer = calloc(1, sizeof(*answer));
    struct fs_fence_order *order = calloc(1, sizeof(*order));

    if (!answer || !order) {
        free(answer);
        free(order);
        return false;
    }
    *answer = (struct answer){
        .looks = looks, .group = group->record->group, .number = number, .next = looks->answers};
    (void)snprintf(answer->peer, sizeof(answer->peer), "%s", peer);
    looks->answers = answer;
    looks->groups->noting++;
    fs_fence_order(group, peer, order);
    operators->ops->fence_look(operators, order, looked, answer);
    free(order);
    return true;
}

void fs_fence_look_asked(struct fs_fence_looks *looks, const char *peer,
                         const struct fs_fence_look *look)
{
    const struct fs_group *group = fs_groups_find_uuid(looks->groups, &look->group);
    struct answer *busy = answer_for(looks, peer);
    const char *why = NULL;
    char text[640];

    if (!group || strcmp(group->record->peer, peer) != 0) {
        why = "it has no such group";
    } else if (busy && fs_uuid_equal(&busy->group, &look->group)) {
        busy->number = look->number; /* at it */
    } else if (busy) {
        why = "it looks for another group just now: try again in a few seconds";
    } else {
        why = fs_fence_refusal(group, text, sizeof(text));
        if (!why && !begin(looks, peer, group, look->number)) {
            why = "out of memory";
        }
    }
    if (why) {
        refuse(looks, peer, &look->group, look->number, why);
    }
}
