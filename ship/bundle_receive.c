/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What arrives on the lanes of a bundle. A block that is next goes straight to where the session
 * wants it, as its bytes come; one that is early has a buffer of its own until the others are
 * there; what is there already (a lane ended, and its blocks were sent again) is dropped. The peer
 * cannot make us hold more than the window, and one block for each lane.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ship/bundle_private.h"
#include "ship/codec.h"

/* After so many bytes or blocks the peer is told, where nothing is sent that tells it anyway. */
#define ACK_BYTES  (256u << 10)
#define ACK_BLOCKS 32

/* --- blocks that came early ----------------------------------------------------------------- */

static uint64_t end_of(const struct held *held)
{
    return held->offset + held->length;
}

/* Index of the first held block at or behind offset; most come at the end. */
static unsigned place_of(const struct bundle *bundle, uint64_t offset)
{
    unsigned i = bundle->n_held;
    while (i > 0 && bundle->held[i - 1].offset >= offset) {
        i--;
    }
    return i;
}

/* The lane's block is whole. Its buffer is moved. */
static int hold(struct lane *lane, struct fs_error *err)
{
    struct bundle *bundle = lane->bundle;
    struct held block = {lane->offset, lane->length, lane->buffer};
    lane->buffer = NULL;
    unsigned i = place_of(bundle, block.offset);
    const struct held *after = i < bundle->n_held ? &bundle->held[i] : NULL;
    bool same = after != NULL && after->offset == block.offset && after->length == block.length;
    if (same || end_of(&block) <= bundle->delivered) {
        bundle->ack_due = true; /* the one for it was lost */
        free(block.data);
        return 0;
    }
    if ((i > 0 && end_of(&bundle->held[i - 1]) > block.offset) ||
        (after != NULL && after->offset < end_of(&block))) {
        free(block.data);
        return fs_protocol_error(err, "blocks of two lanes overlap");
    }
    if (bundle->n_held == BUNDLE_BLOCKS_MAX) {
        free(block.data);
        return fs_protocol_error(err, "more than %u blocks are ahead", BUNDLE_BLOCKS_MAX);
    }
    memmove(&bundle->held[i + 1], &bundle->held[i], (bundle->n_held - i) * sizeof(bundle->held[0]));
    bundle->held[i] = block;
    bundle->n_held++;
    return 0;
}

static void to_session(struct bundle *bundle, size_t length)
{
    bundle->delivered += length;
    bundle->transport.events->received(bundle->transport.events_arg, length);
}

static void deliver(struct bundle *bundle, const struct held *block)
{
    while (bundle->delivered < end_of(block) && !bundle->closed) {
        size_t room;
        uint8_t *to = bundle->transport.events->room(bundle->transport.events_arg, &room);
        if (to == NULL) {
            bundle->out_of_memory = true;
            return;
        }
        size_t at = (size_t)(bundle->delivered - block->offset);
        size_t length = block->length - at < room ? block->length - at : room;
        memcpy(to, block->data + at, length);
        to_session(bundle, length);
    }
}

static void deliver_held(struct bundle *bundle)
{
    unsigned n = 0;
    while (n < bundle->n_held && bundle->held[n].offset <= bundle->delivered && !bundle->closed &&
           !bundle->out_of_memory) {
        deliver(bundle, &bundle->held[n]);
        free(bundle->held[n].data);
        n++;
    }
    if (n > 0) {
        bundle->n_held -= n;
        memmove(bundle->held, bundle->held + n, bundle->n_held * sizeof(bundle->held[0]));
    }
}

/* --- blocks that arrive --------------------------------------------------------------------- */

static int begin_block(struct lane *lane, struct fs_error *err)
{
    struct bundle *bundle = lane->bundle;
    struct fs_cursor cursor = fs_cursor_of(lane->header, sizeof(lane->header));
    uint64_t end;
    lane->length = fs_cursor_get_u32(&cursor);
    lane->offset = fs_cursor_get_u64(&cursor);
    lane->got = 0;
    if (!bundle_acknowledged(bundle, fs_cursor_get_u64(&cursor))) {
        return fs_protocol_error(err, "a block acknowledges more than was sent");
    }
    if (lane->length == 0) {
        return 0;
    }
    if (lane->length > BUNDLE_BLOCK_MAX ||
        __builtin_add_overflow(lane->offset, lane->length, &end) ||
        (end > bundle->delivered && end - bundle->delivered > bundle->options.window)) {
        return fs_protocol_error(err, "a block of %u bytes at %llu with %llu in order",
                                 lane->length, (unsigned long long)lane->offset,
                                 (unsigned long long)bundle->delivered);
    }
    bundle->blocks_told++;
    bundle->ack_due = bundle->ack_due || end <= bundle->delivered; /* the one for it was lost */
    if (lane->offset > bundle->delivered) {
        lane->buffer = malloc(lane->length);
        bundle->out_of_memory = bundle->out_of_memory || lane->buffer == NULL;
    }
    return 0;
}

uint8_t *bundle_lane_room(void *arg, size_t *ret_length)
{
    struct lane *lane = arg;
    struct bundle *bundle = lane->bundle;
    if (lane->plain) {
        lane->place = LANE_PLAIN;
        return bundle->transport.events->room(bundle->transport.events_arg, ret_length);
    }
    if (lane->have < sizeof(lane->header)) {
        lane->place = LANE_HEADER;
        *ret_length = sizeof(lane->header) - lane->have;
        return lane->header + lane->have;
    }
    size_t left = lane->length - lane->got;
    uint64_t position = lane->offset + lane->got;
    uint8_t *room;
    if (lane->buffer != NULL) {
        lane->place = LANE_BUFFER;
        *ret_length = left;
        return lane->buffer + lane->got;
    }
    if (position < bundle->delivered) {
        uint64_t known = bundle->delivered - position;
        lane->place = LANE_DISCARD;
        room = bundle->scratch;
        *ret_length = known < sizeof(bundle->scratch) ? (size_t)known : sizeof(bundle->scratch);
    } else {
        assert(position == bundle->delivered);
        lane->place = LANE_DIRECT;
        room = bundle->transport.events->room(bundle->transport.events_arg, ret_length);
    }
    *ret_length = *ret_length < left ? *ret_length : left;
    return room;
}

/* ret_gap: a block is whole now, and others wait for one that is not. */
static int take(struct lane *lane, size_t length, bool *ret_gap, struct fs_error *err)
{
    struct bundle *bundle = lane->bundle;
    int r = 0;
    *ret_gap = false;
    if (lane->place == LANE_HEADER) {
        lane->have += length;
        r = lane->have == sizeof(lane->header) ? begin_block(lane, err) : 0;
    } else {
        lane->got += (uint32_t)length;
    }
    if (lane->place == LANE_DIRECT) {
        to_session(bundle, length);
    }
    if (r < 0 || bundle->out_of_memory) {
        return r;
    }
    bool whole = lane->have == sizeof(lane->header) && lane->got == lane->length;
    if (whole) {
        r = lane->buffer != NULL ? hold(lane, err) : 0;
        lane->have = 0;
    }
    deliver_held(bundle);
    *ret_gap = whole && lane->length > 0 && bundle->n_held > 0; /* not for an acknowledgement */
    return r;
}

/* Where something is missing the peer is to know at once what it is, and that this lane gets
 * through: should the one that has it stand still, that is the one to give up. */
static bool ack_is_due(const struct bundle *bundle, bool gap)
{
    uint64_t more = bundle->delivered - bundle->ack_told;
    return bundle->ack_due || more >= ACK_BYTES || bundle->blocks_told >= ACK_BLOCKS || gap;
}

void bundle_lane_received(void *arg, size_t length)
{
    struct lane *lane = arg;
    struct bundle *bundle = lane->bundle;
    struct fs_error err = FS_ERROR_INIT;
    bundle_enter(bundle);
    bundle->heard = true;
    lane->heard_ns = fs_clock_boot(bundle->options.clock);
    if (bundle->witness_ns <= bundle->moving_ns) {
        bundle->witness_ns = lane->heard_ns;
    }
    if (lane->place == LANE_PLAIN) {
        bundle->transport.events->received(bundle->transport.events_arg, length);
        bundle_leave(bundle);
        return;
    }
    lane->usable = true;
    bool gap;
    if (take(lane, length, &gap, &err) < 0) {
        bundle_fail(bundle, &err);
    } else if (!bundle->closed) {
        if (ack_is_due(bundle, gap)) {
            bundle_send_ack(bundle, lane);
        }
        bundle_look_for_stall(bundle);
        bundle_transmit(bundle);
    }
    bundle_leave(bundle);
}
