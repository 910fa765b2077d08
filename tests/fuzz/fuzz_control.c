/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket as its clients see it: a connection with these bytes, in pieces whose sizes
 * are drawn from them, to a daemon with one primary and one secondary group, no cluster and no
 * peer. Whoever sends a whole line gets an answer with an exit status, or waits for one; the
 * socket's later clients are served whatever it was. Only `status` is answered here, since its
 * document is not made of what was asked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/commands.h"
#include "daemon/daemon.h"
#include "daemon/group.h"
#include "farshore/log.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ANSWERS_MAX 4096

static struct fs_daemon daemon_under_test;
static struct fs_config config;
static struct fs_clock_scripted scripted;
static char path[64];

static void must(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void ignore(void *arg)
{
    (void)arg;
}

static void handle(void *arg, struct fs_call *call, const json_t *request)
{
    const char *command = json_string_value(json_object_get(request, "command"));

    if (command && strcmp(command, "status") == 0) {
        fs_call_finish(call, FS_EXIT_OK, json_object());
    } else {
        fs_commands_handle(arg, call, request);
    }
}

static void add_group(const char *name, enum fs_role role, uint8_t first)
{
    struct fs_record *record = fs_record_new();

    must(record != NULL);
    record->group.b[0] = first;
    record->role = role;
    record->version = 1;
    (void)snprintf(record->name, sizeof(record->name), "%s", name);
    (void)snprintf(record->policy, sizeof(record->policy), "gold");
    (void)snprintf(record->peer, sizeof(record->peer), "west");
    must(fs_groups_add(daemon_under_test.ctx.groups,
                       fs_group_new(&daemon_under_test.ctx, record)) == 0);
}

static void remove_socket(void)
{
    char lock[80];

    (void)snprintf(lock, sizeof(lock), "%s.lock", path);
    (void)unlink(path);
    (void)unlink(lock);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const struct fs_peers_options peers = {.software = "fuzz"};
    struct fs_daemon *daemon = &daemon_under_test;
    struct fs_error err = FS_ERROR_INIT;

    (void)argc;
    (void)argv;
    fs_log_init(false, FS_LOG_ERROR);
    fs_clock_scripted_init(&scripted, 1000 * FS_SEC);
    config.site = (char *)"east";
    daemon->config = &config;
    daemon->ctx = (struct fs_context){.clock = &scripted.clock, .config = &config, .kick = ignore};
    daemon->ctx.groups = fs_groups_new(&daemon->ctx);
    daemon->ctx.peers = fs_peers_new(&daemon->ctx, &peers);
    daemon->base = event_base_new();
    daemon->commands = fs_commands_new(daemon);
    must(daemon->ctx.groups && daemon->ctx.peers && daemon->base && daemon->commands);
    add_group("rbd/here", FS_ROLE_PRIMARY, 1);
    add_group("rbd/there", FS_ROLE_SECONDARY, 2);
    (void)snprintf(path, sizeof(path), "/tmp/farshore-fuzz-%d.sock", (int)getpid());
    (void)atexit(remove_socket);
    must(fs_control_start(daemon->base, path, handle, fs_commands_gone, daemon->commands,
                          &daemon->control, &err) == 0);
    return 0;
}

static int dial(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    must(fd >= 0);
    memcpy(address.sun_path, path, strlen(path) + 1);
    must(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    return fd;
}

static void turn(void)
{
    must(event_base_loop(daemon_under_test.base, EVLOOP_NONBLOCK) >= 0);
}

static size_t receive(int fd, char *text)
{
    ssize_t got = recv(fd, text, ANSWERS_MAX, 0);

    return got > 0 ? (size_t)got : 0;
}

/* Every line is JSON, and says how it ended or how far it is. */
static bool check_answer(const char *text, size_t length)
{
    const char *end = memchr(text, '\n', length);
    bool finished;

    must(end != NULL);
    json_t *answer = json_loadb(text, (size_t)(end - text), 0, NULL);
    finished = json_is_integer(json_object_get(answer, "exit"));
    must(finished || json_object_get(answer, "progress"));
    json_decref(answer);
    return finished;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[ANSWERS_MAX];
    int fd = dial();

    for (size_t at = 0, piece; at < size; at += piece) {
        piece = 1 + (size_t)data[at] * 16;
        piece = piece < size - at ? piece : size - at;
        ssize_t sent = send(fd, data + at, piece, MSG_NOSIGNAL);
        if (sent <= 0) {
            break; /* it has answered and hung up */
        }
        piece = (size_t)sent;
        turn();
    }
    turn();
    turn();
    size_t length = receive(fd, text);
    if (length > 0) {
        (void)check_answer(text, length);
    }
    close(fd);
    turn();
    turn();
    (void)fs_commands_run(daemon_under_test.commands);

    static const char sane[] = "{\"command\": \"points\", \"group\": \"rbd/here\"}\n";
    fd = dial();
    must(send(fd, sane, sizeof(sane) - 1, MSG_NOSIGNAL) == (ssize_t)sizeof(sane) - 1);
    for (int i = 0; i < 4; i++) {
        turn();
    }
    length = receive(fd, text);
    must(length > 0 && check_answer(text, length));
    close(fd);
    turn();
    return 0;
}
