/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/wire_rig.h"

DECODER(hello, no_fini)
DECODER(ping, no_fini)
DECODER(credit, no_fini)
DECODER(lanes, no_fini)
DECODER(lane, no_fini)
DECODER(accept, fs_accept_fini)
DECODER(refuse, no_fini)
DECODER(segment, fs_segment_fini)
DECODER(progress, fs_progress_fini)
DECODER(commit, fs_commit_fini)
DECODER(committed, no_fini)
DECODER(text, no_fini)
DECODER(current_list, fs_current_list_fini)
DECODER(terms, fs_terms_fini)
DECODER(move, no_fini)
DECODER(move_answer, no_fini)

/* --- stream 0 ------------------------------------------------------------------------------- */

static struct fs_hello a_hello(void)
{
    return (struct fs_hello){
        .version_min = 1,
        .version_max = 3,
        .features = 5,
        .site = "öst-1",
        .site_uuid = uuid_a,
        .instance = uuid_b,
        .credit = 8 << 20,
        .wall_ns = -77,
        .software = "farshore 0.1",
    };
}

static void test_hello_round_trip(void **state)
{
    (void)state;
    struct fs_hello hello = a_hello();
    struct fs_buf buf = FS_BUF_INIT;
    fs_hello_encode(&hello, &buf);
    struct fs_hello got;
    struct fs_error err = FS_ERROR_INIT;
    assert_int_equal(fs_hello_decode(buf.data, buf.length, &got, &err), 0);
    assert_int_equal(got.version_min, 1);
    assert_int_equal(got.version_max, 3);
    assert_int_equal(got.features, 5);
    assert_string_equal(got.site, "öst-1");
    assert_true(fs_uuid_equal(&got.site_uuid, &uuid_a));
    assert_true(fs_uuid_equal(&got.instance, &uuid_b));
    assert_int_equal(got.credit, 8 << 20);
    assert_int_equal(got.wall_ns, -77);
    assert_string_equal(got.software, "farshore 0.1");
    check_bounds_of(decode_hello, true, &buf);
}

static void check_hello_refused(const struct fs_hello *hello)
{
    struct fs_buf buf = FS_BUF_INIT;
    fs_hello_encode(hello, &buf);
    assert_int_equal(decode_copy(decode_hello, buf.data, buf.length), -EPROTO);
    fs_buf_fini(&buf);
}

static void test_hello_impossible_fields_are_refused(void **state)
{
    (void)state;
    const char *bad_names[] = {
        "",           "a\nb",     "\x7f",         "\xc2\x85",
        "\xff",       "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
        "ab\xe2\x82",
    };
    for (size_t i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++) {
        struct fs_hello hello = a_hello();
        snprintf(hello.site, sizeof(hello.site), "%s", bad_names[i]);
        check_hello_refused(&hello);
    }
    struct fs_hello hello = a_hello();
    hello.version_min = 4;
    check_hello_refused(&hello);
    hello = a_hello();
    hello.version_min = 0;
    check_hello_refused(&hello);
    hello = a_hello();
    hello.instance = (struct fs_uuid){0};
    check_hello_refused(&hello);
    hello = a_hello();
    hello.credit = FS_CREDIT_MIN - 1;
    check_hello_refused(&hello);
    hello.credit = FS_CREDIT_MAX + 1;
    check_hello_refused(&hello);
}

static void test_ping_credit_round_trip(void **state)
{
    (void)state;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf buf = FS_BUF_INIT;
    struct fs_ping ping = {.id = 9, .boot_ns = UINT64_MAX, .wall_ns = INT64_MIN}, ping_got;
    fs_ping_encode(&ping, &buf);
    assert_int_equal(fs_ping_decode(buf.data, buf.length, &ping_got, &err), 0);
    assert_memory_equal(&ping_got, &ping, sizeof(ping));
    check_bounds(decode_ping, &buf);

    struct fs_credit credit = {.bytes = 12345}, credit_got;
    fs_credit_encode(&credit, &buf);
    assert_int_equal(fs_credit_decode(buf.data, buf.length, &credit_got, &err), 0);
    assert_int_equal(credit_got.bytes, 12345);
    check_bounds(decode_credit, &buf);

    credit.bytes = 0;
    fs_credit_encode(&credit, &buf);
    assert_int_equal(decode_copy(decode_credit, buf.data, buf.length), -EPROTO);
    fs_buf_fini(&buf);
}

static void test_lanes_round_trip(void **state)
{
    (void)state;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf buf = FS_BUF_INIT;
    struct fs_lanes lanes = {.window = FS_LANES_WINDOW_MIN, .lane = {.token = {1, 2, 3}}}, got;
    fs_lanes_encode(&lanes, &buf);
    assert_int_equal(fs_lanes_decode(buf.data, buf.length, &got, &err), 0);
    assert_memory_equal(&got, &lanes, sizeof(lanes));
    check_bounds(decode_lanes, &buf);

    struct fs_lane lane_got;
    fs_lane_encode(&lanes.lane, &buf);
    assert_int_equal(fs_lane_decode(buf.data, buf.length, &lane_got, &err), 0);
    assert_memory_equal(&lane_got, &lanes.lane, sizeof(lane_got));
    check_bounds(decode_lane, &buf);

    lanes.window--;
    fs_lanes_encode(&lanes, &buf);
    assert_int_equal(decode_copy(decode_lanes, buf.data, buf.length), -EPROTO);
    fs_buf_fini(&buf);
}

static void test_text_is_cleaned_when_sent(void **state)
{
    (void)state;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf buf = FS_BUF_INIT;
    struct fs_text text = {.text = "two\nlines, \xff and é"}, got;
    fs_text_encode(&text, &buf);
    assert_int_equal(fs_text_decode(buf.data, buf.length, &got, &err), 0);
    assert_string_equal(got.text, "two?lines, ? and é");
    check_bounds(decode_text, &buf);
}

/* A message that was cut by its buffer in the middle of a character still arrives. */
static void test_refuse_longest_message_arrives(void **state)
{
    (void)state;
    struct fs_refuse refuse = {.reason = FS_REFUSE_NO_SPACE}, got;
    memset(refuse.message, 'x', sizeof(refuse.message) - 2);
    refuse.message[sizeof(refuse.message) - 2] = '\xc3';
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf buf = FS_BUF_INIT;
    fs_refuse_encode(&refuse, &buf);
    assert_int_equal(fs_refuse_decode(buf.data, buf.length, &got, &err), 0);
    assert_int_equal(got.reason, FS_REFUSE_NO_SPACE);
    assert_int_equal(strlen(got.message), sizeof(got.message) - 1);
    assert_int_equal(got.message[sizeof(got.message) - 2], '?');
    check_bounds(decode_refuse, &buf);
}

static void test_refuse_reasons_of_later_versions_are_understood(void **state)
{
    (void)state;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf buf = FS_BUF_INIT;
    struct fs_refuse refuse = {.reason = (enum fs_refusal)4711, .message = "new"}, got;
    fs_refuse_encode(&refuse, &buf);
    assert_int_equal(fs_refuse_decode(buf.data, buf.length, &got, &err), 0);
    assert_int_equal(got.reason, FS_REFUSE_BROKEN);
    assert_string_equal(got.message, "new");
    fs_buf_fini(&buf);

    refuse.reason = FS_REFUSE_NONE;
    fs_refuse_encode(&refuse, &buf);
    assert_int_equal(decode_copy(decode_refuse, buf.data, buf.length), -EPROTO);
    fs_buf_fini(&buf);
}

static void test_terms_round_trip(void **state)
{
    (void)state;
    struct fs_terms_entry entries[] = {
        {.group = uuid_a, .term = {1, uuid_b}, .role = FS_ROLE_PRIMARY},
        {.group = uuid_b, .term = {INT64_MAX, uuid_a}, .role = FS_ROLE_SUPERSEDED, .flags = 0x80},
    };
    struct fs_terms terms = {.more = true, .count = 2, .entries = entries}, got;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf buf = FS_BUF_INIT;
    fs_terms_encode(&terms, &buf);
    assert_int_equal(fs_terms_decode(buf.data, buf.length, &got, &err), 0);
    assert_true(got.more);
    assert_int_equal(got.count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_true(fs_uuid_equal(&got.entries[i].group, &entries[i].group));
        assert_int_equal(got.entries[i].term.number, entries[i].term.number);
        assert_true(fs_uuid_equal(&got.entries[i].term.site, &entries[i].term.site));
        assert_int_equal(got.entries[i].role, entries[i].role);
        assert_int_equal(got.entries[i].flags, entries[i].flags);
    }
    fs_terms_fini(&got);
    check_bounds(decode_terms, &buf);
    fs_buf_fini(&buf);

    fs_buf_put_u8(&buf, 0);
    fs_buf_put_u32(&buf, UINT32_MAX); /* a promise of 168 GiB */
    assert_int_equal(decode_copy(decode_terms, buf.data, buf.length), -EPROTO);
    fs_buf_fini(&buf);
}

static void test_terms_impossible_fields_are_refused(void **state)
{
    (void)state;
    struct fs_terms_entry entry = {.group = uuid_a, .term = {1, uuid_b}, .role = FS_ROLE_PRIMARY};
    struct fs_terms terms = {.count = 1, .entries = &entry}, got;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf buf = FS_BUF_INIT;
    entry.term.number = UINT64_MAX;
    fs_terms_encode(&terms, &buf);
    assert_int_equal(decode_copy(decode_terms, buf.data, buf.length), -EPROTO);
    fs_buf_fini(&buf);
    entry = (struct fs_terms_entry){.term = {1, uuid_b}};
    fs_terms_encode(&terms, &buf);
    assert_int_equal(decode_copy(decode_terms, buf.data, buf.length), -EPROTO);
    fs_buf_fini(&buf);
    /* A role of a later version: its term still counts. */
    entry = (struct fs_terms_entry){.group = uuid_a, .term = {1, uuid_b}};
    fs_terms_encode(&terms, &buf);
    buf.data[buf.length - 2] = 200;
    assert_int_equal(fs_terms_decode(buf.data, buf.length, &got, &err), 0);
    assert_int_equal(got.entries[0].role, FS_ROLE_NONE);
    fs_terms_fini(&got);
    fs_buf_fini(&buf);
}

static void check_move_refused(const struct fs_move *move)
{
    struct fs_buf buf = FS_BUF_INIT;

    fs_move_encode(move, &buf);
    assert_int_equal(decode_copy(decode_move, buf.data, buf.length), -EPROTO);
    fs_buf_fini(&buf);
}

static void test_move_round_trip(void **state)
{
    (void)state;
    const struct fs_move moves[] = {
        {.group = uuid_a, .what = FS_MOVE_CHECK, .term = {3, uuid_b}},
        {.group = uuid_a,
         .what = FS_MOVE_GRANT,
         .term = {3, uuid_b},
         .number = INT64_MAX,
         .point = uuid_b},
        {.group = uuid_a, .what = FS_MOVE_LOOK, .term = {3, uuid_b}},
        {.group = uuid_a, .what = FS_MOVE_BRING, .term = {3, uuid_b}},
    };
    struct fs_error err = FS_ERROR_INIT;

    for (size_t i = 0; i < sizeof(moves) / sizeof(moves[0]); i++) {
        struct fs_buf buf = FS_BUF_INIT;
        struct fs_move got;

        fs_move_encode(&moves[i], &buf);
        assert_int_equal(fs_move_decode(buf.data, buf.length, &got, &err), 0);
        assert_true(fs_uuid_equal(&got.group, &moves[i].group));
        assert_int_equal(got.what, moves[i].what);
        assert_int_equal(got.term.number, 3);
        assert_int_equal(got.number, moves[i].number);
        assert_true(fs_uuid_equal(&got.point, &moves[i].point));
        check_bounds(decode_move, &buf);
        fs_buf_fini(&buf);
    }
    for (unsigned wrong = 0; wrong < 6; wrong++) {
        struct fs_move bad = moves[1];

        bad.what = wrong == 0 ? 6 : bad.what;
        bad.number = wrong == 1 ? 3 : bad.number; /* not above the term */
        bad.point = wrong == 2 ? (struct fs_uuid){{0}} : bad.point;
        bad.term.number = wrong == 3 ? 0 : bad.term.number;
        bad.group = wrong == 4 ? (struct fs_uuid){{0}} : bad.group;
        bad.number = wrong == 5 ? UINT64_MAX : bad.number;
        check_move_refused(&bad);
    }
}

static void test_move_answer_round_trip(void **state)
{
    (void)state;
    const struct fs_move_answer answer = {.group = uuid_a,
                                          .what = FS_MOVE_GRANT,
                                          .number = 4,
                                          .outcome = FS_MOVE_LATER,
                                          .message = "not now"};
    struct fs_move_answer got, bad = answer;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf buf = FS_BUF_INIT;

    fs_move_answer_encode(&answer, &buf);
    assert_int_equal(fs_move_answer_decode(buf.data, buf.length, &got, &err), 0);
    assert_true(fs_uuid_equal(&got.group, &uuid_a));
    assert_int_equal(got.outcome, FS_MOVE_LATER);
    assert_int_equal(got.number, 4);
    assert_string_equal(got.message, "not now");
    check_bounds(decode_move_answer, &buf);
    fs_buf_fini(&buf);
    bad.outcome = 3;
    fs_move_answer_encode(&bad, &buf);
    assert_int_equal(decode_copy(decode_move_answer, buf.data, buf.length), -EPROTO);
    fs_buf_fini(&buf);
}

static void test_current_list_round_trip(void **state)
{
    (void)state;
    struct fs_current_entry entries[] = {{uuid_a, uuid_b, 5}, {uuid_b, uuid_a, INT64_MAX}};
    struct fs_current_list list = {.count = 2, .entries = entries}, got;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf buf = FS_BUF_INIT;
    fs_current_list_encode(&list, &buf);
    assert_int_equal(fs_current_list_decode(buf.data, buf.length, &got, &err), 0);
    assert_int_equal(got.count, 2);
    assert_memory_equal(got.entries, entries, sizeof(entries));
    fs_current_list_fini(&got);
    check_bounds(decode_current_list, &buf);

    list.count = 0;
    fs_current_list_encode(&list, &buf);
    assert_int_equal(decode_copy(decode_current_list, buf.data, buf.length), 0);
    fs_buf_fini(&buf);

    fs_buf_put_u32(&buf, UINT32_MAX); /* a promise of 160 GiB */
    assert_int_equal(decode_copy(decode_current_list, buf.data, buf.length), -EPROTO);
    fs_buf_fini(&buf);
}

/* --- positions ------------------------------------------------------------------------------ */

static void test_positions_round_trip(void **state)
{
    (void)state;
    struct fs_position positions[] = {{.offset = 0},
                                      {.offset = INT64_MAX, .chain = {.b = {1, 2, 3}}}};
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf buf = FS_BUF_INIT;
    struct fs_accept accept = {.base = uuid_b, .n_positions = 2, .positions = positions}, accepted;
    fs_accept_encode(&accept, &buf);
    assert_int_equal(fs_accept_decode(buf.data, buf.length, &accepted, &err), 0);
    assert_true(fs_uuid_equal(&accepted.base, &uuid_b));
    assert_int_equal(accepted.n_positions, 2);
    assert_memory_equal(accepted.positions, positions, sizeof(positions));
    fs_accept_fini(&accepted);
    check_bounds(decode_accept, &buf);

    struct fs_progress progress = {.n_positions = 2, .positions = positions};
    fs_progress_encode(&progress, &buf);
    check_bounds(decode_progress, &buf);

    struct fs_commit commit = {.bytes = 99, .n_finals = 2, .finals = positions}, committing;
    fs_commit_encode(&commit, &buf);
    assert_int_equal(fs_commit_decode(buf.data, buf.length, &committing, &err), 0);
    assert_int_equal(committing.bytes, 99);
    assert_memory_equal(committing.finals, positions, sizeof(positions));
    fs_commit_fini(&committing);
    check_bounds(decode_commit, &buf);

    struct fs_committed committed = {.point = uuid_a, .record_version = 7}, done;
    fs_committed_encode(&committed, &buf);
    assert_int_equal(fs_committed_decode(buf.data, buf.length, &done, &err), 0);
    assert_true(fs_uuid_equal(&done.point, &uuid_a));
    assert_int_equal(done.record_version, 7);
    check_bounds(decode_committed, &buf);

    positions[0].chain.b[0] = 1; /* something of nothing */
    fs_progress_encode(&progress, &buf);
    assert_int_equal(decode_copy(decode_progress, buf.data, buf.length), -EPROTO);
    fs_buf_fini(&buf);
}

/* --- segments ------------------------------------------------------------------------------- */

static void fill_segment(struct fs_segment *segment, struct fs_segment_extent *extents)
{
    static const uint8_t content[6144] = {1, 2, 3};
    extents[0] = (struct fs_segment_extent){{4096, 4096, FS_EXTENT_DATA}, 77};
    extents[1] = (struct fs_segment_extent){{8192, 1 << 30, FS_EXTENT_ZERO}, 0};
    extents[2] = (struct fs_segment_extent){{INT64_C(1) << 40, 2048, FS_EXTENT_DATA}, 78};
    *segment = (struct fs_segment){
        .volume = 3,
        .codec = FS_CODEC_RAW,
        .raw_length = 6144,
        .start = 4096,
        .end = (UINT64_C(1) << 40) + 2048,
        .n_extents = 3,
        .extents = extents,
        .payload = content,
        .payload_length = sizeof(content),
    };
}

static void test_segment_round_trip(void **state)
{
    (void)state;
    struct fs_segment segment, got;
    struct fs_segment_extent extents[3];
    fill_segment(&segment, extents);
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf buf = FS_BUF_INIT;
    fs_segment_encode(&segment, &buf);
    assert_int_equal(buf.length, fs_segment_size(&segment));
    assert_int_equal(fs_segment_decode(buf.data, buf.length, &got, &err), 0);
    assert_int_equal(got.volume, 3);
    assert_int_equal(got.codec, FS_CODEC_RAW);
    assert_int_equal(got.raw_length, 6144);
    assert_int_equal(got.start, segment.start);
    assert_int_equal(got.end, segment.end);
    assert_int_equal(got.n_extents, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(got.extents[i].extent.offset, extents[i].extent.offset);
        assert_int_equal(got.extents[i].extent.length, extents[i].extent.length);
        assert_int_equal(got.extents[i].extent.kind, extents[i].extent.kind);
        assert_int_equal(got.extents[i].hash, extents[i].hash);
    }
    assert_int_equal(got.payload_length, 6144);
    assert_memory_equal(got.payload, segment.payload, 6144);
    fs_segment_fini(&got);
    check_bounds(decode_segment, &buf);
}

static void test_segment_without_extents_is_a_step_forward(void **state)
{
    (void)state;
    struct fs_segment segment = {.start = 0, .end = 1 << 20};
    struct fs_buf buf = FS_BUF_INIT;
    fs_segment_encode(&segment, &buf);
    check_bounds(decode_segment, &buf);
}

static void check_segment(const struct fs_segment *segment, int line)
{
    struct fs_buf buf = FS_BUF_INIT;
    fs_segment_encode(segment, &buf);
    if (decode_copy(decode_segment, buf.data, buf.length) != -EPROTO) {
        fail_msg("the segment of line %d was accepted", line);
    }
    fs_buf_fini(&buf);
}

#define REFUSED(change)                                                                            \
    do {                                                                                           \
        struct fs_segment s;                                                                       \
        struct fs_segment_extent e[3];                                                             \
        fill_segment(&s, e);                                                                       \
        change;                                                                                    \
        check_segment(&s, __LINE__);                                                               \
    } while (0)

static void test_segment_impossible_fields_are_refused(void **state)
{
    (void)state;
    REFUSED(s.volume = FS_VOLUMES_MAX);
    REFUSED(s.codec = (enum fs_codec)3);
    REFUSED(s.raw_length--);
    REFUSED(s.raw_length++);
    REFUSED(s.payload_length--);
    REFUSED((s.codec = FS_CODEC_ZSTD, s.payload_length = 0));
    REFUSED((s.codec = FS_CODEC_ZSTD, s.raw_length = 0));
    REFUSED(s.end = s.start);
    REFUSED((s.start = 0, s.end = UINT64_MAX));
    REFUSED(s.start = 4097);
    REFUSED(s.end--);
    REFUSED(e[0].extent.length = 0);
    REFUSED(e[0].extent.length = 4097);
    REFUSED(e[0].extent.kind = (enum fs_extent_kind)2);
    REFUSED(e[1].extent.offset = 8191);
    REFUSED(e[1].extent.length = UINT64_MAX - 8191);
    REFUSED(e[1].extent.length = UINT64_MAX);
    REFUSED(e[1].hash = 1);
    REFUSED(e[2].extent.offset = UINT64_MAX - 2047);
    REFUSED((e[0].extent = e[2].extent, e[2].extent = (struct fs_extent){0}));
}

static void test_segment_content_above_bound_is_refused(void **state)
{
    (void)state;
    struct fs_segment_extent e = {{0, FS_SEGMENT_MAX + 1, FS_EXTENT_DATA}, 5};
    struct fs_segment s = {
        .codec = FS_CODEC_ZSTD,
        .raw_length = FS_SEGMENT_MAX + 1,
        .start = 0,
        .end = FS_SEGMENT_MAX + 1,
        .n_extents = 1,
        .extents = &e,
        .payload = (const uint8_t *)"x",
        .payload_length = 1,
    };
    check_segment(&s, __LINE__);
}

/* --- deltas ---------------------------------------------------------------------------------- */

static void fill_delta(struct fs_segment *segment, struct fs_segment_extent *extents,
                       struct fs_range *ranges)
{
    fill_segment(segment, extents);
    ranges[0] = (struct fs_range){0, 8192};
    ranges[1] = (struct fs_range){8192, 4096};
    ranges[2] = (struct fs_range){UINT64_C(1) << 41, FS_DELTA_BYTES_MAX - 12288};
    segment->codec = FS_CODEC_DELTA;
    segment->payload_length = 10;
    segment->n_ranges = 3;
    segment->ranges = ranges;
}

static void test_delta_round_trip(void **state)
{
    (void)state;
    struct fs_segment segment, got;
    struct fs_segment_extent extents[3];
    struct fs_range ranges[3];
    struct fs_error err = FS_ERROR_INIT;
    for (size_t n = 0; n <= 3; n += 3) {
        struct fs_buf buf = FS_BUF_INIT;
        fill_delta(&segment, extents, ranges);
        segment.n_ranges = n;
        fs_segment_encode(&segment, &buf);
        assert_int_equal(buf.length, fs_segment_size(&segment));
        assert_int_equal(fs_segment_decode(buf.data, buf.length, &got, &err), 0);
        assert_int_equal(got.codec, FS_CODEC_DELTA);
        assert_int_equal(got.n_ranges, n);
        assert_memory_equal(got.ranges, ranges, n * sizeof(ranges[0]));
        assert_int_equal(got.payload_length, 10);
        assert_memory_equal(got.payload, segment.payload, 10);
        fs_segment_fini(&got);
        check_bounds(decode_segment, &buf);
    }
}

#define REFUSED_DELTA(change)                                                                      \
    do {                                                                                           \
        struct fs_segment s;                                                                       \
        struct fs_segment_extent e[3];                                                             \
        struct fs_range r[3];                                                                      \
        fill_delta(&s, e, r);                                                                      \
        change;                                                                                    \
        check_segment(&s, __LINE__);                                                               \
    } while (0)

static void test_delta_hostile_ranges_are_refused(void **state)
{
    (void)state;
    static struct fs_range many[FS_DELTA_RANGES_MAX + 1];
    for (size_t i = 0; i <= FS_DELTA_RANGES_MAX; i++) {
        many[i] = (struct fs_range){i * 16, 16};
    }
    REFUSED_DELTA(r[0].length = 0);
    REFUSED_DELTA(r[0].length = 8193);
    REFUSED_DELTA(r[1].offset = 0);
    REFUSED_DELTA(r[2].length++);
    REFUSED_DELTA(r[2].length = UINT32_MAX);
    REFUSED_DELTA(r[2].offset = UINT64_MAX - 4095);
    REFUSED_DELTA(r[2].offset = INT64_MAX);
    REFUSED_DELTA(s.payload_length = 0);
    REFUSED_DELTA((s.ranges = many, s.n_ranges = FS_DELTA_RANGES_MAX + 1));
}

/* A count that promises more than there is. */
static void test_delta_count_beyond_the_payload_is_refused(void **state)
{
    (void)state;
    struct fs_segment segment;
    struct fs_segment_extent extents[3];
    struct fs_range ranges[3];
    struct fs_buf buf = FS_BUF_INIT;
    fill_delta(&segment, extents, ranges);
    fs_segment_encode(&segment, &buf);
    uint8_t *count = buf.data + FS_SEGMENT_HEAD_SIZE + 3 * FS_SEGMENT_EXTENT_SIZE;
    const uint32_t wrong[] = {4, 256, 257, UINT32_MAX};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        memcpy(count, &wrong[i], sizeof(wrong[i]));
        assert_int_equal(decode_copy(decode_segment, buf.data, buf.length), -EPROTO);
    }
    fs_buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello_round_trip),
        cmocka_unit_test(test_hello_impossible_fields_are_refused),
        cmocka_unit_test(test_ping_credit_round_trip),
        cmocka_unit_test(test_lanes_round_trip),
        cmocka_unit_test(test_text_is_cleaned_when_sent),
        cmocka_unit_test(test_refuse_longest_message_arrives),
        cmocka_unit_test(test_refuse_reasons_of_later_versions_are_understood),
        cmocka_unit_test(test_current_list_round_trip),
        cmocka_unit_test(test_terms_round_trip),
        cmocka_unit_test(test_terms_impossible_fields_are_refused),
        cmocka_unit_test(test_move_round_trip),
        cmocka_unit_test(test_move_answer_round_trip),
        cmocka_unit_test(test_positions_round_trip),
        cmocka_unit_test(test_segment_round_trip),
        cmocka_unit_test(test_delta_round_trip),
        cmocka_unit_test(test_delta_hostile_ranges_are_refused),
        cmocka_unit_test(test_delta_count_beyond_the_payload_is_refused),
        cmocka_unit_test(test_segment_without_extents_is_a_step_forward),
        cmocka_unit_test(test_segment_impossible_fields_are_refused),
        cmocka_unit_test(test_segment_content_above_bound_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
