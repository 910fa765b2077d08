/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Label selectors in Kubernetes syntax: "a=b, c!=d, e in (x,y), f notin (x), g, !h"; comma means
 * and. As in Kubernetes, != and notin also match where the label is absent. Pure; any thread.
 */
#ifndef FARSHORE_SELECTOR_H
#define FARSHORE_SELECTOR_H

#include <stdbool.h>

#include "farshore/error.h"

struct fs_selector;

/* -EINVAL with a message that says at which character and what was expected. An empty text is
 * refused: it would select everything. */
int fs_selector_parse(const char *text, struct fs_selector **ret_selector, struct fs_error *err);
void fs_selector_free(struct fs_selector *selector);

/* Returns the value of key or NULL where the label is absent. */
typedef const char *fs_label_fn(void *arg, const char *key);
bool fs_selector_matches(const struct fs_selector *selector, fs_label_fn *label, void *arg);

#endif
