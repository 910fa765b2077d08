/* SPDX-License-Identifier: Apache-2.0 */
/*
 * farshore-join-1.BODY.CHECK: BODY is JSON in base64url, CHECK the first bytes of its SHA-256 in
 * hex. CHECK is for what gets lost when lines are copied; what protects is the pin and the secret.
 */
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "farshore/buf.h"
#include "farshore/enroll.h"
#include "ship/enroll_private.h"

#define LEAD        "farshore-join-1."
#define CHECK_BYTES 4

static void swap(char *text, const char *from, const char *to)
{
    for (; *text; text++) {
        const char *found = strchr(from, *text);
        *text = found ? to[found - from] : *text;
    }
}

static char *encode_base64(const char *text)
{
    size_t length = strlen(text);
    char *out = malloc(4 * (length / 3 + 1) + 1);

    if (out) {
        int n = EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)text, (int)length);
        while (n > 0 && out[n - 1] == '=') {
            out[--n] = '\0';
        }
        swap(out, "+/", "-_");
    }
    return out;
}

/* NULL where it is no base64url, or when out of memory. */
static char *decode_base64(const char *text, size_t length, size_t *ret_length)
{
    size_t padded = (length + 3) / 4 * 4;
    char *in = malloc(padded + 1), *out = malloc(padded + 1);
    int n = -1;

    /* EVP_DecodeBlock takes padding and blanks in places where none belongs. */
    if (in && out && strspn(text, FS_ENROLL_BASE64) >= length && length % 4 != 1) {
        memset(in, '=', padded);
        memcpy(in, text, length);
        in[padded] = '\0';
        swap(in, "-_", "+/");
        n = EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)in, (int)padded);
    }
    free(in);
    if (n < (int)(padded - length)) {
        free(out);
        return NULL;
    }
    *ret_length = (size_t)n - (padded - length);
    return out;
}

static void check_of(const char *body, size_t length, char ret_check[2 * CHECK_BYTES + 1])
{
    uint8_t hash[FS_PKI_HASH];

    fs_pki_hash(body, length, hash);
    fs_enroll_hex(hash, CHECK_BYTES, ret_check);
}

char *fs_enroll_token_encode(const struct fs_enroll_token *token)
{
    char ca[2 * FS_PKI_HASH + 1], secret[2 * FS_ENROLL_SECRET + 1], check[2 * CHECK_BYTES + 1];
    json_t *endpoints = json_array();
    char *text = NULL, *body = NULL;

    for (size_t i = 0; i < token->n_endpoints; i++) {
        json_array_append_new(endpoints, json_string(token->endpoints[i]));
    }
    json_t *object =
        json_pack("{s:s, s:s, s:o, s:s, s:s, s:I}", "site", token->site, "inviter", token->inviter,
                  "endpoints", endpoints, "ca", fs_enroll_hex(token->ca, sizeof(token->ca), ca),
                  "secret", fs_enroll_hex(token->secret, sizeof(token->secret), secret), "until",
                  (json_int_t)token->until_s);
    char *json = object ? json_dumps(object, JSON_COMPACT) : NULL;
    if (json) {
        body = encode_base64(json);
    }
    if (body) {
        check_of(body, strlen(body), check);
        if (asprintf(&text, LEAD "%s.%s", body, check) < 0) {
            text = NULL;
        }
    }
    free(body);
    free(json);
    json_decref(object);
    return text;
}

static bool read_endpoints(const json_t *array, struct fs_enroll_token *token)
{
    size_t i;
    json_t *item;

    token->n_endpoints = json_array_size(array);
    if (token->n_endpoints < 1 || token->n_endpoints > FS_ENROLL_ENDPOINTS_MAX) {
        return false;
    }
    json_array_foreach(array, i, item)
    {
        if (!fs_enroll_text(item, token->endpoints[i], FS_NAME_SIZE) || !*token->endpoints[i]) {
            return false;
        }
    }
    return true;
}

static bool read_body(const json_t *object, struct fs_enroll_token *token)
{
    const json_t *until = json_object_get(object, "until");

    token->until_s = json_integer_value(until);
    return fs_enroll_name(json_object_get(object, "site"), token->site) &&
           fs_enroll_name(json_object_get(object, "inviter"), token->inviter) &&
           read_endpoints(json_object_get(object, "endpoints"), token) &&
           fs_enroll_unhex(json_object_get(object, "ca"), token->ca, sizeof(token->ca)) &&
           fs_enroll_unhex(json_object_get(object, "secret"), token->secret,
                           sizeof(token->secret)) &&
           json_is_integer(until);
}

int fs_enroll_token_decode(const char *text, struct fs_enroll_token *ret_token,
                           struct fs_error *err)
{
    struct fs_enroll_token token = {0};
    char check[2 * CHECK_BYTES + 1];
    size_t length = 0;
    bool ok = false;

    if (strncmp(text, LEAD, strlen(LEAD)) != 0) {
        return fs_error_set(err, FS_ERR_CONFIG, EINVAL,
                            "this is no token of `farshore enroll invite`: one begins with " LEAD);
    }
    const char *body = text + strlen(LEAD);
    const char *dot = strchr(body, '.');
    size_t body_length = dot ? (size_t)(dot - body) : 0;
    if (strnlen(text, FS_ENROLL_TOKEN_MAX + 1) <= FS_ENROLL_TOKEN_MAX && dot) {
        check_of(body, body_length, check);
        if (strcmp(dot + 1, check) == 0) {
            char *json = decode_base64(body, body_length, &length);
            json_t *object = json ? json_loadb(json, length, JSON_REJECT_DUPLICATES, NULL) : NULL;
            ok = read_body(object, &token);
            json_decref(object);
            free(json);
        }
    }
    if (!ok) {
        return fs_error_set(err, FS_ERR_CONFIG, EINVAL,
                            "the token is damaged: copy the whole line that `farshore enroll "
                            "invite` printed");
    }
    *ret_token = token;
    return 0;
}
