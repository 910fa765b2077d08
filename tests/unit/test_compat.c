/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What earlier versions wrote must decode for ever: the files of tests/compat/N are what version N
 * sent (one frame each) and stored (the values of omap keys and image metadata). Everything that
 * they say must be understood: it is encoded again, and nothing may be missing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "daemon/verify_note.h"
#include "farshore/captured.h"
#include "farshore/record.h"
#include "farshore/wire.h"
#include "ship/content.h"
#include "snapshot/drill.h"
#include "snapshot/fence_record.h"
#include "snapshot/stamp.h"
#include "snapshot/state.h"

#define FILE_MAX 65536

struct recording {
    char path[512];
    uint8_t bytes[FILE_MAX];
    size_t length; /* a NUL follows */
};

/* False where there is no such file. */
static bool load(int version, const char *name, struct recording *ret_recording)
{
    (void)snprintf(ret_recording->path, sizeof(ret_recording->path),
                   FARSHORE_SOURCE_DIR "/tests/compat/%d/%s", version, name);
    FILE *file = fopen(ret_recording->path, "rb");
    if (!file) {
        return false;
    }
    ret_recording->length = fread(ret_recording->bytes, 1, FILE_MAX - 1, file);
    ret_recording->bytes[ret_recording->length] = '\0';
    (void)fclose(file);
    assert_in_range(ret_recording->length, 1, FILE_MAX - 2);
    return true;
}

/* --- frames ---------------------------------------------------------------------------------- */

static void no_fini(const void *message)
{
    (void)message;
}

static void check_payload(const struct fs_frame *frame)
{
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf buf = FS_BUF_INIT;
    int rc = -ENOENT;

/* Later versions may add to a message, and put what they add last. */
#define CHECK(name, fini)                                                                          \
    do {                                                                                           \
        struct fs_##name message;                                                                  \
        rc = fs_##name##_decode(frame->payload, frame->length, &message, &err);                    \
        if (rc == 0) {                                                                             \
            fs_##name##_encode(&message, &buf);                                                    \
            fini(&message);                                                                        \
        }                                                                                          \
    } while (0)

    switch ((enum fs_frame_type)frame->type) {
    case FS_FRAME_HELLO:
        CHECK(hello, no_fini);
        break;
    case FS_FRAME_BYE:
    case FS_FRAME_ABORT:
        CHECK(text, no_fini);
        break;
    case FS_FRAME_PING:
    case FS_FRAME_PONG:
        CHECK(ping, no_fini);
        break;
    case FS_FRAME_CREDIT:
        CHECK(credit, no_fini);
        break;
    case FS_FRAME_LANES:
        CHECK(lanes, no_fini);
        break;
    case FS_FRAME_LANE:
        CHECK(lane, no_fini);
        break;
    case FS_FRAME_OFFER:
        CHECK(offer, fs_offer_fini);
        break;
    case FS_FRAME_OBJECTS_WANT:
        CHECK(objects_want, no_fini);
        break;
    case FS_FRAME_OBJECTS_DATA:
        CHECK(objects_data, no_fini);
        break;
    case FS_FRAME_ACCEPT:
        CHECK(accept, fs_accept_fini);
        break;
    case FS_FRAME_REFUSE:
        CHECK(refuse, no_fini);
        break;
    case FS_FRAME_SEGMENT:
        CHECK(segment, fs_segment_fini);
        break;
    case FS_FRAME_PROGRESS:
        CHECK(progress, fs_progress_fini);
        break;
    case FS_FRAME_COMMIT:
        CHECK(commit, fs_commit_fini);
        break;
    case FS_FRAME_COMMITTED:
        CHECK(committed, no_fini);
        break;
    case FS_FRAME_CURRENT:
    case FS_FRAME_CURRENT_ACK:
        CHECK(current_list, fs_current_list_fini);
        break;
    case FS_FRAME_TERMS:
        CHECK(terms, fs_terms_fini);
        break;
    case FS_FRAME_FENCE_WANT:
        CHECK(fence_want, no_fini);
        break;
    case FS_FRAME_FENCE_DONE:
        CHECK(fence_done, no_fini);
        break;
    case FS_FRAME_FENCE_LOOK:
        CHECK(fence_look, no_fini);
        break;
    case FS_FRAME_FENCE_SEEN:
        CHECK(fence_seen, fs_fence_seen_fini);
        break;
    case FS_FRAME_MOVE:
        CHECK(move, no_fini);
        break;
    case FS_FRAME_MOVE_ANSWER:
        CHECK(move_answer, no_fini);
        break;
    case FS_FRAME_VERIFY:
        CHECK(verify, no_fini);
        break;
    case FS_FRAME_VERIFY_REPORT:
        CHECK(verify_report, no_fini);
        break;
    case FS_FRAME_DIGEST_OPEN:
        CHECK(digest_open, no_fini);
        break;
    case FS_FRAME_DIGEST_READY:
        CHECK(digest_ready, no_fini);
        break;
    case FS_FRAME_DIGEST_WANT:
        CHECK(digest_want, no_fini);
        break;
    case FS_FRAME_DIGEST_BATCH:
        CHECK(digest_batch, fs_digest_batch_fini);
        break;
    }
#undef CHECK
    if (rc != 0) {
        fail_msg("%s", err.message);
    }
    assert_false(buf.failed);
    assert_true(buf.length >= frame->length);
    assert_memory_equal(buf.data, frame->payload, frame->length);
    fs_buf_fini(&buf);
}

static void check_content(const struct fs_frame *frame)
{
    struct fs_error err = FS_ERROR_INIT;
    struct fs_segment segment;
    static uint8_t raw[FS_SEGMENT_MAX];

    assert_int_equal(fs_segment_decode(frame->payload, frame->length, &segment, &err), 0);
    const uint8_t *content = segment.payload;
    if (segment.codec == FS_CODEC_ZSTD) {
        assert_int_equal(fs_content_decompress(segment.payload, segment.payload_length, NULL, 0,
                                               raw, segment.raw_length, &err),
                         0);
        content = raw;
    }
    assert_int_equal(fs_content_verify(segment.extents, segment.n_extents, content, &err), 0);
    fs_segment_fini(&segment);
}

/* suffix: a second recording of the same type. */
static void check_frame(int version, uint16_t type, const char *suffix)
{
    static struct recording recording;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_frame frame;
    char name[64];

    (void)snprintf(name, sizeof(name), "frames/%s%s", fs_frame_type_name(type), suffix);
    if (!load(version, name, &recording)) {
        fail_msg("record a frame as %s", recording.path);
    }
    print_message("%s\n", recording.path);
    assert_int_equal(fs_frame_parse(recording.bytes, recording.length, &frame, &err),
                     recording.length);
    assert_int_equal(frame.type, type);
    check_payload(&frame);
    if (type == FS_FRAME_SEGMENT) {
        check_content(&frame);
    }
}

static void test_every_frame_of_every_version_decodes(void **state)
{
    (void)state;
    for (int version = 1; version <= FS_WIRE_VERSION; version++) {
        for (uint16_t type = 0; type < 256; type++) {
            if (strcmp(fs_frame_type_name(type), "unknown") != 0) {
                check_frame(version, type, "");
            }
        }
        check_frame(version, FS_FRAME_SEGMENT, "-zstd");
        check_frame(version, FS_FRAME_OFFER, "-objects");
    }
}

/* --- records --------------------------------------------------------------------------------- */

/* Everything in a is in b. */
static bool is_part(const json_t *a, const json_t *b)
{
    const char *key;
    json_t *value;
    size_t i;

    if (json_is_object(a) && json_is_object(b)) {
        json_object_foreach((json_t *)a, key, value)
        {
            if (strcmp(key, "format") != 0 && !is_part(value, json_object_get(b, key))) {
                print_message("lost: %s\n", key);
                return false;
            }
        }
        return true;
    }
    if (json_is_array(a) && json_is_array(b)) {
        json_array_foreach(a, i, value)
        {
            if (!is_part(value, json_array_get(b, i))) {
                return false;
            }
        }
        return json_array_size(a) == json_array_size(b);
    }
    return json_equal(a, b);
}

/* again is freed. */
static void check_again(const struct recording *recording, char *again)
{
    json_t *a = json_loadb((const char *)recording->bytes, recording->length, 0, NULL);
    json_t *b = json_loads(again, 0, NULL);

    print_message("%s\n", recording->path);
    assert_true(is_part(a, b));
    json_decref(a);
    json_decref(b);
    free(again);
}

static void get(int version, const char *name, struct recording *ret_recording)
{
    if (!load(version, name, ret_recording)) {
        fail_msg("no %s", ret_recording->path);
    }
    /* An editor's last line end is not part of what was stored. */
    if (ret_recording->bytes[ret_recording->length - 1] == '\n') {
        ret_recording->bytes[--ret_recording->length] = '\0';
    }
}

static void check_record(int version, const char *name)
{
    static struct recording recording;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_record *record;

    get(version, name, &recording);
    if (fs_record_decode((const char *)recording.bytes, recording.length, &record, &err) < 0) {
        fail_msg("%s", err.message);
    }
    check_again(&recording, fs_record_encode(record));
    fs_record_free(record);
}

/* A document as it lies in the state pool and goes over the wire. */
static void check_captured(int version)
{
    static struct recording recording;
    const char *const text = "{\"format\":1,\"missing\":[],\"objects\":[]}";
    struct fs_captured captured;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf found;

    if (!load(version, "records/captured", &recording)) {
        fail_msg("no %s", recording.path);
    }
    assert_int_equal(fs_digest_parse("8579d0b2cbb170fba477a28263fc6039", &captured.digest), 0);
    captured.size = (uint32_t)strlen(text);
    assert_int_equal(fs_captured_unpack(&captured, recording.bytes, recording.length, &found, &err),
                     0);
    assert_string_equal((const char *)found.data, text);
    fs_buf_fini(&found);
}

static void check_records(int version)
{
    static struct recording recording;
    const char *text = (const char *)recording.bytes;
    struct fs_error err = FS_ERROR_INIT;

    struct fs_stamp stamp;
    get(version, "records/stamp.json", &recording);
    assert_int_equal(fs_stamp_parse(text, recording.length, "1a2b3c", &stamp, &err), 0);
    check_again(&recording, fs_stamp_encode("1a2b3c", &stamp));

    static struct fs_drill drill;
    get(version, "records/drill.json", &recording);
    assert_int_equal(fs_drill_decode(text, &drill), 0);
    check_again(&recording, fs_drill_encode(&drill));

    struct fs_fence fence;
    get(version, "records/fence.json", &recording);
    assert_int_equal(fs_fence_decode(text, &fence), 0);
    check_again(&recording, fs_fence_encode(&fence));

    static struct fs_verify_note note;
    get(version, "records/verify_note.json", &recording);
    assert_int_equal(fs_verify_note_decode(text, &note), 0);
    check_again(&recording, fs_verify_note_encode(&note));

    struct fs_uuid point;
    int64_t until_ns;
    get(version, "records/current", &recording);
    assert_int_equal(fs_state_parse_current(text, &point, &until_ns), 0);
    assert_int_equal(point.b[0], 5);
    assert_true(until_ns == INT64_C(1764100000000000000));
}

static void test_every_record_of_every_version_decodes(void **state)
{
    (void)state;
    for (int version = 1; version <= FS_RECORD_FORMAT; version++) {
        check_records(version);
    }
    check_record(1, "records/record.json");
    check_record(1, "records/record-2.json"); /* with failback and relocation, which came later */
    check_record(1, "records/record-3.json"); /* with fencing */
    check_record(1, "records/record-4.json"); /* with Kubernetes objects */
    check_record(1, "records/record-5.json"); /* with what may be frozen */
    check_captured(1);
    check_record(1, "records/record-bring_up.json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_frame_of_every_version_decodes),
        cmocka_unit_test(test_every_record_of_every_version_decodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
