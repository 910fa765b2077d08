/* SPDX-License-Identifier: Apache-2.0 */
/* Label selectors: the text ends at the first NUL; what is behind it is the value of every label.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "farshore/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *value_of(void *arg, const char *key)
{
    return strlen(key) % 2 ? arg : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fs_error err = FS_ERROR_INIT;
    struct fs_selector *selector;
    char *text = malloc(size + 2);

    if (!text) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = text[size + 1] = '\0';

    int rc = fs_selector_parse(text, &selector, &err);

    if ((rc == 0) != (selector != NULL) || (rc < 0) != fs_error_is_set(&err)) {
        abort();
    }
    if (selector) {
        fs_selector_matches(selector, value_of, text + strlen(text) + 1);
    }
    fs_selector_free(selector);
    free(text);
    return 0;
}
