/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: whatever the file holds, there is a configuration or an error with a text. */
#include <stdlib.h>
#include <string.h>

#include "daemon/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fs_error err = FS_ERROR_INIT;
    struct fs_config *config = NULL;
    char *findings = NULL;
    size_t length = 0;
    FILE *errors = open_memstream(&findings, &length);

    if (!errors) {
        return 0;
    }

    int rc = fs_config_parse("f", data, size, errors, &config, &err);

    fclose(errors);
    if ((rc == 0) != (config != NULL) || (rc == 0) != (length == 0) ||
        (rc < 0) != fs_error_is_set(&err)) {
        abort();
    }
    if (config) {
        for (size_t i = 0; i < config->n_policies; i++) {
            const struct fs_config_policy *policy = &config->policies[i];

            if (!fs_config_find_peer(config, policy->peer) || policy->n_pools == 0) {
                abort();
            }
        }
    }
    fs_config_free(config);
    free(findings);
    return 0;
}
