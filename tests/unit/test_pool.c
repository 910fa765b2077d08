/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "farshore/pool.h"

struct test_job {
    struct fs_job job;
    int number;
    pthread_t ran_on;
    char thread_name[16];
    bool signals_blocked;
    sem_t *started, *go; /* NULL: do not wait */
    bool ran;
};

static int done[64];
static size_t n_done;
static int run_order[64];
static atomic_size_t n_run;

static void run(struct fs_job *job)
{
    struct test_job *test = (struct test_job *)job;
    sigset_t blocked;

    test->ran_on = pthread_self();
    pthread_getname_np(pthread_self(), test->thread_name, sizeof(test->thread_name));
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    test->signals_blocked = sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGHUP);
    if (test->started) {
        sem_post(test->started);
        sem_wait(test->go);
    }
    run_order[atomic_fetch_add(&n_run, 1)] = test->number;
    test->ran = true;
}

static void finish(struct fs_job *job)
{
    struct test_job *test = (struct test_job *)job;

    assert_true(test->ran);
    done[n_done++] = test->number;
}

static struct test_job job_of(int number)
{
    return (struct test_job){.job = {.run = run, .done = finish}, .number = number};
}

static void drain(struct fs_mailbox *mailbox, size_t expected)
{
    struct pollfd fd = {.fd = fs_mailbox_fd(mailbox), .events = POLLIN};

    while (n_done < expected) {
        assert_int_equal(poll(&fd, 1, 10000), 1);
        fs_mailbox_drain(mailbox);
    }
}

static int setup(void **state)
{
    *state = fs_mailbox_new();
    n_done = 0;
    n_run = 0;
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    fs_mailbox_free(*state);
    return 0;
}

static void test_submit_without_threads_runs_inside_and_posts(void **state)
{
    struct fs_pool *pool = fs_pool_new("none", 0, *state);
    struct test_job first = job_of(1);
    struct test_job second = job_of(2);

    fs_pool_submit(pool, &first.job);
    assert_true(first.ran);
    assert_true(pthread_equal(first.ran_on, pthread_self()));
    fs_pool_submit(pool, &second.job);
    assert_int_equal(n_done, 0);
    assert_int_equal(fs_pool_busy(pool), 0);
    assert_int_equal(fs_mailbox_drain(*state), 2);
    assert_int_equal(done[0], 1);
    assert_int_equal(done[1], 2);
    fs_pool_free(pool);
}

static void test_submit_runs_on_a_named_thread_with_signals_blocked(void **state)
{
    struct fs_pool *pool = fs_pool_new("a-name-that-is-too-long", 1, *state);
    struct test_job job = job_of(1);

    assert_non_null(pool);
    fs_pool_submit(pool, &job.job);
    drain(*state, 1);
    assert_false(pthread_equal(job.ran_on, pthread_self()));
    assert_string_equal(job.thread_name, "a-name-that-is-");
    assert_true(job.signals_blocked);
    assert_int_equal(fs_pool_busy(pool), 0);
    fs_pool_free(pool);
}

static void test_busy_counts_queued_and_running(void **state)
{
    struct fs_pool *pool = fs_pool_new("one", 1, *state);
    sem_t started;
    sem_t go;
    struct test_job jobs[3] = {job_of(0), job_of(1), job_of(2)};

    sem_init(&started, 0, 0);
    sem_init(&go, 0, 0);
    jobs[0].started = &started;
    jobs[0].go = &go;
    assert_int_equal(fs_pool_busy(pool), 0);
    for (size_t i = 0; i < 3; i++) {
        fs_pool_submit(pool, &jobs[i].job);
    }
    sem_wait(&started);
    assert_int_equal(fs_pool_busy(pool), 3);
    assert_false(jobs[1].ran);
    sem_post(&go);
    drain(*state, 3);
    assert_int_equal(fs_pool_busy(pool), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(run_order[i], i);
        assert_int_equal(done[i], i);
    }
    fs_pool_free(pool);
    sem_destroy(&started);
    sem_destroy(&go);
}

static void test_jobs_on_several_threads_run_at_once(void **state)
{
    struct fs_pool *pool = fs_pool_new("two", 2, *state);
    sem_t started;
    sem_t go;
    struct test_job jobs[2] = {job_of(0), job_of(1)};

    sem_init(&started, 0, 0);
    sem_init(&go, 0, 0);
    for (size_t i = 0; i < 2; i++) {
        jobs[i].started = &started;
        jobs[i].go = &go;
        fs_pool_submit(pool, &jobs[i].job);
    }
    /* Both are inside run before either may go on. */
    sem_wait(&started);
    sem_wait(&started);
    sem_post(&go);
    sem_post(&go);
    drain(*state, 2);
    assert_false(pthread_equal(jobs[0].ran_on, jobs[1].ran_on));
    fs_pool_free(pool);
    sem_destroy(&started);
    sem_destroy(&go);
}

static void test_free_runs_what_is_queued_and_leaves_completions(void **state)
{
    struct fs_pool *pool = fs_pool_new("one", 1, *state);
    struct test_job jobs[32];

    for (int i = 0; i < 32; i++) {
        jobs[i] = job_of(i);
        fs_pool_submit(pool, &jobs[i].job);
    }
    fs_pool_free(pool);
    fs_pool_free(NULL);
    assert_int_equal(n_run, 32);
    assert_int_equal(n_done, 0);
    assert_int_equal(fs_mailbox_drain(*state), 32);
    assert_int_equal(n_done, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_submit_without_threads_runs_inside_and_posts, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_submit_runs_on_a_named_thread_with_signals_blocked,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_busy_counts_queued_and_running, setup, teardown),
        cmocka_unit_test_setup_teardown(test_jobs_on_several_threads_run_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_runs_what_is_queued_and_leaves_completions, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
