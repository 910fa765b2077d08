/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other client of the checks of the sink: it looks at what was shipped, gets at the images, and
 * cleans up. Failures are cmocka's. It connects as FARSHORE_TEST_CONF, _USER and _POOL say.
 */
#ifndef FARSHORE_TESTS_SINK_OUTSIDER_H
#define FARSHORE_TESTS_SINK_OUTSIDER_H

#include <rados/librados.h>
#include <rbd/librbd.h>

#include "sink_model.h"

#define OUTSIDER_KEY "check-sink"

extern rados_ioctx_t ioctx; /* of the pool */

/* Of a group of cmocka's tests. */
int connect_outsider(void **state);
int disconnect_outsider(void **state);

rbd_image_t open_volume(const char *name, unsigned volume);
/* The lock's cookie, "" where there is none; take it off, as `rbd lock rm` would. */
void look_at_lock(const char *name, unsigned volume, char ret_cookie[128], bool take_off);
/* Every byte of a committed point, read by this client. */
void verify(const char *name, unsigned point);
void verify_snapshots(const char *name, int count);
/* librbd's fast diff of the first volume covers every block that differs between two points. */
void verify_fast_diff(const char *name, unsigned from, unsigned to);
void remove_image(const char *image_name);
/* Images, record and index of a group. */
void clean(const char *name);

/* A run over a clean group, its end, and steps that have to succeed. */
void begin(struct run *run, const char *name);
void end(struct run *run, const char *name);
void must(struct run *run, int rc);
void must_ship(struct run *run, const char *name, unsigned point);

#endif
