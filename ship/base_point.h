/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The base of a transfer, opened for reading: what deltas are made against at the source, and made
 * whole with at the target. It is the same point at both sites, so the same bytes. LOOP only.
 *
 * Who reads it asks for as much as a segment takes, of which a peer may make thousands of small
 * ranges: what is in flight is bounded here, and the rest waits in the order of asking.
 */
#ifndef FARSHORE_SHIP_BASE_POINT_H
#define FARSHORE_SHIP_BASE_POINT_H

#include "farshore/sink.h"
#include "farshore/source.h"
#include "farshore/wire.h"

enum fs_base_state {
    FS_BASE_CLOSED,
    FS_BASE_OPENING,
    FS_BASE_OPEN,
    FS_BASE_FAILED,
};

struct fs_base_point;

/* What one planned read takes in memory, at most, with what the source makes of it. */
#define FS_BASE_READ_BYTES (sizeof(struct fs_read) + 256)

/* One fs_base_read; embedded by the caller, and the base's until done. */
struct fs_base_io {
    struct fs_base_io *next;
    struct fs_base_point *base;
    unsigned volume;
    const struct fs_read *reads;
    size_t n, started;
    size_t in_flight;    /* calls */
    struct fs_error err; /* the first one: no more calls are made */
    fs_io_fn *done;
    void *arg;
};

/* Embedded; zeroed at first. The caller looks at state. */
struct fs_base_point {
    enum fs_base_state state;
    struct fs_reading *reading;
    struct { /* in the order of the offer */
        bool there;
        unsigned index;        /* in the base */
        uint64_t size, window; /* no call crosses a multiple of the latter */
    } volumes[FS_VOLUMES_MAX];
    struct fs_base_io *first, *last; /* with calls that are not made yet */
    size_t in_flight;                /* calls */
    bool stopped;
    void (*opened)(void *arg, const struct fs_error *err);
    void *arg;
};

/*
 * Whether deltas against that point of the record may be made of the offer's volumes: some of them
 * are in it, and all of it is in the offer, so that it can be opened at both sites.
 */
bool fs_base_is_usable(const struct fs_record *record, const struct fs_uuid *base,
                       const struct fs_offer *offer);

/* opened follows, not from inside: with err where it failed. record and offer are read during the
 * call only. */
void fs_base_open(struct fs_base_point *base, struct fs_source *source,
                  const struct fs_record *record, const struct fs_uuid *point,
                  const struct fs_offer *offer,
                  void (*opened)(void *arg, const struct fs_error *err), void *arg);

/* Bytes that the base has of the offer's volume; 0: it does not have it, or is not open. */
uint64_t fs_base_size(const struct fs_base_point *base, unsigned volume);

/*
 * Where a range of the base goes: to *buffer, which moves on by its length. What lies beyond the
 * end of the base is zeroed at once, what does not is added to reads, of which there are *n.
 */
void fs_base_plan(const struct fs_base_point *base, unsigned volume, uint64_t offset,
                  uint64_t length, uint8_t **buffer, struct fs_read *reads, size_t *n);

/* The planned reads, ascending, at least one; they belong to the operation until done, and so does
 * io. done is not called from inside. Not after fs_base_stop. */
void fs_base_read(struct fs_base_point *base, unsigned volume, const struct fs_read *reads,
                  size_t n, fs_io_fn *done, void *arg, struct fs_base_io *io);

/* Nobody needs the content any more: reads that are not made yet end with -ECANCELED, not from
 * inside. */
void fs_base_stop(struct fs_base_point *base);

/* Nothing is opening or being read. False: there is nothing to close; else closed follows. */
bool fs_base_close(struct fs_base_point *base, fs_io_fn *closed, void *arg);

#endif
