/* SPDX-License-Identifier: Apache-2.0 */
#include "farshore/file.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int failed(struct fs_error *err, int code, const char *doing, const char *path)
{
    return fs_error_set(err, fs_error_class_of(code), code, "cannot %s %s: %s", doing, path,
                        strerror(code));
}

bool fs_file_directory(const char *path, char *ret_directory, size_t size)
{
    const char *slash = strrchr(path, '/');
    size_t length = !slash ? 1 : slash == path ? 1 : (size_t)(slash - path);

    if (length >= size) {
        return false;
    }
    memcpy(ret_directory, slash ? path : ".", length);
    ret_directory[length] = '\0';
    return true;
}

/* What was done to the names in a directory is durable. */
static int sync_directory_of(const char *path)
{
    char directory[PATH_MAX];

    if (!fs_file_directory(path, directory, sizeof(directory))) {
        return -ENAMETOOLONG;
    }
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) < 0 ? -errno : 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return rc;
}

int fs_file_read(const char *path, size_t limit, char **ret_text, struct fs_error *err)
{
    FILE *file = fopen(path, "re");
    char *text = NULL;
    int rc = 0;

    *ret_text = NULL;
    if (!file) {
        return failed(err, errno, "read", path);
    }
    text = malloc(limit + 2);
    if (!text) {
        (void)fclose(file);
        return failed(err, ENOMEM, "read", path);
    }
    size_t length = fread(text, 1, limit + 1, file);
    if (ferror(file)) {
        rc = failed(err, errno ? errno : EIO, "read", path);
    } else if (length > limit) {
        rc = failed(err, EFBIG, "read", path);
    }
    (void)fclose(file);
    if (rc < 0) {
        free(text);
        return rc;
    }
    text[length] = '\0';
    *ret_text = text;
    return 0;
}

static int write_all(int fd, const char *text)
{
    size_t length = strlen(text), at = 0;

    while (at < length) {
        ssize_t n = write(fd, text + at, length - at);
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        at += n > 0 ? (size_t)n : 0;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

int fs_file_replace(const char *path, const char *text, mode_t mode, struct fs_error *err)
{
    char next[PATH_MAX];
    struct stat old;

    if (snprintf(next, sizeof(next), "%s.new.XXXXXX", path) >= (int)sizeof(next)) {
        return failed(err, ENAMETOOLONG, "write", path);
    }
    int fd = mkostemp(next, O_CLOEXEC);
    if (fd < 0) {
        return failed(err, errno, "write", path);
    }
    int rc = fchmod(fd, mode) < 0 ? -errno : 0;
    if (rc == 0 && stat(path, &old) == 0 && fchown(fd, old.st_uid, old.st_gid) < 0 &&
        errno != EPERM) {
        rc = -errno;
    }
    if (rc == 0) {
        rc = write_all(fd, text);
    }
    (void)close(fd);
    if (rc == 0 && rename(next, path) < 0) {
        rc = -errno;
    }
    if (rc == 0) {
        rc = sync_directory_of(path);
    } else {
        (void)unlink(next);
    }
    return rc < 0 ? failed(err, -rc, "write", path) : 0;
}

int fs_file_remove(const char *path, struct fs_error *err)
{
    int rc = unlink(path) < 0 ? -errno : sync_directory_of(path);

    return rc < 0 ? failed(err, -rc, "remove", path) : 0;
}
