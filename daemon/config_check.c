/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "daemon/config_table.h"

#define KEPT_MAX 1000u /* FS_POINTS_MAX less those on their way in and out */

static void check_windows(struct fs_schema_loader *loader, const struct fs_config_peer *peer,
                          yaml_node_t *node)
{
    for (size_t i = 0; i < peer->n_windows; i++) {
        const struct fs_window *window = &peer->windows[i];

        if (window->from == window->to && window->bytes_per_s > 0) {
            fs_schema_finding(loader, fs_schema_child(loader, node, "windows"),
                              "peers.%s.windows[%zu]: begins and ends at the same time; the whole "
                              "day is from \"00:00\" to \"24:00\"",
                              peer->name, i);
        }
    }
}

static void check_peers(struct fs_schema_loader *loader, struct fs_config *config,
                        yaml_node_t *root)
{
    yaml_node_t *peers = fs_schema_child(loader, root, "peers");

    if (config->n_peers > 0 && !fs_schema_child(loader, root, "tls")) {
        fs_schema_finding(loader, peers,
                          "peers need a \"tls\" section: both sites show a certificate");
    }
    for (size_t i = 0; i < config->n_peers; i++) {
        struct fs_config_peer *peer = &config->peers[i];

        if (!peer->name) {
            continue;
        }

        yaml_node_t *node = fs_schema_child(loader, peers, peer->name);

        if (!fs_schema_child(loader, root, "listen") &&
            !fs_schema_child(loader, node, "endpoints")) {
            fs_schema_finding(loader, node,
                              "peers.%s: the sites cannot meet: give the peer \"endpoints\" to "
                              "dial, or give this site \"listen\"",
                              peer->name);
        }
        if (config->site && strcmp(peer->name, config->site) == 0) {
            fs_schema_finding(loader, node, "peers.%s: is this site itself", peer->name);
        }
        check_windows(loader, peer, node);
        if (!peer->tls_name) {
            peer->tls_name = strdup(peer->name);
            loader->out_of_memory = loader->out_of_memory || !peer->tls_name;
        }
    }
}

static yaml_node_t *element_of(struct fs_schema_loader *loader, const yaml_node_t *list, size_t i)
{
    return list && list->type == YAML_SEQUENCE_NODE
               ? yaml_document_get_node(&loader->document, list->data.sequence.items.start[i])
               : NULL;
}

/* What the sources are together. */
static void check_sources(struct fs_schema_loader *loader, struct fs_config *config,
                          yaml_node_t *root)
{
    const yaml_node_t *list = fs_schema_child(loader, root, "discovery");

    for (size_t i = 0; i < config->n_sources; i++) {
        const struct fs_config_source *source = &config->sources[i];
        yaml_node_t *node = element_of(loader, list, i);
        yaml_node_t *kind = fs_schema_child(loader, node, "source");

        if (!kind) {
            continue;
        }
        if (source->kubernetes ? config->kubernetes != NULL : config->discover_images) {
            fs_schema_finding(loader, kind, "discovery[%zu].source: \"%s\" is given twice", i,
                              source->kubernetes ? "kubernetes" : "images");
        }
        if (!source->kubernetes &&
            (source->kubeconfig || source->cluster_id || source->workloads || !source->events ||
             source->kinds || source->secrets || source->storage_classes)) {
            fs_schema_finding(loader, node,
                              "discovery[%zu]: \"kubeconfig\", \"cluster_id\", \"events\", "
                              "\"workloads\", \"storage_classes\" and \"objects\" are for source "
                              "kubernetes",
                              i);
        }
        if (source->kubernetes) {
            config->kubernetes = source;
        } else {
            config->discover_images = true;
        }
        if (config->discovery_interval_ns == 0 ||
            source->interval_ns < config->discovery_interval_ns) {
            config->discovery_interval_ns = source->interval_ns;
        }
    }
}

static void check_policy(struct fs_schema_loader *loader, const struct fs_config *config,
                         const struct fs_config_policy *policy, yaml_node_t *root,
                         yaml_node_t *node)
{
    yaml_node_t *select = fs_schema_child(loader, node, "select");

    if (policy->peer && !fs_config_find_peer(config, policy->peer)) {
        fs_schema_finding(loader, fs_schema_child(loader, node, "peer"),
                          "policies.%s.peer: there is no \"%s\" under \"peers\"", policy->name,
                          policy->peer);
    }
    if (select && !fs_schema_child(loader, node, "interval")) {
        fs_schema_finding(loader, node,
                          "policies.%s: \"interval\" is missing: a policy with \"select\" needs it",
                          policy->name);
    }
    if (select && !fs_schema_child(loader, root, "discovery")) {
        fs_schema_finding(loader, select,
                          "policies.%s.select: needs a \"discovery\" section, such as "
                          "[{source: images}]",
                          policy->name);
    }
    if (policy->quiesce_guest && !config->kubernetes) {
        fs_schema_finding(loader, fs_schema_child(loader, node, "quiesce"),
                          "policies.%s.quiesce.guest: needs a discovery source kubernetes, whose "
                          "API freezes virtual machines",
                          policy->name);
    }
    const struct fs_retention *retain = &policy->retain;
    unsigned kept = retain->latest + retain->hourly + retain->daily + retain->weekly;

    if (kept > KEPT_MAX) {
        fs_schema_finding(loader, fs_schema_child(loader, node, "retain"),
                          "policies.%s.retain: %u points in all are more than the %u that a group "
                          "can have",
                          policy->name, kept, KEPT_MAX);
    }
    if (policy->alert_warn > 0 && policy->alert_critical > 0 &&
        policy->alert_critical < policy->alert_warn) {
        yaml_node_t *alert = fs_schema_child(loader, node, "alert");

        fs_schema_finding(loader, alert,
                          "policies.%s.alert: \"critical\" (%u) is below \"warn\" (%u)",
                          policy->name, policy->alert_critical, policy->alert_warn);
    }
}

void fs_config_check(struct fs_schema_loader *loader, void *base)
{
    struct fs_config *config = base;
    yaml_node_t *root = yaml_document_get_root_node(&loader->document);
    yaml_node_t *policies = fs_schema_child(loader, root, "policies");

    check_peers(loader, config, root);
    check_sources(loader, config, root);
    for (size_t i = 0; i < config->n_policies; i++) {
        const struct fs_config_policy *policy = &config->policies[i];

        if (policy->name) {
            check_policy(loader, config, policy, root,
                         fs_schema_child(loader, policies, policy->name));
        }
    }
}
