/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "farshore/log.h"

#define HELPERS        2
#define LINE_MAX_BYTES (64u << 10)
/* What it may take to connect, and for all that does not hold writers: opening, probing. */
#define START_NS   (30 * FS_SEC)
#define PREPARE_NS (60 * FS_SEC)
#define LEAVE_NS   (3 * FS_SEC)
#define SLOT_S     120
/* Long enough for every lock of the dead to be broken by whoever wants it. */
#define BLOCKLIST_S 3600

extern char **environ;

struct helper {
    bool busy;   /* guarded by the pool's lock; the rest is the busy thread's */
    pid_t pid;   /* 0: not running */
    bool reaped; /* the process has ended: pid may be somebody else's by now */
    int in, out;
    char address[128]; /* "" until it is recorded in the state */
    char *line;        /* LINE_MAX_BYTES */
    size_t filled;
};

struct fs_helpers {
    struct fs_site *site;
    pthread_mutex_t lock;
    pthread_cond_t freed;
    struct helper helpers[HELPERS];
};

static int64_t now_ns(const struct fs_helpers *helpers)
{
    return fs_clock_boot(helpers->site->options.clock);
}

/* --- one process ---------------------------------------------------------------------------- */

/* Program and pipes; no fork, nothing but 0, 1 and 2 is inherited. Returns a positive errno. */
static int spawn(const struct fs_site_options *options, int in, int out, pid_t *ret_pid)
{
    char timeout[32];
    char *argv[] = {(char *)options->helper,
                    (char *)"--conf",
                    (char *)options->conf,
                    (char *)"--user",
                    (char *)options->user,
                    (char *)"--op-timeout-ms",
                    timeout,
                    NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t signals;
    int rc;

    snprintf(timeout, sizeof(timeout), "%" PRId64, options->op_timeout_ns / FS_MSEC);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes, &signals);
    sigfillset(&signals);
    posix_spawnattr_setsigdefault(&attributes, &signals);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETPGROUP);
    rc = posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    if (rc == 0) {
        rc = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    }
    if (rc == 0) {
        rc = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    }
    if (rc == 0) {
        rc = posix_spawn(ret_pid, options->helper, &actions, &attributes, argv, environ);
    }
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

static void close_pipes(struct helper *helper)
{
    if (helper->in >= 0) {
        close(helper->in);
    }
    close(helper->out);
    helper->filled = 0;
}

/*
 * The process has ended, or is ended now. Unless it left by itself and in order, whatever locks
 * it held are broken by blocklisting it; then nobody needs to know of the instance any more.
 */
static void bury(struct fs_helpers *helpers, struct helper *helper, bool in_order)
{
    struct fs_error err = FS_ERROR_INIT;
    int rc = 0;

    if (!helper->reaped) {
        kill(helper->pid, SIGKILL);
        while (waitpid(helper->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    helper->reaped = false;
    close_pipes(helper);
    helper->pid = 0;
    if (helper->address[0] == '\0') {
        return;
    }
    if (!in_order) {
        rc = fs_cluster_blocklist(helpers->site->cluster, helper->address, BLOCKLIST_S, &err);
    }
    if (rc == 0) { /* otherwise it stays recorded, for the successor to blocklist */
        rc = fs_state_remove_instance(helpers->site->state, helper->address, &err);
    }
    if (rc < 0) {
        fs_log(FS_EV_TAKE_KILLED, FS_S("address", helper->address), FS_E(&err));
    }
    helper->address[0] = '\0';
}

/* The next line as JSON, until deadline_ns of the boot clock. -ETIMEDOUT, -EPIPE at its end. */
static int read_line(struct fs_helpers *helpers, struct helper *helper, int64_t deadline_ns,
                     json_t **ret_json)
{
    for (;;) {
        char *end = memchr(helper->line, '\n', helper->filled);

        if (end) {
            size_t length = (size_t)(end - helper->line) + 1;

            *ret_json = json_loadb(helper->line, length, 0, NULL);
            helper->filled -= length;
            memmove(helper->line, end + 1, helper->filled);
            return *ret_json ? 0 : -EPROTO;
        }
        if (helper->filled == LINE_MAX_BYTES) {
            return -EPROTO;
        }

        int64_t left_ns = deadline_ns - now_ns(helpers);
        struct pollfd fd = {.fd = helper->out, .events = POLLIN};

        if (left_ns <= 0) {
            return -ETIMEDOUT;
        }
        if (poll(&fd, 1, (int)((left_ns + FS_MSEC - 1) / FS_MSEC)) <= 0) {
            continue;
        }

        ssize_t got =
            read(helper->out, helper->line + helper->filled, LINE_MAX_BYTES - helper->filled);

        if (got == 0 || (got < 0 && errno != EINTR)) {
            return -EPIPE;
        }
        helper->filled += got > 0 ? (size_t)got : 0;
    }
}

/* Its first line: the address that has to be in the record before it may do anything. */
static int greet(struct fs_helpers *helpers, struct helper *helper, struct fs_error *err)
{
    json_t *hello = NULL;
    const char *address = NULL, *message = NULL;
    int class = FS_ERR_TRANSIENT, code = EIO;
    int rc = read_line(helpers, helper, now_ns(helpers) + START_NS, &hello);

    if (rc < 0) {
        return fs_error_set(err, FS_ERR_TRANSIENT, -rc, "%s did not come up: %s",
                            helpers->site->options.helper, strerror(-rc));
    }
    if (json_unpack(hello, "{s:s}", "address", &address) == 0 &&
        strlen(address) < sizeof(helper->address)) {
        rc = fs_state_add_instance(helpers->site->state, address, err);
        if (rc == 0) {
            snprintf(helper->address, sizeof(helper->address), "%s", address);
        }
    } else if (json_unpack(hello, "{s:s, s:i, s:i}", "error", &message, "class", &class, "code",
                           &code) == 0) {
        rc = fs_error_set(err, (enum fs_error_class) class, code > 0 ? code : EIO, "%s", message);
    } else {
        rc = fs_error_set(err, FS_ERR_BUG, EPROTO, "%s said something else than its address",
                          helpers->site->options.helper);
    }
    json_decref(hello);
    return rc;
}

static int start(struct fs_helpers *helpers, struct helper *helper, struct fs_error *err)
{
    const char *program = helpers->site->options.helper;
    int in[2], out[2], rc;

    if (!helper->line) {
        helper->line = malloc(LINE_MAX_BYTES);
        if (!helper->line) {
            return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory for a helper process");
        }
    }
    if (pipe2(in, O_CLOEXEC) != 0) {
        return fs_error_set(err, FS_ERR_TRANSIENT, errno, "no pipe for %s: %m", program);
    }
    if (pipe2(out, O_CLOEXEC) != 0) {
        rc = fs_error_set(err, FS_ERR_TRANSIENT, errno, "no pipe for %s: %m", program);
        close(in[0]);
        close(in[1]);
        return rc;
    }
    rc = spawn(&helpers->site->options, in[0], out[1], &helper->pid);
    close(in[0]);
    close(out[1]);
    helper->in = in[1];
    helper->out = out[0];
    helper->filled = 0;
    if (rc != 0) {
        close_pipes(helper);
        helper->pid = 0;
        return fs_error_set(err, rc == ENOENT ? FS_ERR_CONFIG : FS_ERR_TRANSIENT, rc,
                            "cannot start %s: %s", program, strerror(rc));
    }
    rc = greet(helpers, helper, err);
    if (rc < 0) {
        bury(helpers, helper, false);
    }
    return rc;
}

/* --- one request ---------------------------------------------------------------------------- */

static int write_all(int fd, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t written = write(fd, text, length);

        if (written < 0 && errno != EINTR) {
            return -errno;
        }
        if (written > 0) {
            text += written;
            length -= (size_t)written;
        }
    }
    return 0;
}

static int send_request(struct helper *helper, const json_t *request)
{
    char *text = json_dumps(request, JSON_COMPACT);

    if (!text) {
        return -ENOMEM;
    }

    int rc = write_all(helper->in, text, strlen(text));

    free(text);
    return rc < 0 ? rc : write_all(helper->in, "\n", 1);
}

static int read_failure(const json_t *answer, enum fs_take_reason *ret_reason, struct fs_error *err)
{
    const char *message;
    int reason, class, code;

    if (json_unpack((json_t *)answer, "{s:i, s:i, s:i, s:s}", "reason", &reason, "class", &class,
                    "code", &code, "message", &message) != 0 ||
        code <= 0 || class <= FS_ERR_NONE || class > FS_ERR_BUG) {
        return fs_error_set(err, FS_ERR_BUG, EPROTO, "the helper's answer cannot be read");
    }
    *ret_reason = (enum fs_take_reason)reason;
    return fs_error_set(err, (enum fs_error_class) class, code, "%s", message);
}

/* Follow what it says until it is done. *ret_holding: whether writers are held right now. */
static int await(struct fs_helpers *helpers, struct helper *helper, int64_t bound_ns,
                 json_t **ret_answer, bool *ret_holding)
{
    int64_t deadline_ns = now_ns(helpers) + PREPARE_NS;

    *ret_holding = false;
    for (;;) {
        json_t *json = NULL;
        const char *event = "";
        int rc = read_line(helpers, helper, deadline_ns, &json);

        if (rc < 0) {
            return rc;
        }
        json_unpack(json, "{s:s}", "event", &event);
        if (strcmp(event, "done") == 0) {
            *ret_answer = json;
            return 0;
        }
        *ret_holding = strcmp(event, "holding") == 0;
        deadline_ns = now_ns(helpers) + (*ret_holding ? bound_ns : PREPARE_NS);
        json_decref(json);
    }
}

static int talk(struct fs_helpers *helpers, struct helper *helper, const json_t *request,
                int64_t bound_ns, json_t **ret_answer, enum fs_take_reason *ret_reason,
                struct fs_error *err)
{
    json_t *answer = NULL;
    bool holding = false;
    int rc = send_request(helper, request);

    if (rc == 0) {
        rc = await(helpers, helper, bound_ns, &answer, &holding);
    }
    if (rc == -ETIMEDOUT && holding) {
        *ret_reason = FS_TAKE_BOUND_PASSED;
        fs_error_set(err, FS_ERR_TRANSIENT, ETIMEDOUT,
                     "a snapshot call did not return in %" PRId64 " ms, and writers waited; the "
                     "helper was killed and its instance %s blocklisted",
                     bound_ns / FS_MSEC, helper->address);
        fs_log(FS_EV_TAKE_KILLED, FS_S("address", helper->address),
               FS_I("bound_ms", bound_ns / FS_MSEC));
    } else if (rc < 0) {
        fs_error_set(err, FS_ERR_TRANSIENT, -rc, "the snapshot helper did not answer: %s",
                     strerror(-rc));
    }
    if (rc < 0) {
        bury(helpers, helper, false);
        return rc;
    }
    if (json_is_true(json_object_get(answer, "ok"))) {
        *ret_answer = answer;
        return 0;
    }
    rc = read_failure(answer, ret_reason, err);
    json_decref(answer);
    if (rc == -ESHUTDOWN) { /* somebody blocklisted it: the next one has a new instance */
        bury(helpers, helper, false);
    }
    return rc;
}

/* --- the pool ------------------------------------------------------------------------------- */

struct fs_helpers *fs_helpers_new(struct fs_site *site)
{
    struct fs_helpers *helpers = calloc(1, sizeof(*helpers));
    pthread_condattr_t attributes;

    if (!helpers) {
        return NULL;
    }
    helpers->site = site;
    pthread_mutex_init(&helpers->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&helpers->freed, &attributes);
    pthread_condattr_destroy(&attributes);
    return helpers;
}

static bool has_ended(struct helper *helper, bool *ret_in_order)
{
    int status;

    if (waitpid(helper->pid, &status, WNOHANG) != helper->pid) {
        return false;
    }
    helper->reaped = true;
    *ret_in_order = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
    return true;
}

/* Close its stdin: it leaves after what it does now. */
static void dismiss(struct fs_helpers *helpers, struct helper *helper)
{
    bool in_order = false;

    close(helper->in);
    helper->in = -1;
    for (int64_t waited_ns = 0; waited_ns < LEAVE_NS; waited_ns += 10 * FS_MSEC) {
        if (has_ended(helper, &in_order)) {
            break;
        }
        nanosleep(&(struct timespec){.tv_nsec = 10 * FS_MSEC}, NULL);
    }
    bury(helpers, helper, in_order);
}

void fs_helpers_free(struct fs_helpers *helpers)
{
    if (!helpers) {
        return;
    }
    for (size_t i = 0; i < HELPERS; i++) {
        struct helper *helper = &helpers->helpers[i];

        if (helper->pid) {
            dismiss(helpers, helper);
        }
        free(helper->line);
    }
    pthread_cond_destroy(&helpers->freed);
    pthread_mutex_destroy(&helpers->lock);
    free(helpers);
}

/* A free one, a running one rather than one that has to be started; NULL after SLOT_S. */
static struct helper *acquire(struct fs_helpers *helpers)
{
    struct helper *found = NULL;
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += SLOT_S;
    pthread_mutex_lock(&helpers->lock);
    for (;;) {
        for (size_t i = 0; i < HELPERS; i++) {
            struct helper *helper = &helpers->helpers[i];

            if (!helper->busy && (!found || (helper->pid && !found->pid))) {
                found = helper;
            }
        }
        if (found || pthread_cond_timedwait(&helpers->freed, &helpers->lock, &until) != 0) {
            break;
        }
    }
    if (found) {
        found->busy = true;
    }
    pthread_mutex_unlock(&helpers->lock);
    return found;
}

static void release(struct fs_helpers *helpers, struct helper *helper)
{
    pthread_mutex_lock(&helpers->lock);
    helper->busy = false;
    pthread_cond_signal(&helpers->freed);
    pthread_mutex_unlock(&helpers->lock);
}

int fs_helpers_take(struct fs_helpers *helpers, const json_t *request, int64_t bound_ns,
                    json_t **ret_answer, enum fs_take_reason *ret_reason, struct fs_error *err)
{
    struct helper *helper = acquire(helpers);
    bool in_order;
    int rc = 0;

    *ret_reason = FS_TAKE_REASON_NONE;
    if (!helper) {
        return fs_error_set(err, FS_ERR_TRANSIENT, EBUSY,
                            "the snapshot helpers are busy with other groups");
    }
    if (helper->pid && has_ended(helper, &in_order)) { /* since its last answer */
        bury(helpers, helper, in_order);
    }
    if (!helper->pid) {
        rc = start(helpers, helper, err);
    }
    if (rc == 0) {
        rc = talk(helpers, helper, request, bound_ns, ret_answer, ret_reason, err);
    }
    release(helpers, helper);
    return rc;
}
