/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk over document and table. A section is known by its pattern, the path as it stands in the
 * table ("policies.*"), and named in findings by its path in the file ("policies.gold"). Depth
 * is bounded by the table, width by FS_SCHEMA_CHILDREN_MAX.
 */
#include "daemon/schema.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/schema_parts.h"

#define WHERE_SIZE 320

/* A path in the table or in the file; one that is too long is cut, and only findings show it. */
__attribute__((format(printf, 2, 3))) static void put_path(char *path, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(path, WHERE_SIZE, format, args);
    va_end(args);
}

struct section {
    const char *pattern; /* "" at the top */
    const char *where;
    yaml_node_t *node; /* mapping; NULL: not in the file, take defaults */
    void *base;
};

static void load_section(struct fs_schema_loader *loader, const struct section *section);

/* The last name of a key's path when it stands right below pattern, or NULL. */
static const char *child_name(const struct fs_schema_key *key, const char *pattern)
{
    size_t length = strlen(pattern);
    const char *name = key->path;

    if (length > 0) {
        if (strncmp(name, pattern, length) != 0 || name[length] != '.') {
            return NULL;
        }
        name += length + 1;
    }
    return strpbrk(name, ".[*") ? NULL : name;
}

static const struct fs_schema_key *find_key(const struct fs_schema_loader *loader,
                                            const char *pattern, const char *name)
{
    for (const struct fs_schema_key *key = loader->table; key->path; key++) {
        const char *child = child_name(key, pattern);

        if (child && strcmp(child, name) == 0) {
            return key;
        }
    }
    return NULL;
}

/* How many single edits turn a into b; both are short. */
static size_t edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 32 };
    size_t row[LONGEST + 1];
    size_t a_length = strlen(a);
    size_t b_length = strlen(b);

    if (a_length > LONGEST || b_length > LONGEST) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= b_length; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a_length; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t best = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);

            diagonal = row[j];
            best = best < row[j] + 1 ? best : row[j] + 1;
            row[j] = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
        }
    }
    return row[b_length];
}

static void unknown_key(struct fs_schema_loader *loader, const struct section *section,
                        const yaml_node_t *node, const char *name)
{
    const char *nearest = NULL;
    size_t least = strlen(name) < 6 ? 2 : 3;

    for (const struct fs_schema_key *key = loader->table; key->path; key++) {
        const char *child = child_name(key, section->pattern);
        size_t distance = child ? edit_distance(name, child) : SIZE_MAX;

        if (distance <= least && distance < strlen(name)) {
            least = distance - 1;
            nearest = child;
        }
    }
    fs_schema_finding(loader, node, "unknown key \"%.64s\"%s%s%s%s%s%s", name,
                      section->where[0] ? " in " : "", section->where,
                      nearest ? "; did you mean \"" : "", nearest ? nearest : "",
                      nearest ? "\"" : "", nearest ? "?" : "");
}

/* A scalar key that did not come before in its mapping: its text, or NULL with a finding. */
static const char *key_text(struct fs_schema_loader *loader, const yaml_node_t *mapping,
                            const yaml_node_pair_t *pair)
{
    const yaml_node_t *node = yaml_document_get_node(&loader->document, pair->key);
    const char *text = fs_schema_scalar(node);

    if (!text) {
        fs_schema_finding(loader, node, "a key must be a single word");
        return NULL;
    }
    for (const yaml_node_pair_t *other = mapping->data.mapping.pairs.start; other < pair; other++) {
        const yaml_node_t *before = yaml_document_get_node(&loader->document, other->key);
        const char *before_text = fs_schema_scalar(before);

        if (before_text && strcmp(text, before_text) == 0) {
            fs_schema_finding(loader, node, "duplicate key \"%.64s\": it is already in line %zu",
                              text, before->start_mark.line + 1);
            return NULL;
        }
    }
    return text;
}

/* True for a mapping of bearable size; a finding otherwise. */
static bool expect_mapping(struct fs_schema_loader *loader, const yaml_node_t *node,
                           const char *where)
{
    if (fs_schema_is_null(node)) {
        fs_schema_finding(loader, node,
                          "%s: is empty: give it keys ({} where it needs none) or leave it out",
                          where);
        return false;
    }
    if (node->type != YAML_MAPPING_NODE) {
        fs_schema_finding(loader, node, "%s: expected keys and values (a mapping)", where);
        return false;
    }
    if (node->data.mapping.pairs.top - node->data.mapping.pairs.start > FS_SCHEMA_CHILDREN_MAX) {
        fs_schema_finding(loader, node, "%s: has more than %d keys", where, FS_SCHEMA_CHILDREN_MAX);
        return false;
    }
    return true;
}

static void load_named(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                       const char *where, void *base, yaml_node_t *node)
{
    char pattern[WHERE_SIZE];

    if (!node || !expect_mapping(loader, node, where)) {
        return;
    }

    const yaml_node_pair_t *first = node->data.mapping.pairs.start;
    size_t count = (size_t)(node->data.mapping.pairs.top - first);
    char *elements = calloc(count ? count : 1, key->element_size);

    if (!elements) {
        loader->out_of_memory = true;
        return;
    }
    *(char **)((char *)base + key->offset) = elements;
    *(size_t *)((char *)base + key->count_offset) = count;
    put_path(pattern, "%s.*", key->path);
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *name_node = yaml_document_get_node(&loader->document, first[i].key);
        yaml_node_t *value = yaml_document_get_node(&loader->document, first[i].value);
        const char *name = key_text(loader, node, &first[i]);
        char *element = elements + i * key->element_size;
        char path[WHERE_SIZE];

        if (!name) {
            continue;
        }
        if (!fs_schema_is_name(name)) {
            fs_schema_finding(loader, name_node,
                              "\"%.64s\" is not a name: use 1 to 63 letters, digits, '.', '_' and "
                              "'-', with a letter or digit at the front",
                              name);
            continue;
        }
        *(char **)element = strdup(name);
        if (!*(char **)element) {
            loader->out_of_memory = true;
            return;
        }
        put_path(path, "%s.%s", where, name);
        if (expect_mapping(loader, value, path)) {
            load_section(loader, &(struct section){pattern, path, value, element});
        }
    }
}

/* A list of sections: into base, or each into an element of an array of its own. */
static void load_sections(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                          const char *where, void *base, yaml_node_t *node)
{
    char pattern[WHERE_SIZE];

    if (!node || node->type != YAML_SEQUENCE_NODE) {
        fs_schema_finding(loader, node, "%s: expected a list", where);
        return;
    }

    const yaml_node_item_t *first = node->data.sequence.items.start;
    size_t count = (size_t)(node->data.sequence.items.top - first);

    if (count == 0 || count > FS_SCHEMA_CHILDREN_MAX) {
        fs_schema_finding(loader, node, "%s: expected 1 to %d elements", where,
                          FS_SCHEMA_CHILDREN_MAX);
        return;
    }
    char *elements = base;
    if (key->type == FS_SCHEMA_LIST) {
        elements = calloc(count, key->element_size);
        if (!elements) {
            loader->out_of_memory = true;
            return;
        }
        *(char **)((char *)base + key->offset) = elements;
        *(size_t *)((char *)base + key->count_offset) = count;
    }
    put_path(pattern, "%s[]", key->path);
    for (size_t i = 0; i < count; i++) {
        yaml_node_t *item = yaml_document_get_node(&loader->document, first[i]);
        char path[WHERE_SIZE];

        put_path(path, "%s[%zu]", where, i);
        if (expect_mapping(loader, item, path)) {
            load_section(loader,
                         &(struct section){pattern, path, item, elements + i * key->element_size});
        }
    }
}

static void load_key(struct fs_schema_loader *loader, const struct section *section,
                     const struct fs_schema_key *key, yaml_node_t *node)
{
    char where[WHERE_SIZE];
    const char *name = child_name(key, section->pattern);

    put_path(where, "%s%s%s", section->where, section->where[0] ? "." : "", name);
    switch (key->type) {
    case FS_SCHEMA_SECTION:
        if (!node || expect_mapping(loader, node, where)) {
            load_section(loader, &(struct section){key->path, where, node, section->base});
        }
        break;
    case FS_SCHEMA_SECTIONS:
    case FS_SCHEMA_LIST:
        load_sections(loader, key, where, section->base, node);
        break;
    case FS_SCHEMA_NAMED:
        load_named(loader, key, where, section->base, node);
        break;
    default:
        fs_schema_set(loader, key, where, section->base, node);
    }
}

/* A key of the table that the file does not have. */
static void load_missing(struct fs_schema_loader *loader, const struct section *section,
                         const struct fs_schema_key *key)
{
    if (key->required && section->node) {
        fs_schema_finding(loader, section->node, "%s%s\"%s\" is missing", section->where,
                          section->where[0] ? ": " : "", child_name(key, section->pattern));
    } else if (key->default_text || key->type == FS_SCHEMA_SECTION) {
        load_key(loader, section, key, NULL);
    }
}

static void load_section(struct fs_schema_loader *loader, const struct section *section)
{
    if (section->node) {
        const yaml_node_t *node = section->node;

        for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
             pair < node->data.mapping.pairs.top && !loader->out_of_memory; pair++) {
            const char *name = key_text(loader, node, pair);
            const struct fs_schema_key *key =
                name ? find_key(loader, section->pattern, name) : NULL;

            if (key) {
                load_key(loader, section, key,
                         yaml_document_get_node(&loader->document, pair->value));
            } else if (name) {
                unknown_key(loader, section, yaml_document_get_node(&loader->document, pair->key),
                            name);
            }
        }
    }
    for (const struct fs_schema_key *key = loader->table; key->path; key++) {
        const char *name = child_name(key, section->pattern);

        if (name && !fs_schema_child(loader, section->node, name)) {
            load_missing(loader, section, key);
        }
    }
}

yaml_node_t *fs_schema_child(struct fs_schema_loader *loader, yaml_node_t *mapping, const char *key)
{
    if (!mapping || mapping->type != YAML_MAPPING_NODE) {
        return NULL;
    }
    for (const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
         pair < mapping->data.mapping.pairs.top; pair++) {
        const char *text = fs_schema_scalar(yaml_document_get_node(&loader->document, pair->key));

        if (text && strcmp(text, key) == 0) {
            return yaml_document_get_node(&loader->document, pair->value);
        }
    }
    return NULL;
}

int fs_schema_load(struct fs_schema_loader *loader, const void *text, size_t length, void *base,
                   fs_schema_check_fn *check)
{
    if (fs_schema_screen(loader, text, length) && fs_schema_compose(loader, text, length)) {
        yaml_node_t *root = yaml_document_get_root_node(&loader->document);

        if (!root) {
            fs_schema_finding(loader, NULL, "the file is empty");
        } else if (expect_mapping(loader, root, "the file")) {
            load_section(loader, &(struct section){"", "", root, base});
            if (check && !loader->out_of_memory) {
                check(loader, base);
            }
        }
        yaml_document_delete(&loader->document);
    }
    if (loader->out_of_memory) {
        return -ENOMEM;
    }
    return loader->findings > 0 ? -EINVAL : 0;
}
