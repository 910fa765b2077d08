/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/verifier.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/groups.h"
#include "daemon/peer.h"
#include "daemon/verify_note.h"
#include "farshore/log.h"
#include "ship/stream.h"

#define PROVERS_MAX     4
#define ANSWERERS_MAX   8
#define WATCHERS_MAX    4
#define REPORT_EVERY_NS (1 * FS_SEC)
#define RETRY_NS        (600 * FS_SEC)
#define DEFAULT_RATE    (UINT64_C(64) << 20)

struct task;

/* A peer that asked for it. */
struct watcher {
    struct task *task;
    struct fs_session *session; /* NULL: free */
    uint32_t stream;
};

/* What there is for a group; lives as long as the verifier. */
struct task {
    struct fs_verifier *verifier;
    struct task *next;
    struct fs_uuid group;
    struct fs_verify_note note;
    int64_t seen_ns;  /* boot: when the background first looked at it */
    int64_t ended_ns; /* boot: of the newest outcome; meaningful where the note has one */
    int64_t retry_ns; /* boot: no attempt in the background before */

    bool running;
    bool background;
    bool cancelled;
    uint64_t serial; /* that have ended */
    unsigned wanted; /* by local callers */
    struct fs_uuid point;
    struct watcher watchers[WATCHERS_MAX];
    int64_t report_ns;          /* boot: next to the watchers */
    struct fs_prover *prover;   /* where it is done here */
    struct fs_session *session; /* where a peer does it, with the stream */
    uint32_t stream;
    struct fs_verify_report report; /* as last heard, or the newest outcome */
};

struct answering {
    struct fs_verifier *verifier;
    struct fs_answerer *answerer;
    struct answering *next;
};

struct fs_verifier {
    struct fs_groups *groups;
    struct fs_context *ctx;
    struct task *tasks;
    struct answering *answerings;
    size_t n_answerings;
    size_t noting; /* notes on their way from or to the cluster */
    bool stopping;
    bool loaded; /* since the site's work began */
};

static struct task *find_task(const struct fs_verifier *verifier, const struct fs_uuid *group)
{
    for (struct task *task = verifier->tasks; task; task = task->next) {
        if (fs_uuid_equal(&task->group, group)) {
            return task;
        }
    }
    return NULL;
}

static struct task *get_task(struct fs_verifier *verifier, const struct fs_uuid *group)
{
    struct task *task = find_task(verifier, group);

    if (!task) {
        task = calloc(1, sizeof(*task));
        if (!task) {
            return NULL;
        }
        task->verifier = verifier;
        task->group = *group;
        task->next = verifier->tasks;
        verifier->tasks = task;
        for (size_t i = 0; i < WATCHERS_MAX; i++) {
            task->watchers[i].task = task;
        }
    }
    return task;
}

static const char *group_name(const struct task *task)
{
    const struct fs_group *group = fs_groups_find_uuid(task->verifier->groups, &task->group);

    return group ? group->record->name : "";
}

static void kick(const struct fs_verifier *verifier)
{
    verifier->ctx->kick(verifier->ctx->hook_arg);
}

/* --- watchers ----------------------------------------------------------------------------------
 */

static const struct fs_verify_report *report_now(const struct task *task)
{
    return task->prover ? fs_prover_report(task->prover) : &task->report;
}

static void tell_watchers(struct task *task, bool last)
{
    for (size_t i = 0; i < WATCHERS_MAX; i++) {
        struct watcher *watcher = &task->watchers[i];
        if (!watcher->session) {
            continue;
        }
        FS_STREAM_SEND(watcher->session, FS_FRAME_VERIFY_REPORT, watcher->stream, verify_report,
                       report_now(task));
        if (last) {
            fs_session_detach(watcher->session, watcher->stream);
            watcher->session = NULL;
        }
    }
}

static bool is_wanted(const struct task *task)
{
    bool wanted = task->background || task->wanted > 0;

    for (size_t i = 0; i < WATCHERS_MAX; i++) {
        wanted = wanted || task->watchers[i].session;
    }
    return wanted;
}

/* --- the end -----------------------------------------------------------------------------------
 */

static void noted(void *arg, const struct fs_error *err)
{
    struct fs_verifier *verifier = arg;

    verifier->noting--;
    if (err && fs_error_is_set(err)) {
        /* Only for the time after a restart. */
        fs_log(FS_EV_VERIFY_FAILED, FS_S("reason", "the outcome could not be stored"), FS_E(err));
    }
    kick(verifier);
}

static void store_note(struct task *task)
{
    struct fs_verifier *verifier = task->verifier;
    struct fs_digester *digester = verifier->ctx->digester;
    char *text = digester ? fs_verify_note_encode(&task->note) : NULL;

    if (text) {
        verifier->noting++;
        digester->ops->note(digester, &task->group, text, noted, verifier);
        free(text);
    }
}

/* Errors may hold names that Ceph does not ask to be UTF-8. */
static void clean(char *text)
{
    for (; *text; text++) {
        *text = (unsigned char)*text < 0x80 ? *text : '?';
    }
}

static void log_outcome(const struct task *task, const struct fs_error *err)
{
    const struct fs_verify_report *report = &task->report;
    char point[FS_UUID_TEXT];

    fs_uuid_format(&report->point, point);
    switch (report->phase) {
    case FS_VERIFY_EQUAL:
        fs_log(FS_EV_VERIFIED, FS_S("group", group_name(task)), FS_S("point", point),
               FS_S("against", report->kept ? "kept" : "peer"), FS_U("bytes", report->total_bytes),
               FS_U("read_bytes", report->read_bytes));
        break;
    case FS_VERIFY_DIFFERENT:
        fs_log(FS_EV_VERIFY_DIFFERENT, FS_S("group", group_name(task)), FS_S("point", point),
               FS_S("against", report->kept ? "kept" : "peer"), FS_U("objects", report->different));
        break;
    default:
        if (err->class != FS_ERR_CANCELLED) {
            fs_log(FS_EV_VERIFY_FAILED, FS_S("group", group_name(task)), FS_S("point", point),
                   FS_E(err));
        }
        break;
    }
}

static void end_task(struct task *task, const struct fs_verify_report *report,
                     const struct fs_error *err)
{
    struct fs_verifier *verifier = task->verifier;
    struct fs_context *ctx = verifier->ctx;

    task->report = *report;
    clean(task->report.message);
    task->prover = NULL;
    task->session = NULL;
    task->running = false;
    task->serial++;
    task->wanted = 0;
    task->retry_ns = fs_context_boot(ctx) + RETRY_NS;
    if (report->phase == FS_VERIFY_EQUAL || report->phase == FS_VERIFY_DIFFERENT) {
        task->ended_ns = fs_context_boot(ctx);
        task->retry_ns = 0;
        fs_verify_note_add(&task->note, &task->report, fs_context_wall(ctx));
        store_note(task);
    }
    log_outcome(task, err);
    tell_watchers(task, true);
    kick(verifier);
}

static void proved(void *arg, const struct fs_verify_report *report, const struct fs_error *err)
{
    struct task *task = arg;
    struct fs_context *ctx = task->verifier->ctx;

    end_task(task, report, err);
    if (err->code == ESHUTDOWN && ctx->digester) {
        ctx->site_lost(ctx->hook_arg, err);
    }
}

/* --- a peer does it -----------------------------------------------------------------------------
 */

static void fail_task(struct task *task, enum fs_verify_phase phase, const struct fs_error *err)
{
    struct fs_verify_report report = task->report;

    report.phase = phase;
    (void)snprintf(report.message, sizeof(report.message), "%s", err->message);
    end_task(task, &report, err);
}

static int peer_frame(void *arg, const struct fs_frame *frame, struct fs_error *err)
{
    struct task *task = arg;
    struct fs_error why = FS_ERROR_INIT;
    struct fs_verify_report report;
    struct fs_refuse refuse;
    int rc;

    if (frame->type == FS_FRAME_VERIFY_REPORT) {
        rc = fs_verify_report_decode(frame->payload, frame->length, &report, err);
        if (rc == 0 && report.phase == FS_VERIFY_RUNNING) {
            task->report = report;
        } else if (rc == 0) {
            fs_session_detach(task->session, task->stream);
            (void)fs_error_set(&why, FS_ERR_PEER, EIO, "%s", report.message);
            end_task(task, &report, &why);
        }
        return rc;
    }
    if (frame->type == FS_FRAME_REFUSE) {
        rc = fs_refuse_decode(frame->payload, frame->length, &refuse, err);
        if (rc == 0) {
            fs_session_detach(task->session, task->stream);
            (void)fs_error_set(&why, FS_ERR_PEER, ENOENT, "the other site: %s", refuse.message);
            fail_task(task, FS_VERIFY_REFUSED, &why);
        }
        return rc;
    }
    return fs_error_set(err, FS_ERR_PEER, EPROTO, "protocol error: %s as answer to VERIFY",
                        fs_frame_type_name(frame->type));
}

static void peer_lost(void *arg, const struct fs_error *err)
{
    fail_task(arg, FS_VERIFY_FAILED, err);
}

static const struct fs_stream_events peer_events = {.frame = peer_frame, .lost = peer_lost};

static void cancel_task(struct task *task)
{
    struct fs_error err = FS_ERROR_INIT;

    if (!task->running || task->cancelled) {
        return;
    }
    task->cancelled = true;
    if (task->prover) {
        fs_prover_cancel(task->prover);
        return;
    }
    struct fs_text text = {.text = "nobody wants it any more"};
    FS_STREAM_SEND(task->session, FS_FRAME_ABORT, task->stream, text, &text);
    fs_session_detach(task->session, task->stream);
    (void)fs_error_set(&err, FS_ERR_CANCELLED, ECANCELED, "the verification was cancelled");
    fail_task(task, FS_VERIFY_FAILED, &err);
}

/* --- the beginning ------------------------------------------------------------------------------
 */

static int refused(struct fs_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int refused(struct fs_error *err, const char *format, ...)
{
    char text[sizeof(err->message)];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return fs_error_set(err, FS_ERR_PERMANENT, EPERM, "%s", text);
}

static void begin(struct task *task, const struct fs_uuid *point)
{
    task->running = true;
    task->background = false;
    task->cancelled = false;
    task->wanted = 0;
    task->point = *point;
    task->report_ns = 0;
    task->report = (struct fs_verify_report){.point = *point};
}

static uint64_t rate_of(const struct fs_group *group)
{
    const struct fs_config_policy *policy = fs_group_policy(group);

    return policy && policy->verify_rate ? policy->verify_rate : DEFAULT_RATE;
}

static size_t provers(const struct fs_verifier *verifier)
{
    size_t count = 0;

    for (const struct task *task = verifier->tasks; task; task = task->next) {
        count += task->prover != NULL;
    }
    return count;
}

/* This site is secondary: prove it here. */
static int begin_here(struct task *task, struct fs_group *group, const struct fs_uuid *wanted,
                      struct fs_error *err)
{
    struct fs_context *ctx = task->verifier->ctx;
    const struct fs_record_point *newest = fs_record_newest_committed(group->record);
    bool any = fs_uuid_is_zero(wanted);
    const struct fs_record_point *point =
        any ? newest : fs_record_find_point(group->record, wanted);
    struct fs_session *session = fs_peers_session(ctx->peers, group->record->peer);

    if (!point || point->state != FS_POINT_COMMITTED) {
        return refused(err, "%s has no %s of %s: `farshore points %s` lists what there is",
                       ctx->config->site, any ? "recovery point" : "such point",
                       group->record->name, group->record->name);
    }
    if (any && !session) {
        return refused(err,
                       "the newest point is proved by both sites, and there is no session with %s; "
                       "with --point it is compared with the digests that were kept",
                       group->record->peer);
    }
    if (provers(task->verifier) >= PROVERS_MAX) {
        return refused(err, "%d verifications are under way already: wait for one to end",
                       PROVERS_MAX);
    }
    const struct fs_prover_options options = {
        .digester = ctx->digester,
        .session = point == newest ? session : NULL,
        .clock = ctx->clock,
        .bytes_per_s = rate_of(group),
    };
    begin(task, &point->point.id);
    task->prover = fs_prover_start(&options, group->record, &point->point.id, proved, task);
    task->running = task->prover != NULL;
    return task->prover ? 0 : refused(err, "out of memory");
}

/* The other site holds the points: ask it. */
static int begin_there(struct task *task, struct fs_group *group, const struct fs_uuid *wanted,
                       struct fs_error *err)
{
    const char *peer = group->record->peer;
    struct fs_session *session = fs_peers_session(task->verifier->ctx->peers, peer);
    struct fs_verify verify = {.group = group->record->group, .point = *wanted};

    if (!session) {
        return refused(err, "%s holds the points, and there is no session with it", peer);
    }
    if (!(fs_session_peer(session)->features & FS_FEATURE_VERIFY)) {
        return refused(err, "the Farshore of %s (%s) cannot verify: upgrade it", peer,
                       fs_session_peer(session)->software);
    }
    uint32_t stream = fs_session_open_stream(session, &peer_events, task);
    if (stream == 0) {
        return refused(err, "too much is under way with %s: try again", peer);
    }
    begin(task, wanted);
    task->session = session;
    task->stream = stream;
    FS_STREAM_SEND(session, FS_FRAME_VERIFY, stream, verify, &verify);
    return 0;
}

/* Begin, or join the one of the same point that is under way. here: only where this site can. */
static int begin_or_join(struct fs_verifier *verifier, struct fs_group *group,
                         const struct fs_uuid *point, bool here, struct task **ret_task,
                         struct fs_error *err)
{
    const struct fs_context *ctx = verifier->ctx;
    struct task *task = get_task(verifier, &group->record->group);
    const struct fs_record_point *newest = fs_record_newest_committed(group->record);

    *ret_task = task;
    if (!task) {
        return refused(err, "out of memory");
    }
    if (verifier->stopping || !ctx->digester) {
        return refused(err, "%s does not work now: %s", ctx->config->site, ctx->site_reason);
    }
    if (task->running) {
        bool same =
            fs_uuid_equal(point, &task->point) ||
            (fs_uuid_is_zero(point) && newest && fs_uuid_equal(&newest->point.id, &task->point));
        return same && !task->cancelled
                   ? 0
                   : refused(err, "another point of %s is being verified: wait for it to end",
                             group->record->name);
    }
    if (group->record->role == FS_ROLE_SECONDARY) {
        return begin_here(task, group, point, err);
    }
    if (here) {
        return refused(err, "%s is %s for %s: the other site holds its points", ctx->config->site,
                       fs_role_name(group->record->role), group->record->name);
    }
    return begin_there(task, group, point, err);
}

int fs_verifier_ask(struct fs_verifier *verifier, struct fs_group *group,
                    const struct fs_uuid *point, uint64_t *ret_serial, struct fs_error *err)
{
    struct task *task;
    int rc = begin_or_join(verifier, group, point, false, &task, err);

    if (rc == 0) {
        task->wanted++;
        *ret_serial = task->serial + 1;
        kick(verifier);
    }
    return rc;
}

bool fs_verifier_finished(const struct fs_verifier *verifier, const struct fs_uuid *group,
                          uint64_t serial, struct fs_verify_report *ret_report)
{
    const struct task *task = find_task(verifier, group);

    if (!task || task->serial < serial) {
        return false;
    }
    if (ret_report) {
        *ret_report = task->report;
    }
    return true;
}

void fs_verifier_let_go(struct fs_verifier *verifier, const struct fs_uuid *group, uint64_t serial)
{
    struct task *task = find_task(verifier, group);

    if (task && task->running && task->serial < serial && task->wanted > 0) {
        task->wanted--;
        if (!is_wanted(task)) {
            cancel_task(task);
        }
    }
}

/* --- what peers ask -----------------------------------------------------------------------------
 */

static void drop_watcher(struct watcher *watcher)
{
    watcher->session = NULL;
    if (!is_wanted(watcher->task)) {
        cancel_task(watcher->task);
    }
}

static int watcher_frame(void *arg, const struct fs_frame *frame, struct fs_error *err)
{
    struct watcher *watcher = arg;

    if (frame->type != FS_FRAME_ABORT) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO, "protocol error: %s after VERIFY",
                            fs_frame_type_name(frame->type));
    }
    fs_session_detach(watcher->session, watcher->stream);
    drop_watcher(watcher);
    return 0;
}

static void watcher_lost(void *arg, const struct fs_error *err)
{
    (void)err;
    drop_watcher(arg);
}

static const struct fs_stream_events watcher_events = {.frame = watcher_frame,
                                                       .lost = watcher_lost};

/* The group that a peer speaks of; NULL with a reason. */
static struct fs_group *group_of_peer(const struct fs_verifier *verifier, const char *peer,
                                      const struct fs_uuid *uuid, struct fs_error *err)
{
    struct fs_group *group = fs_groups_find_uuid(verifier->groups, uuid);

    if (!group || strcmp(group->record->peer, peer) != 0) {
        (void)refused(err, "%s has no such group with %s", verifier->ctx->config->site, peer);
        return NULL;
    }
    return group;
}

void fs_verifier_asked(struct fs_verifier *verifier, const char *peer, struct fs_session *session,
                       uint32_t stream, const struct fs_verify *verify)
{
    struct fs_error err = FS_ERROR_INIT;
    struct fs_group *group = group_of_peer(verifier, peer, &verify->group, &err);
    struct watcher *watcher = NULL;
    struct task *task = NULL;

    if (group && begin_or_join(verifier, group, &verify->point, true, &task, &err) == 0) {
        for (size_t i = 0; i < WATCHERS_MAX && !watcher; i++) {
            watcher = task->watchers[i].session ? NULL : &task->watchers[i];
        }
    }
    if (watcher) {
        watcher->stream = stream;
        watcher->session =
            fs_session_attach(session, stream, &watcher_events, watcher) ? session : NULL;
        kick(verifier);
        return;
    }
    (void)refused(&err, "too many ask for the same verification");
    fs_refuse_offer(session, stream, FS_REFUSE_BROKEN, err.message);
}

static void answered(void *arg, struct fs_answerer *answerer)
{
    struct answering *answering = arg;
    struct answering **at = &answering->verifier->answerings;

    (void)answerer;
    while (*at != answering) {
        at = &(*at)->next;
    }
    *at = answering->next;
    answering->verifier->n_answerings--;
    kick(answering->verifier);
    free(answering);
}

void fs_verifier_digest_open(struct fs_verifier *verifier, const char *peer,
                             struct fs_session *session, uint32_t stream,
                             const struct fs_digest_open *open)
{
    const struct fs_context *ctx = verifier->ctx;
    const struct fs_answerer_options options = {
        .digester = ctx->digester, .session = session, .clock = ctx->clock};
    struct fs_error err = FS_ERROR_INIT;
    const struct fs_group *group = group_of_peer(verifier, peer, &open->group, &err);

    if (!group) {
        fs_refuse_offer(session, stream, FS_REFUSE_BROKEN, err.message);
        return;
    }
    if (verifier->stopping || !ctx->digester || verifier->n_answerings >= ANSWERERS_MAX) {
        fs_refuse_offer(session, stream, FS_REFUSE_BUSY,
                        ctx->digester ? "too many verifications at once: try again later"
                                      : "the Ceph cluster is away");
        return;
    }
    struct answering *answering = calloc(1, sizeof(*answering));
    if (answering) {
        answering->verifier = verifier;
        answering->answerer =
            fs_answerer_start(&options, stream, group->record, open, answered, answering);
    }
    if (!answering || !answering->answerer) {
        free(answering);
        fs_refuse_offer(session, stream, FS_REFUSE_BUSY, "out of memory");
        return;
    }
    answering->next = verifier->answerings;
    verifier->answerings = answering;
    verifier->n_answerings++;
}

/* --- the background -----------------------------------------------------------------------------
 */

/* When the group is due; INT64_MAX: not now. */
static int64_t due_ns(struct task *task, const struct fs_group *group, int64_t now)
{
    const struct fs_config_policy *policy = fs_group_policy(group);
    const struct fs_context *ctx = task->verifier->ctx;

    if (group->record->role != FS_ROLE_SECONDARY || group->let_go || task->running || !policy ||
        policy->verify_every_ns <= 0 || !fs_record_newest_committed(group->record) ||
        !fs_peers_session(ctx->peers, group->record->peer)) {
        return INT64_MAX;
    }
    if (task->seen_ns == 0) {
        task->seen_ns = now;
    }
    int64_t due =
        task->note.last.ended_ns
            ? task->ended_ns + policy->verify_every_ns
            : task->seen_ns + fs_schedule_stagger_ns(&task->group, policy->verify_every_ns);
    return due > task->retry_ns ? due : task->retry_ns;
}

static int64_t run_background(struct fs_verifier *verifier, int64_t now)
{
    int64_t next = INT64_MAX;

    for (const struct task *task = verifier->tasks; task; task = task->next) {
        if (task->running && task->background) {
            return INT64_MAX; /* one at a time; its end kicks */
        }
    }
    for (size_t i = 0; i < verifier->groups->count; i++) {
        struct fs_group *group = verifier->groups->list[i];
        struct task *task = get_task(verifier, &group->record->group);
        int64_t due = task ? due_ns(task, group, now) : INT64_MAX;
        struct fs_error err = FS_ERROR_INIT;

        if (due <= now && begin_here(task, group, &(struct fs_uuid){0}, &err) == 0) {
            task->background = true;
            return INT64_MAX;
        }
        next = due > now && due < next ? due : next;
    }
    return next;
}

static void loaded(void *arg, const struct fs_digest_note *notes, size_t count,
                   const struct fs_error *err)
{
    struct fs_verifier *verifier = arg;
    const struct fs_context *ctx = verifier->ctx;

    verifier->noting--;
    if (err && fs_error_is_set(err)) {
        fs_log(FS_EV_VERIFY_FAILED, FS_S("reason", "former outcomes cannot be read"), FS_E(err));
    }
    for (size_t i = 0; i < count; i++) {
        struct task *task = get_task(verifier, &notes[i].group);
        struct fs_verify_note note;

        if (task && !task->running && fs_verify_note_decode(notes[i].text, &note) == 0) {
            int64_t age = fs_context_wall(ctx) - note.last.ended_ns;
            task->note = note;
            task->ended_ns = fs_context_boot(ctx) - (age > 0 ? age : 0);
        }
    }
    kick(verifier);
}

int64_t fs_verifier_run(struct fs_verifier *verifier)
{
    struct fs_digester *digester = verifier->ctx->digester;
    int64_t now = fs_context_boot(verifier->ctx);
    int64_t next = INT64_MAX;

    if (digester && !verifier->loaded && !verifier->stopping) {
        verifier->loaded = true;
        verifier->noting++;
        digester->ops->notes(digester, loaded, verifier);
    }
    for (struct task *task = verifier->tasks; task; task = task->next) {
        if (!task->running) {
            continue;
        }
        if (now >= task->report_ns) {
            task->report_ns = now + REPORT_EVERY_NS;
            tell_watchers(task, false);
        }
        next = task->report_ns < next ? task->report_ns : next;
        if (task->prover) {
            fs_prover_tick(task->prover);
        }
        if (task->prover && fs_prover_deadline(task->prover) < next) {
            next = fs_prover_deadline(task->prover);
        }
    }
    struct answering *following;
    for (struct answering *at = verifier->answerings; at; at = following) {
        following = at->next;
        int64_t deadline = fs_answerer_deadline(at->answerer);
        next = deadline < next ? deadline : next;
        fs_answerer_tick(at->answerer);
    }
    if (digester && !verifier->stopping && verifier->noting == 0) {
        int64_t due = run_background(verifier, now);
        next = due < next ? due : next;
    }
    return next;
}

/* --- life ---------------------------------------------------------------------------------------
 */

struct fs_verifier *fs_verifier_new(struct fs_groups *groups)
{
    struct fs_verifier *verifier = calloc(1, sizeof(*verifier));

    if (verifier) {
        verifier->groups = groups;
        verifier->ctx = groups->ctx;
    }
    return verifier;
}

void fs_verifier_free(struct fs_verifier *verifier)
{
    if (!verifier) {
        return;
    }
    while (verifier->tasks) {
        struct task *task = verifier->tasks;
        verifier->tasks = task->next;
        free(task);
    }
    free(verifier);
}

void fs_verifier_stop(struct fs_verifier *verifier)
{
    struct answering *following;

    verifier->stopping = true;
    verifier->loaded = false;
    for (struct task *task = verifier->tasks; task; task = task->next) {
        cancel_task(task);
    }
    for (struct answering *at = verifier->answerings; at; at = following) {
        following = at->next;
        fs_answerer_cancel(at->answerer);
    }
}

void fs_verifier_resume(struct fs_verifier *verifier)
{
    verifier->stopping = false;
}

size_t fs_verifier_busy(const struct fs_verifier *verifier)
{
    size_t busy = verifier->noting + verifier->n_answerings;

    for (const struct task *task = verifier->tasks; task; task = task->next) {
        busy += task->running;
    }
    return busy;
}

/* --- what is told -------------------------------------------------------------------------------
 */

/* The images' names, beside the volumes' UUIDs. */
static void name_images(const struct fs_group *group, const json_t *outcome)
{
    size_t i;
    json_t *difference;

    json_array_foreach(json_object_get(outcome, "differences"), i, difference)
    {
        const char *text = json_string_value(json_object_get(difference, "volume"));
        struct fs_uuid uuid;
        const struct fs_record_volume *volume = text && fs_uuid_parse(text, &uuid) == 0
                                                    ? fs_record_find_volume(group->record, &uuid)
                                                    : NULL;
        char spec[FS_IMAGE_SPEC_SIZE];

        if (volume) {
            (void)fs_image_spec(&volume->volume.image, spec);
            clean(spec);
            json_object_set_new(difference, "image", json_string(spec));
        }
    }
}

static void add_outcome(json_t *object, const char *key, const struct fs_group *group,
                        const struct fs_verify_outcome *outcome)
{
    if (outcome->ended_ns) {
        json_t *json = fs_verify_outcome_json(outcome);
        name_images(group, json);
        json_object_set_new(object, key, json);
    }
}

/* Differences at a point that is gone are gone with it. */
static bool bad_stands(const struct task *task, const struct fs_group *group)
{
    const struct fs_verify_outcome *bad = &task->note.bad;

    return bad->ended_ns && (!bad->report.kept || group->record->role != FS_ROLE_SECONDARY ||
                             fs_record_find_point(group->record, &bad->report.point));
}

json_t *fs_verifier_status(const struct fs_verifier *verifier, const struct fs_group *group)
{
    const struct task *task = find_task(verifier, &group->record->group);
    json_t *object = json_object();

    json_object_set_new(object, "phase", json_string(task && task->running ? "running" : "idle"));
    if (!task) {
        return object;
    }
    if (task->running) {
        const struct fs_verify_report *report = report_now(task);
        char point[FS_UUID_TEXT];

        fs_uuid_format(&report->point, point);
        json_object_set_new(object, "point", json_string(point));
        json_object_set_new(object, "done_bytes", json_integer((json_int_t)report->done_bytes));
        json_object_set_new(object, "total_bytes", json_integer((json_int_t)report->total_bytes));
        json_object_set_new(object, "read_bytes", json_integer((json_int_t)report->read_bytes));
        json_object_set_new(object, "different_objects",
                            json_integer((json_int_t)report->different));
    }
    if (task->note.proved_ns) {
        json_object_set_new(object, "proved_timestamp",
                            json_real((double)task->note.proved_ns / (double)FS_SEC));
    }
    add_outcome(object, "last", group, &task->note.last);
    if (bad_stands(task, group)) {
        add_outcome(object, "bad", group, &task->note.bad);
    }
    return object;
}

void fs_verifier_add_verdict(const struct fs_verifier *verifier, const struct fs_group *group,
                             struct fs_verdict *verdict)
{
    const struct task *task = find_task(verifier, &group->record->group);

    if (!task || !bad_stands(task, group)) {
        return;
    }
    const struct fs_verify_report *report = &task->note.bad.report;
    const struct fs_record_volume *volume =
        report->n_differences > 0
            ? fs_record_find_volume(group->record, &report->differences[0].volume)
            : NULL;
    char point[FS_UUID_TEXT], spec[FS_IMAGE_SPEC_SIZE] = "a volume";

    fs_uuid_format(&report->point, point);
    if (volume) {
        (void)fs_image_spec(&volume->volume.image, spec);
    }
    fs_verdict_add(verdict, FS_STATE_DEGRADED,
                   "trust that point no more, look at the clusters' health and hardware, write "
                   "the named ranges again at the primary, then run `farshore verify GROUP`; "
                   "`farshore status -o json` lists them",
                   "verification of point %s found %" PRIu64
                   " objects that differ, first at byte %" PRIu64 " of %.200s",
                   point, report->different,
                   report->n_differences > 0 ? report->differences[0].offset : 0, spec);
}
