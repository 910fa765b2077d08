/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of bring.c share; its essay says what the phases are. LOOP only. */
#ifndef FARSHORE_KUBE_BRING_PRIVATE_H
#define FARSHORE_KUBE_BRING_PRIVATE_H

#include "daemon/kube/bring.h"
#include "daemon/kube/run.h"
#include "farshore/buf.h"
#include "farshore/clock.h"

#define FS_BRING_RETRY_NS (2 * FS_SEC)

enum phase { KINDS, READ, HOLDER, CLASS, TRY, VOLUME, RELEASE, WRITE, START, COME, OVER };

struct item {
    json_t *object;      /* as captured or made; owned */
    json_t *volume;      /* of a PVC of the group: what it is to be; owned, or NULL */
    json_t *captured;    /* of such a PVC: its PV as captured; owned, or NULL */
    json_t *live;        /* as the API said last; owned, or NULL: not there */
    const char *outcome; /* static; NULL: not yet */
    char message[400];
    bool again;  /* a later run may do it */
    bool own;    /* made for the group here, and not carried by the point */
    bool called; /* KubeVirt was told to start it */
};

struct fs_kube_bring {
    struct fs_kube_bring_options options;
    bool check;
    json_t *volumes, *objects, *classes, *kinds;
    struct item *items; /* in the order of their ranks */
    size_t n_items, at;
    json_t *served;  /* {APIVERSION: {KIND: {"plural", "namespaced"}}} */
    json_t *class;   /* the StorageClass that was read last, or NULL */
    json_t *pending; /* the PV that was applied last, or NULL */
    enum phase phase;
    int64_t trouble_ns,
        come_ns; /* boot: the API's silence, 0: none; until when machines may come */
    struct fs_kube_api_call *call;
    struct event *timer;
    char text[FS_KUBE_TITLE_SIZE + 64];
};

struct item *fs_bring_current(const struct fs_kube_bring *bring); /* NULL behind the last one */
void fs_bring_enter(struct fs_kube_bring *bring, enum phase phase);
/* The item at hand is over (outcome is static), and the next one is read. */
void fs_bring_next(struct fs_kube_bring *bring, const char *outcome, const char *message);
/* The item could not be asked about: it is over, unless the API is away and there is patience. */
void fs_bring_give_up(struct fs_kube_bring *bring, int status, const struct fs_error *err);
void fs_bring_set_outcome(struct item *item, const char *outcome, const char *message);
bool fs_bring_is_bad(const struct item *item); /* it is left over */
/* Of a call that failed; static. */
const char *fs_bring_outcome_of(int status, const struct fs_error *err);
/* True: the API is away, and the step is done once more; or its patience is over, and all is. */
bool fs_bring_waits(struct fs_kube_bring *bring, int status, const struct fs_error *err);
void fs_bring_step(struct fs_kube_bring *bring);
/* The step at hand once more, after so long. */
void fs_bring_later(struct fs_kube_bring *bring, int64_t ns);
/* What is told of the item at hand: before, its title, after. */
void fs_bring_say(struct fs_kube_bring *bring, const char *before, const char *after);

void fs_bring_ask(struct fs_kube_bring *bring, const char *method, const char *path,
                  const json_t *body, const char *type, fs_kube_api_fn *done);
/* plural, NULL: that of the object's kind. */
void fs_bring_ask_object(struct fs_kube_bring *bring, const char *method, const json_t *object,
                         const char *plural, const char *query, const json_t *body,
                         const char *type, fs_kube_api_fn *done);
void fs_bring_apply(struct fs_kube_bring *bring, const json_t *object, bool dry,
                    fs_kube_api_fn *done);
/* The answer to the apply of the item at hand. */
void fs_bring_written(void *arg, int status, json_t *answer, const struct fs_error *err);
/* A segment, escaped. */
void fs_bring_put_name(struct fs_buf *path, const char *name);

/* The steps of a volume (bring_volume.c). */
void fs_bring_read_holder(struct fs_kube_bring *bring);
void fs_bring_read_class(struct fs_kube_bring *bring);
void fs_bring_write_volume(struct fs_kube_bring *bring);
void fs_bring_release(struct fs_kube_bring *bring);
void fs_bring_write_claim(struct fs_kube_bring *bring);

/* Of workloads (bring_start.c). */
bool fs_bring_is_to_start(const struct fs_kube_bring *bring, const struct item *item);
void fs_bring_start_workloads(struct fs_kube_bring *bring);
void fs_bring_await_machines(struct fs_kube_bring *bring);

#endif
