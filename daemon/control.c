/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/control.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>

#include "daemon/rest.h"

#define CALLS_MAX   64
#define REQUEST_MAX (64u << 10)
/* A client that does not read its answers is given up. */
#define BACKLOG_MAX    (64u << 20)
#define CLIENT_GROUP   "farshore"
#define IDLE_TIMEOUT_S 10

struct fs_call {
    struct fs_control *control;
    struct bufferevent *connection;
    bool handed_over; /* the handler has it */
    bool finished;    /* closes when everything is written */
    struct fs_call *next;
};

struct fs_control {
    struct event_base *base;
    fs_control_fn *handler;
    fs_call_gone_fn *gone;
    void *arg;
    char *path;
    char *lock_path;
    int lock_fd;
    struct evconnlistener *listener;
    struct fs_call *calls;
    size_t n_calls;
};

static void call_free(struct fs_call *call)
{
    bufferevent_free(call->connection);
    free(call);
}

/* The client is gone, or has everything. */
static void close_call(struct fs_call *call)
{
    if (call->handed_over && !call->finished) {
        call->control->gone(call->control->arg, call);
    }
    struct fs_call **at = &call->control->calls;
    while (*at != call) {
        at = &(*at)->next;
    }
    *at = call->next;
    call->control->n_calls--;
    call_free(call);
}

static void send_line(struct fs_call *call, json_t *object)
{
    char *line = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;

    if (line) {
        bufferevent_write(call->connection, line, strlen(line));
        bufferevent_write(call->connection, "\n", 1);
    }
    free(line);
    json_decref(object);
}

char *fs_call_who(const struct fs_call *call, char ret_who[FS_CALL_WHO_SIZE])
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t length = sizeof(peer);
    struct passwd entry, *found = NULL;
    char text[4096];

    (void)getsockopt(bufferevent_getfd(call->connection), SOL_SOCKET, SO_PEERCRED, &peer, &length);
    if (getpwuid_r(peer.uid, &entry, text, sizeof(text), &found) == 0 && found) {
        (void)snprintf(ret_who, FS_CALL_WHO_SIZE, "%s", entry.pw_name);
    } else {
        (void)snprintf(ret_who, FS_CALL_WHO_SIZE, "uid %u", (unsigned)peer.uid);
    }
    return ret_who;
}

void fs_call_progress(struct fs_call *call, json_t *progress)
{
    if (evbuffer_get_length(bufferevent_get_output(call->connection)) > BACKLOG_MAX) {
        json_decref(progress);
        return;
    }
    send_line(call, json_pack("{s:o}", "progress", progress));
}

static void finish(struct fs_call *call, json_t *answer)
{
    call->finished = true;
    send_line(call, answer);
    /* write_cb frees it once the output is empty; also where nothing could be written at all. */
    bufferevent_disable(call->connection, EV_READ);
    bufferevent_enable(call->connection, EV_WRITE);
    if (evbuffer_get_length(bufferevent_get_output(call->connection)) == 0) {
        bufferevent_trigger(call->connection, EV_WRITE, BEV_TRIG_DEFER_CALLBACKS);
    }
}

void fs_call_finish(struct fs_call *call, enum fs_exit status, json_t *result)
{
    finish(call, json_pack("{s:i, s:o}", "exit", (int)status, "result", result));
}

void fs_call_fail(struct fs_call *call, enum fs_exit status, const char *format, ...)
{
    char message[1024];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    json_t *answer = json_pack("{s:i, s:s}", "exit", (int)status, "error", message);
    if (!answer) { /* a name in it is not UTF-8 */
        answer = json_pack("{s:i, s:s}", "exit", (int)status, "error", "refused; see the log");
    }
    finish(call, answer);
}

static void read_cb(struct bufferevent *connection, void *arg)
{
    struct fs_call *call = arg;
    struct evbuffer *input = bufferevent_get_input(connection);

    if (call->handed_over) {
        /* One request a connection: more of it is not read. */
        evbuffer_drain(input, evbuffer_get_length(input));
        return;
    }
    size_t length;
    char *line = evbuffer_readln(input, &length, EVBUFFER_EOL_LF);
    if (!line && evbuffer_get_length(input) < REQUEST_MAX) {
        return;
    }
    json_error_t error;
    json_t *request = line ? json_loadb(line, length, JSON_REJECT_DUPLICATES, &error) : NULL;
    free(line);
    bufferevent_set_timeouts(connection, NULL, NULL);
    call->handed_over = true;
    if (!json_is_object(request)) {
        fs_call_fail(call, FS_EXIT_BAD_REQUEST, "the request is not a JSON object on one line");
    } else {
        call->control->handler(call->control->arg, call, request);
    }
    json_decref(request);
}

static void write_cb(struct bufferevent *connection, void *arg)
{
    struct fs_call *call = arg;

    if (call->finished && evbuffer_get_length(bufferevent_get_output(connection)) == 0) {
        close_call(call);
    }
}

static void event_cb(struct bufferevent *connection, short what, void *arg)
{
    (void)connection;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)) {
        close_call(arg);
    }
}

static void accept_cb(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                      int length, void *arg)
{
    struct fs_control *control = arg;
    struct fs_call *call = control->n_calls < CALLS_MAX ? calloc(1, sizeof(*call)) : NULL;

    (void)listener;
    (void)address;
    (void)length;
    if (!call) {
        evutil_closesocket(fd);
        return;
    }
    call->control = control;
    call->connection = bufferevent_socket_new(control->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!call->connection) {
        evutil_closesocket(fd);
        free(call);
        return;
    }
    call->next = control->calls;
    control->calls = call;
    control->n_calls++;
    const struct timeval idle = {.tv_sec = IDLE_TIMEOUT_S};
    bufferevent_set_timeouts(call->connection, &idle, NULL);
    bufferevent_setwatermark(call->connection, EV_READ, 0, REQUEST_MAX);
    bufferevent_setcb(call->connection, read_cb, write_cb, event_cb, call);
    bufferevent_enable(call->connection, EV_READ | EV_WRITE);
}

/* --- life ------------------------------------------------------------------------------------ */

static void make_directory(const char *path)
{
    char *directory = strdup(path);
    char *slash = directory ? strrchr(directory, '/') : NULL;

    if (slash && slash != directory) {
        *slash = '\0';
        /* A failure shows when the lock file is opened, with the path. */
        (void)mkdir(directory, 0755);
    }
    free(directory);
}

static int take_lock(struct fs_control *control, struct fs_error *err)
{
    control->lock_fd = open(control->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (control->lock_fd < 0) {
        return fs_error_set(err, FS_ERR_CONFIG, errno,
                            "%s: %s: let the daemon write there, or set control: to another path",
                            control->lock_path, strerror(errno));
    }
    if (flock(control->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        return fs_error_set(err, FS_ERR_CONFIG, EBUSY,
                            "%s: another farshored serves this control socket: stop it, or set "
                            "control: to another path",
                            control->path);
    }
    return 0;
}

static int listen_at(struct fs_control *control, struct fs_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(control->path) >= sizeof(address.sun_path)) {
        return fs_error_set(err, FS_ERR_CONFIG, ENAMETOOLONG,
                            "%s: too long for a socket (at most %zu bytes): set control: to a "
                            "shorter path",
                            control->path, sizeof(address.sun_path) - 1);
    }
    memcpy(address.sun_path, control->path, strlen(control->path) + 1);
    /* The lock is ours, so what is there is of a daemon that is dead. */
    (void)unlink(control->path);
    mode_t mask = umask(0117);
    control->listener = evconnlistener_new_bind(control->base, accept_cb, control,
                                                LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 16,
                                                (struct sockaddr *)&address, (int)sizeof(address));
    int code = errno;
    (void)umask(mask);
    if (!control->listener) {
        return fs_error_set(err, FS_ERR_CONFIG, code > 0 ? code : EIO, "%s: cannot listen: %s",
                            control->path, strerror(code));
    }
    fs_listener_rest_on_error(control->listener);
    const struct group *group = getgrnam(CLIENT_GROUP);
    if (group && chown(control->path, (uid_t)-1, group->gr_gid) < 0 && geteuid() == 0) {
        return fs_error_set(err, FS_ERR_CONFIG, errno, "%s: cannot be given to group %s: %s",
                            control->path, CLIENT_GROUP, strerror(errno));
    }
    return 0;
}

int fs_control_start(struct event_base *base, const char *path, fs_control_fn *handler,
                     fs_call_gone_fn *gone, void *arg, struct fs_control **ret_control,
                     struct fs_error *err)
{
    struct fs_control *control = calloc(1, sizeof(*control));

    *ret_control = NULL;
    if (!control) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    control->base = base;
    control->handler = handler;
    control->gone = gone;
    control->arg = arg;
    control->lock_fd = -1;
    control->path = strdup(path);
    if (!control->path || asprintf(&control->lock_path, "%s.lock", path) < 0) {
        control->lock_path = NULL;
        fs_control_stop(control);
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    make_directory(path);
    int rc = take_lock(control, err);
    if (rc == 0) {
        rc = listen_at(control, err);
    }
    if (rc < 0) {
        fs_control_stop(control);
        return rc;
    }
    *ret_control = control;
    return 0;
}

void fs_control_stop(struct fs_control *control)
{
    if (!control) {
        return;
    }
    for (struct fs_call *call = control->calls, *next; call; call = next) {
        next = call->next;
        call_free(call);
    }
    if (control->listener) {
        evconnlistener_free(control->listener);
        (void)unlink(control->path);
    }
    if (control->lock_fd >= 0) {
        /* The file stays: removing it would let two daemons lock two files of that name. */
        close(control->lock_fd);
    }
    free(control->path);
    free(control->lock_path);
    free(control);
}
