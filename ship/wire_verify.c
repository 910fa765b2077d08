/* SPDX-License-Identifier: Apache-2.0 */
/* What verification says: VERIFY and its report, and the digests that two sites compare. */
#include <assert.h>
#include <stdlib.h>

#include "ship/codec.h"

#define DIFFERENCE_SIZE    40
#define DIGEST_VOLUME_SIZE 25
#define ENTRY_SIZE         16
#define ORDER_MIN          12
#define ORDER_MAX          25

void fs_verify_encode(const struct fs_verify *message, struct fs_buf *buf)
{
    fs_buf_put_uuid(buf, &message->group);
    fs_buf_put_uuid(buf, &message->point);
}

int fs_verify_decode(const uint8_t *payload, size_t length, struct fs_verify *ret_message,
                     struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_verify verify = {0};
    verify.group = fs_cursor_get_uuid(&cursor);
    verify.point = fs_cursor_get_uuid(&cursor);
    if (!fs_cursor_finished(&cursor) || fs_uuid_is_zero(&verify.group)) {
        return fs_codec_fail(err, "VERIFY", "%zu bytes, or no group", length);
    }
    *ret_message = verify;
    return 0;
}

void fs_verify_report_encode(const struct fs_verify_report *message, struct fs_buf *buf)
{
    assert(message->n_differences <= FS_DIFFERENCES_MAX);
    fs_buf_put_u8(buf, (uint8_t)message->phase);
    fs_buf_put_u8(buf, message->kept);
    fs_buf_put_uuid(buf, &message->point);
    fs_buf_put_u64(buf, message->done_bytes);
    fs_buf_put_u64(buf, message->total_bytes);
    fs_buf_put_u64(buf, message->read_bytes);
    fs_buf_put_u64(buf, message->different);
    fs_codec_put_message(buf, message->message);
    fs_buf_put_u16(buf, (uint16_t)message->n_differences);
    for (size_t i = 0; i < message->n_differences; i++) {
        fs_buf_put_uuid(buf, &message->differences[i].volume);
        fs_buf_put_u64(buf, message->differences[i].object);
        fs_buf_put_u64(buf, message->differences[i].offset);
        fs_buf_put_u64(buf, message->differences[i].length);
    }
}

static bool difference_decode(struct fs_cursor *cursor, struct fs_difference *difference)
{
    difference->volume = fs_cursor_get_uuid(cursor);
    difference->object = fs_cursor_get_u64(cursor);
    difference->offset = fs_cursor_get_u64(cursor);
    difference->length = fs_cursor_get_u64(cursor);
    return !fs_uuid_is_zero(&difference->volume) && difference->offset <= INT64_MAX &&
           difference->length > 0 && difference->length <= INT64_MAX;
}

int fs_verify_report_decode(const uint8_t *payload, size_t length,
                            struct fs_verify_report *ret_message, struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_verify_report report = {0};
    unsigned phase = fs_cursor_get_u8(&cursor), kept = fs_cursor_get_u8(&cursor);
    report.phase = (enum fs_verify_phase)phase;
    report.kept = kept == 1;
    report.point = fs_cursor_get_uuid(&cursor);
    report.done_bytes = fs_cursor_get_u64(&cursor);
    report.total_bytes = fs_cursor_get_u64(&cursor);
    report.read_bytes = fs_cursor_get_u64(&cursor);
    report.different = fs_cursor_get_u64(&cursor);
    fs_codec_get_text(&cursor, report.message, sizeof(report.message), FS_TEXT_MAY_BE_EMPTY);
    report.n_differences = fs_cursor_get_u16(&cursor);
    if (cursor.failed || phase > FS_VERIFY_FAILED || kept > 1 ||
        report.n_differences > FS_DIFFERENCES_MAX || report.done_bytes > report.total_bytes ||
        report.total_bytes > INT64_MAX || report.read_bytes > INT64_MAX ||
        report.different > INT64_MAX ||
        fs_cursor_left(&cursor) != report.n_differences * DIFFERENCE_SIZE) {
        return fs_codec_fail(err, "VERIFY_REPORT", "a field is missing or impossible");
    }
    if (phase == FS_VERIFY_EQUAL && report.different > 0) {
        return fs_codec_fail(err, "VERIFY_REPORT", "equal, with differences");
    }
    for (size_t i = 0; i < report.n_differences; i++) {
        if (!difference_decode(&cursor, &report.differences[i])) {
            return fs_codec_fail(err, "VERIFY_REPORT", "difference %zu is impossible", i);
        }
    }
    *ret_message = report;
    return 0;
}

void fs_digest_open_encode(const struct fs_digest_open *message, struct fs_buf *buf)
{
    fs_buf_put_uuid(buf, &message->group);
    fs_buf_put_uuid(buf, &message->point);
}

int fs_digest_open_decode(const uint8_t *payload, size_t length, struct fs_digest_open *ret_message,
                          struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_digest_open open = {0};
    open.group = fs_cursor_get_uuid(&cursor);
    open.point = fs_cursor_get_uuid(&cursor);
    if (!fs_cursor_finished(&cursor) || fs_uuid_is_zero(&open.group) ||
        fs_uuid_is_zero(&open.point)) {
        return fs_codec_fail(err, "DIGEST_OPEN", "%zu bytes, or no group or point", length);
    }
    *ret_message = open;
    return 0;
}

void fs_digest_ready_encode(const struct fs_digest_ready *message, struct fs_buf *buf)
{
    assert(message->n_volumes <= FS_VOLUMES_MAX);
    fs_buf_put_u16(buf, (uint16_t)message->n_volumes);
    for (size_t i = 0; i < message->n_volumes; i++) {
        fs_buf_put_uuid(buf, &message->volumes[i].volume);
        fs_buf_put_u64(buf, message->volumes[i].size);
        fs_buf_put_u8(buf, message->volumes[i].order);
    }
}

int fs_digest_ready_decode(const uint8_t *payload, size_t length,
                           struct fs_digest_ready *ret_message, struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_digest_ready ready = {.n_volumes = fs_cursor_get_u16(&cursor)};
    if (cursor.failed || ready.n_volumes > FS_VOLUMES_MAX ||
        fs_cursor_left(&cursor) != ready.n_volumes * DIGEST_VOLUME_SIZE) {
        return fs_codec_fail(err, "DIGEST_READY", "%zu volumes in %zu bytes", ready.n_volumes,
                             length);
    }
    for (size_t i = 0; i < ready.n_volumes; i++) {
        struct fs_digest_volume *volume = &ready.volumes[i];
        volume->volume = fs_cursor_get_uuid(&cursor);
        volume->size = fs_cursor_get_u64(&cursor);
        volume->order = fs_cursor_get_u8(&cursor);
        if (fs_uuid_is_zero(&volume->volume) || volume->size > INT64_MAX ||
            volume->order < ORDER_MIN || volume->order > ORDER_MAX) {
            return fs_codec_fail(err, "DIGEST_READY", "volume %zu is impossible", i);
        }
    }
    *ret_message = ready;
    return 0;
}

void fs_digest_want_encode(const struct fs_digest_want *message, struct fs_buf *buf)
{
    fs_buf_put_uuid(buf, &message->query.volume);
    fs_buf_put_u64(buf, message->query.from);
    fs_buf_put_u64(buf, message->query.to);
    fs_buf_put_u32(buf, message->query.unit);
}

int fs_digest_want_decode(const uint8_t *payload, size_t length, struct fs_digest_want *ret_message,
                          struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_digest_query query = {0};
    query.volume = fs_cursor_get_uuid(&cursor);
    query.from = fs_cursor_get_u64(&cursor);
    query.to = fs_cursor_get_u64(&cursor);
    query.unit = fs_cursor_get_u32(&cursor);
    if (!fs_cursor_finished(&cursor) || query.unit < FS_DIGEST_UNIT_MIN ||
        query.unit > FS_DIGEST_UNIT_MAX || (query.unit & (query.unit - 1)) != 0 ||
        query.to > INT64_MAX || query.from >= query.to || query.from % query.unit != 0) {
        return fs_codec_fail(err, "DIGEST_WANT", "bytes %llu to %llu in units of %u",
                             (unsigned long long)query.from, (unsigned long long)query.to,
                             query.unit);
    }
    ret_message->query = query;
    return 0;
}

void fs_digest_batch_encode(const struct fs_digest_batch *message, struct fs_buf *buf)
{
    assert(message->n_entries <= FS_DIGESTS_MAX);
    fs_buf_put_u64(buf, message->next);
    fs_buf_put_u32(buf, (uint32_t)message->n_entries);
    for (size_t i = 0; i < message->n_entries; i++) {
        fs_buf_put_u64(buf, message->entries[i].offset);
        fs_buf_put_u64(buf, message->entries[i].digest);
    }
}

int fs_digest_batch_decode(const uint8_t *payload, size_t length,
                           struct fs_digest_batch *ret_message, struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_digest_batch batch = {.next = fs_cursor_get_u64(&cursor)};
    batch.n_entries = fs_cursor_get_u32(&cursor);
    if (cursor.failed || batch.n_entries > FS_DIGESTS_MAX || batch.next > INT64_MAX ||
        fs_cursor_left(&cursor) != batch.n_entries * ENTRY_SIZE) {
        return fs_codec_fail(err, "DIGEST_BATCH", "%zu entries in %zu bytes", batch.n_entries,
                             length);
    }
    /* calloc(0) may give NULL; one spare entry keeps NULL for "out of memory". */
    batch.entries = calloc(batch.n_entries + 1, sizeof(*batch.entries));
    if (batch.entries == NULL) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < batch.n_entries; i++) {
        struct fs_digest_entry *entry = &batch.entries[i];
        entry->offset = fs_cursor_get_u64(&cursor);
        entry->digest = fs_cursor_get_u64(&cursor);
        if (entry->offset >= batch.next || entry->digest == 0 ||
            (i > 0 && entry->offset <= batch.entries[i - 1].offset)) {
            fs_digest_batch_fini(&batch);
            return fs_codec_fail(err, "DIGEST_BATCH", "entry %zu is impossible", i);
        }
    }
    *ret_message = batch;
    return 0;
}

void fs_digest_batch_fini(struct fs_digest_batch *message)
{
    free(message->entries);
    *message = (struct fs_digest_batch){0};
}

bool fs_digest_batch_answers(const struct fs_digest_batch *message,
                             const struct fs_digest_query *query)
{
    if (message->next <= query->from || message->next > query->to) {
        return false;
    }
    for (size_t i = 0; i < message->n_entries; i++) {
        uint64_t offset = message->entries[i].offset;
        if (offset < query->from || offset >= message->next || offset % query->unit != 0) {
            return false;
        }
    }
    return message->next == query->to || message->next % query->unit == 0;
}
