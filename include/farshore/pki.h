/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and certificates for sites that have no authority of their own: an authority, keys, requests
 * and certificates, as PEM texts. It does no I/O. Keys are P-256. Any thread.
 */
#ifndef FARSHORE_PKI_H
#define FARSHORE_PKI_H

#include <stdbool.h>
#include <stdint.h>

#include "farshore/error.h"
#include "farshore/model.h"

/* An authority says in its subject that it is one of ours, and whose. */
#define FS_PKI_ORGANIZATION "Farshore enrolment"
#define FS_PKI_SITE_DAYS    365
/* The longest PEM text that is taken. */
#define FS_PKI_TEXT_MAX 16384
#define FS_PKI_HASH     32 /* SHA-256 */

/* All texts are for free(), those with a key for fs_pki_free_key. Functions return 0, or -EINVAL or
 * -ENOMEM with err. */
void fs_pki_free_key(char *key);
int fs_pki_new_key(char **ret_key, struct fs_error *err);
/* An authority of a site: it may sign certificates of sites, and no further authorities. */
int fs_pki_new_authority(const char *site, char **ret_key, char **ret_cert, struct fs_error *err);
/* A request for a certificate of the site. */
int fs_pki_request(const char *key, const char *site, char **ret_request, struct fs_error *err);
/*
 * Sign: the certificate names the site, whatever the request says, and is good for both ends of a
 * connection for days, or until the authority ends. The request has to be signed by its key
 * (-EINVAL, peer).
 */
int fs_pki_sign(const char *ca_cert, const char *ca_key, const char *request, const char *site,
                unsigned days, char **ret_cert, struct fs_error *err);
/* Is cert of that key and site, signed by the authority and valid now? */
int fs_pki_check(const char *cert, const char *key, const char *ca_cert, const char *site,
                 struct fs_error *err);

/* SHA-256 of a certificate as a whole: what pins an authority. */
int fs_pki_fingerprint(const char *cert, uint8_t ret_hash[FS_PKI_HASH], struct fs_error *err);
/* SHA-256 of the public key of a request. */
int fs_pki_request_key(const char *request, uint8_t ret_hash[FS_PKI_HASH], struct fs_error *err);

struct fs_pki_life {
    int64_t from_s, until_s;   /* since the epoch */
    char issuer[FS_NAME_SIZE]; /* the site whose authority signed it; "": it is none of ours */
};

int fs_pki_life(const char *cert, struct fs_pki_life *ret_life, struct fs_error *err);

/* SHA-256 of bytes; so many random ones (false: there is no randomness). */
void fs_pki_hash(const void *bytes, size_t length, uint8_t ret_hash[FS_PKI_HASH]);
bool fs_pki_random(void *bytes, size_t length);

#endif
