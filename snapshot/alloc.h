/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small objects that carry one operation from the loop to a thread and back. Their completion
 * is promised, and without memory for the object there is nothing to complete with: the process
 * ends then, as it would at its next step anyway. Everything of variable size reports -ENOMEM.
 */
#ifndef FARSHORE_SNAPSHOT_ALLOC_H
#define FARSHORE_SNAPSHOT_ALLOC_H

#include <stdlib.h>

/* Zeroed; never NULL. */
static inline void *fs_operation_new(size_t size)
{
    void *operation = calloc(1, size);

    if (!operation) {
        abort();
    }
    return operation;
}

#endif
