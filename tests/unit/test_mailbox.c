/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "farshore/mailbox.h"

#define THREADS 4
#define LETTERS 5000

struct test_letter {
    struct fs_letter letter;
    struct fs_mailbox *mailbox;
    int value;
};

static int delivered[16];
static size_t n_delivered;

static bool readable(const struct fs_mailbox *mailbox)
{
    struct pollfd fd = {.fd = fs_mailbox_fd(mailbox), .events = POLLIN};

    return poll(&fd, 1, 0) == 1;
}

static void deliver(struct fs_letter *letter)
{
    delivered[n_delivered++] = ((struct test_letter *)letter)->value;
}

static void deliver_and_post_again(struct fs_letter *letter)
{
    struct test_letter *test = (struct test_letter *)letter;

    deliver(letter);
    test->letter.deliver = deliver;
    test->value += 100;
    fs_mailbox_post(test->mailbox, letter);
}

static void test_drain_delivers_in_order_of_posting(void **state)
{
    struct fs_mailbox *mailbox = fs_mailbox_new();
    struct test_letter letters[3] = {{.value = 1}, {.value = 2}, {.value = 3}};

    (void)state;
    n_delivered = 0;
    assert_false(readable(mailbox));
    assert_int_equal(fs_mailbox_drain(mailbox), 0);
    for (size_t i = 0; i < 3; i++) {
        letters[i].letter.deliver = deliver;
        fs_mailbox_post(mailbox, &letters[i].letter);
    }
    assert_true(readable(mailbox));
    assert_int_equal(n_delivered, 0);
    assert_int_equal(fs_mailbox_drain(mailbox), 3);
    assert_int_equal(n_delivered, 3);
    assert_int_equal(delivered[0], 1);
    assert_int_equal(delivered[2], 3);
    assert_false(readable(mailbox));
    assert_int_equal(fs_mailbox_drain(mailbox), 0);
    fs_mailbox_free(mailbox);
}

static void test_post_from_deliver_waits_for_the_next_drain(void **state)
{
    struct fs_mailbox *mailbox = fs_mailbox_new();
    struct test_letter letter = {.mailbox = mailbox, .value = 1};

    (void)state;
    n_delivered = 0;
    letter.letter.deliver = deliver_and_post_again;
    fs_mailbox_post(mailbox, &letter.letter);
    assert_int_equal(fs_mailbox_drain(mailbox), 1);
    assert_true(readable(mailbox));
    assert_int_equal(n_delivered, 1);
    assert_int_equal(fs_mailbox_drain(mailbox), 1);
    assert_int_equal(delivered[1], 101);
    assert_false(readable(mailbox));
    fs_mailbox_free(mailbox);
}

static void test_free_with_letters_drops_them(void **state)
{
    struct fs_mailbox *mailbox = fs_mailbox_new();
    struct test_letter letter = {.letter.deliver = deliver};

    (void)state;
    n_delivered = 0;
    fs_mailbox_post(mailbox, &letter.letter);
    fs_mailbox_free(mailbox);
    fs_mailbox_free(NULL);
    assert_int_equal(n_delivered, 0);
}

static size_t counted;
static int next_value[THREADS];

/* Of one thread in order; the value is thread * LETTERS + number. */
static void deliver_counted(struct fs_letter *letter)
{
    struct test_letter *test = (struct test_letter *)letter;

    assert_int_equal(test->value % LETTERS, next_value[test->value / LETTERS]++);
    counted++;
    free(test);
}

struct poster {
    struct fs_mailbox *mailbox;
    int number;
};

static void *post_many(void *arg)
{
    const struct poster *poster = arg;

    for (int i = 0; i < LETTERS; i++) {
        struct test_letter *test = calloc(1, sizeof(*test));

        if (!test) {
            abort();
        }
        test->letter.deliver = deliver_counted;
        test->value = poster->number * LETTERS + i;
        fs_mailbox_post(poster->mailbox, &test->letter);
    }
    return NULL;
}

static void test_post_from_many_threads_loses_nothing(void **state)
{
    struct fs_mailbox *mailbox = fs_mailbox_new();
    struct pollfd fd = {.fd = fs_mailbox_fd(mailbox), .events = POLLIN};
    pthread_t threads[THREADS];
    struct poster posters[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++) {
        posters[i] = (struct poster){mailbox, i};
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, &posters[i]), 0);
    }
    while (counted < (size_t)THREADS * LETTERS) {
        assert_int_equal(poll(&fd, 1, 10000), 1); /* a lost wake-up would end here */
        fs_mailbox_drain(mailbox);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_false(readable(mailbox));
    fs_mailbox_free(mailbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drain_delivers_in_order_of_posting),
        cmocka_unit_test(test_post_from_deliver_waits_for_the_next_drain),
        cmocka_unit_test(test_free_with_letters_drops_them),
        cmocka_unit_test(test_post_from_many_threads_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
