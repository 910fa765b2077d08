/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors: what went wrong, how to go on from it, and what to tell the operator.
 *
 * Functions return 0 or -errno and, where a message matters, fill a struct fs_error that the
 * caller owns. Nothing here allocates, so the failure path cannot fail. Any thread.
 */
#ifndef FARSHORE_ERROR_H
#define FARSHORE_ERROR_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>

/* The class decides what the caller does next. */
enum fs_error_class {
    FS_ERR_NONE = 0,
    FS_ERR_TRANSIENT, /* retry with back-off: a cluster or a peer that is away, a full pool */
    FS_ERR_PEER,      /* the peer broke the protocol or refused: end the session or the transfer */
    FS_ERR_CONFIG,    /* the operator must change the configuration or the object that is named */
    FS_ERR_DATA,      /* integrity: stop the group and alert */
    FS_ERR_PERMANENT, /* retrying the same thing cannot help */
    FS_ERR_CANCELLED, /* we were told to stop */
    FS_ERR_BUG,       /* our own mistake */
};

struct fs_error {
    enum fs_error_class class;
    int code;          /* positive errno */
    char message[512]; /* for the operator: what failed and what to do; always terminated */
};

#define FS_ERROR_INIT ((struct fs_error){0})

/*
 * Fill *err unless it already holds an error (the first one wins). err may be NULL.
 * Returns -code, so that "return fs_error_set(...)" reads well; code must be positive.
 */
int fs_error_set(struct fs_error *err, enum fs_error_class class, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Put "context: " before the message of an error on its way up. No effect on an empty one. */
void fs_error_context(struct fs_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The class of an errno that Ceph or the kernel returned: transient or permanent. */
enum fs_error_class fs_error_class_of(int code);

/* "transient", "peer", ...: for logs and the label of farshore_sync_failures_total. */
const char *fs_error_class_name(enum fs_error_class class);

static inline bool fs_error_is_set(const struct fs_error *err)
{
    return err->class != FS_ERR_NONE;
}

#endif
