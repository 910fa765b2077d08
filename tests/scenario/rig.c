/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scenario/rig.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum fs_delta_mode rig_delta = FS_DELTA_AUTO;

/* --- sessions -------------------------------------------------------------------------------- */

static const char *on_hello(void *arg, struct fs_session *session, const struct fs_hello *hello)
{
    (void)arg;
    (void)session;
    (void)hello;
    return NULL;
}

static void on_up(void *arg, struct fs_session *session)
{
    (void)arg;
    (void)session;
}

static void on_down(void *arg, struct fs_session *session, const struct fs_error *err)
{
    struct rig *rig = arg;
    (void)err;
    rig->down[session == rig->sessions[1]] = true;
}

static void on_received(void *arg, struct fs_receiver_result *result)
{
    struct rig *rig = arg;
    rig->receiver = NULL;
    rig->receivers_done++;
    rig->received_err = result->err;
    rig->received_refusal = result->refusal;
    rig->received_committed = result->committed;
    rig->received_stats = result->stats;
    fs_record_free(result->record);
}

static void on_offer(void *arg, struct fs_session *session, uint32_t stream, struct fs_offer *offer)
{
    struct rig *rig = arg;
    struct fs_receiver_options options = {
        .sink = mem_store_sink(rig->stores[1]),
        .session = session,
        .cpu = rig->cpu,
        .clock = &rig->clock.clock,
        .budget = &rig->budgets[1],
        .sync_interval_ns = rig->sync_interval_ns,
        .sync_bytes = rig->sync_bytes,
        .reach = &rig->reach[1],
        .source = rig->no_base_reads ? NULL : mem_store_source(rig->stores[1]),
    };
    struct fs_admission admission = {
        .peer = "east",
        .pools = &rig->map,
        .n_pools = 1,
        .retain = {.latest = rig->retain},
        .compare = true,
    };
    if (rig->receiver || rig->refuse_offers) {
        fs_refuse_offer(session, stream, FS_REFUSE_BUSY, "another transfer");
        fs_offer_fini(offer);
        rig->refuse_offers = false;
        return;
    }
    rig->receiver =
        fs_receiver_start(&options, stream, mem_store_load(rig->stores[1], &offer->group), offer,
                          &admission, on_received, rig);
    assert_non_null(rig->receiver);
}

static void on_current(void *arg, struct fs_session *session, const struct fs_current_list *list)
{
    (void)arg;
    (void)session;
    (void)list;
}

static const struct fs_session_events session_events = {
    .hello = on_hello,
    .up = on_up,
    .down = on_down,
    .offer = on_offer,
    .current = on_current,
    .current_ack = on_current,
};

void rig_make_thin(struct rig *rig)
{
    rig->tuner.scarce = true;
    rig->tuner.full_rate = 10e6;
    rig->tuner.plain_content = rig->tuner.plain_payload = 64e6;
}

void rig_disconnect(struct rig *rig)
{
    for (int i = 0; i < 2; i++) {
        fs_session_free(rig->sessions[i]);
        rig->sessions[i] = NULL;
        rig->down[i] = false;
    }
    if (rig->link) {
        fake_link_free(rig->link);
        rig->link = NULL;
    }
}

void rig_connect(struct rig *rig)
{
    struct fs_transport *ends[2];
    rig_disconnect(rig);
    rig->link = fake_link_new(ends);
    for (int i = 0; i < 2; i++) {
        struct fs_session_options options = {
            .clock = &rig->clock.clock,
            .site = i == 0 ? "east" : "west",
            .software = "test",
            .credit = rig->credit,
            .heartbeat_ns = 5 * FS_SEC,
            .hello_ns = 10 * FS_SEC,
            .send_limit = 4 << 20,
        };
        options.site_uuid.b[0] = options.instance.b[0] = (uint8_t)(i + 1);
        bool foreign = i == 1 && rig->target_events;
        rig->sessions[i] =
            fs_session_new(&options, ends[i], foreign ? rig->target_events : &session_events,
                           foreign ? rig->target_arg : rig);
        assert_non_null(rig->sessions[i]);
    }
    while (!fs_session_is_up(rig->sessions[0]) || !fs_session_is_up(rig->sessions[1])) {
        assert_true(fake_link_step(rig->link, 0));
    }
}

/* --- running --------------------------------------------------------------------------------- */

bool rig_step(struct rig *rig)
{
    bool happened = fs_mailbox_drain(rig->mailbox) > 0;
    if (rig->link) {
        happened = fake_link_step(rig->link, rig->chunk) || happened;
    }
    for (int i = 0; i < 2; i++) {
        if (rig->down[i]) {
            fs_session_free(rig->sessions[i]);
            rig->sessions[i] = NULL;
            rig->down[i] = false;
            happened = true;
        }
    }
    if (!happened) { /* a worker may have posted, or may be about to */
        bool busy = fs_pool_busy(rig->cpu) > 0;
        struct pollfd fd = {.fd = fs_mailbox_fd(rig->mailbox), .events = POLLIN};
        happened = poll(&fd, 1, busy ? 10000 : 0) > 0 || busy;
    }
    for (int i = 0; i < 2; i++) {
        assert_true(rig->budgets[i].used <= rig->budgets[i].limit);
    }
    return happened;
}

void rig_run(struct rig *rig)
{
    while (rig_step(rig)) {
    }
}

void rig_init(struct rig *rig, size_t threads, uint64_t seed)
{
    *rig = (struct rig){.threads = threads};
    rig->mailbox = fs_mailbox_new();
    rig->cpu = fs_pool_new("cpu", threads, rig->mailbox);
    assert_non_null(rig->mailbox);
    assert_non_null(rig->cpu);
    fs_clock_scripted_init(&rig->clock, 1000 * FS_SEC);
    rig->stores[0] = mem_store_new("east-fsid", rig->mailbox, &rig->clock.clock, seed);
    rig->stores[1] = mem_store_new("west-fsid", rig->mailbox, &rig->clock.clock, seed + 1);
    rig->digester = mem_digester_new(rig->stores[0]);
    rig->budgets[0].limit = rig->budgets[1].limit = FS_BUDGET_MIN;
    rig->credit = FS_CREDIT_MIN;
    fs_tuner_init(&rig->tuner, threads, 0);
    fs_tuner_fix(&rig->tuner, 1);
    rig->sync_bytes = 64 << 10;
    rig->delta = rig_delta;
    rig->retain = 3;
    snprintf(rig->map.source_pool, sizeof(rig->map.source_pool), "rbd");
    snprintf(rig->map.target_pool, sizeof(rig->map.target_pool), "copies");
    rig->record = fs_record_new();
    assert_non_null(rig->record);
    fs_uuid_random(&rig->record->group);
    fs_uuid_random(&rig->record->term.site);
    rig->record->term.number = 1;
    rig->record->next_seq = 1;
    rig->record->role = FS_ROLE_PRIMARY;
    snprintf(rig->record->name, sizeof(rig->record->name), "rbd/app");
    snprintf(rig->record->policy, sizeof(rig->record->policy), "gold");
    snprintf(rig->record->peer, sizeof(rig->record->peer), "west");
}

void rig_fini(struct rig *rig)
{
    rig_disconnect(rig);
    rig_run(rig);
    assert_null(rig->sender);
    assert_null(rig->receiver);
    mem_digester_free(rig->digester);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rig->budgets[i].used, 0);
        assert_int_equal(rig->budgets[i].n_clients, 0);
        assert_null(rig->budgets[i].waiters);
        assert_int_equal(mem_store_in_flight(rig->stores[i], MEM_OP_ANY), 0);
        mem_store_free(rig->stores[i]);
    }
    fs_pool_free(rig->cpu);
    fs_mailbox_free(rig->mailbox);
    fs_record_free(rig->record);
}

/* --- points ---------------------------------------------------------------------------------- */

struct mem_image *rig_add_volume(struct rig *rig, const char *name, uint64_t size)
{
    struct mem_image *image = mem_store_create(rig->stores[0], "rbd", name, size);
    struct fs_volume volume;
    mem_image_volume(image, &volume);
    assert_non_null(fs_record_add_volume(rig->record, &volume));
    return image;
}

static void on_taken(void *arg, struct fs_take_result *result)
{
    struct rig *rig = arg;
    rig->record = result->record;
    assert_int_equal(result->outcome, FS_TAKE_POINT);
}

struct fs_uuid rig_take(struct rig *rig)
{
    struct fs_source *source = mem_store_source(rig->stores[0]);
    struct fs_take_request request = {.record = rig->record, .force = true};
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf packed = FS_BUF_INIT;
    if (rig->objects) {
        fs_captured_name(rig->objects, strlen(rig->objects), &request.objects);
        assert_int_equal(fs_captured_pack(rig->objects, strlen(rig->objects), &packed, &err), 0);
        request.packed = &packed;
    }
    rig->record = NULL;
    source->ops->take(source, &request, on_taken, rig);
    fs_buf_fini(&packed);
    while (!rig->record) {
        assert_true(rig_step(rig));
    }
    return rig->record->points[rig->record->n_points - 1].point.id;
}

static void on_settled(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct rig *rig = arg;
    rig->record = record;
    assert_true(!err || !fs_error_is_set(err));
}

void rig_settle(struct rig *rig, const struct fs_uuid *point)
{
    struct fs_source *source = mem_store_source(rig->stores[0]);
    struct fs_record *record = rig->record;
    rig->record = NULL;
    source->ops->settle(source, record, point, rig->agreed, fs_clock_wall(&rig->clock.clock),
                        on_settled, rig);
    while (!rig->record) {
        assert_true(rig_step(rig));
    }
}

void rig_offer(struct rig *rig, const struct fs_uuid *id, struct fs_offer *ret_offer)
{
    const struct fs_record_point *point = fs_record_find_point(rig->record, id);
    assert_non_null(point);
    *ret_offer = (struct fs_offer){
        .group = rig->record->group,
        .term = rig->record->term,
        .point = point->point,
        .objects = point->objects,
        .interval_ns = 60 * FS_SEC,
        .record_version = rig->record->version,
        .peer_version = rig->record->peer_version,
        .n_volumes = point->n_contents,
    };
    snprintf(ret_offer->name, sizeof(ret_offer->name), "%s", rig->record->name);
    snprintf(ret_offer->policy, sizeof(ret_offer->policy), "%s", rig->record->policy);
    ret_offer->held = calloc(rig->record->n_points, sizeof(struct fs_uuid));
    ret_offer->volumes = calloc(point->n_contents, sizeof(struct fs_offer_volume));
    for (size_t i = 0; i < rig->record->n_points; i++) {
        if (&rig->record->points[i] != point) {
            ret_offer->held[ret_offer->n_held++] = rig->record->points[i].point.id;
        }
    }
    for (size_t i = 0; i < point->n_contents; i++) {
        struct fs_offer_volume *volume = &ret_offer->volumes[i];
        struct fs_record_volume *known =
            fs_record_find_volume(rig->record, &point->contents[i].volume);
        assert_int_equal(fs_volume_copy(&known->volume, &volume->volume), 0);
        mem_store_identity(rig->stores[0], &known->volume.image, volume->identity);
        volume->geometry = point->contents[i].geometry;
    }
}

static void on_sent(void *arg, const struct fs_sender_result *result)
{
    struct rig *rig = arg;
    rig->sender = NULL;
    rig->senders_done++;
    rig->sent = *result;
    rig->sent.agreed = NULL;
    if (result->n_agreed > 0) {
        memcpy(rig->agreed, result->agreed, result->n_agreed * sizeof(rig->agreed[0]));
    }
}

void rig_start(struct rig *rig, const struct fs_uuid *point)
{
    struct fs_offer offer;
    struct fs_sender_options options = {
        .source = mem_store_source(rig->stores[0]),
        .digester = mem_digester_table(rig->digester),
        .session = rig->sessions[0],
        .cpu = rig->cpu,
        .clock = &rig->clock.clock,
        .budget = &rig->budgets[0],
        .tuner = &rig->tuner,
        .reach = &rig->reach[0],
        .delta = rig->delta,
    };
    rig_offer(rig, point, &offer);
    rig->received_committed = false;
    rig->sender = fs_sender_start(&options, rig->record, point, &offer, on_sent, rig);
    assert_non_null(rig->sender);
}

bool rig_ship(struct rig *rig, const struct fs_uuid *point)
{
    size_t done = rig->senders_done;
    rig_start(rig, point);
    rig_run(rig);
    if (rig->senders_done != done + 1 || rig->receiver) {
        fail_msg("the transfer stands still");
    }
    return rig->sent.outcome == FS_SENT_COMMITTED;
}

void rig_ship_again(struct rig *rig, const struct fs_uuid *point, int tries)
{
    for (int i = 0; i < tries; i++) {
        rig_connect(rig);
        if (rig_ship(rig, point)) {
            return;
        }
    }
    fail_msg("not committed after %d tries: %s", tries, rig->sent.err.message);
}

void rig_check(struct rig *rig, const struct fs_uuid *point)
{
    struct fs_record *target = mem_store_load(rig->stores[1], &rig->record->group);
    assert_non_null(target);
    struct fs_record_point *there = fs_record_find_point(target, point);
    assert_non_null(there);
    assert_int_equal(there->state, FS_POINT_COMMITTED);
    assert_true(mem_store_same_point(rig->stores[0], rig->stores[1], &rig->record->group, point));
    fs_record_free(target);
}
