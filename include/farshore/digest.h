/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests of a point, computed where its data lies: the third table through which ship/ and the
 * daemon meet storage. snapshot/ implements it over Ceph, tests/scenario in memory. Any site can
 * digest a point that it holds, in any role. The rules of farshore/source.h hold here too: called
 * on the LOOP, done is called exactly once, later, on the LOOP; what is passed in belongs to the
 * operation until done.
 *
 * A digest stands for one unit, a range of the image that begins at a multiple of the unit's size
 * (the last one is shorter):
 *
 *   chunks   the unit in pieces of min(FS_DIGEST_CHUNK, unit) bytes, the last one shorter
 *   chunk    XXH64 with seed 0 of its bytes as a reader sees them; 0 where all of them are zero
 *   unit     XXH64 with seed 0 of its chunks' hashes, each as u64 little endian
 *
 * Units that read as zeroes have no digest and are left out, whether they are holes, truncated or
 * written with zeroes: two sites hold the same bytes if and only if (but for a collision of hashes)
 * they list the same entries.
 */
#ifndef FARSHORE_DIGEST_H
#define FARSHORE_DIGEST_H

#include "farshore/error.h"
#include "farshore/record.h"

#define FS_DIGEST_CHUNK    65536u
#define FS_DIGEST_UNIT_MIN 4096u
#define FS_DIGEST_UNIT_MAX (32u << 20)
/* Entries of one batch. */
#define FS_DIGESTS_MAX 512

struct fs_digester;  /* one site's storage */
struct fs_digesting; /* one point that is being digested; it is not pruned until close */

struct fs_digest_volume {
    struct fs_uuid volume;
    uint64_t size;
    uint8_t order; /* of its objects: the unit that is cheapest here */
};

struct fs_digest_entry {
    uint64_t offset; /* of the unit */
    uint64_t digest;
};

struct fs_digest_query {
    struct fs_uuid volume;
    uint64_t from, to; /* multiples of unit; to may also be the volume's size, or more */
    uint32_t unit;     /* a power of two, FS_DIGEST_UNIT_MIN to FS_DIGEST_UNIT_MAX */
};

/* A batch: the entries of [from, next), ascending. Bounded in entries and in bytes looked at. */
struct fs_digest_list {
    size_t count;
    uint64_t next;  /* where the next batch starts; at most the query's to */
    uint64_t bytes; /* of data that were looked at for it, for the rate */
    struct fs_digest_entry entries[FS_DIGESTS_MAX];
};

/* A text that was stored for a group, see note. */
struct fs_digest_note {
    struct fs_uuid group;
    char *text; /* owned by the array */
};

typedef void fs_digest_open_fn(void *arg, struct fs_digesting *digesting,
                               const struct fs_error *err);
typedef void fs_digest_io_fn(void *arg, const struct fs_error *err);
/* notes are borrowed for the callback. */
typedef void fs_digest_notes_fn(void *arg, const struct fs_digest_note *notes, size_t count,
                                const struct fs_error *err);

/* The longest text of a note. */
#define FS_DIGEST_NOTE_MAX 65536

struct fs_digester_ops {
    /* Open a point of the record (read during the call only) for digesting. */
    void (*open)(struct fs_digester *digester, const struct fs_record *record,
                 const struct fs_uuid *point, fs_digest_open_fn *done, void *arg);

    /* The same over the digests that were kept with the point while it was the base: only its own
     * unit, 1 << order, can be asked for. -ENOENT: it was never proved. */
    void (*open_kept)(struct fs_digester *digester, const struct fs_record *record,
                      const struct fs_uuid *point, fs_digest_open_fn *done, void *arg);

    /* Digest from query->from on; fills list. One at a time. -ENOENT: no such volume. */
    void (*next)(struct fs_digesting *digesting, const struct fs_digest_query *query,
                 struct fs_digest_list *list, fs_digest_io_fn *done, void *arg);

    /* Nothing is in flight. done may be NULL; never fails. */
    void (*close)(struct fs_digesting *digesting, fs_digest_io_fn *done, void *arg);

    /* Keep a batch (of unit 1 << order, that began at from) with a point, durably. What was kept
     * before prove counts for nothing, and may be kept again. */
    void (*keep)(struct fs_digester *digester, const struct fs_uuid *group,
                 const struct fs_uuid *point, const struct fs_uuid *volume, uint64_t from,
                 const struct fs_digest_list *list, fs_digest_io_fn *done, void *arg);
    /* What was kept is whole, and both sites have it: proved. */
    void (*prove)(struct fs_digester *digester, const struct fs_uuid *group,
                  const struct fs_uuid *point, fs_digest_io_fn *done, void *arg);
    /* Forget what was kept with the point. Also 0 where nothing was. */
    void (*unkeep)(struct fs_digester *digester, const struct fs_uuid *group,
                   const struct fs_uuid *point, fs_digest_io_fn *done, void *arg);

    /* Store a text for a group durably, in place of the former one; and read all of them. */
    void (*note)(struct fs_digester *digester, const struct fs_uuid *group, const char *text,
                 fs_digest_io_fn *done, void *arg);
    void (*notes)(struct fs_digester *digester, fs_digest_notes_fn *done, void *arg);
};

/* First member of an implementation. */
struct fs_digester {
    const struct fs_digester_ops *ops;
};

struct fs_digesting {
    const struct fs_digester_ops *ops;
    size_t n_volumes;
    const struct fs_digest_volume *volumes; /* owned by the implementation, until close */
};

/* Borrowed; NULL where there is none. */
const struct fs_digest_volume *fs_digesting_find(const struct fs_digesting *digesting,
                                                 const struct fs_uuid *volume);

/* The digest of a unit from its chunks' hashes; 0: all of it is zero. count is at most
 * FS_DIGEST_UNIT_MAX / FS_DIGEST_CHUNK. Pure. */
uint64_t fs_digest_of_chunks(const uint64_t *chunks, size_t count);
/* The hash of one chunk, at most FS_DIGEST_CHUNK bytes. Pure. */
uint64_t fs_digest_of_chunk(const void *bytes, size_t length);
/* What XXH64 says of so many zeroes, at most FS_DIGEST_CHUNK: a hash that was made elsewhere and
 * equals it stands for a chunk of zeroes. Pure. */
uint64_t fs_digest_zero_hash(size_t length);

#endif
