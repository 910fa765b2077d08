/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invitations are files in the directory of the authority, invitation.SHA256.json, named by the
 * hash of their secret: who can read them cannot join with them, and to look one up compares no
 * secret. Removing the file is what uses it up, so that one of two who come at once gets it.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "farshore/file.h"
#include "ship/enroll_private.h"

#define FORMAT      1
#define PREFIX      "invitation."
#define SUFFIX      ".json"
#define HEX_LENGTH  (2 * FS_PKI_HASH)
#define NAME_LENGTH (sizeof(PREFIX) - 1 + HEX_LENGTH + sizeof(SUFFIX) - 1)
#define FILE_MAX    4096

int fs_enroll_authority_find(const char *ca, struct fs_enroll_authority *ret_authority,
                             struct fs_error *err)
{
    struct fs_enroll_authority *at = ret_authority;

    if (!fs_file_directory(ca, at->directory, sizeof(at->directory)) ||
        snprintf(at->ca, sizeof(at->ca), "%s", ca) >= (int)sizeof(at->ca) ||
        snprintf(at->key, sizeof(at->key), "%s/ca.key", at->directory) >= (int)sizeof(at->key)) {
        return fs_error_set(err, FS_ERR_CONFIG, ENAMETOOLONG, "the path %s is too long", ca);
    }
    if (access(at->key, R_OK) < 0) {
        return fs_error_set(err, FS_ERR_CONFIG, errno,
                            "this site cannot sign certificates (%s: %s): invite at the site that "
                            "can, or sign one with the authority of %s",
                            at->key, strerror(errno), ca);
    }
    return 0;
}

struct invitation {
    char site[FS_NAME_SIZE];
    int64_t until_s;
};

/* A file that cannot be read is an invitation of nobody. */
static bool read_invitation(const char *path, struct invitation *ret_invitation)
{
    struct fs_error ignored = FS_ERROR_INIT;
    char *text;

    if (fs_file_read(path, FILE_MAX, &text, &ignored) < 0) {
        return false;
    }
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    const json_t *until = json_object_get(object, "until");
    bool ok = json_integer_value(json_object_get(object, "format")) == FORMAT &&
              fs_enroll_name(json_object_get(object, "site"), ret_invitation->site) &&
              json_is_integer(until);
    ret_invitation->until_s = json_integer_value(until);
    json_decref(object);
    free(text);
    return ok;
}

static bool is_invitation(const char *name)
{
    return strlen(name) == NAME_LENGTH && strncmp(name, PREFIX, strlen(PREFIX)) == 0 &&
           strspn(name + strlen(PREFIX), "0123456789abcdef") == HEX_LENGTH;
}

/* Calls back for each file until that says stop (false). */
static void each_invitation(const struct fs_enroll_authority *authority,
                            bool (*each)(void *arg, const char *path), void *arg)
{
    DIR *directory = opendir(authority->directory);
    struct dirent *entry;
    char path[sizeof(authority->directory) + NAME_LENGTH + 2];
    bool more = directory != NULL;

    /* The handle is this call's own. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    while (more && (entry = readdir(directory))) {
        if (is_invitation(entry->d_name)) {
            (void)snprintf(path, sizeof(path), "%s/%.*s", authority->directory, (int)NAME_LENGTH,
                           entry->d_name);
            more = each(arg, path);
        }
    }
    if (directory) {
        (void)closedir(directory);
    }
}

struct sweep {
    const char *site;
    int64_t now_s;
    bool any;
};

static bool withdraw(void *arg, const char *path)
{
    const struct sweep *sweep = arg;
    struct fs_error ignored = FS_ERROR_INIT;
    struct invitation invitation;

    if (!read_invitation(path, &invitation) || invitation.until_s <= sweep->now_s ||
        strcmp(invitation.site, sweep->site) == 0) {
        (void)fs_file_remove(path, &ignored);
    }
    return true;
}

static void path_of(const struct fs_enroll_authority *authority, const uint8_t *secret,
                    char *ret_path, size_t size)
{
    uint8_t hash[FS_PKI_HASH];
    char hex[HEX_LENGTH + 1];

    fs_pki_hash(secret, FS_ENROLL_SECRET, hash);
    (void)snprintf(ret_path, size, "%s/" PREFIX "%s" SUFFIX, authority->directory,
                   fs_enroll_hex(hash, sizeof(hash), hex));
}

int fs_enroll_invite(const struct fs_enroll_authority *authority, int64_t now_s, unsigned ttl_s,
                     struct fs_enroll_token *token, struct fs_error *err)
{
    struct sweep sweep = {.site = token->site, .now_s = now_s};
    char path[sizeof(authority->directory) + NAME_LENGTH + 2];
    char *ca = NULL;
    int rc = fs_file_read(authority->ca, FS_PKI_TEXT_MAX, &ca, err);

    if (rc == 0) {
        rc = fs_pki_fingerprint(ca, token->ca, err);
    }
    free(ca);
    if (rc < 0) {
        return rc;
    }
    if (!fs_pki_random(token->secret, sizeof(token->secret))) {
        return fs_error_set(err, FS_ERR_TRANSIENT, EAGAIN, "no random numbers are to be had");
    }
    token->until_s = now_s + ttl_s;
    each_invitation(authority, withdraw, &sweep);
    path_of(authority, token->secret, path, sizeof(path));
    json_t *object = json_pack("{s:i, s:s, s:I}", "format", FORMAT, "site", token->site, "until",
                               (json_int_t)token->until_s);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    rc = text ? fs_file_replace(path, text, 0600, err)
              : fs_error_set(err, FS_ERR_CONFIG, EINVAL, "the name of the site is not UTF-8");
    free(text);
    json_decref(object);
    return rc;
}

static int unknown(struct fs_error *err)
{
    /* The same in each case: who guesses learns nothing. */
    return fs_error_set(
        err, FS_ERR_PEER, EACCES,
        "the token is not good (any more): it was used, its time is over, or a newer "
        "one was made; `farshore enroll invite` makes another");
}

int fs_enroll_use(const struct fs_enroll_authority *authority, int64_t now_s, const char *site,
                  const uint8_t secret[FS_ENROLL_SECRET], struct fs_error *err)
{
    char path[sizeof(authority->directory) + NAME_LENGTH + 2];
    struct fs_error ignored = FS_ERROR_INIT;
    struct invitation invitation;

    path_of(authority, secret, path, sizeof(path));
    if (!read_invitation(path, &invitation) || strcmp(invitation.site, site) != 0 ||
        invitation.until_s <= now_s) {
        return unknown(err);
    }
    int rc = fs_file_remove(path, &ignored);
    if (rc == -ENOENT) {
        return unknown(err);
    }
    if (rc < 0) { /* it could be used again: then not even once */
        return fs_error_set(err, FS_ERR_CONFIG, -rc, "%s", ignored.message);
    }
    return 0;
}

static bool is_open(void *arg, const char *path)
{
    struct sweep *sweep = arg;
    struct invitation invitation;

    sweep->any = read_invitation(path, &invitation) && invitation.until_s > sweep->now_s;
    return !sweep->any;
}

bool fs_enroll_is_invited(const struct fs_enroll_authority *authority, int64_t now_s)
{
    struct sweep sweep = {.now_s = now_s};

    each_invitation(authority, is_open, &sweep);
    return sweep.any;
}
