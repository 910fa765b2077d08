/* SPDX-License-Identifier: Apache-2.0 */
#include "ship/base_point.h"

#include <assert.h>
#include <string.h>

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

bool fs_base_read(struct fs_base_point *base, unsigned volume, const struct fs_read *reads,
                  size_t n, fs_io_fn *done, void *arg)
{
    if (n == 0) {
        return false;
    }
    base->reading->ops->read(base->reading, base->volumes[volume].index, reads, n, done, arg);
    return true;
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
