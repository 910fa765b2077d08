/* SPDX-License-Identifier: Apache-2.0 */
/* A digester over a mem_store. What is open keeps its content, whatever is pruned. */
#ifndef FARSHORE_SCENARIO_MEM_DIGEST_H
#define FARSHORE_SCENARIO_MEM_DIGEST_H

#include "farshore/digest.h"
#include "tests/scenario/mem_store.h"

struct mem_digester;

/* The store is borrowed. */
struct mem_digester *mem_digester_new(struct mem_store *store);
/* Nothing is under way. */
void mem_digester_free(struct mem_digester *digester);
struct fs_digester *mem_digester_table(struct mem_digester *digester);

/* What `next` gives of a content. */
struct mem_content;
void mem_content_digest(const struct mem_content *content, const struct fs_digest_query *query,
                        struct fs_digest_list *list);

/* The nth `next` from now on fails (1: the next one), once. */
void mem_digester_fail_next(struct mem_digester *digester, unsigned nth);
/* Points whose digests are kept and proved; points that are open. */
size_t mem_digester_proved(const struct mem_digester *digester);
size_t mem_digester_open(const struct mem_digester *digester);
/* Change a byte of a point behind everybody's back. */
void mem_digester_tamper(struct mem_digester *digester, const char *pool, const char *image,
                         const struct fs_uuid *point, uint64_t offset);

#endif
