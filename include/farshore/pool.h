/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker threads for what blocks and for what burns CPU. A job's input is moved in and its result
 * moved out: while it is queued or running nobody else touches it.
 */
#ifndef FARSHORE_POOL_H
#define FARSHORE_POOL_H

#include <stddef.h>

#include "farshore/mailbox.h"

/* Embedded in the object that a job works on. */
struct fs_job {
    struct fs_letter letter;
    void (*run)(struct fs_job *job);  /* WORKER */
    void (*done)(struct fs_job *job); /* LOOP, always called once; owns the job again */
    struct fs_mailbox *mailbox;
    struct fs_job *next;
};

struct fs_pool;

/*
 * threads 0 runs each job inside fs_pool_submit and posts its completion: deterministic, for
 * scenario tests. The mailbox is borrowed. name shows in the thread names (15 characters).
 */
struct fs_pool *fs_pool_new(const char *name, size_t threads, struct fs_mailbox *mailbox);
/* LOOP. Jobs run in the order of submission, as threads come free. */
void fs_pool_submit(struct fs_pool *pool, struct fs_job *job);
/* 0 where jobs run inside fs_pool_submit. */
size_t fs_pool_threads(const struct fs_pool *pool);
/* LOOP. Jobs queued or running now. */
size_t fs_pool_busy(const struct fs_pool *pool);
/* Waits for running jobs; queued ones run too. Completions are left in the mailbox. */
void fs_pool_free(struct fs_pool *pool);

#endif
