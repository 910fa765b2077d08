/* SPDX-License-Identifier: Apache-2.0 */
#include "ship/content.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zstd.h>

/* Where the library has it: the widest vectors that this processor has, twice as fast. */
#ifdef FARSHORE_XXH_DISPATCH
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

#include "farshore/clock.h"

/* Compression must win at least a sixteenth, or the content goes RAW. */
#define WORTH(length) ((length) - (length) / 16)
/* Content from here on is sampled before it is compressed as a whole. */
#define SAMPLE_FROM  (64u << 10)
#define SAMPLE_SIZE  4096u
#define SAMPLE_COUNT 4

/* A delta's matches lie in up to 2 MiB of prefix; zstd's tables are made for the content alone. At
 * levels above 9 they would take several times the memory that the tuner counts with, for one part
 * in a hundred (measured). */
#define DELTA_LEVEL_MAX  9
#define DELTA_WINDOW_LOG 22
#define DELTA_TABLE_LOG  18

/* --- what a thread keeps --------------------------------------------------------------------- */

struct tools {
    ZSTD_CCtx *compress;
    ZSTD_DCtx *decompress;
};

static pthread_key_t tools_key;
static pthread_once_t tools_once = PTHREAD_ONCE_INIT;

static void tools_free(void *memory)
{
    struct tools *tools = memory;
    ZSTD_freeCCtx(tools->compress);
    ZSTD_freeDCtx(tools->decompress);
    free(tools);
}

static void tools_key_make(void)
{
    int r = pthread_key_create(&tools_key, tools_free);
    assert(r == 0);
    (void)r;
}

/* NULL when out of memory. */
static struct tools *tools_get(void)
{
    pthread_once(&tools_once, tools_key_make);
    struct tools *tools = pthread_getspecific(tools_key);
    if (tools) {
        return tools;
    }
    tools = malloc(sizeof(*tools));
    if (!tools) {
        return NULL;
    }
    tools->compress = ZSTD_createCCtx();
    tools->decompress = ZSTD_createDCtx();
    if (!tools->compress || !tools->decompress || pthread_setspecific(tools_key, tools) != 0) {
        tools_free(tools);
        return NULL;
    }
    return tools;
}

/* --- zeroes and hashes ----------------------------------------------------------------------- */

bool fs_content_is_zero(const uint8_t *bytes, size_t length)
{
    /* Most blocks differ early; the rest is compared with itself, shifted by what is known to be
     * zero, at memcmp's speed. */
    size_t head = length < 16 ? length : 16;
    for (size_t i = 0; i < head; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return length <= head || memcmp(bytes, bytes + head, length - head) == 0;
}

struct builder {
    struct fs_segment_extent *extents;
    size_t count;
    uint8_t *content; /* of the segment: DATA extents back to back */
    size_t length;
    uint64_t changed;
};

static void add_extent(struct builder *builder, uint64_t offset, uint64_t length,
                       enum fs_extent_kind kind, uint8_t *content)
{
    struct fs_segment_extent *last =
        builder->count > 0 ? &builder->extents[builder->count - 1] : NULL;
    builder->changed += length;
    if (kind == FS_EXTENT_ZERO && last && last->extent.kind == FS_EXTENT_ZERO &&
        last->extent.offset + last->extent.length == offset) {
        last->extent.length += length;
        return;
    }
    struct fs_segment_extent *extent = &builder->extents[builder->count++];
    *extent = (struct fs_segment_extent){
        .extent = {.offset = offset, .length = length, .kind = kind},
    };
    if (kind == FS_EXTENT_ZERO) {
        return;
    }
    extent->hash = XXH3_64bits(content, length);
    if (!builder->content) {
        builder->content = content;
    }
    if (builder->content + builder->length != content) {
        memmove(builder->content + builder->length, content, length);
    }
    builder->length += length;
}

/* From at on: how far the bytes are all zero, or all not, in blocks of the image. */
static uint64_t run_end(const struct fs_piece *piece, uint64_t at, bool *ret_zero)
{
    uint64_t end = piece->extent.offset + piece->extent.length;
    uint64_t from = at;
    while (at < end) {
        uint64_t stop = (at / FS_ZERO_BLOCK + 1) * FS_ZERO_BLOCK;
        stop = stop < end ? stop : end;
        bool zero = fs_content_is_zero(piece->content + (at - piece->extent.offset), stop - at);
        if (at == from) {
            *ret_zero = zero;
        } else if (zero != *ret_zero) {
            break;
        }
        at = stop;
    }
    return at;
}

static void add_data(struct builder *builder, const struct fs_piece *piece)
{
    uint64_t start = piece->extent.offset;
    uint64_t end = start + piece->extent.length;
    uint64_t data = start; /* where bytes begin that are not in an extent yet */
    for (uint64_t at = start; at < end;) {
        bool zero = false;
        uint64_t stop = run_end(piece, at, &zero);
        if (zero && (stop - at >= FS_ZERO_RUN || (at == start && stop == end))) {
            if (at > data) {
                add_extent(builder, data, at - data, FS_EXTENT_DATA,
                           piece->content + (data - start));
            }
            add_extent(builder, at, stop - at, FS_EXTENT_ZERO, NULL);
            data = stop;
        }
        at = stop;
    }
    if (end > data) {
        add_extent(builder, data, end - data, FS_EXTENT_DATA, piece->content + (data - start));
    }
}

/* --- compression ----------------------------------------------------------------------------- */

/* Already compressed or encrypted content is recognised by a few samples, at a sixtieth of the
 * cost; content that hides its compressible parts between them goes RAW. scratch is as long as the
 * content. */
static bool seems_compressible(struct tools *tools, const uint8_t *content, size_t length,
                               uint8_t *scratch)
{
    if (length < SAMPLE_FROM) {
        return true;
    }
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        size_t at = (length - SAMPLE_SIZE) / (SAMPLE_COUNT - 1) * i;
        size_t r =
            ZSTD_compressCCtx(tools->compress, scratch, length, content + at, SAMPLE_SIZE, 1);
        if (!ZSTD_isError(r) && r < WORTH(SAMPLE_SIZE)) {
            return true;
        }
    }
    return false;
}

/* To packed, which is as long as the content: the compressed length, or 0: send it RAW. */
static size_t compress(struct tools *tools, const struct builder *builder, int level,
                       uint8_t *packed)
{
    if (level == 0 || builder->length == 0 ||
        !seems_compressible(tools, builder->content, builder->length, packed)) {
        return 0;
    }
    size_t r = ZSTD_compressCCtx(tools->compress, packed, WORTH(builder->length), builder->content,
                                 builder->length, level);
    return ZSTD_isError(r) ? 0 : r;
}

/*
 * What the base holds of the pieces becomes what it holds of the DATA extents: runs of zeroes were
 * found in the pieces since, and take no part. Returns the length of the whole prefix.
 */
static size_t trim_prefix(const struct fs_content_request *request, const struct builder *builder)
{
    const struct fs_content_delta *delta = request->delta;
    uint8_t *from = delta->prefix + delta->ranges_length, *to = from;
    size_t next = 0;
    for (size_t i = 0; i < request->n_pieces; i++) {
        const struct fs_extent *piece = &request->pieces[i].extent;
        uint64_t end = piece->offset + piece->length;
        if (piece->kind == FS_EXTENT_ZERO) {
            continue;
        }
        for (; next < builder->count && builder->extents[next].extent.offset < end; next++) {
            const struct fs_extent *extent = &builder->extents[next].extent;
            if (extent->kind == FS_EXTENT_DATA) {
                memmove(to, from + (extent->offset - piece->offset), extent->length);
                to += extent->length;
            }
        }
        from += piece->length;
    }
    return (size_t)(to - delta->prefix);
}

static void set_up_delta(ZSTD_CCtx *context, const uint8_t *prefix, size_t length, int level)
{
    level = level < 1 ? 1 : level;
    level = level > DELTA_LEVEL_MAX ? DELTA_LEVEL_MAX : level;
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, DELTA_WINDOW_LOG);
    ZSTD_CCtx_setParameter(context, ZSTD_c_hashLog, DELTA_TABLE_LOG);
    ZSTD_CCtx_setParameter(context, ZSTD_c_chainLog, DELTA_TABLE_LOG);
    ZSTD_CCtx_refPrefix(context, prefix, length);
}

/* As compress, for the payload behind the ranges, both together shorter than the content. */
static size_t compress_delta(struct tools *tools, const struct fs_content_request *request,
                             const struct builder *builder, uint8_t *packed)
{
    size_t ranges = fs_segment_ranges_size(request->delta->n_ranges);
    if (builder->length == 0 || ranges >= WORTH(builder->length)) {
        return 0;
    }
    size_t prefix = trim_prefix(request, builder);
    set_up_delta(tools->compress, request->delta->prefix, prefix, request->zstd_level);
    size_t r = ZSTD_compress2(tools->compress, packed + ranges, WORTH(builder->length) - ranges,
                              builder->content, builder->length);
    ZSTD_CCtx_reset(tools->compress, ZSTD_reset_session_and_parameters);
    return ZSTD_isError(r) ? 0 : r;
}

struct packed {
    enum fs_codec codec;
    size_t length; /* without the ranges */
    uint64_t plain_bytes, delta_bytes;
};

/* Both ways, the shorter one to payload; where memory is short, only without the base. */
static void pack_both(struct tools *tools, const struct fs_content_request *request,
                      const struct builder *builder, uint8_t *payload, struct packed *packed)
{
    uint8_t *other = malloc(builder->length);
    size_t ranges = fs_segment_ranges_size(request->delta->n_ranges);
    size_t plain = compress(tools, builder, request->zstd_level, payload);
    size_t delta = other ? compress_delta(tools, request, builder, other) : 0;
    packed->plain_bytes = plain > 0 ? plain : builder->length;
    packed->delta_bytes = delta > 0 ? ranges + delta : builder->length;
    if (packed->delta_bytes < packed->plain_bytes) {
        memcpy(payload + ranges, other + ranges, delta);
        packed->codec = FS_CODEC_DELTA;
        packed->length = delta;
    } else if (plain > 0) {
        packed->codec = FS_CODEC_ZSTD;
        packed->length = plain;
    }
    free(other);
}

/* payload has room for the content. */
static struct packed pack(struct tools *tools, const struct fs_content_request *request,
                          const struct builder *builder, uint8_t *payload)
{
    struct packed packed = {.codec = FS_CODEC_RAW, .length = builder->length};
    size_t length = 0;
    if (request->delta && request->delta->try_both && builder->length > 0) {
        pack_both(tools, request, builder, payload, &packed);
    } else if (request->delta) {
        length = compress_delta(tools, request, builder, payload);
        packed.codec = length > 0 ? FS_CODEC_DELTA : FS_CODEC_RAW;
    } else {
        length = compress(tools, builder, request->zstd_level, payload);
        packed.codec = length > 0 ? FS_CODEC_ZSTD : FS_CODEC_RAW;
    }
    packed.length = length > 0 ? length : packed.length;
    if (packed.codec == FS_CODEC_RAW && builder->length > 0) {
        memcpy(payload, builder->content, builder->length);
    }
    return packed;
}

size_t fs_content_frame_bound(size_t n_pieces, uint64_t content_bytes)
{
    size_t extents = 3 * n_pieces + 2 * (size_t)(content_bytes / FS_ZERO_RUN);
    struct fs_segment none = {.n_extents = extents};
    return FS_FRAME_HEADER + fs_segment_size(&none) + (size_t)content_bytes;
}

static int64_t thread_cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * FS_SEC + now.tv_nsec;
}

/*
 * The frame of a segment of which all is known but its codec and payload. The payload is made in
 * its place, behind the room for a header whose size is known; then the buffer is cut to what is
 * used, since what frames take is counted. False: out of memory.
 */
static bool make_frame(struct tools *tools, const struct fs_content_request *request,
                       const struct builder *builder, struct fs_segment *segment,
                       struct fs_content_result *ret_result)
{
    size_t head = FS_FRAME_HEADER + fs_segment_size(segment);
    struct fs_buf frame = {.data = malloc(head + builder->length),
                           .capacity = head + builder->length};
    if (!frame.data) {
        return false;
    }
    uint8_t *payload = frame.data + head;
    int64_t began = thread_cpu_ns();
    struct packed packed = pack(tools, request, builder, payload);
    ret_result->compress_ns = thread_cpu_ns() - began;
    segment->codec = packed.codec;
    segment->payload_length = (uint32_t)packed.length;
    if (packed.codec == FS_CODEC_DELTA) {
        segment->n_ranges = request->delta->n_ranges;
        segment->ranges = (struct fs_range *)request->delta->ranges; /* only read */
        head += fs_segment_ranges_size(segment->n_ranges);
    }
    size_t start = fs_frame_begin(&frame, FS_FRAME_SEGMENT, FS_FRAME_CRITICAL, request->stream);
    fs_segment_encode(segment, &frame);
    assert(frame.length == head && !frame.failed);
    frame.length += segment->payload_length;
    fs_frame_finish(&frame, start);
    uint8_t *cut = realloc(frame.data, frame.length);
    if (cut) {
        frame.data = cut;
        frame.capacity = frame.length;
    }
    ret_result->frame = frame;
    ret_result->payload_bytes = frame.length - FS_FRAME_HEADER - FS_SEGMENT_HEAD_SIZE -
                                segment->n_extents * FS_SEGMENT_EXTENT_SIZE;
    ret_result->delta = packed.codec == FS_CODEC_DELTA;
    ret_result->plain_bytes = packed.plain_bytes;
    ret_result->delta_bytes = packed.delta_bytes;
    return true;
}

int fs_content_encode(const struct fs_content_request *request,
                      struct fs_content_result *ret_result, struct fs_error *err)
{
    struct tools *tools = tools_get();
    struct builder builder = {0};
    size_t most = 0;
    *ret_result = (struct fs_content_result){0};
    for (size_t i = 0; i < request->n_pieces; i++) {
        const struct fs_extent *extent = &request->pieces[i].extent;
        most += extent->kind == FS_EXTENT_DATA ? FS_PIECE_EXTENTS_MAX(extent->length) : 1;
    }
    builder.extents = malloc((most + 1) * sizeof(*builder.extents));
    if (!tools || !builder.extents) {
        free(builder.extents);
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory for a segment");
    }
    for (size_t i = 0; i < request->n_pieces; i++) {
        const struct fs_piece *piece = &request->pieces[i];
        if (piece->extent.kind == FS_EXTENT_ZERO) {
            add_extent(&builder, piece->extent.offset, piece->extent.length, FS_EXTENT_ZERO, NULL);
        } else {
            add_data(&builder, piece);
        }
    }
    assert(builder.count <= FS_SEGMENT_EXTENTS_MAX && builder.length <= FS_SEGMENT_MAX);
    struct fs_segment segment = {
        .volume = request->volume,
        .raw_length = (uint32_t)builder.length,
        .start = request->start,
        .end = request->end,
        .n_extents = builder.count,
        .extents = builder.extents,
    };
    struct fs_content_result result = {
        .extents = builder.extents,
        .n_extents = builder.count,
        .changed_bytes = builder.changed,
        .content_bytes = builder.length,
    };
    if (!make_frame(tools, request, &builder, &segment, &result)) {
        free(builder.extents);
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory for a segment");
    }
    *ret_result = result;
    return 0;
}

void fs_content_result_fini(struct fs_content_result *result)
{
    fs_buf_fini(&result->frame);
    free(result->extents);
    *result = (struct fs_content_result){0};
}

int fs_content_decompress(const uint8_t *payload, size_t length, const uint8_t *prefix,
                          size_t prefix_length, uint8_t *raw, size_t raw_length,
                          struct fs_error *err)
{
    struct tools *tools = tools_get();
    if (!tools) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory for a segment");
    }
    /* One frame that knows its size: nothing is decompressed of one that says something else. */
    bool sound = ZSTD_getFrameContentSize(payload, length) == raw_length &&
                 ZSTD_findFrameCompressedSize(payload, length) == length;
    if (sound && prefix) {
        sound = !ZSTD_isError(ZSTD_DCtx_refPrefix(tools->decompress, prefix, prefix_length));
    }
    size_t r = sound ? ZSTD_decompressDCtx(tools->decompress, raw, raw_length, payload, length) : 0;
    if (sound && prefix) {
        ZSTD_DCtx_refPrefix(tools->decompress, NULL, 0);
        if (r != raw_length) {
            return fs_error_set(err, FS_ERR_DATA, EBADMSG,
                                "what the target has as the base of the transfer is not what the "
                                "source sent the difference to");
        }
    }
    if (r != raw_length) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO,
                            "the peer's SEGMENT does not decompress to the %zu bytes that it "
                            "announces; do both sites run the same version of Farshore?",
                            raw_length);
    }
    return 0;
}

int fs_content_verify(const struct fs_segment_extent *extents, size_t count, const uint8_t *raw,
                      struct fs_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct fs_extent *extent = &extents[i].extent;
        if (extent->kind == FS_EXTENT_ZERO) {
            continue;
        }
        if (XXH3_64bits(raw, extent->length) != extents[i].hash) {
            return fs_error_set(err, FS_ERR_DATA, EBADMSG,
                                "the digest of %" PRIu64 " bytes at offset %" PRIu64
                                " is not the one that the source sent: memory or network "
                                "hardware corrupts data at one of the sites",
                                extent->length, extent->offset);
        }
        raw += extent->length;
    }
    return 0;
}
