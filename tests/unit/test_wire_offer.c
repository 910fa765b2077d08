/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/wire_rig.h"

DECODER(offer, fs_offer_fini)

static void fill_offer(struct fs_offer *offer, struct fs_offer_volume *volumes, size_t n_volumes,
                       struct fs_uuid *held)
{
    held[0] = uuid_a;
    held[1] = uuid_b;
    *offer = (struct fs_offer){
        .group = uuid_a,
        .name = "shop/db",
        .policy = "gold",
        .term = {.number = 2, .site = uuid_b},
        .point = {.id = uuid_b, .term = {.number = 1, .site = uuid_a}, .seq = 17},
        .flags = FS_POINT_NOT_ONE_INSTANT | FS_POINT_APPLICATION,
        .taken_age_ns = 1,
        .interval_ns = 2,
        .record_version = 3,
        .peer_version = UINT64_MAX,
        .n_held = 2,
        .held = held,
        .n_volumes = n_volumes,
        .volumes = volumes,
    };
    for (size_t i = 0; i < n_volumes; i++) {
        struct fs_offer_volume *v = &volumes[i];
        memset(v, 0, sizeof(*v));
        v->volume.uuid.b[0] = (uint8_t)(i + 1);
        v->volume.image.pool_id = 7;
        strcpy(v->volume.image.pool, "rbd");
        strcpy(v->volume.image.image_id, "10a9bcd");
        strcpy(v->volume.image.name, "csi-vol-ä b%c");
        strcpy(v->volume.pvc, "data-0");
        strcpy(v->identity, "fsid/7//10a9bcd");
        v->geometry = (struct fs_geometry){
            .size = 10, .order = 22, .stripe_unit = 1 << 22, .stripe_count = 1};
    }
    volumes[0].volume.labels = (char *)"{\"a\":\"b\"}";
}

/* got: to be freed. */
static void round_trip(const struct fs_offer *offer, struct fs_buf *buf, struct fs_offer *ret_got)
{
    struct fs_error err = FS_ERROR_INIT;

    fs_offer_encode(offer, buf);
    assert_int_equal(fs_offer_decode(buf->data, buf->length, ret_got, &err), 0);
}

static void test_offer_round_trip(void **state)
{
    (void)state;
    struct fs_offer offer, got;
    struct fs_offer_volume volumes[2];
    struct fs_uuid held[2];
    fill_offer(&offer, volumes, 2, held);
    struct fs_buf buf = FS_BUF_INIT;
    round_trip(&offer, &buf, &got);
    assert_true(fs_uuid_equal(&got.group, &offer.group));
    assert_string_equal(got.name, "shop/db");
    assert_string_equal(got.policy, "gold");
    assert_int_equal(got.term.number, 2);
    assert_true(fs_uuid_equal(&got.term.site, &uuid_b));
    assert_true(fs_uuid_equal(&got.point.id, &uuid_b));
    assert_int_equal(got.point.term.number, 1);
    assert_int_equal(got.point.seq, 17);
    assert_int_equal(got.flags, FS_POINT_NOT_ONE_INSTANT | FS_POINT_APPLICATION);
    assert_int_equal(got.taken_age_ns, 1);
    assert_int_equal(got.interval_ns, 2);
    assert_int_equal(got.record_version, 3);
    assert_int_equal(got.peer_version, UINT64_MAX);
    assert_int_equal(got.n_held, 2);
    assert_memory_equal(got.held, held, sizeof(held));
    assert_int_equal(got.n_volumes, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_true(fs_uuid_equal(&got.volumes[i].volume.uuid, &volumes[i].volume.uuid));
        assert_int_equal(got.volumes[i].volume.image.pool_id, 7);
        assert_string_equal(got.volumes[i].volume.image.name, "csi-vol-ä b%c");
        assert_string_equal(got.volumes[i].volume.pvc, "data-0");
        assert_string_equal(got.volumes[i].identity, "fsid/7//10a9bcd");
        assert_int_equal(got.volumes[i].geometry.size, 10);
        assert_int_equal(got.volumes[i].geometry.order, 22);
    }
    assert_string_equal(got.volumes[0].volume.labels, "{\"a\":\"b\"}");
    assert_null(got.volumes[1].volume.labels);
    fs_offer_fini(&got);
    check_bounds(decode_offer, &buf);
}

static void test_offer_names_objects_at_its_end(void **state)
{
    struct fs_uuid held[2] = {uuid_b, uuid_a};
    struct fs_offer offer, got;
    struct fs_offer_volume volumes[2];
    struct fs_buf buf = FS_BUF_INIT;

    (void)state;
    fill_offer(&offer, volumes, 2, held);
    offer.objects = (struct fs_captured){.size = 77, .digest = {{1, 2, 3}}, .stale = true};
    round_trip(&offer, &buf, &got);
    assert_int_equal(got.flags, offer.flags);
    assert_true(fs_captured_same(&got.objects, &offer.objects));
    assert_true(got.objects.stale);
    fs_offer_fini(&got);
    check_bounds(decode_offer, &buf);

    offer.objects.size = FS_CAPTURED_MAX + 1;
    fs_offer_encode(&offer, &buf);
    assert_int_equal(decode_copy(decode_offer, buf.data, buf.length), -EPROTO);
    fs_buf_fini(&buf);
}

static void test_offer_names_what_joins_at_its_end(void **state)
{
    struct fs_uuid held[2] = {uuid_b, uuid_a};
    struct fs_offer offer, got;
    struct fs_offer_volume volumes[2];
    struct fs_buf buf = FS_BUF_INIT;

    (void)state;
    fill_offer(&offer, volumes, 2, held);
    offer.objects = (struct fs_captured){.size = 77, .digest = {{1, 2, 3}}};
    volumes[1].seed = uuid_b;
    round_trip(&offer, &buf, &got);
    assert_int_equal(got.flags, offer.flags);
    assert_true(fs_uuid_is_zero(&got.joins) && fs_uuid_is_zero(&got.volumes[0].seed));
    assert_true(fs_uuid_equal(&got.volumes[1].seed, &uuid_b));
    assert_true(fs_captured_same(&got.objects, &offer.objects));
    fs_offer_fini(&got);
    check_bounds(decode_offer, &buf);

    buf = FS_BUF_INIT;
    volumes[1].seed = (struct fs_uuid){0};
    offer.joins = uuid_b;
    round_trip(&offer, &buf, &got);
    assert_true(fs_uuid_equal(&got.joins, &uuid_b));
    fs_offer_fini(&got);
    /* The flag, and nothing that joins. */
    memset(buf.data + buf.length - 3 * sizeof(uuid_b), 0, sizeof(uuid_b));
    assert_int_equal(decode_copy(decode_offer, buf.data, buf.length), -EPROTO);
    buf.length = 0;
    offer.joins = offer.group;
    fs_offer_encode(&offer, &buf);
    assert_int_equal(decode_copy(decode_offer, buf.data, buf.length), -EPROTO);
    fs_buf_fini(&buf);
}

static void test_offer_largest_fits_a_frame(void **state)
{
    (void)state;
    static struct fs_uuid held[FS_POINTS_MAX];
    static struct fs_offer_volume volumes[FS_VOLUMES_MAX];
    struct fs_offer offer;
    fill_offer(&offer, volumes, FS_VOLUMES_MAX, held);
    memset(held, 1, sizeof(held));
    offer.n_held = FS_POINTS_MAX;
    char *labels = malloc(FS_LABELS_MAX + 2);
    memset(labels, 'l', FS_LABELS_MAX + 1);
    labels[FS_LABELS_MAX] = '\0';
    for (size_t i = 0; i < FS_VOLUMES_MAX; i++) {
        struct fs_volume *v = &volumes[i].volume;
        v->labels = labels;
        memset(v->image.name, 'n', sizeof(v->image.name) - 1);
        memset(v->vm, 'v', sizeof(v->vm) - 1);
    }
    struct fs_buf buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, FS_FRAME_OFFER, 0, 1);
    fs_offer_encode(&offer, &buf);
    fs_frame_finish(&buf, start);
    assert_false(buf.failed);
    assert_int_equal(
        decode_copy(decode_offer, buf.data + FS_FRAME_HEADER, buf.length - FS_FRAME_HEADER), 0);
    fs_buf_fini(&buf);

    labels[FS_LABELS_MAX] = 'l';
    labels[FS_LABELS_MAX + 1] = '\0';
    fs_offer_encode(&offer, &buf);
    assert_true(buf.failed);
    fs_buf_fini(&buf);
    free(labels);
}

enum offer_damage {
    NO_GROUP,
    NO_NAME,
    NAME_WITH_NEWLINE,
    NO_POLICY,
    NO_TERM,
    NO_TERM_SITE,
    NO_POINT,
    UNKNOWN_FLAG,
    AGE_TOO_LARGE,
    INTERVAL_TOO_LARGE,
    NO_HELD,
    SAME_VOLUMES,
    NO_VOLUME,
    NEGATIVE_POOL,
    NO_POOL,
    NO_IMAGE_ID,
    IMAGE_NAME_WITH_ESCAPE,
    LABELS_NOT_TEXT,
    NO_IDENTITY,
    SIZE_TOO_LARGE,
    ORDER_SMALL,
    ORDER_LARGE,
    STRIPE_UNIT_ZERO,
    STRIPE_UNIT_ABOVE_OBJECT,
    STRIPE_UNIT_NO_DIVISOR,
    STRIPE_COUNT_ZERO,
    STRIPE_COUNT_LARGE,
    OFFER_DAMAGES,
};

static void damage_volume(struct fs_offer_volume *v, enum offer_damage damage)
{
    switch (damage) {
    case SAME_VOLUMES:
        v->volume.uuid.b[0] = 1;
        break;
    case NO_VOLUME:
        v->volume.uuid = (struct fs_uuid){0};
        break;
    case NEGATIVE_POOL:
        v->volume.image.pool_id = -1;
        break;
    case NO_POOL:
        v->volume.image.pool[0] = '\0';
        break;
    case NO_IMAGE_ID:
        v->volume.image.image_id[0] = '\0';
        break;
    case IMAGE_NAME_WITH_ESCAPE:
        strcpy(v->volume.image.name, "a\033[2J");
        break;
    case LABELS_NOT_TEXT:
        v->volume.labels = (char *)"{\"a\":\"\xf8\"}";
        break;
    case NO_IDENTITY:
        v->identity[0] = '\0';
        break;
    case SIZE_TOO_LARGE:
        v->geometry.size = UINT64_C(1) << 63;
        break;
    case ORDER_SMALL:
        v->geometry.order = 11;
        v->geometry.stripe_unit = 1 << 11;
        break;
    case ORDER_LARGE:
        v->geometry.order = 26;
        break;
    case STRIPE_UNIT_ZERO:
        v->geometry.stripe_unit = 0;
        break;
    case STRIPE_UNIT_ABOVE_OBJECT:
        v->geometry.stripe_unit = 1 << 23;
        break;
    case STRIPE_UNIT_NO_DIVISOR:
        v->geometry.stripe_unit = 3 << 10;
        break;
    case STRIPE_COUNT_ZERO:
        v->geometry.stripe_count = 0;
        break;
    case STRIPE_COUNT_LARGE:
        v->geometry.stripe_count = UINT64_MAX;
        break;
    default:
        fail_msg("unknown damage %d", damage);
    }
}

static void damage_offer(struct fs_offer *offer, enum offer_damage damage)
{
    switch (damage) {
    case NO_GROUP:
        offer->group = (struct fs_uuid){0};
        break;
    case NO_NAME:
        offer->name[0] = '\0';
        break;
    case NAME_WITH_NEWLINE:
        strcpy(offer->name, "a\nb");
        break;
    case NO_POLICY:
        offer->policy[0] = '\0';
        break;
    case NO_TERM:
        offer->term.number = 0;
        break;
    case NO_TERM_SITE:
        offer->point.term.site = (struct fs_uuid){0};
        break;
    case NO_POINT:
        offer->point.id = (struct fs_uuid){0};
        break;
    case UNKNOWN_FLAG:
        offer->flags = 1u << 31;
        break;
    case AGE_TOO_LARGE:
        offer->taken_age_ns = UINT64_MAX;
        break;
    case INTERVAL_TOO_LARGE:
        offer->interval_ns = UINT64_MAX;
        break;
    case NO_HELD:
        offer->held[1] = (struct fs_uuid){0};
        break;
    default:
        damage_volume(&offer->volumes[1], damage);
    }
}

static void test_offer_impossible_fields_are_refused(void **state)
{
    (void)state;
    for (int damage = 0; damage < OFFER_DAMAGES; damage++) {
        struct fs_offer offer;
        struct fs_offer_volume volumes[2];
        struct fs_uuid held[2];
        fill_offer(&offer, volumes, 2, held);
        damage_offer(&offer, (enum offer_damage)damage);
        struct fs_buf buf = FS_BUF_INIT;
        fs_offer_encode(&offer, &buf);
        assert_false(buf.failed);
        if (decode_copy(decode_offer, buf.data, buf.length) != -EPROTO) {
            fail_msg("damage %d was accepted", damage);
        }
        fs_buf_fini(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offer_round_trip),
        cmocka_unit_test(test_offer_names_objects_at_its_end),
        cmocka_unit_test(test_offer_names_what_joins_at_its_end),
        cmocka_unit_test(test_offer_largest_fits_a_frame),
        cmocka_unit_test(test_offer_impossible_fields_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
