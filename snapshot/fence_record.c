/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/fence_record.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/omap.h"

#define FORMAT     1
#define FENCES_MAX 10000u
#define KEY_SIZE   (FS_UUID_TEXT + FS_NAME_SIZE + FS_FENCE_ADDRESS_SIZE + 2)

char *fs_fence_encode(const struct fs_fence *fence)
{
    char group[FS_UUID_TEXT];

    fs_uuid_format(&fence->group, group);
    json_t *object =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:b}", "format", FORMAT, "group",
                  group, "site", fence->site, "client", fence->client, "address", fence->address,
                  "images", fence->images, "others", fence->others, "who", fence->who, "since_ns",
                  (json_int_t)fence->since_ns, "proven", fence->proven);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

    json_decref(object);
    return text;
}

static bool get_text(const json_t *object, const char *key, char *ret_text, size_t size)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text && snprintf(ret_text, size, "%s", text) < (int)size;
}

/* It goes into commands to the monitors. */
static bool is_address(const char *text)
{
    return *text && strspn(text, "0123456789abcdefABCDEF.:/[]") == strlen(text) &&
           strchr(text, '/');
}

int fs_fence_decode(const char *text, struct fs_fence *ret_fence)
{
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    const json_t *format = json_object_get(object, "format");
    const json_t *since = json_object_get(object, "since_ns");
    const char *group = json_string_value(json_object_get(object, "group"));

    *ret_fence = (struct fs_fence){0};
    bool ok = json_is_integer(format) && json_integer_value(format) == FORMAT && group &&
              fs_uuid_parse(group, &ret_fence->group) == 0 && json_is_integer(since) &&
              get_text(object, "site", ret_fence->site, sizeof(ret_fence->site)) &&
              get_text(object, "client", ret_fence->client, sizeof(ret_fence->client)) &&
              get_text(object, "address", ret_fence->address, sizeof(ret_fence->address)) &&
              get_text(object, "images", ret_fence->images, sizeof(ret_fence->images)) &&
              get_text(object, "others", ret_fence->others, sizeof(ret_fence->others)) &&
              get_text(object, "who", ret_fence->who, sizeof(ret_fence->who)) &&
              is_address(ret_fence->address);

    ret_fence->since_ns = json_integer_value(since);
    ret_fence->proven = json_is_true(json_object_get(object, "proven"));
    json_decref(object);
    return ok ? 0 : -EINVAL;
}

static void key_of(const struct fs_fence *fence, char ret_key[KEY_SIZE])
{
    char group[FS_UUID_TEXT];

    fs_uuid_format(&fence->group, group);
    snprintf(ret_key, KEY_SIZE, "%s %s %s", group, fence->site, fence->address);
}

int fs_fence_store(struct fs_state *state, const struct fs_fence *fence, struct fs_error *err)
{
    char key[KEY_SIZE];
    char *text = fs_fence_encode(fence);

    if (!text) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory for a fenced client");
    }
    rados_write_op_t op = fs_omap_change();

    key_of(fence, key);
    fs_omap_set(op, key, text, strlen(text));
    int rc = fs_omap_apply(fs_state_ioctx(state), FS_STATE_FENCES, op);
    free(text);
    return rc < 0 ? fs_cluster_error(err, rc, "storing that a client is fenced") : 0;
}

int fs_fence_forget(struct fs_state *state, const struct fs_fence *fence, struct fs_error *err)
{
    rados_write_op_t op = fs_omap_change();
    char key[KEY_SIZE];

    key_of(fence, key);
    fs_omap_remove(op, key);
    int rc = fs_omap_apply(fs_state_ioctx(state), FS_STATE_FENCES, op);
    return rc < 0 ? fs_cluster_error(err, rc, "storing that a client is not fenced any more") : 0;
}

int fs_fence_load(struct fs_state *state, struct fs_fence **ret_fences, size_t *ret_count,
                  struct fs_error *err)
{
    struct fs_omap omap = {0};
    size_t n = 0;
    int rc = fs_omap_read(fs_state_ioctx(state), FS_STATE_FENCES, FENCES_MAX, &omap);

    if (rc < 0 && rc != -ENOENT) {
        return fs_cluster_error(err, rc, "reading the list of fenced clients");
    }
    struct fs_fence *fences = calloc(omap.count + 1, sizeof(*fences));

    for (size_t i = 0; fences && i < omap.count; i++) {
        n += fs_fence_decode(omap.pairs[i].value, &fences[n]) == 0;
    }
    fs_omap_fini(&omap);
    if (!fences) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory for a list of fences");
    }
    *ret_fences = fences;
    *ret_count = n;
    return 0;
}
