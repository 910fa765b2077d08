/* SPDX-License-Identifier: Apache-2.0 */
/* JSON values as YAML documents. */
#ifndef FARSHORE_TOOL_YAML_H
#define FARSHORE_TOOL_YAML_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* One document for each element of the array. False: out of memory, or it could not be written. */
bool fs_yaml_write(const json_t *array, FILE *out);

#endif
