/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thing at a time:
 *
 *   open ours -> was it proved before? -> open the other opinion
 *     -> for each volume and batch: wait for the rate, digest ours, ask for theirs (in as many
 * parts as they give), narrow down what differs, keep the batch
 *     -> proved, or not -> close
 *
 * Digests are kept only against the other site, and only where the point was not proved before:
 * what was once proved stays, and differs from what is there now if something went wrong since.
 */
#include "ship/prover.h"

#include <stdio.h>
#include <stdlib.h>

#define MIN_BYTES_PER_S (UINT64_C(1) << 20)

static const struct fs_digest_volume *volume_now(const struct fs_prover *prover)
{
    return &prover->own->volumes[prover->volume];
}

static uint32_t unit_now(const struct fs_prover *prover)
{
    return UINT32_C(1) << volume_now(prover)->order;
}

/* --- completions ------------------------------------------------------------------------------ */

static void io_done(void *arg, const struct fs_error *err)
{
    fs_prover_stepped(arg, err);
}

static void own_opened(void *arg, struct fs_digesting *digesting, const struct fs_error *err)
{
    struct fs_prover *prover = arg;
    prover->own = digesting;
    fs_prover_stepped(prover, err);
}

static void kept_opened(void *arg, struct fs_digesting *digesting, const struct fs_error *err)
{
    struct fs_prover *prover = arg;
    prover->kept = digesting;
    if (prover->step == PROVER_PROBE) {
        prover->keep = digesting == NULL && err->code == ENOENT;
        fs_prover_stepped(prover, prover->keep ? NULL : err);
        return;
    }
    if (digesting == NULL && err->code == ENOENT) {
        prover->report.phase = FS_VERIFY_REFUSED;
    }
    for (size_t i = 0; digesting != NULL && i < digesting->n_volumes; i++) {
        prover->other.volumes[prover->other.n_volumes++] = digesting->volumes[i];
    }
    fs_prover_stepped(prover, err);
}

/* --- starting steps --------------------------------------------------------------------------- */

static void begin(struct fs_prover *prover, enum prover_step step)
{
    prover->step = step;
    prover->waiting = true;
}

static void begin_open_other(struct fs_prover *prover)
{
    struct fs_error err = FS_ERROR_INIT;
    begin(prover, PROVER_OPEN_OTHER);
    if (!prover->remote) {
        prover->digester->ops->open_kept(prover->digester, prover->record, &prover->point,
                                         kept_opened, prover);
    } else if (fs_prover_dial(prover, &err) < 0) {
        fs_prover_stepped(prover, &err);
    }
}

static void begin_close(struct fs_prover *prover)
{
    fs_prover_hang_up(prover);
    if (prover->kept != NULL) {
        struct fs_digesting *kept = prover->kept;
        begin(prover, PROVER_CLOSE_KEPT);
        prover->kept = NULL;
        prover->digester->ops->close(kept, io_done, prover);
        return;
    }
    if (prover->own != NULL) {
        struct fs_digesting *own = prover->own;
        begin(prover, PROVER_CLOSE_OWN);
        prover->own = NULL;
        prover->digester->ops->close(own, io_done, prover);
        return;
    }
    struct fs_verify_report *report = &prover->report;
    if (fs_error_is_set(&prover->err)) {
        report->phase = report->phase == FS_VERIFY_REFUSED ? FS_VERIFY_REFUSED : FS_VERIFY_FAILED;
        snprintf(report->message, sizeof(report->message), "%s", prover->err.message);
    } else {
        report->phase = report->different > 0 ? FS_VERIFY_DIFFERENT : FS_VERIFY_EQUAL;
    }
    prover->done(prover->arg, report, &prover->err);
    fs_record_free(prover->record);
    free(prover);
}

static void begin_own(struct fs_prover *prover)
{
    const struct fs_digest_volume *volume = volume_now(prover);
    struct fs_digest_query query = {.volume = volume->volume,
                                    .from = prover->from,
                                    .to = volume->size,
                                    .unit = unit_now(prover)};
    begin(prover, PROVER_OWN);
    prover->digester->ops->next(prover->own, &query, &prover->mine, io_done, prover);
}

/* The rest of our batch, or of the suspect, from the other side. */
static void begin_other(struct fs_prover *prover, enum prover_step step)
{
    bool narrow = step == PROVER_NARROW_OTHER;
    begin(prover, step);
    prover->query = (struct fs_digest_query){
        .volume = volume_now(prover)->volume,
        .from = narrow ? prover->narrow_at : prover->compared,
        .to = narrow ? prover->narrow_mine.next : prover->mine.next,
        .unit = narrow ? FS_DIGEST_CHUNK : unit_now(prover),
    };
    if (prover->remote) {
        fs_prover_want(prover);
    } else {
        prover->digester->ops->next(prover->kept, &prover->query, &prover->theirs, io_done, prover);
    }
}

static void begin_narrow_own(struct fs_prover *prover)
{
    struct fs_digest_query query = {.volume = volume_now(prover)->volume,
                                    .from = prover->narrow_at,
                                    .to = prover->narrow_end,
                                    .unit = FS_DIGEST_CHUNK};
    begin(prover, PROVER_NARROW_OWN);
    prover->digester->ops->next(prover->own, &query, &prover->narrow_mine, io_done, prover);
}

static void begin_keep(struct fs_prover *prover)
{
    begin(prover, PROVER_KEEP);
    prover->digester->ops->keep(prover->digester, &prover->record->group, &prover->point,
                                &volume_now(prover)->volume, prover->from, &prover->mine, io_done,
                                prover);
}

/* --- what follows ----------------------------------------------------------------------------- */

static void finish(struct fs_prover *prover)
{
    prover->report.done_bytes = prover->report.total_bytes;
    if (prover->keep && prover->report.different == 0) {
        begin(prover, PROVER_PROVE);
        prover->digester->ops->prove(prover->digester, &prover->record->group, &prover->point,
                                     io_done, prover);
    } else {
        begin_close(prover);
    }
}

/* Is there anything of this volume to compare with? Sizes were. */
static bool is_comparable(const struct fs_prover *prover)
{
    for (size_t i = 0; i < prover->other.n_volumes; i++) {
        if (fs_uuid_equal(&prover->other.volumes[i].volume, &volume_now(prover)->volume)) {
            return prover->other.volumes[i].size == volume_now(prover)->size;
        }
    }
    return false;
}

/* The next batch, of this volume or of those that follow. */
static void go_on(struct fs_prover *prover)
{
    while (prover->volume < prover->own->n_volumes &&
           (prover->from >= volume_now(prover)->size || !is_comparable(prover))) {
        prover->before_bytes += volume_now(prover)->size;
        prover->volume++;
        prover->from = 0;
    }
    if (prover->volume == prover->own->n_volumes) {
        finish(prover);
        return;
    }
    prover->report.done_bytes = prover->before_bytes + prover->from;
    if (fs_clock_boot(prover->clock) < prover->not_before_ns) {
        begin(prover, PROVER_PAUSE); /* until a tick */
    } else {
        begin_own(prover);
    }
}

static void batch_settled(struct fs_prover *prover)
{
    if (prover->keep) {
        begin_keep(prover);
    } else {
        prover->from = prover->mine.next;
        go_on(prover);
    }
}

/* Begin with the next suspect of the part that was compared last, or go on. */
static void next_suspect(struct fs_prover *prover)
{
    const struct fs_digest_volume *volume = volume_now(prover);
    while (prover->suspect < prover->n_suspects) {
        uint64_t offset = prover->suspects[prover->suspect++];
        uint64_t left = volume->size - offset;
        uint64_t length = left < unit_now(prover) ? left : unit_now(prover);
        if (prover->report.n_differences >= FS_DIFFERENCES_MAX) {
            break; /* it could not be listed */
        }
        if (prover->remote && unit_now(prover) > FS_DIGEST_CHUNK) {
            prover->narrow_at = offset;
            prover->narrow_end = offset + length;
            prover->narrowed = false;
            begin_narrow_own(prover);
            return;
        }
        fs_prover_add_difference(prover, &volume->volume, offset >> volume->order, offset, length);
    }
    if (prover->compared < prover->mine.next) {
        begin_other(prover, PROVER_OTHER);
    } else {
        batch_settled(prover);
    }
}

static void chunks_compared(struct fs_prover *prover)
{
    const struct fs_digest_volume *volume = volume_now(prover);
    if (prover->narrow_at < prover->narrow_end) {
        begin_narrow_own(prover);
        return;
    }
    if (!prover->narrowed) { /* told apart as a whole, but not in parts: say what is known */
        uint64_t offset = prover->suspects[prover->suspect - 1];
        fs_prover_add_difference(prover, &volume->volume, offset >> volume->order, offset,
                                 prover->narrow_end - offset);
    }
    next_suspect(prover);
}

static void own_digested(struct fs_prover *prover)
{
    int64_t now = fs_clock_boot(prover->clock);
    int64_t since = prover->not_before_ns > now ? prover->not_before_ns : now;
    prover->report.read_bytes += prover->mine.bytes;
    prover->not_before_ns = since + (int64_t)((double)prover->mine.bytes /
                                              (double)prover->bytes_per_s * (double)FS_SEC);
    prover->used = 0;
    prover->compared = prover->from;
    prover->n_suspects = 0;
    begin_other(prover, PROVER_OTHER);
}

static void opened(struct fs_prover *prover)
{
    for (size_t i = 0; i < prover->own->n_volumes; i++) {
        prover->report.total_bytes += prover->own->volumes[i].size;
    }
    if (prover->remote) {
        begin(prover, PROVER_PROBE);
        prover->digester->ops->open_kept(prover->digester, prover->record, &prover->point,
                                         kept_opened, prover);
    } else {
        begin_open_other(prover);
    }
}

static void probed(struct fs_prover *prover)
{
    if (prover->keep) {
        begin(prover, PROVER_UNKEEP);
        prover->digester->ops->unkeep(prover->digester, &prover->record->group, &prover->point,
                                      io_done, prover);
        return;
    }
    struct fs_digesting *kept = prover->kept;
    begin(prover, PROVER_CLOSE_PROBE);
    prover->kept = NULL;
    prover->digester->ops->close(kept, io_done, prover);
}

static void advance(struct fs_prover *prover)
{
    switch (prover->step) {
    case PROVER_OPEN_OWN:
        opened(prover);
        break;
    case PROVER_PROBE:
        probed(prover);
        break;
    case PROVER_CLOSE_PROBE:
    case PROVER_UNKEEP:
        begin_open_other(prover);
        break;
    case PROVER_OPEN_OTHER:
        fs_prover_compare_volumes(prover);
        go_on(prover);
        break;
    case PROVER_PAUSE:
        begin_own(prover);
        break;
    case PROVER_OWN:
        own_digested(prover);
        break;
    case PROVER_OTHER:
        fs_prover_compare(prover);
        next_suspect(prover);
        break;
    case PROVER_NARROW_OWN:
        begin_other(prover, PROVER_NARROW_OTHER);
        break;
    case PROVER_NARROW_OTHER:
        fs_prover_compare_chunks(prover);
        chunks_compared(prover);
        break;
    case PROVER_KEEP:
        prover->from = prover->mine.next;
        go_on(prover);
        break;
    case PROVER_PROVE:
    case PROVER_CLOSE_KEPT:
    case PROVER_CLOSE_OWN:
        begin_close(prover);
        break;
    }
}

void fs_prover_stepped(struct fs_prover *prover, const struct fs_error *err)
{
    prover->waiting = false;
    if (err != NULL && fs_error_is_set(err) && !fs_error_is_set(&prover->err)) {
        prover->err = *err;
    }
    if (fs_error_is_set(&prover->err)) {
        prover->ending = true;
    }
    if (prover->ending) {
        begin_close(prover);
    } else {
        advance(prover);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

struct fs_prover *fs_prover_start(const struct fs_prover_options *options,
                                  const struct fs_record *record, const struct fs_uuid *point,
                                  fs_prover_fn *done, void *arg)
{
    struct fs_prover *prover = calloc(1, sizeof(*prover));
    if (prover == NULL || (prover->record = fs_record_copy(record)) == NULL) {
        free(prover);
        return NULL;
    }
    prover->digester = options->digester;
    prover->session = options->session;
    prover->remote = options->session != NULL;
    prover->clock = options->clock;
    prover->bytes_per_s =
        options->bytes_per_s > MIN_BYTES_PER_S ? options->bytes_per_s : MIN_BYTES_PER_S;
    prover->point = *point;
    prover->report.point = *point;
    prover->report.kept = !prover->remote;
    prover->done = done;
    prover->arg = arg;
    begin(prover, PROVER_OPEN_OWN);
    prover->digester->ops->open(prover->digester, prover->record, &prover->point, own_opened,
                                prover);
    return prover;
}

void fs_prover_cancel(struct fs_prover *prover)
{
    bool idle = prover->waiting && prover->step == PROVER_PAUSE;
    bool remote = prover->waiting && prover->remote && prover->stream != 0 &&
                  (prover->step == PROVER_OPEN_OTHER || prover->step == PROVER_OTHER ||
                   prover->step == PROVER_NARROW_OTHER);
    fs_error_set(&prover->err, FS_ERR_CANCELLED, ECANCELED, "the verification was cancelled");
    prover->ending = true;
    if (idle || remote) { /* nothing of ours is in flight */
        fs_prover_stepped(prover, NULL);
    }
}

const struct fs_verify_report *fs_prover_report(const struct fs_prover *prover)
{
    return &prover->report;
}

int64_t fs_prover_deadline(const struct fs_prover *prover)
{
    return prover->waiting && prover->step == PROVER_PAUSE ? prover->not_before_ns : INT64_MAX;
}

void fs_prover_tick(struct fs_prover *prover)
{
    if (prover->waiting && prover->step == PROVER_PAUSE &&
        fs_clock_boot(prover->clock) >= prover->not_before_ns) {
        fs_prover_stepped(prover, NULL);
    }
}
