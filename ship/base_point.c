/* SPDX-License-Identifier: Apache-2.0 */
#include "ship/base_point.h"

#include <assert.h>
#include <string.h>

/* RADOS operations in flight, as far as a call is one; and the ranges that one of them may have. */
#define CALLS_MAX  32
#define CALL_READS 256

static const struct fs_record_point *find_point(const struct fs_record *record,
                                                const struct fs_uuid *id)
{
    return fs_record_find_point((struct fs_record *)record, id); /* it changes nothing */
}

static bool is_offered(const struct fs_offer *offer, const struct fs_uuid *volume)
{
    for (size_t i = 0; i < offer->n_volumes; i++) {
        if (fs_uuid_equal(&offer->volumes[i].volume.uuid, volume)) {
            return true;
        }
    }
    return false;
}

bool fs_base_is_usable(const struct fs_record *record, const struct fs_uuid *base,
                       const struct fs_offer *offer)
{
    const struct fs_record_point *point = fs_uuid_is_zero(base) ? NULL : find_point(record, base);
    if (!point || point->n_contents == 0 || fs_uuid_equal(base, &offer->point.id)) {
        return false;
    }
    for (size_t i = 0; i < point->n_contents; i++) {
        if (point->contents[i].snap_id == 0 || !is_offered(offer, &point->contents[i].volume)) {
            return false;
        }
    }
    return true;
}

static void opened_cb(void *arg, struct fs_reading *reading, const struct fs_error *err)
{
    struct fs_base_point *base = arg;
    base->reading = reading;
    base->state = reading ? FS_BASE_OPEN : FS_BASE_FAILED;
    base->opened(base->arg, reading ? NULL : err);
}

void fs_base_open(struct fs_base_point *base, struct fs_source *source,
                  const struct fs_record *record, const struct fs_uuid *point,
                  const struct fs_offer *offer,
                  void (*opened)(void *arg, const struct fs_error *err), void *arg)
{
    const struct fs_record_point *found = find_point(record, point);
    assert(base->state == FS_BASE_CLOSED);
    for (size_t v = 0; found && v < offer->n_volumes; v++) {
        const struct fs_record_content *content =
            fs_record_find_content(found, &offer->volumes[v].volume.uuid);
        if (content) {
            base->volumes[v].there = true;
            base->volumes[v].index = (unsigned)(content - found->contents);
            base->volumes[v].size = content->geometry.size;
            base->volumes[v].window = UINT64_C(1) << content->geometry.order;
        }
    }
    base->state = FS_BASE_OPENING;
    base->opened = opened;
    base->arg = arg;
    source->ops->open(source, record, point, NULL, opened_cb, base);
}

uint64_t fs_base_size(const struct fs_base_point *base, unsigned volume)
{
    return base->state == FS_BASE_OPEN && base->volumes[volume].there ? base->volumes[volume].size
                                                                      : 0;
}

void fs_base_plan(const struct fs_base_point *base, unsigned volume, uint64_t offset,
                  uint64_t length, uint8_t **buffer, struct fs_read *reads, size_t *n)
{
    uint64_t size = fs_base_size(base, volume);
    uint64_t there = offset >= size ? 0 : length < size - offset ? length : size - offset;
    if (there > 0) {
        reads[(*n)++] = (struct fs_read){.offset = offset, .length = there, .buffer = *buffer};
    }
    memset(*buffer + there, 0, length - there);
    *buffer += length;
}

/* --- reading --------------------------------------------------------------------------------- */

static void start_calls(struct fs_base_point *base);

/* Not while it is in the list. May be the last that is done with the base. */
static void end_if_done(struct fs_base_io *io)
{
    if (io->in_flight == 0 && io->started == io->n) {
        io->done(io->arg, fs_error_is_set(&io->err) ? &io->err : NULL);
    }
}

static void call_cb(void *arg, const struct fs_error *err)
{
    struct fs_base_io *io = arg;
    io->base->in_flight--;
    if (err && fs_error_is_set(err) && !fs_error_is_set(&io->err)) {
        io->err = *err;
    }
    start_calls(io->base); /* before its owner hears that it may go */
    io->in_flight--;
    end_if_done(io);
}

/* How many of the ranges make the next call. */
static size_t next_call(const struct fs_base_io *io)
{
    uint64_t window = io->base->volumes[io->volume].window;
    const struct fs_read *reads = io->reads + io->started;
    size_t most = io->n - io->started < CALL_READS ? io->n - io->started : CALL_READS;
    size_t count = 1;
    while (count < most && reads[count].offset / window == reads[0].offset / window) {
        count++;
    }
    return count;
}

static void make_call(struct fs_base_point *base, struct fs_base_io *io, size_t count)
{
    const struct fs_read *reads = io->reads + io->started;
    io->started += count;
    io->in_flight++;
    base->in_flight++;
    base->reading->ops->read(base->reading, base->volumes[io->volume].index, reads, count, call_cb,
                             io);
}

/* What waits while others are in flight is looked at again when one of those returns: nothing ends
 * here but from there. */
static void start_calls(struct fs_base_point *base)
{
    while (base->first && base->in_flight < CALLS_MAX) {
        struct fs_base_io *io = base->first;
        if (base->stopped) {
            fs_error_set(&io->err, FS_ERR_CANCELLED, ECANCELED, "the base is not needed any more");
        }
        if (fs_error_is_set(&io->err)) {
            io->started = io->n;
        } else {
            make_call(base, io, next_call(io));
        }
        if (io->started == io->n) {
            base->first = io->next;
            base->last = base->first ? base->last : NULL;
            end_if_done(io);
        }
    }
}

void fs_base_read(struct fs_base_point *base, unsigned volume, const struct fs_read *reads,
                  size_t n, fs_io_fn *done, void *arg, struct fs_base_io *io)
{
    assert(n > 0 && !base->stopped);
    *io = (struct fs_base_io){
        .base = base, .volume = volume, .reads = reads, .n = n, .done = done, .arg = arg};
    if (base->last) {
        base->last->next = io;
    } else {
        base->first = io;
    }
    base->last = io;
    start_calls(base);
}

void fs_base_stop(struct fs_base_point *base)
{
    base->stopped = true;
}

bool fs_base_close(struct fs_base_point *base, fs_io_fn *closed, void *arg)
{
    struct fs_reading *reading = base->reading;
    if (!reading) {
        return false;
    }
    base->reading = NULL;
    base->state = FS_BASE_CLOSED;
    reading->ops->close(reading, closed, arg);
    return true;
}
