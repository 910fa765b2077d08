/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image that carries its own stamp belongs to the group that the stamp names, whatever its
 * labels say by now; the others belong to the group whose name their labels make, POOL[/NS]/VALUE
 * of the group_by label or POOL[/NS]/IMAGE. A stamped group is called what most of its images'
 * labels say (of equals the first in order), and an unstamped image joins it by that name. So a
 * relabelled group is renamed, and one relabelled image stays where its points are.
 *
 * Where a PVC of Kubernetes names an image, the PVC's labels count and not the image's metadata,
 * and the group is NAMESPACE/VALUE, NAMESPACE/VM or NAMESPACE/PVC. A PVC without the labels takes
 * its image out of protection, whatever travelled to it as metadata.
 *
 * A policy's pools are a map, from the primary's to the secondary's. In a pool that is only on the
 * right of it live the replicas, and, after a failover, the volumes of groups that were promoted
 * here: there an image counts when its stamp says so, and an unstamped one when it joins such a
 * group.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/grouping_private.h"

struct fs_grouping *fs_grouping_new(const struct fs_discovery_policy *policies, size_t n_policies,
                                    const struct fs_claims *claims)
{
    struct fs_grouping *grouping = calloc(1, sizeof(*grouping));

    if (grouping == NULL) {
        return NULL;
    }
    grouping->policies = policies;
    grouping->n_policies = n_policies;
    if (claims != NULL) {
        grouping->claims_only = claims->only;
        if (fs_claimed_init(&grouping->claimed, claims) < 0) {
            fs_grouping_free(grouping);
            return NULL;
        }
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
    fs_claimed_fini(&grouping->claimed);
    fs_discovery_fini(&grouping->found);
    free(grouping);
}

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
    const struct fs_member *a = left;
    const struct fs_member *b = right;
    int order = fs_uuid_is_zero(&a->stamped) - fs_uuid_is_zero(&b->stamped);

    if (order == 0) {
        order = fs_uuid_compare(&a->stamped, &b->stamped);
    }
    if (order == 0) {
        order = strcmp(a->name, b->name);
    }
    if (order == 0) {
        order = a->claimed - b->claimed;
    }
    return order != 0 ? order : compare_refs(&a->volume.image, &b->volume.image);
}

struct building {
    struct fs_found_group found;
    const struct fs_member *first; /* gave it name and policy */
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
    if (order == 0) {
        order = strcmp(a->pvc_namespace, b->pvc_namespace);
    }
    if (order == 0) {
        order = strcmp(a->pvc, b->pvc);
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
        fs_grouping_clean(group->problem);
    }
}

/* They have one name, for different reasons: nobody said that they belong together. */
static bool is_mistaken(const struct fs_member *a, const struct fs_member *b)
{
    return a->origin != b->origin && a->origin != FS_ORIGIN_TRAVELLED &&
           b->origin != FS_ORIGIN_TRAVELLED && strcmp(a->name, b->name) == 0;
}

/* Moves the member's volume into the group. */
static int join(struct building *building, struct fs_member *member)
{
    struct fs_found_group *group = &building->found;
    const struct fs_member *first = building->first;
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
    if (is_mistaken(member, first)) {
        set_problem(group,
                    "image %.100s has the name that is the others' group label: rename it, or "
                    "label it too",
                    (member->origin == FS_ORIGIN_LABEL ? first : member)->volume.image.name);
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
static const struct fs_member *find_first(const struct fs_member *members, size_t n)
{
    const struct fs_member *best = members;
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
static int make_group(struct fs_grouping *grouping, struct fs_member *members, size_t n,
                      struct building *building)
{
    const struct fs_member *first = find_first(members, n);

    *building = (struct building){.first = first, .found = {.group = first->stamped}};
    snprintf(building->found.name, FS_NAME_SIZE, "%s", first->name);
    snprintf(building->found.policy, FS_NAME_SIZE, "%s", first->policy->name);
    for (size_t i = 0; i < n; i++) {
        int rc = 0;

        if (strcmp(members[i].name, first->name) != 0) {
            rc = fs_grouping_skip(
                grouping, &members[i].volume.image, members[i].policy->name,
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

static bool belong_together(const struct fs_member *a, const struct fs_member *b)
{
    if (fs_uuid_is_zero(&a->stamped) && fs_uuid_is_zero(&b->stamped)) {
        return strcmp(a->name, b->name) == 0 && a->claimed == b->claimed &&
               (a->claimed || (a->volume.image.pool_id == b->volume.image.pool_id &&
                               strcmp(a->volume.image.ns, b->volume.image.ns) == 0));
    }
    return fs_uuid_equal(&a->stamped, &b->stamped);
}

/* n unstamped members of one name join the stamped group that is called so, or make a group. */
static int place_unstamped(struct fs_grouping *grouping, struct building *groups, size_t n_stamped,
                           size_t *n_groups, struct fs_member *members, size_t n)
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
            rc = fs_grouping_skip(
                grouping, &members[i].volume.image, members[i].policy->name,
                "two groups are called %.150s: give their images different labels", members->name);
        } else {
            rc = join(group, &members[i]);
        }
    }
    return rc;
}

static int make_groups(struct fs_grouping *grouping, struct building *groups, size_t *n_groups)
{
    struct fs_member *members = grouping->members;
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
    if (rc == 0) {
        rc = fs_grouping_skip_unseen(grouping);
    }
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
