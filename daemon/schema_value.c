/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/schema_parts.h"
#include "daemon/units.h"

#define TEXT_MAX        255
#define NAME_MAX_LENGTH 63

const char *fs_schema_scalar(const yaml_node_t *node)
{
    return node && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

bool fs_schema_is_null(const yaml_node_t *node)
{
    const char *text = fs_schema_scalar(node);

    return text && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!*text || strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0);
}

bool fs_schema_is_name(const char *text)
{
    size_t length = strlen(text);

    if (length == 0 || length > NAME_MAX_LENGTH || !isalnum((unsigned char)text[0])) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)text[i]) && !strchr("._-", text[i])) {
            return false;
        }
    }
    return true;
}

static bool is_text(const char *text)
{
    for (const char *c = text; *c; c++) {
        if (iscntrl((unsigned char)*c)) {
            return false;
        }
    }
    return *text && strlen(text) <= TEXT_MAX;
}

static bool is_host(const char *host, size_t length)
{
    bool bracketed = length > 2 && host[0] == '[' && host[length - 1] == ']';

    if (length == 0 || length > 253) {
        return false;
    }
    for (size_t i = bracketed ? 1 : 0; i < length - (bracketed ? 1 : 0); i++) {
        if (bracketed ? !isxdigit((unsigned char)host[i]) && !strchr(":.%", host[i])
                      : !isalnum((unsigned char)host[i]) && !strchr("._-", host[i])) {
            return false;
        }
    }
    return true;
}

static bool is_address(const char *text)
{
    const char *colon = strrchr(text, ':');
    unsigned long port = 0;

    if (!colon || !is_host(text, (size_t)(colon - text)) || strlen(colon + 1) > 5) {
        return false;
    }
    for (const char *c = colon + 1; *c; c++) {
        if (*c < '0' || *c > '9') {
            return false;
        }
        port = port * 10 + (unsigned long)(*c - '0');
    }
    return port >= 1 && port <= 65535;
}

/* NULL where text is fine for the type, or what it should be. */
static const char *text_problem(enum fs_schema_type type, const char *text)
{
    switch (type) {
    case FS_SCHEMA_NAME:
        return fs_schema_is_name(text) ? NULL
                                       : "is not a name: use 1 to 63 letters, digits, '.', '_' and "
                                         "'-', with a letter or digit at the front";
    case FS_SCHEMA_PATH:
        return is_text(text) && text[0] == '/' ? NULL
                                               : "is not an absolute path (one that begins with /)";
    case FS_SCHEMA_ADDRESS:
    case FS_SCHEMA_ADDRESSES:
        return is_address(text) ? NULL
                                : "is not an address: write host:port or [v6]:port, with a port "
                                  "from 1 to 65535";
    default:
        return is_text(text) ? NULL : "must be 1 to 255 characters without control characters";
    }
}

static void set_string(struct fs_schema_loader *loader, char **target, const char *text)
{
    free(*target);
    *target = strdup(text);
    if (!*target) {
        loader->out_of_memory = true;
    }
}

static int parse_number(const char *text, uint64_t *ret_value, struct fs_error *err)
{
    uint64_t value = 0;

    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9' || c - text >= 10) {
            return fs_error_set(err, FS_ERR_CONFIG, EINVAL, "\"%.64s\" is not a whole number",
                                text);
        }
        value = value * 10 + (uint64_t)(*c - '0');
    }
    if (!*text || value > INT_MAX) {
        return fs_error_set(err, FS_ERR_CONFIG, EINVAL, "\"%.64s\" is not a whole number", text);
    }
    *ret_value = value;
    return 0;
}

static int parse_quantity(enum fs_schema_type type, const char *text, uint64_t *ret_value,
                          struct fs_error *err)
{
    int64_t ns = 0;
    int rc;

    switch (type) {
    case FS_SCHEMA_DURATION:
        rc = fs_units_parse_duration(text, &ns, err);
        *ret_value = (uint64_t)ns;
        return rc;
    case FS_SCHEMA_SIZE:
        return fs_units_parse_size(text, ret_value, err);
    case FS_SCHEMA_RATE:
        return fs_units_parse_rate(text, ret_value, err);
    default:
        return parse_number(text, ret_value, err);
    }
}

static void set_quantity(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                         const char *where, void *target, const yaml_node_t *node, const char *text)
{
    struct fs_error err = FS_ERROR_INIT;
    uint64_t value = 0;
    uint64_t least = 0;
    uint64_t most = 0;

    if (parse_quantity(key->type, text, &value, &err) < 0) {
        fs_schema_finding(loader, node, "%s: %s", where, err.message);
        return;
    }
    if (parse_quantity(key->type, key->min, &least, NULL) < 0 ||
        parse_quantity(key->type, key->max, &most, NULL) < 0 || value < least || value > most) {
        fs_schema_finding(loader, node, "%s: \"%.64s\" is out of range: it must be from %s to %s",
                          where, text, key->min, key->max);
        return;
    }
    switch (key->type) {
    case FS_SCHEMA_DURATION:
        *(int64_t *)target = (int64_t)value;
        break;
    case FS_SCHEMA_SIZE:
    case FS_SCHEMA_RATE:
        *(uint64_t *)target = value;
        break;
    default:
        *(unsigned *)target = (unsigned)value;
    }
}

static void set_addresses(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                          const char *where, void *base, const yaml_node_t *node)
{
    char **list;
    size_t *count = (size_t *)((char *)base + key->count_offset);

    if (!node || node->type != YAML_SEQUENCE_NODE) {
        fs_schema_finding(loader, node, "%s: expected a list, such as [host.example.net:7430]",
                          where);
        return;
    }

    const yaml_node_item_t *first = node->data.sequence.items.start;
    size_t length = (size_t)(node->data.sequence.items.top - first);

    if (length == 0 || length > FS_SCHEMA_CHILDREN_MAX) {
        fs_schema_finding(loader, node, "%s: expected 1 to %d elements", where,
                          FS_SCHEMA_CHILDREN_MAX);
        return;
    }
    list = calloc(length, sizeof(*list));
    if (!list) {
        loader->out_of_memory = true;
        return;
    }
    *(char ***)((char *)base + key->offset) = list;
    *count = length;
    for (size_t i = 0; i < length; i++) {
        const yaml_node_t *item = yaml_document_get_node(&loader->document, first[i]);
        const char *text = fs_schema_scalar(item);

        if (!text) {
            fs_schema_finding(loader, item, "%s: expected host:port", where);
            continue;
        }

        const char *problem = text_problem(key->type, text);

        if (problem) {
            fs_schema_finding(loader, item, "%s: \"%.64s\" %s", where, text, problem);
        }
        set_string(loader, &list[i], text);
    }
}

static bool is_choice(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                      const char *where, const yaml_node_t *node, const char *text)
{
    char all[256] = "";
    size_t used = 0;

    for (const char *const *choice = key->choices; *choice; choice++) {
        if (text && strcmp(text, *choice) == 0) {
            return true;
        }
        used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", used ? ", " : "", *choice);
    }
    fs_schema_finding(loader, node, "%s: \"%.64s\" is not one of: %s", where, text ? text : "",
                      all);
    return false;
}

void fs_schema_set(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                   const char *where, void *base, yaml_node_t *node)
{
    const char *text = node ? fs_schema_scalar(node) : key->default_text;
    char *target = (char *)base + key->offset;

    if (fs_schema_is_null(node)) {
        fs_schema_finding(loader, node, "%s: has no value: give it one, or leave the key out",
                          where);
        return;
    }
    if (key->type == FS_SCHEMA_ADDRESSES) {
        set_addresses(loader, key, where, base, node);
        return;
    }
    if (key->type == FS_SCHEMA_CUSTOM) {
        if (!key->choices || is_choice(loader, key, where, node, text)) {
            key->set(loader, key, where, base, node, text);
        }
        return;
    }
    if (!text) {
        fs_schema_finding(loader, node, "%s: expected a single value, not a list or a mapping",
                          where);
        return;
    }
    if (key->min) {
        set_quantity(loader, key, where, target, node, text);
        return;
    }

    const char *problem = text_problem(key->type, text);

    if (problem) {
        fs_schema_finding(loader, node, "%s: \"%.64s\" %s", where, text, problem);
        return;
    }
    set_string(loader, (char **)target, text);
}

bool fs_schema_is_value(const struct fs_schema_key *key)
{
    return key->type >= FS_SCHEMA_TEXT;
}

char *fs_schema_describe(const struct fs_schema_key *key, char *ret_text, size_t size)
{
    static const char *const names[] = {
        [FS_SCHEMA_SECTION] = "section",
        [FS_SCHEMA_SECTIONS] = "list of sections",
        [FS_SCHEMA_NAMED] = "named sections",
        [FS_SCHEMA_LIST] = "list of sections",
        [FS_SCHEMA_TEXT] = "text",
        [FS_SCHEMA_NAME] = "name",
        [FS_SCHEMA_PATH] = "absolute path",
        [FS_SCHEMA_ADDRESS] = "host:port",
        [FS_SCHEMA_DURATION] = "duration",
        [FS_SCHEMA_SIZE] = "size",
        [FS_SCHEMA_RATE] = "rate",
        [FS_SCHEMA_NUMBER] = "number",
        [FS_SCHEMA_ADDRESSES] = "list of host:port",
    };
    const char *name = key->type == FS_SCHEMA_CUSTOM ? key->type_text : names[key->type];

    if (key->min) {
        snprintf(ret_text, size, "%s from %s to %s", name, key->min, key->max);
    } else {
        snprintf(ret_text, size, "%s", name);
    }
    return ret_text;
}
