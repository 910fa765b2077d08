/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ship/session_private.h"

void streams_fini(struct streams *streams)
{
    for (size_t i = 0; i < streams->count; i++) {
        free(streams->at[i].abort);
    }
    free(streams->at);
    *streams = (struct streams){0};
}

/* Index of the first stream whose id is at least id. */
static size_t lower_bound(const struct streams *streams, uint32_t id)
{
    size_t low = 0, high = streams->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (streams->at[middle].id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct stream *streams_find(const struct streams *streams, uint32_t id)
{
    size_t i = lower_bound(streams, id);
    return i < streams->count && streams->at[i].id == id ? &streams->at[i] : NULL;
}

struct stream *streams_next(const struct streams *streams, uint32_t after)
{
    if (after == UINT32_MAX) {
        return NULL;
    }
    size_t i = lower_bound(streams, after + 1);
    return i < streams->count ? &streams->at[i] : NULL;
}

struct stream *streams_add(struct streams *streams, uint32_t id)
{
    if (streams->count == streams->capacity) {
        size_t capacity = streams->capacity == 0 ? 8 : streams->capacity * 2;
        struct stream *at = realloc(streams->at, capacity * sizeof(*at));
        if (at == NULL) {
            return NULL;
        }
        streams->at = at;
        streams->capacity = capacity;
    }
    size_t i = lower_bound(streams, id);
    assert(i == streams->count || streams->at[i].id != id);
    memmove(&streams->at[i + 1], &streams->at[i], (streams->count - i) * sizeof(*streams->at));
    streams->count++;
    streams->at[i] = (struct stream){.id = id};
    return &streams->at[i];
}

void streams_remove(struct streams *streams, uint32_t id)
{
    struct stream *stream = streams_find(streams, id);
    if (stream == NULL) {
        return;
    }
    free(stream->abort);
    size_t after = (size_t)(&streams->at[streams->count] - (stream + 1));
    memmove(stream, stream + 1, after * sizeof(*stream));
    streams->count--;
}
