/* SPDX-License-Identifier: Apache-2.0 */
/* check_source's part about clients of librbd that have quiesce hooks. */
#ifndef FARSHORE_TESTS_SOURCE_QUIESCE_H
#define FARSHORE_TESTS_SOURCE_QUIESCE_H

#include "tests/cluster/source_lab.h"

/* They are asked, for one volume and for two; what one answers decides about the point. */
void check_quiesce(struct lab *lab);

#endif
