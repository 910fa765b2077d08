/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/verifier_private.h"

#include "farshore/log.h"

/* Each may keep one thread of the blocking pool busy, as answerers do: most of it stays free. */
#define PROVERS_MAX  2
#define RETRY_NS     (600 * FS_SEC)
#define DEFAULT_RATE (UINT64_C(64) << 20)

static void send_frame(struct fs_session *session, struct fs_buf *buf, size_t start)
{
    fs_frame_finish(buf, start);
    fs_session_send(session, buf);
    fs_buf_fini(buf);
}

static const char *group_name(const struct task *task)
{
    const struct fs_group *group = fs_groups_find_uuid(task->verifier->groups, &task->group);

    return group ? group->record->name : "";
}

/* --- watchers --------------------------------------------------------------------------------- */

const struct fs_verify_report *verify_task_report(const struct task *task)
{
    return task->prover ? fs_prover_report(task->prover) : &task->report;
}

void verify_task_tell(struct task *task, bool last)
{
    for (size_t i = 0; i < VERIFY_WATCHERS_MAX; i++) {
        struct watcher *watcher = &task->watchers[i];
        if (!watcher->session) {
            continue;
        }
        struct fs_buf buf = FS_BUF_INIT;
        size_t start = fs_frame_begin(&buf, FS_FRAME_VERIFY_REPORT, 0, watcher->stream);
        fs_verify_report_encode(verify_task_report(task), &buf);
        send_frame(watcher->session, &buf, start);
        if (last) {
            fs_session_detach(watcher->session, watcher->stream);
            watcher->session = NULL;
        }
    }
}

bool verify_task_is_wanted(const struct task *task)
{
    bool wanted = task->background || task->wanted > 0;

    for (size_t i = 0; i < VERIFY_WATCHERS_MAX; i++) {
        wanted = wanted || task->watchers[i].session;
    }
    return wanted;
}

/* --- the end ---------------------------------------------------------------------------------- */

static void noted(void *arg, const struct fs_error *err)
{
    struct fs_verifier *verifier = arg;

    verifier->noting--;
    if (err && fs_error_is_set(err)) {
        /* Only for the time after a restart. */
        fs_log(FS_EV_VERIFY_FAILED, FS_S("reason", "the outcome could not be stored"), FS_E(err));
    }
    verify_kick(verifier);
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
void verify_clean(char *text)
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
    verify_clean(task->report.message);
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
    verify_task_tell(task, true);
    verify_kick(verifier);
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

/* --- a peer does it --------------------------------------------------------------------------- */

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

void verify_task_cancel(struct task *task)
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
    struct fs_buf buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, FS_FRAME_ABORT, 0, task->stream);
    fs_text_encode(&text, &buf);
    send_frame(task->session, &buf, start);
    fs_session_detach(task->session, task->stream);
    (void)fs_error_set(&err, FS_ERR_CANCELLED, ECANCELED, "the verification was cancelled");
    fail_task(task, FS_VERIFY_FAILED, &err);
}

/* --- the beginning ---------------------------------------------------------------------------- */

int verify_refused(struct fs_error *err, const char *format, ...)
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
int verify_begin_here(struct task *task, struct fs_group *group, const struct fs_uuid *wanted,
                      struct fs_error *err)
{
    struct fs_context *ctx = task->verifier->ctx;
    const struct fs_record_point *newest = fs_record_newest_committed(group->record);
    bool any = fs_uuid_is_zero(wanted);
    const struct fs_record_point *point =
        any ? newest : fs_record_find_point(group->record, wanted);
    struct fs_session *session = fs_peers_session(ctx->peers, group->record->peer);

    if (!point || point->state != FS_POINT_COMMITTED) {
        return verify_refused(err, "%s has no %s of %s: `farshore points %s` lists what there is",
                              ctx->config->site, any ? "recovery point" : "such point",
                              group->record->name, group->record->name);
    }
    if (any && !session) {
        return verify_refused(
            err,
            "the newest point is proved by both sites, and there is no session with %s; "
            "with --point it is compared with the digests that were kept",
            group->record->peer);
    }
    if (provers(task->verifier) >= PROVERS_MAX) {
        return verify_refused(err, "%d verifications are under way already: wait for one to end",
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
    return task->prover ? 0 : verify_refused(err, "out of memory");
}

/* The other site holds the points: ask it. */
static int begin_there(struct task *task, struct fs_group *group, const struct fs_uuid *wanted,
                       struct fs_error *err)
{
    const char *peer = group->record->peer;
    struct fs_session *session = fs_peers_session(task->verifier->ctx->peers, peer);
    struct fs_verify verify = {.group = group->record->group, .point = *wanted};

    if (!session) {
        return verify_refused(err, "%s holds the points, and there is no session with it", peer);
    }
    if (!(fs_session_peer(session)->features & FS_FEATURE_VERIFY)) {
        return verify_refused(err, "the Farshore of %s (%s) cannot verify: upgrade it", peer,
                              fs_session_peer(session)->software);
    }
    uint32_t stream = fs_session_open_stream(session, &peer_events, task);
    if (stream == 0) {
        return verify_refused(err, "too much is under way with %s: try again", peer);
    }
    begin(task, wanted);
    task->session = session;
    task->stream = stream;
    struct fs_buf buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, FS_FRAME_VERIFY, 0, stream);
    fs_verify_encode(&verify, &buf);
    send_frame(session, &buf, start);
    return 0;
}

/* Begin, or join the one of the same point that is under way. here: only where this site can. */
int verify_begin_or_join(struct fs_verifier *verifier, struct fs_group *group,
                         const struct fs_uuid *point, bool here, struct task **ret_task,
                         struct fs_error *err)
{
    const struct fs_context *ctx = verifier->ctx;
    struct task *task = verify_task_get(verifier, &group->record->group);
    const struct fs_record_point *newest = fs_record_newest_committed(group->record);

    *ret_task = task;
    if (!task) {
        return verify_refused(err, "out of memory");
    }
    if (verifier->stopping || !ctx->digester) {
        return verify_refused(err, "%s does not work now: %s", ctx->config->site, ctx->site_reason);
    }
    if (task->running) {
        bool same =
            fs_uuid_equal(point, &task->point) ||
            (fs_uuid_is_zero(point) && newest && fs_uuid_equal(&newest->point.id, &task->point));
        return same && !task->cancelled
                   ? 0
                   : verify_refused(err,
                                    "another point of %s is being verified: wait for it to end",
                                    group->record->name);
    }
    if (group->record->role == FS_ROLE_SECONDARY) {
        return verify_begin_here(task, group, point, err);
    }
    if (here) {
        return verify_refused(err, "%s is %s for %s: the other site holds its points",
                              ctx->config->site, fs_role_name(group->record->role),
                              group->record->name);
    }
    return begin_there(task, group, point, err);
}

int fs_verifier_ask(struct fs_verifier *verifier, struct fs_group *group,
                    const struct fs_uuid *point, uint64_t *ret_serial, struct fs_error *err)
{
    struct task *task;
    int rc = verify_begin_or_join(verifier, group, point, false, &task, err);

    if (rc == 0) {
        task->wanted++;
        *ret_serial = task->serial + 1;
        verify_kick(verifier);
    }
    return rc;
}

bool fs_verifier_finished(const struct fs_verifier *verifier, const struct fs_uuid *group,
                          uint64_t serial, struct fs_verify_report *ret_report)
{
    const struct task *task = verify_task_find(verifier, group);

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
    struct task *task = verify_task_find(verifier, group);

    if (task && task->running && task->serial < serial && task->wanted > 0) {
        task->wanted--;
        if (!verify_task_is_wanted(task)) {
            verify_task_cancel(task);
        }
    }
}
