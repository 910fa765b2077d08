/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/tool/show.h"

#include <string.h>

#include "daemon/tool/json.h"
#include "daemon/tool/text.h"

static void show_sending(const json_t *peer, FILE *out)
{
    json_int_t level = json_integer_value(json_object_get(peer, "compression_level"));
    json_int_t lanes = json_integer_value(json_object_get(peer, "lanes"));
    const char *window = string_of(peer, "bandwidth_window");
    if (lanes > 1) {
        fprintf(out, ", over %d connections", (int)lanes);
    }
    if (json_is_number(json_object_get(peer, "bandwidth_bytes_per_second"))) {
        fprintf(out, ", sent to at %.4g Mbit/s at most%s%s",
                number_of(peer, "bandwidth_bytes_per_second") * 8 / 1e6, *window ? ": " : "",
                window);
    }
    if (json_is_true(json_object_get(peer, "up")) && level != 0) {
        fprintf(out, ", compressed at level %d", (int)level);
    }
}

static void show_kubernetes(const json_t *kubernetes, FILE *out)
{
    char since[FS_TEXT_SIZE];

    if (kubernetes) {
        const char *reason = string_of(kubernetes, "reason");
        fprintf(out, "kubernetes: %s", string_of(kubernetes, "state"));
        if (*reason) {
            fprintf(out, " since %s (%s); protection goes on with the volumes that are known",
                    fs_text_moment(number_of(kubernetes, "since_timestamp"), since), reason);
        }
        fputc('\n', out);
    }
}

/* "pvc shop/data" where a claim names it, and the image where that is known. */
static void show_skipped(const json_t *skipped, FILE *out)
{
    const char *pvc = string_of(skipped, "pvc"), *image = string_of(skipped, "image");

    fputs("not protected: ", out);
    if (*pvc) {
        fprintf(out, "pvc %s/%s%s", string_of(skipped, "pvc_namespace"), pvc, *image ? ", " : "");
    }
    fprintf(out, "%s (policy %s): %s\n", image, string_of(skipped, "policy"),
            string_of(skipped, "reason"));
}

static void show_site(const json_t *document, FILE *out)
{
    const json_t *site = json_object_get(document, "site");
    fprintf(out, "site %s: cluster %s", string_of(site, "name"), string_of(site, "cluster"));
    if (*string_of(site, "cluster_reason")) {
        fprintf(out, " (%s)", string_of(site, "cluster_reason"));
    }
    if (strcmp(string_of(site, "lease"), "standby") == 0) {
        fprintf(out, ", standby: another daemon works for this site");
    }
    fputc('\n', out);
    show_kubernetes(json_object_get(site, "kubernetes"), out);

    size_t i;
    json_t *peer;
    json_array_foreach(json_object_get(document, "peers"), i, peer)
    {
        char rtt[FS_TEXT_SIZE];
        fprintf(out, "peer %s: ", string_of(peer, "name"));
        if (json_is_true(json_object_get(peer, "up"))) {
            fprintf(out, "up at %s", string_of(peer, "address"));
            if (json_is_number(json_object_get(peer, "rtt_seconds"))) {
                fprintf(out, ", round trip %s",
                        fs_text_duration(number_of(peer, "rtt_seconds"), rtt));
            }
            if (json_is_number(json_object_get(peer, "clock_offset_seconds"))) {
                fprintf(out, ", its clock %+.3f s", number_of(peer, "clock_offset_seconds"));
            }
        } else {
            fprintf(out, "down");
            if (*string_of(peer, "reason")) {
                fprintf(out, " (%s)", string_of(peer, "reason"));
            }
        }
        show_sending(peer, out);
        fputc('\n', out);
    }
}

static void put_progress(const json_t *sync, char *text, size_t size)
{
    const char *phase = string_of(sync, "phase");
    double total = number_of(sync, "total_bytes");
    if (strcmp(phase, "idle") == 0 || !*phase) {
        snprintf(text, size, "-");
        return;
    }
    int at = snprintf(text, size, "%s", phase);
    if (total > 0 && (strcmp(phase, "shipping") == 0 || strcmp(phase, "receiving") == 0)) {
        char rate[FS_TEXT_SIZE], eta[FS_TEXT_SIZE];
        at += snprintf(text + at, size - (size_t)at, " %.0f %%",
                       100.0 * number_of(sync, "done_bytes") / total);
        if (json_is_number(json_object_get(sync, "rate_bytes_per_second"))) {
            at += snprintf(text + at, size - (size_t)at, " %s/s",
                           fs_text_bytes((uint64_t)number_of(sync, "rate_bytes_per_second"), rate));
        }
        if (json_is_number(json_object_get(sync, "eta_seconds"))) {
            snprintf(text + at, size - (size_t)at, ", %s left",
                     fs_text_duration(number_of(sync, "eta_seconds"), eta));
        }
    }
}

void fs_show_progress(const json_t *sync, FILE *out)
{
    char text[160];
    put_progress(sync, text, sizeof(text));
    fputs(text, out);
}

static void show_group_row(struct fs_table *table, const json_t *group)
{
    char text[FS_TEXT_SIZE], progress[160];
    const json_t *point = json_object_get(group, "recovery_point");
    fs_table_cell(table, "%s", string_of(group, "name"));
    fs_table_cell(table, "%s", string_of(group, "role"));
    fs_table_cell(table, "%s", string_of(group, "state"));
    if (json_is_number(json_object_get(group, "rpo_lag_seconds"))) {
        fs_table_cell(table, "%s", fs_text_duration(number_of(group, "rpo_lag_seconds"), text));
    } else {
        fs_table_cell(table, "never");
    }
    fs_table_cell(table, "%s", fs_text_duration(number_of(group, "interval_seconds"), text));
    if (json_is_object(point)) {
        fs_table_cell(table, "%s", fs_text_moment(number_of(point, "taken_timestamp"), text));
    } else {
        fs_table_cell(table, "-");
    }
    put_progress(json_object_get(group, "sync"), progress, sizeof(progress));
    fs_table_cell(table, "%s", progress);
    fs_table_cell(table, "%s", string_of(group, "peer"));
}

/* Of the first volume that Kubernetes would delete, and of how many more. */
static void show_reclaim(const json_t *group, FILE *out)
{
    const json_t *first = NULL, *volume;
    size_t i, more = 0;

    json_array_foreach(json_object_get(group, "volumes"), i, volume)
    {
        const json_t *kubernetes = json_object_get(volume, "kubernetes");
        if (*string_of(kubernetes, "reason") && first) {
            more++;
        } else if (*string_of(kubernetes, "reason")) {
            first = kubernetes;
        }
    }
    if (first) {
        fprintf(out, "%s: %s; %s", string_of(group, "name"), string_of(first, "reason"),
                string_of(first, "hint"));
        if (more > 0) {
            fprintf(out, "; %zu more: `farshore doctor`", more);
        }
        fprintf(out, "\n");
    }
}

static void show_reason(const json_t *group, FILE *out)
{
    const char *reason = string_of(group, "reason"), *hint = string_of(group, "hint");
    const char *slow = string_of(group, "slow_reason");
    if (*reason) {
        fprintf(out, "%s: %s%s%s\n", string_of(group, "name"), reason, *hint ? "; " : "", hint);
    }
    if (*string_of(group, "joins")) {
        fprintf(out,
                "%s: a new disk of %s, copied beside the points of that; joins them once little is "
                "left to copy\n",
                string_of(group, "name"), string_of(group, "joins"));
    }
    size_t i;
    json_t *drill;
    json_array_foreach(json_object_get(group, "drills"), i, drill)
    {
        char age[FS_TEXT_SIZE];
        fprintf(out, "%s: a drill of %s is left, %s old%s; farshore drill --end %s\n",
                string_of(group, "name"), string_of(drill, "point"),
                fs_text_duration(number_of(drill, "age_seconds"), age),
                json_is_true(json_object_get(drill, "ready")) ? "" : " and unfinished",
                string_of(group, "name"));
    }
    json_t *fence;
    json_array_foreach(json_object_get(group, "fences"), i, fence)
    {
        char moment[FS_TEXT_SIZE];
        fprintf(out, "%s: %s at %s is fenced since %s%s; farshore unfence %s lets it in again\n",
                string_of(group, "name"), string_of(fence, "client"), string_of(fence, "address"),
                fs_text_moment(number_of(fence, "since_timestamp"), moment),
                json_is_true(json_object_get(fence, "proven")) ? "" : " (not proven)",
                string_of(group, "name"));
    }
    const json_t *objects = json_object_get(group, "objects");
    if (*string_of(objects, "reason")) {
        bool none = strcmp(string_of(objects, "state"), "none") == 0;
        fprintf(out, "%s: points carry %s Kubernetes objects: %s\n", string_of(group, "name"),
                none ? "no" : "older", string_of(objects, "reason"));
    }
    show_reclaim(group, out);
    if (*slow) {
        fprintf(out, "%s: slow diffs: %s\n", string_of(group, "name"), slow);
    }
}

static void put_image(const json_t *volume, char *text, size_t size)
{
    const char *ns = string_of(volume, "namespace");
    snprintf(text, size, "%s/%s%s%s", string_of(volume, "pool"), ns, *ns ? "/" : "",
             string_of(volume, "image"));
}

static void show_volumes(const json_t *group, FILE *out)
{
    char text[FS_TEXT_SIZE], image[1024];
    struct fs_table *table = fs_table_new(3);
    fs_table_cell(table, "VOLUME");
    fs_table_cell(table, "SIZE");
    fs_table_cell(table, "PVC");
    size_t i;
    json_t *volume;
    json_array_foreach(json_object_get(group, "volumes"), i, volume)
    {
        put_image(volume, image, sizeof(image));
        fs_table_cell(table, "%s", image);
        fs_table_cell(table, "%s", fs_text_bytes(bytes_of(volume, "size_bytes"), text));
        const char *pvc = string_of(volume, "pvc");
        fs_table_cell(table, "%s%s%s", string_of(volume, "pvc_namespace"), *pvc ? "/" : "",
                      *pvc ? pvc : "-");
    }
    fputc('\n', out);
    fs_table_print(table, out);
    fs_table_free(table);
}

void fs_show_status(const json_t *document, bool detail, FILE *out)
{
    static const char *const head[] = {"GROUP",    "ROLE",         "STATE",    "RPO LAG",
                                       "INTERVAL", "NEWEST POINT", "TRANSFER", "PEER"};
    const json_t *groups = json_object_get(document, "groups");
    show_site(document, out);
    fputc('\n', out);
    if (json_array_size(groups) == 0) {
        fputs("no groups: no volume matches a policy (see policies.*.select.labels)\n", out);
    } else {
        struct fs_table *table = fs_table_new(sizeof(head) / sizeof(head[0]));
        for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++) {
            fs_table_cell(table, "%s", head[i]);
        }
        size_t i;
        json_t *group;
        json_array_foreach(groups, i, group)
        {
            show_group_row(table, group);
        }
        fs_table_print(table, out);
        fs_table_free(table);
        json_array_foreach(groups, i, group)
        {
            show_reason(group, out);
            if (detail) {
                show_volumes(group, out);
            }
        }
    }
    size_t i;
    json_t *skipped;
    json_array_foreach(json_object_get(document, "skipped"), i, skipped)
    {
        show_skipped(skipped, out);
    }
}

static void put_names(const json_t *names, char *text, size_t size)
{
    size_t at = 0, i;
    json_t *flag;
    *text = '\0';
    json_array_foreach(names, i, flag)
    {
        const char *name = json_string_value(flag);
        int n = snprintf(text + at, size - at, "%s%s", i ? "," : "", name ? name : "?");
        at += n > 0 && (size_t)n < size - at ? (size_t)n : 0;
    }
}

void fs_show_points(const json_t *document, FILE *out)
{
    char text[FS_TEXT_SIZE], flags[128], kept_by[128];
    const json_t *points = json_object_get(document, "points");
    if (json_array_size(points) == 0) {
        fprintf(out, "%s has no recovery point yet\n", string_of(document, "group"));
        return;
    }
    struct fs_table *table = fs_table_new(8);
    static const char *const head[] = {"POINT",   "STATE",   "TAKEN",       "VOLUMES",
                                       "CHANGED", "KEPT BY", "CONSISTENCY", "FLAGS"};
    for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++) {
        fs_table_cell(table, "%s", head[i]);
    }
    size_t i;
    json_t *point;
    json_array_foreach(points, i, point)
    {
        fs_table_cell(table, "%s", string_of(point, "name"));
        fs_table_cell(table, "%s", string_of(point, "state"));
        fs_table_cell(table, "%s", fs_text_moment(number_of(point, "taken_timestamp"), text));
        fs_table_cell(table, "%zu", json_array_size(json_object_get(point, "volumes")));
        fs_table_cell(table, "%s", fs_text_bytes(bytes_of(point, "bytes"), text));
        put_names(json_object_get(point, "kept_by"), kept_by, sizeof(kept_by));
        fs_table_cell(table, "%s", *kept_by ? kept_by : "-");
        fs_table_cell(table, "%s", string_of(point, "consistency"));
        put_names(json_object_get(point, "flags"), flags, sizeof(flags));
        fs_table_cell(table, "%s", *flags ? flags : "-");
    }
    fs_table_print(table, out);
    fs_table_free(table);
}

void fs_show_verify_progress(const json_t *verify, FILE *out)
{
    char text[FS_TEXT_SIZE];
    double total = number_of(verify, "total_bytes"), done = number_of(verify, "done_bytes");
    double different = number_of(verify, "different_objects");
    fprintf(out, "verifying %.0f %%, %s looked at", total > 0 ? 100 * done / total : 0,
            fs_text_bytes(bytes_of(verify, "read_bytes"), text));
    if (different > 0) {
        fprintf(out, ", %.0f objects differ", different);
    }
}

static void show_differences(const json_t *verify, FILE *out)
{
    const json_t *differences = json_object_get(verify, "differences");
    size_t i;
    json_t *difference;
    json_array_foreach(differences, i, difference)
    {
        const char *image = string_of(difference, "image");
        fprintf(
            out, "  %s: object %llu, bytes %llu to %llu\n",
            *image ? image : string_of(difference, "volume"),
            (unsigned long long)bytes_of(difference, "object"),
            (unsigned long long)bytes_of(difference, "offset"),
            (unsigned long long)(bytes_of(difference, "offset") + bytes_of(difference, "length")));
    }
    if (json_array_size(differences) < bytes_of(verify, "different_objects")) {
        fprintf(out, "  and more\n");
    }
}

void fs_show_verify(const json_t *result, FILE *out)
{
    char text[FS_TEXT_SIZE];
    const json_t *verify = json_object_get(result, "verify");
    bool kept = strcmp(string_of(verify, "against"), "kept") == 0;
    uint64_t different = bytes_of(verify, "different_objects");
    fprintf(out, "%s, point %s: ", string_of(result, "group"), string_of(verify, "point"));
    if (different == 0) {
        fprintf(out, "%s (%s)\n",
                kept ? "holds the bytes that it was proved to hold"
                     : "both sites hold the same bytes",
                fs_text_bytes(bytes_of(verify, "total_bytes"), text));
        return;
    }
    fprintf(out, "%llu objects differ from %s\n", (unsigned long long)different,
            kept ? "what was proved" : "the other site's");
    show_differences(verify, out);
}

void fs_show_doctor(const json_t *report, FILE *out)
{
    size_t i, findings = 0;
    json_t *check;
    json_array_foreach(json_object_get(report, "checks"), i, check)
    {
        const char *level = string_of(check, "level"), *hint = string_of(check, "hint");
        fprintf(out, "%-8s%s, %s: %s\n", level, string_of(check, "check"),
                string_of(check, "about"), string_of(check, "message"));
        if (*hint) {
            fprintf(out, "        %s\n", hint);
        }
        findings += strcmp(level, "ok") != 0;
    }
    if (findings == 0) {
        fputs("nothing to mend\n", out);
    } else {
        fprintf(out, "%zu finding%s\n", findings, findings == 1 ? "" : "s");
    }
}
