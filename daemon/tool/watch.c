/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/tool/watch.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "daemon/tool/client.h"
#include "daemon/tool/frame.h"
#include "daemon/tool/show.h"
#include "farshore/clock.h"

#define EVERY_MS 2000
#define ANSWER_S 5.0

/* The other screen and no cursor; and back. */
#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[?25h\033[?1049l"

struct watch {
    const char *socket_path;
    const json_t *request;
    json_t *document; /* owned; the newest one */
    char notice[sizeof(((struct fs_error *)0)->message)];
    int signals;
    struct fs_frame frame;
};

static void write_all(const void *data, size_t length)
{
    const char *at = data;

    while (length > 0) {
        ssize_t n = write(STDOUT_FILENO, at, length);
        if (n < 0 && errno != EINTR) {
            return; /* nobody looks any more; poll says so */
        }
        at += n > 0 ? n : 0;
        length -= n > 0 ? (size_t)n : 0;
    }
}

/* Exit status of the request. A failure leaves the document of before. */
static int ask(struct watch *watch)
{
    struct fs_client_answer answer;
    struct fs_error err = FS_ERROR_INIT;

    fs_client_ask(watch->socket_path, watch->request, ANSWER_S, NULL, NULL, &answer, &err);
    snprintf(watch->notice, sizeof(watch->notice), "%s", err.message);
    if (answer.exit == FS_EXIT_DONE) {
        json_decref(watch->document);
        watch->document = answer.result;
    } else {
        json_decref(answer.result);
    }
    return answer.exit;
}

static double wall_s(void)
{
    return (double)fs_clock_wall(fs_clock_system()) / (double)FS_SEC;
}

static void draw(struct watch *watch)
{
    struct fs_buf out = FS_BUF_INIT;
    struct winsize size;

    watch->frame.lines = 24;
    watch->frame.columns = 80;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) {
        watch->frame.lines = size.ws_row;
        watch->frame.columns = size.ws_col;
    }
    watch->frame.notice = watch->notice[0] ? watch->notice : NULL;
    fs_buf_printf(&out, "\033[H");
    fs_frame_render(watch->document, wall_s(), &watch->frame, &out);
    if (!out.failed) {
        write_all(out.data, out.length);
    }
    fs_buf_fini(&out);
}

static void scroll(struct watch *watch, long by)
{
    size_t *at = &watch->frame.scroll;

    if (by < 0) {
        size_t up = (size_t)-by;
        *at = *at > up ? *at - up : 0;
    } else {
        *at += (size_t)by; /* drawing takes back what is too much */
    }
}

/* False: the user wants to go. */
static bool take_keys(struct watch *watch)
{
    static const struct {
        const char *keys;
        long by; /* 0: a screen up, 1 and -1: a line */
        bool page;
    } moves[] = {
        {"\033[A", -1, false}, {"\033OA", -1, false}, {"k", -1, false},      {"\033[B", 1, false},
        {"\033OB", 1, false},  {"j", 1, false},       {"\033[5~", -1, true}, {"\033[6~", 1, true},
    };
    char keys[32] = "";
    ssize_t n = read(STDIN_FILENO, keys, sizeof(keys) - 1);

    if (n == 0 || (n < 0 && errno != EINTR) || strcmp(keys, "\033") == 0 || strchr(keys, 'q')) {
        return false;
    }
    for (size_t i = 0; i < sizeof(moves) / sizeof(moves[0]); i++) {
        if (strcmp(keys, moves[i].keys) == 0) {
            long page = watch->frame.lines > 5 ? (long)watch->frame.lines - 5 : 1;
            scroll(watch, moves[i].page ? moves[i].by * page : moves[i].by);
        }
    }
    return true;
}

/* False: a signal ends it. A change of the window's size only wakes us. */
static bool take_signal(const struct watch *watch)
{
    struct signalfd_siginfo info;

    return read(watch->signals, &info, sizeof(info)) == sizeof(info) && info.ssi_signo == SIGWINCH;
}

/* Until it is time to ask again; false: to go. */
static bool wait_and_draw(struct watch *watch, bool screen)
{
    int64_t until_ns = fs_clock_boot(fs_clock_system()) + EVERY_MS * FS_MSEC;

    for (;;) {
        int64_t left = until_ns - fs_clock_boot(fs_clock_system());
        struct pollfd ready[] = {{.fd = watch->signals, .events = POLLIN},
                                 {.fd = screen ? STDIN_FILENO : -1, .events = POLLIN}};
        if (left <= 0) {
            return true;
        }
        if (poll(ready, 2, (int)(left / FS_MSEC) + 1) < 0) {
            continue;
        }
        if ((ready[0].revents && !take_signal(watch)) || (ready[1].revents && !take_keys(watch))) {
            return false;
        }
        if (screen && (ready[0].revents || ready[1].revents)) {
            draw(watch);
        }
    }
}

/* Signals as something to read: what they interrupt ends in order, with the terminal as it was. */
static int take_signals(struct watch *watch)
{
    static const int wanted[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        sigaddset(&set, wanted[i]);
    }
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) {
        return -errno;
    }
    sigdelset(&set, SIGTSTP); /* it stays blocked: a stopped one would leave the screen as it is */
    watch->signals = signalfd(-1, &set, SFD_CLOEXEC);
    return watch->signals < 0 ? -errno : 0;
}

static int run_screen(struct watch *watch)
{
    struct termios before, raw;

    if (tcgetattr(STDIN_FILENO, &before) < 0) {
        perror("farshore: standard input is no terminal");
        return FS_EXIT_FAILED;
    }
    raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    write_all(ENTER, strlen(ENTER));
    do {
        draw(watch);
        if (!wait_and_draw(watch, true)) {
            break;
        }
        (void)ask(watch);
    } while (true);
    write_all(LEAVE, strlen(LEAVE));
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
    return FS_EXIT_DONE;
}

static int run_lines(struct watch *watch)
{
    int status;

    do {
        fs_show_status(watch->document, false, stdout);
        putchar('\n');
        if (fflush(stdout) != 0) {
            return FS_EXIT_FAILED; /* nobody reads any more */
        }
        if (!wait_and_draw(watch, false)) {
            return FS_EXIT_DONE;
        }
        status = ask(watch);
    } while (status == FS_EXIT_DONE);
    fprintf(stderr, "farshore: %s\n", watch->notice);
    return status;
}

int fs_watch(const char *socket_path, const json_t *request, bool colour)
{
    struct watch watch = {
        .socket_path = socket_path, .request = request, .frame = {.colour = colour}};
    int status = ask(&watch);

    if (status != FS_EXIT_DONE) {
        fprintf(stderr, "farshore: %s\n", watch.notice);
        return status;
    }
    if (take_signals(&watch) < 0) {
        perror("farshore: signals");
        status = FS_EXIT_FAILED;
    } else {
        status =
            isatty(STDOUT_FILENO) && isatty(STDIN_FILENO) ? run_screen(&watch) : run_lines(&watch);
        close(watch.signals);
    }
    json_decref(watch.document);
    return status;
}
