/* SPDX-License-Identifier: Apache-2.0 */
/* When operations complete, and how they fail. */
#include "tests/scenario/mem_private.h"

#include <stdlib.h>

#include "farshore/fault.h"

void mem_died(struct mem_action *action)
{
    if (action->store->crashed && !fs_error_is_set(&action->err)) {
        fs_error_set(&action->err, FS_ERR_TRANSIENT, ESHUTDOWN, "this process is dead");
    }
}

static void deliver(struct fs_letter *letter)
{
    struct mem_action *action = (struct mem_action *)letter;
    struct mem_store *store = action->store;
    if (store->held[action->kind] || store->held[MEM_OP_ANY]) {
        action->next = store->parked;
        store->parked = action;
        return;
    }
    if (action->laps > 0) {
        action->laps--;
        fs_mailbox_post(store->mailbox, letter);
        return;
    }
    mem_died(action);
    store->in_flight[action->kind]--;
    store->in_flight[MEM_OP_ANY]--;
    action->finish(action);
}

static void apply_fault(struct mem_fault *fault, struct fs_error *err)
{
    if (fault->countdown > 1) {
        fault->countdown--;
    } else if (fault->countdown == 1 && fault->times > 0) {
        fault->times -= fault->times == UINT64_MAX ? 0 : 1;
        fs_error_set(err, fault->class, fault->code, "injected fault");
    }
}

void mem_start(struct mem_store *store, enum mem_op kind, struct mem_action *action,
               void (*finish)(struct mem_action *action))
{
    action->store = store;
    action->kind = kind;
    action->finish = finish;
    action->letter.deliver = deliver;
    action->laps = store->shuffle ? (unsigned)(mem_random(store) % 4) : 0;
    store->started[kind]++;
    store->started[MEM_OP_ANY]++;
    store->in_flight[kind]++;
    store->in_flight[MEM_OP_ANY]++;
    if (store->crash_countdown > 0 && --store->crash_countdown == 0) {
        if (kind == MEM_OP_TAKE || kind == MEM_OP_COMMIT) {
            action->dying = true;
            fs_error_set(&action->err, FS_ERR_TRANSIENT, ESHUTDOWN, "this process dies here");
        } else {
            mem_store_crash(store);
        }
    }
    if (kind != MEM_OP_CLOSE && kind != MEM_OP_SINK_CLOSE) {
        apply_fault(&store->faults[kind], &action->err);
        apply_fault(&store->faults[MEM_OP_ANY], &action->err);
    }
    fs_mailbox_post(store->mailbox, &action->letter);
}

void mem_store_fail(struct mem_store *store, enum mem_op kind, uint64_t nth, uint64_t times,
                    enum fs_error_class class, int code)
{
    store->faults[kind] =
        (struct mem_fault){.countdown = nth, .times = times, .class = class, .code = code};
}

void mem_store_hold(struct mem_store *store, enum mem_op kind)
{
    store->held[kind] = true;
}

void mem_store_release(struct mem_store *store, enum mem_op kind)
{
    struct mem_action *parked = store->parked;
    store->held[kind] = false;
    store->parked = NULL;
    while (parked) { /* those that are still held park again when they are delivered */
        struct mem_action *action = parked;
        parked = action->next;
        fs_mailbox_post(store->mailbox, &action->letter);
    }
}

void mem_store_shuffle(struct mem_store *store, bool on)
{
    store->shuffle = on;
}

uint64_t mem_store_started(const struct mem_store *store, enum mem_op kind)
{
    return store->started[kind];
}

uint64_t mem_store_in_flight(const struct mem_store *store, enum mem_op kind)
{
    return store->in_flight[kind];
}

/* Each 512 bytes of the head are what they were at the last flush, or what was written since. */
static void settle_head(struct mem_image *image)
{
    uint8_t sector[512];
    for (size_t i = 0; image->volatile_head && i < image->head.n_blocks; i++) {
        if (i < image->durable.n_blocks && image->head.blocks[i] == image->durable.blocks[i]) {
            continue;
        }
        for (uint64_t at = (uint64_t)i * MEM_BLOCK;
             at < (uint64_t)(i + 1) * MEM_BLOCK && at < image->head.size &&
             at < image->durable.size;
             at += sizeof(sector)) {
            uint64_t length = sizeof(sector);
            length = length > image->head.size - at ? image->head.size - at : length;
            length = length > image->durable.size - at ? image->durable.size - at : length;
            if (mem_random(image->store) % 2) {
                mem_content_read(&image->durable, at, sector, length);
                mem_content_write(&image->head, at, sector, length);
            }
        }
    }
    mem_image_flush(image);
}

void mem_store_crash(struct mem_store *store)
{
    if (store->crashed) {
        return;
    }
    store->crashed = true;
    store->crash_countdown = 0;
    for (struct mem_image *image = store->images; image; image = image->next) {
        settle_head(image);
    }
    for (int kind = 0; kind < MEM_OP_COUNT; kind++) {
        store->held[kind] = false;
    }
    mem_store_release(store, MEM_OP_ANY);
}

struct mem_store *mem_store_passing;

bool mem_pass(struct mem_store *store, const char *step)
{
    (void)step; /* without fault points */
    mem_store_passing = store;
    fs_fault(step);
    mem_store_passing = NULL;
    return store->crashed;
}

void mem_store_crash_at(struct mem_store *store, uint64_t nth)
{
    store->crash_countdown = nth;
}

bool mem_store_crashed(const struct mem_store *store)
{
    return store->crashed;
}

void mem_store_restart(struct mem_store *store)
{
    store->crashed = false;
    for (int kind = 0; kind < MEM_OP_COUNT; kind++) {
        store->faults[kind] = (struct mem_fault){0};
    }
}
