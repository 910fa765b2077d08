/* SPDX-License-Identifier: Apache-2.0 */
#include "farshore/mailbox.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct fs_mailbox {
    int fd; /* set once */

    /* Guarded by lock. The eventfd is non-zero exactly while first is not NULL. */
    pthread_mutex_t lock;
    struct fs_letter *first;
    struct fs_letter **last;
};

struct fs_mailbox *fs_mailbox_new(void)
{
    struct fs_mailbox *mailbox = calloc(1, sizeof(*mailbox));

    if (!mailbox) {
        return NULL;
    }
    mailbox->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (mailbox->fd < 0) {
        free(mailbox);
        return NULL;
    }
    pthread_mutex_init(&mailbox->lock, NULL);
    mailbox->last = &mailbox->first;
    return mailbox;
}

void fs_mailbox_free(struct fs_mailbox *mailbox)
{
    if (!mailbox) {
        return;
    }
    close(mailbox->fd);
    pthread_mutex_destroy(&mailbox->lock);
    free(mailbox);
}

void fs_mailbox_post(struct fs_mailbox *mailbox, struct fs_letter *letter)
{
    letter->next = NULL;
    pthread_mutex_lock(&mailbox->lock);

    bool was_empty = !mailbox->first;

    *mailbox->last = letter;
    mailbox->last = &letter->next;
    /* Under the lock: once the letter can be taken out, the loop may free the mailbox. */
    if (was_empty) {
        eventfd_write(mailbox->fd, 1);
    }
    pthread_mutex_unlock(&mailbox->lock);
}

int fs_mailbox_fd(const struct fs_mailbox *mailbox)
{
    return mailbox->fd;
}

size_t fs_mailbox_drain(struct fs_mailbox *mailbox)
{
    eventfd_t count;
    size_t delivered = 0;

    pthread_mutex_lock(&mailbox->lock);

    struct fs_letter *letter = mailbox->first;

    if (letter) {
        eventfd_read(mailbox->fd, &count);
        mailbox->first = NULL;
        mailbox->last = &mailbox->first;
    }
    pthread_mutex_unlock(&mailbox->lock);

    while (letter) {
        struct fs_letter *next = letter->next;

        letter->deliver(letter);
        delivered++;
        letter = next;
    }
    return delivered;
}
