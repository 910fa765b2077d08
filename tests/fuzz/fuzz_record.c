/* SPDX-License-Identifier: Apache-2.0 */
/* A record's JSON: what can be decoded is encoded to a text that means the same. */
#include <stdlib.h>
#include <string.h>

#include "farshore/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fs_error err = FS_ERROR_INIT;
    struct fs_record *record;
    struct fs_record *again;

    if (fs_record_decode((const char *)data, size, &record, &err) < 0) {
        if (record || !fs_error_is_set(&err)) {
            abort();
        }
        return 0;
    }

    struct fs_record *copy = fs_record_copy(record);
    char *text = fs_record_encode(record);
    char *copy_text = copy ? fs_record_encode(copy) : NULL;

    if (!text || !copy_text || strcmp(text, copy_text) != 0) {
        abort();
    }
    if (fs_record_decode(text, strlen(text), &again, &err) < 0) {
        abort();
    }
    free(copy_text);
    copy_text = fs_record_encode(again);
    if (!copy_text || strcmp(text, copy_text) != 0) {
        abort();
    }
    free(copy_text);
    free(text);
    fs_record_free(again);
    fs_record_free(copy);
    fs_record_free(record);
    return 0;
}
