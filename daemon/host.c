/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HELPER "farshore-take"

char *fs_helper_path(char ret_path[FS_HELPER_PATH_MAX])
{
    /* Beside the installed or copied executable, and as the build tree has them. */
    static const char *const beside[] = {"/" HELPER, "/../snapshot/" HELPER};
    const char *given = getenv("FARSHORE_TAKE");
    char self[PATH_MAX / 2];

    if (given && *given) {
        (void)snprintf(ret_path, FS_HELPER_PATH_MAX, "%s", given);
        return ret_path;
    }
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length > 0) {
        self[length] = '\0';
        char *slash = strrchr(self, '/');
        if (slash) {
            *slash = '\0';
        }
        for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
            (void)snprintf(ret_path, FS_HELPER_PATH_MAX, "%s%s", self, beside[i]);
            if (access(ret_path, X_OK) == 0) {
                return ret_path;
            }
        }
    }
    (void)snprintf(ret_path, FS_HELPER_PATH_MAX, "%s", FARSHORE_LIBEXECDIR "/" HELPER);
    return ret_path;
}

char *fs_daemon_key(const char *control, char ret_key[FS_DAEMON_KEY_MAX])
{
    char machine[128] = "";
    FILE *file = fopen("/etc/machine-id", "re");

    if (file) {
        if (fgets(machine, sizeof(machine), file)) {
            machine[strcspn(machine, "\n")] = '\0';
        }
        (void)fclose(file);
    }
    if (!machine[0] && gethostname(machine, sizeof(machine) - 1) < 0) {
        (void)snprintf(machine, sizeof(machine), "unknown");
    }
    (void)snprintf(ret_key, FS_DAEMON_KEY_MAX, "%s:%s", machine, control);
    return ret_key;
}

int64_t fs_monotonic_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
