/* SPDX-License-Identifier: Apache-2.0 */
#include "farshore/captured.h"

#include <string.h>

#include <xxhash.h>
#include <zstd.h>

#define LEVEL 3

bool fs_captured_same(const struct fs_captured *a, const struct fs_captured *b)
{
    return a->size == b->size && memcmp(&a->digest, &b->digest, sizeof(a->digest)) == 0;
}

void fs_captured_name(const char *text, size_t length, struct fs_captured *ret_captured)
{
    XXH128_canonical_t canonical;

    XXH128_canonicalFromHash(&canonical, XXH3_128bits(text, length));
    *ret_captured = (struct fs_captured){.size = (uint32_t)length};
    memcpy(ret_captured->digest.b, canonical.digest, sizeof(ret_captured->digest.b));
}

static int too_large(struct fs_error *err, const char *what, size_t length, size_t most)
{
    return fs_error_set(err, FS_ERR_CONFIG, EFBIG,
                        "the Kubernetes objects of the group are %zu KiB%s, and a point carries at "
                        "most %zu: label fewer of them, or list fewer kinds in objects.kinds",
                        length >> 10, what, most >> 10);
}

int fs_captured_pack(const char *text, size_t length, struct fs_buf *ret_packed,
                     struct fs_error *err)
{
    *ret_packed = FS_BUF_INIT;
    if (length > FS_CAPTURED_MAX) {
        return too_large(err, "", length, FS_CAPTURED_MAX);
    }
    if (!fs_buf_reserve(ret_packed, ZSTD_compressBound(length))) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    size_t packed =
        ZSTD_compress(ret_packed->data, ZSTD_compressBound(length), text, length, LEVEL);
    int rc = 0;
    if (ZSTD_isError(packed)) {
        rc = fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    } else if (packed > FS_CAPTURED_PACKED_MAX) {
        rc = too_large(err, " compressed", packed, FS_CAPTURED_PACKED_MAX);
    }
    if (rc < 0) {
        fs_buf_fini(ret_packed);
        return rc;
    }
    ret_packed->length = packed;
    return 0;
}

static bool is_plausible(const struct fs_captured *captured, const void *packed, size_t length)
{
    return captured->size > 0 && captured->size <= FS_CAPTURED_MAX &&
           length <= FS_CAPTURED_PACKED_MAX &&
           ZSTD_getFrameContentSize(packed, length) == captured->size &&
           ZSTD_findFrameCompressedSize(packed, length) == length;
}

int fs_captured_unpack(const struct fs_captured *captured, const void *packed, size_t length,
                       struct fs_buf *ret_text, struct fs_error *err)
{
    struct fs_captured found = {0};

    *ret_text = FS_BUF_INIT;
    if (is_plausible(captured, packed, length)) {
        if (!fs_buf_reserve(ret_text, captured->size + 1)) {
            return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
        }
        if (ZSTD_decompress(ret_text->data, captured->size, packed, length) == captured->size) {
            fs_captured_name((const char *)ret_text->data, captured->size, &found);
        }
    }
    if (!fs_captured_same(captured, &found)) {
        fs_buf_fini(ret_text);
        return fs_error_set(err, FS_ERR_DATA, EBADMSG,
                            "the Kubernetes objects are not those that their digest names");
    }
    ret_text->length = captured->size;
    ret_text->data[captured->size] = '\0';
    return 0;
}
