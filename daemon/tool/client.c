/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/tool/client.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "farshore/buf.h"
#include "farshore/clock.h"

/* A thousand groups of several volumes are about 2 MB of status. */
#define ANSWER_MAX (256u << 20)

static int connect_socket(const char *path, struct fs_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        return fs_error_set(err, FS_ERR_CONFIG, ENAMETOOLONG, "%s: too long for a socket's path",
                            path);
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return fs_error_set(err, FS_ERR_PERMANENT, errno, "socket: %s", strerror(errno));
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
        return fd;
    }
    int code = errno;
    close(fd);
    const char *hint = code == EACCES ? "be root or a member of group farshore"
                                      : "is farshored running? (systemctl status farshored; -S "
                                        "PATH or FARSHORE_SOCKET names another socket)";
    return fs_error_set(err, FS_ERR_TRANSIENT, code, "cannot reach the daemon at %s: %s; %s", path,
                        strerror(code), hint);
}

static int send_request(int fd, const json_t *request, struct fs_error *err)
{
    char *text = json_dumps(request, JSON_COMPACT);
    if (!text) {
        return fs_error_set(err, FS_ERR_PERMANENT, ENOMEM, "out of memory");
    }
    struct fs_buf line = FS_BUF_INIT;
    fs_buf_printf(&line, "%s\n", text);
    free(text);
    size_t at = 0;
    int rc = line.failed ? -ENOMEM : 0;
    while (rc == 0 && at < line.length) {
        ssize_t n = send(fd, line.data + at, line.length - at, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) {
            rc = fs_error_set(err, FS_ERR_TRANSIENT, errno, "the daemon does not read: %s",
                              strerror(errno));
        }
        at += n > 0 ? (size_t)n : 0;
    }
    fs_buf_fini(&line);
    return rc;
}

/* Wait until fd is readable: 1, 0 when the time is up, -errno. */
static int wait_readable(int fd, int64_t deadline_ns)
{
    for (;;) {
        int timeout = -1;
        if (deadline_ns > 0) {
            int64_t left = deadline_ns - fs_clock_boot(fs_clock_system());
            timeout = left > 0 ? (int)(left / FS_MSEC) + 1 : 0;
        }
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int n = poll(&wait, 1, timeout);
        if (n >= 0) {
            return n;
        }
        if (errno != EINTR) {
            return -errno;
        }
    }
}

static int take_line(const char *line, size_t length, fs_client_progress_fn *progress, void *arg,
                     struct fs_client_answer *ret_answer, struct fs_error *err)
{
    json_error_t bad;
    json_t *object = json_loadb(line, length, 0, &bad);
    if (!object) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO, "the daemon's answer is no JSON: %s",
                            bad.text);
    }
    int done = 0;
    json_t *exit_status = json_object_get(object, "exit");
    if (json_is_integer(exit_status)) {
        ret_answer->exit = (int)json_integer_value(exit_status);
        ret_answer->result = json_incref(json_object_get(object, "result"));
        const char *text = json_string_value(json_object_get(object, "error"));
        if (text) {
            fs_error_set(err, FS_ERR_PERMANENT, EIO, "%s", text);
        }
        done = 1;
    } else if (progress) {
        progress(arg, json_object_get(object, "progress"));
    }
    json_decref(object);
    return done;
}

/* Handles the lines that are complete; 1 when the answer was among them. */
static int take_lines(struct fs_buf *in, fs_client_progress_fn *progress, void *arg,
                      struct fs_client_answer *ret_answer, struct fs_error *err)
{
    size_t start = 0;
    int rc = 0;
    uint8_t *end;
    while (rc == 0 && (end = memchr(in->data + start, '\n', in->length - start))) {
        size_t length = (size_t)(end - in->data) - start;
        rc = take_line((const char *)in->data + start, length, progress, arg, ret_answer, err);
        start += length + 1;
    }
    memmove(in->data, in->data + start, in->length - start);
    in->length -= start;
    return rc;
}

static int read_answer(int fd, int64_t deadline_ns, fs_client_progress_fn *progress, void *arg,
                       struct fs_client_answer *ret_answer, struct fs_error *err)
{
    struct fs_buf in = FS_BUF_INIT;
    int rc = 0;
    while (rc == 0) {
        rc = wait_readable(fd, deadline_ns);
        if (rc == 0) {
            ret_answer->exit = FS_EXIT_RUNNING;
            fs_error_set(err, FS_ERR_TRANSIENT, ETIMEDOUT,
                         "not finished in the time given; it goes on (see `farshore status`)");
            rc = 1;
            break;
        }
        if (rc < 0 || in.length > ANSWER_MAX || !fs_buf_reserve(&in, 65536)) {
            rc = fs_error_set(err, FS_ERR_PEER, EPROTO, "cannot read the daemon's answer");
            break;
        }
        ssize_t n = read(fd, in.data + in.length, 65536);
        if (n == 0 || (n < 0 && errno != EINTR)) {
            rc = fs_error_set(err, FS_ERR_TRANSIENT, ECONNRESET,
                              "the daemon closed the connection before it answered; see its log");
            break;
        }
        in.length += n > 0 ? (size_t)n : 0;
        rc = take_lines(&in, progress, arg, ret_answer, err);
    }
    fs_buf_fini(&in);
    return rc < 0 ? rc : 0;
}

int fs_client_ask(const char *socket_path, const json_t *request, double timeout_s,
                  fs_client_progress_fn *progress, void *arg, struct fs_client_answer *ret_answer,
                  struct fs_error *err)
{
    *ret_answer = (struct fs_client_answer){.exit = FS_EXIT_UNREACHABLE};
    int fd = connect_socket(socket_path, err);
    if (fd < 0) {
        return fd;
    }
    int64_t deadline_ns = 0;
    if (timeout_s > 0) {
        deadline_ns = fs_clock_boot(fs_clock_system()) + (int64_t)(timeout_s * (double)FS_SEC);
    }
    ret_answer->exit = FS_EXIT_FAILED;
    int rc = send_request(fd, request, err);
    if (rc == 0) {
        rc = read_answer(fd, deadline_ns, progress, arg, ret_answer, err);
    }
    close(fd);
    return rc;
}
