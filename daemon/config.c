/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/config_table.h"
#include "farshore/buf.h"

static void peer_fini(struct fs_config_peer *peer)
{
    for (size_t i = 0; i < peer->n_endpoints; i++) {
        free(peer->endpoints[i]);
    }
    free(peer->endpoints);
    free(peer->windows);
    free(peer->tls_name);
    free(peer->fence_conf);
    free(peer->fence_user);
    free(peer->name);
}

static void policy_fini(struct fs_config_policy *policy)
{
    fs_selector_free(policy->selector);
    free(policy->select_text);
    free(policy->group_by);
    free(policy->pools);
    for (size_t i = 0; i < FS_HOOK_COUNT; i++) {
        free(policy->on[i]);
    }
    free(policy->peer);
    free(policy->name);
}

void fs_config_free(struct fs_config *config)
{
    if (!config) {
        return;
    }
    for (size_t i = 0; i < config->n_peers; i++) {
        peer_fini(&config->peers[i]);
    }
    for (size_t i = 0; i < config->n_policies; i++) {
        policy_fini(&config->policies[i]);
    }
    for (size_t i = 0; i < config->n_sources; i++) {
        free(config->sources[i].kubeconfig);
        free(config->sources[i].storage_classes);
        free(config->sources[i].cluster_id);
        for (size_t k = 0; k < config->sources[i].n_kinds; k++) {
            free(config->sources[i].kinds[k]);
        }
        free(config->sources[i].kinds);
    }
    free(config->sources);
    free(config->peers);
    free(config->policies);
    free(config->site);
    free(config->ceph_conf);
    free(config->ceph_user);
    free(config->state_pool);
    free(config->listen);
    free(config->http);
    free(config->tls_cert);
    free(config->tls_key);
    free(config->tls_ca);
    free(config->control);
    free(config);
}

static int out_of_memory(struct fs_error *err)
{
    return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
}

int fs_config_parse(const char *name, const void *text, size_t length, FILE *errors,
                    struct fs_config **ret_config, struct fs_error *err)
{
    struct fs_error first = FS_ERROR_INIT;
    struct fs_schema_loader loader = {
        .file = name, .table = fs_config_table, .errors = errors, .err = &first};
    struct fs_config *config = calloc(1, sizeof(*config));

    *ret_config = NULL;
    if (!config) {
        return out_of_memory(err);
    }

    int rc = fs_schema_load(&loader, text, length, config, fs_config_check);

    if (rc == 0) {
        *ret_config = config;
        return 0;
    }
    fs_config_free(config);
    if (rc == -ENOMEM) {
        return out_of_memory(err);
    }
    if (loader.findings > 1) {
        return fs_error_set(err, FS_ERR_CONFIG, EINVAL, "%.440s (and %u more)", first.message,
                            loader.findings - 1);
    }
    return fs_error_set(err, FS_ERR_CONFIG, EINVAL, "%s", first.message);
}

/* The whole file, but not more than one byte above the bound, which the parser then refuses. */
static int read_file(const char *path, struct fs_buf *buf, struct fs_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = 1;

    if (fd < 0) {
        return fs_error_set(err, FS_ERR_CONFIG, errno, "%s: cannot be opened: %s", path,
                            strerror(errno));
    }
    while (got > 0 && buf->length <= FS_SCHEMA_TEXT_MAX) {
        if (!fs_buf_reserve(buf, 16384)) {
            close(fd);
            return out_of_memory(err);
        }

        size_t room = buf->capacity - buf->length;
        size_t left = FS_SCHEMA_TEXT_MAX + 1 - buf->length;

        got = read(fd, buf->data + buf->length, room < left ? room : left);
        if (got > 0) {
            buf->length += (size_t)got;
        } else if (got < 0 && errno == EINTR) {
            got = 1;
        }
    }

    int code = errno;

    close(fd);
    if (got < 0) {
        return fs_error_set(err, FS_ERR_CONFIG, code, "%s: cannot be read: %s", path,
                            strerror(code));
    }
    return 0;
}

int fs_config_load(const char *path, FILE *errors, struct fs_config **ret_config,
                   struct fs_error *err)
{
    struct fs_buf buf = FS_BUF_INIT;
    struct fs_error read_err = FS_ERROR_INIT;

    *ret_config = NULL;

    int rc = read_file(path, &buf, &read_err);

    if (rc == 0) {
        rc = fs_config_parse(path, buf.data, buf.length, errors, ret_config, err);
    } else {
        if (errors) {
            fprintf(errors, "%s\n", read_err.message);
        }
        fs_error_set(err, read_err.class, read_err.code, "%s", read_err.message);
    }
    fs_buf_fini(&buf);
    return rc;
}

static const char *const fence_modes[] = {
    [FS_FENCE_NONE] = "none",
    [FS_FENCE_BEST_EFFORT] = "best-effort",
    [FS_FENCE_REQUIRED] = "required",
};

const char *fs_fence_mode_name(enum fs_fence_mode mode)
{
    return fence_modes[mode];
}

bool fs_fence_mode_parse(const char *text, enum fs_fence_mode *ret_mode)
{
    for (size_t i = 0; i < sizeof(fence_modes) / sizeof(fence_modes[0]); i++) {
        if (strcmp(text, fence_modes[i]) == 0) {
            *ret_mode = (enum fs_fence_mode)i;
            return true;
        }
    }
    return false;
}

const struct fs_config_policy *fs_config_find_policy(const struct fs_config *config,
                                                     const char *name)
{
    for (size_t i = 0; i < config->n_policies; i++) {
        if (config->policies[i].name && strcmp(config->policies[i].name, name) == 0) {
            return &config->policies[i];
        }
    }
    return NULL;
}

const struct fs_config_peer *fs_config_find_peer(const struct fs_config *config, const char *name)
{
    for (size_t i = 0; i < config->n_peers; i++) {
        if (config->peers[i].name && strcmp(config->peers[i].name, name) == 0) {
            return &config->peers[i];
        }
    }
    return NULL;
}

void fs_config_each_key(fs_config_key_fn *each, void *arg)
{
    for (const struct fs_schema_key *key = fs_config_table; key->path; key++) {
        char type[128];
        char default_text[128];

        if (!fs_schema_is_value(key)) {
            continue;
        }
        snprintf(default_text, sizeof(default_text), "%s%s",
                 key->required       ? "required"
                 : key->default_text ? "default "
                                     : "no default",
                 key->default_text ? key->default_text : "");
        each(arg, key->path, fs_schema_describe(key, type, sizeof(type)), default_text);
    }
}
