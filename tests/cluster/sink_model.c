/* SPDX-License-Identifier: Apache-2.0 */
#include "sink_model.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum { NONE, DATA, ZERO };

static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t model_size(unsigned volume, unsigned point)
{
    if (volume == 1) {
        return 4u << 20;
    }
    return point == 2 ? 10u << 20 : point == 3 ? 6u << 20 : 8u << 20; /* grows, shrinks, grows */
}

static int change(unsigned volume, unsigned block, unsigned point)
{
    uint64_t h = mix(((uint64_t)volume << 48) ^ ((uint64_t)block << 16) ^ point) % 8;

    if ((uint64_t)block * MODEL_BLOCK >= model_size(volume, point)) {
        return ZERO;
    }
    if (point == 1) {
        return block % 3 ? DATA : NONE;
    }
    return h < 2 ? DATA : h == 2 ? ZERO : NONE;
}

/* What happened to a block last after base, up to point; *ret_when is the point. */
static int last_change(unsigned volume, unsigned block, unsigned base, unsigned point,
                       unsigned *ret_when)
{
    for (*ret_when = point; *ret_when > base; --*ret_when) {
        int kind = change(volume, block, *ret_when);

        if (kind != NONE) {
            return kind;
        }
    }
    return NONE;
}

void model_block(unsigned volume, unsigned block, unsigned point, uint8_t *ret_content)
{
    unsigned when;

    memset(ret_content, 0, MODEL_BLOCK);
    if (last_change(volume, block, 0, point, &when) == DATA) {
        uint64_t seed = mix(((uint64_t)volume << 40) ^ ((uint64_t)when << 32) ^ block);

        for (unsigned i = 0; i < MODEL_BLOCK / sizeof(seed); i++) {
            uint64_t word = mix(seed + i);

            memcpy(ret_content + i * sizeof(word), &word, sizeof(word));
        }
    }
}

struct fs_uuid model_uuid(const char *name, const char *what, unsigned number)
{
    struct fs_uuid uuid;
    uint64_t a = number, b;

    for (const char *c = name; *c; c++) {
        a = mix(a ^ (uint8_t)*c);
    }
    for (const char *c = what; *c; c++) {
        a = mix(a ^ (uint8_t)*c);
    }
    b = mix(a);
    memcpy(uuid.b, &a, 8);
    memcpy(uuid.b + 8, &b, 8);
    return uuid;
}

struct fs_point_id model_point(const char *name, unsigned point)
{
    return (struct fs_point_id){
        .id = model_uuid(name, "point", point),
        .term = {.number = 1, .site = model_uuid("source", "site", 0)},
        .seq = point,
    };
}

static struct fs_digest chain_at(unsigned point, uint64_t offset)
{
    struct fs_digest chain = {{0}};

    if (offset) {
        offset ^= (uint64_t)point << 56;
        memcpy(chain.b, &offset, sizeof(offset));
    }
    return chain;
}

/* --- the loop ------------------------------------------------------------------------------- */

static void die(const char *what, const struct fs_error *err)
{
    fprintf(stderr, "check_sink: %s: %s\n", what, err ? err->message : "");
    exit(1);
}

static const char *need(const char *name)
{
    const char *value = getenv(name);

    if (!value) {
        fprintf(stderr, "check_sink: set %s\n", name);
        exit(2);
    }
    return value;
}

void run_begin(struct run *run, const char *key)
{
    struct fs_site_options options = {
        .conf = need("FARSHORE_TEST_CONF"),
        .user = need("FARSHORE_TEST_USER"),
        .state_pool = need("FARSHORE_TEST_POOL"),
        .site_name = "check-sink",
        .helper = "/bin/false",
        .daemon_key = key,
        .clock = fs_clock_system(),
        .object_io = !getenv("FARSHORE_TEST_NO_OBJECT_IO"),
    };
    struct fs_error err = FS_ERROR_INIT;

    *run = (struct run){.term = 1};
    fs_uuid_random(&options.instance);
    run->mailbox = fs_mailbox_new();
    run->pool = fs_pool_new("blocking", 2, run->mailbox);
    if (fs_site_open(&options, &run->site, &err) < 0 || fs_site_claim(run->site, &err) < 0) {
        die("cannot begin", &err);
    }
    run->sink = fs_site_sink(run->site, run->pool, run->mailbox);
    run->source_site = model_uuid("source", "site", 0);
    snprintf(run->map.source_pool, sizeof(run->map.source_pool), "src");
    snprintf(run->map.target_pool, sizeof(run->map.target_pool), "%s", options.state_pool);
    run->admission = (struct fs_admission){
        .peer = "source", .pools = &run->map, .n_pools = 1, .retain = {.latest = 2}};
}

void run_end(struct run *run)
{
    fs_pool_free(run->pool);
    fs_site_close(run->site);
    fs_mailbox_free(run->mailbox);
    fs_record_free(run->record);
    fs_offer_fini(&run->offer);
}

void run_wait(struct run *run)
{
    while (run->pending) {
        struct pollfd fd = {.fd = fs_mailbox_fd(run->mailbox), .events = POLLIN};

        if (poll(&fd, 1, 120000) == 0) {
            die("nothing happened for two minutes", NULL);
        }
        fs_mailbox_drain(run->mailbox);
    }
}

void run_load(struct run *run, const char *name)
{
    struct fs_uuid group = model_uuid(name, "group", 0);
    struct fs_record **records;
    struct fs_error err = FS_ERROR_INIT;
    size_t count;

    if (fs_site_load(run->site, &records, &count, NULL, NULL, &err) < 0) {
        die("cannot load", &err);
    }
    fs_record_free(run->record);
    run->record = NULL;
    for (size_t i = 0; i < count; i++) {
        if (fs_uuid_equal(&records[i]->group, &group)) {
            run->record = records[i];
        } else {
            fs_record_free(records[i]);
        }
    }
    free(records);
}

static void opened(void *arg, struct fs_sink_open_result *result)
{
    struct run *run = arg;

    run->record = result->record;
    run->incoming = result->incoming;
    run->committed = result->committed;
    run->refusal = result->refusal;
    run->err = result->err;
    run->base = 0;
    for (unsigned i = 1; i <= run->held; i++) {
        if (result->incoming && fs_uuid_equal(&result->base, &run->offer.held[i - 1])) {
            run->base = i;
        }
    }
    for (unsigned v = 0; result->incoming && v < MODEL_VOLUMES; v++) {
        struct fs_digest chain = chain_at(run->point, result->positions[v].offset);

        run->positions[v] = result->positions[v];
        if (memcmp(&chain, &result->positions[v].chain, sizeof(chain)) != 0) {
            die("a position came back with another chain", NULL);
        }
    }
    run->pending--;
}

static void fill_offer(struct run *run, const char *name, unsigned point)
{
    struct fs_offer *offer = &run->offer;

    *offer = (struct fs_offer){
        .group = model_uuid(name, "group", 0),
        .policy = "gold",
        .term = {.number = run->term, .site = run->source_site},
        .point = model_point(name, point),
        .taken_age_ns = 1000000000,
        .interval_ns = 5000000000,
        .record_version = point,
        .n_held = run->held,
        .n_volumes = MODEL_VOLUMES,
    };
    snprintf(offer->name, sizeof(offer->name), "%s", name);
    offer->held = calloc(run->held + 1, sizeof(*offer->held));
    offer->volumes = calloc(MODEL_VOLUMES, sizeof(*offer->volumes));
    for (unsigned i = 0; i < run->held; i++) {
        offer->held[i] = model_point(name, i + 1).id;
    }
    for (unsigned v = 0; v < MODEL_VOLUMES; v++) {
        struct fs_offer_volume *volume = &offer->volumes[v];

        volume->volume.uuid = model_uuid(name, "volume", v);
        snprintf(volume->volume.image.pool, sizeof(volume->volume.image.pool), "src");
        snprintf(volume->volume.image.name, sizeof(volume->volume.image.name), "%s-%u", name, v);
        snprintf(volume->volume.pvc, sizeof(volume->volume.pvc), "disk-%u", v);
        volume->volume.labels = strdup("{\"farshore.io/policy\": \"gold\"}");
        snprintf(volume->identity, sizeof(volume->identity), "fsid/1//%u", v);
        volume->geometry = (struct fs_geometry){
            .size = model_size(v, point), .order = 20, .stripe_unit = 1u << 20, .stripe_count = 1};
        if (v == 1) {
            volume->geometry.stripe_unit = 64u << 10;
            volume->geometry.stripe_count = 2;
        }
    }
}

int run_open(struct run *run, const char *name, unsigned point)
{
    fs_offer_fini(&run->offer);
    fill_offer(run, name, point);
    run->point = point;
    run->pending++;
    run->sink->ops->open(run->sink, run->record, &run->offer, &run->admission, opened, run);
    run_wait(run);
    return run->incoming || run->committed ? 0 : -run->err.code;
}

static void io_done(void *arg, const struct fs_error *err)
{
    struct run *run = arg;

    if (err && !fs_error_is_set(&run->err)) {
        run->err = *err;
    }
    run->pending--;
}

struct piece {
    struct run *run;
    struct fs_segment_data data;
    struct fs_extent extents[2 * MODEL_SEGMENT / MODEL_BLOCK];
    uint8_t payload[MODEL_SEGMENT];
};

static void piece_done(void *arg, const struct fs_error *err)
{
    struct piece *piece = arg;

    io_done(piece->run, err);
    free(piece);
}

static void add_extent(struct piece *piece, uint64_t offset, uint64_t length, int kind)
{
    piece->extents[piece->data.n_extents++] = (struct fs_extent){
        .offset = offset,
        .length = length,
        .kind = kind == DATA ? FS_EXTENT_DATA : FS_EXTENT_ZERO,
    };
}

/* Data comes as two extents that touch: the sink makes them one write again. */
static void submit_piece(struct run *run, unsigned volume, uint64_t start, uint64_t end)
{
    struct piece *piece = calloc(1, sizeof(*piece));

    piece->run = run;
    piece->data.volume = volume;
    piece->data.extents = piece->extents;
    piece->data.payload = piece->payload;
    for (uint64_t at = start; at < end; at += MODEL_BLOCK) {
        unsigned when, block = (unsigned)(at / MODEL_BLOCK);
        int kind = last_change(volume, block, run->base, run->point, &when);

        if (kind == DATA) {
            model_block(volume, block, run->point, piece->payload + piece->data.payload_length);
            piece->data.payload_length += MODEL_BLOCK;
            add_extent(piece, at, 512, DATA);
            add_extent(piece, at + 512, MODEL_BLOCK - 512, DATA);
        } else if (kind == ZERO && run->base) {
            add_extent(piece, at, MODEL_BLOCK, ZERO);
        }
    }
    run->pending++;
    run->incoming->ops->write(run->incoming, &piece->data, piece_done, piece);
}

int run_write(struct run *run, uint64_t until)
{
    run->err = FS_ERROR_INIT;
    for (unsigned v = 0; v < MODEL_VOLUMES; v++) {
        uint64_t size = model_size(v, run->point);
        uint64_t end = until < size ? until : size;

        while (run->positions[v].offset < end) {
            uint64_t next = run->positions[v].offset + MODEL_SEGMENT;

            next = next < end ? next : end;
            submit_piece(run, v, run->positions[v].offset, next);
            run->positions[v] = (struct fs_position){next, chain_at(run->point, next)};
        }
    }
    run_wait(run);
    return -run->err.code;
}

int run_sync(struct run *run)
{
    run->err = FS_ERROR_INIT;
    run->pending++;
    run->incoming->ops->sync(run->incoming, run->positions, io_done, run);
    run_wait(run);
    return -run->err.code;
}

static void commit_done(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct run *run = arg;

    fs_record_free(run->record);
    run->record = record;
    io_done(run, err);
}

int run_commit(struct run *run)
{
    run->err = FS_ERROR_INIT;
    run->pending++;
    run->incoming->ops->commit(run->incoming, run->positions, 4711, commit_done, run);
    run_wait(run);
    return -run->err.code;
}

void run_close(struct run *run)
{
    run->pending++;
    run->incoming->ops->close(run->incoming, commit_done, run);
    run_wait(run);
    run->incoming = NULL;
}

int run_ship(struct run *run, const char *name, unsigned point)
{
    int rc = run_open(run, name, point);

    if (rc < 0 || run->committed) {
        return rc;
    }
    rc = run_write(run, 2 * MODEL_SEGMENT);
    if (rc == 0) {
        rc = run_sync(run);
    }
    if (rc == 0) {
        rc = run_write(run, UINT64_MAX);
    }
    if (rc == 0) {
        rc = run_commit(run);
    }
    run_close(run);
    return rc;
}
