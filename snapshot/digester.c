/* SPDX-License-Identifier: Apache-2.0 */
/* struct fs_digester over Ceph: the table, and the jobs that carry its operations to a worker. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "farshore/digest.h"
#include "snapshot/alloc.h"
#include "snapshot/digest_image.h"
#include "snapshot/digest_keep.h"
#include "snapshot/site.h"

struct digester {
    struct fs_digester base; /* first */
    struct fs_site *site;
    struct fs_pool *blocking;
};

struct volume {
    struct fs_image_ref ref;
    uint64_t snap_id;
    struct fs_digest_image image; /* WORKER */
    struct fs_digest_list *kept;  /* owned; the batch that was loaded last, or NULL */
    uint64_t kept_from;
};

struct digesting {
    struct fs_digesting base; /* first */
    struct digester *digester;
    struct fs_uuid group, point;
    bool from_kept;
    bool held;
    size_t n_opened;
    struct fs_digest_volume *sizes; /* owned; base.volumes */
    struct volume *volumes;         /* owned */

    /* the operation under way */
    struct fs_job job;
    struct fs_error err;
    struct fs_digest_query query;
    struct fs_digest_list *list;
    fs_digest_open_fn *opened;
    fs_digest_io_fn *done;
    void *arg;
};

static struct digesting *of_job(struct fs_job *job)
{
    return (struct digesting *)((char *)job - offsetof(struct digesting, job));
}

/* --- open and close --------------------------------------------------------------------------- */

static void close_images(struct digesting *digesting)
{
    for (size_t i = 0; i < digesting->n_opened; i++) {
        fs_digest_image_close(&digesting->volumes[i].image);
    }
    digesting->n_opened = 0;
}

static void free_digesting(struct digesting *digesting)
{
    for (size_t i = 0; digesting->volumes && i < digesting->base.n_volumes; i++) {
        free(digesting->volumes[i].kept);
    }
    if (digesting->held) {
        fs_holds_remove(&digesting->digester->site->holds, &digesting->point);
    }
    free(digesting->volumes);
    free(digesting->sizes);
    free(digesting);
}

static void open_run(struct fs_job *job)
{
    struct digesting *digesting = of_job(job);
    struct fs_site *site = digesting->digester->site;
    int rc = fs_error_is_set(&digesting->err) ? -digesting->err.code : 0;

    if (rc == 0 && digesting->from_kept) {
        (void)fs_digest_is_proved(site->state, &digesting->group, &digesting->point,
                                  &digesting->err);
        return;
    }
    for (size_t i = 0; rc == 0 && i < digesting->base.n_volumes; i++) {
        struct volume *volume = &digesting->volumes[i];

        digesting->n_opened++;
        rc = fs_digest_image_open(site->cluster, &volume->ref, volume->snap_id,
                                  digesting->sizes[i].size, &volume->image, &digesting->err);
    }
    if (rc < 0) {
        close_images(digesting);
    }
}

static void open_done(struct fs_job *job)
{
    struct digesting *digesting = of_job(job);

    if (fs_error_is_set(&digesting->err)) {
        digesting->opened(digesting->arg, NULL, &digesting->err);
        free_digesting(digesting);
    } else {
        digesting->opened(digesting->arg, &digesting->base, &digesting->err);
    }
}

/* Copy what the jobs need out of the record. */
static int fill(struct digesting *digesting, const struct fs_record *record, struct fs_error *err)
{
    struct fs_record *lookup = (struct fs_record *)record; /* the finders change nothing */
    const struct fs_record_point *point = fs_record_find_point(lookup, &digesting->point);

    if (!point || (point->state != FS_POINT_COMMITTED && point->state != FS_POINT_COMPLETE)) {
        return fs_error_set(err, FS_ERR_PERMANENT, ENOENT, "this site does not hold the point");
    }
    digesting->volumes = calloc(point->n_contents + 1, sizeof(*digesting->volumes));
    digesting->sizes = calloc(point->n_contents + 1, sizeof(*digesting->sizes));
    if (!digesting->volumes || !digesting->sizes ||
        fs_holds_add(&digesting->digester->site->holds, &digesting->point) < 0) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory to digest a point");
    }
    digesting->held = true;
    for (size_t i = 0; i < point->n_contents; i++) {
        const struct fs_record_content *content = &point->contents[i];
        const struct fs_record_volume *known = fs_record_find_volume(lookup, &content->volume);

        if (!known) {
            return fs_error_set(err, FS_ERR_BUG, EINVAL, "a point holds a volume without an entry");
        }
        digesting->volumes[i].ref = known->volume.image;
        digesting->volumes[i].snap_id = content->snap_id;
        digesting->sizes[i] = (struct fs_digest_volume){.volume = content->volume,
                                                        .size = content->geometry.size,
                                                        .order = content->geometry.order};
        digesting->base.n_volumes++;
    }
    digesting->base.volumes = digesting->sizes;
    return 0;
}

static void open_any(struct fs_digester *base, const struct fs_record *record,
                     const struct fs_uuid *point, bool kept, fs_digest_open_fn *done, void *arg)
{
    struct digester *digester = (struct digester *)base;
    struct digesting *digesting = fs_operation_new(sizeof(*digesting));

    digesting->base.ops = base->ops;
    digesting->digester = digester;
    digesting->group = record->group;
    digesting->point = *point;
    digesting->from_kept = kept;
    digesting->opened = done;
    digesting->arg = arg;
    (void)fill(digesting, record, &digesting->err); /* the job hands an error on */
    digesting->job = (struct fs_job){.run = open_run, .done = open_done};
    fs_pool_submit(digester->blocking, &digesting->job);
}

static void open_data(struct fs_digester *base, const struct fs_record *record,
                      const struct fs_uuid *point, fs_digest_open_fn *done, void *arg)
{
    open_any(base, record, point, false, done, arg);
}

static void open_kept(struct fs_digester *base, const struct fs_record *record,
                      const struct fs_uuid *point, fs_digest_open_fn *done, void *arg)
{
    open_any(base, record, point, true, done, arg);
}

static void close_run(struct fs_job *job)
{
    close_images(of_job(job));
}

static void close_done(struct fs_job *job)
{
    struct digesting *digesting = of_job(job);
    fs_digest_io_fn *done = digesting->done;
    void *arg = digesting->arg;

    free_digesting(digesting);
    if (done) {
        done(arg, &FS_ERROR_INIT);
    }
}

static void close_digesting(struct fs_digesting *base, fs_digest_io_fn *done, void *arg)
{
    struct digesting *digesting = (struct digesting *)base;

    assert(!digesting->list);
    digesting->done = done;
    digesting->arg = arg;
    digesting->job = (struct fs_job){.run = close_run, .done = close_done};
    fs_pool_submit(digesting->digester->blocking, &digesting->job);
}

/* --- next ------------------------------------------------------------------------------------- */

/* Batches were kept one after the other: each begins where the former one ends. */
static int load_kept(struct digesting *digesting, struct volume *volume, struct fs_error *err)
{
    const struct fs_digest_query *query = &digesting->query;

    if (!volume->kept) {
        volume->kept = calloc(1, sizeof(*volume->kept));
        if (!volume->kept) {
            return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory for digests");
        }
    }
    if (query->from < volume->kept_from) {
        volume->kept_from = 0;
        volume->kept->next = 0;
    }
    while (query->from >= volume->kept->next) {
        volume->kept_from = volume->kept->next;
        int rc =
            fs_digest_load(digesting->digester->site->state, &digesting->group, &digesting->point,
                           &query->volume, volume->kept_from, volume->kept, err);
        if (rc < 0) {
            volume->kept->next = volume->kept_from;
            return rc;
        }
    }
    return 0;
}

static int next_kept(struct digesting *digesting, struct volume *volume, uint64_t size,
                     struct fs_error *err)
{
    const struct fs_digest_query *query = &digesting->query;
    struct fs_digest_list *list = digesting->list;
    int rc = query->from < size ? load_kept(digesting, volume, err) : 0;

    list->count = 0;
    list->bytes = 0;
    list->next = query->to;
    if (rc < 0 || query->from >= size) {
        return rc;
    }
    for (size_t i = 0; i < volume->kept->count; i++) {
        const struct fs_digest_entry *entry = &volume->kept->entries[i];

        if (entry->offset >= query->from && entry->offset < query->to) {
            list->entries[list->count++] = *entry;
        }
    }
    if (volume->kept->next < query->to && volume->kept->next < size) {
        list->next = volume->kept->next;
    }
    return 0;
}

static int run_query(struct digesting *digesting, struct fs_error *err)
{
    const struct fs_digest_query *query = &digesting->query;
    size_t i = 0;

    while (i < digesting->base.n_volumes &&
           !fs_uuid_equal(&digesting->sizes[i].volume, &query->volume)) {
        i++;
    }
    if (i == digesting->base.n_volumes) {
        return fs_error_set(err, FS_ERR_PERMANENT, ENOENT, "the point does not hold that volume");
    }
    const struct fs_digest_volume *size = &digesting->sizes[i];
    if (digesting->from_kept) {
        if (query->unit != UINT32_C(1) << size->order) {
            return fs_error_set(err, FS_ERR_BUG, EINVAL, "digests of that unit were not kept");
        }
        return next_kept(digesting, &digesting->volumes[i], size->size, err);
    }
    return fs_digest_image_next(&digesting->volumes[i].image, query->from, query->to, query->unit,
                                digesting->list, err);
}

static void next_run(struct fs_job *job)
{
    struct digesting *digesting = of_job(job);

    (void)run_query(digesting, &digesting->err);
}

static void next_done(struct fs_job *job)
{
    struct digesting *digesting = of_job(job);
    struct fs_error err = digesting->err;

    digesting->list = NULL; /* done may ask for the next batch, or close */
    digesting->done(digesting->arg, &err);
}

static void next(struct fs_digesting *base, const struct fs_digest_query *query,
                 struct fs_digest_list *list, fs_digest_io_fn *done, void *arg)
{
    struct digesting *digesting = (struct digesting *)base;

    assert(!digesting->list);
    digesting->query = *query;
    digesting->list = list;
    digesting->err = FS_ERROR_INIT;
    digesting->done = done;
    digesting->arg = arg;
    digesting->job = (struct fs_job){.run = next_run, .done = next_done};
    fs_pool_submit(digesting->digester->blocking, &digesting->job);
}

/* --- what is kept ----------------------------------------------------------------------------- */

struct keeping {
    struct fs_job job; /* first */
    struct fs_state *state;
    struct fs_uuid group, point, volume;
    uint64_t from;
    const struct fs_digest_list *list; /* the caller's */
    char *text;                        /* owned */
    struct fs_digest_note *notes;      /* owned */
    size_t n_notes;
    struct fs_error err;
    fs_digest_io_fn *done;
    fs_digest_notes_fn *notes_done;
    void *arg;
};

static void keeping_done(struct fs_job *job)
{
    struct keeping *keeping = (struct keeping *)job;

    if (keeping->notes_done) {
        keeping->notes_done(keeping->arg, keeping->notes, keeping->n_notes, &keeping->err);
    } else {
        keeping->done(keeping->arg, &keeping->err);
    }
    fs_digest_notes_free(keeping->notes, keeping->n_notes);
    free(keeping->text);
    free(keeping);
}

static struct keeping *keeping_new(struct fs_digester *base, void (*run)(struct fs_job *job),
                                   fs_digest_io_fn *done, void *arg)
{
    struct keeping *keeping = fs_operation_new(sizeof(*keeping));

    keeping->job = (struct fs_job){.run = run, .done = keeping_done};
    keeping->state = ((struct digester *)base)->site->state;
    keeping->done = done;
    keeping->arg = arg;
    return keeping;
}

static void submit(struct fs_digester *base, struct keeping *keeping)
{
    fs_pool_submit(((struct digester *)base)->blocking, &keeping->job);
}

static void keep_run(struct fs_job *job)
{
    struct keeping *keeping = (struct keeping *)job;

    (void)fs_digest_keep(keeping->state, &keeping->group, &keeping->point, &keeping->volume,
                         keeping->from, keeping->list, &keeping->err);
}

static void keep(struct fs_digester *base, const struct fs_uuid *group, const struct fs_uuid *point,
                 const struct fs_uuid *volume, uint64_t from, const struct fs_digest_list *list,
                 fs_digest_io_fn *done, void *arg)
{
    struct keeping *keeping = keeping_new(base, keep_run, done, arg);

    keeping->group = *group;
    keeping->point = *point;
    keeping->volume = *volume;
    keeping->from = from;
    keeping->list = list;
    submit(base, keeping);
}

static void prove_run(struct fs_job *job)
{
    struct keeping *keeping = (struct keeping *)job;

    (void)fs_digest_prove(keeping->state, &keeping->group, &keeping->point, &keeping->err);
}

static void prove(struct fs_digester *base, const struct fs_uuid *group,
                  const struct fs_uuid *point, fs_digest_io_fn *done, void *arg)
{
    struct keeping *keeping = keeping_new(base, prove_run, done, arg);

    keeping->group = *group;
    keeping->point = *point;
    submit(base, keeping);
}

static void unkeep_run(struct fs_job *job)
{
    struct keeping *keeping = (struct keeping *)job;

    (void)fs_digest_unkeep(keeping->state, &keeping->group, &keeping->point, &keeping->err);
}

static void unkeep(struct fs_digester *base, const struct fs_uuid *group,
                   const struct fs_uuid *point, fs_digest_io_fn *done, void *arg)
{
    struct keeping *keeping = keeping_new(base, unkeep_run, done, arg);

    keeping->group = *group;
    keeping->point = *point;
    submit(base, keeping);
}

static void note_run(struct fs_job *job)
{
    struct keeping *keeping = (struct keeping *)job;

    if (!keeping->text) {
        fs_error_set(&keeping->err, FS_ERR_TRANSIENT, ENOMEM, "no memory for a result");
        return;
    }
    (void)fs_digest_note(keeping->state, &keeping->group, keeping->text, &keeping->err);
}

static void note(struct fs_digester *base, const struct fs_uuid *group, const char *text,
                 fs_digest_io_fn *done, void *arg)
{
    struct keeping *keeping = keeping_new(base, note_run, done, arg);

    keeping->group = *group;
    keeping->text = strdup(text);
    submit(base, keeping);
}

static void notes_run(struct fs_job *job)
{
    struct keeping *keeping = (struct keeping *)job;

    (void)fs_digest_notes(keeping->state, &keeping->notes, &keeping->n_notes, &keeping->err);
}

static void notes(struct fs_digester *base, fs_digest_notes_fn *done, void *arg)
{
    struct keeping *keeping = keeping_new(base, notes_run, NULL, arg);

    keeping->notes_done = done;
    submit(base, keeping);
}

/* --- the table -------------------------------------------------------------------------------- */

static const struct fs_digester_ops digester_ops = {
    .open = open_data,
    .open_kept = open_kept,
    .next = next,
    .close = close_digesting,
    .keep = keep,
    .prove = prove,
    .unkeep = unkeep,
    .note = note,
    .notes = notes,
};

struct fs_digester *fs_rbd_digester_new(struct fs_site *site, struct fs_pool *blocking)
{
    struct digester *digester = fs_operation_new(sizeof(*digester));

    digester->base.ops = &digester_ops;
    digester->site = site;
    digester->blocking = blocking;
    return &digester->base;
}

void fs_rbd_digester_free(struct fs_digester *base)
{
    free(base);
}
