/* SPDX-License-Identifier: Apache-2.0 */
/* One image, or one claim: is it selected, by which policy, and what would its group be called? */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/grouping_private.h"
#include "snapshot/stamp.h"

#define CSI "csi.storage.k8s.io/"

/* An image that is looked at, and whose labels count. */
struct subject {
    const struct fs_grouping_image *image;
    const struct fs_claimed_image *claim; /* NULL: its metadata */
};

static const char *label_of(void *arg, const char *key)
{
    const struct subject *subject = arg;

    return subject->claim != NULL ? json_string_value(json_object_get(subject->claim->labels, key))
                                  : fs_omap_get(subject->image->meta, key);
}

enum side { SIDE_NONE = 0, SIDE_RIGHT, SIDE_LEFT };

/* On which side of the policy's map a place is; the left one where it is on both. */
static enum side side_of(const struct fs_discovery_policy *policy, const char *pool, const char *ns)
{
    enum side side = SIDE_NONE;

    for (size_t i = 0; i < policy->n_pools; i++) {
        const struct fs_pool_map *map = &policy->pools[i];

        if (strcmp(map->source_pool, pool) == 0 && strcmp(map->source_ns, ns) == 0) {
            return SIDE_LEFT;
        }
        if (strcmp(map->target_pool, pool) == 0 && strcmp(map->target_ns, ns) == 0) {
            side = SIDE_RIGHT;
        }
    }
    return side;
}

/* The next policy from *at on that selects the image, or NULL. */
static const struct fs_discovery_policy *next_policy(const struct fs_grouping *grouping,
                                                     const struct subject *subject, size_t *at,
                                                     enum side *ret_side)
{
    const struct fs_grouping_image *image = subject->image;
    bool readable = image->meta_rc == 0 || subject->claim != NULL;

    while (*at < grouping->n_policies) {
        const struct fs_discovery_policy *policy = &grouping->policies[(*at)++];

        *ret_side = side_of(policy, image->pool, image->ns);
        /* Of an image that cannot be read nobody knows whether it is selected: say it once. */
        if (*ret_side != SIDE_NONE &&
            ((!readable && *ret_side == SIDE_LEFT) ||
             (readable && fs_selector_matches(policy->selector, label_of, (void *)subject)))) {
            return policy;
        }
    }
    return NULL;
}

/* What the wire takes for a name: UTF-8 without control characters. */
static bool is_text(const char *text)
{
    json_t *string = json_string(text);
    bool valid = string != NULL;

    json_decref(string);
    for (const char *at = text; valid && *at != '\0'; at++) {
        const unsigned char *byte = (const unsigned char *)at;

        valid = byte[0] >= 0x20 && byte[0] != 0x7f && !(byte[0] == 0xc2 && byte[1] < 0xa0);
    }
    return valid;
}

void fs_grouping_clean(char *text)
{
    if (!is_text(text)) {
        for (; *text != '\0'; text++) {
            if ((unsigned char)*text >= 0x7f || (unsigned char)*text < 0x20) {
                *text = '?';
            }
        }
    }
}

static void set_ref(const struct fs_grouping_image *image, struct fs_image_ref *ret_ref)
{
    *ret_ref = (struct fs_image_ref){.pool_id = image->pool_id};
    snprintf(ret_ref->pool, sizeof(ret_ref->pool), "%s", image->pool);
    snprintf(ret_ref->ns, sizeof(ret_ref->ns), "%s", image->ns);
    snprintf(ret_ref->image_id, sizeof(ret_ref->image_id), "%s", image->id);
    snprintf(ret_ref->name, sizeof(ret_ref->name), "%s", image->name);
}

int fs_grouping_skip(struct fs_grouping *grouping, const struct fs_image_ref *image,
                     const char *policy, const char *format, ...)
{
    struct fs_discovery *found = &grouping->found;
    struct fs_skipped_volume *skipped;
    va_list args;

    if (found->n_skipped == grouping->room_skipped) {
        size_t room = grouping->room_skipped * 2 + 16;
        struct fs_skipped_volume *more = realloc(found->skipped, room * sizeof(*more));

        if (more == NULL) {
            return -ENOMEM;
        }
        found->skipped = more;
        grouping->room_skipped = room;
    }
    skipped = &found->skipped[found->n_skipped++];
    *skipped = (struct fs_skipped_volume){.image = *image};
    fs_grouping_clean(skipped->image.name);
    snprintf(skipped->policy, sizeof(skipped->policy), "%s", policy);
    va_start(args, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is, when this is inlined too */
    vsnprintf(skipped->reason, sizeof(skipped->reason), format, args);
    va_end(args);
    fs_grouping_clean(skipped->reason);
    return 0;
}

/* Labels that mean something at the other site too. */
static bool travels(const char *key)
{
    static const char *const kept[] = {".rbd", "conf_", "csi."};

    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        if (strncmp(key, kept[i], strlen(kept[i])) == 0) {
            return false;
        }
    }
    return strcmp(key, FS_STAMP_KEY) != 0;
}

/* The labels of the metadata; *bad counts those that are no text and so cannot travel. */
static json_t *metadata_labels(const struct fs_omap *meta, size_t *bad)
{
    json_t *labels = json_object();

    for (size_t i = 0; labels != NULL && i < meta->count; i++) {
        const struct fs_omap_pair *pair = &meta->pairs[i];

        if (!travels(pair->key)) {
            continue;
        }
        /* Neither text that is not UTF-8 nor a NUL in it can travel. */
        if (!is_text(pair->key) || strlen(pair->value) != pair->length ||
            json_object_set_new(labels, pair->key, json_string(pair->value)) < 0) {
            (*bad)++;
        }
    }
    return labels;
}

static json_t *claim_labels(const struct fs_claimed_image *claim, const struct fs_member *member)
{
    json_t *labels = json_copy(claim->labels);

    if (json_object_set_new(labels, FS_LABEL_GROUP, json_string(member->name)) < 0 ||
        (claim->claim->vm != NULL &&
         json_object_set_new(labels, FS_LABEL_VM, json_string(claim->claim->vm)) < 0)) {
        json_decref(labels);
        return NULL;
    }
    return labels;
}

static int set_labels(const struct subject *subject, struct fs_member *member)
{
    size_t bad = 0;
    json_t *labels = subject->claim != NULL ? claim_labels(subject->claim, member)
                                            : metadata_labels(subject->image->meta, &bad);

    if (labels == NULL) {
        return -ENOMEM;
    }
    if (json_object_size(labels) > 0) {
        member->volume.labels = json_dumps(labels, JSON_COMPACT | JSON_SORT_KEYS);
        if (member->volume.labels == NULL) {
            json_decref(labels);
            return -ENOMEM;
        }
    }
    json_decref(labels);
    if (member->volume.labels != NULL && strlen(member->volume.labels) > FS_GROUPING_LABELS_MAX) {
        snprintf(member->problem, sizeof(member->problem),
                 "the %s of image %.100s %s longer than %d bytes: remove some",
                 subject->claim != NULL ? "labels" : "metadata", member->volume.image.name,
                 subject->claim != NULL ? "are" : "is", FS_GROUPING_LABELS_MAX);
        free(member->volume.labels);
        member->volume.labels = NULL;
    } else if (bad > 0) {
        snprintf(member->problem, sizeof(member->problem),
                 "%zu metadata values of image %.100s are not UTF-8 text: remove or correct them",
                 bad, member->volume.image.name);
    }
    return 0;
}

static void set_text(const char *text, char ret_text[FS_NAME_SIZE])
{
    if (text != NULL && strlen(text) < FS_NAME_SIZE && is_text(text)) {
        snprintf(ret_text, FS_NAME_SIZE, "%s", text);
    }
}

static void set_pvc(const struct subject *subject, struct fs_volume *volume)
{
    const struct fs_omap *meta = subject->image->meta;
    const struct fs_claim *claim = subject->claim != NULL ? subject->claim->claim : NULL;

    set_text(claim != NULL ? claim->name : fs_omap_get(meta, CSI "pvc/name"), volume->pvc);
    set_text(claim != NULL ? claim->ns : fs_omap_get(meta, CSI "pvc/namespace"),
             volume->pvc_namespace);
    set_text(claim != NULL ? claim->vm : fs_omap_get(meta, FS_LABEL_VM), volume->vm);
}

static void set_claim_name(const struct fs_claimed_image *image, struct fs_member *member,
                           const char **ret_place, const char **ret_value)
{
    const struct fs_claim *claim = image->claim;
    const char *group_by = member->policy->group_by;
    const char *value =
        group_by != NULL ? json_string_value(json_object_get(image->group_labels, group_by)) : NULL;
    bool by_label = value != NULL && *value != '\0';

    member->claimed = true;
    member->origin = by_label ? FS_ORIGIN_LABEL : claim->app != NULL ? FS_ORIGIN_VM : FS_ORIGIN_OWN;
    *ret_place = claim->ns;
    *ret_value = by_label ? value : claim->app != NULL ? claim->app : claim->name;
}

static void set_image_name(const struct fs_grouping_image *image, struct fs_member *member,
                           const char **ret_value)
{
    const char *group_by = member->policy->group_by;
    const char *value = group_by != NULL ? fs_omap_get(image->meta, group_by) : NULL;
    bool by_label = value != NULL && *value != '\0';

    member->origin = by_label ? FS_ORIGIN_LABEL : FS_ORIGIN_OWN;
    *ret_value = by_label ? value : image->name;
}

/* The name that travelled along; NULL: none. A label's value of Kubernetes has no slash. */
static const char *given_name(const struct subject *subject, const struct fs_member *member)
{
    const char *given = label_of((void *)subject, FS_LABEL_GROUP);

    return given != NULL && strchr(given, '/') != NULL &&
                   (subject->claim != NULL || !fs_uuid_is_zero(&member->stamped))
               ? given
               : NULL;
}

/* False: it would be too long, or no text. */
static bool set_name(const struct subject *subject, struct fs_member *member)
{
    const struct fs_grouping_image *image = subject->image;
    const char *given = given_name(subject, member);
    const char *place = image->pool, *ns = image->ns, *value = "";

    if (subject->claim != NULL) {
        ns = "";
        set_claim_name(subject->claim, member, &place, &value);
    } else {
        set_image_name(image, member, &value);
    }
    if (given != NULL) {
        member->origin = FS_ORIGIN_TRAVELLED;
    }
    int length = given != NULL ? snprintf(member->name, sizeof(member->name), "%s", given)
                               : snprintf(member->name, sizeof(member->name), "%s%s%s/%s", place,
                                          *ns != '\0' ? "/" : "", ns, value);
    return length < (int)sizeof(member->name) && is_text(member->name);
}

/* Why the image cannot be protected whatever its stamp says; "" where it can. */
static void judge(const struct fs_grouping_image *image, char ret_why[160])
{
    char reason[64];

    ret_why[0] = '\0';
    if (image->meta_rc == -EFBIG) {
        snprintf(ret_why, 160, "it has too much metadata: remove some");
    } else if (image->meta_rc < 0) {
        snprintf(ret_why, 160, "its header cannot be read: %s",
                 strerror_r(-image->meta_rc, reason, sizeof(reason)));
    } else if (*image->id == '\0') {
        snprintf(ret_why, 160,
                 "it is a format 1 image, which has no features: copy it to a format 2 image");
    } else if (strlen(image->id) >= FS_IMAGE_ID_SIZE) {
        snprintf(ret_why, 160, "its internal id is longer than %d bytes", FS_IMAGE_ID_SIZE - 1);
    } else if (strlen(image->name) >= FS_IMAGE_NAME_SIZE) {
        snprintf(ret_why, 160, "its name is longer than %d bytes: rename it",
                 FS_IMAGE_NAME_SIZE - 1);
    } else if (!is_text(image->name)) {
        snprintf(ret_why, 160, "its name is not UTF-8 text without control characters: rename it");
    }
}

static struct fs_member *new_member(struct fs_grouping *grouping)
{
    if (grouping->n_members == grouping->room) {
        size_t room = grouping->room * 2 + 64;
        struct fs_member *more = realloc(grouping->members, room * sizeof(*more));

        if (more == NULL) {
            return NULL;
        }
        grouping->members = more;
        grouping->room = room;
    }
    return &grouping->members[grouping->n_members];
}

/* Two policies select it. */
static void check_policies(const struct fs_grouping *grouping, const struct subject *subject,
                           size_t at, struct fs_member *member)
{
    enum side other;
    const struct fs_discovery_policy *policy = next_policy(grouping, subject, &at, &other);

    if (policy != NULL) {
        snprintf(member->problem, sizeof(member->problem),
                 "image %.56s is matched by two policies, %.56s and %.56s: change its labels or "
                 "their selectors",
                 subject->image->name, member->policy->name, policy->name);
    }
}

/* stamp: its own, or all zero. */
static int add_member(struct fs_grouping *grouping, const struct subject *subject,
                      const struct fs_member *like, size_t at)
{
    struct fs_member *member = new_member(grouping);
    char beside[FS_NAME_SIZE];
    int rc;

    if (member == NULL) {
        return -ENOMEM;
    }
    *member = *like;
    set_pvc(subject, &member->volume);
    if (!set_name(subject, member) ||
        (member->beside && fs_group_name_beside(member->name, &member->volume, beside) < 0)) {
        return fs_grouping_skip(
            grouping, &member->volume.image, member->policy->name,
            "the name of its group would be longer than %d bytes or not UTF-8 text: change "
            "its label %.64s",
            FS_NAME_SIZE - 1, member->policy->group_by != NULL ? member->policy->group_by : "");
    }
    rc = set_labels(subject, member); /* with the name of the group that it joins */
    if (rc < 0) {
        return rc;
    }
    if (member->beside) {
        memcpy(member->name, beside, sizeof(beside));
    }
    check_policies(grouping, subject, at, member);
    grouping->n_members++;
    return 0;
}

/* Whether its labels may count at all. stamp_rc: what fs_stamp_parse said. */
static bool counts(const struct fs_grouping *grouping, const struct subject *subject, bool known,
                   int stamp_rc)
{
    return subject->claim != NULL || !grouping->claims_only || (!known && stamp_rc != -ENOENT);
}

static int add_image(struct fs_grouping *grouping, const struct fs_grouping_image *image,
                     struct fs_claimed_image *claim)
{
    const struct subject subject = {.image = image,
                                    .claim = claim != NULL && claim->labels != NULL ? claim : NULL};
    size_t at = 0;
    enum side side;
    const struct fs_discovery_policy *policy = next_policy(grouping, &subject, &at, &side);
    const char *text = fs_omap_get(image->meta, FS_STAMP_KEY);
    struct fs_error err = FS_ERROR_INIT;
    struct fs_stamp stamp = {0};
    struct fs_image_ref ref;
    char why[160];
    int rc = text != NULL ? fs_stamp_parse(text, strlen(text), image->id, &stamp, &err) : -ENOENT;

    if (policy == NULL || strncmp(image->name, FS_DRILL_PREFIX, strlen(FS_DRILL_PREFIX)) == 0 ||
        !counts(grouping, &subject, claim != NULL, rc)) {
        return 0;
    }
    set_ref(image, &ref);
    judge(image, why);
    if (why[0] != '\0') {
        return fs_grouping_skip(grouping, &ref, policy->name, "%s", why);
    }
    if (rc < 0 && rc != -ENOENT) {
        return fs_grouping_skip(grouping, &ref, policy->name, "%.255s", err.message);
    }
    if (rc == 0 && stamp.role != FS_ROLE_PRIMARY) {
        return 0;
    }
    const struct fs_member member = {
        .policy = policy,
        .volume = {.image = ref, .uuid = stamp.volume},
        .stamped = stamp.group,
        .joins = side == SIDE_RIGHT && fs_uuid_is_zero(&stamp.group),
        .beside = !fs_uuid_is_zero(&stamp.joins),
    };
    return add_member(grouping, &subject, &member, at);
}

/* The newest skipped ones are about this claim. */
static void name_skipped(struct fs_grouping *grouping, size_t from, const struct fs_claim *claim)
{
    for (size_t i = from; i < grouping->found.n_skipped; i++) {
        set_text(claim->ns, grouping->found.skipped[i].pvc_namespace);
        set_text(claim->name, grouping->found.skipped[i].pvc);
    }
}

int fs_grouping_add(struct fs_grouping *grouping, const struct fs_grouping_image *image)
{
    struct fs_claimed_image *claim =
        fs_claimed_find(&grouping->claimed, image->pool, image->ns, image->name);
    size_t n_skipped = grouping->found.n_skipped;
    int rc = add_image(grouping, image, claim);

    if (claim != NULL) {
        claim->seen = true;
        name_skipped(grouping, n_skipped, claim->claim);
    }
    return rc;
}

/* --- claims without an image ----------------------------------------------------------------- */

static int skip_claim(struct fs_grouping *grouping, const struct fs_claimed_image *image,
                      const struct fs_discovery_policy *policy)
{
    const struct fs_claim *claim = image->claim;
    const struct fs_grouping_image place = {
        .pool_id = -1, .pool = claim->pool, .ns = claim->rados_ns, .id = "", .name = claim->image};
    const char *slash = *claim->rados_ns != '\0' ? "/" : "";
    struct fs_image_ref ref;

    set_ref(&place, &ref);
    if (claim->problem != NULL) {
        return fs_grouping_skip(grouping, &ref, policy->name, "%s", claim->problem);
    }
    if (side_of(policy, claim->pool, claim->rados_ns) == SIDE_NONE) {
        return fs_grouping_skip(
            grouping, &ref, policy->name,
            "its image is in pool %.64s%s%.64s, which is not among the policy's pools: add "
            "it there",
            claim->pool, slash, claim->rados_ns);
    }
    return fs_grouping_skip(grouping, &ref, policy->name,
                            "its image %.64s%s%.64s/%.100s is not there", claim->pool, slash,
                            claim->rados_ns, claim->image);
}

int fs_grouping_skip_unseen(struct fs_grouping *grouping)
{
    for (size_t i = 0; i < grouping->claimed.count; i++) {
        const struct fs_claimed_image *claim = &grouping->claimed.images[i];
        const struct subject subject = {.claim = claim};
        size_t n_skipped = grouping->found.n_skipped;
        int rc = 0;

        if (claim->seen || claim->labels == NULL) {
            continue;
        }
        for (size_t k = 0; k < grouping->n_policies && grouping->found.n_skipped == n_skipped;
             k++) {
            const struct fs_discovery_policy *policy = &grouping->policies[k];

            if (fs_selector_matches(policy->selector, label_of, (void *)&subject)) {
                rc = skip_claim(grouping, claim, policy);
            }
            if (rc < 0) {
                return rc;
            }
        }
        name_skipped(grouping, n_skipped, claim->claim);
    }
    return 0;
}

int fs_grouping_add_missing(struct fs_grouping *grouping, const char *pool, const char *ns)
{
    for (size_t i = 0; i < grouping->n_policies; i++) {
        const struct fs_grouping_image image = {
            .pool_id = -1, .pool = pool, .ns = ns, .id = "", .name = ""};
        struct fs_image_ref ref;
        int rc;

        if (side_of(&grouping->policies[i], pool, ns) != SIDE_LEFT) {
            continue;
        }
        set_ref(&image, &ref);
        rc = fs_grouping_skip(
            grouping, &ref, grouping->policies[i].name,
            "there is no %s %.64s%s%.64s: create it, or take it out of the policy's pools",
            *ns != '\0' ? "RADOS namespace" : "pool", pool, *ns != '\0' ? "/" : "", ns);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}
