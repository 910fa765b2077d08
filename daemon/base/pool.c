/* SPDX-License-Identifier: Apache-2.0 */
#include "farshore/pool.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct fs_pool {
    /* Set once. */
    struct fs_mailbox *mailbox;
    size_t n_threads;
    char name[16];

    /* Guarded by lock. */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct fs_job *first;
    struct fs_job **last;
    size_t busy;
    bool stopping;

    pthread_t threads[];
};

static void deliver(struct fs_letter *letter)
{
    struct fs_job *job = (struct fs_job *)((char *)letter - offsetof(struct fs_job, letter));

    job->done(job);
}

/* The last access to the job: the loop may free it as soon as it is posted. */
static void complete(struct fs_job *job)
{
    job->letter.deliver = deliver;
    fs_mailbox_post(job->mailbox, &job->letter);
}

static void *work(void *arg)
{
    struct fs_pool *pool = arg;

    pthread_setname_np(pthread_self(), pool->name);
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct fs_job *job = pool->first;

        if (!job) {
            if (pool->stopping) {
                break;
            }
            pthread_cond_wait(&pool->wake, &pool->lock);
            continue;
        }
        pool->first = job->next;
        if (!pool->first) {
            pool->last = &pool->first;
        }
        pthread_mutex_unlock(&pool->lock);

        job->run(job);

        pthread_mutex_lock(&pool->lock);
        pool->busy--;
        /* Under the lock, so that who reads busy as 0 finds every completion in the mailbox. */
        complete(job);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Signals are the loop's: a worker blocks them all. Returns 0 or a positive errno. */
static int start_threads(struct fs_pool *pool, size_t threads)
{
    sigset_t all;
    sigset_t before;
    int rc = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (rc == 0 && pool->n_threads < threads) {
        rc = pthread_create(&pool->threads[pool->n_threads], NULL, work, pool);
        if (rc == 0) {
            pool->n_threads++;
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

struct fs_pool *fs_pool_new(const char *name, size_t threads, struct fs_mailbox *mailbox)
{
    struct fs_pool *pool = calloc(1, sizeof(*pool) + threads * sizeof(pool->threads[0]));

    if (!pool) {
        return NULL;
    }
    pool->mailbox = mailbox;
    snprintf(pool->name, sizeof(pool->name), "%s", name);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pool->last = &pool->first;

    int rc = start_threads(pool, threads);

    if (rc != 0) {
        fs_pool_free(pool);
        errno = rc;
        return NULL;
    }
    return pool;
}

void fs_pool_submit(struct fs_pool *pool, struct fs_job *job)
{
    job->mailbox = pool->mailbox;
    job->next = NULL;
    if (pool->n_threads == 0) {
        job->run(job);
        complete(job);
        return;
    }

    pthread_mutex_lock(&pool->lock);
    assert(!pool->stopping);
    *pool->last = job;
    pool->last = &job->next;
    pool->busy++;
    pthread_cond_signal(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

size_t fs_pool_threads(const struct fs_pool *pool)
{
    return pool->n_threads;
}

size_t fs_pool_busy(const struct fs_pool *pool)
{
    struct fs_pool *mutable = (struct fs_pool *)pool;

    pthread_mutex_lock(&mutable->lock);

    size_t busy = pool->busy;

    pthread_mutex_unlock(&mutable->lock);
    return busy;
}

void fs_pool_free(struct fs_pool *pool)
{
    if (!pool) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (size_t i = 0; i < pool->n_threads; i++) {
        pthread_join(pool->threads[i], NULL);
    }
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}
