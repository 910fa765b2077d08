/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How other threads hand results to the loop: letters that carry their own function, a lock and
 * an eventfd. Posting never blocks and never allocates, so Ceph's callbacks may do it.
 */
#ifndef FARSHORE_MAILBOX_H
#define FARSHORE_MAILBOX_H

#include <stddef.h>

struct fs_mailbox;

/* Embedded in the object that travels; belongs to the mailbox from post until deliver runs. */
struct fs_letter {
    struct fs_letter *next;
    void (*deliver)(struct fs_letter *letter); /* LOOP; the letter belongs to it again */
};

/* NULL with errno set. */
struct fs_mailbox *fs_mailbox_new(void);
/* Nobody may post any more; undelivered letters are dropped. */
void fs_mailbox_free(struct fs_mailbox *mailbox);
/* ANY thread. */
void fs_mailbox_post(struct fs_mailbox *mailbox, struct fs_letter *letter);
/* Readable while letters wait; belongs to the mailbox. */
int fs_mailbox_fd(const struct fs_mailbox *mailbox);
/* LOOP: delivers what was posted before the call; returns how many. */
size_t fs_mailbox_drain(struct fs_mailbox *mailbox);

#endif
