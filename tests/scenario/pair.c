/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scenario/pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WALL_START (INT64_C(1800000000) * FS_SEC)
#define STEP_NS    (100 * FS_MSEC)
/* Completions may be delayed by some drains of a mailbox. */
#define QUIET_ROUNDS 5

static void kick(void *arg)
{
    (void)arg; /* pair_pump makes its rounds anyway */
}

static void site_lost(void *arg, const struct fs_error *err)
{
    struct pair_site *site = arg;

    assert_true(fs_error_is_set(err));
    site->lost++;
}

struct asked { /* of the API; answered by a letter */
    struct fs_letter letter;
    struct asked *next; /* of those that wait */
    struct pair_api *api;
    fs_capture_fn *done;
    void *arg;
};

static void answer(struct fs_letter *letter)
{
    struct asked *asked = (struct asked *)letter; /* its first member */
    struct fs_error err = FS_ERROR_INIT;

    if (asked->api->down) {
        (void)fs_error_set(&err, FS_ERR_TRANSIENT, ETIMEDOUT, "the API is away");
    }
    asked->done(asked->arg, asked->api->down ? NULL : asked->api->objects, &err);
    free(asked);
}

static bool capture(struct fs_capturer *capturer, const struct fs_record *record,
                    const char *group_by, const json_t *also, fs_capture_fn *done, void *arg)
{
    struct pair_api *api = (struct pair_api *)capturer; /* its first member */
    struct asked *asked = api->objects ? calloc(1, sizeof(*asked)) : NULL;

    (void)record;
    (void)group_by;
    (void)also;
    if (!asked) {
        return false;
    }
    api->asked++;
    *asked = (struct asked){.letter.deliver = answer, .api = api, .done = done, .arg = arg};
    if (api->hangs) {
        asked->next = api->waiting;
        api->waiting = asked;
    } else {
        fs_mailbox_post(api->site->mailbox, &asked->letter);
    }
    return true;
}

static void cancel(struct fs_capturer *capturer, const struct fs_error *err)
{
    struct pair_api *api = (struct pair_api *)capturer; /* its first member */

    while (api->waiting) {
        struct asked *asked = api->waiting;

        api->waiting = asked->next;
        asked->done(asked->arg, NULL, err);
        free(asked);
    }
}

/* --- lanes ----------------------------------------------------------------------------------- */

static void *dial_lane(void *arg, const char *endpoint, fs_tls_dialed_fn *dialed, void *dialed_arg)
{
    struct pair *pair = ((struct pair_site *)arg)->pair;

    assert_string_equal(endpoint, "memory:1");
    assert_null(pair->dialed);
    pair->dialed = dialed;
    pair->dialed_arg = dialed_arg;
    return pair;
}

static void cancel_lane(void *arg, void *dial)
{
    (void)arg;
    ((struct pair *)dial)->dialed = NULL;
}

static bool pump_lanes(struct pair *pair)
{
    fs_tls_dialed_fn *dialed = pair->dialed;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_transport *ends[2];
    bool moved = dialed != NULL;

    pair->dialed = NULL;
    if (dialed && pair->no_lanes) {
        pair->lanes_refused++;
        (void)fs_error_set(&err, FS_ERR_TRANSIENT, ETIMEDOUT, "nobody answers");
        dialed(pair->dialed_arg, NULL, &err);
    } else if (dialed) {
        assert_true(pair->n_lanes < PAIR_LANES_MAX);
        pair->lanes[pair->n_lanes] = fake_link_new(ends);
        fake_link_set_peer_name(pair->lanes[pair->n_lanes], 0, pair->lane_name);
        fake_link_set_peer_name(pair->lanes[pair->n_lanes++], 1, pair->lane_name);
        fs_peers_accept_lane(pair->west.ctx.peers, ends[1]);
        dialed(pair->dialed_arg, ends[0], &err);
    }
    for (unsigned i = 0; i < pair->n_lanes; i++) {
        moved |= fake_link_step(pair->lanes[i], 0);
    }
    return moved;
}

static void cut_lanes(struct pair *pair)
{
    for (unsigned i = 0; i < pair->n_lanes; i++) {
        fake_link_cut_after(pair->lanes[i], 0, 0);
    }
    pair_pump(pair);
    while (pair->n_lanes > 0) {
        fake_link_free(pair->lanes[--pair->n_lanes]);
    }
}

static void make_parts(struct pair_site *site)
{
    const struct fs_peers_options options = {
        .software = "scenario",
        .credit = FS_CREDIT_MIN,
        .send_limit = FS_TRANSPORT_LOW,
        .heartbeat_ns = 5 * FS_SEC,
        .hello_ns = 10 * FS_SEC,
        .lane_window = FS_LANES_WINDOW_MIN,
        .dial_lane = dial_lane,
        .cancel = cancel_lane,
        .arg = site,
    };

    fs_uuid_random(&site->ctx.instance);
    site->ctx.source = mem_store_source(site->store);
    site->ctx.sink = mem_store_sink(site->store);
    site->ctx.operators = mem_store_operator(site->store);
    site->ctx.digester = mem_digester_table(site->digester);
    site->ctx.groups = fs_groups_new(&site->ctx);
    site->ctx.peers = fs_peers_new(&site->ctx, &options);
    assert_non_null(site->ctx.groups);
    assert_non_null(site->ctx.peers);
    fs_peers_set_active(site->ctx.peers, true, "");
}

static void make_site(struct pair *pair, struct pair_site *site, const char *name, const char *peer,
                      int64_t interval_ns, uint64_t seed)
{
    site->pair = pair;
    site->peer = (struct fs_config_peer){.name = (char *)peer, .tls_name = (char *)peer};
    (void)snprintf(site->pool.source_pool, sizeof(site->pool.source_pool), "rbd");
    (void)snprintf(site->pool.target_pool, sizeof(site->pool.target_pool), "rbd");
    site->policy = (struct fs_config_policy){
        .name = (char *)"gold",
        .peer = (char *)peer,
        .interval_ns = interval_ns,
        .pools = &site->pool,
        .n_pools = 1,
        .retain = {.latest = 3},
        .snapshot_timeout_ns = 5 * FS_SEC,
        .alert_warn = 2,
        .alert_critical = 3,
    };
    site->config = (struct fs_config){
        .site = (char *)name,
        .peers = &site->peer,
        .n_peers = 1,
        .policies = &site->policy,
        .n_policies = 1,
        .open_images = 500,
        .fixed_level = true,
        .zstd_level = 1,
    };
    site->mailbox = fs_mailbox_new();
    site->store = mem_store_new(name, site->mailbox, &pair->clock.clock, seed);
    site->digester = mem_digester_new(site->store);
    site->ctx = (struct fs_context){
        .clock = &pair->clock.clock,
        .config = &site->config,
        .cpu = fs_pool_new("cpu", 0, site->mailbox),
        .sending = {.limit = FS_BUDGET_MIN},
        .receiving = {.limit = FS_BUDGET_MIN},
        .kick = kick,
        .site_lost = site_lost,
        .hook_arg = site,
        .capturer = &site->api.capturer,
    };
    site->api = (struct pair_api){.capturer = {.capture = capture, .cancel = cancel}, .site = site};
    fs_uuid_random(&site->ctx.site_uuid);
    (void)snprintf(site->ctx.fsid, sizeof(site->ctx.fsid), "%s", name);
    make_parts(site);
}

struct pair *pair_new(int64_t interval_ns)
{
    struct pair *pair = calloc(1, sizeof(*pair));

    assert_non_null(pair);
    fs_log_init(false, getenv("V") ? FS_LOG_DEBUG : FS_LOG_ERROR);
    fs_clock_scripted_init(&pair->clock, WALL_START);
    /* A boot clock that stands at zero is nothing that a daemon ever sees. */
    fs_clock_scripted_advance(&pair->clock, 3600 * FS_SEC);
    make_site(pair, &pair->east, "east", "west", interval_ns, 1);
    make_site(pair, &pair->west, "west", "east", interval_ns, 2);
    return pair;
}

static bool pump_site(struct pair_site *site)
{
    bool moved = fs_mailbox_drain(site->mailbox) > 0;

    (void)fs_peers_run(site->ctx.peers);
    (void)fs_groups_run(site->ctx.groups);
    return moved;
}

void pair_pump(struct pair *pair)
{
    for (unsigned quiet = 0; quiet < QUIET_ROUNDS; quiet++) {
        bool moved = pair->link && fake_link_step(pair->link, 0);
        moved |= pump_lanes(pair);
        moved |= pump_site(&pair->east);
        moved |= pump_site(&pair->west);
        if (moved) {
            quiet = 0;
        }
    }
}

void pair_advance(struct pair *pair, int64_t ns)
{
    for (int64_t left = ns; left > 0; left -= STEP_NS) {
        fs_clock_scripted_advance(&pair->clock, left < STEP_NS ? left : STEP_NS);
        pair_pump(pair);
    }
}

void pair_cut(struct pair *pair)
{
    if (pair->link) {
        fake_link_cut_after(pair->link, 0, 0);
    }
    cut_lanes(pair); /* also those of a link that the test made itself */
    if (pair->link) {
        fake_link_free(pair->link);
        pair->link = NULL;
        pair_pump(pair);
    }
}

void pair_dial(struct pair *pair)
{
    struct fs_transport *ends[2];

    pair_cut(pair);
    pair->link = fake_link_new(ends);
    fs_peers_accept(pair->east.ctx.peers, ends[0]);
    fs_peers_accept(pair->west.ctx.peers, ends[1]);
    pair_pump(pair);
}

void pair_connect(struct pair *pair)
{
    pair_dial(pair);
    assert_non_null(fs_peers_session(pair->east.ctx.peers, "west"));
    assert_non_null(fs_peers_session(pair->west.ctx.peers, "east"));
}

/* --- groups ---------------------------------------------------------------------------------- */

struct fs_group *pair_find(struct pair_site *site, const char *name)
{
    bool ambiguous;

    return fs_groups_find(site->ctx.groups, name, &ambiguous);
}

static void found_group(struct pair_site *site, const char *name, struct fs_found_group *found)
{
    *found = (struct fs_found_group){0};
    (void)snprintf(found->name, sizeof(found->name), "%s", name);
    (void)snprintf(found->policy, sizeof(found->policy), "gold");
    found->volumes = calloc(FS_VOLUMES_MAX, sizeof(*found->volumes));
    for (unsigned i = 0; i < FS_VOLUMES_MAX; i++) {
        char image[FS_IMAGE_NAME_SIZE];
        (void)snprintf(image, sizeof(image), "%s-%u", name, i);
        struct mem_image *at = mem_store_find(site->store, "rbd", image);
        if (!at || !mem_image_is_writable(at)) {
            break;
        }
        mem_image_volume(at, &found->volumes[found->n_volumes++]);
    }
}

static const char *const all_names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
#define N_NAMES (sizeof(all_names) / sizeof(all_names[0]))

/* The images of a group that has a record are stamped as its. */
static void note_stamps(struct pair_site *site, struct fs_found_group *found)
{
    for (size_t i = 0; i < site->ctx.groups->count; i++) {
        struct fs_record *record = site->ctx.groups->list[i]->record;
        for (size_t v = 0; v < found->n_volumes; v++) {
            if (fs_uuid_is_zero(&record->joins) &&
                fs_record_find_image(record, &found->volumes[v].image)) {
                found->group = record->group;
            }
        }
    }
}

/* Those that are copied beside the group are groups of their own. */
static void split_beside(struct pair_site *site, struct fs_found_group *from,
                         struct fs_discovery *discovery)
{
    for (size_t v = from->n_volumes; v-- > 0;) {
        const struct fs_volume volume = from->volumes[v];
        struct fs_uuid stamp =
            mem_image_beside(mem_store_find(site->store, volume.image.pool, volume.image.name));
        if (!fs_uuid_is_zero(&stamp)) {
            struct fs_found_group *own = &discovery->groups[discovery->n_groups++];
            *own = *from;
            own->group = stamp;
            assert_int_equal(fs_group_name_beside(from->name, &volume, own->name), 0);
            own->volumes = calloc(1, sizeof(volume));
            own->volumes[0] = volume;
            own->n_volumes = 1;
            from->volumes[v] = from->volumes[--from->n_volumes];
        }
    }
}

static void discover(struct pair_site *site, const char *without, int64_t began_ns)
{
    struct fs_found_group found[N_NAMES + FS_VOLUMES_MAX];
    struct fs_discovery discovery = {.groups = found};

    for (size_t i = 0; i < N_NAMES; i++) {
        if (without && strcmp(without, all_names[i]) == 0) {
            continue;
        }
        struct fs_found_group group;
        found_group(site, all_names[i], &group);
        split_beside(site, &group, &discovery);
        if (group.n_volumes > 0) {
            note_stamps(site, &group);
            found[discovery.n_groups++] = group;
        } else {
            free(group.volumes);
        }
    }
    assert_int_equal(fs_groups_discovered(site->ctx.groups, &discovery, began_ns), 0);
    for (size_t i = 0; i < discovery.n_groups; i++) {
        free(found[i].volumes);
    }
}

void pair_discover(struct pair *pair, const char *without)
{
    discover(&pair->east, without, fs_context_boot(&pair->east.ctx));
}

void pair_discover_west(struct pair *pair)
{
    discover(&pair->west, NULL, fs_context_boot(&pair->west.ctx));
}

void pair_discover_nothing(struct pair_site *site, int64_t began_ns)
{
    const struct fs_discovery nothing = {0};

    assert_int_equal(fs_groups_discovered(site->ctx.groups, &nothing, began_ns), 0);
}

struct fs_group *pair_add_group(struct pair *pair, const char *name, unsigned n_images)
{
    for (unsigned i = 0; i < n_images; i++) {
        char image[FS_IMAGE_NAME_SIZE];
        (void)snprintf(image, sizeof(image), "%s-%u", name, i);
        mem_image_scribble(mem_store_create(pair->east.store, "rbd", image, PAIR_IMAGE_SIZE), 65536,
                           300000, i % 2 == 0);
    }
    pair_discover(pair, NULL);
    struct fs_group *group = pair_find(&pair->east, name);
    assert_non_null(group);
    return group;
}

void pair_write(struct pair *pair, const char *name)
{
    char image[FS_IMAGE_NAME_SIZE];

    (void)snprintf(image, sizeof(image), "%s-0", name);
    mem_image_scribble(mem_store_find(pair->east.store, "rbd", image), 1u << 20, 10000, true);
}

static void load(struct pair_site *site)
{
    size_t count = mem_store_count_records(site->store);
    struct fs_record **records = calloc(count + 1, sizeof(*records));

    for (size_t i = 0; i < count; i++) {
        records[i] = mem_store_load_at(site->store, i);
    }
    assert_int_equal(fs_groups_load(site->ctx.groups, records, count), 0);
    free(records);
}

static void stop_groups(struct pair_site *site)
{
    fs_groups_stop(site->ctx.groups);
    for (unsigned i = 0; i < 1000 && fs_groups_busy(site->ctx.groups) > 0; i++) {
        pair_pump(site->pair);
    }
    assert_int_equal(fs_groups_busy(site->ctx.groups), 0);
}

static void drop_parts(struct pair_site *site)
{
    stop_groups(site);
    fs_peers_free(site->ctx.peers);
    fs_groups_free(site->ctx.groups);
    assert_int_equal(site->ctx.sending.used, 0);
    assert_int_equal(site->ctx.receiving.used, 0);
}

void pair_restart(struct pair_site *site)
{
    pair_cut(site->pair);
    drop_parts(site);
    if (mem_store_crashed(site->store)) {
        mem_store_restart(site->store);
    }
    make_parts(site);
    load(site);
}

void pair_reopen(struct pair_site *site)
{
    stop_groups(site);
    load(site);
    fs_groups_resume(site->ctx.groups);
}

void pair_free(struct pair *pair)
{
    pair_cut(pair);
    struct pair_site *const sites[] = {&pair->east, &pair->west};
    for (size_t i = 0; i < 2; i++) {
        for (unsigned op = 1; op < MEM_OP_COUNT; op++) {
            mem_store_release(sites[i]->store, op);
        }
    }
    drop_parts(&pair->east);
    make_parts(&pair->east); /* so that the other one can still be pumped */
    drop_parts(&pair->west);
    fs_peers_free(pair->east.ctx.peers);
    fs_groups_free(pair->east.ctx.groups);
    for (size_t i = 0; i < 2; i++) {
        fs_pool_free(sites[i]->ctx.cpu);
        mem_digester_free(sites[i]->digester);
        mem_store_free(sites[i]->store);
        fs_mailbox_free(sites[i]->mailbox);
    }
    free(pair);
}

/* --- checks ---------------------------------------------------------------------------------- */

const struct fs_record_point *pair_check_synced(struct pair *pair, const char *name)
{
    const struct fs_group *east = pair_find(&pair->east, name);
    const struct fs_group *west = pair_find(&pair->west, name);

    assert_non_null(east);
    assert_non_null(west);
    const struct fs_record_point *here = fs_record_newest_committed(east->record);
    const struct fs_record_point *there = fs_record_newest_committed(west->record);
    assert_non_null(here);
    assert_non_null(there);
    assert_memory_equal(&here->point.id, &there->point.id, sizeof(here->point.id));
    assert_true(mem_store_same_point(pair->east.store, pair->west.store, &east->record->group,
                                     &here->point.id));
    return here;
}

enum fs_group_state pair_state(struct pair_site *site, const char *name)
{
    struct fs_verdict verdict;

    fs_group_verdict(pair_find(site, name), &verdict);
    return verdict.state;
}

void pair_pass(void *death, const char *step)
{
    struct pair_death *its = death;

    if (!its->dead && strcmp(step, its->step) == 0 && ++its->passed == its->nth) {
        its->dead = true;
        mem_store_crash(its->store);
    }
}

struct pair *pair_with_workload(int64_t interval_ns, struct event_base *base)
{
    static const struct fs_config_source kubernetes = {.kubernetes = true, .workloads = true};
    struct pair *pair = pair_new(interval_ns);

    pair->east.api.objects = "{\"format\":1,\"missing\":[],\"objects\":[{\"kind\":\"ConfigMap\"}]}";
    pair_connect(pair);
    (void)pair_add_group(pair, "a", 1);
    pair_advance(pair, interval_ns);
    (void)pair_check_synced(pair, "a");
    pair->west.ctx.workloads = fs_workloads_new(base);
    pair->west.config.kubernetes = &kubernetes;
    struct fs_volume *volume = &pair_find(&pair->west, "a")->record->volumes[0].volume;
    (void)snprintf(volume->pvc, FS_NAME_SIZE, "data");
    (void)snprintf(volume->pvc_namespace, FS_NAME_SIZE, "shop");
    mem_store_hold(pair->west.store, MEM_OP_OBJECTS);
    return pair;
}

void pair_await_reading(struct pair *pair)
{
    for (unsigned i = 0; i < 600 && !mem_store_in_flight(pair->west.store, MEM_OP_OBJECTS); i++) {
        pair_advance(pair, 100 * FS_MSEC);
    }
    assert_int_equal(mem_store_in_flight(pair->west.store, MEM_OP_OBJECTS), 1);
}
