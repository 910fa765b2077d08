/* SPDX-License-Identifier: Apache-2.0 */
#include "farshore/error.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* A message that was cut may end in half a character, and what is not UTF-8 cannot be in JSON. */
static void trim_utf8(char *text)
{
    size_t length = strlen(text);
    size_t start = length;

    while (start > 0 && length - start < 4 && ((unsigned char)text[start - 1] & 0xc0) == 0x80) {
        start--;
    }
    if (start == 0) {
        return;
    }
    start--;

    unsigned char lead = (unsigned char)text[start];
    size_t need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;

    if (need > length - start) {
        text[start] = '\0';
    }
}

int fs_error_set(struct fs_error *err, enum fs_error_class class, int code, const char *format, ...)
{
    assert(code > 0);
    assert(class != FS_ERR_NONE);
    if (err && err->class == FS_ERR_NONE) {
        va_list args;

        err->class = class;
        err->code = code;
        va_start(args, format);
        int length = vsnprintf(err->message, sizeof(err->message), format, args);
        va_end(args);
        if (length < 0) {
            err->message[0] = '\0';
        } else if ((size_t)length >= sizeof(err->message)) {
            trim_utf8(err->message);
        }
    }
    return -code;
}

void fs_error_context(struct fs_error *err, const char *format, ...)
{
    if (!err || err->class == FS_ERR_NONE) {
        return;
    }

    char whole[sizeof(err->message)];
    va_list args;

    va_start(args, format);
    int length = vsnprintf(whole, sizeof(whole), format, args);
    va_end(args);
    if (length < 0) {
        return;
    }

    size_t used = strlen(whole);
    int more = snprintf(whole + used, sizeof(whole) - used, ": %s", err->message);

    if (more < 0) {
        return;
    }
    if ((size_t)length >= sizeof(whole) || used + (size_t)more >= sizeof(whole)) {
        trim_utf8(whole);
    }
    memcpy(err->message, whole, strlen(whole) + 1);
}

enum fs_error_class fs_error_class_of(int code)
{
    switch (code < 0 ? -code : code) {
    case 0:
        return FS_ERR_NONE;
    case EAGAIN:
    case EBUSY:
    case ECANCELED: /* RADOS: a guard did not hold, someone else was faster */
    case ECONNABORTED:
    case ECONNREFUSED:
    case ECONNRESET:
    case EDQUOT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case EINTR:
    case EMFILE:
    case ENETDOWN:
    case ENETRESET:
    case ENETUNREACH:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case ENOSPC:
    case ENOTCONN:
    case EPIPE:
    case EROFS:     /* librbd: the image's lock is someone else's at the moment */
    case ESHUTDOWN: /* we are blocklisted: a new connection helps */
    case ESTALE:
    case ETIMEDOUT:
        return FS_ERR_TRANSIENT;
    default:
        return FS_ERR_PERMANENT;
    }
}

const char *fs_error_class_name(enum fs_error_class class)
{
    switch (class) {
    case FS_ERR_NONE:
        return "none";
    case FS_ERR_TRANSIENT:
        return "transient";
    case FS_ERR_PEER:
        return "peer";
    case FS_ERR_CONFIG:
        return "config";
    case FS_ERR_DATA:
        return "data";
    case FS_ERR_PERMANENT:
        return "permanent";
    case FS_ERR_CANCELLED:
        return "cancelled";
    case FS_ERR_BUG:
        return "bug";
    }
    return "unknown";
}
