/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/tool/yaml.h"

#include <string.h>

#include <yaml.h>

#define CHARS(text) ((yaml_char_t *)(text))

static int write_cb(void *arg, unsigned char *data, size_t length)
{
    return fwrite(data, 1, length, arg) == length;
}

/* A text in quotes is a text, whatever it looks like; one of several lines stays readable. */
static bool put_text(yaml_emitter_t *emitter, const char *text, size_t length)
{
    yaml_event_t event;
    yaml_scalar_style_t style =
        memchr(text, '\n', length) ? YAML_LITERAL_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE;

    return yaml_scalar_event_initialize(&event, NULL, CHARS(YAML_STR_TAG), CHARS(text), (int)length,
                                        0, 1, style) &&
           yaml_emitter_emit(emitter, &event);
}

static bool put_plain(yaml_emitter_t *emitter, const char *text)
{
    yaml_event_t event;

    return yaml_scalar_event_initialize(&event, NULL, NULL, CHARS(text), (int)strlen(text), 1, 0,
                                        YAML_PLAIN_SCALAR_STYLE) &&
           yaml_emitter_emit(emitter, &event);
}

static bool put_value(yaml_emitter_t *emitter, const json_t *value);

static bool put_object(yaml_emitter_t *emitter, const json_t *object)
{
    yaml_event_t event;
    const char *key;
    json_t *value;
    bool ok = yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_ANY_MAPPING_STYLE) &&
              yaml_emitter_emit(emitter, &event);

    json_object_foreach((json_t *)object, key, value)
    {
        /* Keys of the API's own are words; those of users are quoted where they must be. */
        bool word =
            key[strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")] == '\0';
        ok = ok && (word && *key && strcmp(key, "y") != 0 && strcmp(key, "n") != 0
                        ? put_plain(emitter, key)
                        : put_text(emitter, key, strlen(key)));
        ok = ok && put_value(emitter, value);
    }
    return ok && yaml_mapping_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
}

static bool put_array(yaml_emitter_t *emitter, const json_t *array)
{
    yaml_event_t event;
    size_t i;
    json_t *value;
    bool ok =
        yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_ANY_SEQUENCE_STYLE) &&
        yaml_emitter_emit(emitter, &event);

    json_array_foreach((json_t *)array, i, value)
    {
        ok = ok && put_value(emitter, value);
    }
    return ok && yaml_sequence_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
}

static bool put_value(yaml_emitter_t *emitter, const json_t *value)
{
    char number[64];

    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return put_object(emitter, value);
    case JSON_ARRAY:
        return put_array(emitter, value);
    case JSON_STRING:
        return put_text(emitter, json_string_value(value), json_string_length(value));
    case JSON_INTEGER:
        (void)snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return put_plain(emitter, number);
    case JSON_REAL:
        (void)snprintf(number, sizeof(number), "%.17g", json_real_value(value));
        return put_plain(emitter, number);
    case JSON_TRUE:
        return put_plain(emitter, "true");
    case JSON_FALSE:
        return put_plain(emitter, "false");
    default:
        return put_plain(emitter, "null");
    }
}

static bool put_documents(yaml_emitter_t *emitter, const json_t *array)
{
    yaml_event_t event;
    size_t i;
    json_t *value;
    bool ok = yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) &&
              yaml_emitter_emit(emitter, &event);

    json_array_foreach((json_t *)array, i, value)
    {
        ok = ok && yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 0) &&
             yaml_emitter_emit(emitter, &event);
        ok = ok && put_value(emitter, value);
        ok = ok && yaml_document_end_event_initialize(&event, 1) &&
             yaml_emitter_emit(emitter, &event);
    }
    return ok && yaml_stream_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
}

bool fs_yaml_write(const json_t *array, FILE *out)
{
    yaml_emitter_t emitter;

    if (!yaml_emitter_initialize(&emitter)) {
        return false;
    }
    yaml_emitter_set_output(&emitter, write_cb, out);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);
    bool ok = put_documents(&emitter, array);
    yaml_emitter_delete(&emitter);
    return ok;
}
