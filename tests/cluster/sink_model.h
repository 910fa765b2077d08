/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What check_sink ships: a group of two volumes whose content at point 1, 2, 3, ... follows from
 * the number alone, so that any process can write it, go on with it and check it. And the loop
 * that drives a sink with it.
 */
#ifndef FARSHORE_TESTS_SINK_MODEL_H
#define FARSHORE_TESTS_SINK_MODEL_H

#include "farshore/site.h"

#define MODEL_VOLUMES 2
#define MODEL_BLOCK   (64u << 10)
#define MODEL_SEGMENT (16 * MODEL_BLOCK)

uint64_t model_size(unsigned volume, unsigned point);
/* Blocks that are unchanged between the two points (0: nothing at all) have no extent. */
void model_block(unsigned volume, unsigned block, unsigned point, uint8_t *ret_content);

/* ids that follow from the group's name */
struct fs_uuid model_uuid(const char *name, const char *what, unsigned number);
struct fs_point_id model_point(const char *name, unsigned point);

struct run {
    struct fs_site *site;
    struct fs_mailbox *mailbox;
    struct fs_pool *pool;
    struct fs_sink *sink;
    struct fs_record *record; /* of the group that is worked on; NULL at first */
    struct fs_admission admission;
    struct fs_pool_map map;
    struct fs_uuid source_site;
    uint64_t term;
    unsigned held; /* the source can diff from points 1 to held */
    /* of the last open */
    struct fs_offer offer;
    unsigned point;
    unsigned base; /* number; 0: a first copy */
    bool committed;
    struct fs_incoming *incoming;
    struct fs_position positions[MODEL_VOLUMES];
    enum fs_refusal refusal;
    struct fs_error err;
    unsigned pending;
};

/* Connect as FARSHORE_TEST_CONF, _USER and _POOL say, claim the lease. Exits on failure. */
void run_begin(struct run *run, const char *key);
void run_end(struct run *run);
/* The record of a group from the cluster, into run->record. */
void run_load(struct run *run, const char *name);

/* Deliver letters until nothing is pending. */
void run_wait(struct run *run);

/* Offer a point; 0 when accepted or committed already. */
int run_open(struct run *run, const char *name, unsigned point);
/* Write what lies below `until` (of each volume) and was not written yet; 0 or -errno. */
int run_write(struct run *run, uint64_t until);
int run_sync(struct run *run);
int run_commit(struct run *run);
void run_close(struct run *run);
/* All of it, with a sync in the middle. */
int run_ship(struct run *run, const char *name, unsigned point);

#endif
