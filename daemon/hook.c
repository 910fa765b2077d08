/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "farshore/buf.h"
#include "farshore/log.h"

#define LINE_SIZE 512
#define READ_SIZE 4096
/* What was printed before the end is in the pipe, and a pipe holds no more. */
#define PIPE_SIZE 65536

struct hook {
    struct fs_hooks *hooks;
    char group[FS_NAME_SIZE];
    enum fs_hook hook;
    pid_t pid; /* 0: it could not be started, err says why */
    int pidfd, out;
    struct event *end_event, *out_event, *timer;
    int64_t limit_ns;
    bool timed_out;
    char line[LINE_SIZE], last[LINE_SIZE];
    size_t filled;
    uint64_t lines;
    struct fs_error err;
    fs_hook_fn *done;
    void *arg;
    struct hook *next;
};

struct fs_hooks {
    struct event_base *base;
    struct hook *list; /* owned */
};

static const char *const names[] = {
    [FS_HOOK_STOP] = "on.stop",         [FS_HOOK_START] = "on.start",
    [FS_HOOK_PROMOTED] = "on.promoted", [FS_HOOK_DEMOTED] = "on.demoted",
    [FS_HOOK_DRILL] = "drill.exec",     [FS_HOOK_QUIESCE] = "quiesce.command",
};

const enum fs_hook fs_hooks_after[FS_HOOKS_AFTER] = {FS_HOOK_PROMOTED, FS_HOOK_START};

const char *fs_hook_name(enum fs_hook hook)
{
    return names[hook];
}

struct fs_hooks *fs_hooks_new(struct event_base *base)
{
    struct fs_hooks *hooks = calloc(1, sizeof(*hooks));

    if (hooks) {
        hooks->base = base;
    }
    return hooks;
}

static void free_event(struct event *event)
{
    if (event) {
        event_free(event);
    }
}

static void hook_free(struct hook *hook)
{
    struct hook **at = &hook->hooks->list;

    while (*at != hook) {
        at = &(*at)->next;
    }
    *at = hook->next;
    free_event(hook->end_event);
    free_event(hook->out_event);
    free_event(hook->timer);
    if (hook->pidfd >= 0) {
        close(hook->pidfd);
    }
    if (hook->out >= 0) {
        close(hook->out);
    }
    free(hook);
}

/* Returns what waitpid tells. */
static int kill_and_reap(const struct hook *hook, bool kill_it)
{
    int status = 0;

    if (kill_it) {
        (void)kill(-hook->pid, SIGKILL);
    }
    while (waitpid(hook->pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

void fs_hooks_free(struct fs_hooks *hooks)
{
    while (hooks && hooks->list) {
        if (hooks->list->pid > 0) {
            (void)kill_and_reap(hooks->list, true);
        }
        hook_free(hooks->list);
    }
    free(hooks);
}

/* --- what it prints --------------------------------------------------------------------------- */

static void end_line(struct hook *hook)
{
    hook->line[hook->filled] = '\0';
    hook->filled = 0;
    if (!hook->line[0]) {
        return;
    }
    memcpy(hook->last, hook->line, sizeof(hook->last));
    if (hook->lines++ < FS_HOOK_LINES_MAX) {
        fs_log(FS_EV_HOOK_OUTPUT, FS_S("group", hook->group), FS_S("hook", names[hook->hook]),
               FS_S("line", hook->line));
    }
}

static void take_text(struct hook *hook, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n') {
            end_line(hook);
            continue;
        }
        if (hook->filled == sizeof(hook->line) - 1) {
            end_line(hook); /* a longer line is told in parts */
        }
        hook->line[hook->filled++] = text[i] ? text[i] : '?';
    }
}

static bool read_some(struct hook *hook)
{
    char text[READ_SIZE];

    errno = 0;
    ssize_t got = read(hook->out, text, sizeof(text));

    if (got > 0) {
        take_text(hook, text, (size_t)got);
    }
    return got > 0 || (got < 0 && errno == EINTR);
}

static void out_cb(evutil_socket_t fd, short what, void *arg)
{
    struct hook *hook = arg;

    (void)fd;
    (void)what;
    if (!read_some(hook) && errno != EAGAIN) {
        (void)event_del(hook->out_event); /* it closed what it prints to; its end comes by itself */
    }
}

/* --- its end ---------------------------------------------------------------------------------- */

static void judge(struct hook *hook, int status)
{
    const char *said = hook->last[0] ? ": " : "";

    if (hook->timed_out) {
        (void)fs_error_set(&hook->err, FS_ERR_PERMANENT, ETIMEDOUT,
                           "%s was killed: it did not end within %.0f s (%.*s.timeout)%s%.300s",
                           names[hook->hook], (double)hook->limit_ns / (double)FS_SEC,
                           (int)strcspn(names[hook->hook], "."), names[hook->hook], said,
                           hook->last);
    } else if (WIFSIGNALED(status)) {
        (void)fs_error_set(&hook->err, FS_ERR_PERMANENT, EIO, "%s was ended by signal %d%s%.300s",
                           names[hook->hook], WTERMSIG(status), said, hook->last);
    } else if (WEXITSTATUS(status) != 0) {
        (void)fs_error_set(&hook->err, FS_ERR_PERMANENT, EIO, "%s ended with status %d%s%.300s",
                           names[hook->hook], WEXITSTATUS(status), said, hook->last);
    }
}

static void finish(struct hook *hook)
{
    fs_hook_fn *done = hook->done;
    void *arg = hook->arg;
    struct fs_error err = hook->err;
    uint64_t more = hook->lines > FS_HOOK_LINES_MAX ? hook->lines - FS_HOOK_LINES_MAX : 0;

    if (hook->hook == FS_HOOK_QUIESCE) {
        /* Twice a point is too often to tell of, and what failed is told by who asked for it. */
    } else if (fs_error_is_set(&err)) {
        fs_log(FS_EV_HOOK_FAILED, FS_S("group", hook->group), FS_S("hook", names[hook->hook]),
               FS_U("lines_left_out", more), FS_E(&err));
    } else {
        fs_log(FS_EV_HOOK_DONE, FS_S("group", hook->group), FS_S("hook", names[hook->hook]),
               FS_U("lines_left_out", more));
    }
    hook_free(hook);
    done(arg, fs_error_is_set(&err) ? &err : NULL);
}

/* What it left running in the background goes on, and is not listened to any more. */
static void end_cb(evutil_socket_t fd, short what, void *arg)
{
    struct hook *hook = arg;

    (void)fd;
    (void)what;
    for (size_t i = 0; i < PIPE_SIZE / READ_SIZE && read_some(hook); i++) {
    }
    end_line(hook);
    judge(hook, kill_and_reap(hook, false));
    finish(hook);
}

/* The time is over; or, without a process, there was none to start with. */
static void timer_cb(evutil_socket_t fd, short what, void *arg)
{
    struct hook *hook = arg;

    (void)fd;
    (void)what;
    if (hook->pid == 0) {
        finish(hook);
        return;
    }
    hook->timed_out = true;
    (void)kill(-hook->pid, SIGKILL);
}

/* --- its start -------------------------------------------------------------------------------- */

static bool is_own(const char *variable)
{
    static const char *const kept_back[] = {"FARSHORE_", "NOTIFY_SOCKET=", "WATCHDOG_", "LISTEN_"};

    for (size_t i = 0; i < sizeof(kept_back) / sizeof(kept_back[0]); i++) {
        if (strncmp(variable, kept_back[i], strlen(kept_back[i])) == 0) {
            return true;
        }
    }
    return false;
}

static void put_variables(struct fs_buf *text, const struct fs_group *group, enum fs_hook hook,
                          const struct fs_point_id *point)
{
    const struct fs_record *record = group->record;
    char uuid[FS_UUID_TEXT], name[FS_SNAP_NAME_SIZE] = "", spec[FS_IMAGE_SPEC_SIZE];

    fs_uuid_format(&record->group, uuid);
    if (point) {
        (void)fs_point_snap_name(point, name);
    }
    fs_buf_printf(text, "FARSHORE_HOOK=%s%c", names[hook], '\0');
    fs_buf_printf(text, "FARSHORE_SITE=%s%c", group->ctx->config->site, '\0');
    fs_buf_printf(text, "FARSHORE_POLICY=%s%c", record->policy, '\0');
    fs_buf_printf(text, "FARSHORE_GROUP=%s%c", record->name, '\0');
    fs_buf_printf(text, "FARSHORE_UUID=%s%c", uuid, '\0');
    fs_buf_printf(text, "FARSHORE_TERM=%" PRIu64 "%c", record->term.number, '\0');
    fs_buf_printf(text, "FARSHORE_POINT=%s%c", name, '\0');
    fs_buf_printf(text, "FARSHORE_VOLUMES=");
    for (size_t i = 0, n = 0; i < record->n_volumes; i++) {
        if (!record->volumes[i].gone) {
            fs_buf_printf(text, "%s%s", n++ > 0 ? "\n" : "",
                          fs_image_spec(&record->volumes[i].volume.image, spec));
        }
    }
    fs_buf_put_u8(text, 0);
}

/* As `farshore drill --exec` has it. */
static void put_drill(struct fs_buf *text, const struct fs_drill *drill)
{
    char id[FS_UUID_TEXT], spec[FS_IMAGE_SPEC_SIZE];

    fs_uuid_format(&drill->id, id);
    fs_buf_printf(text, "FARSHORE_DRILL=%s%c", id, '\0');
    fs_buf_printf(text, "FARSHORE_IMAGES=");
    for (size_t i = 0; i < drill->n_images; i++) {
        fs_buf_printf(text, "%s%s %s", i > 0 ? "\n" : "",
                      fs_image_spec(&drill->images[i].clone, spec), drill->images[i].parent);
    }
    fs_buf_put_u8(text, 0);
}

/* The daemon's environment without what is the daemon's own, then ours. One allocation; its
 * strings are in text. NULL when out of memory. */
static char **environment(const struct fs_buf *text)
{
    size_t count = 0, n = 0;

    if (text->failed) {
        return NULL;
    }
    while (environ[count]) {
        count++;
    }
    for (size_t i = 0; i < text->length; i++) {
        count += text->data[i] == 0;
    }
    char **list = calloc(count + 1, sizeof(*list));
    for (size_t i = 0; list && environ[i]; i++) {
        if (!is_own(environ[i])) {
            list[n++] = environ[i];
        }
    }
    for (size_t i = 0; list && i < text->length; i += strlen((char *)text->data + i) + 1) {
        list[n++] = (char *)text->data + i;
    }
    return list;
}

/* Nothing but 0, 1 and 2 is inherited. Returns a positive errno. */
static int spawn(const char *command, char **variables, int out, pid_t *ret_pid)
{
    char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)command, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t signals;

    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes, &signals);
    sigfillset(&signals);
    posix_spawnattr_setsigdefault(&attributes, &signals);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETPGROUP);
    int rc = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (rc == 0) {
        rc = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    }
    if (rc == 0) {
        rc = posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
    }
    if (rc == 0) {
        rc = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    }
    if (rc == 0) {
        rc = posix_spawn(ret_pid, argv[0], &actions, &attributes, argv, variables);
    }
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

/* What is to be run, and what goes into its environment beside what all have. */
struct order {
    enum fs_hook hook;
    const char *command;
    int64_t limit_ns;
    const struct fs_point_id *point; /* or NULL */
    const struct fs_drill *drill;    /* or NULL */
    const char *quiesce;             /* FARSHORE_QUIESCE, or NULL */
};

/* Fills hook->pid, or returns a positive errno. */
static int spawn_for(struct hook *hook, const struct fs_group *group, const struct order *order)
{
    struct fs_buf text = FS_BUF_INIT;
    int ends[2];

    put_variables(&text, group, order->hook, order->point);
    if (order->drill) {
        put_drill(&text, order->drill);
    }
    if (order->quiesce) {
        fs_buf_printf(&text, "FARSHORE_QUIESCE=%s%c", order->quiesce, '\0');
    }
    char **variables = environment(&text);
    int rc = variables ? 0 : ENOMEM;
    if (rc == 0 && pipe2(ends, O_CLOEXEC) < 0) {
        rc = errno;
    } else if (rc == 0) {
        hook->out = ends[0];
        (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
        rc = spawn(order->command, variables, ends[1], &hook->pid);
        close(ends[1]);
    }
    free(variables);
    fs_buf_fini(&text);
    return rc;
}

/* Returns a positive errno. */
static int listen_to(struct hook *hook)
{
    struct event_base *base = hook->hooks->base;

    hook->pidfd = pidfd_open(hook->pid, 0);
    if (hook->pidfd < 0) {
        return errno;
    }
    hook->end_event = event_new(base, hook->pidfd, EV_READ, end_cb, hook);
    hook->out_event = event_new(base, hook->out, EV_READ | EV_PERSIST, out_cb, hook);
    if (!hook->end_event || !hook->out_event || event_add(hook->end_event, NULL) < 0 ||
        event_add(hook->out_event, NULL) < 0) {
        return ENOMEM;
    }
    return 0;
}

static struct hook *hook_new(struct fs_hooks *hooks, fs_hook_fn *done, void *arg)
{
    struct hook *hook = calloc(1, sizeof(*hook));
    struct event *timer = hook ? evtimer_new(hooks->base, timer_cb, hook) : NULL;

    if (!timer) {
        free(hook);
        return NULL;
    }
    hook->hooks = hooks;
    hook->pidfd = hook->out = -1;
    hook->timer = timer;
    hook->done = done;
    hook->arg = arg;
    hook->next = hooks->list;
    hooks->list = hook;
    return hook;
}

static bool start(const struct fs_group *group, const struct order *order, fs_hook_fn *done,
                  void *arg)
{
    const char *name = names[order->hook];

    if (!order->command || !group->ctx->hooks) {
        return false;
    }
    struct hook *hook = hook_new(group->ctx->hooks, done, arg);
    if (!hook) {
        fs_log(FS_EV_HOOK_FAILED, FS_S("group", group->record->name), FS_S("hook", name),
               FS_S("error", "out of memory"));
        return false;
    }
    (void)snprintf(hook->group, sizeof(hook->group), "%s", group->record->name);
    hook->hook = order->hook;
    hook->limit_ns = order->limit_ns;
    if (order->hook != FS_HOOK_QUIESCE) {
        fs_log(FS_EV_HOOK_STARTED, FS_S("group", hook->group), FS_S("hook", name),
               FS_S("command", order->command));
    }
    int rc = spawn_for(hook, group, order);
    if (rc == 0) {
        rc = listen_to(hook);
        if (rc != 0) {
            (void)kill_and_reap(hook, true);
            hook->pid = 0;
        }
    } else {
        hook->pid = 0;
    }
    int64_t wait = rc == 0 ? hook->limit_ns : 0;
    if (rc != 0) {
        (void)fs_error_set(&hook->err, FS_ERR_PERMANENT, rc, "%s could not be started: %s", name,
                           strerror(rc));
    }
    const struct timeval timeout = {.tv_sec = wait / FS_SEC, .tv_usec = wait % FS_SEC / 1000};
    (void)event_add(hook->timer, &timeout);
    return true;
}

bool fs_hook_start(const struct fs_group *group, enum fs_hook which,
                   const struct fs_point_id *point, fs_hook_fn *done, void *arg)
{
    const struct fs_config_policy *policy = fs_group_policy(group);
    const struct order order = {.hook = which,
                                .command = policy ? policy->on[which] : NULL,
                                .limit_ns = policy ? policy->on_timeout_ns : 0,
                                .point = point};

    return start(group, &order, done, arg);
}

bool fs_hook_start_drill(const struct fs_group *group, const struct fs_drill *drill,
                         fs_hook_fn *done, void *arg)
{
    const struct fs_config_policy *policy = fs_group_policy(group);
    const struct order order = {.hook = FS_HOOK_DRILL,
                                .command = policy ? policy->on[FS_HOOK_DRILL] : NULL,
                                .limit_ns = policy ? policy->drill_timeout_ns : 0,
                                .drill = drill};

    return start(group, &order, done, arg);
}

bool fs_hook_start_quiesce(const struct fs_group *group, const char *command, bool thaw,
                           int64_t limit_ns, fs_hook_fn *done, void *arg)
{
    const struct order order = {.hook = FS_HOOK_QUIESCE,
                                .command = command,
                                .limit_ns = limit_ns,
                                .quiesce = thaw ? "thaw" : "freeze"};

    return start(group, &order, done, arg);
}
