/* SPDX-License-Identifier: Apache-2.0 */
/* The side that is asked for digests. */
#include <stdlib.h>
#include <string.h>

#include "farshore/transfer.h"
#include "farshore/verify.h"
#include "ship/stream.h"

struct fs_answerer {
    struct fs_digester *digester;
    struct fs_session *session; /* NULL once the stream is over */
    uint32_t stream;
    const struct fs_clock *clock;
    fs_answerer_fn *done;
    void *arg;

    struct fs_digesting *digesting; /* NULL until it is open */
    bool busy;                      /* an operation is under way */
    int64_t asked_ns;               /* boot: what was asked for last */
    struct fs_digest_list list;
};

static void closed(void *arg, const struct fs_error *err)
{
    struct fs_answerer *answerer = arg;
    (void)err;
    answerer->done(answerer->arg, answerer);
    free(answerer);
}

static void close_if_idle(struct fs_answerer *answerer)
{
    if (answerer->session == NULL && !answerer->busy) {
        struct fs_digesting *digesting = answerer->digesting;
        answerer->busy = true;
        answerer->digesting = NULL;
        if (digesting != NULL) {
            answerer->digester->ops->close(digesting, closed, answerer);
        } else {
            closed(answerer, NULL);
        }
    }
}

/* Tell the prover why, and let go of the stream. */
static void refuse(struct fs_answerer *answerer, enum fs_refusal reason, const char *message)
{
    if (answerer->session != NULL) {
        fs_refuse_offer(answerer->session, answerer->stream, reason, message);
        fs_session_detach(answerer->session, answerer->stream);
        answerer->session = NULL;
    }
}

static void refuse_for(struct fs_answerer *answerer, const struct fs_error *err)
{
    refuse(answerer, err->class == FS_ERR_TRANSIENT ? FS_REFUSE_UNAVAILABLE : FS_REFUSE_BROKEN,
           err->message);
}

static void opened(void *arg, struct fs_digesting *digesting, const struct fs_error *err)
{
    struct fs_answerer *answerer = arg;
    answerer->busy = false;
    answerer->digesting = digesting;
    if (digesting == NULL) {
        refuse_for(answerer, err);
    } else if (answerer->session != NULL) {
        struct fs_digest_ready ready = {0};
        while (ready.n_volumes < digesting->n_volumes && ready.n_volumes < FS_VOLUMES_MAX) {
            ready.volumes[ready.n_volumes] = digesting->volumes[ready.n_volumes];
            ready.n_volumes++;
        }
        FS_STREAM_SEND(answerer->session, FS_FRAME_DIGEST_READY, answerer->stream, digest_ready,
                       &ready);
    }
    close_if_idle(answerer);
}

static void digested(void *arg, const struct fs_error *err)
{
    struct fs_answerer *answerer = arg;
    answerer->busy = false;
    if (err != NULL && fs_error_is_set(err)) {
        refuse_for(answerer, err);
    } else if (answerer->session != NULL) {
        struct fs_digest_batch batch = {.next = answerer->list.next,
                                        .n_entries = answerer->list.count,
                                        .entries = answerer->list.entries};
        FS_STREAM_SEND(answerer->session, FS_FRAME_DIGEST_BATCH, answerer->stream, digest_batch,
                       &batch);
    }
    close_if_idle(answerer);
}

static int on_want(struct fs_answerer *answerer, const struct fs_frame *frame, struct fs_error *err)
{
    struct fs_digest_want want;
    int r = fs_digest_want_decode(frame->payload, frame->length, &want, err);
    if (r < 0) {
        return r;
    }
    if (answerer->busy || answerer->digesting == NULL) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO,
                            "protocol error: a DIGEST_WANT before the answer to the last one");
    }
    answerer->asked_ns = fs_clock_boot(answerer->clock);
    answerer->busy = true;
    answerer->digester->ops->next(answerer->digesting, &want.query, &answerer->list, digested,
                                  answerer);
    return 0;
}

static int on_frame(void *arg, const struct fs_frame *frame, struct fs_error *err)
{
    struct fs_answerer *answerer = arg;
    if (frame->type == FS_FRAME_DIGEST_WANT) {
        return on_want(answerer, frame, err);
    }
    if (frame->type != FS_FRAME_ABORT) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO, "protocol error: %s on a stream of digests",
                            fs_frame_type_name(frame->type));
    }
    fs_session_detach(answerer->session, answerer->stream);
    answerer->session = NULL;
    close_if_idle(answerer);
    return 0;
}

static void on_lost(void *arg, const struct fs_error *err)
{
    struct fs_answerer *answerer = arg;
    (void)err;
    answerer->session = NULL;
    close_if_idle(answerer);
}

static const struct fs_stream_events stream_events = {.frame = on_frame, .lost = on_lost};

struct fs_answerer *fs_answerer_start(const struct fs_answerer_options *options, uint32_t stream,
                                      const struct fs_record *record,
                                      const struct fs_digest_open *open, fs_answerer_fn *done,
                                      void *arg)
{
    struct fs_answerer *answerer = calloc(1, sizeof(*answerer));
    if (answerer == NULL) {
        return NULL;
    }
    *answerer = (struct fs_answerer){.digester = options->digester,
                                     .session = options->session,
                                     .stream = stream,
                                     .clock = options->clock,
                                     .done = done,
                                     .arg = arg,
                                     .busy = true,
                                     .asked_ns = fs_clock_boot(options->clock)};
    if (!fs_session_attach(options->session, stream, &stream_events, answerer)) {
        answerer->session = NULL; /* it is over already */
    }
    answerer->digester->ops->open(answerer->digester, record, &open->point, opened, answerer);
    return answerer;
}

void fs_answerer_cancel(struct fs_answerer *answerer)
{
    refuse(answerer, FS_REFUSE_UNAVAILABLE, "this site stops working on it");
    close_if_idle(answerer);
}

int64_t fs_answerer_deadline(const struct fs_answerer *answerer)
{
    return answerer->session == NULL || answerer->busy ? INT64_MAX
                                                       : answerer->asked_ns + FS_ANSWERER_IDLE_NS;
}

void fs_answerer_tick(struct fs_answerer *answerer)
{
    if (fs_clock_boot(answerer->clock) >= fs_answerer_deadline(answerer)) {
        refuse(answerer, FS_REFUSE_BROKEN, "nothing was asked for, for too long");
        close_if_idle(answerer);
    }
}
