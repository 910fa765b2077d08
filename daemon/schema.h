/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading a YAML document into structs as one table says: which keys there are, what each
 * holds, its default and bounds, and where it goes. This module knows YAML and tables; what a
 * configuration means is the table's and its owner's. Every complaint is a finding with file, line
 * and column; loading goes on behind one, to find the others. One loader at a time each; any
 * thread.
 */
#ifndef FARSHORE_DAEMON_SCHEMA_H
#define FARSHORE_DAEMON_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <yaml.h>

#include "farshore/error.h"

/* Bounds on what a file may make us do. */
#define FS_SCHEMA_TEXT_MAX     (1u << 20) /* bytes */
#define FS_SCHEMA_DEPTH_MAX    16
#define FS_SCHEMA_CHILDREN_MAX 1000 /* keys of one mapping, elements of one list */
#define FS_SCHEMA_FINDINGS_MAX 100

enum fs_schema_type {
    /* Around others: a mapping with the keys of the table, into the same struct. */
    FS_SCHEMA_SECTION,
    /* A list of such sections, into the same struct; path of an element is "path[]". */
    FS_SCHEMA_SECTIONS,
    /* A mapping with free keys, into an array of structs whose first member is char *name; path
     * of an element is "path.*". */
    FS_SCHEMA_NAMED,
    /* A list of sections, into an array of structs; path of an element is "path[]". */
    FS_SCHEMA_LIST,

    /* Values, from here on. */
    FS_SCHEMA_TEXT,      /* char *: up to 255 bytes */
    FS_SCHEMA_NAME,      /* char *: up to 63 letters, digits, '.', '_', '-' */
    FS_SCHEMA_PATH,      /* char *: absolute */
    FS_SCHEMA_ADDRESS,   /* char *: host:port, [v6]:port */
    FS_SCHEMA_DURATION,  /* int64_t: nanoseconds */
    FS_SCHEMA_SIZE,      /* uint64_t: bytes */
    FS_SCHEMA_RATE,      /* uint64_t: bytes a second */
    FS_SCHEMA_NUMBER,    /* unsigned (or int) */
    FS_SCHEMA_ADDRESSES, /* char **, and a size_t at count_offset */
    FS_SCHEMA_CUSTOM,    /* set() makes of it what it wants */
};

struct fs_schema_loader;

struct fs_schema_key {
    const char *path; /* "policies.*.interval" */
    enum fs_schema_type type;
    const char *type_text;      /* CUSTOM: for the manual */
    bool required;              /* where the section that holds it is there */
    const char *default_text;   /* as it would stand in the file; NULL: none */
    const char *min, *max;      /* DURATION, SIZE, RATE, NUMBER: as they would stand in the file */
    size_t offset;              /* in the struct that its section fills */
    size_t count_offset;        /* NAMED, LIST, ADDRESSES: of a size_t */
    size_t element_size;        /* NAMED, LIST */
    const char *const *choices; /* CUSTOM with a scalar: NULL-terminated; others are refused */
    /* CUSTOM. node is NULL for the default, whose text is in text; text is NULL where node is
     * not a scalar. Complains through fs_schema_finding. */
    void (*set)(struct fs_schema_loader *loader, const struct fs_schema_key *key, const char *where,
                void *base, yaml_node_t *node, const char *text);
};

struct fs_schema_loader {
    const char *file;                  /* name in messages */
    const struct fs_schema_key *table; /* ends with a NULL path */
    FILE *errors;                      /* or NULL */
    struct fs_error *err;              /* the first finding */
    yaml_document_t document;
    unsigned findings;
    bool out_of_memory;
};

/*
 * Parse text and fill base, which is zeroed. check, if not NULL, runs at the end, while the
 * document's nodes are there; behind findings base may hold less than the table requires. Returns
 * 0, -EINVAL with findings, -ENOMEM; on failure base holds a part, to be freed by its owner.
 */
typedef void fs_schema_check_fn(struct fs_schema_loader *loader, void *base);
int fs_schema_load(struct fs_schema_loader *loader, const void *text, size_t length, void *base,
                   fs_schema_check_fn *check);

/* A finding at a node; NULL is the start of the file. */
void fs_schema_finding(struct fs_schema_loader *loader, const yaml_node_t *node, const char *format,
                       ...) __attribute__((format(printf, 3, 4)));

/* The value of a key of a mapping; NULL where there is none. */
yaml_node_t *fs_schema_child(struct fs_schema_loader *loader, yaml_node_t *mapping,
                             const char *key);

/* For the manual: what a key holds, with its bounds; returns ret_text. */
char *fs_schema_describe(const struct fs_schema_key *key, char *ret_text, size_t size);
/* Whether the key holds a value, and is not only around others. */
bool fs_schema_is_value(const struct fs_schema_key *key);

#endif
