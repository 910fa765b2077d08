/* SPDX-License-Identifier: Apache-2.0 */
#include "farshore/uuid.h"

#include <errno.h>
#include <uuid/uuid.h>

void fs_uuid_random(struct fs_uuid *ret_uuid)
{
    uuid_generate_random(ret_uuid->b);
}

void fs_uuid_format(const struct fs_uuid *uuid, char ret_text[FS_UUID_TEXT])
{
    uuid_unparse_lower(uuid->b, ret_text);
}

int fs_uuid_parse(const char *text, struct fs_uuid *ret_uuid)
{
    uuid_t parsed;

    if (uuid_parse(text, parsed) != 0) {
        return -EINVAL;
    }
    memcpy(ret_uuid->b, parsed, sizeof(ret_uuid->b));
    return 0;
}
