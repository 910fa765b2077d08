/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/tool/enroll.h"
#include "farshore/file.h"

#define USER       "farshore"
#define CONFIG_MAX (1u << 20)

/* FARSHORE_EXAMPLE_SHA256: of docs/example/farshored.yaml, which the package installs. */
static bool is_example(const char *text)
{
    uint8_t hash[FS_PKI_HASH];
    char hex[2 * FS_PKI_HASH + 1];

    fs_pki_hash(text, strlen(text), hash);
    for (size_t i = 0; i < sizeof(hash); i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    }
    return strcmp(hex, FARSHORE_EXAMPLE_SHA256) == 0;
}

int fs_enroll_place_find(const char *config, struct fs_enroll_place *ret_place,
                         struct fs_error *err)
{
    char directory[sizeof(ret_place->pki) - 8];
    struct fs_error reading = FS_ERROR_INIT;
    char *text;

    ret_place->config = config;
    if (!fs_file_directory(config, directory, sizeof(directory))) {
        return fs_error_set(err, FS_ERR_CONFIG, ENAMETOOLONG, "the path %s is too long", config);
    }
    (void)snprintf(ret_place->pki, sizeof(ret_place->pki), "%s/pki", directory);
    int rc = fs_file_read(config, CONFIG_MAX, &text, &reading);
    if (rc == -ENOENT) {
        return 0;
    }
    if (rc < 0) {
        *err = reading;
        return rc;
    }
    bool example = is_example(text);
    free(text);
    return example ? 0
                   : fs_error_set(err, FS_ERR_CONFIG, EEXIST,
                                  "there is a configuration already, %s", config);
}

/* The daemon's user has what lies in the directory, as the directory itself. */
static void give(const char *path)
{
    /* A single-threaded program. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    const struct passwd *user = geteuid() == 0 ? getpwnam(USER) : NULL;

    /* Where there is no such user the daemon runs as somebody who can read it anyway. */
    if (user && lchown(path, user->pw_uid, user->pw_gid) < 0) {
        (void)fprintf(stderr, "farshore: cannot give %s to user " USER ": %s\n", path,
                      strerror(errno));
    }
}

static int make_directory(const char *path, mode_t mode, struct fs_error *err)
{
    if (mkdir(path, mode) < 0 && errno != EEXIST) {
        return fs_error_set(err, FS_ERR_CONFIG, errno, "cannot make %s: %s", path, strerror(errno));
    }
    return 0;
}

int fs_enroll_place_put(const struct fs_enroll_place *place, const char *name, const char *suffix,
                        const char *text, struct fs_error *err)
{
    bool is_key = strcmp(suffix, "key") == 0;
    char path[PATH_MAX], directory[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/%s.%s", place->pki, name, suffix);
    if (!fs_file_directory(place->pki, directory, sizeof(directory))) {
        return fs_error_set(err, FS_ERR_CONFIG, ENAMETOOLONG, "the path %s is too long", path);
    }
    int rc = make_directory(directory, 0755, err);
    if (rc == 0) {
        rc = make_directory(place->pki, 0700, err);
    }
    if (rc < 0) {
        return rc;
    }
    give(place->pki);
    if (is_key && access(path, F_OK) == 0) {
        return fs_error_set(err, FS_ERR_CONFIG, EEXIST,
                            "%s is there already: move it away where this site is to begin anew",
                            path);
    }
    rc = fs_file_replace(path, text, is_key ? 0600 : 0644, err);
    if (rc == 0) {
        give(path);
    }
    return rc;
}

void fs_enroll_place_give_all(const struct fs_enroll_place *place)
{
    DIR *directory = opendir(place->pki);
    const struct dirent *entry;
    char path[PATH_MAX];

    /* A single-threaded program. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    while (directory && (entry = readdir(directory))) {
        if (entry->d_name[0] != '.') {
            (void)snprintf(path, sizeof(path), "%s/%s", place->pki, entry->d_name);
            give(path);
        }
    }
    if (directory) {
        (void)closedir(directory);
    }
}

/* --- the configuration ----------------------------------------------------------------------- */

extern char **environ;

/* Beside this program, as it is installed and as the build tree has it; false: nowhere. */
static bool find_daemon(char *ret_path, size_t size)
{
    static const char *const places[] = {"/farshored", "/../sbin/farshored", "/../farshored"};
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (length <= 0) {
        return false;
    }
    self[length] = '\0';
    *strrchr(self, '/') = '\0';
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        (void)snprintf(ret_path, size, "%.*s%s", (int)(size - 32), self, places[i]);
        if (access(ret_path, X_OK) == 0) {
            return true;
        }
    }
    return false;
}

/* What it finds is on standard error already. */
static bool passes(const char *daemon, const char *config)
{
    char *arguments[] = {(char *)daemon, (char *)"--check", (char *)"-c", (char *)config, NULL};
    posix_spawn_file_actions_t actions;
    int status = -1;
    pid_t pid;

    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (posix_spawn(&pid, daemon, &actions, NULL, arguments, environ) == 0) {
        (void)waitpid(pid, &status, 0);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return status == 0;
}

int fs_enroll_place_configure(const struct fs_enroll_place *place, const char *text,
                              struct fs_error *err)
{
    char tried[PATH_MAX], daemon[PATH_MAX];

    (void)snprintf(tried, sizeof(tried), "%s.tried", place->config);
    int rc = fs_file_replace(tried, text, 0640, err);
    if (rc == 0 && find_daemon(daemon, sizeof(daemon)) && !passes(daemon, tried)) {
        rc = fs_error_set(err, FS_ERR_CONFIG, EINVAL,
                          "the configuration that was to be written has mistakes, see above: it is "
                          "left as %s",
                          tried);
        return rc;
    }
    if (rc == 0) {
        /* Root's, and readable by the daemon. NOLINTNEXTLINE(concurrency-mt-unsafe) */
        const struct passwd *user = geteuid() == 0 ? getpwnam(USER) : NULL;
        if ((user && chown(tried, (uid_t)-1, user->pw_gid) < 0) ||
            rename(tried, place->config) < 0) {
            rc = fs_error_set(err, FS_ERR_CONFIG, errno, "cannot write %s: %s", place->config,
                              strerror(errno));
        }
    }
    return rc;
}
