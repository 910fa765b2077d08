/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes from outside in an enrolment: the first byte picks the token, the question, the
 * answer, or the request for a certificate within a question. What is accepted must encode again,
 * and mean the same.
 */
#include <stdlib.h>
#include <string.h>

#include "farshore/enroll.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int rc, const struct fs_error *err)
{
    if ((rc < 0) != fs_error_is_set(err)) {
        abort();
    }
}

static void try_token(const char *text)
{
    struct fs_enroll_token token, again;
    struct fs_error err = FS_ERROR_INIT;
    int rc = fs_enroll_token_decode(text, &token, &err);

    check(rc, &err);
    if (rc == 0) {
        char *line = fs_enroll_token_encode(&token);
        if (!line || fs_enroll_token_decode(line, &again, &err) < 0 ||
            memcmp(&token, &again, sizeof(token)) != 0) {
            abort();
        }
        free(line);
    }
}

static void try_question(const char *text, size_t length)
{
    static struct fs_enroll_question question, again;
    struct fs_error err = FS_ERROR_INIT;
    int rc = fs_enroll_question_decode(text, length, &question, &err);

    check(rc, &err);
    if (rc == 0) {
        char *line = fs_enroll_question_encode(&question);
        if (!line || fs_enroll_question_decode(line, strlen(line), &again, &err) < 0 ||
            memcmp(&question, &again, sizeof(question)) != 0) {
            abort();
        }
        free(line);
    }
}

static void try_answer(const char *text, size_t length)
{
    static struct fs_enroll_answer answer, again;
    struct fs_error err = FS_ERROR_INIT;
    int rc = fs_enroll_answer_decode(text, length, &answer, &err);

    check(rc, &err);
    if (rc == 0) {
        char *line = fs_enroll_answer_encode(&answer);
        if (!line || fs_enroll_answer_decode(line, strlen(line), &again, &err) < 0 ||
            answer.n_policies != again.n_policies || strcmp(answer.site, again.site) != 0 ||
            strcmp(answer.refusal, again.refusal) != 0) {
            abort();
        }
        free(line);
        fs_enroll_answer_fini(&answer);
        fs_enroll_answer_fini(&again);
    }
}

static void try_request(const char *text)
{
    static char *ca, *key;
    struct fs_error err = FS_ERROR_INIT;
    uint8_t hash[FS_PKI_HASH];
    char *cert;

    if (!ca && fs_pki_new_authority("east", &key, &ca, &err) < 0) {
        abort();
    }
    (void)fs_pki_request_key(text, hash, &err);
    err = FS_ERROR_INIT;
    int rc = fs_pki_sign(ca, key, text, "west", 1, &cert, &err);
    check(rc, &err);
    free(cert);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    char *text = malloc(size);
    if (!text) {
        return 0;
    }
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    switch (data[0] % 4) {
    case 0:
        try_token(text);
        break;
    case 1:
        try_question(text, size - 1);
        break;
    case 2:
        try_answer(text, size - 1);
        break;
    default:
        try_request(text);
    }
    free(text);
    return 0;
}
