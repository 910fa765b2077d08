/* SPDX-License-Identifier: Apache-2.0 */
#include "farshore/transfer.h"

#include <assert.h>

/*
 * Progress: everything that is held comes back without more being needed, so a waiter is served in
 * the end. Fairness: first come, first served; and a client that holds something already gets
 * no more than its share, one part of n + 1, so that there is room for one that joins later.
 */
static bool within_share(const struct fs_budget *budget, const struct fs_budget_client *client,
                         uint64_t bytes)
{
    return client->held == 0 || client->held + bytes <= budget->limit / (budget->n_clients + 1);
}

static bool has_room(const struct fs_budget *budget, uint64_t bytes)
{
    return bytes <= budget->limit && budget->used <= budget->limit - bytes;
}

static void grant(struct fs_budget *budget, struct fs_budget_client *client, uint64_t bytes)
{
    budget->used += bytes;
    client->held += bytes;
    if (budget->used > budget->peak) {
        budget->peak = budget->used;
    }
}

/* A waiter above its share is passed over; one for whom there is no room holds back the others,
 * so that small requests do not starve a large one. */
static void serve(struct fs_budget *budget)
{
    struct fs_budget_client **link = &budget->waiters;
    while (*link) {
        struct fs_budget_client *client = *link;
        if (!within_share(budget, client, client->wanted)) {
            link = &client->next;
            continue;
        }
        if (!has_room(budget, client->wanted)) {
            return;
        }
        *link = client->next;
        client->next = NULL;
        client->waiting = false;
        grant(budget, client, client->wanted);
        client->granted(client);
        link = &budget->waiters; /* granted may have changed the list */
    }
}

void fs_budget_join(struct fs_budget *budget, struct fs_budget_client *client,
                    void (*granted)(struct fs_budget_client *client))
{
    *client = (struct fs_budget_client){.granted = granted};
    budget->n_clients++;
}

void fs_budget_leave(struct fs_budget *budget, struct fs_budget_client *client)
{
    for (struct fs_budget_client **link = &budget->waiters; *link; link = &(*link)->next) {
        if (*link == client) {
            *link = client->next;
            break;
        }
    }
    client->waiting = false;
    budget->n_clients--;
    budget->used -= client->held;
    client->held = 0;
    serve(budget);
}

bool fs_budget_take(struct fs_budget *budget, struct fs_budget_client *client, uint64_t bytes)
{
    assert(!client->waiting && bytes <= budget->limit);
    bool first = true;
    for (const struct fs_budget_client *w = budget->waiters; w && first; w = w->next) {
        first = !within_share(budget, w, w->wanted); /* those are passed over */
    }
    if (first && within_share(budget, client, bytes) && has_room(budget, bytes)) {
        grant(budget, client, bytes);
        return true;
    }
    client->wanted = bytes;
    client->waiting = true;
    client->next = NULL;
    struct fs_budget_client **link = &budget->waiters;
    while (*link) {
        link = &(*link)->next;
    }
    *link = client;
    return false;
}

void fs_budget_give(struct fs_budget *budget, struct fs_budget_client *client, uint64_t bytes)
{
    assert(bytes <= client->held && bytes <= budget->used);
    client->held -= bytes;
    budget->used -= bytes;
    serve(budget);
}

bool fs_budget_keep(struct fs_budget *budget, uint64_t bytes)
{
    if (budget->kept + bytes > budget->limit / 8 || budget->waiters || !has_room(budget, bytes)) {
        return false;
    }
    budget->kept += bytes;
    budget->used += bytes;
    budget->peak = budget->used > budget->peak ? budget->used : budget->peak;
    return true;
}

void fs_budget_unkeep(struct fs_budget *budget, uint64_t bytes)
{
    assert(bytes <= budget->kept && bytes <= budget->used);
    budget->kept -= bytes;
    budget->used -= bytes;
    serve(budget);
}
