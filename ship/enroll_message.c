/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "ship/enroll_private.h"

#define FORMAT 1

static int garbage(struct fs_error *err, const char *what)
{
    return fs_error_set(err, FS_ERR_PEER, EPROTO,
                        "the %s of an enrolment is not understood; do both sites run the same "
                        "version of Farshore?",
                        what);
}

/* NULL where it is no object of our format. */
static json_t *load(const char *text, size_t length)
{
    json_t *object = length <= FS_ENROLL_MESSAGE_MAX
                         ? json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL)
                         : NULL;

    if (!json_is_object(object) ||
        json_integer_value(json_object_get(object, "format")) != FORMAT) {
        json_decref(object);
        return NULL;
    }
    return object;
}

/* object is released. */
static char *dump(json_t *object)
{
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

    json_decref(object);
    return text;
}

/* --- the question ---------------------------------------------------------------------------- */

char *fs_enroll_question_encode(const struct fs_enroll_question *question)
{
    char secret[2 * FS_ENROLL_SECRET + 1];
    json_t *object = json_pack("{s:i, s:s, s:s}", "format", FORMAT, "site", question->site,
                               "request", question->request);

    if (object && question->invited) {
        (void)json_object_set_new(
            object, "secret",
            json_string(fs_enroll_hex(question->secret, sizeof(question->secret), secret)));
    }
    return dump(object);
}

int fs_enroll_question_decode(const char *text, size_t length,
                              struct fs_enroll_question *ret_question, struct fs_error *err)
{
    struct fs_enroll_question question = {0};
    json_t *object = load(text, length);
    const json_t *secret = json_object_get(object, "secret");

    question.invited = secret != NULL;
    bool ok = fs_enroll_name(json_object_get(object, "site"), question.site) &&
              fs_enroll_pem(json_object_get(object, "request"), question.request,
                            sizeof(question.request)) &&
              (!secret || fs_enroll_unhex(secret, question.secret, sizeof(question.secret)));
    json_decref(object);
    if (!ok) {
        return garbage(err, "question");
    }
    *ret_question = question;
    return 0;
}

/* --- the answer ------------------------------------------------------------------------------ */

static json_t *policy_json(const struct fs_enroll_policy *policy)
{
    json_t *pools = json_array();

    for (size_t i = 0; i < policy->n_pools; i++) {
        json_array_append_new(pools, json_pack("{s:s, s:s}", "source", policy->pools[i].source,
                                               "target", policy->pools[i].target));
    }
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:o}", "name", policy->name, "interval",
                     (int)policy->interval_s, "latest", (int)policy->latest, "hourly",
                     (int)policy->hourly, "daily", (int)policy->daily, "weekly",
                     (int)policy->weekly, "pools", pools);
}

char *fs_enroll_answer_encode(const struct fs_enroll_answer *answer)
{
    if (answer->refusal[0]) {
        return dump(json_pack("{s:i, s:s}", "format", FORMAT, "refusal", answer->refusal));
    }
    json_t *policies = json_array();
    for (size_t i = 0; i < answer->n_policies; i++) {
        json_array_append_new(policies, policy_json(&answer->policies[i]));
    }
    return dump(json_pack("{s:i, s:s, s:s, s:s, s:o}", "format", FORMAT, "site", answer->site,
                          "cert", answer->cert, "ca", answer->ca, "policies", policies));
}

static bool get_count(const json_t *object, const char *key, unsigned most, unsigned *ret_value)
{
    const json_t *value = json_object_get(object, key);
    json_int_t number = json_integer_value(value);

    *ret_value = (unsigned)number;
    return json_is_integer(value) && number >= 0 && number <= (json_int_t)most;
}

static bool read_policy(const json_t *object, struct fs_enroll_policy *policy)
{
    const json_t *pools = json_object_get(object, "pools");
    size_t i;
    json_t *map;
    bool ok = fs_enroll_name(json_object_get(object, "name"), policy->name) &&
              get_count(object, "interval", 31 * 86400, &policy->interval_s) &&
              get_count(object, "latest", 10000, &policy->latest) &&
              get_count(object, "hourly", 10000, &policy->hourly) &&
              get_count(object, "daily", 10000, &policy->daily) &&
              get_count(object, "weekly", 10000, &policy->weekly) &&
              json_array_size(pools) <= FS_ENROLL_POOLS_MAX;

    json_array_foreach(pools, i, map)
    {
        ok = ok &&
             fs_enroll_text(json_object_get(map, "source"), policy->pools[i].source,
                            sizeof(policy->pools[i].source)) &&
             fs_enroll_text(json_object_get(map, "target"), policy->pools[i].target,
                            sizeof(policy->pools[i].target)) &&
             policy->pools[i].source[0] && policy->pools[i].target[0];
        policy->n_pools += ok;
    }
    return ok;
}

static bool read_policies(const json_t *array, struct fs_enroll_answer *answer)
{
    size_t i, count = json_array_size(array);
    json_t *item;
    bool ok = json_is_array(array) && count <= FS_ENROLL_POLICIES_MAX;

    answer->policies = ok && count > 0 ? calloc(count, sizeof(*answer->policies)) : NULL;
    if (!ok || (count > 0 && !answer->policies)) {
        return false;
    }
    json_array_foreach(array, i, item)
    {
        ok = ok && read_policy(item, &answer->policies[answer->n_policies++]);
    }
    return ok;
}

void fs_enroll_answer_fini(struct fs_enroll_answer *answer)
{
    free(answer->policies);
    answer->policies = NULL;
    answer->n_policies = 0;
}

int fs_enroll_answer_decode(const char *text, size_t length, struct fs_enroll_answer *ret_answer,
                            struct fs_error *err)
{
    json_t *object = load(text, length);
    const json_t *refusal = json_object_get(object, "refusal");
    bool ok;

    *ret_answer = (struct fs_enroll_answer){0};
    if (refusal) {
        ok = fs_enroll_text(refusal, ret_answer->refusal, sizeof(ret_answer->refusal)) &&
             ret_answer->refusal[0];
    } else {
        ok = fs_enroll_name(json_object_get(object, "site"), ret_answer->site) &&
             fs_enroll_pem(json_object_get(object, "cert"), ret_answer->cert,
                           sizeof(ret_answer->cert)) &&
             fs_enroll_pem(json_object_get(object, "ca"), ret_answer->ca, sizeof(ret_answer->ca)) &&
             read_policies(json_object_get(object, "policies"), ret_answer);
    }
    json_decref(object);
    if (!ok) {
        fs_enroll_answer_fini(ret_answer);
        return garbage(err, "answer");
    }
    return 0;
}
