/* SPDX-License-Identifier: Apache-2.0 */
/* What deltas are made whole with: the base as this site holds it, read before they are decoded. */
#include "ship/receiver.h"

#include <stdlib.h>

static void fail(struct fs_receiver *receiver, const struct fs_error *err)
{
    struct fs_error failed = *err;
    fs_error_context(&failed, "read the base of the transfer");
    fs_receiver_fail(receiver, fs_receiver_refusal_of(&failed), &failed);
}

static void opened_cb(void *arg, const struct fs_error *err)
{
    struct fs_receiver *receiver = arg;
    if (err) {
        fail(receiver, err);
    } else {
        fs_receiver_pump(receiver);
    }
    fs_receiver_progress(receiver);
}

bool fs_receiver_base_ready(struct fs_receiver *receiver)
{
    if (receiver->base.state == FS_BASE_CLOSED) {
        fs_base_open(&receiver->base, receiver->source, receiver->result.record,
                     &receiver->base_point, &receiver->offer, opened_cb, receiver);
    }
    return receiver->base.state == FS_BASE_OPEN;
}

int fs_receiver_check_delta(const struct fs_receiver *receiver, const struct fs_segment *segment,
                            struct fs_error *err)
{
    const struct fs_range *last =
        segment->n_ranges > 0 ? &segment->ranges[segment->n_ranges - 1] : NULL;
    if (last && last->offset + last->length > receiver->volumes[segment->volume].size) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO,
                            "the peer sent a SEGMENT against bytes beyond the end of volume %u",
                            segment->volume);
    }
    return 0;
}

bool fs_receiver_takes_delta(struct fs_receiver *receiver, const struct fs_segment *segment)
{
    struct fs_error err = FS_ERROR_INIT;
    if (segment->codec != FS_CODEC_DELTA ||
        (receiver->source && receiver->result.record &&
         fs_base_is_usable(receiver->result.record, &receiver->base_point, &receiver->offer))) {
        return true;
    }
    fs_error_set(&err, FS_ERR_DATA, EBADMSG,
                 "the source sent the difference to a base that cannot be read at this site: the "
                 "point is to be sent without deltas");
    fs_receiver_refuse(receiver, FS_REFUSE_DIGEST, &err);
    return false;
}

uint64_t fs_arrival_prefix_length(const struct arrival *arrival)
{
    uint64_t length = arrival->raw_length;
    for (size_t i = 0; i < arrival->n_ranges; i++) {
        length += arrival->ranges[i].length;
    }
    return length;
}

static void read_cb(void *arg, const struct fs_error *err)
{
    struct arrival *arrival = arg;
    struct fs_receiver *receiver = arrival->receiver;
    receiver->reads_in_flight--;
    arrival->reads_in_flight--;
    if (err && fs_error_is_set(err) && !fs_error_is_set(&arrival->err)) {
        arrival->err = *err;
    }
    if (arrival->reads_in_flight > 0) {
        return;
    }
    if (fs_error_is_set(&arrival->err)) {
        fail(receiver, &arrival->err);
        fs_receiver_progress(receiver);
    } else if (receiver->state == RECEIVER_ENDING && !receiver->salvaging) {
        fs_receiver_progress(receiver); /* not written: positions stay below it */
    } else {
        fs_receiver_decode(arrival);
    }
}

static void read_part(struct arrival *arrival, size_t first, size_t count, struct fs_base_io *io)
{
    struct fs_receiver *receiver = arrival->receiver;
    if (count > 0) {
        arrival->reads_in_flight++;
        receiver->reads_in_flight++;
        fs_base_read(&receiver->base, arrival->volume, arrival->reads + first, count, read_cb,
                     arrival, io);
    }
}

void fs_receiver_read_base(struct arrival *arrival)
{
    struct fs_receiver *receiver = arrival->receiver;
    size_t n = 0;
    arrival->prefix_length = fs_arrival_prefix_length(arrival);
    arrival->prefix = malloc(arrival->prefix_length);
    arrival->reads = malloc((arrival->n_ranges + arrival->n_extents) * sizeof(*arrival->reads));
    if (!arrival->prefix || !arrival->reads) {
        fs_error_set(&arrival->err, FS_ERR_TRANSIENT, ENOMEM, "out of memory for a segment");
        fail(receiver, &arrival->err);
        fs_receiver_progress(receiver);
        return;
    }
    uint8_t *at = arrival->prefix;
    for (size_t i = 0; i < arrival->n_ranges; i++) {
        fs_base_plan(&receiver->base, arrival->volume, arrival->ranges[i].offset,
                     arrival->ranges[i].length, &at, arrival->reads, &n);
    }
    size_t elsewhere = n;
    for (size_t i = 0; i < arrival->n_extents; i++) {
        const struct fs_extent *extent = &arrival->hashed[i].extent;
        if (extent->kind == FS_EXTENT_DATA) {
            fs_base_plan(&receiver->base, arrival->volume, extent->offset, extent->length, &at,
                         arrival->reads, &n);
        }
    }
    read_part(arrival, 0, elsewhere, &arrival->ios[0]);
    read_part(arrival, elsewhere, n - elsewhere, &arrival->ios[1]);
    if (arrival->reads_in_flight == 0) {
        fs_receiver_decode(arrival);
    }
}

bool fs_receiver_close_base(struct fs_receiver *receiver, fs_io_fn *closed)
{
    return fs_base_close(&receiver->base, closed, receiver);
}
