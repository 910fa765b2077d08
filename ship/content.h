/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content of segments: finding zeroes, hashing, compressing, and the reverse. What burns CPU,
 * so WORKER; ANY thread really, since nothing is shared: zstd's contexts and the scratch buffer
 * belong to the thread and live as long as it does.
 */
#ifndef FARSHORE_SHIP_CONTENT_H
#define FARSHORE_SHIP_CONTENT_H

#include "farshore/wire.h"

/* Zeroes are looked for in blocks of this size, aligned in the image. */
#define FS_ZERO_BLOCK 4096u
/* An extent that is zero as a whole always becomes ZERO; inside an extent only runs of this length
 * do, so that a scattered pattern does not become thousands of tiny writes at the target. */
#define FS_ZERO_RUN (4 * FS_ZERO_BLOCK)
/* Extents that one piece of content bytes may become, at most. */
#define FS_PIECE_EXTENTS_MAX(bytes) (2 * ((bytes) / FS_ZERO_RUN) + 3)

/* A piece of a segment as the diff names it, and where its bytes are. */
struct fs_piece {
    struct fs_extent extent;
    uint8_t *content; /* borrowed, may be changed; NULL for ZERO */
};

/* For FS_CODEC_DELTA. */
struct fs_content_delta {
    const struct fs_range *ranges; /* of the base, as a segment has them */
    size_t n_ranges;
    /* What the base holds of them, and behind it of the DATA pieces; may be changed. */
    uint8_t *prefix;
    size_t ranges_length; /* where the pieces' begins */
    bool try_both;        /* also without, and the shorter one is taken */
};

struct fs_content_request {
    uint32_t stream;
    uint16_t volume;
    uint64_t start, end; /* of the segment */
    const struct fs_piece *pieces;
    size_t n_pieces; /* ascending, in the image and in memory; fs_content_pieces_fit */
    int zstd_level;  /* 0: RAW */
    const struct fs_content_delta *delta; /* NULL: without */
};

struct fs_content_result {
    struct fs_buf frame;               /* a whole SEGMENT frame; moved out */
    struct fs_segment_extent *extents; /* owned; for the chain */
    size_t n_extents;
    uint64_t changed_bytes;            /* DATA and ZERO */
    uint64_t content_bytes;            /* DATA, before compression */
    uint64_t payload_bytes;            /* and after */
    bool delta;                        /* it is FS_CODEC_DELTA */
    uint64_t plain_bytes, delta_bytes; /* after, each way; 0 where both were not tried */
    int64_t compress_ns; /* of this thread's CPU: to compress, and to find out that it is in vain */
};

/* Most bytes that the frame of so many pieces and content bytes can take. */
size_t fs_content_frame_bound(size_t n_pieces, uint64_t content_bytes);

/*
 * Make the frame of a segment. Pieces are moved together in place, so their memory holds garbage
 * afterwards. 0, or -ENOMEM with err; then nothing is to be freed.
 */
int fs_content_encode(const struct fs_content_request *request,
                      struct fs_content_result *ret_result, struct fs_error *err);
void fs_content_result_fini(struct fs_content_result *result);

/*
 * Decompress to exactly raw_length bytes; anything else is the peer's error: -EPROTO. With a prefix
 * (else NULL) it may be the base's fault as well: FS_ERR_DATA, -EBADMSG.
 */
int fs_content_decompress(const uint8_t *payload, size_t length, const uint8_t *prefix,
                          size_t prefix_length, uint8_t *raw, size_t raw_length,
                          struct fs_error *err);
/* Compare the hashes of the DATA extents with their content, back to back in raw: -EBADMSG,
 * FS_ERR_DATA, with the offset. */
int fs_content_verify(const struct fs_segment_extent *extents, size_t count, const uint8_t *raw,
                      struct fs_error *err);

bool fs_content_is_zero(const uint8_t *bytes, size_t length);

#endif
