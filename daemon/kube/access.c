/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/kube/access.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>
#include <openssl/evp.h>

static void wipe(struct fs_buf *buf)
{
    if (buf->data) {
        explicit_bzero(buf->data, buf->capacity);
    }
    fs_buf_fini(buf);
}

void fs_kube_access_fini(struct fs_kube_access *access)
{
    if (access->token) {
        explicit_bzero(access->token, strlen(access->token));
    }
    free(access->token);
    free(access->server);
    wipe(&access->ca);
    wipe(&access->cert);
    wipe(&access->key);
    *access = (struct fs_kube_access){0};
}

static int out_of_memory(struct fs_error *err)
{
    return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
}

static int read_file(const char *path, struct fs_buf *buf, struct fs_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = 1;

    if (fd < 0) {
        return fs_error_set(err, FS_ERR_CONFIG, errno, "%s cannot be opened: %s", path,
                            strerror(errno));
    }
    while (got > 0 && buf->length <= FS_KUBE_FILE_MAX) {
        if (!fs_buf_reserve(buf, 4096)) {
            close(fd);
            return out_of_memory(err);
        }
        got = read(fd, buf->data + buf->length, buf->capacity - buf->length);
        if (got > 0) {
            buf->length += (size_t)got;
        } else if (got < 0 && errno == EINTR) {
            got = 1;
        }
    }
    int code = errno;

    close(fd);
    if (got < 0) {
        return fs_error_set(err, FS_ERR_CONFIG, code, "%s cannot be read: %s", path,
                            strerror(code));
    }
    if (buf->length == 0 || buf->length > FS_KUBE_FILE_MAX) {
        return fs_error_set(err, FS_ERR_CONFIG, EINVAL, "%s is %s", path,
                            buf->length ? "larger than 1 MiB" : "empty");
    }
    return 0;
}

static int decode_base64(const char *what, const char *text, struct fs_buf *buf,
                         struct fs_error *err)
{
    EVP_ENCODE_CTX *context = EVP_ENCODE_CTX_new();
    size_t length = strlen(text);
    int n = 0, last = 0;

    if (!context || !fs_buf_reserve(buf, length + 3)) {
        EVP_ENCODE_CTX_free(context);
        return out_of_memory(err);
    }
    EVP_DecodeInit(context);
    if (EVP_DecodeUpdate(context, buf->data, &n, (const unsigned char *)text, (int)length) < 0 ||
        EVP_DecodeFinal(context, buf->data + n, &last) < 0 || n + last == 0) {
        EVP_ENCODE_CTX_free(context);
        return fs_error_set(err, FS_ERR_CONFIG, EINVAL, "%s is not base64", what);
    }
    EVP_ENCODE_CTX_free(context);
    buf->length = (size_t)(n + last);
    return 0;
}

/* --- kubeconfig ------------------------------------------------------------------------------ */

struct kubeconfig {
    const char *path;
    const json_t *cluster, *user;
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text && *text ? text : NULL;
}

/* Relative names in a kubeconfig start from its own directory. */
static char *beside(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    char *full = NULL;

    if (*name == '/' || !slash) {
        return strdup(name);
    }
    if (asprintf(&full, "%.*s/%s", (int)(slash - path), path, name) < 0) {
        return NULL;
    }
    return full;
}

static int read_beside(const char *path, const char *name, struct fs_buf *buf, struct fs_error *err)
{
    char *full = beside(path, name);
    int rc = full ? read_file(full, buf, err) : out_of_memory(err);

    free(full);
    return rc;
}

/* "KEY-data" holds it in base64, "KEY" names a file. */
static int get_pem(const struct kubeconfig *config, const json_t *object, const char *key,
                   struct fs_buf *buf, struct fs_error *err)
{
    char data_key[64];

    (void)snprintf(data_key, sizeof(data_key), "%s-data", key);
    const char *data = text_of(object, data_key), *name = text_of(object, key);
    if (data) {
        char what[400];
        (void)snprintf(what, sizeof(what), "%.300s: %s", config->path, data_key);
        return decode_base64(what, data, buf, err);
    }
    return name ? read_beside(config->path, name, buf, err) : 0;
}

static int take_token(struct fs_kube_access *access, const char *text, size_t length,
                      const char *where, struct fs_error *err)
{
    while (length > 0 && isspace((unsigned char)text[length - 1])) {
        length--;
    }
    for (size_t i = 0; i < length; i++) {
        if (!isgraph((unsigned char)text[i])) {
            return fs_error_set(err, FS_ERR_CONFIG, EINVAL,
                                "the token in %s holds what no token can hold", where);
        }
    }
    if (length == 0) {
        return fs_error_set(err, FS_ERR_CONFIG, EINVAL, "the token in %s is empty", where);
    }
    access->token = strndup(text, length);
    return access->token ? 0 : out_of_memory(err);
}

static int take_token_file(struct fs_kube_access *access, const char *path, const char *name,
                           struct fs_error *err)
{
    struct fs_buf buf = FS_BUF_INIT;
    int rc = read_beside(path, name, &buf, err);

    if (rc == 0) {
        rc = take_token(access, (const char *)buf.data, buf.length, name, err);
    }
    wipe(&buf);
    return rc;
}

/* The element of list with this name. */
static const json_t *find_named(const json_t *list, const char *name)
{
    size_t i;
    const json_t *element;

    json_array_foreach((json_t *)list, i, element)
    {
        const char *its = text_of(element, "name");
        if (its && strcmp(its, name) == 0) {
            return element;
        }
    }
    return NULL;
}

static int find_context(struct kubeconfig *config, const json_t *root, struct fs_error *err)
{
    const char *name = text_of(root, "current-context");

    if (!name) {
        return fs_error_set(err, FS_ERR_CONFIG, EINVAL, "%s has no current-context", config->path);
    }
    const json_t *context =
        json_object_get(find_named(json_object_get(root, "contexts"), name), "context");
    const char *cluster = text_of(context, "cluster"), *user = text_of(context, "user");
    if (!cluster || !user) {
        return fs_error_set(err, FS_ERR_CONFIG, EINVAL,
                            "%s: context \"%.64s\" is not there, or has no cluster and user",
                            config->path, name);
    }
    config->cluster =
        json_object_get(find_named(json_object_get(root, "clusters"), cluster), "cluster");
    config->user = json_object_get(find_named(json_object_get(root, "users"), user), "user");
    if (!json_is_object(config->cluster) || !json_is_object(config->user)) {
        return fs_error_set(err, FS_ERR_CONFIG, EINVAL,
                            "%s: context \"%.64s\" names cluster \"%.64s\" and user \"%.64s\", "
                            "which are not both there",
                            config->path, name, cluster, user);
    }
    return 0;
}

static int refuse(const struct kubeconfig *config, const json_t *object, const char *key,
                  const char *instead, struct fs_error *err)
{
    const json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);

    if (!value || (text && (*text == '\0' || strcmp(text, "false") == 0))) {
        return 0;
    }
    return fs_error_set(err, FS_ERR_CONFIG, ENOTSUP, "%s: \"%s\" is not supported: %s",
                        config->path, key, instead);
}

static int check_supported(const struct kubeconfig *config, struct fs_error *err)
{
    static const char token[] = "give the user a client certificate, a token or a tokenFile";
    const struct {
        const json_t *object;
        const char *key, *instead;
    } refused[] = {
        {config->cluster, "insecure-skip-tls-verify",
         "the server's certificate is always checked, give its certificate-authority"},
        {config->cluster, "tls-server-name", "use a name in \"server\" that its certificate has"},
        {config->cluster, "proxy-url", "the API must be reachable without a proxy"},
        {config->user, "exec", token},
        {config->user, "auth-provider", token},
        {config->user, "username", token},
        {config->user, "as", "use an account that has the rights itself"},
    };

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        int rc = refuse(config, refused[i].object, refused[i].key, refused[i].instead, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int take_server(const struct kubeconfig *config, struct fs_kube_access *access,
                       struct fs_error *err)
{
    const char *server = text_of(config->cluster, "server");

    if (!server || strncmp(server, "https://", 8) != 0 || !server[8]) {
        return fs_error_set(err, FS_ERR_CONFIG, EINVAL,
                            "%s: \"server\" must be an https:// address, not \"%.100s\"",
                            config->path, server ? server : "");
    }
    access->server = strdup(server);
    if (!access->server) {
        return out_of_memory(err);
    }
    for (size_t n = strlen(server); n > 0 && access->server[n - 1] == '/'; n--) {
        access->server[n - 1] = '\0';
    }
    return 0;
}

static int take_user(const struct kubeconfig *config, struct fs_kube_access *access,
                     struct fs_error *err)
{
    const char *file = text_of(config->user, "tokenFile"), *token = text_of(config->user, "token");
    int rc = get_pem(config, config->user, "client-certificate", &access->cert, err);

    if (rc == 0) {
        rc = get_pem(config, config->user, "client-key", &access->key, err);
    }
    if (rc == 0 && (access->cert.length > 0) != (access->key.length > 0)) {
        rc = fs_error_set(err, FS_ERR_CONFIG, EINVAL,
                          "%s: the user has only one of client-certificate and client-key",
                          config->path);
    }
    if (rc == 0 && file) { /* as in kubectl, the file wins: a token beside it is an old copy */
        rc = take_token_file(access, config->path, file, err);
    } else if (rc == 0 && token) {
        rc = take_token(access, token, strlen(token), config->path, err);
    }
    if (rc == 0 && !access->token && access->cert.length == 0) {
        rc =
            fs_error_set(err, FS_ERR_CONFIG, EINVAL,
                         "%s: the user has neither a client certificate nor a token", config->path);
    }
    return rc;
}

static int take_all(struct kubeconfig *config, const json_t *root, struct fs_kube_access *access,
                    struct fs_error *err)
{
    int rc = find_context(config, root, err);

    if (rc == 0) {
        rc = check_supported(config, err);
    }
    if (rc == 0) {
        rc = take_server(config, access, err);
    }
    if (rc == 0) {
        rc = get_pem(config, config->cluster, "certificate-authority", &access->ca, err);
    }
    if (rc == 0) {
        rc = take_user(config, access, err);
    }
    return rc;
}

int fs_kube_access_load(const char *path, struct fs_kube_access *ret_access, struct fs_error *err)
{
    struct kubeconfig config = {.path = path};
    struct fs_buf buf = FS_BUF_INIT;
    int rc = read_file(path, &buf, err);

    *ret_access = (struct fs_kube_access){0};
    if (rc == 0) {
        json_t *root = fs_kube_yaml(path, buf.data, buf.length, err);
        rc = root ? take_all(&config, root, ret_access, err) : -EINVAL;
        json_decref(root);
    }
    wipe(&buf);
    if (rc < 0) {
        fs_kube_access_fini(ret_access);
    }
    return rc;
}

/* --- in a pod -------------------------------------------------------------------------------- */

static int read_account(const char *directory, struct fs_kube_access *access, struct fs_error *err)
{
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/ca.crt", directory);
    int rc = read_file(path, &access->ca, err);
    return rc < 0 ? rc : take_token_file(access, path, "token", err);
}

int fs_kube_access_in_cluster(const char *directory, struct fs_kube_access *ret_access,
                              struct fs_error *err)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST");
    const char *port = getenv("KUBERNETES_SERVICE_PORT");
    int rc;

    *ret_access = (struct fs_kube_access){0};
    if (!host || !*host || !port || !*port) {
        return fs_error_set(err, FS_ERR_CONFIG, EINVAL,
                            "this daemon does not run in a Kubernetes pod (there is no "
                            "KUBERNETES_SERVICE_HOST): give the source a kubeconfig");
    }
    bool v6 = strchr(host, ':') != NULL;
    if (asprintf(&ret_access->server, "https://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "",
                 port) < 0) {
        ret_access->server = NULL;
        return out_of_memory(err);
    }
    rc = read_account(directory, ret_access, err);
    if (rc < 0) {
        fs_kube_access_fini(ret_access);
    }
    return rc;
}
