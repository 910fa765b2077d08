/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The phases of a stand at the site. Each step is a job on the life pool; its end decides the next:
 *
 *   WAITING -> OPENING -> CLAIMING -> LOADING -> WORKING -> DRAINING -> CLOSING -> WAITING
 *                          ^    |
 *                          STANDBY (the lease is another daemon's: asked again)
 *
 * Whatever goes wrong leads through DRAINING (everything that was started ends by itself, most of
 * it with an error) to CLOSING, and from there to a new stand with a new instance. A lease that
 * could not be renewed in time counts as lost before it ends by the boot clock.
 */
#include "daemon/work.h"

#include <stdio.h>
#include <stdlib.h>

#include "daemon/groups.h"
#include "daemon/kube_source.h"
#include "daemon/peer.h"
#include "daemon/weather.h"
#include "farshore/log.h"

#define LEASE_NS       (30 * FS_SEC)
#define RENEW_NS       (LEASE_NS / 3)
#define RENEW_AGAIN_NS (2 * FS_SEC)
/* Without a renewal for so long all work stops: what is on its way to the cluster then has the
 * rest of the lease to arrive. */
#define LEASE_LATE_NS    (LEASE_NS * 8 / 10)
#define OP_TIMEOUT_NS    (30 * FS_SEC)
#define IO_DEPTH         32
#define LOOK_NS          (5 * FS_SEC)
#define RETRY_FIRST_NS   (1 * FS_SEC)
#define RETRY_LONGEST_NS (15 * FS_SEC)

enum work_phase {
    WORK_WAITING = 0,
    WORK_OPENING,
    WORK_STANDBY,
    WORK_CLAIMING,
    WORK_LOADING,
    WORK_WORKING,
    WORK_DRAINING,
    WORK_CLOSING,
    WORK_STOPPED,
};

struct step { /* of the life; input and result move with it */
    struct fs_job job;
    struct fs_work *work;
    struct fs_site *site;
    struct fs_site_options options;
    int rc;
    struct fs_error err;
    struct fs_record **records;
    size_t n_records;
};

struct renewal {
    struct fs_job job;
    struct fs_work *work;
    struct fs_site *site;
    int64_t began_ns;
    int rc;
    struct fs_error err;
};

struct search {
    struct fs_job job;
    struct fs_work *work;
    struct fs_site *site;
    struct fs_discovery_policy *policies; /* owned; texts are the configuration's */
    size_t n_policies;
    int64_t began_ns; /* boot */
    struct fs_claims claims;
    bool claimed; /* Kubernetes is a source */
    struct fs_discovery discovery;
    int rc;
    struct fs_error err;
};

struct look { /* at the pools */
    struct fs_job job;
    struct fs_work *work;
    struct fs_site *site;
    struct fs_health health;
    int rc;
    struct fs_error err;
};

struct fs_work {
    struct fs_context *ctx;
    struct fs_mailbox *mailbox;
    struct fs_pool *life, *blocking;
    char *conf, *user, *state_pool, *site_name, *helper, *daemon_key;
    bool object_io;
    enum work_phase phase;
    bool stopping;
    struct fs_site *site;
    int64_t next_ns;   /* boot: of WAITING and STANDBY */
    unsigned failures; /* stands in a row that did not get to WORKING */
    bool told_down, told_standby;
    struct step step;
    struct renewal renewal;
    bool renewing;
    int64_t renewed_ns; /* boot: when the last renewal that worked began */
    int64_t renew_ns;   /* boot: the next one */
    struct search search;
    bool searching;
    bool search_again; /* something changed since it began */
    bool search_failed;
    int64_t search_ns; /* boot: the next one */
    struct look look;
    bool looking;
    int64_t look_ns; /* boot: the next one */
};

static void submit(struct fs_work *work, enum work_phase phase, void (*run)(struct fs_job *job),
                   void (*done)(struct fs_job *job));
static void claim(struct fs_work *work);
static void drain(struct fs_work *work);

static void kick(struct fs_work *work)
{
    work->ctx->kick(work->ctx->hook_arg);
}

struct fs_work *fs_work_new(const struct fs_work_options *options)
{
    const struct fs_config *config = options->ctx->config;
    struct fs_work *work = calloc(1, sizeof(*work));

    if (!work) {
        return NULL;
    }
    work->ctx = options->ctx;
    work->mailbox = options->mailbox;
    work->life = options->life;
    work->blocking = options->blocking;
    work->conf = strdup(config->ceph_conf);
    work->user = strdup(config->ceph_user);
    work->state_pool = strdup(config->state_pool);
    work->site_name = strdup(config->site);
    work->helper = strdup(options->helper);
    work->object_io = config->object_io;
    work->daemon_key = strdup(options->daemon_key);
    if (!work->conf || !work->user || !work->state_pool || !work->site_name || !work->helper ||
        !work->daemon_key) {
        fs_work_free(work);
        return NULL;
    }
    (void)snprintf(work->ctx->site_reason, sizeof(work->ctx->site_reason),
                   "not connected to the Ceph cluster yet");
    return work;
}

void fs_work_free(struct fs_work *work)
{
    if (!work) {
        return;
    }
    free(work->conf);
    free(work->user);
    free(work->state_pool);
    free(work->site_name);
    free(work->helper);
    free(work->daemon_key);
    free(work);
}

/* --- the steps ------------------------------------------------------------------------------- */

static void step_failed(struct fs_work *work, const struct fs_error *err)
{
    (void)snprintf(work->ctx->site_reason, sizeof(work->ctx->site_reason), "%s", err->message);
    if (!work->told_down) {
        work->told_down = true;
        fs_log(FS_EV_CLUSTER_DOWN, FS_E(err));
    }
}

static void wait_for_next(struct fs_work *work)
{
    int64_t wait = RETRY_FIRST_NS;

    for (unsigned i = 1; i < work->failures && wait < RETRY_LONGEST_NS; i++) {
        wait *= 2;
    }
    work->phase = work->stopping ? WORK_STOPPED : WORK_WAITING;
    work->next_ns =
        fs_context_boot(work->ctx) + (wait < RETRY_LONGEST_NS ? wait : RETRY_LONGEST_NS);
    kick(work);
}

static void run_open(struct fs_job *job)
{
    struct step *step = (struct step *)job;

    step->rc = fs_site_open(&step->options, &step->site, &step->err);
}

static void open_done(struct fs_job *job)
{
    struct step *step = (struct step *)job;
    struct fs_work *work = step->work;

    if (step->rc < 0) {
        work->failures++;
        step_failed(work, &step->err);
        wait_for_next(work);
        return;
    }
    work->site = step->site;
    if (work->stopping) {
        drain(work);
        return;
    }
    work->told_down = false;
    fs_log(FS_EV_CLUSTER_UP, FS_S("fsid", fs_site_fsid(work->site)));
    claim(work);
}

static void run_claim(struct fs_job *job)
{
    struct step *step = (struct step *)job;

    step->rc = fs_site_claim(step->site, &step->err);
}

static void report_bad_record(void *arg, const char *object, const struct fs_error *err)
{
    (void)arg;
    fs_log(FS_EV_INTERNAL, FS_S("object", object), FS_E(err));
}

static void run_load(struct fs_job *job)
{
    struct step *step = (struct step *)job;

    step->rc = fs_site_load(step->site, &step->records, &step->n_records, report_bad_record, NULL,
                            &step->err);
}

static void drop_records(struct step *step)
{
    for (size_t i = 0; i < step->n_records; i++) {
        fs_record_free(step->records[i]);
    }
    free(step->records);
    step->records = NULL;
    step->n_records = 0;
}

static void begin_work(struct fs_work *work)
{
    struct fs_context *ctx = work->ctx;

    ctx->site_uuid = *fs_site_uuid(work->site);
    (void)snprintf(ctx->fsid, sizeof(ctx->fsid), "%s", fs_site_fsid(work->site));
    ctx->source = fs_site_source(work->site, work->blocking, work->mailbox);
    ctx->sink = fs_site_sink(work->site, work->blocking, work->mailbox);
    ctx->digester = fs_site_digester(work->site, work->blocking);
    ctx->operators = fs_site_operator(work->site, work->blocking);
    ctx->site_reason[0] = '\0';
    work->failures = 0;
    work->search_ns = 0;
    work->look_ns = 0;
    work->phase = WORK_WORKING;
    fs_groups_resume(ctx->groups);
    fs_peers_set_active(ctx->peers, true, "");
    kick(work);
}

static void load_done(struct fs_job *job)
{
    struct step *step = (struct step *)job;
    struct fs_work *work = step->work;

    if (step->rc < 0 || work->stopping) {
        if (step->rc < 0) {
            work->failures++;
            step_failed(work, &step->err);
        }
        drop_records(step);
        drain(work);
        return;
    }
    if (fs_groups_load(work->ctx->groups, step->records, step->n_records) < 0) {
        (void)fs_error_set(&step->err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
        work->failures++;
        step_failed(work, &step->err);
        drop_records(step);
        drain(work);
        return;
    }
    drop_records(step);
    begin_work(work);
}

static void claim_done(struct fs_job *job)
{
    struct step *step = (struct step *)job;
    struct fs_work *work = step->work;

    if (work->stopping) {
        drain(work);
    } else if (step->rc == -EBUSY) {
        work->phase = WORK_STANDBY;
        work->next_ns = fs_context_boot(work->ctx) + RENEW_NS;
        (void)snprintf(work->ctx->site_reason, sizeof(work->ctx->site_reason),
                       "standing by: %.480s", step->err.message);
        if (!work->told_standby) {
            work->told_standby = true;
            fs_log(FS_EV_STANDBY, FS_E(&step->err));
        }
        kick(work);
    } else if (step->rc < 0) {
        work->failures++;
        step_failed(work, &step->err);
        drain(work);
    } else {
        work->told_standby = false;
        work->renewed_ns = work->renewal.began_ns;
        work->renew_ns = work->renewed_ns + RENEW_NS;
        fs_log(FS_EV_LEASE_TAKEN, FS_S("fsid", fs_site_fsid(work->site)));
        submit(work, WORK_LOADING, run_load, load_done);
    }
}

static void claim(struct fs_work *work)
{
    work->renewal.began_ns = fs_context_boot(work->ctx);
    submit(work, WORK_CLAIMING, run_claim, claim_done);
}

static void run_close(struct fs_job *job)
{
    struct step *step = (struct step *)job;

    fs_site_close(step->site);
}

static void close_done(struct fs_job *job)
{
    struct step *step = (struct step *)job;

    step->work->site = NULL;
    wait_for_next(step->work);
}

static void submit(struct fs_work *work, enum work_phase phase, void (*run)(struct fs_job *job),
                   void (*done)(struct fs_job *job))
{
    struct step *step = &work->step;

    work->phase = phase;
    step->job = (struct fs_job){.run = run, .done = done};
    step->work = work;
    step->site = work->site;
    step->rc = 0;
    step->err = FS_ERROR_INIT;
    fs_pool_submit(work->life, &step->job);
}

static void open_site(struct fs_work *work)
{
    /* Each stand is an instance of its own: what an earlier one left behind is fenced by it. */
    fs_uuid_random(&work->ctx->instance);
    work->step.options = (struct fs_site_options){
        .conf = work->conf,
        .user = work->user,
        .state_pool = work->state_pool,
        .site_name = work->site_name,
        .helper = work->helper,
        .instance = work->ctx->instance,
        .daemon_key = work->daemon_key,
        .clock = work->ctx->clock,
        .op_timeout_ns = OP_TIMEOUT_NS,
        .lease_ns = LEASE_NS,
        .io_depth = IO_DEPTH,
        .object_io = work->object_io,
    };
    submit(work, WORK_OPENING, run_open, open_done);
}

/* --- stop ------------------------------------------------------------------------------------ */

/* Stop all work of this stand; DRAINING ends in run once nothing is under way any more. */
static void drain(struct fs_work *work)
{
    struct fs_context *ctx = work->ctx;

    ctx->source = NULL;
    ctx->sink = NULL;
    ctx->digester = NULL;
    ctx->operators = NULL;
    fs_weather_forget(ctx);
    work->phase = WORK_DRAINING;
    if (work->stopping) {
        (void)snprintf(ctx->site_reason, sizeof(ctx->site_reason), "the daemon stops");
    }
    /* Receivers make durable what they have before the sessions go. */
    fs_groups_stop(ctx->groups);
    fs_peers_set_active(ctx->peers, false,
                        work->stopping ? "the daemon stops"
                                       : "this site cannot work: its Ceph cluster is away");
    kick(work);
}

void fs_work_lost(struct fs_work *work, const struct fs_error *err)
{
    if (work->phase != WORK_WORKING) {
        return;
    }
    fs_log(FS_EV_LEASE_LOST, FS_E(err));
    (void)snprintf(work->ctx->site_reason, sizeof(work->ctx->site_reason), "%s", err->message);
    drain(work);
}

void fs_work_stop(struct fs_work *work)
{
    work->stopping = true;
    switch (work->phase) {
    case WORK_WAITING:
        work->phase = WORK_STOPPED;
        break;
    case WORK_STANDBY:
    case WORK_WORKING:
        drain(work);
        break;
    default: /* a step is under way and sees it when it ends */
        break;
    }
    kick(work);
}

bool fs_work_stopped(const struct fs_work *work)
{
    return work->phase == WORK_STOPPED;
}

/* --- the lease ------------------------------------------------------------------------------- */

static void run_renew(struct fs_job *job)
{
    struct renewal *renewal = (struct renewal *)job;

    renewal->rc = fs_site_renew(renewal->site, &renewal->err);
}

static void renew_done(struct fs_job *job)
{
    struct renewal *renewal = (struct renewal *)job;
    struct fs_work *work = renewal->work;

    work->renewing = false;
    kick(work);
    if (work->phase != WORK_WORKING) {
        return;
    }
    if (renewal->rc == 0) {
        work->renewed_ns = renewal->began_ns;
        work->renew_ns = renewal->began_ns + RENEW_NS;
    } else if (renewal->rc == -ESTALE || renewal->rc == -ESHUTDOWN) {
        fs_work_lost(work, &renewal->err);
    } else {
        work->renew_ns = fs_context_boot(work->ctx) + RENEW_AGAIN_NS;
        (void)snprintf(work->ctx->site_reason, sizeof(work->ctx->site_reason), "%s",
                       renewal->err.message);
    }
}

static void keep_lease(struct fs_work *work, int64_t now)
{
    if (now - work->renewed_ns > LEASE_LATE_NS) {
        struct fs_error err = FS_ERROR_INIT;
        (void)fs_error_set(&err, FS_ERR_TRANSIENT, ETIMEDOUT,
                           "the lease could not be renewed in time: %.300s",
                           work->ctx->site_reason[0] ? work->ctx->site_reason
                                                     : "the Ceph cluster does not answer");
        if (!work->told_down) {
            work->told_down = true;
            fs_log(FS_EV_CLUSTER_DOWN, FS_E(&err));
        }
        fs_work_lost(work, &err);
        return;
    }
    if (!work->renewing && now >= work->renew_ns) {
        work->renewing = true;
        work->renewal = (struct renewal){
            .job = {.run = run_renew, .done = renew_done},
            .work = work,
            .site = work->site,
            .began_ns = now,
        };
        fs_pool_submit(work->life, &work->renewal.job);
    }
}

/* --- discovery ------------------------------------------------------------------------------- */

static void run_search(struct fs_job *job)
{
    struct search *search = (struct search *)job;

    search->rc = fs_site_discover(search->site, search->policies, search->n_policies,
                                  search->claimed ? &search->claims : NULL, &search->discovery,
                                  &search->err);
    fs_claims_fini(&search->claims);
}

static void search_done(struct fs_job *job)
{
    struct search *search = (struct search *)job;
    struct fs_work *work = search->work;

    work->searching = false;
    work->search_ns = work->search_again
                          ? 0
                          : fs_context_boot(work->ctx) + work->ctx->config->discovery_interval_ns;
    work->search_again = false;
    if (search->rc < 0) {
        if (!work->search_failed && work->phase == WORK_WORKING) {
            fs_log(FS_EV_VOLUME_SKIPPED, FS_S("reason", "discovery failed"), FS_E(&search->err));
        }
        work->search_failed = true;
    } else {
        work->search_failed = false;
        if (work->phase == WORK_WORKING) {
            (void)fs_groups_discovered(work->ctx->groups, &search->discovery, search->began_ns);
        }
        fs_discovery_fini(&search->discovery);
    }
    free(search->policies);
    search->policies = NULL;
    kick(work);
}

static void discover(struct fs_work *work)
{
    const struct fs_config *config = work->ctx->config;
    struct search *search = &work->search;

    *search = (struct search){
        .job = {.run = run_search, .done = search_done},
        .work = work,
        .site = work->site,
        .began_ns = fs_context_boot(work->ctx),
        .policies = calloc(config->n_policies + 1, sizeof(*search->policies)),
        .claimed = config->kubernetes != NULL,
    };
    if (!search->policies ||
        (search->claimed && fs_kube_source_claims(work->ctx->kubernetes, &search->claims) < 0)) {
        /* Out of memory; or the API has not been heard yet, which fs_work_discover will tell. */
        free(search->policies);
        work->search_ns = fs_context_boot(work->ctx) + config->discovery_interval_ns;
        return;
    }
    for (size_t i = 0; i < config->n_policies; i++) {
        const struct fs_config_policy *policy = &config->policies[i];
        if (policy->selector) {
            search->policies[search->n_policies++] = (struct fs_discovery_policy){
                .name = policy->name,
                .selector = policy->selector,
                .group_by = policy->group_by,
                .pools = policy->pools,
                .n_pools = policy->n_pools,
            };
        }
    }
    work->searching = true;
    fs_pool_submit(work->life, &search->job);
}

/* --- the pools ------------------------------------------------------------------------------- */

static void run_look(struct fs_job *job)
{
    struct look *look = (struct look *)job;

    look->rc = fs_site_health(look->site, &look->health, &look->err);
}

/* Monitors that do not answer are the lease's business. */
static void look_done(struct fs_job *job)
{
    struct look *look = (struct look *)job;
    struct fs_work *work = look->work;

    work->looking = false;
    work->look_ns = fs_context_boot(work->ctx) + LOOK_NS;
    if (look->rc == 0 && work->phase == WORK_WORKING) {
        fs_weather_heard(work->ctx->groups, &look->health);
    }
    fs_health_fini(&look->health);
    kick(work);
}

static void look_at_pools(struct fs_work *work)
{
    work->looking = true;
    work->look = (struct look){
        .job = {.run = run_look, .done = look_done},
        .work = work,
        .site = work->site,
    };
    fs_pool_submit(work->life, &work->look.job);
}

/* --- the round ------------------------------------------------------------------------------- */

static bool discovers(const struct fs_work *work)
{
    return work->ctx->config->n_sources > 0;
}

static int64_t run_working(struct fs_work *work, int64_t now)
{
    keep_lease(work, now);
    if (work->phase != WORK_WORKING) {
        return now;
    }
    if (discovers(work) && !work->searching && now >= work->search_ns) {
        discover(work);
    }
    if (!work->looking && now >= work->look_ns) {
        look_at_pools(work);
    }
    int64_t next = work->renewed_ns + LEASE_LATE_NS + FS_MSEC;
    if (!work->looking && work->look_ns < next) {
        next = work->look_ns;
    }
    if (!work->renewing && work->renew_ns < next) {
        next = work->renew_ns;
    }
    if (discovers(work) && !work->searching && work->search_ns < next) {
        next = work->search_ns;
    }
    return next;
}

int64_t fs_work_run(struct fs_work *work)
{
    int64_t now = fs_context_boot(work->ctx);

    switch (work->phase) {
    case WORK_WAITING:
        if (now < work->next_ns) {
            return work->next_ns;
        }
        open_site(work);
        return INT64_MAX;
    case WORK_STANDBY:
        if (now < work->next_ns) {
            return work->next_ns;
        }
        claim(work);
        return INT64_MAX;
    case WORK_WORKING:
        return run_working(work, now);
    case WORK_DRAINING:
        if (fs_groups_busy(work->ctx->groups) == 0 && !work->renewing && !work->searching &&
            !work->looking) {
            submit(work, WORK_CLOSING, run_close, close_done);
        }
        return INT64_MAX;
    default:
        return INT64_MAX;
    }
}

void fs_work_discover(struct fs_work *work)
{
    work->search_ns = 0;
    work->search_again = work->searching;
    kick(work);
}

bool fs_work_reads_config(const struct fs_work *work)
{
    return work->searching;
}

bool fs_work_cluster_is_up(const struct fs_work *work)
{
    return work->phase == WORK_STANDBY || work->phase == WORK_CLAIMING ||
           work->phase == WORK_LOADING || work->phase == WORK_WORKING;
}

bool fs_work_holds_lease(const struct fs_work *work)
{
    return work->phase == WORK_WORKING || work->phase == WORK_LOADING;
}
