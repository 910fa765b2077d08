/* SPDX-License-Identifier: Apache-2.0 */
#include "farshore/fault.h"

/* A build without faults has nothing in this file. */
typedef int fs_fault_not_empty;

#ifdef FARSHORE_FAULTS

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "farshore/clock.h"

#define TEXT_SIZE 128

const struct fs_fault_step fs_fault_steps[] = {
#define FS_FAULT_STEP(name, who, meaning) {(name), #who, (meaning)},
    FS_FAULTS(FS_FAULT_STEP)
#undef FS_FAULT_STEP
        {NULL, NULL, NULL},
};

/* Guarded by the lock: helpers and workers pass from several threads. */
static struct {
    pthread_mutex_t lock;
    fs_fault_fn *hook;
    void *hook_arg;
    char armed[TEXT_SIZE]; /* STEP[:NTH] that is being counted */
    unsigned long passed;  /* passages of it so far */
} faults = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void check_known(const char *step)
{
    for (size_t i = 0; fs_fault_steps[i].name; i++) {
        if (strcmp(fs_fault_steps[i].name, step) == 0) {
            return;
        }
    }
    (void)fprintf(stderr, "fault: there is no step \"%s\"\n", step);
    abort();
}

/* The first line of a small file, "" where there is none. */
static void read_text(const char *path, char ret_text[TEXT_SIZE])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, ret_text, TEXT_SIZE - 1) : 0;

    if (fd >= 0) {
        (void)close(fd);
    }
    ret_text[length > 0 ? length : 0] = '\0';
    ret_text[strcspn(ret_text, "\n")] = '\0';
}

/* Whether the armed passage is this one. */
static bool is_due(const char *armed, const char *step)
{
    char name[TEXT_SIZE];
    unsigned long nth = 1;
    const char *colon = strchr(armed, ':');

    (void)snprintf(name, sizeof(name), "%.*s", (int)(colon ? colon - armed : (long)strlen(armed)),
                   armed);
    check_known(name);
    if (colon) {
        nth = strtoul(colon + 1, NULL, 10);
    }
    if (strcmp(faults.armed, armed) != 0) {
        (void)snprintf(faults.armed, sizeof(faults.armed), "%s", armed);
        faults.passed = 0;
    }
    return strcmp(name, step) == 0 && ++faults.passed == nth;
}

/* Cut " stop" off the text; whether it was there. */
static bool cut_stop(char text[TEXT_SIZE])
{
    char *space = strchr(text, ' ');
    bool stop = space && strcmp(space, " stop") == 0;

    if (stop) {
        *space = '\0';
    }
    return stop;
}

static void die(const char *step, const char *file, bool stop)
{
    /* Whoever removes the file is the one that dies of it. */
    if (file && unlink(file) != 0) {
        return;
    }
    if (stop) {
        (void)kill(getpid(), SIGSTOP);
        return;
    }
    (void)fprintf(stderr, "fault: process %d ends at %s\n", (int)getpid(), step);
    (void)kill(getpid(), SIGKILL);
    for (;;) { /* nothing of this process happens after the step */
        (void)pause();
    }
}

void fs_fault(const char *step)
{
    const char *what = getenv("FARSHORE_FAULT");
    char text[TEXT_SIZE];

    check_known(step);
    (void)pthread_mutex_lock(&faults.lock);
    if (faults.hook) {
        fs_fault_fn *hook = faults.hook;

        (void)pthread_mutex_unlock(&faults.lock);
        hook(faults.hook_arg, step);
        return;
    }
    if (what && what[0] == '@') {
        read_text(what + 1, text);
        bool stop = cut_stop(text);
        if (text[0] && is_due(text, step)) {
            die(step, what + 1, stop);
        }
    } else if (what && what[0] && is_due(what, step)) {
        die(step, NULL, false);
    }
    (void)pthread_mutex_unlock(&faults.lock);
}

void fs_fault_set_hook(fs_fault_fn *hook, void *arg)
{
    (void)pthread_mutex_lock(&faults.lock);
    faults.hook = hook;
    faults.hook_arg = arg;
    (void)pthread_mutex_unlock(&faults.lock);
}

int64_t fs_fault_wall_offset_ns(void)
{
    const char *file = getenv("FARSHORE_FAULT_CLOCK");
    char text[TEXT_SIZE];

    if (!file || !file[0]) {
        return 0;
    }
    read_text(file, text);
    return (int64_t)(strtod(text, NULL) * (double)FS_SEC);
}

#endif
