/* SPDX-License-Identifier: Apache-2.0 */
/* What Kubernetes objects a point carries. */
#include <string.h>

#include "daemon/tool/json.h"
#include "daemon/tool/show.h"
#include "daemon/tool/text.h"
#include "daemon/tool/yaml.h"

void fs_show_objects(const json_t *result, FILE *out)
{
    static const char *const heads[] = {"KIND", "NAME", "HERE"};
    const json_t *point = json_object_get(result, "point"), *missing;
    const json_t *carried = json_object_get(point, "objects");
    struct fs_table *table = fs_table_new(3);
    char text[FS_TEXT_SIZE];
    size_t i;
    json_t *object;

    fprintf(out, "%s, point %s: %s of objects%s\n\n", string_of(result, "group"),
            string_of(point, "name"), fs_text_bytes((uint64_t)number_of(carried, "bytes"), text),
            json_is_true(json_object_get(carried, "stale"))
                ? ", older than the point: the API was away"
                : "");
    for (i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        fs_table_cell(table, "%s", heads[i]);
    }
    json_array_foreach(json_object_get(result, "objects"), i, object)
    {
        const char *ns = string_of(object, "namespace");
        fs_table_cell(table, "%s", string_of(object, "kind"));
        fs_table_cell(table, "%s%s%s", ns, *ns ? "/" : "", string_of(object, "name"));
        fs_table_cell(table, "%s", string_of(object, "here"));
    }
    fs_table_print(table, out);
    fs_table_free(table);
    json_array_foreach(json_object_get(result, "missing"), i, missing)
    {
        const char *by = string_of(missing, "referred_by");
        fprintf(out, "missing: %s %s, which %s refers to: %s\n", string_of(missing, "kind"),
                string_of(missing, "name"), *by ? by : "the group", string_of(missing, "reason"));
    }
    if (*string_of(result, "reason")) {
        fprintf(out, "not compared with this site's objects: %s\n", string_of(result, "reason"));
    }
}

bool fs_show_manifests(const json_t *result, FILE *out)
{
    json_t *manifests = json_array(), *object;
    size_t i;

    json_array_foreach(json_object_get(result, "objects"), i, object)
    {
        if (strcmp(string_of(object, "here"), "not in the point") != 0) {
            (void)json_array_append(manifests, json_object_get(object, "object"));
        }
    }
    bool ok = fs_yaml_write(manifests, out);
    json_decref(manifests);
    return ok;
}
