/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the enrolment share: checked members of JSON texts. Any thread. */
#ifndef FARSHORE_SHIP_ENROLL_PRIVATE_H
#define FARSHORE_SHIP_ENROLL_PRIVATE_H

#include <jansson.h>
#include <string.h>

#include "farshore/buf.h"
#include "farshore/enroll.h"
#include "ship/codec.h"

#define FS_ENROLL_BASE64 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

/* Returns ret_text, of 2 * n + 1 bytes. */
static inline char *fs_enroll_hex(const uint8_t *bytes, size_t n, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        ret_text[2 * i] = digits[bytes[i] >> 4];
        ret_text[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret_text[2 * n] = '\0';
    return ret_text;
}

static inline bool fs_enroll_unhex(const json_t *value, uint8_t *ret_bytes, size_t n)
{
    return json_is_string(value) && json_string_length(value) == 2 * n &&
           fs_hex_decode(json_string_value(value), n, ret_bytes);
}

/* A text without control characters (jansson has seen that it is UTF-8), of less than size. */
static inline bool fs_enroll_text(const json_t *value, char *ret_text, size_t size)
{
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);

    if (!text || length >= size || strlen(text) != length || !fs_codec_text_valid(text)) {
        return false;
    }
    memcpy(ret_text, text, length + 1);
    return true;
}

/* The name of a site or a policy: what the configuration takes for one, and fits a certificate. */
static inline bool fs_enroll_name(const json_t *value, char ret_name[FS_NAME_SIZE])
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";

    return fs_enroll_text(value, ret_name, FS_NAME_SIZE) && *ret_name && *ret_name != '.' &&
           strlen(ret_name) <= 64 && strspn(ret_name, good) == strlen(ret_name);
}

/* A PEM text: printable ASCII and line ends. */
static inline bool fs_enroll_pem(const json_t *value, char *ret_text, size_t size)
{
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);

    if (!text || length >= size || strncmp(text, "-----BEGIN ", 11) != 0) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if ((text[i] < ' ' && text[i] != '\n') || text[i] > '~') {
            return false;
        }
    }
    memcpy(ret_text, text, length + 1);
    return true;
}

#endif
