/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <yaml.h>

#include "daemon/kube/access.h"

/* Aliases let a small text stand for a very large one. */
#define NODES_MAX 100000
#define DEPTH_MAX 32

struct conversion {
    yaml_document_t *document;
    unsigned nodes;
};

static json_t *convert(struct conversion *conversion, const yaml_node_t *node, unsigned depth);

static json_t *convert_mapping(struct conversion *conversion, const yaml_node_t *node,
                               unsigned depth)
{
    json_t *object = json_object();

    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(conversion->document, pair->key);
        const yaml_node_t *value = yaml_document_get_node(conversion->document, pair->value);

        if (!key || key->type != YAML_SCALAR_NODE ||
            json_object_set_new(object, (const char *)key->data.scalar.value,
                                convert(conversion, value, depth + 1)) < 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *convert_sequence(struct conversion *conversion, const yaml_node_t *node,
                                unsigned depth)
{
    json_t *array = json_array();

    for (const yaml_node_item_t *item = node->data.sequence.items.start;
         item < node->data.sequence.items.top; item++) {
        const yaml_node_t *value = yaml_document_get_node(conversion->document, *item);

        if (json_array_append_new(array, convert(conversion, value, depth + 1)) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

/* NULL: too deep, too large, no text, or out of memory. */
static json_t *convert(struct conversion *conversion, const yaml_node_t *node, unsigned depth)
{
    if (!node || depth > DEPTH_MAX || ++conversion->nodes > NODES_MAX) {
        return NULL;
    }
    switch (node->type) {
    case YAML_SCALAR_NODE:
        return json_stringn((const char *)node->data.scalar.value, node->data.scalar.length);
    case YAML_MAPPING_NODE:
        return convert_mapping(conversion, node, depth);
    case YAML_SEQUENCE_NODE:
        return convert_sequence(conversion, node, depth);
    default:
        return NULL;
    }
}

json_t *fs_kube_yaml(const char *name, const void *text, size_t length, struct fs_error *err)
{
    yaml_parser_t parser;
    yaml_document_t document;
    json_t *json = NULL;

    if (!yaml_parser_initialize(&parser)) {
        (void)fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
        return NULL;
    }
    yaml_parser_set_input_string(&parser, text, length);
    if (!yaml_parser_load(&parser, &document)) {
        (void)fs_error_set(err, FS_ERR_CONFIG, EINVAL, "%s:%zu: not YAML: %s", name,
                           parser.problem_mark.line + 1,
                           parser.problem ? parser.problem : "cannot be parsed");
    } else {
        struct conversion conversion = {.document = &document};

        json = convert(&conversion, yaml_document_get_root_node(&document), 0);
        if (!json) {
            (void)fs_error_set(err, FS_ERR_CONFIG, EINVAL,
                               "%s: it is empty, or not what can stand in such a file", name);
        }
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return json;
}
