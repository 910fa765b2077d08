/* SPDX-License-Identifier: Apache-2.0 */
#include "farshore/selector.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define LABEL_NAME_MAX   63
#define LABEL_PREFIX_MAX 253

enum operator_kind {
    OP_EXISTS,
    OP_ABSENT,
    OP_IN,     /* also = and == */
    OP_NOT_IN, /* also != */
};

struct requirement {
    char *key;
    enum operator_kind op;
    char **values;
    size_t n_values;
};

struct fs_selector {
    struct requirement *requirements;
    size_t n_requirements;
};

struct parser {
    const char *text;
    const char *at;
    struct fs_error *err;
};

void fs_selector_free(struct fs_selector *selector)
{
    if (!selector) {
        return;
    }
    for (size_t i = 0; i < selector->n_requirements; i++) {
        struct requirement *requirement = &selector->requirements[i];

        for (size_t j = 0; j < requirement->n_values; j++) {
            free(requirement->values[j]);
        }
        free(requirement->values);
        free(requirement->key);
    }
    free(selector->requirements);
    free(selector);
}

static int expected(struct parser *parser, const char *what)
{
    return fs_error_set(parser->err, FS_ERR_CONFIG, EINVAL,
                        "label selector \"%.200s\", character %zu: expected %s", parser->text,
                        (size_t)(parser->at - parser->text) + 1, what);
}

static int out_of_memory(struct parser *parser)
{
    return fs_error_set(parser->err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
}

static void skip_space(struct parser *parser)
{
    while (isspace((unsigned char)*parser->at)) {
        parser->at++;
    }
}

static bool is_label_char(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.';
}

/* What a label's name and value may be: letters, digits, - _ . and no sign at either end. */
static bool is_label_word(const char *text, size_t length)
{
    if (length == 0 || length > LABEL_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (!is_label_char(text[i])) {
            return false;
        }
    }
    return isalnum((unsigned char)text[0]) && isalnum((unsigned char)text[length - 1]);
}

static bool is_label_prefix(const char *text, size_t length)
{
    if (length == 0 || length > LABEL_PREFIX_MAX) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)text[i]) && text[i] != '-' && text[i] != '.') {
            return false;
        }
    }
    return isalnum((unsigned char)text[0]) && isalnum((unsigned char)text[length - 1]);
}

static int parse_key(struct parser *parser, char **ret_key)
{
    const char *start = parser->at;
    const char *end = start;
    const char *slash = NULL;

    while (is_label_char(*end) || (*end == '/' && !slash)) {
        if (*end == '/') {
            slash = end;
        }
        end++;
    }

    const char *name = slash ? slash + 1 : start;

    if (!is_label_word(name, (size_t)(end - name)) ||
        (slash && !is_label_prefix(start, (size_t)(slash - start)))) {
        return expected(parser, "a label's key such as example.com/name (a name of at most 63 "
                                "letters, digits, '-', '_' and '.')");
    }
    *ret_key = strndup(start, (size_t)(end - start));
    if (!*ret_key) {
        return out_of_memory(parser);
    }
    parser->at = end;
    return 0;
}

static int add_value(struct parser *parser, struct requirement *requirement)
{
    const char *end = parser->at;

    while (is_label_char(*end)) {
        end++;
    }

    size_t length = (size_t)(end - parser->at);

    if (length > 0 && !is_label_word(parser->at, length)) {
        return expected(parser, "a label's value (at most 63 letters, digits, '-', '_' and '.')");
    }

    char **values = realloc(requirement->values, (requirement->n_values + 1) * sizeof(*values));

    if (!values) {
        return out_of_memory(parser);
    }
    requirement->values = values;

    char *value = strndup(parser->at, length);

    if (!value) {
        return out_of_memory(parser);
    }
    values[requirement->n_values++] = value;
    parser->at = end;
    return 0;
}

/* "(x, y)"; as in Kubernetes a value may be empty, but not the whole list. */
static int parse_set(struct parser *parser, struct requirement *requirement)
{
    skip_space(parser);
    if (*parser->at != '(') {
        return expected(parser, "'(' and a list of values");
    }
    parser->at++;
    skip_space(parser);
    if (*parser->at == ')') {
        return expected(parser, "at least one value");
    }
    for (;;) {
        skip_space(parser);

        int rc = add_value(parser, requirement);

        if (rc < 0) {
            return rc;
        }
        skip_space(parser);
        if (*parser->at == ')') {
            parser->at++;
            return 0;
        }
        if (*parser->at != ',') {
            return expected(parser, "',' or ')'");
        }
        parser->at++;
    }
}

/* A keyword that no further letter makes a longer word of. */
static bool accept_word(struct parser *parser, const char *word)
{
    size_t length = strlen(word);

    if (strncmp(parser->at, word, length) != 0 || is_label_char(parser->at[length]) ||
        parser->at[length] == '/') {
        return false;
    }
    parser->at += length;
    return true;
}

static bool accept_sign(struct parser *parser, const char *sign)
{
    size_t length = strlen(sign);

    if (strncmp(parser->at, sign, length) != 0) {
        return false;
    }
    parser->at += length;
    return true;
}

static int parse_requirement(struct parser *parser, struct requirement *requirement)
{
    skip_space(parser);

    bool absent = accept_sign(parser, "!");

    skip_space(parser);

    int rc = parse_key(parser, &requirement->key);

    if (rc < 0) {
        return rc;
    }
    skip_space(parser);
    requirement->op = absent ? OP_ABSENT : OP_EXISTS;
    if (*parser->at == '\0' || *parser->at == ',') {
        return 0;
    }
    if (absent) {
        return expected(parser, "',' or the end");
    }
    if (accept_sign(parser, "!=")) {
        requirement->op = OP_NOT_IN;
    } else if (accept_sign(parser, "==") || accept_sign(parser, "=")) {
        requirement->op = OP_IN;
    } else if (accept_word(parser, "in")) {
        requirement->op = OP_IN;
        return parse_set(parser, requirement);
    } else if (accept_word(parser, "notin")) {
        requirement->op = OP_NOT_IN;
        return parse_set(parser, requirement);
    } else {
        return expected(parser, "'=', '!=', 'in', 'notin', ',' or the end");
    }
    skip_space(parser);
    return add_value(parser, requirement);
}

static int parse_all(struct parser *parser, struct fs_selector *selector)
{
    skip_space(parser);
    if (*parser->at == '\0') {
        return expected(parser, "a requirement such as app=web: an empty selector would select "
                                "everything");
    }
    for (;;) {
        struct requirement *requirements =
            realloc(selector->requirements,
                    (selector->n_requirements + 1) * sizeof(*selector->requirements));

        if (!requirements) {
            return out_of_memory(parser);
        }
        selector->requirements = requirements;

        struct requirement *requirement = &requirements[selector->n_requirements++];

        *requirement = (struct requirement){0};

        int rc = parse_requirement(parser, requirement);

        if (rc < 0) {
            return rc;
        }
        skip_space(parser);
        if (*parser->at == '\0') {
            return 0;
        }
        if (*parser->at != ',') {
            return expected(parser, "',' or the end");
        }
        parser->at++;
    }
}

int fs_selector_parse(const char *text, struct fs_selector **ret_selector, struct fs_error *err)
{
    struct parser parser = {.text = text, .at = text, .err = err};
    struct fs_selector *selector = calloc(1, sizeof(*selector));

    *ret_selector = NULL;
    if (!selector) {
        return out_of_memory(&parser);
    }

    int rc = parse_all(&parser, selector);

    if (rc < 0) {
        fs_selector_free(selector);
        return rc;
    }
    *ret_selector = selector;
    return 0;
}

static bool requirement_matches(const struct requirement *requirement, const char *value)
{
    bool found = false;

    switch (requirement->op) {
    case OP_EXISTS:
        return value;
    case OP_ABSENT:
        return !value;
    case OP_IN:
    case OP_NOT_IN:
        for (size_t i = 0; value && !found && i < requirement->n_values; i++) {
            found = strcmp(value, requirement->values[i]) == 0;
        }
        return found == (requirement->op == OP_IN);
    }
    return false;
}

bool fs_selector_matches(const struct fs_selector *selector, fs_label_fn *label, void *arg)
{
    for (size_t i = 0; i < selector->n_requirements; i++) {
        const struct requirement *requirement = &selector->requirements[i];

        if (!requirement_matches(requirement, label(arg, requirement->key))) {
            return false;
        }
    }
    return true;
}
