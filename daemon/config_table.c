/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/config_table.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "daemon/kube/kinds.h"
#include "farshore/tuner.h"
#include "farshore/wire.h"

static void set_source(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                       const char *where, void *base, yaml_node_t *node, const char *text)
{
    struct fs_config_source *source = base;

    (void)loader;
    (void)key;
    (void)where;
    (void)node;
    source->kubernetes = strcmp(text, "kubernetes") == 0;
}

static void set_truth(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                      const char *where, void *base, yaml_node_t *node, const char *text)
{
    (void)loader;
    (void)where;
    (void)node;
    *(bool *)((char *)base + key->offset) = strcmp(text, "true") == 0;
}

/* Without the key it is Farshore's own list. */
static void set_kinds(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                      const char *where, void *base, yaml_node_t *node, const char *text)
{
    struct fs_config_source *source = base;

    (void)key;
    (void)text;
    if (node->type != YAML_SEQUENCE_NODE) {
        fs_schema_finding(loader, node, "%s: expected a list of kinds, such as [VirtualMachine]",
                          where);
        return;
    }
    const yaml_node_item_t *first = node->data.sequence.items.start;
    size_t count = (size_t)(node->data.sequence.items.top - first);
    source->kinds = count <= FS_SCHEMA_CHILDREN_MAX ? calloc(count + 1, sizeof(char *)) : NULL;
    if (!source->kinds) {
        loader->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *kind = yaml_document_get_node(&loader->document, first[i]);
        const char *name =
            kind->type == YAML_SCALAR_NODE ? (const char *)kind->data.scalar.value : "";

        if (!fs_kube_kind_valid(name)) {
            fs_schema_finding(loader, kind,
                              "%s: \"%.64s\" is not a kind: write one that the manual lists, or "
                              "RESOURCE.VERSION.GROUP, such as deployments.v1.apps",
                              where, name);
            continue;
        }
        source->kinds[source->n_kinds] = strdup(name);
        loader->out_of_memory = loader->out_of_memory || !source->kinds[source->n_kinds];
        source->n_kinds++;
    }
}

static void set_objects(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                        const char *where, void *base, yaml_node_t *node, const char *text)
{
    struct fs_config_policy *policy = base;

    (void)loader;
    (void)key;
    (void)where;
    (void)node;
    policy->no_objects = strcmp(text, "none") == 0;
}

/* A scalar of a mapping; NULL with a finding. */
static const char *class_text(struct fs_schema_loader *loader, const char *where,
                              const yaml_node_t *node)
{
    const char *text =
        node && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;

    if (!text || !*text || strlen(text) > 253) {
        fs_schema_finding(loader, node, "%s: expected names of storage classes", where);
        return NULL;
    }
    return text;
}

static void set_classes(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                        const char *where, void *base, yaml_node_t *node, const char *text)
{
    struct fs_config_source *source = base;
    json_t *classes = json_object();

    (void)key;
    (void)text;
    if (node->type != YAML_MAPPING_NODE) {
        fs_schema_finding(loader, node,
                          "%s: expected storage classes there and here, such as {fast: ssd}",
                          where);
        json_decref(classes);
        return;
    }
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *name = yaml_document_get_node(&loader->document, pair->key);
        const char *there = class_text(loader, where, name);
        const char *here =
            class_text(loader, where, yaml_document_get_node(&loader->document, pair->value));
        if (there && json_object_get(classes, there)) {
            fs_schema_finding(loader, name, "%s: duplicate key \"%s\"", where, there);
        } else if (there && here) {
            (void)json_object_set_new(classes, there, json_string(here));
        }
    }
    source->storage_classes = json_dumps(classes, JSON_COMPACT);
    loader->out_of_memory = loader->out_of_memory || !source->storage_classes;
    json_decref(classes);
}

static void set_stop_late(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                          const char *where, void *base, yaml_node_t *node, const char *text)
{
    struct fs_config_policy *policy = base;

    (void)loader;
    (void)key;
    (void)where;
    (void)node;
    policy->stop_force = strcmp(text, "force") == 0;
}

static void set_selector(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                         const char *where, void *base, yaml_node_t *node, const char *text)
{
    struct fs_config_policy *policy = base;
    struct fs_error err = FS_ERROR_INIT;

    (void)key;
    if (!text) {
        fs_schema_finding(loader, node,
                          "%s: expected a label selector in quotes, such as "
                          "\"farshore.io/policy=gold\"",
                          where);
        return;
    }

    int rc = fs_selector_parse(text, &policy->selector, &err);

    if (rc == -EINVAL) {
        fs_schema_finding(loader, node, "%s: %s", where, err.message);
        return;
    }
    policy->select_text = strdup(text);
    if (rc < 0 || !policy->select_text) {
        loader->out_of_memory = true;
    }
}

static void set_not_one_instant(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                                const char *where, void *base, yaml_node_t *node, const char *text)
{
    struct fs_config_policy *policy = base;

    (void)loader;
    (void)key;
    (void)where;
    (void)node;
    policy->refuse_not_one_instant = strcmp(text, "refuse") == 0;
}

static void set_guest(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                      const char *where, void *base, yaml_node_t *node, const char *text)
{
    struct fs_config_policy *policy = base;

    (void)loader;
    (void)key;
    (void)where;
    (void)node;
    policy->quiesce_guest = strcmp(text, "true") == 0;
}

static void set_on_failure(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                           const char *where, void *base, yaml_node_t *node, const char *text)
{
    struct fs_config_policy *policy = base;

    (void)loader;
    (void)key;
    (void)where;
    (void)node;
    policy->quiesce_or_skip = strcmp(text, "skip") == 0;
}

static void set_object_io(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                          const char *where, void *base, yaml_node_t *node, const char *text)
{
    struct fs_config *config = base;

    (void)loader;
    (void)key;
    (void)where;
    (void)node;
    config->object_io = strcmp(text, "auto") == 0;
}

/* Ceph's names of pools and namespaces hold nearly anything; '/' separates, '@' begins a snapshot.
 */
static bool is_pool_word(const char *text, size_t length)
{
    if (length == 0 || length >= FS_POOL_SIZE) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (iscntrl((unsigned char)text[i]) || text[i] == '/' || text[i] == '@') {
            return false;
        }
    }
    return true;
}

static void parse_pool(struct fs_schema_loader *loader, const char *where, const yaml_node_t *node,
                       char ret_pool[FS_POOL_SIZE], char ret_ns[FS_POOL_SIZE])
{
    const char *text =
        node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
    const char *slash = text ? strchr(text, '/') : NULL;
    size_t length = text ? slash ? (size_t)(slash - text) : strlen(text) : 0;

    if (!text || !is_pool_word(text, length) ||
        (slash && !is_pool_word(slash + 1, strlen(slash + 1)))) {
        fs_schema_finding(loader, node,
                          "%s: \"%.64s\" is not a pool: write pool or pool/namespace, each 1 to "
                          "%d bytes",
                          where, text ? text : "", FS_POOL_SIZE - 1);
        return;
    }
    snprintf(ret_pool, FS_POOL_SIZE, "%.*s", (int)length, text);
    if (slash) {
        snprintf(ret_ns, FS_POOL_SIZE, "%s", slash + 1);
    }
}

static bool same_source(const struct fs_pool_map *a, const struct fs_pool_map *b)
{
    return strcmp(a->source_pool, b->source_pool) == 0 && strcmp(a->source_ns, b->source_ns) == 0;
}

static void set_pools(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                      const char *where, void *base, yaml_node_t *node, const char *text)
{
    struct fs_config_policy *policy = base;

    (void)key;
    (void)text;
    if (node->type != YAML_MAPPING_NODE) {
        fs_schema_finding(loader, node,
                          "%s: expected source pools and target pools, such as {rbd: rbd}", where);
        return;
    }

    const yaml_node_pair_t *first = node->data.mapping.pairs.start;
    size_t count = (size_t)(node->data.mapping.pairs.top - first);

    if (count == 0 || count > FS_SCHEMA_CHILDREN_MAX) {
        fs_schema_finding(loader, node, "%s: expected 1 to %d pools", where,
                          FS_SCHEMA_CHILDREN_MAX);
        return;
    }
    policy->pools = calloc(count, sizeof(*policy->pools));
    if (!policy->pools) {
        loader->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *source = yaml_document_get_node(&loader->document, first[i].key);
        const yaml_node_t *target = yaml_document_get_node(&loader->document, first[i].value);
        struct fs_pool_map *map = &policy->pools[i];

        parse_pool(loader, where, source, map->source_pool, map->source_ns);
        parse_pool(loader, where, target, map->target_pool, map->target_ns);
        policy->n_pools = i + 1;
        for (size_t j = 0; map->source_pool[0] && j < i; j++) {
            if (same_source(map, &policy->pools[j])) {
                fs_schema_finding(loader, source, "%s: duplicate key \"%s\"", where,
                                  (const char *)source->data.scalar.value);
            }
        }
    }
}

static void set_days(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                     const char *where, void *base, yaml_node_t *node, const char *text)
{
    struct fs_window *window = base;
    struct fs_error err = FS_ERROR_INIT;

    (void)key;
    if (fs_window_parse_days(text ? text : "", &window->days, &err) < 0) {
        fs_schema_finding(loader, node, "%s: %s", where, err.message);
    }
}

static void set_time(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                     const char *where, void *base, yaml_node_t *node, const char *text)
{
    unsigned *minutes = (unsigned *)((char *)base + key->offset);
    struct fs_error err = FS_ERROR_INIT;

    if (fs_window_parse_time(text ? text : "", minutes, &err) < 0) {
        fs_schema_finding(loader, node, "%s: %s", where, err.message);
    }
}

static void set_fence(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                      const char *where, void *base, yaml_node_t *node, const char *text)
{
    struct fs_config_policy *policy = base;

    (void)loader;
    (void)key;
    (void)where;
    (void)node;
    (void)fs_fence_mode_parse(text, &policy->fence);
}

/* "auto", or a number. False: it is neither. */
static bool parse_auto(const char *text, long min, long max, bool *ret_auto, long *ret_number)
{
    char *end = NULL;

    *ret_auto = text && strcmp(text, "auto") == 0;
    *ret_number = text && !*ret_auto ? strtol(text, &end, 10) : 0;
    return *ret_auto || (text && end != text && !*end && *ret_number >= min && *ret_number <= max);
}

static void set_level(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                      const char *where, void *base, yaml_node_t *node, const char *text)
{
    struct fs_config *config = base;
    bool adapts;
    long level;

    (void)key;
    if (!parse_auto(text, FS_LEVEL_MIN, FS_LEVEL_MAX, &adapts, &level)) {
        fs_schema_finding(
            loader, node,
            "%s: \"%.64s\" is not a level: write auto, 0 for none, or a level of zstd "
            "from %d to %d",
            where, text ? text : "", FS_LEVEL_MIN, FS_LEVEL_MAX);
        return;
    }
    config->fixed_level = !adapts;
    config->zstd_level = (int)level;
}

static const char *const deltas[] = {"auto", "off", "always", NULL};

static void set_delta(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                      const char *where, void *base, yaml_node_t *node, const char *text)
{
    struct fs_config *config = base;

    (void)loader;
    (void)key;
    (void)where;
    (void)node;
    config->delta = strcmp(text, "off") == 0      ? FS_DELTA_NEVER
                    : strcmp(text, "always") == 0 ? FS_DELTA_ALWAYS
                                                  : FS_DELTA_AUTO;
}

static void set_lanes(struct fs_schema_loader *loader, const struct fs_schema_key *key,
                      const char *where, void *base, yaml_node_t *node, const char *text)
{
    struct fs_config_peer *peer = base;
    bool adapts;
    long lanes;

    (void)key;
    if (!parse_auto(text, 1, FS_LANES_MAX, &adapts, &lanes)) {
        fs_schema_finding(loader, node,
                          "%s: \"%.64s\" is no number of connections: write auto, or a number "
                          "from 1 to %d",
                          where, text ? text : "", FS_LANES_MAX);
        return;
    }
    peer->lanes = (unsigned)lanes;
}

static const char *const truths[] = {"true", "false", NULL};
static const char *const objects[] = {"captured", "none", NULL};
static const char *const stop_late[] = {"refuse", "force", NULL};
static const char *const sources[] = {"images", "kubernetes", NULL};
static const char *const object_io[] = {"auto", "off", NULL};
static const char *const fence_modes[] = {"none", "best-effort", "required", NULL};
static const char *const not_one_instant[] = {"mark", "refuse", NULL};
static const char *const on_failure[] = {"crash", "skip", NULL};

#define IN_CONFIG(member) .offset = offsetof(struct fs_config, member)
#define IN_PEER(member)   .offset = offsetof(struct fs_config_peer, member)
#define IN_WINDOW(member) .offset = offsetof(struct fs_window, member)
#define IN_SOURCE(member) .offset = offsetof(struct fs_config_source, member)
#define IN_POLICY(member) .offset = offsetof(struct fs_config_policy, member)

/* clang-format off: a table reads as one. */
const struct fs_schema_key fs_config_table[] = {
    {"site", FS_SCHEMA_NAME, .required = true, IN_CONFIG(site)},

    {.path = "ceph", .type = FS_SCHEMA_SECTION},
    {"ceph.conf", FS_SCHEMA_PATH, .default_text = "/etc/ceph/ceph.conf", IN_CONFIG(ceph_conf)},
    {"ceph.user", FS_SCHEMA_TEXT, .default_text = "farshore", IN_CONFIG(ceph_user)},
    {"ceph.state_pool", FS_SCHEMA_TEXT, .default_text = "rbd", IN_CONFIG(state_pool)},
    {"ceph.object_io", FS_SCHEMA_CUSTOM, .type_text = "auto or off", .default_text = "auto",
     .choices = object_io, .set = set_object_io},

    {"listen", FS_SCHEMA_ADDRESS, IN_CONFIG(listen)},
    {"http", FS_SCHEMA_ADDRESS, IN_CONFIG(http)},
    {"control", FS_SCHEMA_PATH, .default_text = "/run/farshore/control.sock", IN_CONFIG(control)},

    {.path = "tls", .type = FS_SCHEMA_SECTION},
    {"tls.cert", FS_SCHEMA_PATH, .required = true, IN_CONFIG(tls_cert)},
    {"tls.key", FS_SCHEMA_PATH, .required = true, IN_CONFIG(tls_key)},
    {"tls.ca", FS_SCHEMA_PATH, .required = true, IN_CONFIG(tls_ca)},

    {"peers", FS_SCHEMA_NAMED, .element_size = sizeof(struct fs_config_peer), IN_CONFIG(peers),
     .count_offset = offsetof(struct fs_config, n_peers)},
    {"peers.*.endpoints", FS_SCHEMA_ADDRESSES, IN_PEER(endpoints),
     .count_offset = offsetof(struct fs_config_peer, n_endpoints)},
    {"peers.*.tls_name", FS_SCHEMA_TEXT, IN_PEER(tls_name)},
    {"peers.*.bandwidth", FS_SCHEMA_RATE, .min = "1 Mbit/s", .max = "1000 Gbit/s",
     IN_PEER(bandwidth)},
    {"peers.*.lanes", FS_SCHEMA_CUSTOM, .type_text = "auto, or a number from 1 to 16",
     .default_text = "auto", .set = set_lanes},
    {.path = "peers.*.fence", .type = FS_SCHEMA_SECTION},
    {"peers.*.fence.conf", FS_SCHEMA_PATH, .required = true, IN_PEER(fence_conf)},
    {"peers.*.fence.user", FS_SCHEMA_TEXT, .default_text = "farshore", IN_PEER(fence_user)},
    {"peers.*.windows", FS_SCHEMA_LIST, .element_size = sizeof(struct fs_window), IN_PEER(windows),
     .count_offset = offsetof(struct fs_config_peer, n_windows)},
    {"peers.*.windows[].days", FS_SCHEMA_CUSTOM, .type_text = "days", .default_text = "mon-sun",
     .set = set_days},
    {"peers.*.windows[].from", FS_SCHEMA_CUSTOM, .type_text = "time of day", .required = true,
     IN_WINDOW(from), .set = set_time},
    {"peers.*.windows[].to", FS_SCHEMA_CUSTOM, .type_text = "time of day", .required = true,
     IN_WINDOW(to), .set = set_time},
    {"peers.*.windows[].bandwidth", FS_SCHEMA_RATE, .required = true, .min = "1 Mbit/s",
     .max = "1000 Gbit/s", IN_WINDOW(bytes_per_s)},

    {"discovery", FS_SCHEMA_LIST, .element_size = sizeof(struct fs_config_source),
     IN_CONFIG(sources), .count_offset = offsetof(struct fs_config, n_sources)},
    {"discovery[].source", FS_SCHEMA_CUSTOM, .type_text = "images or kubernetes", .required = true,
     .choices = sources, .set = set_source},
    {"discovery[].interval", FS_SCHEMA_DURATION, .default_text = "10s", .min = "1s", .max = "1d",
     IN_SOURCE(interval_ns)},
    {"discovery[].kubeconfig", FS_SCHEMA_PATH, IN_SOURCE(kubeconfig)},
    {"discovery[].cluster_id", FS_SCHEMA_TEXT, IN_SOURCE(cluster_id)},
    {"discovery[].workloads", FS_SCHEMA_CUSTOM, .type_text = "true or false",
     .default_text = "false", .choices = truths, IN_SOURCE(workloads), .set = set_truth},
    {"discovery[].events", FS_SCHEMA_CUSTOM, .type_text = "true or false", .default_text = "true",
     .choices = truths, IN_SOURCE(events), .set = set_truth},
    {.path = "discovery[].objects", .type = FS_SCHEMA_SECTION},
    {"discovery[].objects.kinds", FS_SCHEMA_CUSTOM, .type_text = "list of kinds", .set = set_kinds},
    {"discovery[].objects.secrets", FS_SCHEMA_CUSTOM, .type_text = "true or false",
     .default_text = "false", .choices = truths, IN_SOURCE(secrets), .set = set_truth},
    {"discovery[].storage_classes", FS_SCHEMA_CUSTOM,
     .type_text = "mapping of the peer's storage classes to this site's", .set = set_classes},

    {"policies", FS_SCHEMA_NAMED, .element_size = sizeof(struct fs_config_policy),
     IN_CONFIG(policies), .count_offset = offsetof(struct fs_config, n_policies)},
    {"policies.*.peer", FS_SCHEMA_NAME, .required = true, IN_POLICY(peer)},
    {"policies.*.interval", FS_SCHEMA_DURATION, .min = "1s", .max = "31d", IN_POLICY(interval_ns)},
    {.path = "policies.*.select", .type = FS_SCHEMA_SECTION},
    {"policies.*.select.labels", FS_SCHEMA_CUSTOM, .type_text = "label selector", .required = true,
     .set = set_selector},
    {"policies.*.group_by", FS_SCHEMA_TEXT, IN_POLICY(group_by)},
    {"policies.*.pools", FS_SCHEMA_CUSTOM, .required = true,
     .type_text = "mapping of pool[/namespace] to pool[/namespace]", .set = set_pools},
    {"policies.*.not_one_instant", FS_SCHEMA_CUSTOM, .type_text = "mark or refuse",
     .default_text = "mark", .choices = not_one_instant, .set = set_not_one_instant},
    {"policies.*.snapshot_timeout", FS_SCHEMA_DURATION, .default_text = "5s", .min = "500ms",
     .max = "25s", IN_POLICY(snapshot_timeout_ns)},
    {"policies.*.objects", FS_SCHEMA_CUSTOM, .type_text = "captured or none",
     .default_text = "captured", .choices = objects, .set = set_objects},
    {.path = "policies.*.quiesce", .type = FS_SCHEMA_SECTION},
    {"policies.*.quiesce.guest", FS_SCHEMA_CUSTOM, .type_text = "true or false",
     .default_text = "false", .choices = truths, .set = set_guest},
    {"policies.*.quiesce.command", FS_SCHEMA_TEXT, IN_POLICY(on[FS_HOOK_QUIESCE])},
    {"policies.*.quiesce.timeout", FS_SCHEMA_DURATION, .default_text = "5s", .min = "100ms",
     .max = "60s", IN_POLICY(quiesce_timeout_ns)},
    {"policies.*.quiesce.on_failure", FS_SCHEMA_CUSTOM, .type_text = "crash or skip",
     .default_text = "crash", .choices = on_failure, .set = set_on_failure},
    {.path = "policies.*.retain", .type = FS_SCHEMA_SECTION},
    {"policies.*.retain.latest", FS_SCHEMA_NUMBER, .default_text = "3", .min = "1", .max = "1000",
     IN_POLICY(retain.latest)},
    {"policies.*.retain.hourly", FS_SCHEMA_NUMBER, .default_text = "0", .min = "0", .max = "1000",
     IN_POLICY(retain.hourly)},
    {"policies.*.retain.daily", FS_SCHEMA_NUMBER, .default_text = "0", .min = "0", .max = "1000",
     IN_POLICY(retain.daily)},
    {"policies.*.retain.weekly", FS_SCHEMA_NUMBER, .default_text = "0", .min = "0", .max = "1000",
     IN_POLICY(retain.weekly)},
    {.path = "policies.*.verify", .type = FS_SCHEMA_SECTION},
    {"policies.*.verify.every", FS_SCHEMA_DURATION, .min = "1s", .max = "366d",
     IN_POLICY(verify_every_ns)},
    {"policies.*.verify.rate", FS_SCHEMA_SIZE, .default_text = "64 MiB", .min = "1 MiB",
     .max = "1 TiB", IN_POLICY(verify_rate)},
    {.path = "policies.*.drill", .type = FS_SCHEMA_SECTION},
    {"policies.*.drill.every", FS_SCHEMA_DURATION, .min = "1s", .max = "366d",
     IN_POLICY(drill_every_ns)},
    {"policies.*.drill.exec", FS_SCHEMA_TEXT, IN_POLICY(on[FS_HOOK_DRILL])},
    {"policies.*.drill.timeout", FS_SCHEMA_DURATION, .default_text = "10m", .min = "1s",
     .max = "24h", IN_POLICY(drill_timeout_ns)},
    {.path = "policies.*.alert", .type = FS_SCHEMA_SECTION},
    {"policies.*.alert.warn", FS_SCHEMA_NUMBER, .default_text = "2", .min = "1", .max = "1000",
     IN_POLICY(alert_warn)},
    {"policies.*.alert.critical", FS_SCHEMA_NUMBER, .default_text = "3", .min = "1", .max = "1000",
     IN_POLICY(alert_critical)},
    {"policies.*.fence", FS_SCHEMA_CUSTOM, .type_text = "none, best-effort or required",
     .default_text = "none", .choices = fence_modes, .set = set_fence},
    {.path = "policies.*.on", .type = FS_SCHEMA_SECTION},
    {"policies.*.on.stop", FS_SCHEMA_TEXT, IN_POLICY(on[FS_HOOK_STOP])},
    {"policies.*.on.start", FS_SCHEMA_TEXT, IN_POLICY(on[FS_HOOK_START])},
    {"policies.*.on.promoted", FS_SCHEMA_TEXT, IN_POLICY(on[FS_HOOK_PROMOTED])},
    {"policies.*.on.demoted", FS_SCHEMA_TEXT, IN_POLICY(on[FS_HOOK_DEMOTED])},
    {"policies.*.on.timeout", FS_SCHEMA_DURATION, .default_text = "60s", .min = "1s", .max = "1h",
     IN_POLICY(on_timeout_ns)},
    {.path = "policies.*.workload", .type = FS_SCHEMA_SECTION},
    {"policies.*.workload.stop_timeout", FS_SCHEMA_DURATION, .default_text = "5m", .min = "1s",
     .max = "1h", IN_POLICY(stop_timeout_ns)},
    {"policies.*.workload.stop_late", FS_SCHEMA_CUSTOM, .type_text = "refuse or force",
     .default_text = "refuse", .choices = stop_late, .set = set_stop_late},
    {"policies.*.workload.start_timeout", FS_SCHEMA_DURATION, .default_text = "5m", .min = "1s",
     .max = "1h", IN_POLICY(start_timeout_ns)},

    {.path = "limits", .type = FS_SCHEMA_SECTION},
    {"limits.memory", FS_SCHEMA_SIZE, .default_text = "256 MiB", .min = "64 MiB", .max = "1 TiB",
     IN_CONFIG(memory_bytes)},
    {"limits.open_images", FS_SCHEMA_NUMBER, .default_text = "500", .min = "1", .max = "100000",
     IN_CONFIG(open_images)},
    {"limits.cpu", FS_SCHEMA_NUMBER, .min = "1", .max = "64", IN_CONFIG(cpu_threads)},

    {.path = "compression", .type = FS_SCHEMA_SECTION},
    {"compression.level", FS_SCHEMA_CUSTOM, .type_text = "auto, or a number from -7 to 19",
     .default_text = "auto", .set = set_level},
    {"compression.delta", FS_SCHEMA_CUSTOM, .type_text = "auto, off or always",
     .default_text = "auto", .choices = deltas, .set = set_delta},
    {.path = NULL},
};
/* clang-format on */
