/* SPDX-License-Identifier: Apache-2.0 */
/* Members of the daemon's documents; what is missing or of another type is nothing. */
#ifndef FARSHORE_TOOL_JSON_H
#define FARSHORE_TOOL_JSON_H

#include <stdint.h>

#include <jansson.h>

/* "" where there is none; borrowed. */
static inline const char *string_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static inline double number_of(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static inline uint64_t bytes_of(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

#endif
