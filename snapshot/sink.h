/* SPDX-License-Identifier: Apache-2.0 */
/* The table of farshore/sink.h over Ceph. */
#ifndef FARSHORE_SNAPSHOT_SINK_H
#define FARSHORE_SNAPSHOT_SINK_H

#include "farshore/sink.h"

extern const struct fs_sink_ops fs_rbd_sink_ops;

#endif
