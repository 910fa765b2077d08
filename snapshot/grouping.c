/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image that carries its own stamp belongs to the group that the stamp names, whatever its
 * labels say by now; the others belong to the group whose name their labels make, POOL[/NS]/VALUE
 * of the group_by label or POOL[/NS]/IMAGE. A stamped group is called what most of its images'
 * labels say (of equals the first in order), and an unstamped image joins it by that name. So a
 * relabelled group is renamed, and one relabelled image stays where its points are.
 *
 * A policy's pools are a map, from the primary's to the secondary's. In a pool that is only on the
 * right of it live the replicas, and, after a failover, the volumes of groups that were promoted
 * here: there an image counts when its stamp says so, and an unstamped one when it joins such a
 * group.
 */
#include "snapshot/grouping.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/stamp.h"

#define CSI "csi.storage.k8s.io/"

struct member {
    struct fs_volume volume;
    char name[FS_NAME_SIZE]; /* of the group, by the labels */
    bool by_label;           /* the name has the value of a label, not the image's name */
    const struct fs_discovery_policy *policy;
    struct fs_uuid stamped; /* the group's; zero: not stamped */
    bool joins;             /* it may join a stamped group, and makes none */
    char problem[256];
};

struct fs_grouping {
    const struct fs_discovery_policy *policies;
    size_t n_policies;
    struct member *members; /* owned */
    size_t n_members;
    size_t room;
    struct fs_discovery found; /* skipped ones as they come; groups at the end */
    size_t room_skipped;
};

/* --- one image ------------------------------------------------------------------------------- */

static const char *label_of(void *arg, const char *key)
{
    return fs_omap_get(arg, key);
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
                                                     const struct fs_grouping_image *image,
                                                     size_t *at, enum side *ret_side)
{
    while (*at < grouping->n_policies) {
        const struct fs_discovery_policy *policy = &grouping->policies[(*at)++];

        *ret_side = side_of(policy, image->pool, image->ns);
        /* Of an image that cannot be read nobody knows whether it is selected: say it once. */
        if (*ret_side != SIDE_NONE &&
            ((image->meta_rc < 0 && *ret_side == SIDE_LEFT) ||
             (image->meta_rc == 0 &&
              fs_selector_matches(policy->selector, label_of, (void *)image->meta)))) {
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

/* What people read must be text, also where it was cut or never was. */
static void clean(char *text)
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

static int skip(struct fs_grouping *grouping, const struct fs_image_ref *image, const char *policy,
                const char *format, ...) __attribute__((format(printf, 4, 5)));

static int skip(struct fs_grouping *grouping, const struct fs_image_ref *image, const char *policy,
                const char *format, ...)
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
    clean(skipped->image.name);
    snprintf(skipped->policy, sizeof(skipped->policy), "%s", policy);
    va_start(args, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is, when this is inlined too */
    vsnprintf(skipped->reason, sizeof(skipped->reason), format, args);
    va_end(args);
    clean(skipped->reason);
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

static int set_labels(const struct fs_omap *meta, struct member *member)
{
    json_t *labels = json_object();
    size_t bad = 0;

    for (size_t i = 0; labels != NULL && i < meta->count; i++) {
        const struct fs_omap_pair *pair = &meta->pairs[i];

        if (!travels(pair->key)) {
            continue;
        }
        /* Neither text that is not UTF-8 nor a NUL in it can travel. */
        if (!is_text(pair->key) || strlen(pair->value) != pair->length ||
            json_object_set_new(labels, pair->key, json_string(pair->value)) < 0) {
            bad++;
        }
    }
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
                 "the metadata of image %.100s is longer than %d bytes: remove some of it",
                 member->volume.image.name, FS_GROUPING_LABELS_MAX);
        free(member->volume.labels);
        member->volume.labels = NULL;
    } else if (bad > 0) {
        snprintf(member->problem, sizeof(member->problem),
                 "%zu metadata values of image %.100s are not UTF-8 text: remove or correct them",
                 bad, member->volume.image.name);
    }
    return 0;
}

static void set_pvc(const struct fs_omap *meta, const char *key, char *ret_text)
{
    const char *text = fs_omap_get(meta, key);

    if (text != NULL && strlen(text) < FS_NAME_SIZE && is_text(text)) {
        snprintf(ret_text, FS_NAME_SIZE, "%s", text);
    }
}

static bool set_name(const struct fs_grouping_image *image, struct member *member)
{
    const char *group_by = member->policy->group_by;
    const char *value = group_by != NULL ? fs_omap_get(image->meta, group_by) : NULL;

    member->by_label = value != NULL && *value != '\0';
    return snprintf(member->name, sizeof(member->name), "%s%s%s/%s", image->pool,
                    *image->ns != '\0' ? "/" : "", image->ns,
                    member->by_label ? value : image->name) < (int)sizeof(member->name) &&
           is_text(member->name);
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

static struct member *new_member(struct fs_grouping *grouping)
{
    if (grouping->n_members == grouping->room) {
        size_t room = grouping->room * 2 + 64;
        struct member *more = realloc(grouping->members, room * sizeof(*more));

        if (more == NULL) {
            return NULL;
        }
        grouping->members = more;
        grouping->room = room;
    }
    return &grouping->members[grouping->n_members];
}

int fs_grouping_add(struct fs_grouping *grouping, const struct fs_grouping_image *image)
{
    size_t at = 0;
    enum side side, other;
    const struct fs_discovery_policy *policy = next_policy(grouping, image, &at, &side);
    const char *text = fs_omap_get(image->meta, FS_STAMP_KEY);
    struct fs_error err = FS_ERROR_INIT;
    struct fs_stamp stamp = {0};
    struct fs_image_ref ref;
    struct member *member;
    char why[160];
    int rc = -ENOENT;

    if (policy == NULL || strncmp(image->name, FS_DRILL_PREFIX, strlen(FS_DRILL_PREFIX)) == 0) {
        return 0;
    }
    set_ref(image, &ref);
    judge(image, why);
    if (why[0] != '\0') {
        return skip(grouping, &ref, policy->name, "%s", why);
    }
    if (text != NULL) {
        rc = fs_stamp_parse(text, strlen(text), image->id, &stamp, &err);
    }
    if (rc < 0 && rc != -ENOENT) {
        return skip(grouping, &ref, policy->name, "%.255s", err.message);
    }
    if (rc == 0 && stamp.role != FS_ROLE_PRIMARY) {
        return 0;
    }
    member = new_member(grouping);
    if (member == NULL) {
        return -ENOMEM;
    }
    *member = (struct member){
        .policy = policy,
        .volume = {.image = ref, .uuid = stamp.volume},
        .stamped = stamp.group,
        .joins = side == SIDE_RIGHT && fs_uuid_is_zero(&stamp.group),
    };
    if (!set_name(image, member)) {
        return skip(grouping, &ref, policy->name,
                    "the name of its group would be longer than %d bytes or not UTF-8 text: change "
                    "its label %.64s",
                    FS_NAME_SIZE - 1, policy->group_by != NULL ? policy->group_by : "");
    }
    rc = set_labels(image->meta, member);
    if (rc < 0) {
        return rc;
    }
    set_pvc(image->meta, CSI "pvc/name", member->volume.pvc);
    set_pvc(image->meta, CSI "pvc/namespace", member->volume.pvc_namespace);
    grouping->n_members++;
    policy = next_policy(grouping, image, &at, &other);
    if (policy != NULL) {
        snprintf(member->problem, sizeof(member->problem),
                 "image %.56s is matched by two policies, %.56s and %.56s: change its labels or "
                 "their selectors",
                 image->name, member->policy->name, policy->name);
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
        rc = skip(grouping, &ref, grouping->policies[i].name,
                  "there is no %s %.64s%s%.64s: create it, or take it out of the policy's pools",
                  *ns != '\0' ? "RADOS namespace" : "pool", pool, *ns != '\0' ? "/" : "", ns);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

struct fs_grouping *fs_grouping_new(const struct fs_discovery_policy *policies, size_t n_policies)
{
    struct fs_grouping *grouping = calloc(1, sizeof(*grouping));

    if (grouping != NULL) {
        grouping->policies = policies;
        grouping->n_policies = n_policies;
    }
    return grouping;
}

void fs_grouping_free(struct fs_grouping *grouping)
{
    if (grouping == NULL) {
        return;
    }
    for (size_t i = 0; i < grouping->n_members; i++) {
        fs_volume_fini(&grouping->members[i].volume);
    }
    free(grouping->members);
    fs_discovery_fini(&grouping->found);
    free(grouping);
}

/* --- groups ---------------------------------------------------------------------------------- */

static int compare_refs(const struct fs_image_ref *a, const struct fs_image_ref *b)
{
    int order = a->pool_id < b->pool_id ? -1 : a->pool_id > b->pool_id;

    if (order == 0) {
        order = strcmp(a->ns, b->ns);
    }
    if (order == 0) {
        order = strcmp(a->image_id, b->image_id);
    }
    return order;
}

/* Stamped ones first, together by group, in it by name; then the others by name. */
static int by_group(const void *left, const void *right)
{
    const struct member *a = left;
    const struct member *b = right;
    int order = fs_uuid_is_zero(&a->stamped) - fs_uuid_is_zero(&b->stamped);

    if (order == 0) {
        order = fs_uuid_compare(&a->stamped, &b->stamped);
    }
    if (order == 0) {
        order = strcmp(a->name, b->name);
    }
    return order != 0 ? order : compare_refs(&a->volume.image, &b->volume.image);
}

struct building {
    struct fs_found_group found;
    const struct member *first; /* gave it name and policy */
};

static int by_name(const void *left, const void *right)
{
    const struct building *a = left;
    const struct building *b = right;
    int order = strcmp(a->found.name, b->found.name);

    return order != 0 ? order : fs_uuid_compare(&a->found.group, &b->found.group);
}

static int by_identity(const void *left, const void *right)
{
    const struct fs_volume *a = left;
    const struct fs_volume *b = right;

    return compare_refs(&a->image, &b->image);
}

static int skipped_by_identity(const void *left, const void *right)
{
    const struct fs_skipped_volume *a = left;
    const struct fs_skipped_volume *b = right;
    int order = compare_refs(&a->image, &b->image);

    if (order == 0) {
        order = strcmp(a->image.name, b->image.name);
    }
    return order != 0 ? order : strcmp(a->policy, b->policy);
}

/* The first problem stands. */
static void set_problem(struct fs_found_group *group, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void set_problem(struct fs_found_group *group, const char *format, ...)
{
    va_list args;

    if (group->problem[0] == '\0') {
        va_start(args, format);
        /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is, when this is inlined too */
        vsnprintf(group->problem, sizeof(group->problem), format, args);
        va_end(args);
        clean(group->problem);
    }
}

/* Moves the member's volume into the group. */
static int join(struct building *building, struct member *member)
{
    struct fs_found_group *group = &building->found;
    const struct member *first = building->first;
    struct fs_volume *more;

    if (member->problem[0] != '\0') {
        set_problem(group, "%s", member->problem);
    }
    if (strcmp(group->policy, member->policy->name) != 0) {
        set_problem(group,
                    "its images are matched by two policies, %.80s and %.80s: give them the same "
                    "labels",
                    group->policy, member->policy->name);
    }
    if (member->by_label != first->by_label && strcmp(member->name, first->name) == 0) {
        set_problem(group,
                    "image %.100s has the name that is the others' group label: rename it, or "
                    "label it too",
                    (member->by_label ? first : member)->volume.image.name);
    }
    if (group->n_volumes == FS_VOLUMES_MAX) {
        set_problem(group, "it has more than %d images: group them by another label",
                    FS_VOLUMES_MAX);
        return 0;
    }
    more = realloc(group->volumes, (group->n_volumes + 1) * sizeof(*more));
    if (more == NULL) {
        return -ENOMEM;
    }
    group->volumes = more;
    more[group->n_volumes++] = member->volume;
    member->volume.labels = NULL;
    return 0;
}

/* The first of those with the name that most of n members (in order of name) have. */
static const struct member *find_first(const struct member *members, size_t n)
{
    const struct member *best = members;
    size_t best_count = 0;

    for (size_t i = 0; i < n;) {
        size_t next = i;

        while (next < n && strcmp(members[next].name, members[i].name) == 0) {
            next++;
        }
        if (next - i > best_count) {
            best_count = next - i;
            best = &members[i];
        }
        i = next;
    }
    return best;
}

/* Makes a group of n members that belong together. */
static int make_group(struct fs_grouping *grouping, struct member *members, size_t n,
                      struct building *building)
{
    const struct member *first = find_first(members, n);

    *building = (struct building){.first = first, .found = {.group = first->stamped}};
    snprintf(building->found.name, FS_NAME_SIZE, "%s", first->name);
    snprintf(building->found.policy, FS_NAME_SIZE, "%s", first->policy->name);
    for (size_t i = 0; i < n; i++) {
        int rc = 0;

        if (strcmp(members[i].name, first->name) != 0) {
            rc = skip(grouping, &members[i].volume.image, members[i].policy->name,
                      "its labels say group %.80s, but its points are in group %.80s, where it "
                      "stays",
                      members[i].name, first->name);
        }
        if (rc == 0) {
            rc = join(building, &members[i]);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static bool belong_together(const struct member *a, const struct member *b)
{
    if (fs_uuid_is_zero(&a->stamped) && fs_uuid_is_zero(&b->stamped)) {
        return strcmp(a->name, b->name) == 0 &&
               a->volume.image.pool_id == b->volume.image.pool_id &&
               strcmp(a->volume.image.ns, b->volume.image.ns) == 0;
    }
    return fs_uuid_equal(&a->stamped, &b->stamped);
}

/* n unstamped members of one name join the stamped group that is called so, or make a group. */
static int place_unstamped(struct fs_grouping *grouping, struct building *groups, size_t n_stamped,
                           size_t *n_groups, struct member *members, size_t n)
{
    struct building wanted = {0};
    struct building *group;
    size_t low = 0;
    size_t high = n_stamped;
    int rc = 0;

    snprintf(wanted.found.name, FS_NAME_SIZE, "%s", members->name);
    /* A zero UUID sorts first, so this finds the place before all of that name. */
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (by_name(&groups[middle], &wanted) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    group = &groups[low];
    if (group >= groups + n_stamped || strcmp(group->found.name, members->name) != 0) {
        return members->joins ? 0 : make_group(grouping, members, n, &groups[(*n_groups)++]);
    }
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (group + 1 < groups + n_stamped && strcmp(group[1].found.name, members->name) == 0) {
            rc = skip(grouping, &members[i].volume.image, members[i].policy->name,
                      "two groups are called %.150s: give their images different labels",
                      members->name);
        } else {
            rc = join(group, &members[i]);
        }
    }
    return rc;
}

static int make_groups(struct fs_grouping *grouping, struct building *groups, size_t *n_groups)
{
    struct member *members = grouping->members;
    size_t n_stamped = SIZE_MAX;
    int rc = 0;

    for (size_t i = 0; i < grouping->n_members && rc == 0;) {
        size_t next = i + 1;

        while (next < grouping->n_members && belong_together(&members[i], &members[next])) {
            next++;
        }
        if (!fs_uuid_is_zero(&members[i].stamped)) {
            rc = make_group(grouping, &members[i], next - i, &groups[(*n_groups)++]);
        } else {
            if (n_stamped == SIZE_MAX) {
                n_stamped = *n_groups;
                qsort(groups, n_stamped, sizeof(*groups), by_name);
            }
            rc = place_unstamped(grouping, groups, n_stamped, n_groups, &members[i], next - i);
        }
        i = next;
    }
    return rc;
}

static void name_clashes(struct building *groups, size_t n)
{
    for (size_t i = 0; i + 1 < n; i++) {
        if (strcmp(groups[i].found.name, groups[i + 1].found.name) == 0) {
            for (size_t k = i; k < i + 2; k++) {
                set_problem(&groups[k].found,
                            "another group is called %.150s too: give their images different "
                            "labels",
                            groups[k].found.name);
            }
        }
    }
}

int fs_grouping_finish(struct fs_grouping *grouping, struct fs_discovery *ret_discovery)
{
    struct fs_discovery *found = &grouping->found;
    struct building *groups = calloc(grouping->n_members + 1, sizeof(*groups));
    size_t n_groups = 0;
    int rc;

    found->groups = calloc(grouping->n_members + 1, sizeof(*found->groups));
    if (groups == NULL || found->groups == NULL) {
        free(groups);
        return -ENOMEM;
    }
    if (grouping->n_members > 0) {
        qsort(grouping->members, grouping->n_members, sizeof(*grouping->members), by_group);
    }
    rc = make_groups(grouping, groups, &n_groups);
    if (n_groups > 0) {
        qsort(groups, n_groups, sizeof(*groups), by_name);
    }
    name_clashes(groups, n_groups);
    for (size_t i = 0; i < n_groups; i++) {
        found->groups[found->n_groups++] = groups[i].found;
        if (groups[i].found.n_volumes > 0) {
            qsort(groups[i].found.volumes, groups[i].found.n_volumes, sizeof(struct fs_volume),
                  by_identity);
        }
    }
    free(groups);
    if (rc < 0) {
        return rc;
    }
    if (found->n_skipped > 0) {
        qsort(found->skipped, found->n_skipped, sizeof(*found->skipped), skipped_by_identity);
    }
    *ret_discovery = *found;
    *found = (struct fs_discovery){0};
    return 0;
}
