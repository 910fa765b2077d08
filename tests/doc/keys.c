/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the configuration's keys, what they hold and their defaults, one a line with tabs between,
 * and checks the files that are given: for check_config.py. */
#include <stdio.h>

#include "daemon/config.h"

static void print_key(void *arg, const char *path, const char *type, const char *default_text)
{
    (void)arg;
    printf("%s\t%s\t%s\n", path, type, default_text);
}

int main(int argc, char **argv)
{
    int status = 0;

    if (argc < 2) {
        fs_config_each_key(print_key, NULL);
    }
    for (int i = 1; i < argc; i++) {
        struct fs_config *config;

        if (fs_config_load(argv[i], stdout, &config, NULL) < 0) {
            status = 1;
        } else {
            fs_config_free(config);
        }
    }
    return status;
}
